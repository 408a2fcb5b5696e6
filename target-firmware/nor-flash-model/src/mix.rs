//! The two ways in which the model makes numbers out of numbers.

/// What the state of `SplitMix64` moves on by.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Next number of `SplitMix64` (Steele, Lea, Flood 2014); `state` moves on.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(GAMMA);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The number with this index, from 0, of those that start with `seed` as the state.
pub(crate) fn split_mix_at(seed: u64, index: usize) -> u64 {
    split_mix(&mut seed.wrapping_add(GAMMA.wrapping_mul(index as u64)))
}

/// Folds `value` into `hash`: both halves of a full product, so that every bit reaches every other.
pub fn fold(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value ^ 0x9E37_79B9_7F4A_7C15)
        * u128::from(value.rotate_left(32) ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_picked_by_its_index_is_the_one_that_comes_there() {
        let mut state = 0x5EED;
        for index in 0..3 {
            assert_eq!(split_mix_at(0x5EED, index), split_mix(&mut state));
        }
    }
}
