//! Flash and RAM, and the instructions that were decoded from flash.
//!
//! Every change of flash goes through here, so that no instruction outlives the bytes it was decoded from. Instructions in
//! RAM are decoded each time they are executed.
#![expect(clippy::inline_always, reason = "parts of the loop in `execute`")]

use crate::decode::{Instruction, Kind, decode};
use crate::footprint::Footprint;
use crate::unsettled::Unsettled;
use crate::{FLASH_BYTES, PAGE_BYTES, RAM_BYTES, RAM_START};

#[derive(Clone)]
pub(crate) struct Memory {
    flash: Box<[u8; FLASH_BYTES]>,
    pub(crate) ram: Box<[u8; RAM_BYTES]>,
    /// One for each halfword of flash.
    decoded: Box<[Instruction]>,
    /// Addresses before which a debugger wants the core to stop.
    breakpoints: Vec<u32>,
    /// Follows what a run needs, if somebody wants to know.
    pub(crate) footprint: Option<Box<Footprint>>,
    /// Words that are unsettled, if any are.
    pub(crate) unsettled: Option<Box<Unsettled>>,
    /// The page of which the footprint has all that is fetched.
    pub(crate) fetching: u32,
    /// Of the pages that have not changed since they were asked for.
    digests: Box<[Option<u64>]>,
    /// Whether calls are to be looked at.
    remembers_calls: bool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self {
            flash: boxed(0xFF),
            ram: boxed(0),
            decoded: vec![Instruction::NOT_DECODED; FLASH_BYTES / 2].into_boxed_slice(),
            breakpoints: Vec::new(),
            footprint: None,
            unsettled: None,
            fetching: u32::MAX,
            digests: vec![None; FLASH_BYTES / PAGE_BYTES].into_boxed_slice(),
            remembers_calls: false,
        }
    }

    /// Replaces the addresses before which the core stops.
    pub(crate) fn set_breakpoints(&mut self, addresses: &[u32]) {
        let before = std::mem::replace(&mut self.breakpoints, addresses.to_vec());
        for address in before.iter().chain(addresses) {
            if let Some(place) = self.decoded.get_mut((address >> 1) as usize) {
                *place = Instruction::NOT_DECODED;
            }
        }
    }

    pub(crate) fn flash(&self) -> &[u8; FLASH_BYTES] {
        &self.flash
    }

    /// The instruction at `pc`, an even address; `None` if nothing can be executed there.
    #[inline(always)]
    pub(crate) fn instruction(&mut self, pc: u32) -> Option<Instruction> {
        if self.footprint.is_some() && pc / PAGE_BYTES as u32 != self.fetching {
            self.fetch_from(pc);
        }
        match self.decoded.get((pc >> 1) as usize) {
            Some(instruction) if instruction.kind != Kind::NotDecoded => Some(*instruction),
            _ => self.decode(pc),
        }
    }

    /// Tells the footprint that instructions are fetched from the page of `pc`, or from RAM.
    #[inline(never)]
    fn fetch_from(&mut self, pc: u32) {
        let Some(footprint) = &mut self.footprint else {
            return;
        };
        if let Some(offset) = pc.checked_sub(RAM_START) {
            footprint.read_ram(offset as usize..offset as usize + 4);
        } else {
            self.fetching = pc / PAGE_BYTES as u32;
            footprint.fetch(self.fetching as usize);
        }
    }

    #[cold]
    #[inline(never)]
    fn decode(&mut self, pc: u32) -> Option<Instruction> {
        let mut instruction = if self.breakpoints.contains(&pc) {
            Instruction::TRAP
        } else {
            decode(pc, self.halfword(pc)?, self.halfword(pc.wrapping_add(2)))
        };
        if instruction.kind == Kind::Bl && !self.remembers_calls {
            instruction.kind = Kind::BlLeftAlone;
        }
        if let Some(place) = self.decoded.get_mut((pc >> 1) as usize) {
            *place = instruction;
        }
        Some(instruction)
    }

    /// A word of RAM, by its number.
    pub(crate) fn ram_word(&self, index: usize) -> u32 {
        value::<4, RAM_BYTES>(&self.ram, index * 4)
    }

    pub(crate) fn set_ram_word(&mut self, index: usize, word: u32) {
        let start = (index * 4) & (RAM_BYTES - 4);
        self.ram[start..start + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// 64 bits for the content of a page.
    pub(crate) fn digest_of_page(&mut self, page: usize) -> u64 {
        let flash = &self.flash;
        *self.digests[page].get_or_insert_with(|| {
            let (words, _) = flash[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].as_chunks::<8>();
            words.iter().fold(page as u64, |digest: u64, word| {
                let mixed = (digest.rotate_left(23) ^ u64::from_le_bytes(*word))
                    .wrapping_mul(0x9E37_79B9_7F4A_7C15);
                mixed ^ mixed >> 29
            })
        })
    }

    /// The first 16 bytes of code at `address`, put together; `None` outside flash.
    pub(crate) fn code_at(&self, address: u32) -> Option<u64> {
        let code = self.flash.get(address as usize..address as usize + 16)?;
        let (words, _) = code.as_chunks::<8>();
        let [first, second] = [words[0], words[1]].map(u64::from_le_bytes);
        Some(first ^ second.rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Calls from `pc`, a BL, are not looked at.
    pub(crate) fn leave_call_alone(&mut self, pc: u32) {
        if let Some(instruction) = self.decoded.get_mut((pc >> 1) as usize)
            && instruction.kind == Kind::Bl
        {
            instruction.kind = Kind::BlLeftAlone;
        }
    }

    /// Calls are looked at from now on, wherever they are.
    pub(crate) fn look_at_calls(&mut self) {
        self.remembers_calls = true;
        for instruction in &mut self.decoded {
            if instruction.kind == Kind::BlLeftAlone {
                instruction.kind = Kind::Bl;
            }
        }
    }

    fn halfword(&self, address: u32) -> Option<u16> {
        let (memory, offset) = match address.checked_sub(RAM_START) {
            Some(offset) => (&self.ram[..], offset as usize),
            None => (&self.flash[..], address as usize),
        };
        let bytes = memory.get(offset..offset + 2)?;
        Some(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    /// The `N` bytes (1, 2 or 4) at `address`, a multiple of `N`; `None` outside RAM and flash.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&mut self, address: u32) -> Option<u32> {
        let offset = address.wrapping_sub(RAM_START) as usize;
        if offset < RAM_BYTES {
            if let Some(footprint) = &mut self.footprint {
                footprint.load_ram::<N>(offset);
            }
            return Some(value::<N, RAM_BYTES>(&self.ram, offset));
        }
        let offset = address as usize;
        if offset >= FLASH_BYTES {
            return None;
        }
        if let Some(footprint) = &mut self.footprint {
            footprint.load_flash(offset);
        }
        if self.unsettled.is_some() {
            return self.load_unsettled::<N>(address);
        }
        Some(value::<N, FLASH_BYTES>(&self.flash, offset))
    }

    /// Loads from flash of which some words are unsettled.
    #[cold]
    #[inline(never)]
    fn load_unsettled<const N: usize>(&mut self, address: u32) -> Option<u32> {
        let word = self.flash_word(address);
        let word = match &mut self.unsettled {
            Some(unsettled) => unsettled.look(address & !3, word)?,
            None => word,
        };
        let shifted = word >> (8 * (address & 3));
        Some(match N {
            1 => shifted & 0xFF,
            2 => shifted & 0xFFFF,
            _ => shifted,
        })
    }

    /// Forgets that words were unsettled once none is.
    fn settled(&mut self) {
        if self
            .unsettled
            .as_ref()
            .is_some_and(|unsettled| unsettled.is_empty())
        {
            self.unsettled = None;
        }
    }

    /// Stores `N` bytes at `address`, a multiple of `N`; `false` outside RAM.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, address: u32, value: u32) -> bool {
        let offset = address.wrapping_sub(RAM_START) as usize;
        if offset >= RAM_BYTES {
            return false;
        }
        if let Some(footprint) = &mut self.footprint {
            footprint.store_ram::<N>(offset);
        }
        // The masks change nothing, as the address is aligned; they show that nothing is out of bounds.
        let ram = &mut self.ram;
        let [b0, b1, b2, b3] = value.to_le_bytes();
        match N {
            1 => ram[offset] = b0,
            2 => {
                let offset = offset & (RAM_BYTES - 2);
                [ram[offset], ram[offset + 1]] = [b0, b1];
            }
            _ => {
                let offset = offset & (RAM_BYTES - 4);
                [
                    ram[offset],
                    ram[offset + 1],
                    ram[offset + 2],
                    ram[offset + 3],
                ] = [b0, b1, b2, b3];
            }
        }
        true
    }

    /// The word of flash at `address`, of which the two lowest bits do not count.
    pub(crate) fn flash_word(&self, address: u32) -> u32 {
        value::<4, FLASH_BYTES>(&self.flash, address as usize)
    }

    /// The word of flash at `address`, as the core reads it.
    pub(crate) fn read_flash_word(&mut self, address: u32) -> u32 {
        if let Some(footprint) = &mut self.footprint {
            footprint.read_flash(address & !3..(address & !3) + 4);
        }
        self.flash_word(address)
    }

    /// The word at `address` is programmed with `value`.
    pub(crate) fn program(&mut self, address: u32, value: u32) {
        let before = self.flash_word(address);
        if let Some(footprint) = &mut self.footprint {
            let weak = self.unsettled.as_ref();
            let weak = weak.map_or(0, |unsettled| unsettled.weak_bits(address));
            if weak & value != 0 {
                // What is weak stays so.
                footprint.read_flash(address..address + 4);
            }
            footprint.program(address / 4, before, value);
            self.fetching = u32::MAX;
        }
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.program(address, value);
            self.settled();
        }
        self.set_word(address, before & value);
    }

    /// The page at `address` is erased.
    pub(crate) fn erase(&mut self, address: u32) {
        if let Some(footprint) = &mut self.footprint {
            footprint.erase(address);
            self.fetching = u32::MAX;
        }
        self.set_page(address, &[0xFF; PAGE_BYTES]);
    }

    /// Puts a word into flash, whatever was there.
    pub(crate) fn set_word(&mut self, address: u32, word: u32) {
        let start = address as usize & (FLASH_BYTES - 4);
        self.flash[start..start + 4].copy_from_slice(&word.to_le_bytes());
        self.forget(start, 4);
    }

    /// Puts a page into flash.
    pub(crate) fn set_page(&mut self, address: u32, page: &[u8; PAGE_BYTES]) {
        let start = address as usize & (FLASH_BYTES - PAGE_BYTES);
        self.flash[start..start + PAGE_BYTES].copy_from_slice(page);
        if let Some(unsettled) = &mut self.unsettled {
            unsettled.settle_page(start as u32);
            self.settled();
        }
        self.forget(start, PAGE_BYTES);
    }

    /// Forgets the instructions of which a byte lies in `length` bytes from `start`; an instruction of 32 bits may begin one
    /// halfword before.
    fn forget(&mut self, start: usize, length: usize) {
        self.digests[start / PAGE_BYTES] = None;
        let first = start / 2;
        self.decoded[first.saturating_sub(1)..first + length / 2].fill(Instruction::NOT_DECODED);
    }
}

fn boxed<const N: usize>(fill: u8) -> Box<[u8; N]> {
    let Ok(boxed) = vec![fill; N].into_boxed_slice().try_into() else {
        unreachable!("as many as asked for");
    };
    boxed
}

/// `N` bytes of `memory` at `offset`, aligned down. `SIZE` is a power of two.
#[inline(always)]
fn value<const N: usize, const SIZE: usize>(memory: &[u8; SIZE], offset: usize) -> u32 {
    match N {
        1 => memory[offset & (SIZE - 1)].into(),
        2 => {
            let offset = offset & (SIZE - 2);
            u16::from_le_bytes([memory[offset], memory[offset + 1]]).into()
        }
        _ => {
            let offset = offset & (SIZE - 4);
            u32::from_le_bytes([
                memory[offset],
                memory[offset + 1],
                memory[offset + 2],
                memory[offset + 3],
            ])
        }
    }
}
