//! Tearing: how much of an operation a cut leaves, byte by byte. The one place that decides it: the model, the board in QEMU
//! and boards in tests tear through here, so that one schedule leaves the same flash on each. Bits only ever move in the
//! direction in which the operation moves them.
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::cut::CutEffect;
use crate::flicker::Flicker;
use crate::mix::split_mix_at;

/// A settled remainder of the operation that a cut hits: which of the bits that were to change did change. Deterministic:
/// a shape, an address and a content give one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TornShape {
    /// Program: the first half of the unit's bytes. Erase: the first half of the page.
    Half,
    /// Program: the second half of the unit's bytes. Erase: the second half of the page.
    OtherHalf,
    /// A random subset of the bits that were to change, drawn by `ChaCha8` from this seed and the operation's address.
    Bits(u32),
    /// The first so many bytes of the unit or page.
    Prefix(u16),
    /// All but the byte with this number, from 0, in the unit or page.
    AllBut(u16),
    /// A random subset of the bits that were to change, drawn by `SplitMix64` from this seed byte by byte, wherever the
    /// operation is.
    ByteBits(u64),
}

impl TornShape {
    /// Leaves in `bytes`, the content of the unit or page at `address`, what this shape leaves of an operation on it.
    /// `wanted` says what the whole operation makes of the byte with this number and content.
    pub fn tear(self, address: u32, bytes: &mut [u8], wanted: impl Fn(usize, u8) -> u8) {
        let length = bytes.len();
        for (at, byte) in bytes.iter_mut().enumerate() {
            let reached = self.reached(address, at, length);
            *byte = mixed(*byte, wanted(at, *byte), reached);
        }
    }

    /// The bits that were reached before power went, in byte number `at` of the `length` bytes that the operation at
    /// `address` works on.
    fn reached(self, address: u32, at: usize, length: usize) -> u8 {
        let all_if = |is_reached| if is_reached { 0xFF } else { 0 };
        match self {
            Self::Half => all_if(at < length / 2),
            Self::OtherHalf => all_if(at >= length / 2),
            Self::Prefix(bytes) => all_if(at < usize::from(bytes)),
            Self::AllBut(byte) => all_if(at != usize::from(byte)),
            Self::Bits(seed) => chacha_byte(seed, address, at),
            Self::ByteBits(seed) => split_mix_at(seed, at).to_le_bytes()[0],
        }
    }
}

impl CutEffect {
    /// Leaves in `bytes`, the content of the unit or page at `address`, and in `weak`, its weak bits (0 in `bytes`), what a cut
    /// leaves of an operation on it. `wanted` says what the whole operation makes of the byte with this number and content.
    /// Units that fail to read stay as they are.
    pub fn leave(
        self,
        address: u32,
        bytes: &mut [u8],
        weak: &mut [u8],
        wanted: impl Fn(usize, u8) -> u8,
    ) {
        let cut = Tear {
            effect: self,
            address,
            length: bytes.len(),
        };
        for (at, (byte, weak)) in bytes.iter_mut().zip(weak).enumerate() {
            let cell = Cell {
                byte: *byte,
                weak: *weak,
            };
            let torn = cell.torn(wanted(at, *byte), cut, at);
            (*byte, *weak) = (torn.byte, torn.weak);
        }
    }

    /// How the weak bits read that it leaves, if it leaves any.
    pub fn flicker(self) -> Option<Flicker> {
        match self {
            Self::Weak(how) | Self::HalfWeak(how) | Self::Uneven(_, how) => Some(how),
            Self::Before | Self::After | Self::Torn(_) | Self::Unreadable => None,
        }
    }
}

/// The random byte with this index, from 0. The address takes part so that one seed does not tear every unit of a case
/// along the same bits.
fn chacha_byte(seed: u32, address: u32, index: usize) -> u8 {
    let mut words = ChaCha8Rng::seed_from_u64(u64::from(address) << 32 | u64::from(seed));
    words.set_word_pos((index / 4) as u128);
    words.next_u32().to_le_bytes()[index % 4]
}

/// `byte` with the bits of `mask` as in `wanted`.
const fn mixed(byte: u8, wanted: u8, mask: u8) -> u8 {
    (byte & !mask) | (wanted & mask)
}

/// A cut of an operation on the `length` bytes of a unit or page from `address` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tear {
    pub(crate) effect: CutEffect,
    pub(crate) address: u32,
    pub(crate) length: usize,
}

/// A byte of flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) byte: u8,
    /// Its weak bits.
    pub(crate) weak: u8,
}

impl Cell {
    /// The cell as the cut leaves it on the way to `wanted`, where it is number `at` of the bytes that the operation changes.
    pub(crate) fn torn(self, wanted: u8, cut: Tear, at: usize) -> Self {
        match cut.effect {
            CutEffect::Before | CutEffect::Unreadable => self,
            CutEffect::After => self.reaching(wanted, 0xFF),
            CutEffect::Torn(shape) => {
                self.reaching(wanted, shape.reached(cut.address, at, cut.length))
            }
            CutEffect::HalfWeak(_) if at < cut.length / 2 => self.reaching(wanted, 0xFF),
            CutEffect::Weak(_) | CutEffect::HalfWeak(_) => self.weakened(wanted),
            CutEffect::Uneven(seed, _) => {
                let [done, weak, ..] = split_mix_at(u64::from(seed), at).to_le_bytes();
                let reached = self.reaching(wanted, done);
                reached.weakened(reached.reaching(wanted, weak).byte)
            }
        }
    }

    /// With the bits of `mask` as in `wanted`.
    fn reaching(self, wanted: u8, mask: u8) -> Self {
        Self {
            byte: mixed(self.byte, wanted, mask),
            ..self
        }
    }

    /// With all bits weak that differ from `wanted`.
    fn weakened(self, wanted: u8) -> Self {
        Self {
            byte: self.byte & wanted,
            weak: self.weak | (self.byte ^ wanted),
        }
    }
}

#[cfg(test)]
#[path = "torn_tests.rs"]
mod tests;
