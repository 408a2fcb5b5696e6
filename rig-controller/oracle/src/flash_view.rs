//! A device's flash as the rig reads it: the core's own readers over bytes that are not the device's to explain.
use std::cell::RefCell;
use std::ops::Range;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use nor_flash_model::{Geometry, OnGeometry, on_geometry};
use powercut_upgrade::flash::UpgradeFlash;
use powercut_upgrade::image::{self, Location};
use powercut_upgrade::journal::{Journal, State};
use powercut_upgrade::manifest::SignedManifest;
use powercut_upgrade::slots::{Layout, Placement, Slot};

use crate::{FlashOp, FlashOpKind};

thread_local! {
    /// The bytes that were read, while somebody wants to know.
    static READ: RefCell<Option<Vec<Range<u32>>>> = const { RefCell::new(None) };
}

/// Does `what`, and says which bytes of flash were read for it on this thread, by their addresses.
pub fn noting_reads<T>(what: impl FnOnce() -> T) -> (T, Vec<Range<u32>>) {
    let outer = READ.with(|read| read.replace(Some(Vec::new())));
    let done = what();
    let read = READ.with(|read| read.replace(outer));
    (done, read.unwrap_or_default())
}

fn note(start: usize, length: usize) {
    READ.with(|read| {
        if let Some(read) = &mut *read.borrow_mut() {
            read.push(start as u32..(start + length) as u32);
        }
    });
}

/// Flash content that can only be looked at, optionally with one operation applied that has not happened yet. The core reads
/// it as flash with units of `UNIT` bytes, `PROGRAMS` programs of each, and pages of `PAGE` bytes.
#[derive(Clone, Copy)]
struct FlashView<'a, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    bytes: &'a [u8],
    upcoming: Option<FlashOpKind>,
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ErrorType
    for FlashView<'_, UNIT, PAGE, PROGRAMS>
{
    type Error = NorFlashErrorKind;
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ReadNorFlash
    for FlashView<'_, UNIT, PAGE, PROGRAMS>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let start = offset as usize;
        note(start, out.len());
        let source = self
            .bytes
            .get(start..start + out.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        out.copy_from_slice(source);
        let (at, wanted) = match &self.upcoming {
            None => return Ok(()),
            Some(FlashOpKind::Program {
                address,
                before,
                value,
            }) => (*address as usize, Some(*before & *value)),
            Some(FlashOpKind::Erase { address }) => (*address as usize, None),
        };
        let length = wanted.map_or(PAGE, |unit| unit.bytes().len());
        for position in at.max(start)..(at + length).min(start + out.len()) {
            out[position - start] = wanted.map_or(0xFF, |unit| unit.bytes()[position - at]);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> NorFlash
    for FlashView<'_, UNIT, PAGE, PROGRAMS>
{
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> UpgradeFlash
    for FlashView<'_, UNIT, PAGE, PROGRAMS>
{
    const PROGRAMS_PER_UNIT: u8 = PROGRAMS;
}

/// The core reads flash to answer it.
trait Question {
    type Answer;

    fn ask<F: UpgradeFlash>(self, flash: &mut F) -> Self::Answer;
}

/// A question about flash of some geometry.
struct Asked<'a, Q> {
    bytes: &'a [u8],
    upcoming: Option<FlashOpKind>,
    question: Q,
}

impl<Q: Question> OnGeometry for Asked<'_, Q> {
    type Output = Q::Answer;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Q::Answer {
        self.question.ask(&mut FlashView::<UNIT, PAGE, PROGRAMS> {
            bytes: self.bytes,
            upcoming: self.upcoming,
        })
    }
}

struct JournalState<'a>(&'a Layout);

impl Question for JournalState<'_> {
    type Answer = Option<State>;

    fn ask<F: UpgradeFlash>(self, flash: &mut F) -> Option<State> {
        let journal = Journal::recover(flash, self.0);
        (!journal.is_empty()).then(|| *journal.state())
    }
}

struct ManifestAt<'a>(&'a Layout, Location);

impl Question for ManifestAt<'_> {
    type Answer = Option<SignedManifest>;

    fn ask<F: UpgradeFlash>(self, flash: &mut F) -> Option<SignedManifest> {
        image::read_manifest(flash, self.0, self.1)
    }
}

struct PageCapacity<'a>(&'a Layout);

impl Question for PageCapacity<'_> {
    type Answer = u64;

    fn ask<F: UpgradeFlash>(self, _: &mut F) -> u64 {
        u64::from(Journal::capacity::<F>(self.0))
    }
}

fn ask<Q: Question>(
    bytes: &[u8],
    upcoming: Option<FlashOpKind>,
    geometry: Geometry,
    question: Q,
) -> Q::Answer {
    on_geometry(
        geometry,
        Asked {
            bytes,
            upcoming,
            question,
        },
    )
}

/// What the journal in this flash says; `None` if nothing in it is sealed.
pub fn journal_state(flash: &[u8], geometry: Geometry, layout: &Layout) -> Option<State> {
    ask(flash, None, geometry, JournalState(layout))
}

/// What the journal will say once `op` has taken full effect.
pub fn journal_state_after(
    flash: &[u8],
    geometry: Geometry,
    layout: &Layout,
    op: &FlashOp,
) -> Option<State> {
    ask(flash, Some(op.kind), geometry, JournalState(layout))
}

/// Records a journal page takes.
pub fn journal_page_capacity(geometry: Geometry, layout: &Layout) -> u64 {
    ask(&[], None, geometry, PageCapacity(layout))
}

/// The manifest at `location`, if there is one.
pub fn manifest(
    flash: &[u8],
    geometry: Geometry,
    layout: &Layout,
    location: Location,
) -> Option<SignedManifest> {
    ask(flash, None, geometry, ManifestAt(layout, location))
}

/// First byte of an image that flash does not hold at `location`; `None` if it holds all of `image`.
pub fn first_difference(
    flash: &[u8],
    layout: &Layout,
    slot: Slot,
    placement: Placement,
    image: &[u8],
) -> Option<usize> {
    let page_bytes = layout.page_bytes as usize;
    for (page, expected) in image.chunks(page_bytes).enumerate() {
        let offset = page * page_bytes;
        let at = layout.image_byte(slot, placement, offset as u32) as usize;
        note(at, expected.len());
        let found = flash.get(at..at + expected.len()).unwrap_or_default();
        if found != expected {
            let within = expected
                .iter()
                .zip(found)
                .position(|(expected, found)| expected != found)
                .unwrap_or(found.len());
            return Some(offset + within);
        }
    }
    None
}

#[cfg(test)]
#[path = "flash_view_tests.rs"]
mod tests;
