//! The rule for images that a Cortex-M bootloader may jump to, as far as their first two words tell: the initial stack
//! pointer and the entry point. The bootloader asks before it jumps, the host before it signs.
//!
//! An image that breaks the rule would fault at the jump, so it is never worth an attempt; one that obeys it may still
//! be no program.

/// Bytes at the start of an image that the rule looks at.
pub const VECTOR_BYTES: usize = 8;

/// Where a chip's program memory and RAM lie, as far as a vector table can be judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Addresses the entry point may have: the start, and the end, which is not part of it.
    pub image: (u32, u32),
    /// Addresses of RAM: the start, and the end, which is not part of it.
    pub ram: (u32, u32),
}

/// Why an image cannot be jumped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBootable {
    /// The initial stack pointer does not point into RAM, nor at its end.
    StackOutsideRam {
        /// The stack pointer.
        stack: u32,
    },
    /// The initial stack pointer is no multiple of 8, which the procedure call standard asks for.
    StackUnaligned {
        /// The stack pointer.
        stack: u32,
    },
    /// Bit 0 of the entry point is clear: a Cortex-M has no other state than Thumb.
    EntryNotThumb {
        /// The entry point.
        entry: u32,
    },
    /// The entry point lies outside the image.
    EntryOutsideImage {
        /// The entry point.
        entry: u32,
    },
}

/// Judges the first bytes of an image by the rule.
///
/// # Errors
/// When the image cannot be jumped to.
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
    if entry - 1 < bounds.image.0 || entry > bounds.image.1 {
        return Err(NotBootable::EntryOutsideImage { entry });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        image: (0x9C00, 0x9D00),
        ram: (0x2000_0000, 0x2000_4000),
    };

    fn judge(stack: u32, entry: u32) -> Result<(), NotBootable> {
        let mut vectors = [0; VECTOR_BYTES];
        vectors[..4].copy_from_slice(&stack.to_le_bytes());
        vectors[4..].copy_from_slice(&entry.to_le_bytes());
        check(&vectors, &BOUNDS)
    }

    #[test]
    fn the_ends_of_ram_and_image_are_inside_and_what_is_beyond_is_not() {
        for (stack, entry) in [
            (0x2000_4000, 0x9CC1),
            (0x2000_0008, 0x9C01),
            (0x2000_4000, 0x9CFF),
        ] {
            assert_eq!(judge(stack, entry), Ok(()), "{stack:#x} {entry:#x}");
        }
        for stack in [0, 0x2000_0000, 0x2000_4008, u32::MAX] {
            assert_eq!(
                judge(stack, 0x9CC1),
                Err(NotBootable::StackOutsideRam { stack })
            );
        }
        for entry in [1, 0x9BFF, 0x9D01, 0x0800_01C1, u32::MAX] {
            assert_eq!(
                judge(0x2000_4000, entry),
                Err(NotBootable::EntryOutsideImage { entry })
            );
        }
    }

    #[test]
    fn a_stack_that_is_not_aligned_and_an_entry_that_is_not_thumb_are_refused() {
        let stack = 0x2000_3FFC;
        assert_eq!(
            judge(stack, 0x9CC1),
            Err(NotBootable::StackUnaligned { stack })
        );
        for entry in [0, 0x9CC0, 0xFFFF_FFFE] {
            assert_eq!(
                judge(0x2000_4000, entry),
                Err(NotBootable::EntryNotThumb { entry })
            );
        }
    }
}
