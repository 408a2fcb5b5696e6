//! An encrypted Cortex-M image. It begins with a vector table, much of which is known beforehand (ARMv6-M, ARMv7-M and
//! ARMv8-M architecture manuals): words 7 to 10 are reserved and 0, on ARMv6-M words 4 to 6 too, word 7 is `SecureFault` on
//! ARMv8-M and a checksum with some vendors. What lies there in the ciphertext is 96 to 224 keystream bits in a row, and 2n
//! are enough for the Berlekamp-Massey algorithm.
//!
//! The rest of the table says whether the register that was found is right: a stack in RAM, Thumb code below it. Where the
//! keystream begins anew is told by the bytes of the whole image: those of a program are far from evenly spread, those of
//! one decrypted with the wrong part of the keystream are not.
use powercut_upgrade::m_sequence::Register;

use super::berlekamp_massey::Found;
use super::{Broken, Plaintext, before, candidates, decrypted, holding, keystream, without};

/// Words of the part of a vector table that every Cortex-M has.
const TABLE_WORDS: usize = 16;
/// Rows of words that are 0, the longest first; the last two are for fragments of 36 bytes, between which word 9 begins.
const ZERO_WORDS: [std::ops::Range<usize>; 5] = [4..11, 7..11, 8..11, 7..9, 9..11];
/// Fragment sizes that are tried: those of both wire dialects.
const FRAGMENT_BYTES: std::ops::RangeInclusive<usize> = 32..=1024;
/// No program spreads its bytes as evenly as this, in units of a random file's.
const LEAST_COINCIDENCE: f64 = 1.05;

/// What a vector table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vectors {
    stack: u32,
    reset: u32,
}

/// Reads a vector table, if `image` begins with one that a Cortex-M could start from.
pub(super) fn vectors(image: &[u8]) -> Option<Vectors> {
    let words = image.as_chunks::<4>().0.first_chunk::<TABLE_WORDS>()?;
    let word = |at: usize| u32::from_le_bytes(words[at]);
    let (stack, reset) = (word(0), word(1));
    let is_code = |address: u32| address & 1 == 1 && address < 0x2000_0000;
    let near_reset = |address: u32| is_code(address) && address.abs_diff(reset) < 1 << 20;
    let is_sound = (0x1000_0000..0x4000_0000).contains(&stack)
        && stack.is_multiple_of(4)
        && is_code(reset)
        && [2, 3].into_iter().all(|at| near_reset(word(at)))
        && [8, 9, 10].into_iter().all(|at| word(at) == 0)
        && [4, 5, 6, 11, 12, 14, 15]
            .into_iter()
            .all(|at| word(at) == 0 || near_reset(word(at)));
    is_sound.then_some(Vectors { stack, reset })
}

/// Register and image, from the ciphertext alone.
pub(super) fn recover(ciphertext: &[u8]) -> Option<Broken> {
    ZERO_WORDS.into_iter().find_map(|words| {
        let start = words.start * 4;
        let bits: Vec<u8> = ciphertext
            .get(start..words.end * 4)?
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
            .collect();
        candidates(&bits)
            .into_iter()
            .find_map(|(found, polynomial)| {
                verified(found, holding(polynomial, &bits)?, start, ciphertext)
            })
    })
}

/// The most plausible image that `register`, which gives out the keystream from byte `start` on, makes of the ciphertext.
fn verified(found: Found, register: Register, start: usize, ciphertext: &[u8]) -> Option<Broken> {
    let continuous = before(register, start as u64 * 8);
    let whole = keystream(continuous, ciphertext.len());
    let table = &ciphertext[..ciphertext.len().min(TABLE_WORDS * 4)];
    let mut best: Option<(f64, Vectors, Register, Option<usize>)> = None;
    let sizes = FRAGMENT_BYTES.take_while(|size| *size < ciphertext.len());
    for fragment_bytes in std::iter::once(None).chain(sizes.map(Some)) {
        let size = fragment_bytes.unwrap_or(ciphertext.len());
        let (seed, keystream) = if size <= start {
            let seed = before(register, (start % size) as u64 * 8);
            (seed, &keystream(seed, size)[..])
        } else {
            (continuous, &whole[..size])
        };
        let Some(vectors) = vectors(&without(keystream, table)) else {
            continue;
        };
        let coincidence = coincidence(&without(keystream, ciphertext));
        if best.is_none_or(|(most, ..)| coincidence > most) {
            best = Some((coincidence, vectors, seed, fragment_bytes));
        }
    }
    let (coincidence, Vectors { stack, reset }, seed, fragment_bytes) = best?;
    if coincidence < LEAST_COINCIDENCE {
        return None;
    }
    let (configuration, plaintext) = decrypted(seed, fragment_bytes, ciphertext);
    Some(Broken {
        what: Plaintext::Binary {
            stack,
            reset,
            coincidence,
        },
        configuration,
        fragment_bytes,
        bits_needed: found.settled_after,
        bits_foretold: found.explained - found.settled_after,
        plaintext,
    })
}

/// How often two bytes are alike, in units of how often two random ones are.
fn coincidence(bytes: &[u8]) -> f64 {
    let mut counts = [0_u64; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
    let pairs: u64 = counts
        .iter()
        .map(|count| count * count.saturating_sub(1))
        .sum();
    let total = bytes.len() as f64;
    pairs as f64 * 256.0 / (total * (total - 1.0)).max(1.0)
}
