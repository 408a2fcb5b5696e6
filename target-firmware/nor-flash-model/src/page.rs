//! One erase page, as chunks that it shares with its copies: a change copies the chunk it is in, not the page. Its tally
//! is the total of theirs after every change.
use std::ops::Range;
use std::sync::Arc;

use crate::chunk::{Chunk, Tally, chunk_bytes};
use crate::cut::CutEffect;
use crate::flicker::Noise;
use crate::torn::Tear;

/// A unit: the number of its page, which takes part in hashes, and its own number in there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UnitPlace {
    pub(crate) page: usize,
    pub(crate) unit: usize,
}

impl UnitPlace {
    /// What it is called in hashes; the next unit's name is one more.
    fn name(self) -> u64 {
        (self.page as u64) << 32 | self.unit as u64
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Page<const UNIT: usize, const PAGE: usize> {
    chunks: Box<[Arc<Chunk<UNIT>>]>,
    tally: Tally,
    /// An operation that may leave bits weak or units unreadable was cut, and no program since has seen that there are
    /// none.
    is_unsettled: bool,
    /// Programs that every unit counts at least: none, or all that the part allows once an erase was cut.
    programs_at_least: u8,
}

impl<const UNIT: usize, const PAGE: usize> Page<UNIT, PAGE> {
    const CHUNK: usize = chunk_bytes(UNIT, PAGE);
    const UNITS: usize = Self::CHUNK / UNIT;

    pub(crate) fn erased() -> Self {
        let chunk = Arc::new(Chunk::erased(Self::CHUNK));
        Self {
            chunks: vec![chunk; PAGE / Self::CHUNK].into(),
            tally: Tally::default(),
            is_unsettled: false,
            programs_at_least: 0,
        }
    }

    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks.iter().map(|chunk| chunk.bytes())
    }

    pub(crate) fn programs(&self, unit: usize) -> u8 {
        self.chunks[unit / Self::UNITS]
            .programs(unit % Self::UNITS)
            .max(self.programs_at_least)
    }

    pub(crate) fn sum(&self) -> u64 {
        self.tally.sum
    }

    pub(crate) fn unit_hash(&self, place: UnitPlace) -> u64 {
        self.chunks[place.unit / Self::UNITS].hash(place.unit % Self::UNITS, place.name())
    }

    /// The total of the hashes of these units; the first of them is called `place`.
    pub(crate) fn sum_of(&self, place: UnitPlace, units: usize) -> u64 {
        let first = place.name();
        pieces(place.unit, units, Self::UNITS).fold(0_u64, |total, (chunk, within)| {
            let target = &self.chunks[chunk];
            let start = first + (chunk * Self::UNITS) as u64 - place.unit as u64;
            let hashes = |units: Range<usize>| {
                units.fold(0_u64, |total, unit| {
                    total.wrapping_add(target.hash(unit, start + unit as u64))
                })
            };
            // Whichever is less to add up: those that count, or those that do not.
            let sum = if within.len() > Self::UNITS / 2 {
                target
                    .tally()
                    .sum
                    .wrapping_sub(hashes(0..within.start))
                    .wrapping_sub(hashes(within.end..Self::UNITS))
            } else {
                hashes(within)
            };
            total.wrapping_add(sum)
        })
    }

    pub(crate) fn is_settled(&self) -> bool {
        !self.is_unsettled
    }

    pub(crate) fn is_steady(&self) -> bool {
        self.tally.weak_bytes == 0
    }

    /// Whether no unit was programmed since the page was erased.
    pub(crate) fn is_untouched(&self) -> bool {
        self.tally.programs == 0 && self.programs_at_least == 0
    }

    /// Whether programming the unit with `wanted` leaves exactly that, for good.
    pub(crate) fn would_hold(&self, unit: usize, wanted: &[u8]) -> bool {
        self.chunks[unit / Self::UNITS].would_hold(unit % Self::UNITS, wanted)
    }

    /// Whether the bytes from `from` on are exactly these, none of them weak or unreadable.
    pub(crate) fn holds(&self, from: usize, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        pieces(from, bytes.len(), Self::CHUNK).all(|(chunk, within)| {
            let (now, later) = rest.split_at(within.len());
            rest = later;
            self.chunks[chunk].holds(within.start, now)
        })
    }

    /// Whether a look at these bytes meets weak ones.
    pub(crate) fn is_weak(&self, from: usize, length: usize) -> bool {
        !self.is_steady()
            && pieces(from, length, Self::CHUNK)
                .any(|(chunk, within)| self.chunks[chunk].is_weak(within.start, within.len()))
    }

    /// The first unit among these bytes that fails to read.
    pub(crate) fn unreadable(&self, from: usize, length: usize) -> Option<usize> {
        if self.tally.unreadable_units == 0 {
            return None;
        }
        pieces(from, length, Self::CHUNK).find_map(|(chunk, within)| {
            let unit = self.chunks[chunk].unreadable(within.start, within.len())?;
            Some(chunk * Self::UNITS + unit)
        })
    }

    pub(crate) fn read(&self, from: usize, into: &mut [u8], mut noise: Option<Noise>) {
        let mut rest = into;
        for (chunk, within) in pieces(from, rest.len(), Self::CHUNK) {
            let (now, later) = rest.split_at_mut(within.len());
            self.chunks[chunk].read(within.start, now, &mut noise);
            rest = later;
        }
    }

    /// What a cut leaves of an erase of the page with this number; `erased` is what all of it would have. A page whose
    /// erase was cut counts as used up: it has to be erased again.
    pub(crate) fn tear_erase(
        &mut self,
        page: usize,
        effect: CutEffect,
        programs_allowed: u8,
        erased: &Self,
    ) {
        let cut = Tear {
            effect,
            address: (page * PAGE) as u32,
            length: PAGE,
        };
        for chunk in 0..self.chunks.len() {
            // An erase does nothing to an erased chunk, cut or not, unless it leaves it unreadable.
            if Arc::ptr_eq(&self.chunks[chunk], &erased.chunks[chunk])
                && effect != CutEffect::Unreadable
            {
                continue;
            }
            let unit = chunk * Self::UNITS;
            let name = UnitPlace { page, unit }.name();
            self.change(chunk, |target| {
                target.tear_erase(chunk * Self::CHUNK, name, cut);
            });
        }
        self.is_unsettled = !self.tally.is_settled();
        self.programs_at_least = programs_allowed;
    }

    /// Programs a unit, or what `effect` leaves of that; only zeros of `wanted` do anything, and they settle weak
    /// bits.
    pub(crate) fn program(
        &mut self,
        place: UnitPlace,
        wanted: &[u8; UNIT],
        effect: Option<CutEffect>,
    ) {
        let effect = effect.filter(|effect| *effect != CutEffect::After);
        let cut = effect.map(|effect| Tear {
            effect,
            address: (place.page * PAGE + place.unit * UNIT) as u32,
            length: UNIT,
        });
        self.change(place.unit / Self::UNITS, |chunk| {
            chunk.program(place.unit % Self::UNITS, place.name(), wanted, cut);
        });
        match effect {
            None => self.is_unsettled = !self.tally.is_settled(),
            Some(effect) => {
                self.is_unsettled |= matches!(
                    effect,
                    CutEffect::Weak(_)
                        | CutEffect::HalfWeak(_)
                        | CutEffect::Uneven(..)
                        | CutEffect::Unreadable
                );
            }
        }
    }

    /// The unit at `place` is programmed, and does not take anything of it.
    pub(crate) fn fail_to_program(&mut self, place: UnitPlace) {
        self.change(place.unit / Self::UNITS, |chunk| {
            chunk.count_program(place.unit % Self::UNITS);
        });
    }

    /// Turns bits of the byte at `within` over, but for weak ones: those stay weak. `page` is the page's number.
    pub(crate) fn flip(&mut self, page: usize, within: usize, mask: u8) {
        let unit = within / UNIT;
        let name = UnitPlace { page, unit }.name();
        self.change(within / Self::CHUNK, |chunk| {
            chunk.flip(name, within % Self::CHUNK, mask);
        });
    }

    fn change(&mut self, chunk: usize, change: impl FnOnce(&mut Chunk<UNIT>)) {
        let chunk = Arc::make_mut(&mut self.chunks[chunk]);
        let before = chunk.tally();
        change(chunk);
        self.tally.replace(before, chunk.tally());
    }
}

/// These bytes in pieces that end where multiples of `size` do: which multiple, and which bytes of it.
fn pieces(from: usize, length: usize, size: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let end = from + length;
    (from / size..end.div_ceil(size)).map(move |index| {
        let start = index * size;
        (
            index,
            from.max(start) - start..end.min(start + size) - start,
        )
    })
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
