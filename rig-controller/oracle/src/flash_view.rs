//! A device's flash as the rig reads it: the core's own readers over bytes that are not the device's to explain.
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::image::{self, Location};
use powercut_upgrade::journal::{Journal, State};
use powercut_upgrade::manifest::SignedManifest;
use powercut_upgrade::slots::{Layout, Placement, Slot};

use crate::{FlashOp, FlashOpKind};

/// Flash content that can only be looked at, optionally with one operation applied that has not happened yet.
#[derive(Clone, Copy)]
struct FlashView<'a> {
    bytes: &'a [u8],
    upcoming: Option<FlashOpKind>,
    page_bytes: u32,
}

impl ErrorType for FlashView<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for FlashView<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let start = offset as usize;
        let source = self
            .bytes
            .get(start..start + out.len())
            .ok_or(NorFlashErrorKind::OutOfBounds)?;
        out.copy_from_slice(source);
        let (at, wanted, length) = match self.upcoming {
            None => return Ok(()),
            Some(FlashOpKind::Program {
                address,
                before,
                value,
            }) => (address, (before & value).to_le_bytes(), 4),
            Some(FlashOpKind::Erase { address }) => (address, [0xFF; 4], self.page_bytes as usize),
        };
        let at = at as usize;
        for position in at.max(start)..(at + length).min(start + out.len()) {
            out[position - start] = wanted[(position - at) % 4];
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for FlashView<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 1024;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NorFlashErrorKind> {
        Err(NorFlashErrorKind::Other)
    }
}

impl MultiwriteNorFlash for FlashView<'_> {}

fn view(bytes: &[u8], upcoming: Option<FlashOpKind>) -> TwiceProgrammable<FlashView<'_>> {
    TwiceProgrammable(FlashView {
        bytes,
        upcoming,
        page_bytes: 1024,
    })
}

/// What the journal in this flash says; `None` if nothing in it is sealed.
pub fn journal_state(flash: &[u8], layout: &Layout) -> Option<State> {
    let journal = Journal::recover(&mut view(flash, None), layout);
    (!journal.is_empty()).then(|| *journal.state())
}

/// What the journal will say once `op` has taken full effect.
pub fn journal_state_after(flash: &[u8], layout: &Layout, op: &FlashOp) -> Option<State> {
    let journal = Journal::recover(&mut view(flash, Some(op.kind)), layout);
    (!journal.is_empty()).then(|| *journal.state())
}

/// Records a journal page takes.
pub fn journal_page_capacity(layout: &Layout) -> u64 {
    u64::from(Journal::capacity::<TwiceProgrammable<FlashView<'_>>>(
        layout,
    ))
}

/// The manifest at `location`, if there is one.
pub fn manifest(flash: &[u8], layout: &Layout, location: Location) -> Option<SignedManifest> {
    image::read_manifest(&mut view(flash, None), layout, location)
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
