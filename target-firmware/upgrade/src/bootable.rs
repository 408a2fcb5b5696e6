//! The rule that tells a program for this chip from anything else that may be signed: what the first two words of an
//! image, the start of an Armv6-M or Armv7-M vector table, have to be. Device and host ask this one function.
//!
//! The rule says nothing about the program. An image that passes can still fault in its first instruction; probation is
//! for that.

/// Bytes at the start of an image that the rule looks at: initial stack pointer and entry point, little-endian words.
pub const VECTOR_BYTES: usize = 8;

/// Where a program may lie and where it may have its stack: byte addresses as the CPU sees them, from the first
/// to one past the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The bytes of the image, where it runs.
    pub image: (u32, u32),
    /// RAM.
    pub ram: (u32, u32),
}

/// Why an image is no program for this chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBootable {
    /// The stack does not begin in RAM.
    StackOutsideRam {
        /// The first word.
        stack: u32,
    },
    /// The stack does not begin at a multiple of 8.
    StackUnaligned {
        /// The first word.
        stack: u32,
    },
    /// The entry point has bit 0 clear: it is not Thumb code, and the chip runs no other.
    EntryNotThumb {
        /// The second word.
        entry: u32,
    },
    /// The entry point lies outside the image.
    EntryOutsideImage {
        /// The second word.
        entry: u32,
    },
}

/// Judges the first bytes of an image.
///
/// # Errors
/// With the first part of the rule that does not hold. Stacks grow downwards, so one may begin right behind RAM.
pub const fn check(vectors: &[u8; VECTOR_BYTES], bounds: &Bounds) -> Result<(), NotBootable> {
    let [s0, s1, s2, s3, e0, e1, e2, e3] = *vectors;
    let stack = u32::from_le_bytes([s0, s1, s2, s3]);
    let entry = u32::from_le_bytes([e0, e1, e2, e3]);
    if stack <= bounds.ram.0 || stack > bounds.ram.1 {
        return Err(NotBootable::StackOutsideRam { stack });
    }
    if !stack.is_multiple_of(8) {
        return Err(NotBootable::StackUnaligned { stack });
    }
    if entry.is_multiple_of(2) {
        return Err(NotBootable::EntryNotThumb { entry });
    }
    if entry <= bounds.image.0 || entry > bounds.image.1 {
        return Err(NotBootable::EntryOutsideImage { entry });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        image: (0x9C00, 0xA000),
        ram: (0x2000_0000, 0x2000_4000),
    };

    fn judged(stack: u32, entry: u32) -> Result<(), NotBootable> {
        let mut vectors = [0; VECTOR_BYTES];
        vectors[..4].copy_from_slice(&stack.to_le_bytes());
        vectors[4..].copy_from_slice(&entry.to_le_bytes());
        check(&vectors, &BOUNDS)
    }

    #[test]
    fn a_program_has_its_stack_in_ram_and_its_thumb_entry_in_the_image() {
        for (stack, entry) in [
            (0x2000_4000, 0x9C01),
            (0x2000_0008, 0x9FFF),
            (0x2000_2000, 0x9CC1),
        ] {
            assert_eq!(judged(stack, entry), Ok(()), "{stack:#x} {entry:#x}");
        }
    }

    #[test]
    fn anything_else_is_refused_for_what_is_wrong_with_it() {
        use NotBootable::*;
        for stack in [0, 0x1FFF_FFF8, 0x2000_0000, 0x2000_4008, u32::MAX] {
            assert_eq!(judged(stack, 0x9CC1), Err(StackOutsideRam { stack }));
        }
        let stack = 0x2000_3FFC;
        assert_eq!(judged(stack, 0x9CC1), Err(StackUnaligned { stack }));
        for entry in [0, 0x9CC0, 0xFFFF_FFFE] {
            assert_eq!(judged(0x2000_4000, entry), Err(EntryNotThumb { entry }));
        }
        for entry in [1, 0x9BFF, 0xA001, 0x0800_0101, u32::MAX] {
            assert_eq!(judged(0x2000_4000, entry), Err(EntryOutsideImage { entry }));
        }
    }
}
