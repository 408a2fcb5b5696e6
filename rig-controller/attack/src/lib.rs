//! The attack on the suite `m-sequence`: register and plaintext of a file from the file alone. `text` takes encrypted Intel
//! HEX apart, `binary` encrypted images that begin with the vector table of a Cortex-M; what both find is verified by what
//! it makes of the file. Any bytes may be given.
mod berlekamp_massey;
mod binary;
mod text;

use powercut_upgrade::m_sequence::{Configuration, Polynomial, Register, Stream};

use self::berlekamp_massey::{ENOUGH, Found};

/// A cipher that was broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// What the file is.
    pub what: Plaintext,
    /// Polynomial, seed and stream.
    pub configuration: Configuration,
    /// Bytes of a fragment, if the keystream begins anew in the file.
    pub fragment_bytes: Option<usize>,
    /// Keystream bits that determined the register.
    pub bits_needed: usize,
    /// Keystream bits it foretold before anything was decrypted with it.
    pub bits_foretold: usize,
    /// The file, decrypted.
    pub plaintext: Vec<u8>,
}

/// What a decrypted file was recognised by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Plaintext {
    /// Intel HEX text whose records all have the right checksum.
    HexText {
        /// Its records.
        records: usize,
    },
    /// An image that begins with a vector table.
    Binary {
        /// Initial stack pointer.
        stack: u32,
        /// Where it begins to run.
        reset: u32,
        /// How often two of its bytes are alike, in units of how often two random ones are.
        coincidence: f64,
    },
}

/// A file that could not be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttackError {
    /// There is too little of it.
    #[error(
        "the file has {bytes} bytes; it takes {least}: 2n + 16 bits, one a byte, for up to 32 stages, or a vector table; give the whole file"
    )]
    TooShort {
        /// Bytes there are.
        bytes: usize,
        /// Bytes it takes.
        least: usize,
    },
    /// It can be read as it is.
    #[error("the file is not encrypted: it is {0} already")]
    NotEncrypted(&'static str),
    /// A register explains it, but not one of the suite.
    #[error(
        "the keystream is that of a register of {stages} stages, but not an m-sequence: its polynomial is not primitive of degree 7 to 32; the suite does not use such a register"
    )]
    NotAnMSequence {
        /// Stages of the register.
        stages: u32,
    },
    /// Nothing explains it.
    #[error(
        "neither HEX text nor a Cortex-M image under an m-sequence: no register of up to 32 stages explains bit 7 of every byte, or the reserved words of a vector table, and decrypts the rest; check that the file is the upload as it was encrypted, from its first byte on"
    )]
    Neither,
}

/// Recovers register and plaintext of `ciphertext`, which is HEX text or a Cortex-M image in the suite `m-sequence`, whatever
/// polynomial, seed, stream and fragment size.
///
/// # Errors
/// When it is neither, or too short, or not encrypted like that.
pub fn recover(ciphertext: &[u8]) -> Result<Broken, AttackError> {
    if text::is_hex(ciphertext).is_some() {
        return Err(AttackError::NotEncrypted("Intel HEX text"));
    }
    if binary::vectors(ciphertext).is_some() {
        return Err(AttackError::NotEncrypted("a Cortex-M image"));
    }
    // No m-sequence has as many zeros in a row.
    if ciphertext.len() >= ENOUGH && ciphertext.is_ascii() {
        return Err(AttackError::NotEncrypted("7-bit text, if no Intel HEX"));
    }
    if let Some(broken) = text::recover(ciphertext).or_else(|| binary::recover(ciphertext)) {
        return Ok(broken);
    }
    if ciphertext.len() < ENOUGH {
        return Err(AttackError::TooShort {
            bytes: ciphertext.len(),
            least: ENOUGH,
        });
    }
    match text::other_register(ciphertext) {
        Some(stages) => Err(AttackError::NotAnMSequence { stages }),
        None => Err(AttackError::Neither),
    }
}

/// The polynomial of a register that was found, if it is one of the suite.
fn polynomial(found: Found) -> Option<Polynomial> {
    u32::try_from(found.connection >> 1)
        .ok()
        .and_then(Polynomial::new)
        .filter(|polynomial| polynomial.stages() == found.stages && polynomial.is_primitive())
}

/// The register that gives out `bits` next.
fn holding(polynomial: Polynomial, bits: &[u8]) -> Option<Register> {
    let state = bits
        .iter()
        .take(polynomial.stages() as usize)
        .enumerate()
        .fold(0, |state, (at, bit)| state | u32::from(*bit) << at);
    Register::new(polynomial, state)
}

/// The register `bits` keystream bits earlier.
fn before(register: Register, bits: u64) -> Register {
    let period = register.polynomial().longest_period();
    register.after(period - bits % period)
}

/// What `register` gives out.
fn keystream(register: Register, bytes: usize) -> Vec<u8> {
    let mut keystream = vec![0; bytes];
    register.apply(&mut keystream);
    keystream
}

/// `ciphertext` without its keystream, which begins anew whenever it is used up.
fn without(keystream: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    let mut plaintext = ciphertext.to_vec();
    for fragment in plaintext.chunks_mut(keystream.len().max(1)) {
        for (byte, key) in fragment.iter_mut().zip(keystream) {
            *byte ^= key;
        }
    }
    plaintext
}

/// `ciphertext` without the keystream of `register`, and how that goes on.
fn decrypted(
    register: Register,
    fragment_bytes: Option<usize>,
    ciphertext: &[u8],
) -> (Configuration, Vec<u8>) {
    let bytes = fragment_bytes.unwrap_or(usize::MAX).min(ciphertext.len());
    let plaintext = without(&keystream(register, bytes), ciphertext);
    let stream = match fragment_bytes {
        None => Stream::Continuous,
        Some(_) => Stream::RestartsPerFragment,
    };
    (Configuration { register, stream }, plaintext)
}

/// Registers of the suite that explain `bits` from their first on.
fn candidates(bits: &[u8]) -> Vec<(Found, Polynomial)> {
    berlekamp_massey::registers(bits)
        .into_iter()
        .filter_map(|found| Some((found, polynomial(found)?)))
        .collect()
}

#[cfg(test)]
mod tests;
