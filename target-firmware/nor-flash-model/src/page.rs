//! One erase page: its bytes, how often each unit was programmed, which bits are weak, which units cannot be read.
use crate::cut::CutEffect;
use crate::flicker::Noise;
use crate::mix::{fold, split_mix};

/// What is not settled in a page after a torn operation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unsettled {
    /// Weak bits; where one stands, `Page::bytes` has a zero.
    weak: Box<[u8]>,
    /// Units that fail to read.
    unreadable: Box<[bool]>,
}

/// Its content is all that counts for equality and for the sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    bytes: Box<[u8]>,
    programs: Box<[u8]>,
    unsettled: Option<Box<Unsettled>>,
    /// Sum of the units' hashes; 0 for an erased page. How often a unit was programmed is no part of it.
    sum: u64,
    /// Sum of `programs`.
    programmed: u32,
}

/// Where a program goes: the page's number (it takes part in hashes), the unit's number in it, the unit's size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitPlace {
    pub(crate) page: usize,
    pub(crate) unit: usize,
    pub(crate) unit_bytes: usize,
}

impl UnitPlace {
    fn start(self) -> usize {
        self.unit * self.unit_bytes
    }
}

impl Page {
    pub(crate) fn erased(page_bytes: usize, units: usize) -> Self {
        Self {
            bytes: vec![0xFF; page_bytes].into(),
            programs: vec![0; units].into(),
            unsettled: None,
            sum: 0,
            programmed: 0,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn programs(&self, unit: usize) -> u8 {
        self.programs[unit]
    }

    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.unsettled.is_none()
    }

    pub(crate) fn is_steady(&self) -> bool {
        self.unsettled
            .as_ref()
            .is_none_or(|unsettled| unsettled.weak.iter().all(|weak| *weak == 0))
    }

    /// Whether no unit was programmed since the page was erased.
    pub(crate) fn is_untouched(&self) -> bool {
        self.programmed == 0
    }

    /// Whether programming the unit at `place` with `wanted` leaves exactly that, for good.
    pub(crate) fn would_hold(&self, place: UnitPlace, wanted: &[u8]) -> bool {
        let start = place.start();
        let kept = self.bytes[start..]
            .iter()
            .zip(wanted)
            .all(|(byte, wanted)| byte & wanted == *wanted);
        kept && self.unsettled.as_ref().is_none_or(|unsettled| {
            !unsettled.unreadable[place.unit]
                && unsettled.weak[start..]
                    .iter()
                    .zip(wanted)
                    .all(|(weak, wanted)| weak & wanted == 0)
        })
    }

    /// Whether the bytes from `from` on are exactly these, none of them weak or unreadable.
    pub(crate) fn holds(&self, from: usize, bytes: &[u8]) -> bool {
        let range = from..from + bytes.len();
        self.bytes[range.clone()] == *bytes
            && self.unsettled.as_ref().is_none_or(|unsettled| {
                let unit_bytes = self.bytes.len() / self.programs.len();
                unsettled.weak[range.clone()].iter().all(|weak| *weak == 0)
                    && !unsettled.unreadable[from / unit_bytes..range.end.div_ceil(unit_bytes)]
                        .contains(&true)
            })
    }

    /// Whether a look at these bytes meets weak ones.
    pub(crate) fn is_weak(&self, from: usize, length: usize) -> bool {
        self.unsettled.as_ref().is_some_and(|unsettled| {
            unsettled.weak[from..from + length]
                .iter()
                .any(|weak| *weak != 0)
        })
    }

    /// The first unit among these bytes that fails to read.
    pub(crate) fn unreadable(&self, from: usize, length: usize) -> Option<usize> {
        let unsettled = self.unsettled.as_ref()?;
        let unit_bytes = self.bytes.len() / self.programs.len();
        (from / unit_bytes..(from + length).div_ceil(unit_bytes))
            .find(|unit| unsettled.unreadable[*unit])
    }

    pub(crate) fn read(&self, from: usize, into: &mut [u8], noise: Option<Noise>) {
        into.copy_from_slice(&self.bytes[from..from + into.len()]);
        if let (Some(unsettled), Some(mut noise)) = (&self.unsettled, noise) {
            for (byte, weak) in into.iter_mut().zip(&unsettled.weak[from..]) {
                if *weak != 0 {
                    *byte |= weak & noise.next();
                }
            }
        }
    }

    /// Erases it, all of it and for good.
    pub(crate) fn erase(&mut self) {
        self.bytes.fill(0xFF);
        self.programs.fill(0);
        self.unsettled = None;
        self.sum = 0;
        self.programmed = 0;
    }

    /// What a cut leaves of an erase. A page whose erase was cut counts as used up: it has to be erased again.
    pub(crate) fn tear_erase(&mut self, page: usize, effect: CutEffect, programs_allowed: u8) {
        if effect == CutEffect::After {
            return self.erase();
        }
        let wanted = vec![0xFF; self.bytes.len()];
        self.tear(0, &wanted, effect);
        self.programs.fill(programs_allowed);
        self.programmed = u32::from(programs_allowed) * self.programs.len() as u32;
        if effect == CutEffect::Unreadable {
            self.unsettled().unreadable.fill(true);
        }
        self.forget_if_settled();
        let unit_bytes = self.bytes.len() / self.programs.len();
        self.sum = (0..self.programs.len())
            .map(|unit| {
                self.unit_hash(UnitPlace {
                    page,
                    unit,
                    unit_bytes,
                })
            })
            .fold(0, u64::wrapping_add);
    }

    /// Programs a unit, or what `effect` leaves of that; only zeros of `wanted` do anything, and they settle weak
    /// bits.
    pub(crate) fn program(&mut self, place: UnitPlace, wanted: &[u8], effect: Option<CutEffect>) {
        self.sum = self.sum.wrapping_sub(self.unit_hash(place));
        self.programs[place.unit] += 1;
        self.programmed += 1;
        let start = place.start();
        match effect {
            None | Some(CutEffect::After) => {
                for (byte, wanted) in self.bytes[start..].iter_mut().zip(wanted) {
                    *byte &= wanted;
                }
                if let Some(unsettled) = &mut self.unsettled {
                    for (weak, wanted) in unsettled.weak[start..].iter_mut().zip(wanted) {
                        *weak &= wanted;
                    }
                    self.forget_if_settled();
                }
            }
            Some(effect) => {
                let mut target = [0; 16];
                let target = &mut target[..wanted.len()];
                for (target, (old, new)) in target
                    .iter_mut()
                    .zip(self.bytes[start..].iter().zip(wanted))
                {
                    *target = old & new;
                }
                self.tear(start, target, effect);
                if effect == CutEffect::Unreadable {
                    self.unsettled().unreadable[place.unit] = true;
                }
            }
        }
        self.sum = self.sum.wrapping_add(self.unit_hash(place));
    }

    /// The unit at `place` is programmed, and does not take anything of it.
    pub(crate) fn fail_to_program(&mut self, place: UnitPlace) {
        self.programs[place.unit] += 1;
        self.programmed += 1;
    }

    /// Turns bits of the byte at `within` over, but for weak ones: those stay weak.
    pub(crate) fn flip(&mut self, place: UnitPlace, within: usize, mask: u8) {
        self.sum = self.sum.wrapping_sub(self.unit_hash(place));
        let weak = self
            .unsettled
            .as_ref()
            .map_or(0, |unsettled| unsettled.weak[within]);
        self.bytes[within] ^= mask & !weak;
        self.sum = self.sum.wrapping_add(self.unit_hash(place));
    }

    /// Turns bytes from `start` on into what `effect` leaves on the way to `wanted`.
    fn tear(&mut self, start: usize, wanted: &[u8], effect: CutEffect) {
        let target = &mut self.bytes[start..start + wanted.len()];
        let half = wanted.len() / 2;
        match effect {
            CutEffect::Before | CutEffect::Unreadable => {}
            CutEffect::After => target.copy_from_slice(wanted),
            CutEffect::TornFirstHalf => target[..half].copy_from_slice(&wanted[..half]),
            CutEffect::TornSecondHalf => target[half..].copy_from_slice(&wanted[half..]),
            CutEffect::TornPrefix(bytes) => {
                let done = usize::from(bytes).min(wanted.len());
                target[..done].copy_from_slice(&wanted[..done]);
            }
            CutEffect::TornBits(seed) => {
                let mut random = seed;
                for (byte, wanted) in target.iter_mut().zip(wanted) {
                    let mask = split_mix(&mut random).to_le_bytes()[0];
                    *byte = (*byte & !mask) | (wanted & mask);
                }
            }
            CutEffect::TornAllBut(byte) => {
                let left_out = usize::from(byte).min(wanted.len());
                target[..left_out].copy_from_slice(&wanted[..left_out]);
                let rest = (left_out + 1).min(wanted.len());
                target[rest..].copy_from_slice(&wanted[rest..]);
            }
            CutEffect::Weak(_) => self.weaken(start, wanted),
            CutEffect::HalfWeak(_) => {
                target[..half].copy_from_slice(&wanted[..half]);
                self.weaken(start + half, &wanted[half..]);
            }
            CutEffect::Uneven(seed, _) => {
                let mut random = u64::from(seed);
                let mut reached = wanted.to_vec();
                for (byte, reached) in target.iter_mut().zip(&mut reached) {
                    let [done, weak, ..] = split_mix(&mut random).to_le_bytes();
                    *byte = (*byte & !done) | (*reached & done);
                    *reached = (*byte & !weak) | (*reached & weak);
                }
                self.weaken(start, &reached);
            }
        }
    }

    fn weaken(&mut self, start: usize, wanted: &[u8]) {
        let mut changes = self.bytes[start..start + wanted.len()].to_vec();
        for ((change, byte), wanted) in changes.iter_mut().zip(&mut self.bytes[start..]).zip(wanted)
        {
            *change = *byte ^ wanted;
            *byte &= wanted;
        }
        let weak = &mut self.unsettled().weak[start..];
        for (weak, change) in weak.iter_mut().zip(changes) {
            *weak |= change;
        }
    }

    fn unsettled(&mut self) -> &mut Unsettled {
        let (bytes, units) = (self.bytes.len(), self.programs.len());
        self.unsettled.get_or_insert_with(|| {
            Box::new(Unsettled {
                weak: vec![0; bytes].into(),
                unreadable: vec![false; units].into(),
            })
        })
    }

    fn forget_if_settled(&mut self) {
        let settled = self.unsettled.as_ref().is_some_and(|unsettled| {
            unsettled.weak.iter().all(|weak| *weak == 0) && !unsettled.unreadable.contains(&true)
        });
        if settled {
            self.unsettled = None;
        }
    }

    /// Says what the unit holds and how it reads; 0 if it reads erased for good.
    pub(crate) fn unit_hash(&self, place: UnitPlace) -> u64 {
        let range = place.start()..place.start() + place.unit_bytes;
        let content = word(&self.bytes[range.clone()]);
        let (weak, unreadable) = self.unsettled.as_ref().map_or((0, false), |unsettled| {
            (
                word(&unsettled.weak[range]),
                unsettled.unreadable[place.unit],
            )
        });
        let erased = u128::MAX >> (128 - 8 * place.unit_bytes.min(16));
        if content == erased && weak == 0 && !unreadable {
            return 0;
        }
        let mut hash = fold(
            (place.page as u64) << 32 | place.unit as u64,
            content as u64,
        );
        hash = fold(hash, (content >> 64) as u64 ^ u64::from(unreadable));
        if weak != 0 {
            hash = fold(hash, fold(weak as u64, (weak >> 64) as u64));
        }
        hash
    }
}

fn word(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    word[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(word)
}
