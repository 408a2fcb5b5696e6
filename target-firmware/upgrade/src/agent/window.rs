//! The window of a lean download: which fragments are outstanding, which came before their turn and wait in RAM, and
//! how many may be outstanding at a time. Fragments are numbered from the base, the first one not stored yet: bit i of
//! a mask is fragment base + i. The rules are those of [`crate::wire::lean`].
use crate::manifest::FragmentIndex;
use crate::wire::lean::{MAX_WINDOW, Wanted};
use core::hash::{Hash, Hasher};

/// Outstanding fragments to begin with, also before an offer says how many, and never fewer because of loss.
const FIRST_LIMIT: u8 = 4;
/// Datagrams that modems keep for the device, at least: a window as wide as that never loses any there.
const MODEM_QUEUE: u8 = 10;
/// Later fragments that came, after which an outstanding one counts as lost.
const OVERTAKEN: u8 = 3;
/// Fragments in turn after which the window grows by one, where that may cost some.
const PATIENCE: u8 = 8;
/// Requests in a row whose first answer was waited for, after which more is asked for earlier for good. Now and then flash
/// keeps the device itself busy.
const DRY: u8 = 3;
/// A wait as short as this means nothing.
const HICCUP_MS: u64 = 10;

/// What a fragment that arrived is to the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The one whose turn it is.
    InTurn,
    /// One of a later turn: [`Window::hold`] it.
    Early,
    /// Stored or held already, or beyond the window.
    Unwanted,
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    /// These fragments.
    pub(super) wanted: Wanted,
    /// The time to the first of their answers says how long a round trip is.
    pub(super) is_measured: bool,
}

/// See the module. `HELD` is the RAM for early fragments.
#[derive(Debug, Clone)]
pub(super) struct Window<HELD> {
    base: FragmentIndex,
    fragment_bytes: u16,
    outstanding: u32,
    held: u32,
    /// Lost once: whether they are lost again only the timer can tell.
    again: u32,
    /// Fragments that came while an earlier one was missed.
    overtaken: u8,
    /// Whose answer is measured.
    mark: Option<FragmentIndex>,
    limit: u8,
    /// As far as the limit grows; a loss at a wider window than the modem's queue lowers it for good.
    ceiling: u8,
    widest: u8,
    next_widest: u8,
    lossless: bool,
    in_turn: u8,
    /// Requests in a row whose first answer was waited for: the answers before it had all come.
    dry: u8,
    /// Fragments that come between a request being due and its going out.
    ahead: u8,
    /// When the last fragment came, and the shortest time between two of one request.
    last_ms: u64,
    shortest_ms: u64,
    buffer: HELD,
}

impl<HELD: AsRef<[u8]>> Hash for Window<HELD> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.base, self.fragment_bytes, self.mark).hash(hasher);
        (self.outstanding, self.held, self.again).hash(hasher);
        (self.overtaken, self.limit, self.widest, self.next_widest).hash(hasher);
        (
            self.lossless,
            self.in_turn,
            self.ceiling,
            self.dry,
            self.ahead,
        )
            .hash(hasher);
        self.buffer.as_ref().hash(hasher);
    }
}

impl<HELD: AsRef<[u8]> + AsMut<[u8]>> Window<HELD> {
    /// Of no download yet.
    pub(super) const fn new(buffer: HELD) -> Self {
        Self {
            base: FragmentIndex(0),
            fragment_bytes: 1,
            outstanding: 0,
            held: 0,
            again: 0,
            overtaken: 0,
            mark: None,
            limit: 1,
            ceiling: 1,
            widest: 1,
            next_widest: 1,
            lossless: true,
            in_turn: 0,
            dry: 0,
            ahead: 0,
            last_ms: 0,
            shortest_ms: u64::MAX,
            buffer,
        }
    }

    /// Begins at `base` with nothing outstanding; never more than `widest` fragments will be.
    pub(super) fn open(&mut self, base: FragmentIndex, fragment_bytes: u16, widest: u8) {
        self.restart(base);
        self.fragment_bytes = fragment_bytes.max(1);
        self.next_widest = widest.clamp(1, MAX_WINDOW);
        self.settle();
        self.limit = self.widest.min(FIRST_LIMIT);
        self.lossless = true;
        self.in_turn = 0;
        self.dry = 0;
        self.shortest_ms = u64::MAX;
    }

    /// Begins at `base` as far as a device may go that goes on after a reset and has heard no offer yet.
    pub(super) fn reopen(&mut self, base: FragmentIndex, fragment_bytes: u16) {
        let widest = if self.has_room() { FIRST_LIMIT } else { 1 };
        self.open(base, fragment_bytes, widest);
    }

    /// Never more than `widest` fragments outstanding once the next is stored: what is asked for does not depend on whether
    /// this was heard before or after the last request went out.
    pub(super) fn limit_to(&mut self, widest: u8) {
        self.next_widest = widest.clamp(1, MAX_WINDOW);
    }

    fn settle(&mut self) {
        self.widest = self.next_widest;
        // Where few early fragments can be held, a loss is too dear to find out how many the modem keeps.
        let is_daring = self.places() >= u16::from(MODEM_QUEUE);
        self.ceiling = if is_daring {
            self.widest
        } else {
            self.widest.min(MODEM_QUEUE)
        };
        self.limit = self.limit.max(FIRST_LIMIT).min(self.widest);
    }

    /// Starts again from another base, as wide as it has become.
    pub(super) fn restart(&mut self, base: FragmentIndex) {
        self.base = base;
        self.held = 0;
        self.forget();
    }

    /// The next fragment to store.
    pub(super) const fn base(&self) -> FragmentIndex {
        self.base
    }

    /// Whether a fragment is stored, or waits for its turn.
    pub(super) fn has(&self, index: FragmentIndex) -> bool {
        index < self.base || self.bit(index).is_some_and(|bit| self.held & bit != 0)
    }

    /// Whether an answer is being waited for.
    pub(super) const fn is_waiting(&self) -> bool {
        self.outstanding != 0
    }

    /// What to ask for now, of an image of so many fragments.
    pub(super) fn ask(&mut self, fragments: u16) -> Option<Question> {
        let mut reach = u16::from(self.limit).min(fragments.saturating_sub(self.base.0));
        if self.again != 0 {
            // What comes before the lost one has to be held.
            reach = reach.min(1 + self.places());
        }
        let missing = lowest(reach) & !self.outstanding & !self.held;
        let is_due =
            self.outstanding.count_ones() <= u32::from(self.few()) || missing & self.again != 0;
        let wanted = Wanted::new(self.base, if is_due { missing } else { 0 })?;
        self.outstanding |= missing;
        let is_measured = self.mark.is_none() && missing & self.again == 0;
        if is_measured {
            self.mark = Some(wanted.base());
        }
        Some(Question {
            wanted,
            is_measured,
        })
    }

    /// The link would take more.
    const fn is_dry(&self) -> bool {
        self.dry >= DRY
    }

    /// So few fragments outstanding are few enough to ask for more. Where nothing has to be waited for that is later, so
    /// that more of them share a request.
    fn few(&self) -> u8 {
        if self.limit <= FIRST_LIMIT {
            return self.limit * 2 / 5;
        }
        let share = if self.is_dry() {
            self.limit / 5 * 3
        } else {
            self.limit * 2 / 5
        };
        share.saturating_add(self.ahead).min(self.limit - 1)
    }

    /// Requests go out when so many more fragments have come: they are due as much earlier.
    pub(super) fn ask_ahead(&mut self, fragments: u8) {
        self.ahead = fragments;
    }

    /// What a fragment is, if it is authentic; changes nothing.
    pub(super) fn look(&self, index: FragmentIndex) -> Arrival {
        match self.bit(index) {
            Some(1) => Arrival::InTurn,
            Some(bit) if self.held & bit == 0 => Arrival::Early,
            _ => Arrival::Unwanted,
        }
    }

    /// A fragment that is not unwanted came. Whether it ends the measured time.
    pub(super) fn came(&mut self, index: FragmentIndex, now_ms: u64) -> bool {
        let bit = self.bit(index).unwrap_or(0);
        self.outstanding &= !bit;
        let missed = self.outstanding & bit.wrapping_sub(1) & !self.again;
        if missed == 0 {
            self.overtaken = 0;
        } else {
            self.overtaken = self.overtaken.saturating_add(1);
            // Everything later is here: nothing is left that could overtake them.
            let is_last = self.outstanding & !bit.wrapping_sub(1) == 0;
            if self.overtaken >= OVERTAKEN || is_last {
                self.outstanding &= !missed;
                self.again |= missed;
                self.overtaken = 0;
                self.shrink();
                if self.mark.and_then(|mark| self.bit(mark)).unwrap_or(0) & missed != 0 {
                    self.mark = None;
                }
            }
        }
        let is_mark = self.mark == Some(index);
        self.note_gap(is_mark, now_ms);
        if is_mark {
            self.mark = None;
        }
        is_mark
    }

    /// The first fragment of a request has to follow the last one of the request before as these follow each other.
    fn note_gap(&mut self, is_first: bool, now_ms: u64) {
        let gap_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = now_ms;
        if !is_first {
            self.shortest_ms = self.shortest_ms.min(gap_ms);
        } else if gap_ms > self.shortest_ms.saturating_mul(2).saturating_add(HICCUP_MS) {
            self.dry = self.dry.saturating_add(1);
        } else if self.dry < DRY {
            self.dry = 0;
        }
    }

    /// Keeps an early fragment's plaintext until its turn; without room for it, it has to be asked for again.
    pub(super) fn hold(&mut self, index: FragmentIndex, fragment: &[u8]) {
        let ahead = index.0.wrapping_sub(self.base.0);
        let at = self.place(index);
        if ahead <= self.places()
            && let Some(place) = self.buffer.as_mut().get_mut(at..at + fragment.len())
        {
            place.copy_from_slice(fragment);
            self.held |= self.bit(index).unwrap_or(0);
        }
    }

    /// The first `length` bytes of the next fragment to store, if it is held.
    pub(super) fn held(&self, length: usize) -> Option<&[u8]> {
        let at = self.place(self.base);
        self.buffer
            .as_ref()
            .get(at..at + length)
            .filter(|_| self.held & 1 == 1)
    }

    /// The fragment at the base is stored.
    pub(super) fn advance(&mut self) {
        self.base.0 = self.base.0.saturating_add(1);
        self.outstanding >>= 1;
        self.held >>= 1;
        self.again >>= 1;
        if self.next_widest != self.widest {
            self.settle();
        }
        if self.widest == 1 {
            return;
        }
        self.in_turn = self.in_turn.saturating_add(1);
        let is_wide = self.limit >= MODEM_QUEUE;
        // A wider window than the modem keeps may cost some: only where a narrower one leaves the link idle.
        if (self.lossless && !is_wide) || (self.in_turn >= PATIENCE && (!is_wide || self.is_dry()))
        {
            self.in_turn = 0;
            self.limit = (self.limit + 1).min(self.ceiling);
        }
    }

    /// Nothing came in time: what is outstanding is lost.
    pub(super) fn time_out(&mut self) {
        self.forget();
        self.shrink();
    }

    /// The same where nothing was heard at all: perhaps the link is only slow, so no more than one is asked for again.
    pub(super) fn time_out_unheard(&mut self) {
        self.forget();
        self.limit = 1;
    }

    fn forget(&mut self) {
        self.outstanding = 0;
        self.again = 0;
        self.overtaken = 0;
        self.mark = None;
    }

    fn shrink(&mut self) {
        if self.widest == 1 {
            return;
        }
        if self.limit > MODEM_QUEUE {
            // Perhaps the modem had no room: as wide as that never again.
            self.ceiling = self.limit - 1;
            self.limit = (self.limit / 4 * 3).max(MODEM_QUEUE);
        } else {
            let less = self.limit - (self.limit / 8).max(1);
            self.limit = less.max(self.widest.min(FIRST_LIMIT)).min(self.limit);
        }
        self.lossless = false;
        self.in_turn = 0;
    }

    fn bit(&self, index: FragmentIndex) -> Option<u32> {
        let ahead = index.0.checked_sub(self.base.0)?;
        1_u32.checked_shl(u32::from(ahead))
    }

    /// Early fragments there is room for.
    fn places(&self) -> u16 {
        let places = self.buffer.as_ref().len() / usize::from(self.fragment_bytes);
        places.min(usize::from(MAX_WINDOW)) as u16
    }

    /// Whether early fragments can be held at all.
    pub(super) fn has_room(&self) -> bool {
        !self.buffer.as_ref().is_empty()
    }

    fn place(&self, index: FragmentIndex) -> usize {
        let place = index.0.checked_rem(self.places()).unwrap_or(0);
        usize::from(place) * usize::from(self.fragment_bytes)
    }
}

/// The lowest so many bits.
const fn lowest(bits: u16) -> u32 {
    if bits >= 32 {
        u32::MAX
    } else {
        (1 << bits) - 1
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
