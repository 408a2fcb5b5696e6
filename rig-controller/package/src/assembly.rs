//! Puts the pieces of a firmware file together into one image.
use std::ops::Range;

use super::Image;

/// The UICR of nRF chips (nRF51 Series Reference Manual v3.0, chapter 8): settings of the chip, which toolchains put into
/// files beside the program.
const UICR: Range<u64> = 0x1000_1000..0x1000_2000;

/// A piece does not fit; the text says why and what to check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced(pub(super) String);

/// Flash being filled from the pieces of a file.
#[derive(Debug)]
pub(super) struct Assembly {
    flash: Range<u32>,
    bytes: Vec<u8>,
    filled: Vec<bool>,
}

impl Assembly {
    /// Empty flash.
    pub(super) fn new(flash: Range<u32>) -> Self {
        let size = flash.len();
        Self {
            flash,
            bytes: vec![0xFF; size],
            filled: vec![false; size],
        }
    }

    /// Put `data` at `address`.
    pub(super) fn put(&mut self, address: u64, data: &[u8]) -> Result<(), Misplaced> {
        let start = address.checked_sub(u64::from(self.flash.start));
        let range = start
            .and_then(|start| usize::try_from(start).ok())
            .and_then(|start| Some(start..start.checked_add(data.len())?))
            .filter(|range| range.end <= self.bytes.len());
        let Some(range) = range else {
            if UICR.contains(&address) {
                return Err(Misplaced(format!(
                    "{} bytes at {address:#x} lie in the UICR, the settings of an nRF chip, which no upgrade writes; take them out of the file (with `objcopy --remove-section .uicr` from an ELF) and write them at the factory, with a probe",
                    data.len()
                )));
            }
            return Err(Misplaced(format!(
                "{} bytes at {address:#x} lie outside the flash for them ({:#x} to {:#x}); check the linker script and that the file is for this board",
                data.len(),
                self.flash.start,
                self.flash.end
            )));
        };
        if let Some(again) = self.filled[range.clone()].iter().position(|filled| *filled) {
            return Err(Misplaced(format!(
                "address {:#x} is given twice; the file is put together from pieces that overlap",
                address + again as u64
            )));
        }
        self.filled[range.clone()].fill(true);
        self.bytes[range].copy_from_slice(data);
        Ok(())
    }

    /// From the first to the last byte given; `None` if none was.
    pub(super) fn finish(self) -> Option<Image> {
        let first = self.filled.iter().position(|filled| *filled)?;
        let last = self.filled.iter().rposition(|filled| *filled)?;
        Some(Image {
            base: self.flash.start + first as u32,
            bytes: self.bytes[first..=last].to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_erased_flash_and_the_ends_are_trimmed() {
        let mut assembly = Assembly::new(0x100..0x200);
        assembly.put(0x112, &[2]).unwrap();
        assembly.put(0x110, &[1]).unwrap();
        let image = assembly.finish().unwrap();
        assert_eq!((image.base, image.bytes), (0x110, vec![1, 0xFF, 2]));
        assert_eq!(Assembly::new(0..4).finish(), None);
    }

    #[test]
    fn the_last_byte_of_flash_can_be_used_and_the_next_cannot() {
        let mut assembly = Assembly::new(0x100..0x200);
        assembly.put(0x1FF, &[1]).unwrap();
        for (address, len) in [(0x1FF, 2), (0x200, 1), (0xFF, 1), (u64::MAX, 1)] {
            let Misplaced(reason) = assembly.put(address, &vec![0; len]).unwrap_err();
            assert!(
                reason.contains("outside the flash for them (0x100 to 0x200)"),
                "{reason}"
            );
        }
    }

    #[test]
    fn settings_of_the_chip_are_named() {
        for (address, named) in [
            (0x1000_0FFC, false),
            (0x1000_1000, true),
            (0x1000_1014, true),
            (0x1000_2000, false),
        ] {
            let Misplaced(reason) = Assembly::new(0..0x100).put(address, &[0; 4]).unwrap_err();
            assert_eq!(reason.contains("lie in the UICR"), named, "{reason}");
        }
    }

    #[test]
    fn a_byte_given_twice_is_named() {
        let mut assembly = Assembly::new(0..0x100);
        assembly.put(0x10, &[1, 2]).unwrap();
        let Misplaced(reason) = assembly.put(0xF, &[0, 0]).unwrap_err();
        assert!(
            reason.starts_with("address 0x10 is given twice"),
            "{reason}"
        );
    }
}
