//! L1: what a device fetches again.
use powercut_upgrade::manifest::FragmentIndex;

use super::{Invariant, Oracle};

impl Oracle {
    /// The modem handed a fragment to the device, whole; `turn` is the one that the device has to store next. One that
    /// comes before its turn counts as received once what was lost before it is stored.
    pub fn on_delivered(&mut self, index: FragmentIndex, turn: FragmentIndex) {
        self.turn_is(turn);
        if index == turn {
            self.delivered.insert(index);
        } else if index > turn {
            self.early.insert(index);
        }
    }

    pub(super) fn turn_is(&mut self, turn: FragmentIndex) {
        let later = self.early.split_off(&turn);
        self.delivered
            .extend(std::mem::replace(&mut self.early, later));
    }

    /// The device asks for these fragments, in ascending order, and has to store `turn` next.
    pub fn on_request(&mut self, wanted: &[FragmentIndex], turn: FragmentIndex) {
        self.turn_is(turn);
        let held = wanted.iter().filter(|index| self.early.contains(index));
        for _ in 0..held.count() {
            self.on_repeated_request();
        }
        let Some(&index) = wanted.first() else {
            return;
        };
        let again: Vec<FragmentIndex> = self.delivered.range(index..).copied().collect();
        let first_since_cut = core::mem::take(&mut self.first_request_since_cut);
        if !core::mem::take(&mut self.first_request_of_boot) {
            if again == [index] {
                // The one just received: whoever asked for more did not know yet.
                self.on_repeated_request();
                return;
            }
            if again.is_empty() {
                return;
            }
        }
        let allowed = match (first_since_cut, self.boots_since_cut) {
            (true, 1) if self.page_allowed => self
                .layout
                .page_bytes
                .div_ceil(u32::from(self.images.new.manifest().fragment_bytes))
                .saturating_add(1)
                .max(self.allowed_fetched_again),
            (true, 1) => self.allowed_fetched_again,
            _ => 0,
        };
        self.fetched_again += again.len() as u64;
        if again.len() > allowed as usize {
            let reason = format!(
                "{} fragments from {} on are fetched again; {allowed} would do",
                again.len(),
                index.0
            );
            self.report(Invariant::L1, reason);
        }
        for fetched in again {
            self.delivered.remove(&fetched);
        }
    }

    /// A fragment was handed over a moment ago and is asked for again: the request was under way already, or the
    /// device gave up the answer on its own line. Now and then that is fair; as a habit it is a second download.
    fn on_repeated_request(&mut self) {
        self.repeated_requests += 1;
        let fragments = u64::from(self.images.new.manifest().fragments());
        let limit = fragments / 4 + 4 * u64::from(self.boots);
        if self.repeated_requests == limit + 1 {
            let reason = format!(
                "more than {limit} of {fragments} fragments were asked for again right after the device had received them"
            );
            self.report(Invariant::L1, reason);
        }
    }
}
