//! Puts fragments into the STAGING slot so that what the journal calls progress is in flash for good.
//!
//! Progress is counted in *committed* bytes. Data goes to flash first, the record after. A page is erased when the
//! first of its bytes is written, whatever it looks like.
//!
//! Where a unit may be programmed twice, progress goes fragment by fragment: a fragment that a cut tore is fetched
//! again and programmed once more with the same bytes. If it may have been torn twice, its units are used up: progress
//! goes back to the start of its page ([`resume_point`]). Elsewhere a page is collected in RAM, written once, read back
//! and then recorded.
use crate::flash::{self, FlashError};
use crate::image::Location;
use crate::journal::{Journal, Phase, Record, State};
use crate::manifest::{FragmentIndex, Manifest, SignedManifest};
use crate::seeded::{self, Bug, is_planted};
use crate::slots::Layout;
use crate::watched::WatchedFlash;
use crate::wire::CRC;
use crate::wire::pcp::{PackageFacts, VersionText};
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind};

/// Where a download goes on after a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResumePoint {
    /// Image bytes that need not be fetched again.
    pub committed: u32,
    /// Earlier boots that may have programmed the units that follow.
    pub programs: u8,
}

/// Where to go on, from what the journal says.
pub const fn resume_point<F: WatchedFlash>(
    layout: &Layout,
    committed: u32,
    programs: u8,
) -> ResumePoint {
    let into_page = layout.offset_in_page(committed);
    if into_page == 0 || programs >= F::PROGRAMS_PER_UNIT {
        return ResumePoint {
            committed: committed - into_page,
            programs: 0,
        };
    }
    ResumePoint {
        committed,
        programs,
    }
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It counts; the next one may come.
    Progress,
    /// Flash did not hold it; progress went back to the start of its page.
    Rewound,
}

/// The write position in STAGING. `PAGE` is the size of the page buffer: the erase size where units are programmed
/// once, 0 where they may be programmed twice.
#[derive(Debug, Clone, Hash)]
pub struct Store<const PAGE: usize> {
    committed: u32,
    programs: u8,
    buffered: usize,
    buffer: [u8; PAGE],
}

impl<const PAGE: usize> Store<PAGE> {
    /// Starts where the journal says.
    pub const fn new(at: ResumePoint) -> Self {
        Self {
            committed: at.committed,
            programs: at.programs,
            buffered: 0,
            buffer: [0xFF; PAGE],
        }
    }

    /// The fragment wanted next; `None` when all of the image is in flash.
    pub fn wanted(&self, manifest: &Manifest) -> Option<FragmentIndex> {
        let offset = self.offset();
        (offset < manifest.size_bytes)
            .then(|| FragmentIndex((offset / u32::from(manifest.fragment_bytes)) as u16))
    }

    /// Takes the wanted fragment's plaintext, whole; what is in flash already is not written again.
    pub fn take<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        journal: &mut Journal,
        manifest: &Manifest,
        fragment: &[u8],
    ) -> Result<Stored, FlashError> {
        self.reassert(flash, journal)?;
        let known = self.offset() % u32::from(manifest.fragment_bytes);
        let mut rest = fragment.get(known as usize..).unwrap_or_default();
        if F::PROGRAMS_PER_UNIT > 1 {
            return self.write_through(flash, layout, journal, manifest, rest);
        }
        let page_bytes = F::ERASE_SIZE.min(PAGE);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(page_bytes - self.buffered));
            self.buffer[self.buffered..self.buffered + now.len()].copy_from_slice(now);
            self.buffered += now.len();
            rest = later;
            seeded::record_early(Bug::RamCountedAsWritten, flash, journal, self.offset())?;
            let is_last = self.offset() == manifest.size_bytes;
            if (self.buffered == page_bytes || is_last)
                && self.write_page(flash, layout, journal)? == Stored::Rewound
            {
                return Ok(Stored::Rewound);
            }
        }
        Ok(Stored::Progress)
    }

    const fn offset(&self) -> u32 {
        self.committed + self.buffered as u32
    }

    /// Before the first program of a boot: what was read from the journal is stated anew, with how often the units
    /// ahead may have been programmed.
    fn reassert<F: WatchedFlash>(
        &self,
        flash: &mut F,
        journal: &mut Journal,
    ) -> Result<(), FlashError> {
        if journal.is_open() {
            return Ok(());
        }
        let phase = Phase::Downloading {
            committed: self.committed,
            programs: self.programs,
        };
        let mut state = State {
            phase,
            ..*journal.state()
        };
        if is_planted(Bug::AttemptNotPersisted) {
            state.attempt = 0;
        }
        journal.open(flash, state)
    }

    fn write_through<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        journal: &mut Journal,
        manifest: &Manifest,
        data: &[u8],
    ) -> Result<Stored, FlashError> {
        let committed = self.committed + data.len() as u32;
        seeded::record_early(Bug::RecordBeforeData, flash, journal, committed)?;
        if !self.program_pages(flash, layout, data)? {
            return self.rewind(flash, layout, journal);
        }
        if seeded::is_recorded(committed, manifest) {
            journal.append(flash, Record::Progress { committed })?;
        }
        self.committed = committed;
        self.programs = 0;
        Ok(Stored::Progress)
    }

    /// Programs what comes next, page by page. Whether flash took it.
    fn program_pages<F: NorFlash>(
        &self,
        flash: &mut F,
        layout: &Layout,
        data: &[u8],
    ) -> Result<bool, FlashError> {
        let mut at = self.committed;
        let mut rest = data;
        while !rest.is_empty() {
            let into_page = layout.offset_in_page(at);
            let (now, later) =
                rest.split_at(rest.len().min((layout.page_bytes - into_page) as usize));
            let address =
                layout.image_byte(Location::STAGING.slot, Location::STAGING.placement, at);
            if into_page == 0 || seeded::erases_again(self.programs) {
                flash::erase_page(flash, page_to_erase(address, at))?;
            }
            flash::program(flash, address, now)?;
            if !flash::took(flash, address, now, Bug::DataNotReadBack) {
                return Ok(false);
            }
            at += now.len() as u32;
            rest = later;
        }
        Ok(true)
    }

    fn write_page<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        journal: &mut Journal,
    ) -> Result<Stored, FlashError> {
        let data = &self.buffer[..self.buffered];
        let address = layout.image_byte(
            Location::STAGING.slot,
            Location::STAGING.placement,
            self.committed,
        );
        flash::erase_page(flash, page_to_erase(address, self.committed))?;
        flash::program(flash, address, data)?;
        if !flash::took(flash, address, data, Bug::DataNotReadBack) {
            return self.rewind(flash, layout, journal);
        }
        let committed = self.offset();
        if !is_planted(Bug::RamCountedAsWritten) {
            journal.append(flash, Record::Progress { committed })?;
        }
        self.committed = committed;
        self.buffered = 0;
        Ok(Stored::Progress)
    }

    /// The page does not hold what was written: forget what was fetched of it.
    fn rewind<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        journal: &mut Journal,
    ) -> Result<Stored, FlashError> {
        self.committed -= layout.offset_in_page(self.committed);
        self.programs = 0;
        self.buffered = 0;
        let phase = Phase::Downloading {
            committed: self.committed,
            programs: 0,
        };
        let state = State {
            phase,
            ..*journal.state()
        };
        journal.open(flash, state)?;
        Ok(Stored::Rewound)
    }
}

/// The page of `address`, which is where byte `offset` of the image goes.
fn page_to_erase(address: u32, offset: u32) -> u32 {
    if is_planted(Bug::PageIndexWithoutSlotBase) {
        offset
    } else {
        address
    }
}

/// A page may fail to take the manifest; so often it is tried.
const TRIES: u8 = 3;

/// Puts the manifest of a download in its place, erasing what was there, and checks it: without it a whole image would
/// be refused. Beside it, what a PCP platform calls the package.
pub(crate) fn store_manifest<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    signed: &SignedManifest,
    facts: Option<&PackageFacts>,
) -> Result<(), FlashError> {
    let address = layout.manifest(Location::STAGING.slot, Location::STAGING.placement);
    let bytes = signed.encode();
    for _ in 0..TRIES {
        flash::erase_page(flash, address)?;
        flash::program(flash, address, &bytes)?;
        if let Some(facts) = facts {
            // Should it be lost, the header is fetched again.
            flash::program(flash, address + FACTS_OFFSET, &encode_facts(facts))?;
        }
        if flash::took(flash, address, &bytes, Bug::ManifestNotReadBack) {
            return Ok(());
        }
    }
    Err(FlashError(NorFlashErrorKind::Other))
}

/// What a PCP platform called the package whose manifest is in STAGING; `None` if that is not known.
pub(crate) fn read_facts<F: NorFlash>(flash: &mut F, layout: &Layout) -> Option<PackageFacts> {
    let address = layout.manifest(Location::STAGING.slot, Location::STAGING.placement);
    let mut bytes = [0; FACTS_BYTES];
    flash::read(flash, address + FACTS_OFFSET, &mut bytes)
        .then(|| decode_facts(&bytes))
        .flatten()
}

/// Behind the manifest, which ends in the write unit before.
const FACTS_OFFSET: u32 = 128;
const FACTS_BYTES: usize = 32;

/// Version 16, fragment size 2, count 2, check 2, zeros 6, CRC-32 of them 4; little-endian.
fn encode_facts(facts: &PackageFacts) -> [u8; FACTS_BYTES] {
    let mut bytes = [0; FACTS_BYTES];
    bytes[..16].copy_from_slice(&facts.version.0);
    bytes[16..18].copy_from_slice(&facts.fragment_bytes.to_le_bytes());
    bytes[18..20].copy_from_slice(&facts.count.to_le_bytes());
    bytes[20..22].copy_from_slice(&facts.check.to_le_bytes());
    let check = CRC.checksum(&bytes[..28]).to_le_bytes();
    bytes[28..].copy_from_slice(&check);
    bytes
}

fn decode_facts(bytes: &[u8; FACTS_BYTES]) -> Option<PackageFacts> {
    let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let facts = PackageFacts {
        version: VersionText(*bytes.first_chunk()?),
        fragment_bytes: u16_at(16),
        count: u16_at(18),
        check: u16_at(20),
    };
    (encode_facts(&facts) == *bytes).then_some(facts)
}
