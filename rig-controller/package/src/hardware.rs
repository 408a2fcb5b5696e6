//! What this rig knows of hardware by its number: whether a board would start an image. Images for hardware that this rig
//! does not know are not judged.
use std::ops::Range;

use powercut_upgrade::bootable::{self, Bounds, NotBootable, VECTOR_BYTES};
use powercut_upgrade::slots::Layout;

/// The hardware number of the micro:bit, with nRF51822.
pub const MICROBIT: u16 = 0x51;
/// Addresses that an image for the micro:bit may have: ACTIVE without its manifest page.
pub fn active_range() -> Range<u32> {
    let layout = Layout::MICROBIT;
    layout.active.start..layout.active.start + layout.image_capacity_bytes()
}

/// Judges by the bootloader's own rule whether a board of this hardware would start `image`, which runs at `base`; `Err`
/// says why not, and what to do.
///
pub(super) fn would_start(hardware: u16, base: u32, image: &[u8]) -> Result<(), String> {
    let ram = match hardware {
        MICROBIT => Layout::MICROBIT.addresses.ram,
        _ => return Ok(()),
    };
    let Some(vectors) = image.first_chunk::<VECTOR_BYTES>() else {
        return Err(format!(
            "it has {} bytes, and the vector table alone begins with {VECTOR_BYTES}; is this the right file?",
            image.len()
        ));
    };
    let end = base.saturating_add(u32::try_from(image.len()).unwrap_or(u32::MAX));
    let bounds = Bounds {
        image: (base, end),
        ram,
    };
    bootable::check(vectors, &bounds).map_err(|fault| {
        if *vectors == [0xFF; VECTOR_BYTES] {
            return format!(
                "it is blank where its vector table should be; link the program with the vector table first, at {base:#x}"
            );
        }
        let relink = format!("link the program for this board, its vector table first, at {base:#x}");
        match fault {
            NotBootable::StackOutsideRam { stack } => format!(
                "its first word, the initial stack pointer, is {stack:#010x}, outside the RAM ({:#x} to {:#x}); {relink}",
                ram.0, ram.1
            ),
            NotBootable::StackUnaligned { stack } => format!(
                "its first word, the initial stack pointer, is {stack:#010x}, no multiple of 8; {relink}"
            ),
            NotBootable::EntryNotThumb { entry } => format!(
                "its second word, the entry point, is {entry:#010x}, an even number, where Thumb code has an odd one; {relink}"
            ),
            NotBootable::EntryOutsideImage { entry } => format!(
                "its second word, the entry point, is {entry:#010x}, outside the image ({base:#x} to {end:#x}); {relink}"
            ),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(hardware: u16, stack: u32, entry: u32, bytes: usize) -> Result<(), String> {
        let mut image = [stack.to_le_bytes(), entry.to_le_bytes()].concat();
        image.resize(bytes, 0);
        would_start(hardware, 0x9C00, &image)
    }

    #[test]
    fn the_entry_has_to_lie_in_the_image_itself() {
        assert_eq!(judged(MICROBIT, 0x2000_4000, 0x9CC1, 256), Ok(()));
        assert_eq!(judged(MICROBIT, 0x2000_4000, 0x9CFF, 256), Ok(()));
        let behind = judged(MICROBIT, 0x2000_4000, 0x9D01, 256).unwrap_err();
        assert!(
            behind.contains("is 0x00009d01, outside the image (0x9c00 to 0x9d00)"),
            "{behind}"
        );
    }

    #[test]
    fn each_fault_is_told_with_the_word_that_is_wrong() {
        for (stack, entry, said) in [
            (u32::MAX, u32::MAX, "it is blank where its vector table"),
            (
                0x2000_4008,
                0x9CC1,
                "stack pointer, is 0x20004008, outside the RAM",
            ),
            (
                0x2000_3FFC,
                0x9CC1,
                "stack pointer, is 0x20003ffc, no multiple of 8",
            ),
            (
                0x2000_4000,
                0x9CC0,
                "entry point, is 0x00009cc0, an even number",
            ),
            (
                0x2000_4000,
                0x0800_01C1,
                "entry point, is 0x080001c1, outside the image",
            ),
        ] {
            let reason = judged(MICROBIT, stack, entry, 256).unwrap_err();
            assert!(reason.contains(said), "{reason}");
            assert!(reason.contains("at 0x9c00"), "{reason}");
        }
        let short = judged(MICROBIT, 0x2000_4000, 0x9CC1, 7).unwrap_err();
        assert!(short.starts_with("it has 7 bytes"), "{short}");
    }

    #[test]
    fn hardware_that_is_not_known_is_not_judged() {
        assert_eq!(judged(0x52, 0, 0, 8), Ok(()));
    }
}
