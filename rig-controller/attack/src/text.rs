//! Encrypted HEX text. All its characters are 7-bit ASCII, so bit 7 of each byte is a keystream bit as it is, one in eight:
//! `v[j] = s[8j]`.
//!
//! With a a root of the characteristic polynomial, `s[k] = Tr(A a^k)` for some A, so `v[j] = Tr(A a^8j)`. Squaring does not
//! change a trace, so with `B^8 = A` that is `Tr(B^8 a^8j) = Tr(B a^j)`: v obeys the *same* polynomial as s, from another
//! register. Berlekamp-Massey finds both from 2n bits of v, that is from 2n bytes. Since 8 and the period P = 2^n - 1 have
//! no common factor, and 8 * 2^(n-3) = 2^n is 1 modulo P, `s[i] = v[i * 2^(n-3) mod P]`: n jumps of v's register give the
//! seed.
//!
//! Where the keystream begins anew with each fragment, v does too, and its first failure to go on says where. Fragments of
//! fewer than 2n bytes have too little of v. In upper-case text bits 5 and 4 are alike in every character there is
//! (`0` to `9`, `A` to `F`, `:`, CR, LF), so their sum is another row of the same polynomial, and both rows together
//! determine it from 3n/2 bytes on, by linear equations. In still smaller fragments each place is encrypted with the same byte
//! throughout the file, and of all bytes that make hexadecimal digits of what is found there often only one is left.
use std::ops::RangeInclusive;

use powercut_upgrade::m_sequence::{Polynomial, Register, STAGES};

use super::berlekamp_massey::{ENOUGH, Found, registers};
use super::{Broken, Plaintext, before, candidates, decrypted, holding, polynomial};
use powercut_package::hex_records;

/// Fewest repetitions of a fragment that tell enough of its keystream.
const REPETITIONS: usize = 8;

/// Records of a HEX text whose checksums are right; `None` for anything else.
pub(super) fn is_hex(bytes: &[u8]) -> Option<usize> {
    hex_records(bytes)
}

/// Register and text, from the ciphertext alone.
pub(super) fn recover(ciphertext: &[u8]) -> Option<Broken> {
    let high = high_bits(ciphertext);
    let found = candidates(&high[..high.len().min(ENOUGH)]);
    from_high(&found, &high, ciphertext).or_else(|| short_fragments(ciphertext, &high))
}

/// Stages of a register that explains bit 7 of every byte, but is none of the suite.
pub(super) fn other_register(ciphertext: &[u8]) -> Option<u32> {
    let high = high_bits(ciphertext);
    let found = registers(&high[..high.len().min(ENOUGH)]).pop()?;
    // Of one stage or none are bits that are all alike, of erased flash for example.
    (found.stages > 1 && polynomial(found).is_none() && found.foretells(&high))
        .then_some(found.stages)
}

fn high_bits(ciphertext: &[u8]) -> Vec<u8> {
    ciphertext.iter().map(|byte| byte >> 7).collect()
}

/// The first of these registers of `high` that makes HEX text of the ciphertext.
fn from_high(found: &[(Found, Polynomial)], high: &[u8], ciphertext: &[u8]) -> Option<Broken> {
    found.iter().find_map(|(found, polynomial)| {
        let of_high = holding(*polynomial, high)?;
        let register = undecimated(of_high)?;
        restarts(of_high, high)
            .into_iter()
            .find_map(|fragment_bytes| verified(*found, register, fragment_bytes, ciphertext))
    })
}

/// The register whose every eighth bit `of_high` gives out.
fn undecimated(of_high: Register) -> Option<Register> {
    let polynomial = of_high.polynomial();
    let (stages, period) = (polynomial.stages(), polynomial.longest_period());
    let bits: Vec<u8> = (0..u64::from(stages))
        .map(|i| {
            let at = (i << (stages - 3)) % period;
            of_high.after(at).next_bit()
        })
        .collect();
    holding(polynomial, &bits)
}

/// After how many bytes `of_high` may begin anew, `None` for never, so that it explains all of `high`.
fn restarts(of_high: Register, high: &[u8]) -> Vec<Option<usize>> {
    let mut register = of_high;
    let fails = high.iter().position(|bit| register.next_bit() != *bit);
    let last = fails.unwrap_or(high.len().saturating_sub(1));
    let mut first_fragment = of_high;
    let keystream: Vec<u8> = (0..last).map(|_| first_fragment.next_bit()).collect();
    let explains = |fragment_bytes: &usize| {
        high.chunks(*fragment_bytes)
            .all(|fragment| keystream.starts_with(fragment))
    };
    // A bit that a restart changes may be the same by chance, but hardly many in a row.
    let sizes = (last.saturating_sub(ENOUGH).max(1)..=last).rev();
    let never = fails.is_none().then_some(None);
    never
        .into_iter()
        .chain(sizes.filter(explains).map(Some))
        .collect()
}

fn verified(
    found: Found,
    register: Register,
    fragment_bytes: Option<usize>,
    ciphertext: &[u8],
) -> Option<Broken> {
    let (configuration, plaintext) = decrypted(register, fragment_bytes, ciphertext);
    let records = is_hex(&plaintext)?;
    Some(Broken {
        what: Plaintext::HexText { records },
        configuration,
        fragment_bytes,
        bits_needed: found.settled_after,
        bits_foretold: found.explained - found.settled_after,
        plaintext,
    })
}

/// The same where fragments are so short that v begins anew before it told enough.
fn short_fragments(ciphertext: &[u8], high: &[u8]) -> Option<Broken> {
    let repeats = |fragment_bytes: &usize| {
        high.len() >= REPETITIONS * fragment_bytes
            && high
                .iter()
                .zip(&high[*fragment_bytes..])
                .all(|(one, next)| one == next)
    };
    (1..ENOUGH).filter(repeats).find_map(|fragment_bytes| {
        let found = candidates(&high[..fragment_bytes]);
        from_high(&found, high, ciphertext)
            .or_else(|| from_two_bits(fragment_bytes, high, ciphertext))
            .or_else(|| from_places(fragment_bytes, b'A'..=b'F', ciphertext))
            .or_else(|| from_places(fragment_bytes, b'a'..=b'f', ciphertext))
    })
}

/// The same from two bits of each byte of a fragment.
fn from_two_bits(fragment_bytes: usize, high: &[u8], ciphertext: &[u8]) -> Option<Broken> {
    let high = &high[..fragment_bytes];
    let sums: Vec<u8> = ciphertext[..fragment_bytes]
        .iter()
        .map(|byte| (byte >> 5 ^ byte >> 4) & 1)
        .collect();
    STAGES.into_iter().find_map(|stages| {
        let taps = common_feedback(&[high, &sums], stages)?;
        let found = Found {
            stages,
            connection: u64::from(taps) << 1 | 1,
            settled_after: 3 * stages as usize,
            explained: 2 * fragment_bytes,
        };
        let register = undecimated(holding(polynomial(found)?, high)?)?;
        verified(found, register, Some(fragment_bytes), ciphertext)
    })
}

/// The one feedback, bit e - 1 for x^e, with which a register of so many stages gives out each of these rows; `None` if
/// there is none or more than one. Gaussian elimination.
fn common_feedback(rows: &[&[u8]], stages: u32) -> Option<u32> {
    let n = stages as usize;
    let coefficients = (1_u64 << n) - 1;
    // By the lowest feedback bit in them; bit n is the right-hand side.
    let mut equations = vec![None; n];
    for window in rows.iter().flat_map(|row| row.windows(n + 1)) {
        let mut equation = window
            .iter()
            .rev()
            .enumerate()
            .fold(0_u64, |equation, (back, bit)| {
                let place = if back == 0 { n } else { back - 1 };
                equation | u64::from(*bit) << place
            });
        while equation & coefficients != 0 {
            match &mut equations[equation.trailing_zeros() as usize] {
                Some(known) => equation ^= *known,
                unknown => {
                    *unknown = Some(equation);
                    equation = 0;
                }
            }
        }
        if equation != 0 {
            return None;
        }
    }
    let mut feedback = 0_u64;
    for (bit, equation) in equations.into_iter().enumerate().rev() {
        let equation: u64 = equation?;
        let sum = (equation & feedback).count_ones() & 1;
        feedback |= (equation >> n & 1 ^ u64::from(sum)) << bit;
    }
    u32::try_from(feedback).ok()
}

/// The same from what each place of a fragment is encrypted with; hexadecimal digits above 9 are `letters`.
fn from_places(
    fragment_bytes: usize,
    letters: RangeInclusive<u8>,
    ciphertext: &[u8],
) -> Option<Broken> {
    let keystream: Vec<Option<u8>> = (0..fragment_bytes)
        .map(|place| {
            let encrypted = ciphertext.iter().skip(place).step_by(fragment_bytes);
            keystream_byte(encrypted, &letters)
        })
        .collect();
    known_runs(&keystream).find_map(|(start, bits)| {
        candidates(&bits)
            .into_iter()
            .find_map(|(found, polynomial)| {
                let register = at_start(polynomial, &bits, start)?;
                verified(found, register, Some(fragment_bytes), ciphertext)
            })
    })
}

fn at_start(polynomial: Polynomial, bits: &[u8], start: usize) -> Option<Register> {
    Some(before(holding(polynomial, bits)?, start as u64 * 8))
}

/// The one byte that makes characters of a HEX text of all of these, if there is just one.
fn keystream_byte<'c>(
    encrypted: impl Iterator<Item = &'c u8>,
    letters: &RangeInclusive<u8>,
) -> Option<u8> {
    let mut seen: Vec<u8> = encrypted.copied().collect();
    seen.sort_unstable();
    seen.dedup();
    let is_text =
        |byte: u8| letters.contains(&byte) || matches!(byte, b'0'..=b'9' | b':' | b'\r' | b'\n');
    let mut fitting = (0..=u8::MAX).filter(|key| seen.iter().all(|byte| is_text(byte ^ key)));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// Rows of known bytes: where each begins, and its bits.
fn known_runs(keystream: &[Option<u8>]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let ends = |at: usize| at == 0 || keystream[at - 1].is_none();
    (0..keystream.len())
        .filter(move |at| keystream[*at].is_some() && ends(*at))
        .map(|start| {
            let bits = keystream[start..]
                .iter()
                .map_while(|byte| *byte)
                .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
                .collect();
            (start, bits)
        })
}
