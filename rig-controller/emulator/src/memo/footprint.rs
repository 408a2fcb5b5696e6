//! The footprint of one call as it is carried out: everything it looks at before it has made it itself, everything it changes.
//!
//! A register that a function only saves and restores is no input, nor are bytes of RAM that it only copies: registers and
//! bytes of RAM know the origin of what they hold.
use super::origin::{Bytes, MADE, Origin, Place};
use crate::cpu::{Cpu, LR, PC, SP};
use crate::decode::{Instruction, Kind};
use crate::memory::Memory;
use crate::{Cycles, FLASH_BYTES, RAM_BYTES, RAM_START};

pub(super) const RAM_WORDS: usize = RAM_BYTES / 4;
/// Flash is noted in lines of 64 bytes, a bit a byte.
pub(super) const LINE_BYTES: usize = 64;
const LINES: usize = FLASH_BYTES / LINE_BYTES;

/// Flags that were set: negative and zero, carry, overflow.
pub(super) const NZ: u8 = 1;
pub(super) const C: u8 = 2;
pub(super) const V: u8 = 4;

pub(crate) const NVMC_READY: u32 = 0x4001_E400;
pub(crate) const WATCHDOG_RELOAD: u32 = 0x4001_0600;

/// When a call feeds the watchdog, in cycles from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Feeds {
    pub(super) first: Cycles,
    pub(super) last: Cycles,
    /// The longest time between two.
    pub(super) gap: Cycles,
}

/// One word of RAM, as far as the call has to do with it.
#[derive(Clone, Copy)]
struct Word {
    /// The call that this is about.
    call: u32,
    /// The bytes whose content at the beginning mattered, a bit each.
    read: u8,
    /// The bytes that were written.
    written: u8,
    /// The origin of each of its bytes.
    holds: Bytes,
    /// Its content when the call began.
    before: u32,
}

impl Word {
    const UNTOUCHED: Self = Self {
        call: 0,
        read: 0,
        written: 0,
        holds: MADE,
        before: 0,
    };
}

#[derive(Clone, Copy, Default)]
struct Line {
    call: u32,
    read: u64,
}

/// See the module's text. Kept from call to call: only what a call has touched is looked at.
pub(super) struct CallFootprint {
    call: u32,
    words: Box<[Word]>,
    pub(super) touched_words: Vec<u16>,
    lines: Box<[Line]>,
    pub(super) touched_lines: Vec<u16>,
    /// The origin of each register's bytes.
    pub(super) holds: [Bytes; 16],
    /// Registers of the caller whose value mattered, a bit each.
    pub(super) used: u16,
    pub(super) flags: u8,
    pub(super) registers: [u32; 16],
    pub(super) began: Cycles,
    pub(super) feeds: Option<Feeds>,
    /// The call does what no memory of it could do again.
    pub(super) is_impure: bool,
}

impl CallFootprint {
    pub(super) fn new() -> Self {
        Self {
            call: 0,
            words: vec![Word::UNTOUCHED; RAM_WORDS].into_boxed_slice(),
            touched_words: Vec::new(),
            lines: vec![Line::default(); LINES].into_boxed_slice(),
            touched_lines: Vec::new(),
            holds: [MADE; 16],
            used: 0,
            flags: 0,
            registers: [0; 16],
            began: 0,
            feeds: None,
            is_impure: false,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self, cpu: &Cpu, now: Cycles) {
        self.call = self.call.wrapping_add(1);
        if self.call == 0 {
            self.words.fill(Word::UNTOUCHED);
            self.lines.fill(Line::default());
            self.call = 1;
        }
        self.touched_words.clear();
        self.touched_lines.clear();
        self.holds = std::array::from_fn(Origin::of_register);
        // Addresses are made of it: it is an input of every call.
        self.holds[SP] = MADE;
        // It follows from the code.
        self.holds[PC] = MADE;
        self.used = 1 << SP;
        self.flags = 0;
        self.registers = cpu.r;
        self.began = now;
        self.feeds = None;
        self.is_impure = false;
    }

    /// The bytes of a word whose content at the beginning mattered, and that content.
    pub(super) fn read_of(&self, word: u16) -> (u8, u32) {
        let word = &self.words[usize::from(word)];
        (word.read, word.before)
    }

    /// The bytes of a word that were written, and the origin of each byte.
    pub(super) fn written_of(&self, word: u16) -> (u8, Bytes) {
        let word = &self.words[usize::from(word)];
        (word.written, word.holds)
    }

    /// The bytes of a line of flash that were read.
    pub(super) fn line(&self, line: u16) -> u64 {
        self.lines[usize::from(line)].read
    }

    /// Notes the instruction at `pc`, which is about to be executed.
    pub(super) fn note(
        &mut self,
        cpu: &Cpu,
        memory: &Memory,
        pc: u32,
        i: Instruction,
        now: Cycles,
    ) {
        #[allow(
            clippy::enum_glob_use,
            reason = "a table of instructions is read by its kinds"
        )]
        use Kind::*;
        if pc as usize >= FLASH_BYTES - 4 {
            self.is_impure = true;
            return;
        }
        // The halfword behind may be part of it.
        self.read_flash(pc, 4);
        let sum = cpu.get(i.b).wrapping_add(cpu.get(i.c()));
        let offset = cpu.get(i.b).wrapping_add(i.value);
        match i.kind {
            MovHigh => self.holds[usize::from(i.a & 15)] = self.holds[usize::from(i.b & 15)],
            MovRegister | Mvn => self.one(i, NZ),
            Rsb | AddImmediate | SubImmediate => self.one(i, NZ | C | V),
            LslImmediate | LsrImmediate | AsrImmediate => self.one(i, NZ | C),
            AddConstant | AddPlain | Sxth | Sxtb | Rev | Rev16 | Revsh => self.one(i, 0),
            Uxth => self.takes_lowest(i, 2),
            Uxtb => self.takes_lowest(i, 1),
            AddRegister | SubRegister => {
                self.uses(i.c());
                self.one(i, NZ | C | V);
            }
            MovImmediate => self.sets(i.a, NZ),
            Constant => self.sets(i.a, 0),
            CmpImmediate => self.compares(i.b, i.b),
            CmpRegister | Cmn => self.compares(i.a, i.b),
            And | Eor | Orr | Bic | Mul => self.two(i, NZ),
            Tst => {
                self.uses(i.a);
                self.uses(i.b);
                self.flags |= NZ;
            }
            Adc | Sbc => {
                self.needs(C);
                self.two(i, NZ | C | V);
            }
            Lsl | Lsr | Asr | Ror => {
                // A shift by nothing leaves the carry.
                let carry = if cpu.get(i.b) as u8 == 0 { 0 } else { C };
                self.two(i, NZ | carry);
            }
            AddHigh => self.two(i, 0),
            AddToSp | MovToSp | JumpRegister => self.uses(i.b),
            JumpConstant | Nop | Barrier | B => {}
            Bl | BlLeftAlone => self.sets(LR as u8, 0),
            BlxRegister => {
                self.uses(i.b);
                self.sets(LR as u8, 0);
            }
            Bx => self.jumps_to(self.holds[usize::from(i.b & 15)]),
            LdrLiteral => self.loads(memory, i.value, 4, i.a),
            LdrRegister => self.loads_at_sum(memory, i, sum, 4),
            LdrhRegister => self.loads_at_sum(memory, i, sum, 2),
            LdrshRegister => self.loads_signed(memory, i, sum, 2),
            LdrbRegister => self.loads_at_sum(memory, i, sum, 1),
            LdrsbRegister => self.loads_signed(memory, i, sum, 1),
            LdrImmediate => self.loads_at(memory, i, offset, 4),
            LdrhImmediate => self.loads_at(memory, i, offset, 2),
            LdrbImmediate => self.loads_at(memory, i, offset, 1),
            StrRegister => self.stores_at_sum(memory, i, sum, 4, now),
            StrhRegister => self.stores_at_sum(memory, i, sum, 2, now),
            StrbRegister => self.stores_at_sum(memory, i, sum, 1, now),
            StrImmediate => self.stores_at(memory, i, offset, 4, now),
            StrhImmediate => self.stores_at(memory, i, offset, 2, now),
            StrbImmediate => self.stores_at(memory, i, offset, 1, now),
            Push => {
                let start = cpu.r[SP].wrapping_sub(4 * i.value.count_ones());
                self.stores_list(memory, start, i.value, now);
            }
            Pop => {
                self.loads_list(memory, cpu.r[SP], i.value);
            }
            PopPc => {
                let last = self.loads_list(memory, cpu.r[SP], i.value);
                let back = self.load(memory, last, 4);
                self.jumps_to(back);
            }
            Stm => {
                self.uses(i.b);
                self.stores_list(memory, cpu.get(i.b), i.value, now);
                self.holds[usize::from(i.b & 15)] = MADE;
            }
            Ldm => {
                self.uses(i.b);
                let base = cpu.get(i.b);
                self.loads_list(memory, base, i.value);
                if i.value >> i.b & 1 == 0 {
                    self.holds[usize::from(i.b & 15)] = MADE;
                }
            }
            Beq | Bne | Bmi | Bpl => self.needs(NZ),
            Bcs | Bcc => self.needs(C),
            Bvs | Bvc => self.needs(V),
            Bhi | Bls => self.needs(NZ | C),
            Bge | Blt | Bgt | Ble => self.needs(NZ | V),
            _ => self.is_impure = true,
        }
    }

    fn uses(&mut self, register: u8) {
        self.uses_bytes(self.holds[usize::from(register & 15)]);
    }

    fn uses_bytes(&mut self, bytes: Bytes) {
        for byte in bytes {
            self.uses_byte(byte);
        }
    }

    /// The content of this byte when the call began matters.
    fn uses_byte(&mut self, byte: Origin) {
        match byte.place() {
            None => {}
            Some(Place::Register(register, _)) => self.used |= 1 << register,
            Some(Place::Ram(offset)) => self.words[offset / 4].read |= 1 << (offset % 4),
        }
    }

    fn takes_lowest(&mut self, i: Instruction, bytes: usize) {
        let mut lowest = self.holds[usize::from(i.b & 15)];
        lowest[bytes..].fill(Origin::NONE);
        self.holds[usize::from(i.a & 15)] = lowest;
    }

    fn sets(&mut self, register: u8, flags: u8) {
        self.holds[usize::from(register & 15)] = MADE;
        self.flags |= flags;
    }

    /// A result of one operand.
    fn one(&mut self, i: Instruction, flags: u8) {
        self.uses(i.b);
        self.sets(i.a, flags);
    }

    /// A result of the register it goes to, and of another.
    fn two(&mut self, i: Instruction, flags: u8) {
        self.uses(i.a);
        self.one(i, flags);
    }

    fn compares(&mut self, a: u8, b: u8) {
        self.uses(a);
        self.uses(b);
        self.flags |= NZ | C | V;
    }

    /// Flags of the caller are no input: no function is compiled so.
    fn needs(&mut self, flags: u8) {
        self.is_impure |= self.flags & flags != flags;
    }

    /// A jump to an address of this origin: the address that the caller itself gave is no input.
    fn jumps_to(&mut self, address: Bytes) {
        if address != Origin::of_register(LR) {
            self.uses_bytes(address);
        }
    }

    fn loads_at_sum(&mut self, memory: &Memory, i: Instruction, address: u32, bytes: u32) {
        self.uses(i.c());
        self.loads_at(memory, i, address, bytes);
    }

    fn loads_at(&mut self, memory: &Memory, i: Instruction, address: u32, bytes: u32) {
        self.uses(i.b);
        self.loads(memory, address, bytes, i.a);
    }

    fn loads(&mut self, memory: &Memory, address: u32, bytes: u32, register: u8) {
        let loaded = self.load(memory, address, bytes);
        self.holds[usize::from(register & 15)] = loaded;
    }

    /// The origin of what was loaded.
    fn load(&mut self, memory: &Memory, address: u32, bytes: u32) -> Bytes {
        let offset = address.wrapping_sub(RAM_START) as usize;
        if !address.is_multiple_of(bytes) {
            self.is_impure = true;
        } else if offset < RAM_BYTES {
            let holds = self.word(memory, offset / 4).holds;
            let mut loaded = MADE;
            let bytes = bytes as usize;
            loaded[..bytes].copy_from_slice(&holds[offset % 4..][..bytes]);
            return loaded;
        } else if (address as usize) < FLASH_BYTES {
            self.read_flash(address, bytes);
        } else if address != NVMC_READY {
            self.is_impure = true;
        }
        MADE
    }

    /// The same with the sign for the bytes above.
    fn loads_signed(&mut self, memory: &Memory, i: Instruction, address: u32, bytes: u32) {
        self.loads_at_sum(memory, i, address, bytes);
        self.uses(i.a);
        self.holds[usize::from(i.a & 15)] = MADE;
    }

    fn stores_at_sum(
        &mut self,
        memory: &Memory,
        i: Instruction,
        address: u32,
        bytes: u32,
        now: Cycles,
    ) {
        self.uses(i.c());
        self.stores_at(memory, i, address, bytes, now);
    }

    fn stores_at(
        &mut self,
        memory: &Memory,
        i: Instruction,
        address: u32,
        bytes: u32,
        now: Cycles,
    ) {
        self.uses(i.b);
        self.store(memory, address, bytes, i.a, now);
    }

    fn store(&mut self, memory: &Memory, address: u32, bytes: u32, register: u8, now: Cycles) {
        let offset = address.wrapping_sub(RAM_START) as usize;
        let stored = self.holds[usize::from(register & 15)];
        if !address.is_multiple_of(bytes) {
            self.is_impure = true;
        } else if offset < RAM_BYTES {
            let word = self.word(memory, offset / 4);
            for (at, byte) in (offset % 4..).zip(stored).take(bytes as usize) {
                word.written |= 1 << at;
                word.holds[at] = byte;
            }
        } else if address == WATCHDOG_RELOAD {
            self.uses_bytes(stored);
            self.feed(now);
        } else {
            self.is_impure = true;
        }
    }

    fn feed(&mut self, now: Cycles) {
        let at = now - self.began;
        let feeds = self.feeds.get_or_insert(Feeds {
            first: at,
            last: at,
            gap: 0,
        });
        feeds.gap = feeds.gap.max(at.saturating_sub(feeds.last));
        feeds.last = at;
    }

    /// Loads a list of registers; returns the address behind.
    fn loads_list(&mut self, memory: &Memory, mut address: u32, mut list: u32) -> u32 {
        while list != 0 {
            let register = list.trailing_zeros() as u8;
            list &= list - 1;
            self.loads(memory, address, 4, register);
            address = address.wrapping_add(4);
        }
        address
    }

    fn stores_list(&mut self, memory: &Memory, mut address: u32, mut list: u32, now: Cycles) {
        while list != 0 {
            let register = list.trailing_zeros() as u8;
            list &= list - 1;
            self.store(memory, address, 4, register, now);
            address = address.wrapping_add(4);
        }
    }

    fn word(&mut self, memory: &Memory, index: usize) -> &mut Word {
        let word = &mut self.words[index];
        if word.call != self.call {
            self.touched_words.push(index as u16);
            *word = Word {
                call: self.call,
                read: 0,
                written: 0,
                holds: Origin::of_word(index),
                before: memory.ram_word(index),
            };
        }
        word
    }

    fn read_flash(&mut self, address: u32, bytes: u32) {
        let at = address as usize % LINE_BYTES;
        let index = address as usize / LINE_BYTES;
        let mask = ((1_u128 << bytes) - 1) << at;
        self.read_line(index, mask as u64);
        if mask >> LINE_BYTES != 0 {
            self.read_line(index + 1, (mask >> LINE_BYTES) as u64);
        }
    }

    fn read_line(&mut self, index: usize, mask: u64) {
        let line = &mut self.lines[index];
        if line.call != self.call {
            line.call = self.call;
            line.read = 0;
            self.touched_lines.push(index as u16);
        }
        line.read |= mask;
    }
}
