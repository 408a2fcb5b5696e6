//! This rig knows some hardware by its number: flash, layout, pins and platform of a set that does not say, and whether a
//! board would start an image. Images for hardware that this rig does not know are not judged.
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;

use nor_flash_model::Geometry;
use powercut_upgrade::bootable::{self, Bounds, NotBootable, VECTOR_BYTES};
use powercut_upgrade::slots::{Layout, Region};

use crate::board_facts::{BoardFacts, Pin};

/// The hardware number of the micro:bit, with nRF51822.
pub const MICROBIT: u16 = 0x51;

/// The micro:bit as the firmware of this repository is built for it.
pub(super) const MICROBIT_FACTS: BoardFacts = BoardFacts {
    geometry: match Geometry::new(4, 1024, 2, 256) {
        Ok(geometry) => geometry,
        Err(_) => panic!("the flash of the nRF51 is one of those that the rig knows"),
    },
    layout: Layout::MICROBIT,
    // P0.13; a bootloader in distress drives others.
    marker_pin: match Pin::new(13) {
        Some(pin) => pin,
        None => panic!("port 0 has a pin 13"),
    },
    platform: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 47110),
};

impl BoardFacts {
    /// Those that a hardware number implies; `None` if this rig does not know it. The one table of them.
    pub const fn of(hardware: u16) -> Option<Self> {
        match hardware {
            MICROBIT => Some(MICROBIT_FACTS),
            _ => None,
        }
    }
}

/// Addresses at which the programs of a device see a region.
pub(super) fn addresses(layout: &Layout, region: Region) -> Range<u32> {
    let start = layout.addresses.flash_base + region.start;
    start..start + u32::from(region.pages) * layout.page_bytes
}

/// Addresses that an image for this layout may have: ACTIVE without its manifest page.
pub(super) fn image_addresses(layout: &Layout) -> Range<u32> {
    let start = layout.addresses.flash_base + layout.active.start;
    start..start + layout.image_capacity_bytes()
}

/// Addresses that an image may have where no firmware set says for which board it is: those of the micro:bit.
pub fn active_range() -> Range<u32> {
    image_addresses(&MICROBIT_FACTS.layout)
}

/// Where the RAM of this hardware starts and ends, if this rig knows it.
pub(super) fn ram(hardware: u16) -> Option<(u32, u32)> {
    BoardFacts::of(hardware).map(|facts| facts.layout.addresses.ram)
}

/// Judges by the bootloader's own rule whether a board with this RAM would start `image`, which runs at `base`; `Err` says
/// why not, and what to do. Where the RAM is not known, nothing is judged.
pub(super) fn would_start(ram: Option<(u32, u32)>, base: u32, image: &[u8]) -> Result<(), String> {
    let Some(ram) = ram else {
        return Ok(());
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
        would_start(ram(hardware), 0x9C00, &image)
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
