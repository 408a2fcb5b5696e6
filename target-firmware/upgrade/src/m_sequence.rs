//! The suite `m-sequence`: a linear feedback shift register whose output is added to the fragments. It is what a published
//! upgrade system used and is kept to reproduce that, and to break it: 2n keystream bits give the whole register
//! away (Massey, "Shift-register synthesis and BCH decoding", 1969), a vector table holds more than that, and nothing keeps
//! anybody from changing single bits of a fragment. What a device installs is decided by signature and digest alone,
//! whatever the suite.
//!
//! # Conventions
//! - The register has n = 7..=32 stages in Fibonacci form. Its feedback polynomial `x^n + ... + 1` names the stages that are
//!   added: with exponents e (n among them, 0 implied) the output is `s[k] = sum of s[k - e]` over GF(2). A primitive
//!   polynomial gives the longest period, 2^n - 1.
//! - Bit i of the register holds `s[k + i]`. Bit 0 is the output; then all move one place towards bit 0 and the sum enters
//!   at bit n - 1. The seed is the first register: its bits 0..n are the first n keystream bits. It is not 0.
//! - The first keystream bit of a byte is added to the byte's most significant bit.
//! - [`Stream::RestartsPerFragment`]: each fragment begins with the seed. [`Stream::Continuous`]: the keystream runs
//!   through the whole image, so the fragment at image byte b begins with keystream bit 8b. To begin there nothing is
//!   stepped through: the register after t steps follows from `x^t` modulo the characteristic polynomial, so a
//!   resumed download needs no cipher state.
//!
//! Polynomial, seed and stream are written at the factory, [`FACTORY_OFFSET`] bytes into the FACTORY page; a device
//! whose bytes there are erased or damaged has no such suite.
//!
//! ```text
//! 0  magic "PCMS"          8  taps u32: bit e - 1 for x^e        16 CRC-32 (ISO-HDLC) of bytes 0..16
//! 4  stream u8: 0 restarts per fragment, 1 continuous            20 end
//! 5  0 u8 x3               12 seed u32
//! ```
//! Integers are little-endian.
use core::fmt;

use crate::flash;
use crate::slots::Layout;
use crate::wire::CRC;
use embedded_storage::nor_flash::NorFlash;

/// Fewest and most stages of a register.
pub const STAGES: core::ops::RangeInclusive<u32> = 7..=32;
/// Bytes of a configuration.
pub const CONFIGURATION_BYTES: usize = 20;
/// Where in the FACTORY page the configuration is: the start of a write unit, however large units are.
pub const FACTORY_OFFSET: u32 = 144;

const MAGIC: [u8; 4] = *b"PCMS";

/// A feedback polynomial of degree 7 to 32: bit e - 1 stands for x^e, the constant 1 is implied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Polynomial(u32);

impl Polynomial {
    /// The polynomial with these taps; `None` if its degree is none of [`STAGES`].
    pub fn new(taps: u32) -> Option<Self> {
        STAGES
            .contains(&(32 - taps.leading_zeros()))
            .then_some(Self(taps))
    }

    /// The polynomial with these exponents beside 0, in any order; `None` if one is given twice, is above 32 or 0, or
    /// the highest is none of [`STAGES`].
    pub fn from_exponents(exponents: &[u8]) -> Option<Self> {
        let mut taps = 0_u32;
        for exponent in exponents {
            let tap = 1_u32.checked_shl(u32::from(*exponent).checked_sub(1)?)?;
            if taps & tap != 0 {
                return None;
            }
            taps |= tap;
        }
        Self::new(taps)
    }

    /// Exponents of the terms but the constant, highest first.
    pub fn exponents(self) -> impl Iterator<Item = u8> {
        (1..=32_u8)
            .rev()
            .filter(move |exponent| self.0 >> (exponent - 1) & 1 != 0)
    }

    /// The taps: bit e - 1 for x^e.
    pub const fn taps(self) -> u32 {
        self.0
    }

    /// The degree n: how many stages the register has.
    pub const fn stages(self) -> u32 {
        32 - self.0.leading_zeros()
    }

    /// Longest period a register with that many stages can have, 2^n - 1.
    pub const fn longest_period(self) -> u64 {
        (1 << self.stages()) - 1
    }

    /// Whether every non-zero seed gives the longest period: x has that order modulo the polynomial, neither less nor
    /// none. Takes up to 65,536 divisions; meant for hosts.
    pub fn is_primitive(self) -> bool {
        let period = self.longest_period();
        if self.power_of_x(period) != 1 {
            return false;
        }
        let mut rest = period;
        let mut factor = 3;
        while rest > 1 {
            if factor * factor > rest {
                factor = rest;
            }
            if rest.is_multiple_of(factor) {
                if self.power_of_x(period / factor) == 1 {
                    return false;
                }
                while rest.is_multiple_of(factor) {
                    rest /= factor;
                }
            }
            factor += 2;
        }
        true
    }

    const fn ones(self) -> u32 {
        u32::MAX >> (32 - self.stages())
    }

    /// Which bits of the register are added up. It is the characteristic polynomial of the sequence (the reciprocal of
    /// this one) without its highest term.
    const fn feedback(self) -> u32 {
        self.0.reverse_bits() >> (32 - self.stages())
    }

    const fn times_x(self, element: u32) -> u32 {
        let carry = element >> (self.stages() - 1) & 1;
        ((element << 1) & self.ones()) ^ (self.feedback() * carry)
    }

    fn product(self, one: u32, other: u32) -> u32 {
        (0..self.stages())
            .rev()
            .fold(0, |sum, bit| self.times_x(sum) ^ (one * (other >> bit & 1)))
    }

    /// `x^exponent` modulo the characteristic polynomial.
    fn power_of_x(self, exponent: u64) -> u32 {
        (0..u64::BITS - exponent.leading_zeros())
            .rev()
            .fold(1, |power, bit| {
                let square = self.product(power, power);
                if exponent >> bit & 1 == 0 {
                    square
                } else {
                    self.times_x(square)
                }
            })
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for exponent in self.exponents() {
            match exponent {
                1 => f.write_str("x + ")?,
                _ => write!(f, "x^{exponent} + ")?,
            }
        }
        f.write_str("1")
    }
}

/// A register with something in it: all keystream from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Register {
    polynomial: Polynomial,
    state: u32,
}

impl Register {
    /// A register that holds `seed`; `None` if that is 0 or does not fit its stages.
    pub fn new(polynomial: Polynomial, seed: u32) -> Option<Self> {
        (seed != 0 && seed <= polynomial.ones()).then_some(Self {
            polynomial,
            state: seed,
        })
    }

    /// How it feeds back.
    pub const fn polynomial(self) -> Polynomial {
        self.polynomial
    }

    /// What it holds: the next n keystream bits, the first of them in bit 0.
    pub const fn state(self) -> u32 {
        self.state
    }

    /// The register `bits` keystream bits later, exactly and without stepping through them.
    #[must_use]
    pub fn after(self, bits: u64) -> Self {
        let mut power = self.polynomial.power_of_x(bits);
        let mut state = 0;
        for bit in 0..self.polynomial.stages() {
            state |= ((power & self.state).count_ones() & 1) << bit;
            power = self.polynomial.times_x(power);
        }
        Self { state, ..self }
    }

    /// Gives out one keystream bit, 0 or 1.
    pub const fn next_bit(&mut self) -> u8 {
        let output = (self.state & 1) as u8;
        let sum = (self.state & self.polynomial.feedback()).count_ones() & 1;
        self.state = self.state >> 1 | sum << (self.polynomial.stages() - 1);
        output
    }

    /// Gives out eight, the first in the most significant place.
    pub fn next_byte(&mut self) -> u8 {
        (0..8).fold(0, |byte, _| byte << 1 | self.next_bit())
    }

    /// Adds the keystream to `bytes`: encrypts, and decrypts.
    pub fn apply(mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.next_byte();
        }
    }
}

/// How the keystream goes on from one fragment to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stream {
    /// Each fragment begins with the seed.
    RestartsPerFragment = 0,
    /// Each fragment goes on where the one before ended.
    Continuous = 1,
}

/// What a device and whoever encrypts for it agreed on beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Polynomial and seed.
    pub register: Register,
    /// How the keystream goes on.
    pub stream: Stream,
}

impl Configuration {
    /// Adds the keystream to the fragment that begins at image byte `offset`.
    pub fn apply(&self, offset: u32, fragment: &mut [u8]) {
        match self.stream {
            Stream::RestartsPerFragment => self.register.apply(fragment),
            Stream::Continuous => self.register.after(u64::from(offset) * 8).apply(fragment),
        }
    }

    /// The bytes of the FACTORY page.
    pub fn encode(&self) -> [u8; CONFIGURATION_BYTES] {
        let mut bytes = [0; CONFIGURATION_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.stream as u8;
        bytes[8..12].copy_from_slice(&self.register.polynomial.taps().to_le_bytes());
        bytes[12..16].copy_from_slice(&self.register.state.to_le_bytes());
        let check = CRC.checksum(&bytes[..16]);
        bytes[16..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads those bytes; `None` if they are erased, damaged, or no configuration.
    pub fn decode(bytes: &[u8; CONFIGURATION_BYTES]) -> Option<Self> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..4] != MAGIC || bytes[5..8] != [0; 3] || CRC.checksum(&bytes[..16]) != u32_at(16)
        {
            return None;
        }
        let stream = match bytes[4] {
            0 => Stream::RestartsPerFragment,
            1 => Stream::Continuous,
            _ => return None,
        };
        Some(Self {
            register: Register::new(Polynomial::new(u32_at(8))?, u32_at(12))?,
            stream,
        })
    }

    /// Reads the FACTORY page.
    pub fn load<F: NorFlash>(flash: &mut F, layout: &Layout) -> Option<Self> {
        let mut bytes = [0; CONFIGURATION_BYTES];
        if !flash::read(flash, layout.factory.start + FACTORY_OFFSET, &mut bytes) {
            return None;
        }
        Self::decode(&bytes)
    }
}

#[cfg(test)]
#[path = "m_sequence_tests.rs"]
mod tests;
