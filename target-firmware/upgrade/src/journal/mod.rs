//! The journal: the content of the upgrade identification area, at least 4 erase pages.
//!
//! Append-only. A page opens with a HEADER that says everything known so far, then a SEAL, then records, one per
//! unit of progress. What is promised, under loss of power at any operation with any torn result:
//!
//! - the newest sealed page wins, so there is always one that was complete before power went;
//! - a page is only appended to in the boot that opened it, so only the last record of a page can be torn;
//! - a page is erased before use, whatever it looks like, and never the one that may be the last whole one. The SEAL is
//!   written once the HEADER is there, and nobody acts on a page before its SEAL is. So a page that reads sealed, even
//!   by a torn SEAL that will not always, has a HEADER that stays; and one that does not was never acted on. The newest
//!   that reads sealed is therefore spared, and of what is older the unsealed goes first, then the oldest; where nothing
//!   older is left, the oldest page is spared and the newest goes (`Journal::victim`). Power may fail in every SEAL that
//!   is tried, for ever, and the last state that was acted on is still there;
//! - what was read after a reset may read differently next time: a torn record, a torn SEAL, even a torn record that
//!   reads blank now. Whoever acts on it calls [`Journal::reassert`] first, which states it anew in a fresh page;
//! - a state at rest is followed by an *anchor* right behind the SEAL. Reading it proves that the SEAL was finished,
//!   and nothing comes after it, so an idle boot ([`Journal::settle`]) of an anchored state writes nothing.
//!
//! The format is described in `page.rs`, the meaning of records in `state.rs`; `reading.rs` reads them.
mod page;
mod reading;
mod state;
#[cfg(test)]
mod tests;

pub use state::{Phase, Record, SessionId, State};

use crate::flash::{self, FlashError};
use crate::manifest::{ImageId, SecurityCounter};
use crate::seeded::{Bug, is_planted};
use crate::slots::Layout;
use crate::watched::{PageQuestion, WatchedFlash};
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind};
use page::{HEADER_BYTES, PageFormat};
use reading::{Reading, Replayed};

/// Number of a journal page in the order of opening; compared modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// Whether this one was opened after `other`.
    pub fn is_newer_than(self, other: Self) -> bool {
        if is_planted(Bug::GenerationDoesNotWrap) {
            return self.0 > other.0;
        }
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// A page whose HEADER is valid.
#[derive(Debug, Clone, Copy, Hash)]
struct Opened {
    page: u16,
    generation: Generation,
    sealed: bool,
}

impl Opened {
    /// Whether this one says more than `other`: a SEAL first, then the generation.
    fn is_preferred_to(self, other: Self) -> bool {
        if self.sealed != other.sealed {
            return self.sealed;
        }
        self.generation.is_newer_than(other.generation) != is_planted(Bug::OlderGenerationWins)
    }
}

/// What a HEADER says. Of pages that are not the newest only `opened` matters, and what the newest says is in what its
/// records come to: so `opened` is all that is hashed.
#[derive(Debug, Clone, Copy)]
struct Opening {
    opened: Opened,
    state: State,
}

impl core::hash::Hash for Opening {
    fn hash<H: core::hash::Hasher>(&self, hasher: &mut H) {
        self.opened.hash(hasher);
    }
}

/// The journal as read, and, once something was written in this boot, the page being written.
#[derive(Debug, Clone, Hash)]
pub struct Journal {
    layout: Layout,
    state: State,
    newest: Option<Opened>,
    highest: Option<Generation>,
    anchored: bool,
    /// Next free slot of `newest`, if that page was opened in this boot.
    next_slot: Option<u16>,
}

impl Journal {
    /// Reads the identification area; writes nothing.
    pub fn recover<F: WatchedFlash>(flash: &mut F, layout: &Layout) -> Self {
        let mut journal = Self {
            layout: *layout,
            state: State::EMPTY,
            newest: None,
            highest: None,
            anchored: false,
            next_slot: None,
        };
        for page in 0..layout.identification.pages {
            match journal.look_at(flash, page) {
                Some(opening) => journal.consider(opening),
                None if journal.gives_up_at(flash, page) => break,
                None => {}
            }
        }
        if let Some(newest) = journal.newest {
            journal.replay(flash, newest.page);
        }
        journal
    }

    /// Takes what a page opens with for the state, if it is preferred to what was found so far.
    fn consider(&mut self, Opening { opened, state }: Opening) {
        if self
            .highest
            .is_none_or(|highest| opened.generation.is_newer_than(highest))
        {
            self.highest = Some(opened.generation);
        }
        if self
            .newest
            .is_none_or(|newest| opened.is_preferred_to(newest))
        {
            self.newest = Some(opened);
            self.state = state;
        }
    }

    /// Whether a page without a HEADER ends the search. None does, readable or not.
    fn gives_up_at<F: NorFlash>(&self, flash: &mut F, page: u16) -> bool {
        is_planted(Bug::ReadErrorFatal) && !self.is_readable(flash, page)
    }

    /// What it says.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether anything was ever written here; if not, [`Journal::state`] is [`State::EMPTY`].
    pub fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    /// Whether the state stands in flash in a way that every later boot reads the same.
    pub fn is_anchored(&self) -> bool {
        self.anchored
    }

    /// Whether a page was opened in this boot, so that records can follow without a new statement.
    pub fn is_open(&self) -> bool {
        self.next_slot.is_some()
    }

    /// Records a page takes on this flash.
    pub const fn capacity<F: NorFlash>(layout: &Layout) -> u16 {
        PageFormat::new(layout.page_bytes, F::WRITE_SIZE).capacity()
    }

    /// States what was read anew in a fresh sealed page, before it is acted on.
    pub fn reassert<F: WatchedFlash>(&mut self, flash: &mut F) -> Result<(), FlashError> {
        self.open(flash, self.state)
    }

    /// Makes sure that a state at rest (nothing under way) reads the same ever after. Writes nothing if it does
    /// already, so an idle boot costs no flash.
    pub fn settle<F: WatchedFlash>(&mut self, flash: &mut F) -> Result<(), FlashError> {
        if self.is_settled() {
            return Ok(());
        }
        self.reassert(flash)?;
        self.append(flash, Record::Anchor)
    }

    /// Whether a state at rest needs no anchor any more.
    fn is_settled(&self) -> bool {
        (self.anchored && !is_planted(Bug::AnchorIgnored)) || is_planted(Bug::RestNotSettled)
    }

    /// Takes a step that ends in a state at rest, and anchors it: one fresh page, where a record and a later
    /// [`Journal::settle`] would take two.
    pub fn conclude<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        record: Record,
    ) -> Result<(), FlashError> {
        let next = self
            .state
            .after(record)
            .ok_or(FlashError(NorFlashErrorKind::Other))?;
        self.open(flash, next)?;
        self.append(flash, Record::Anchor)
    }

    /// States `state` in a fresh sealed page.
    pub fn open<F: WatchedFlash>(&mut self, flash: &mut F, state: State) -> Result<(), FlashError> {
        let format = self.format::<F>();
        let generation = self.highest.map_or(Generation(1), Generation::next);
        // A page that does not take what is written is passed over; with all of them bad the part is worn out.
        let mut tried = 0_u64;
        while let Some(page) = self.victim(flash, tried) {
            tried |= 1 << page;
            let address = self.layout.identification_page(page);
            let header = page::encode_header(generation, &state);
            let seal = page::encode_seal(state.session(), generation);
            flash::erase_page(flash, address)?;
            if !write_opening(flash, (address, &header), (address + format.seal(), &seal))? {
                continue;
            }
            self.newest = Some(Opened {
                page,
                generation,
                sealed: true,
            });
            self.highest = Some(generation);
            self.state = state;
            self.next_slot = Some(0);
            self.anchored = false;
            return Ok(());
        }
        Err(FlashError(NorFlashErrorKind::Other))
    }

    /// Adds a record; opens a fresh page if none was opened in this boot or it is full. A record that cannot follow
    /// the present state is refused.
    pub fn append<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        record: Record,
    ) -> Result<(), FlashError> {
        let next = self
            .state
            .after(record)
            .ok_or(FlashError(NorFlashErrorKind::Other))?;
        let format = self.format::<F>();
        if self.next_slot.is_none_or(|slot| slot >= format.capacity()) {
            self.open(flash, self.state)?;
        }
        let (Some(slot), Some(newest)) = (self.next_slot, self.newest) else {
            return Err(FlashError(NorFlashErrorKind::Other));
        };
        let bytes = page::encode_record(self.state.session(), slot, record);
        let address = self.layout.identification_page(newest.page) + format.slot(slot);
        flash::program(flash, address, &bytes)?;
        if !flash::took(flash, address, &bytes, Bug::RecordNotReadBack) {
            // The unit did not take it: say the same in a page that does.
            return self.open(flash, next);
        }
        self.next_slot = Some(slot + 1);
        self.anchored = slot == 0 && record == Record::Anchor;
        self.state = next;
        Ok(())
    }

    /// Writes what a factory leaves: `image` confirmed, with this security counter in force.
    pub fn provision<F: WatchedFlash>(
        flash: &mut F,
        layout: &Layout,
        image: ImageId,
        security_counter: SecurityCounter,
    ) -> Result<(), FlashError> {
        Self::provision_after(flash, layout, image, security_counter, Generation(0))
    }

    /// The same for a device whose journal is of some age: `last` was the generation before, if none is there.
    pub fn provision_after<F: WatchedFlash>(
        flash: &mut F,
        layout: &Layout,
        image: ImageId,
        security_counter: SecurityCounter,
        last: Generation,
    ) -> Result<(), FlashError> {
        let mut journal = Self::recover(flash, layout);
        journal.highest = journal.highest.or(Some(last));
        journal.open(flash, State::confirmed(image, security_counter))?;
        journal.append(flash, Record::Anchor)
    }

    fn format<F: NorFlash>(&self) -> PageFormat {
        let format = PageFormat::new(self.layout.page_bytes, F::WRITE_SIZE);
        if is_planted(Bug::TwoRecordsInOneUnit) {
            return format.packed();
        }
        format
    }

    /// The page to erase next, of those that were not `tried` (a bit each).
    fn victim<F: WatchedFlash>(&self, flash: &mut F, tried: u64) -> Option<u16> {
        let pages = self.layout.identification.pages;
        let mut sealed: Option<Opened> = None;
        let mut oldest: Option<Opened> = None;
        for page in 0..pages {
            let Some(Opening { opened, .. }) = self.look_at(flash, page) else {
                continue;
            };
            let newer = |other: Opened| opened.generation.is_newer_than(other.generation);
            if opened.sealed && sealed.is_none_or(newer) {
                sealed = Some(opened);
            }
            if oldest.is_none_or(|oldest| !newer(oldest)) {
                oldest = Some(opened);
            }
        }
        let spared = sealed.or(oldest);
        // The next in line, so that all of them wear alike.
        let first = self.newest.map_or(0, |newest| newest.page + 1);
        let mut best: Option<(Rank, u16)> = None;
        for page in (first..pages).chain(0..first) {
            if tried >> page & 1 == 1 {
                continue;
            }
            let opened = self.look_at(flash, page).map(|opening| opening.opened);
            let Some(rank) = rank(opened, spared) else {
                continue;
            };
            if best.is_none_or(|(best, _)| rank < best) {
                best = Some((rank, page));
            }
        }
        best.map(|(_, page)| page)
    }

    /// What stands in a page, if its HEADER is valid.
    fn look_at<F: WatchedFlash>(&self, flash: &mut F, page: u16) -> Option<Opening> {
        let address = self.layout.identification_page(page);
        flash.ask(address, PageQuestion::Header, |flash| {
            self.read_opening(flash, page)
        })
    }

    fn read_opening<F: NorFlash>(&self, flash: &mut F, page: u16) -> Option<Opening> {
        let (generation, state) = self
            .read_header(flash, page)
            .filter(|(_, state)| state.chain.0 <= self.layout.active.pages)?;
        let address = self.layout.identification_page(page) + self.format::<F>().seal();
        let mut seal = [0; 8];
        flash::read(flash, address, &mut seal);
        let sealed =
            seal == page::encode_seal(state.session(), generation) || is_planted(Bug::SealIgnored);
        let opened = Opened {
            page,
            generation,
            sealed,
        };
        Some(Opening { opened, state })
    }

    fn is_readable<F: NorFlash>(&self, flash: &mut F, page: u16) -> bool {
        let mut header = [0; HEADER_BYTES];
        flash::read(flash, self.layout.identification_page(page), &mut header)
    }

    fn read_header<F: NorFlash>(&self, flash: &mut F, page: u16) -> Option<(Generation, State)> {
        let mut header = [0; HEADER_BYTES];
        flash::read(flash, self.layout.identification_page(page), &mut header);
        page::decode_header(&header)
    }

    /// Applies the records of the newest page to the state its header gave.
    fn replay<F: WatchedFlash>(&mut self, flash: &mut F, page: u16) {
        let address = self.layout.identification_page(page);
        let replayed = flash.ask(address, PageQuestion::Records, |flash| {
            self.read_records(flash, page)
        });
        self.state = replayed.state;
        self.anchored = replayed.anchored;
        self.next_slot = replayed.next_slot;
        if let Phase::Downloading { programs, .. } = &mut self.state.phase
            && !is_planted(Bug::ProgramsNotCounted)
        {
            // The boot that wrote this page may have programmed what comes next.
            *programs = programs.saturating_add(1);
        }
    }

    fn read_records<F: WatchedFlash>(&self, flash: &mut F, page: u16) -> Replayed {
        let format = self.format::<F>();
        let start = self.layout.identification_page(page);
        let mut reading = Reading {
            session: self.state.session(),
            slot: 0,
            replayed: Replayed {
                state: self.state,
                anchored: false,
                next_slot: None,
            },
            goes_on: true,
        };
        loop {
            let from = start + format.slot(reading.slot);
            let piece_end = flash.piece_end(from);
            let end = piece_end.map_or(format.capacity(), |end| format.slots_before(end - start));
            let addresses = from..start + format.slot(end);
            flash.work_out_from(addresses, &mut reading, |flash, reading| {
                while reading.goes_on && reading.slot < end {
                    reading.read_next(flash, start + format.slot(reading.slot));
                }
            });
            if piece_end.is_none() || !reading.goes_on || reading.slot == format.capacity() {
                return reading.replayed;
            }
        }
    }
}

/// Writes a HEADER and, once it is there, a SEAL, each to its address. Whether both are there.
fn write_opening<F: NorFlash>(
    flash: &mut F,
    (header_at, header): (u32, &[u8]),
    (seal_at, seal): (u32, &[u8]),
) -> Result<bool, FlashError> {
    if is_planted(Bug::SealBeforeHeader) {
        flash::program(flash, seal_at, seal)?;
        flash::program(flash, header_at, header)?;
        return Ok(flash::holds(flash, header_at, header) && flash::holds(flash, seal_at, seal));
    }
    flash::program(flash, header_at, header)?;
    if !flash::holds(flash, header_at, header) {
        return Ok(false);
    }
    flash::program(flash, seal_at, seal)?;
    Ok(flash::holds(flash, seal_at, seal))
}

/// How soon a page is erased, the lowest first: by class, and in it by age.
type Rank = (u8, u32);

/// The rank of a page that was `opened` like this, or not at all; `None` if it is the one to be spared.
fn rank(opened: Option<Opened>, spared: Option<Opened>) -> Option<Rank> {
    let (Some(opened), Some(spared)) = (opened, spared) else {
        return Some((1, 0));
    };
    if opened.page == spared.page {
        return is_planted(Bug::LivePageErased).then_some((0, 0));
    }
    let is_newer = opened.generation.is_newer_than(spared.generation);
    let age = spared.generation.0.wrapping_sub(opened.generation.0);
    Some(match (is_newer, opened.sealed) {
        (false, false) => (2, 0),
        // The oldest first, and below the newest first: that one is the furthest from 0 downwards.
        (false, true) => (3, u32::MAX - age),
        (true, _) => (4, age),
    })
}
