//! What a cut leaves of one byte on its way from old to new. Page and chunk agree on it because neither decides it.
use crate::cut::CutEffect;
use crate::mix::split_mix_at;

/// A byte of flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) byte: u8,
    /// Its weak bits.
    pub(crate) weak: u8,
}

impl Cell {
    /// What `effect` leaves of it on the way to `wanted`, where it is number `at` of the `length` bytes that the
    /// operation changes.
    pub(crate) fn torn(self, wanted: u8, effect: CutEffect, at: usize, length: usize) -> Self {
        let done_if = |is_done| Self {
            byte: if is_done { wanted } else { self.byte },
            ..self
        };
        let is_first_half = at < length / 2;
        match effect {
            CutEffect::Before | CutEffect::Unreadable => self,
            CutEffect::After => done_if(true),
            CutEffect::TornFirstHalf => done_if(is_first_half),
            CutEffect::TornSecondHalf => done_if(!is_first_half),
            CutEffect::TornPrefix(bytes) => done_if(at < usize::from(bytes)),
            CutEffect::TornAllBut(byte) => done_if(at != usize::from(byte)),
            CutEffect::TornBits(seed) => {
                let [mask, ..] = split_mix_at(seed, at).to_le_bytes();
                self.reaching(wanted, mask)
            }
            CutEffect::HalfWeak(_) if is_first_half => done_if(true),
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
            byte: (self.byte & !mask) | (wanted & mask),
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
