//! The journal: the content of the upgrade identification area, at least 4 erase pages.
//!
//! Append-only. A page opens with a HEADER that says everything known so far, then a SEAL, then records, one per
//! unit of progress. What is promised, under loss of power at any operation with any torn result:
//!
//! - the newest sealed page wins, so there is always one that was complete before power went;
//! - a page is only appended to in the boot that opened it, so only the last record of a page can be torn;
//! - the two newest sealed pages are never erased, and a page is erased before use whatever it looks like;
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

use crate::flash::{self, FlashError, UpgradeFlash};
use crate::manifest::{ImageId, SecurityCounter};
use crate::seeded::{Bug, is_planted};
use crate::slots::Layout;
use embedded_storage::nor_flash::NorFlashErrorKind;
use page::{HEADER_BYTES, PageFormat};

/// Number of a journal page in the order of opening; compared modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// Whether this one was opened after `other`.
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.0.wrapping_sub(other.0).cast_signed() > 0
    }

    const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

#[derive(Debug, Clone, Copy, Hash)]
struct Sealed {
    page: u16,
    generation: Generation,
}

/// The journal as read, and, once something was written in this boot, the page being written.
#[derive(Debug, Clone, Hash)]
pub struct Journal {
    layout: Layout,
    state: State,
    newest: Option<Sealed>,
    previous: Option<Sealed>,
    highest: Option<Generation>,
    anchored: bool,
    /// Next free slot of `newest`, if that page was opened in this boot.
    next_slot: Option<u16>,
}

impl Journal {
    /// Reads the identification area; writes nothing.
    pub fn recover<F: UpgradeFlash>(flash: &mut F, layout: &Layout) -> Self {
        let mut journal = Self {
            layout: *layout,
            state: State::EMPTY,
            newest: None,
            previous: None,
            highest: None,
            anchored: false,
            next_slot: None,
        };
        for page in 0..layout.identification.pages {
            journal.look_at(flash, page);
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

    /// Whether anything was ever sealed here; if not, [`Journal::state`] is [`State::EMPTY`].
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
    pub const fn capacity<F: UpgradeFlash>(layout: &Layout) -> u16 {
        PageFormat::new(layout.page_bytes, F::WRITE_SIZE).capacity()
    }

    /// States what was read anew in a fresh sealed page, before it is acted on.
    pub fn reassert<F: UpgradeFlash>(&mut self, flash: &mut F) -> Result<(), FlashError> {
        self.open(flash, self.state)
    }

    /// Makes sure that a state at rest (nothing under way) reads the same ever after. Writes nothing if it does
    /// already, so an idle boot costs no flash.
    pub fn settle<F: UpgradeFlash>(&mut self, flash: &mut F) -> Result<(), FlashError> {
        if self.anchored {
            return Ok(());
        }
        self.reassert(flash)?;
        self.append(flash, Record::Anchor)
    }

    /// Takes a step that ends in a state at rest, and anchors it: one fresh page, where a record and a later
    /// [`Journal::settle`] would take two.
    pub fn conclude<F: UpgradeFlash>(
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
    pub fn open<F: UpgradeFlash>(&mut self, flash: &mut F, state: State) -> Result<(), FlashError> {
        let format = self.format::<F>();
        let generation = self.highest.map_or(Generation(1), Generation::next);
        // A page that does not take what is written is passed over; with all of them bad the part is worn out.
        for page in self.victims() {
            let address = self.layout.identification_page(page);
            let header = page::encode_header(generation, &state);
            let seal = page::encode_seal(state.session(), generation);
            flash::erase_page(flash, address)?;
            flash::program(flash, address, &header)?;
            let header_holds = flash::holds(flash, address, &header);
            if header_holds {
                flash::program(flash, address + format.seal(), &seal)?;
            }
            if !header_holds || !flash::holds(flash, address + format.seal(), &seal) {
                continue;
            }
            self.previous = self.newest;
            self.newest = Some(Sealed { page, generation });
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
    pub fn append<F: UpgradeFlash>(
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
        if !flash::holds(flash, address, &bytes) {
            // The unit did not take it: say the same in a page that does.
            return self.open(flash, next);
        }
        self.next_slot = Some(slot + 1);
        self.anchored = slot == 0 && record == Record::Anchor;
        self.state = next;
        Ok(())
    }

    /// Writes what a factory leaves: `image` confirmed, with this security counter in force.
    pub fn provision<F: UpgradeFlash>(
        flash: &mut F,
        layout: &Layout,
        image: ImageId,
        security_counter: SecurityCounter,
    ) -> Result<(), FlashError> {
        let mut journal = Self::recover(flash, layout);
        journal.open(flash, State::confirmed(image, security_counter))?;
        journal.append(flash, Record::Anchor)
    }

    const fn format<F: UpgradeFlash>(&self) -> PageFormat {
        PageFormat::new(self.layout.page_bytes, F::WRITE_SIZE)
    }

    /// The pages that may be erased, best first: those after the newest, but never the two newest sealed.
    fn victims(&self) -> impl Iterator<Item = u16> + use<> {
        let pages = self.layout.identification.pages;
        let taken = [self.newest, self.previous].map(|sealed| sealed.map(|sealed| sealed.page));
        let live_first = is_planted(Bug::LivePageErased);
        let first = self
            .newest
            .map_or(0, |newest| newest.page + u16::from(!live_first));
        (0..pages)
            .map(move |step| (first + step) % pages)
            .filter(move |page| live_first || !taken.contains(&Some(*page)))
    }

    fn look_at<F: UpgradeFlash>(&mut self, flash: &mut F, page: u16) {
        let fits = |state: &State| state.chain.0 <= self.layout.active.pages;
        let Some((generation, state)) = self
            .read_header(flash, page)
            .filter(|(_, state)| fits(state))
        else {
            return;
        };
        if self
            .highest
            .is_none_or(|highest| generation.is_newer_than(highest))
        {
            self.highest = Some(generation);
        }
        let address = self.layout.identification_page(page) + self.format::<F>().seal();
        let mut seal = [0; 8];
        flash::read(flash, address, &mut seal);
        if seal != page::encode_seal(state.session(), generation) && !is_planted(Bug::SealIgnored) {
            return;
        }
        let sealed = Sealed { page, generation };
        let newer_than = |other: Option<Sealed>| {
            other.is_none_or(|other| {
                generation.is_newer_than(other.generation) != is_planted(Bug::OlderGenerationWins)
            })
        };
        if newer_than(self.newest) {
            self.previous = self.newest;
            self.newest = Some(sealed);
            self.state = state;
        } else if newer_than(self.previous) {
            self.previous = Some(sealed);
        }
    }

    fn read_header<F: UpgradeFlash>(
        &self,
        flash: &mut F,
        page: u16,
    ) -> Option<(Generation, State)> {
        let mut header = [0; HEADER_BYTES];
        flash::read(flash, self.layout.identification_page(page), &mut header);
        page::decode_header(&header)
    }

    /// Applies the records of the newest page to the state its header gave.
    fn replay<F: UpgradeFlash>(&mut self, flash: &mut F, page: u16) {
        let format = self.format::<F>();
        let start = self.layout.identification_page(page);
        let session = self.state.session();
        for slot in 0..format.capacity() {
            let mut bytes = [0; 8];
            flash::read(flash, start + format.slot(slot), &mut bytes);
            let record = page::decode_record(session, slot, bytes);
            let Some(next) = record.and_then(|record| self.state.after(record)) else {
                if is_planted(Bug::AppendAfterReset) && bytes == [0xFF; 8] {
                    self.next_slot = Some(slot);
                }
                break;
            };
            self.anchored = slot == 0 && record == Some(Record::Anchor);
            self.state = next;
        }
        if let Phase::Downloading { programs, .. } = &mut self.state.phase {
            // The boot that wrote this page may have programmed what comes next.
            *programs = programs.saturating_add(u8::from(!is_planted(Bug::ProgramsNotCounted)));
        }
    }
}
