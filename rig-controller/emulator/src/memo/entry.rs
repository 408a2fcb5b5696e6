//! A remembered call: the places it looked at with what was there, and everything it changed.
use super::footprint::{C, CallFootprint, Feeds, LINE_BYTES, NZ, V};
use super::origin::{Bytes, MADE, Move, Origin, Place};
use crate::cpu::{Cpu, LR, PC, SP};
use crate::footprint::Footprint;
use crate::memory::Memory;
use crate::{Cycles, PAGE_BYTES};

/// A page of which so many bytes were read is compared as a whole.
const MUCH: u32 = 200;
const LINES_PER_PAGE: usize = PAGE_BYTES / LINE_BYTES;

/// The places that a call looks at. Calls of one function that look at the same places are told apart by what is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    registers: Vec<u8>,
    /// Words of RAM, with the bytes that count.
    ram: Vec<(u16, u8)>,
    /// Bytes of flash: where, and how many.
    flash: Vec<(u32, u32)>,
    /// Whole pages.
    pages: Vec<u16>,
}

/// The content that a call leaves in a register: the bytes that it has moved, and the others.
#[derive(Clone, Copy, Debug)]
struct Left {
    moved: Bytes,
    made: u32,
}

/// One call.
#[derive(Debug)]
pub(super) struct Entry {
    /// The content of all places of its shape.
    pub(super) input: Box<[u64]>,
    registers: [Left; 15],
    flags: (u8, [u32; 4]),
    /// Words of RAM, the bytes of them that were written, and their content.
    ram: Box<[(u16, u8, u32)]>,
    /// Bytes that the caller made and the call has moved.
    moves: Box<[Move]>,
    pub(super) cycles: Cycles,
    pub(super) instructions: u64,
    pub(super) feeds: Option<Feeds>,
}

impl Shape {
    pub(super) fn of(footprint: &mut CallFootprint) -> Self {
        footprint.touched_words.sort_unstable();
        footprint.touched_lines.sort_unstable();
        let registers = (0..15).filter(|register| footprint.used >> register & 1 == 1);
        let words = footprint.touched_words.iter();
        let ram = words
            .map(|word| (*word, footprint.read_of(*word).0))
            .filter(|(_, bytes)| *bytes != 0);
        let (mut flash, mut pages) = (Vec::new(), Vec::new());
        let in_one_page =
            |a: &u16, b: &u16| usize::from(*a) / LINES_PER_PAGE == usize::from(*b) / LINES_PER_PAGE;
        for lines in footprint.touched_lines.chunk_by(in_one_page) {
            let read: u32 = lines
                .iter()
                .map(|line| footprint.line(*line).count_ones())
                .sum();
            if read > MUCH {
                pages.push(lines[0] / LINES_PER_PAGE as u16);
            } else {
                for line in lines {
                    stretches(*line, footprint.line(*line), &mut flash);
                }
            }
        }
        Self {
            registers: registers.collect(),
            ram: ram.collect(),
            flash,
            pages,
        }
    }

    /// The content of all its places.
    pub(super) fn input(
        &self,
        registers: &[u32; 16],
        ram: impl Fn(&Memory, u16) -> u32,
        memory: &mut Memory,
        into: &mut Vec<u64>,
    ) {
        into.clear();
        let used = self.registers.iter();
        into.extend(used.map(|register| u64::from(registers[usize::from(*register)])));
        let words = self.ram.iter();
        into.extend(words.map(|(word, bytes)| u64::from(ram(memory, *word) & bits_of(*bytes))));
        for (start, length) in &self.flash {
            let (start, length) = (*start as usize, *length as usize);
            let bytes = &memory.flash()[start..start + length];
            into.extend(bytes.chunks(8).map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            }));
        }
        for page in &self.pages {
            into.push(memory.digest_of_page(usize::from(*page)));
        }
    }
}

impl Shape {
    /// Whether it has looked at pages of which words are unsettled.
    pub(super) fn is_unsettled(&self, memory: &Memory) -> bool {
        memory.unsettled.as_ref().is_some_and(|unsettled| {
            let ends = |(start, length): &(u32, u32)| [*start, start + length];
            let bytes = self.flash.iter().flat_map(ends);
            let pages = self.pages.iter().map(|page| usize::from(*page));
            bytes
                .map(|address| address as usize / PAGE_BYTES)
                .chain(pages)
                .any(|page| unsettled.is_in_page(page))
        })
    }

    /// Everything that a call of this shape has looked at goes into the footprint of the run.
    pub(super) fn note(&self, run: &mut Footprint) {
        for (word, bytes) in &self.ram {
            run.read_ram_bytes(*word, *bytes);
        }
        for (start, length) in &self.flash {
            run.read_flash(*start..start + length);
        }
        for page in &self.pages {
            let start = u32::from(*page) * PAGE_BYTES as u32;
            run.read_flash(start..start + PAGE_BYTES as u32);
        }
    }
}

impl Entry {
    /// Everything that the call copies or changes goes into the footprint of the run.
    pub(super) fn note(&self, run: &mut Footprint) {
        let to_registers = self.registers.iter().flat_map(|left| left.moved);
        let moved = self.moves.iter().flat_map(|bytes| bytes.sources());
        for place in to_registers.filter_map(Origin::place).chain(moved) {
            if let Place::Ram(offset) = place {
                run.read_ram(offset..offset + 1);
            }
        }
        for (word, bytes, _) in &self.ram {
            run.write_ram_bytes(*word, *bytes);
        }
        for bytes in &self.moves {
            for offset in bytes.to..bytes.to + bytes.bytes {
                run.write_ram_bytes(offset / 4, 1 << (offset % 4));
            }
        }
    }

    /// The call that `footprint` is of, which has come to its end: `cpu` and `memory` are as it leaves them.
    pub(super) fn of(
        footprint: &CallFootprint,
        shape: &Shape,
        cpu: &Cpu,
        memory: &mut Memory,
        (cycles, instructions): (Cycles, u64),
    ) -> Self {
        let mut input = Vec::new();
        let before = |_: &Memory, word| footprint.read_of(word).1;
        shape.input(&footprint.registers, before, memory, &mut input);
        let (mut ram, mut moves) = (Vec::new(), Vec::new());
        for word in &footprint.touched_words {
            let (written, holds) = footprint.written_of(*word);
            let mut made = 0;
            for at in (0..4).filter(|at| written >> at & 1 == 1) {
                let offset = usize::from(*word) * 4 + at;
                match holds[at] {
                    Origin::NONE => made |= 1 << at,
                    // Put back where it was.
                    byte if byte == Origin::of_ram(offset) => {}
                    byte => Move::add(&mut moves, byte, offset),
                }
            }
            if made != 0 {
                ram.push((*word, made, memory.ram_word(usize::from(*word))));
            }
        }
        let registers = std::array::from_fn(|register| {
            let moved = footprint.holds[register];
            let is_made = |byte: &usize| moved[*byte] == Origin::NONE;
            let made = (0..4)
                .filter(is_made)
                .fold(0, |mask, byte| mask | 1 << byte);
            Left {
                moved,
                made: cpu.r[register] & bits_of(made),
            }
        });
        let flags = [cpu.negative, cpu.zero, cpu.carry, cpu.overflow];
        Self {
            input: input.into(),
            registers,
            flags: (footprint.flags, flags),
            ram: ram.into(),
            moves: moves.into(),
            cycles,
            instructions,
            feeds: footprint.feeds,
        }
    }

    /// Does to the core and to RAM what the call did, and returns from it. `into` is scratch.
    pub(super) fn apply(&self, cpu: &mut Cpu, memory: &mut Memory, into: &mut Vec<u8>) {
        let caller = cpu.r;
        let content = |place: Place, memory: &Memory| match place {
            Place::Register(register, byte) => caller[register].to_le_bytes()[byte],
            Place::Ram(offset) => memory.ram[offset],
        };
        // All is taken before anything is changed.
        into.clear();
        let moved = self.moves.iter().flat_map(|bytes| bytes.sources());
        into.extend(moved.map(|place| content(place, memory)));
        for (to, left) in cpu.r.iter_mut().zip(&self.registers) {
            *to = left.made;
            if left.moved == MADE {
                continue;
            }
            for (at, byte) in (0..).zip(left.moved) {
                if let Some(place) = byte.place() {
                    *to |= u32::from(content(place, memory)) << (8 * at);
                }
            }
        }
        for (word, bytes, value) in &self.ram {
            let kept = memory.ram_word(usize::from(*word)) & !bits_of(*bytes);
            memory.set_ram_word(usize::from(*word), kept | value & bits_of(*bytes));
        }
        let mut taken = into.iter();
        for bytes in &self.moves {
            let to = usize::from(bytes.to);
            for (to, byte) in memory.ram[to..]
                .iter_mut()
                .zip(taken.by_ref().take(usize::from(bytes.bytes)))
            {
                *to = *byte;
            }
        }
        let (set, [negative, zero, carry, overflow]) = self.flags;
        if set & NZ != 0 {
            (cpu.negative, cpu.zero) = (negative, zero);
        }
        if set & C != 0 {
            cpu.carry = carry;
        }
        if set & V != 0 {
            cpu.overflow = overflow;
        }
        cpu.r[PC] = caller[LR] & !1;
        debug_assert_eq!(
            cpu.r[SP], caller[SP],
            "a call leaves the stack as it found it"
        );
    }

    /// Bytes of this host that it takes, about.
    pub(super) fn size_bytes(&self) -> usize {
        size_of::<Self>()
            + self.input.len() * 8
            + self.ram.len() * 8
            + self.moves.len() * size_of::<Move>()
    }
}

/// The bytes of a line that are set in `read`, as stretches.
fn stretches(line: u16, mut read: u64, into: &mut Vec<(u32, u32)>) {
    let start = u32::from(line) * LINE_BYTES as u32;
    let mut at = 0;
    while read != 0 {
        let skipped = read.trailing_zeros();
        read >>= skipped;
        let length = read.trailing_ones();
        at += skipped;
        match into.last_mut() {
            Some((from, known)) if *from + *known == start + at => *known += length,
            _ => into.push((start + at, length)),
        }
        at += length;
        read = read.checked_shr(length).unwrap_or(0);
    }
}

/// The bits of the bytes that are set in `bytes`.
fn bits_of(bytes: u8) -> u32 {
    const BITS: [u32; 16] = {
        let mut bits = [0; 16];
        let mut bytes = 0;
        while bytes < 16 {
            let mut byte = 0;
            while byte < 4 {
                if bytes >> byte & 1 == 1 {
                    bits[bytes] |= 0xFF << (8 * byte);
                }
                byte += 1;
            }
            bytes += 1;
        }
        bits
    };
    BITS[usize::from(bytes & 15)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_neighbouring_lines_become_one() {
        let mut found = Vec::new();
        stretches(0, 0b1110 | 1 << 63, &mut found);
        stretches(1, 0b11, &mut found);
        stretches(2, u64::MAX, &mut found);
        assert_eq!(found, [(1, 3), (63, 3), (128, 64)]);
    }

    #[test]
    fn a_mask_of_bytes_becomes_one_of_bits() {
        assert_eq!(bits_of(0b1001), 0xFF00_00FF);
        assert_eq!(bits_of(0b0110), 0x00FF_FF00);
    }
}
