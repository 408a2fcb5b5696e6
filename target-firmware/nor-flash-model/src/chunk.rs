//! A part of a page, the smallest thing that two copies of flash share: its bytes, how often each unit was programmed,
//! which bits are weak, which units cannot be read. Its tally is right after every change, so nobody has to scan it.
use crate::cut::CutEffect;
use crate::flicker::Noise;
use crate::mix::fold;
use crate::torn::{Cell, Tear};

/// Most bytes of a chunk.
const CHUNK_BYTES_MAX: usize = 1024;

/// Bytes of each chunk of a page: as many whole units as fit and divide the page evenly.
pub(crate) const fn chunk_bytes(unit_bytes: usize, page_bytes: usize) -> usize {
    let units_of_page = page_bytes / unit_bytes;
    let mut units = CHUNK_BYTES_MAX / unit_bytes;
    if units > units_of_page {
        units = units_of_page;
    }
    while !units_of_page.is_multiple_of(units) {
        units -= 1;
    }
    units * unit_bytes
}

/// Totals over units; all 0 where flash is erased for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Of the units' hashes. How often a unit was programmed is no part of it.
    pub(crate) sum: u64,
    pub(crate) programs: u32,
    pub(crate) weak_bytes: u32,
    pub(crate) unreadable_units: u32,
}

impl Tally {
    /// One of the parts whose total this is went from `before` to `after`.
    pub(crate) fn replace(&mut self, before: Self, after: Self) {
        self.sum = self.sum.wrapping_sub(before.sum).wrapping_add(after.sum);
        self.programs = self.programs - before.programs + after.programs;
        self.weak_bytes = self.weak_bytes - before.weak_bytes + after.weak_bytes;
        self.unreadable_units =
            self.unreadable_units - before.unreadable_units + after.unreadable_units;
    }

    pub(crate) fn is_settled(self) -> bool {
        self.weak_bytes == 0 && self.unreadable_units == 0
    }
}

/// What is not settled in a chunk after a torn operation.
#[derive(Debug, Clone)]
struct Unsettled {
    /// Weak bits.
    weak: Box<[u8]>,
    /// Units that fail to read.
    unreadable: Box<[bool]>,
}

/// Units are numbered within it, bytes counted from its start.
#[derive(Debug, Clone)]
pub(crate) struct Chunk<const UNIT: usize> {
    bytes: Box<[u8]>,
    programs: Box<[u8]>,
    unsettled: Option<Box<Unsettled>>,
    tally: Tally,
}

impl<const UNIT: usize> Chunk<UNIT> {
    pub(crate) fn erased(bytes: usize) -> Self {
        Self {
            bytes: vec![0xFF; bytes].into(),
            programs: vec![0; bytes / UNIT].into(),
            unsettled: None,
            tally: Tally::default(),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn programs(&self, unit: usize) -> u8 {
        self.programs[unit]
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether programming the unit with `wanted` leaves exactly that, for good.
    pub(crate) fn would_hold(&self, unit: usize, wanted: &[u8]) -> bool {
        let start = unit * UNIT;
        let kept = self.bytes[start..]
            .iter()
            .zip(wanted)
            .all(|(byte, wanted)| byte & wanted == *wanted);
        kept && self.unsettled.as_ref().is_none_or(|unsettled| {
            !unsettled.unreadable[unit]
                && unsettled.weak[start..]
                    .iter()
                    .zip(wanted)
                    .all(|(weak, wanted)| weak & wanted == 0)
        })
    }

    /// Whether the bytes from `from` on are exactly these, none of them weak or unreadable.
    pub(crate) fn holds(&self, from: usize, bytes: &[u8]) -> bool {
        self.bytes[from..from + bytes.len()] == *bytes
            && !self.is_weak(from, bytes.len())
            && self.unreadable(from, bytes.len()).is_none()
    }

    /// Whether a look at these bytes meets weak ones.
    pub(crate) fn is_weak(&self, from: usize, length: usize) -> bool {
        self.tally.weak_bytes > 0
            && self.unsettled.as_ref().is_some_and(|unsettled| {
                unsettled.weak[from..from + length]
                    .iter()
                    .any(|weak| *weak != 0)
            })
    }

    /// The first unit among these bytes that fails to read.
    pub(crate) fn unreadable(&self, from: usize, length: usize) -> Option<usize> {
        let unsettled = self.unsettled.as_ref()?;
        (from / UNIT..(from + length).div_ceil(UNIT)).find(|unit| unsettled.unreadable[*unit])
    }

    /// `noise` says how weak bits read, and moves on with each byte that has any.
    pub(crate) fn read(&self, from: usize, into: &mut [u8], noise: &mut Option<Noise>) {
        into.copy_from_slice(&self.bytes[from..from + into.len()]);
        if let (Some(unsettled), Some(noise)) = (&self.unsettled, noise) {
            for (byte, weak) in into.iter_mut().zip(&unsettled.weak[from..]) {
                if *weak != 0 {
                    *byte |= weak & noise.next();
                }
            }
        }
    }

    /// Programs a unit, or what `cut` leaves of that; only zeros of `wanted` do anything, and they settle weak
    /// bits.
    pub(crate) fn program(
        &mut self,
        unit: usize,
        name: u64,
        wanted: &[u8; UNIT],
        cut: Option<Tear>,
    ) {
        self.count_program(unit);
        match cut {
            None => self.change(unit, name, |at, cell| Cell {
                byte: cell.byte & wanted[at],
                weak: cell.weak & wanted[at],
            }),
            Some(cut) => self.tear(unit, name, cut.effect, |at, cell| {
                cell.torn(cell.byte & wanted[at], cut, at)
            }),
        }
    }

    /// The unit counts as programmed once more.
    pub(crate) fn count_program(&mut self, unit: usize) {
        self.programs[unit] += 1;
        self.tally.programs += 1;
    }

    /// What a cut leaves of an erase of the page, in which this chunk starts at `start`. `name` is that of its first unit.
    /// How often units were programmed stays as it was.
    pub(crate) fn tear_erase(&mut self, start: usize, name: u64, cut: Tear) {
        for unit in 0..self.programs.len() {
            self.tear(unit, name + unit as u64, cut.effect, |at, cell| {
                cell.torn(0xFF, cut, start + unit * UNIT + at)
            });
        }
    }

    /// Turns bits of the byte at `within` over, but for weak ones: those stay weak.
    pub(crate) fn flip(&mut self, name: u64, within: usize, mask: u8) {
        self.change(within / UNIT, name, |at, cell| Cell {
            byte: cell.byte
                ^ if at == within % UNIT {
                    mask & !cell.weak
                } else {
                    0
                },
            ..cell
        });
    }

    fn tear(
        &mut self,
        unit: usize,
        name: u64,
        effect: CutEffect,
        change: impl Fn(usize, Cell) -> Cell,
    ) {
        if effect == CutEffect::Unreadable {
            self.make_unreadable(unit, name);
        } else {
            self.change(unit, name, change);
        }
    }

    /// Changes a unit; `change` gets the number of each byte in it.
    fn change(&mut self, unit: usize, name: u64, change: impl Fn(usize, Cell) -> Cell) {
        let before = self.hash(unit, name);
        let was_weak = self.weak(unit);
        let mut weak = was_weak;
        let bytes = &mut self.bytes[unit * UNIT..][..UNIT];
        for (at, (byte, weak)) in bytes.iter_mut().zip(&mut weak).enumerate() {
            let cell = change(
                at,
                Cell {
                    byte: *byte,
                    weak: *weak,
                },
            );
            (*byte, *weak) = (cell.byte, cell.weak);
        }
        if weak != was_weak {
            let count = |weak: [u8; UNIT]| weak.iter().filter(|weak| **weak != 0).count() as u32;
            self.tally.weak_bytes = self.tally.weak_bytes - count(was_weak) + count(weak);
            self.unsettled().weak[unit * UNIT..][..UNIT].copy_from_slice(&weak);
            if self.tally.is_settled() {
                self.unsettled = None;
            }
        }
        self.rehash(before, unit, name);
    }

    fn make_unreadable(&mut self, unit: usize, name: u64) {
        let before = self.hash(unit, name);
        let unreadable = &mut self.unsettled().unreadable[unit];
        let is_new = !std::mem::replace(unreadable, true);
        self.tally.unreadable_units += u32::from(is_new);
        self.rehash(before, unit, name);
    }

    fn rehash(&mut self, before: u64, unit: usize, name: u64) {
        self.tally.sum = self
            .tally
            .sum
            .wrapping_sub(before)
            .wrapping_add(self.hash(unit, name));
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

    fn weak(&self, unit: usize) -> [u8; UNIT] {
        self.unsettled
            .as_ref()
            .map_or([0; UNIT], |unsettled| of_unit(&unsettled.weak, unit))
    }

    /// Says what the unit called `name` holds and how it reads; 0 if it reads erased for good.
    pub(crate) fn hash(&self, unit: usize, name: u64) -> u64 {
        let content = word(of_unit::<UNIT>(&self.bytes, unit));
        let weak = word(self.weak(unit));
        let unreadable = self
            .unsettled
            .as_ref()
            .is_some_and(|unsettled| unsettled.unreadable[unit]);
        let erased = word([0xFF; UNIT]);
        if content == erased && weak == 0 && !unreadable {
            return 0;
        }
        let mut hash = fold(name, content as u64);
        hash = fold(hash, (content >> 64) as u64 ^ u64::from(unreadable));
        if weak != 0 {
            hash = fold(hash, fold(weak as u64, (weak >> 64) as u64));
        }
        hash
    }
}

fn of_unit<const UNIT: usize>(bytes: &[u8], unit: usize) -> [u8; UNIT] {
    let mut of_unit = [0; UNIT];
    of_unit.copy_from_slice(&bytes[unit * UNIT..][..UNIT]);
    of_unit
}

fn word<const UNIT: usize>(bytes: [u8; UNIT]) -> u128 {
    let mut word = [0; 16];
    word[..UNIT].copy_from_slice(&bytes);
    u128::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_divided_evenly_into_chunks_of_whole_units() {
        for (unit, page, chunk) in [
            (4, 256, 256),
            (4, 1024, 1024),
            (8, 2048, 1024),
            (4, 131_072, 1024),
            (12, 3072, 768),
            (4, 1548, 516),
        ] {
            assert_eq!(chunk_bytes(unit, page), chunk, "{page} bytes of {unit}");
        }
    }
}
