//! The suite `m-sequence` on the host: its parameters, and files encrypted with it as a published upgrade system did with
//! the HEX text that was uploaded. The cipher itself is the core's ([`powercut_upgrade::m_sequence`]).
mod parameters;

use std::path::Path;

use powercut_upgrade::m_sequence::{Configuration, Polynomial};

use crate::{FirmwareError, read_text};

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

/// Reads a list of polynomials, one a line: degree, then the exponents without the 0, such as `7 7,6`; `#` begins a remark.
///
/// # Errors
/// When it cannot be read, or a line is no primitive polynomial of that degree.
pub fn primitive_polynomials(path: &Path) -> Result<Vec<Polynomial>, FirmwareError> {
    let content = read_text(path)?;
    let text = String::from_utf8_lossy(&content);
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .map(|(number, line)| {
            listed(line).ok_or_else(|| FirmwareError::Line {
                path: path.to_owned(),
                line: number + 1,
                reason: "no primitive polynomial of degree 7 to 32; write degree and exponents, such as `7 7,6`".to_owned(),
            })
        })
        .collect()
}

fn listed(line: &str) -> Option<Polynomial> {
    let (degree, exponents) = line.trim().split_once(' ')?;
    let exponents: Vec<u8> = exponents
        .split(',')
        .map(|exponent| exponent.trim().parse().ok())
        .collect::<Option<_>>()?;
    Polynomial::from_exponents(&exponents)
        .filter(|polynomial| degree.parse() == Ok(polynomial.stages()) && polynomial.is_primitive())
}
