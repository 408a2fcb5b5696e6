//! The suite `m-sequence` on the host: its parameters, files encrypted with it as a published upgrade system did with the HEX
//! text that was uploaded, and the attack that recovers register and firmware from such a file alone. The cipher itself is
//! the core's ([`powercut_upgrade::m_sequence`]).
pub mod attack;
mod parameters;

use powercut_upgrade::m_sequence::Configuration;

pub use parameters::{Parameters, ParametersError};

/// Adds the keystream to a whole file, HEX text or binary, in fragments of so many bytes: encrypts, and decrypts.
///
/// # Panics
/// When `fragment_bytes` is 0.
pub fn apply(configuration: &Configuration, fragment_bytes: u16, file: &mut [u8]) {
    let mut offset = 0;
    for fragment in file.chunks_mut(usize::from(fragment_bytes)) {
        configuration.apply(offset, fragment);
        offset = offset.wrapping_add(u32::from(fragment_bytes));
    }
}
