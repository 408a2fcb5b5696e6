//! The two ways in which the model makes numbers out of numbers.

/// Next number of `SplitMix64` (Steele, Lea, Flood 2014); `state` moves on.
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Folds `value` into `hash`: both halves of a full product, so that every bit reaches every other.
pub fn fold(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value ^ 0x9E37_79B9_7F4A_7C15)
        * u128::from(value.rotate_left(32) ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ ((product >> 64) as u64)
}
