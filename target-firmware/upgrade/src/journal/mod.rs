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
//! The format is described in `page.rs`, the meaning of records in `state.rs`.
mod page;
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

/// What the records of a page come to.
#[derive(Debug, Clone, Copy, Hash)]
struct Replayed {
    state: State,
    anchored: bool,
    next_slot: Option<u16>,
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
            let Some(Opening { opened, state }) = journal.look_at(flash, page) else {
                if is_planted(Bug::ReadErrorFatal) && !journal.is_readable(flash, page) {
                    break;
                }
                continue;
            };
            if journal
                .highest
                .is_none_or(|highest| opened.generation.is_newer_than(highest))
            {
                journal.highest = Some(opened.generation);
            }
            if journal
                .newest
                .is_none_or(|newest| opened.is_preferred_to(newest))
            {
                journal.newest = Some(opened);
                journal.state = state;
            }
        }
        if let Some(newest) = journal.newest {
            journal.replay(flash, newest.page);
        }
        journal
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
        if (self.anchored && !is_planted(Bug::AnchorIgnored)) || is_planted(Bug::RestNotSettled) {
            return Ok(());
        }
        self.reassert(flash)?;
        self.append(flash, Record::Anchor)
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
            let seal_first = is_planted(Bug::SealBeforeHeader);
            flash::erase_page(flash, address)?;
            if seal_first {
                flash::program(flash, address + format.seal(), &seal)?;
            }
            flash::program(flash, address, &header)?;
            let header_holds = flash::holds(flash, address, &header);
            if header_holds && !seal_first {
                flash::program(flash, address + format.seal(), &seal)?;
            }
            if !header_holds || !flash::holds(flash, address + format.seal(), &seal) {
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
        if !is_planted(Bug::RecordNotReadBack) && !flash::holds(flash, address, &bytes) {
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
        let mut best: Option<(u8, u32, u16)> = None;
        for step in 0..pages {
            let page = (first + step) % pages;
            if tried >> page & 1 == 1 {
                continue;
            }
            let (class, rank) = match (self.look_at(flash, page), spared) {
                (Some(Opening { opened, .. }), Some(spared)) if opened.page == spared.page => {
                    if !is_planted(Bug::LivePageErased) {
                        continue;
                    }
                    (0, 0)
                }
                (Some(Opening { opened, .. }), Some(spared)) => {
                    let age = spared.generation.0.wrapping_sub(opened.generation.0);
                    match (
                        opened.generation.is_newer_than(spared.generation),
                        opened.sealed,
                    ) {
                        (false, false) => (2, 0),
                        // The oldest first, and below the newest first: that one is the furthest from 0 downwards.
                        (false, true) => (3, u32::MAX - age),
                        (true, _) => (4, age),
                    }
                }
                _ => (1, 0),
            };
            if best.is_none_or(|(b_class, b_rank, _)| (class, rank) < (b_class, b_rank)) {
                best = Some((class, rank, page));
            }
        }
        best.map(|(_, _, page)| page)
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
        if let Phase::Downloading { programs, .. } = &mut self.state.phase {
            // The boot that wrote this page may have programmed what comes next.
            *programs = programs.saturating_add(u8::from(!is_planted(Bug::ProgramsNotCounted)));
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

/// The records of a page as far as they were read.
#[derive(Debug, Clone, Hash)]
struct Reading {
    session: SessionId,
    /// The next.
    slot: u16,
    replayed: Replayed,
    /// All so far were records.
    goes_on: bool,
}

impl Reading {
    fn read_next<F: NorFlash>(&mut self, flash: &mut F, address: u32) {
        let mut bytes = [0; 8];
        flash::read(flash, address, &mut bytes);
        let record = page::decode_record(self.session, self.slot, bytes);
        let Some(next) = record.and_then(|record| self.replayed.state.after(record)) else {
            let is_blank = bytes == [0xFF; 8];
            if is_planted(Bug::AppendAfterReset) && is_blank {
                self.replayed.next_slot = Some(self.slot);
            }
            let state = &mut self.replayed.state;
            if is_planted(Bug::SlotErasedOnCrcError)
                && !is_blank
                && matches!(state.phase, Phase::Downloading { .. })
            {
                state.phase = Phase::Accepted;
            }
            if is_planted(Bug::TornRecordForgetsProgress)
                && !is_blank
                && let Phase::Downloading { committed, .. } = &mut state.phase
            {
                *committed = 0;
            }
            self.goes_on = false;
            return;
        };
        self.replayed.anchored = self.slot == 0 && record == Some(Record::Anchor);
        self.replayed.state = next;
        self.slot += 1;
    }
}
