//! The whole flash of a board fresh from the factory, written as a device writes flash: units by the rules of the part.
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use nor_flash_model::{Geometry, ModelError, NorFlashModel, OnGeometry, on_geometry};
use powercut_upgrade::flash::UpgradeFlash;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::manifest::{ImageId, SecurityCounter};
use powercut_upgrade::slots::Layout;

use crate::FirmwareError;

/// Flash that holds `parts`, each from its address on, and a journal that says that the image runs confirmed.
pub(super) fn provisioned(
    geometry: Geometry,
    layout: &Layout,
    parts: &[(u32, &[u8])],
    image: ImageId,
    security_counter: SecurityCounter,
) -> Result<Vec<u8>, FirmwareError> {
    on_geometry(
        geometry,
        Provisioning {
            pages: geometry.pages() as usize,
            layout,
            parts,
            image,
            security_counter,
        },
    )
}

struct Provisioning<'a> {
    pages: usize,
    layout: &'a Layout,
    parts: &'a [(u32, &'a [u8])],
    image: ImageId,
    security_counter: SecurityCounter,
}

impl OnGeometry for Provisioning<'_> {
    type Output = Result<Vec<u8>, FirmwareError>;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let mut flash = Part(NorFlashModel::<UNIT, PAGE, PROGRAMS>::new(self.pages));
        for (address, bytes) in self.parts {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(UNIT), 0xFF);
            flash
                .write(*address, &padded)
                .map_err(|error| FirmwareError::DoesNotFit {
                    reason: format!("{} bytes at {address:#x}: {error}", bytes.len()),
                })?;
        }
        Journal::provision(&mut flash, self.layout, self.image, self.security_counter).map_err(
            |error| FirmwareError::DoesNotFit {
                reason: format!("the journal: {}", error.0),
            },
        )?;
        Ok(flash.0.bytes())
    }
}

/// The model as the core's driver.
struct Part<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    NorFlashModel<UNIT, PAGE, PROGRAMS>,
);

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ErrorType
    for Part<UNIT, PAGE, PROGRAMS>
{
    type Error = ModelError;
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ReadNorFlash
    for Part<UNIT, PAGE, PROGRAMS>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        self.0.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> NorFlash
    for Part<UNIT, PAGE, PROGRAMS>
{
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        self.0.write(offset, bytes)
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> UpgradeFlash
    for Part<UNIT, PAGE, PROGRAMS>
{
    const PROGRAMS_PER_UNIT: u8 = PROGRAMS;
}

#[cfg(test)]
mod tests {
    use powercut_upgrade::flash::{TwiceProgrammable, WriteOnce};
    use powercut_upgrade::journal::State;

    use super::*;
    use crate::BoardFacts;
    use crate::hardware::MICROBIT;

    const IMAGE: ImageId = ImageId([5; 16]);
    const COUNTER: SecurityCounter = SecurityCounter(7);

    fn made(geometry: Geometry, layout: &Layout) -> Vec<u8> {
        let at = layout.active.start;
        provisioned(geometry, layout, &[(at, &[1, 2, 3])], IMAGE, COUNTER).unwrap()
    }

    #[test]
    fn a_part_of_either_kind_leaves_with_its_content_and_a_journal_that_it_reads_itself() {
        let BoardFacts {
            geometry, layout, ..
        } = BoardFacts::of(MICROBIT).unwrap();
        let confirmed = State::confirmed(IMAGE, COUNTER);
        let bytes = made(geometry, &layout);
        let at = layout.active.start as usize;
        assert_eq!(bytes[at..at + 4], [1, 2, 3, 0xFF]);
        let mut flash = TwiceProgrammable(NorFlashModel::<4, 1024, 2>::new(256));
        flash.write(0, &bytes).unwrap();
        assert_eq!(*Journal::recover(&mut flash, &layout).state(), confirmed);

        let geometry = Geometry::new(8, 2048, 1, 128).unwrap();
        let mut layout = layout;
        layout.page_bytes = 2048;
        layout.identification.start = 0x8800;
        layout.identification.pages = 4;
        layout.active.start = 0xA800;
        let bytes = made(geometry, &layout);
        assert_eq!(bytes.len(), 256 << 10);
        assert_eq!(bytes[0xA800..0xA804], [1, 2, 3, 0xFF]);
        let mut flash = WriteOnce(NorFlashModel::<8, 2048, 1>::new(128));
        flash.write(0, &bytes).unwrap();
        assert_eq!(*Journal::recover(&mut flash, &layout).state(), confirmed);
    }
}
