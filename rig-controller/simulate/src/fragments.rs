//! What became of each fragment: asked for, in flight, received in whole, fetched again. Cuts divide a run into *lives*.
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Counts over a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Requests for a fragment that the platform heard.
    pub requested: u64,
    /// Fragments the platform sent.
    pub served: u64,
    /// Fragments that the device had received in whole and in turn before a cut and asked for again after it.
    pub fetched_again: u64,
    /// The most of them after one cut.
    pub fetched_again_most: u64,
    /// Fragments asked for before a cut that had not come in whole by then.
    pub in_flight: u64,
    /// Fragments that had come in whole but before their turn, and waited in RAM for an earlier one when power went.
    pub held: u64,
    /// Fragments asked for again without a cut in between: the link lost them, or was slow, or there was no room for them.
    pub repeated: u64,
    /// Fragments that had come in whole but before their turn, and that the device had no RAM for.
    pub dropped: u64,
}

/// When a life ended and how long it took to get back to where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loss {
    at: Duration,
    /// Whether fragments were still missing: else there is nothing to get back to.
    in_download: bool,
    /// When the line to the platform was open again.
    up: Option<Duration>,
    /// When the next fragment came, new or not.
    heard: Option<Duration>,
    regained: Option<Duration>,
    again: u64,
}

/// What a cut of the download cost, off time included in the first part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeLost {
    /// Until the line to the platform was open again.
    pub boot: Duration,
    /// From then until the next fragment came: a round trip.
    pub round_trip: Duration,
    /// From then until a fragment came that had never come before: none, unless fragments are fetched again.
    pub again: Duration,
}

impl TimeLost {
    /// All of it.
    pub fn total(self) -> Duration {
        self.boot + self.round_trip + self.again
    }
}

/// The book of one run.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    count: u16,
    life: u32,
    /// The life in which a fragment was last asked for.
    asked: HashMap<u16, u32>,
    /// The life in which it was last received in whole.
    received: HashMap<u16, u32>,
    /// Fragments that came before their turn, until they are stored: all of them are in RAM.
    early: BTreeSet<u16>,
    /// All before this one are received.
    next: u16,
    /// What came last had never come before.
    is_new: bool,
    counts: FragmentCounts,
    losses: Vec<Loss>,
}

impl Fragments {
    pub(super) fn new(count: u16) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }

    /// The platform heard a request for `index` that was sent in `life`.
    pub(super) fn asked(&mut self, index: u16, life: u32) {
        self.counts.requested += 1;
        let before = self.asked.insert(index, life);
        match (before, self.received.get(&index)) {
            (Some(before), _) if before >= life => self.counts.repeated += 1,
            (_, Some(received)) if *received < life => {
                self.counts.fetched_again += 1;
                if let Some(loss) = self.losses.last_mut() {
                    loss.again += 1;
                }
            }
            _ => {}
        }
    }

    pub(super) fn served(&mut self) {
        self.counts.served += 1;
    }

    /// The device has received fragment `index` in whole.
    pub(super) fn received(&mut self, index: u16, now: Duration) {
        if self.next_missing().is_some_and(|next| index > next) {
            self.early.insert(index);
        }
        if let Some(loss) = self.losses.last_mut() {
            loss.heard.get_or_insert(now);
        }
        self.is_new = self.received.insert(index, self.life).is_none();
    }

    /// The line to the platform is open.
    pub(super) fn up(&mut self, now: Duration) {
        if let Some(loss) = self.losses.last_mut() {
            loss.up.get_or_insert(now);
        }
    }

    /// The device has dealt with fragment `index`, which came at `now`, and stored what it could; whether it still has it.
    pub(super) fn taken(&mut self, index: u16, is_kept: bool, now: Duration) {
        let is_new = std::mem::take(&mut self.is_new);
        if is_kept && is_new {
            for loss in &mut self.losses {
                loss.regained.get_or_insert(now);
            }
        }
        if !is_kept && self.received.get(&index) == Some(&self.life) {
            self.received.remove(&index);
            self.next = self.next.min(index);
            self.counts.dropped += u64::from(self.early.remove(&index));
        }
        if let Some(next) = self.next_missing() {
            self.early = self.early.split_off(&next);
        } else {
            self.early.clear();
        }
    }

    fn next_missing(&mut self) -> Option<u16> {
        while self.received.contains_key(&self.next) {
            self.next += 1;
        }
        (self.next < self.count).then_some(self.next)
    }

    /// Power is lost.
    pub(super) fn cut(&mut self, now: Duration) {
        let in_flight = self
            .asked
            .iter()
            .filter(|(index, life)| **life == self.life && !self.received.contains_key(index))
            .count();
        self.counts.in_flight += in_flight as u64;
        let early = std::mem::take(&mut self.early);
        self.received.retain(|index, _| !early.contains(index));
        self.next = early
            .first()
            .map_or(self.next, |first| self.next.min(*first));
        self.counts.held += early.len() as u64;
        self.losses.push(Loss {
            at: now,
            in_download: self.received.len() < usize::from(self.count),
            up: None,
            heard: None,
            regained: None,
            again: 0,
        });
        self.life += 1;
    }

    pub(super) fn counts(&self) -> FragmentCounts {
        FragmentCounts {
            fetched_again_most: self.losses.iter().map(|loss| loss.again).max().unwrap_or(0),
            ..self.counts
        }
    }

    /// What each cut of the download cost; one that another cut followed before it was made up for is left out.
    pub(super) fn times_lost(&self) -> Vec<TimeLost> {
        let next = self.losses.iter().skip(1).map(|loss| Some(loss.at));
        self.losses
            .iter()
            .zip(next.chain([None]))
            .filter(|(loss, _)| loss.in_download)
            .filter_map(|(loss, next)| {
                let (up, heard, regained) = (loss.up?, loss.heard?, loss.regained?);
                if next.is_some_and(|next| next < regained) {
                    return None;
                }
                Some(TimeLost {
                    boot: up.checked_sub(loss.at)?,
                    round_trip: heard.checked_sub(up)?,
                    again: regained.checked_sub(heard)?,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn what_was_received_before_a_cut_and_is_asked_for_again_is_told_from_what_was_in_flight() {
        let mut fragments = Fragments::new(10);
        for index in 0..3 {
            fragments.asked(index, 0);
        }
        fragments.received(0, s(1));
        fragments.received(1, s(2));
        fragments.cut(s(3));
        fragments.up(s(4));
        for index in 1..4 {
            fragments.asked(index, 1);
        }
        fragments.asked(3, 1);
        for (index, at) in [(1, s(5)), (2, s(7))] {
            fragments.received(index, at);
            fragments.taken(index, true, at);
        }
        let counts = fragments.counts();
        assert_eq!((counts.fetched_again, counts.fetched_again_most), (1, 1));
        assert_eq!(counts.in_flight, 1, "fragment 2");
        assert_eq!((counts.requested, counts.repeated), (7, 1));
        let lost = TimeLost {
            boot: s(1),
            round_trip: s(1),
            again: s(2),
        };
        assert_eq!(fragments.times_lost(), [lost]);
        assert_eq!(lost.total(), s(4));
    }

    #[test]
    fn what_waited_in_ram_for_an_earlier_one_is_counted_apart() {
        let mut fragments = Fragments::new(10);
        for index in 0..5 {
            fragments.asked(index, 0);
        }
        for index in [0, 2, 3] {
            fragments.received(index, s(1));
        }
        fragments.cut(s(3));
        for index in 1..5 {
            fragments.asked(index, 1);
        }
        let counts = fragments.counts();
        assert_eq!((counts.held, counts.in_flight), (2, 2));
        assert_eq!(counts.fetched_again, 0);
    }

    #[test]
    fn what_waited_in_ram_counts_as_received_once_it_is_stored() {
        for (is_stored, expected) in [(true, (0, 2)), (false, (2, 0))] {
            let mut fragments = Fragments::new(10);
            for index in 0..5 {
                fragments.asked(index, 0);
            }
            for index in [0, 2, 3, 1] {
                fragments.received(index, s(1));
            }
            if is_stored {
                fragments.taken(1, true, s(1));
            }
            fragments.cut(s(3));
            for index in 2..4 {
                fragments.asked(index, 1);
            }
            let counts = fragments.counts();
            assert_eq!((counts.held, counts.fetched_again), expected);
        }
    }

    #[test]
    fn what_there_was_no_room_for_was_never_received() {
        let mut fragments = Fragments::new(10);
        for index in 0..4 {
            fragments.asked(index, 0);
        }
        for index in [1, 2] {
            fragments.received(index, s(1));
            fragments.taken(index, index == 1, s(1));
        }
        fragments.cut(s(3));
        for index in 0..4 {
            fragments.asked(index, 1);
        }
        let counts = fragments.counts();
        assert_eq!((counts.dropped, counts.held, counts.in_flight), (1, 1, 3));
        assert_eq!(counts.fetched_again, 0);
    }

    #[test]
    fn a_request_that_was_on_its_way_when_power_went_is_of_the_life_before() {
        let mut fragments = Fragments::new(10);
        fragments.asked(0, 0);
        fragments.received(0, s(1));
        fragments.cut(s(2));
        fragments.asked(0, 0);
        assert_eq!(fragments.counts().fetched_again, 0);
        assert_eq!(fragments.counts().repeated, 1);
    }

    #[test]
    fn a_cut_after_the_download_loses_no_time_of_it() {
        let mut fragments = Fragments::new(1);
        fragments.asked(0, 0);
        fragments.received(0, s(1));
        fragments.cut(s(2));
        assert!(fragments.times_lost().is_empty());
    }
}
