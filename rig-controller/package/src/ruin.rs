//! Authentic images that cannot run, made from one that can: whatever is wrong with an image between the bootloader's
//! decision to try it and its confirmation, the device has to come back with the old one. Each way to go wrong is one image.
use super::Image;

/// What keeps an image from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ruin {
    /// It is linked for another chip: stack and entry point lie elsewhere (an STM32 with 20 KB of RAM).
    OtherChip,
    /// It is 64 bytes of zeros.
    Zeros,
    /// Its first instruction is undefined.
    Faults,
    /// Its stack has no room for the frame of an exception, and its first instruction is undefined: the fault faults, and the
    /// core locks up. Nothing but the watchdog ends that.
    LocksUp,
}

/// `udf #0`, which Armv6-M defines to be undefined for good.
const UNDEFINED: u16 = 0xDE00;
const WORD_BYTES: usize = 4;
const LENGTH_OF_ZEROS: usize = 64;

impl Ruin {
    /// The image in `sound`, ruined.
    pub(super) fn of(self, sound: &Image) -> Image {
        let mut ruined = sound.clone();
        match self {
            Self::OtherChip => put(&mut ruined.bytes, [0x2000_5000, 0x0800_01C1]),
            Self::Zeros => ruined.bytes = vec![0; LENGTH_OF_ZEROS],
            Self::Faults => undefine_entry(&mut ruined),
            Self::LocksUp => {
                undefine_entry(&mut ruined);
                let entry = word(&ruined.bytes, WORD_BYTES);
                put(&mut ruined.bytes, [0x2000_0008, entry]);
            }
        }
        ruined
    }
}

fn undefine_entry(image: &mut Image) {
    let entry = (word(&image.bytes, WORD_BYTES) & !1).wrapping_sub(image.base) as usize;
    // An image without such an entry point is ruined already.
    if let Some(code) = image.bytes.get_mut(entry..entry + size_of::<u16>()) {
        code.copy_from_slice(&UNDEFINED.to_le_bytes());
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..at + WORD_BYTES).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn put(bytes: &mut [u8], vectors: [u32; 2]) {
    for (to, word) in bytes.chunks_exact_mut(WORD_BYTES).zip(vectors) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::put_vectors;
    use powercut_upgrade::bootable;
    use powercut_upgrade::slots::Layout;

    fn is_bootable(image: &Image) -> bool {
        let bounds = Layout::MICROBIT.program_bounds(image.bytes.len() as u32);
        bootable::check(image.bytes.first_chunk().unwrap(), &bounds).is_ok()
    }

    #[test]
    fn two_kinds_are_no_programs_and_two_die_in_their_first_instruction() {
        let mut bytes = vec![7; 256];
        put_vectors(&mut bytes, &Layout::MICROBIT, 0);
        let base = Layout::MICROBIT.active.start;
        let sound = Image { base, bytes };
        for (ruin, bootable) in [
            (Ruin::OtherChip, false),
            (Ruin::Zeros, false),
            (Ruin::Faults, true),
            (Ruin::LocksUp, true),
        ] {
            let ruined = ruin.of(&sound);
            assert_eq!(is_bootable(&ruined), bootable, "{ruin:?}");
            // The entry point of these vectors is byte 8.
            assert_eq!(bootable, ruined.bytes[8..10] == [0x00, 0xDE], "{ruin:?}");
        }
        let stack = word(&Ruin::LocksUp.of(&sound).bytes, 0);
        assert_eq!(stack, 0x2000_0008);
    }
}
