//! What a cut leaves of the flash operation it hits: a pure function of the operation, the shape and the
//! content before, so that the same case leaves the same flash every time. Bits only ever move in the
//! direction the operation moves them: a torn program clears some of the bits it was to clear, a torn erase
//! sets some of the bits it was to set.
use nor_flash_model::split_mix;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::relay::TornShape;
use powercut_oracle::FlashOpKind;

/// Leave in `flash` what `shape` says a cut leaves of `kind`; `page_bytes` is the size of an erase page.
/// An operation outside `flash` leaves nothing.
pub fn tear(flash: &mut [u8], kind: &FlashOpKind, shape: TornShape, page_bytes: usize) {
    match *kind {
        FlashOpKind::Program {
            address,
            before,
            value,
        } => {
            let start = address as usize;
            let Some(unit) = flash.get_mut(start..start + 4) else {
                return;
            };
            let to_clear = (before & !value).to_le_bytes();
            let before = before.to_le_bytes();
            let done = done_bits(shape, address, 4);
            for (at, byte) in unit.iter_mut().enumerate() {
                *byte = before[at] & !(to_clear[at] & done[at]);
            }
        }
        FlashOpKind::Erase { address } => {
            let start = address as usize;
            let Some(page) = flash.get_mut(start..start + page_bytes) else {
                return;
            };
            for (byte, done) in page.iter_mut().zip(done_bits(shape, address, page_bytes)) {
                *byte |= done;
            }
        }
    }
}

/// Which bits of the unit or page of `length` bytes at `address` were reached, if they had to change at all.
fn done_bits(shape: TornShape, address: u32, length: usize) -> Vec<u8> {
    let bytes = |is_done: &dyn Fn(usize) -> bool| {
        (0..length)
            .map(|at| if is_done(at) { 0xFF } else { 0 })
            .collect()
    };
    match shape {
        TornShape::Half => bytes(&|at| at < length / 2),
        TornShape::OtherHalf => bytes(&|at| at >= length / 2),
        TornShape::Prefix(count) => bytes(&|at| at < usize::from(count)),
        TornShape::AllBut(left_out) => bytes(&|at| at != usize::from(left_out)),
        TornShape::Bits(seed) => {
            let mut random = vec![0; length];
            generator(seed, address).fill_bytes(&mut random);
            random
        }
        TornShape::ByteBits(seed) => {
            let mut state = seed;
            (0..length)
                .map(|_| split_mix(&mut state).to_le_bytes()[0])
                .collect()
        }
    }
}

/// The address takes part so that one seed does not tear every unit of a case along the same bits.
fn generator(seed: u32, address: u32) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(u64::from(address) << 32 | u64::from(seed))
}

#[cfg(test)]
mod tests {
    use embedded_storage::nor_flash::NorFlash;
    use nor_flash_model::{Cut, CutEffect, NorFlashModel};
    use proptest::prelude::*;

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

    fn any_shape() -> impl Strategy<Value = (TornShape, CutEffect)> {
        prop_oneof![
            Just((TornShape::Half, CutEffect::TornFirstHalf)),
            Just((TornShape::OtherHalf, CutEffect::TornSecondHalf)),
            (0..1100_u16).prop_map(|n| (TornShape::Prefix(n), CutEffect::TornPrefix(n))),
            (0..1100_u16).prop_map(|n| (TornShape::AllBut(n), CutEffect::TornAllBut(n))),
            (0..6_u16).prop_map(|n| (TornShape::Prefix(n), CutEffect::TornPrefix(n))),
            (0..6_u16).prop_map(|n| (TornShape::AllBut(n), CutEffect::TornAllBut(n))),
            any::<u64>().prop_map(|n| (TornShape::ByteBits(n), CutEffect::TornBits(n))),
        ]
    }

    /// A page of the model in which `content` was programmed, and its bytes.
    fn page_with(content: &[u8]) -> (NorFlashModel<4, PAGE, 2>, Vec<u8>) {
        let mut model = NorFlashModel::new(1);
        model.write(0, content).unwrap();
        let bytes = model.bytes();
        (model, bytes)
    }

    proptest! {
        #[test]
        fn the_flash_model_and_the_board_tear_a_program_alike(
            (shape, effect) in any_shape(), before: u32, value: u32, unit in 0..256_u32,
        ) {
            let mut content = vec![0xFF; PAGE];
            let at = unit as usize * 4;
            content[at..at + 4].copy_from_slice(&before.to_le_bytes());
            let (mut model, mut board) = page_with(&content);
            model.cut_at(Cut { operation: model.operations() + 1, effect });
            let _ = model.write(unit * 4, &value.to_le_bytes());
            tear(&mut board, &FlashOpKind::Program { address: unit * 4, before, value }, shape, PAGE);
            prop_assert_eq!(model.bytes(), board);
        }

        #[test]
        fn the_flash_model_and_the_board_tear_an_erase_alike(
            (shape, effect) in any_shape(), content in prop::collection::vec(any::<u8>(), PAGE),
        ) {
            let (mut model, mut board) = page_with(&content);
            model.cut_at(Cut { operation: model.operations() + 1, effect });
            let _ = model.erase(0, PAGE as u32);
            tear(&mut board, &FlashOpKind::Erase { address: 0 }, shape, PAGE);
            prop_assert_eq!(model.bytes(), board);
        }
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
