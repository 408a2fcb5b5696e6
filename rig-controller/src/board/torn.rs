//! What a cut leaves of the flash operation it hits: a pure function of the operation, the shape and the
//! content before, so that the same case leaves the same flash every time. Bits only ever move in the
//! direction the operation moves them: a torn program clears some of the bits it was to clear, a torn erase
//! sets some of the bits it was to set.
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::FlashOpKind;
use crate::power::TornShape;

/// Leave in `flash` what `shape` says a cut leaves of `kind`; `page_bytes` is the size of an erase page.
/// An operation outside `flash` leaves nothing.
pub fn tear(flash: &mut [u8], kind: &FlashOpKind, shape: TornShape, page_bytes: usize) {
    match *kind {
        FlashOpKind::Program {
            address,
            before,
            value,
        } => {
            let Some(unit) = flash
                .get_mut(address as usize..)
                .and_then(|rest| rest.first_chunk_mut::<4>())
            else {
                return;
            };
            let to_clear = before & !value;
            let cleared = to_clear
                & match shape {
                    TornShape::Half => 0x0000_FFFF,
                    TornShape::OtherHalf => 0xFFFF_0000,
                    TornShape::Bits(seed) => generator(seed, address).next_u32(),
                };
            *unit = (before & !cleared).to_le_bytes();
        }
        FlashOpKind::Erase { address } => {
            let start = address as usize;
            let Some(page) = flash.get_mut(start..start + page_bytes) else {
                return;
            };
            let (first, second) = page.split_at_mut(page_bytes / 2);
            match shape {
                TornShape::Half => first.fill(0xFF),
                TornShape::OtherHalf => second.fill(0xFF),
                TornShape::Bits(seed) => {
                    let mut random = vec![0; page_bytes];
                    generator(seed, address).fill_bytes(&mut random);
                    for (byte, random) in page.iter_mut().zip(random) {
                        *byte |= random;
                    }
                }
            }
        }
    }
}

/// The address takes part so that one seed does not tear every unit of a case along the same bits.
fn generator(seed: u32, address: u32) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(u64::from(address) << 32 | u64::from(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 1024;

    fn torn_program(before: u32, value: u32, shape: TornShape) -> u32 {
        let mut flash = vec![0xFF; 2 * PAGE];
        flash[8..12].copy_from_slice(&before.to_le_bytes());
        let kind = FlashOpKind::Program {
            address: 8,
            before,
            value,
        };
        tear(&mut flash, &kind, shape, PAGE);
        assert!(flash[..8].iter().chain(&flash[12..]).all(|&b| b == 0xFF));
        u32::from_le_bytes(flash[8..12].try_into().unwrap())
    }

    fn torn_erase(shape: TornShape) -> Vec<u8> {
        let mut flash = vec![0x0F; 3 * PAGE];
        tear(
            &mut flash,
            &FlashOpKind::Erase { address: 1024 },
            shape,
            PAGE,
        );
        assert!(flash[..PAGE].iter().all(|&b| b == 0x0F));
        assert!(flash[2 * PAGE..].iter().all(|&b| b == 0x0F));
        flash[PAGE..2 * PAGE].to_vec()
    }

    #[test]
    fn half_of_a_program_clears_only_the_lower_bits_and_the_other_half_only_the_upper() {
        assert_eq!(torn_program(u32::MAX, 0, TornShape::Half), 0xFFFF_0000);
        assert_eq!(torn_program(u32::MAX, 0, TornShape::OtherHalf), 0x0000_FFFF);
    }

    #[test]
    fn a_torn_program_never_sets_a_bit_and_never_clears_one_it_was_not_to_clear() {
        for seed in 0..200 {
            let after = torn_program(0xF0F0_FFFF, 0x1234_5678, TornShape::Bits(seed));
            assert_eq!(after & !0xF0F0_FFFF, 0, "a bit was set");
            assert_eq!(!after & 0xF0F0_FFFF & 0x1234_5678, 0, "a kept bit went");
        }
    }

    #[test]
    fn half_of_an_erase_blanks_the_first_half_of_the_page_and_the_other_half_the_second() {
        let page = torn_erase(TornShape::Half);
        assert!(page[..512].iter().all(|&b| b == 0xFF) && page[512..].iter().all(|&b| b == 0x0F));
        let page = torn_erase(TornShape::OtherHalf);
        assert!(page[..512].iter().all(|&b| b == 0x0F) && page[512..].iter().all(|&b| b == 0xFF));
    }

    #[test]
    fn a_randomly_torn_erase_sets_some_but_not_all_bits_and_clears_none() {
        let page = torn_erase(TornShape::Bits(7));
        assert!(page.iter().all(|&b| b & 0x0F == 0x0F));
        let set: u32 = page.iter().map(|&b| (b >> 4).count_ones()).sum();
        assert!((1_700..2_400).contains(&set), "{set} of 4096 bits set");
    }

    #[test]
    fn the_same_seed_tears_the_same_bits_in_every_version_of_the_rig() {
        // Golden: a change here makes every recorded replay line mean something else.
        let torn = torn_program(u32::MAX, 0, TornShape::Bits(20_261_122));
        assert_eq!(torn, 0x26D1_7BC2);
    }

    #[test]
    fn an_operation_outside_flash_leaves_flash_alone() {
        let mut flash = vec![0; PAGE];
        tear(
            &mut flash,
            &FlashOpKind::Erase { address: 0x8000 },
            TornShape::Half,
            PAGE,
        );
        assert!(flash.iter().all(|&b| b == 0));
    }
}
