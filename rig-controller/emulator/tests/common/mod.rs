//! Programs in halfwords, and a world that remembers.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod asm;

use std::collections::VecDeque;

use powercut_emulator::{
    Cycles, FLASH_BYTES, Go, Machine, Operation, ResetCause, Stop, Timing, View, World,
};

/// Where programs begin.
pub const START: u32 = 0x400;
/// Where the handlers of [`Image`] are, if the test gives any.
pub const HANDLER: u32 = 0x200;
/// The stack pointer at reset.
pub const STACK: u32 = 0x2000_3000;

/// A world that writes down everything and may stop the machine.
#[derive(Default)]
pub struct Notes {
    pub operations: Vec<(Cycles, Operation)>,
    pub done: Vec<Cycles>,
    pub sent: Vec<(Cycles, u8)>,
    pub pins: Vec<(Cycles, u32)>,
    pub resets: Vec<(Cycles, ResetCause)>,
    pub absent: Vec<&'static str>,
    pub not_emulated: Vec<u32>,
    pub overruns: Vec<Cycles>,
    pub not_written: Vec<u32>,
    /// Bytes for the device, and when they have arrived.
    pub incoming: VecDeque<(Cycles, u8)>,
    /// The answer to the operation of this number.
    pub answer: Option<(usize, Go)>,
    /// The answer to each byte and each write of pins.
    pub answer_to_signs: Option<Go>,
    pub turned: Vec<Cycles>,
    pub pcs: Vec<u32>,
}

impl Notes {
    /// With these bytes arriving at these times.
    pub fn with_bytes(bytes: impl IntoIterator<Item = (Cycles, u8)>) -> Self {
        Self {
            incoming: bytes.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl World for Notes {
    fn operation(&mut self, operation: Operation, view: &View<'_>) -> Go {
        self.operations.push((view.now, operation));
        self.pcs.push(view.pc);
        match self.answer {
            Some((number, go)) if number + 1 == self.operations.len() => go,
            _ => Go::On,
        }
    }

    fn operation_done(&mut self, _: Operation, view: &View<'_>) {
        self.done.push(view.now);
    }

    fn byte_sent(&mut self, byte: u8, view: &View<'_>) -> Go {
        self.sent.push((view.now, byte));
        self.answer_to_signs.unwrap_or(Go::On)
    }

    fn pins(&mut self, _: u32, outputs: u32, view: &View<'_>) -> Go {
        self.pins.push((view.now, outputs));
        self.answer_to_signs.unwrap_or(Go::On)
    }

    fn reset(&mut self, cause: ResetCause, view: &View<'_>) {
        self.resets.push((view.now, cause));
    }

    fn not_written(&mut self, address: u32, _: &View<'_>) {
        self.not_written.push(address);
    }

    fn not_on_silicon(&mut self, what: &'static str) {
        self.absent.push(what);
    }

    fn not_emulated(&mut self, address: u32) {
        self.not_emulated.push(address);
    }

    fn overrun(&mut self, now: Cycles) {
        self.overruns.push(now);
    }

    fn next_at(&self) -> Option<Cycles> {
        self.incoming.front().map(|(at, _)| *at)
    }

    fn turn(&mut self, now: Cycles) {
        self.turned.push(now);
    }

    fn next_byte(&mut self, now: Cycles) -> Option<u8> {
        let (_, byte) = self.incoming.pop_front_if(|(at, _)| *at <= now)?;
        Some(byte)
    }
}

/// Where the handler of exception `number` is that an [`Image`] was given.
pub fn handler(number: u32) -> u32 {
    0x2_0000 + 0x100 * number
}

/// Flash with a program in it.
#[derive(Clone)]
pub struct Image(pub Vec<u8>);

impl Image {
    /// `code` at [`START`], all vectors but reset at [`HANDLER`].
    pub fn new(code: &[u16]) -> Self {
        let mut image = Self(vec![0xFF; FLASH_BYTES]);
        for vector in 2..48 {
            image = image.word(4 * vector, HANDLER | 1);
        }
        image.word(0, STACK).word(4, START | 1).code(START, code)
    }

    pub fn word(mut self, address: u32, word: u32) -> Self {
        let start = address as usize;
        self.0[start..start + 4].copy_from_slice(&word.to_le_bytes());
        self
    }

    pub fn code(mut self, address: u32, code: &[u16]) -> Self {
        for (at, halfword) in (address as usize..).step_by(2).zip(code) {
            self.0[at..at + 2].copy_from_slice(&halfword.to_le_bytes());
        }
        self
    }

    /// The handler of exception `number`, at [`handler`].
    pub fn handler(self, number: u32, code: &[u16]) -> Self {
        let address = handler(number);
        self.word(4 * number, address | 1).code(address, code)
    }

    /// A machine with a debugger attached that has just been powered on with this flash.
    pub fn machine(&self, timing: Timing) -> Machine {
        let mut machine = Machine::new(timing);
        machine.load_flash(&self.0);
        machine.attach_debugger(true);
        machine.power_on(0);
        machine
    }
}

/// Runs `code`, which ends in a breakpoint.
pub fn run(code: &[u16]) -> (Machine, Notes) {
    run_image(&Image::new(code))
}

/// Runs an image to a breakpoint.
pub fn run_image(image: &Image) -> (Machine, Notes) {
    let mut machine = image.machine(Timing::Silicon);
    let mut notes = Notes::default();
    to_breakpoint(&mut machine, &mut notes);
    (machine, notes)
}

/// Runs on to a breakpoint and returns its number.
pub fn to_breakpoint(machine: &mut Machine, notes: &mut Notes) -> u8 {
    match machine.run(notes, machine.now() + 1_000_000_000) {
        Stop::Breakpoint { number, .. } => number,
        stop => panic!("{stop:?} at {:#x}", machine.registers()[15]),
    }
}

/// The word in RAM at `address`.
pub fn ram_word(machine: &Machine, address: u32) -> u32 {
    let start = (address - powercut_emulator::RAM_START) as usize;
    let bytes = &machine.ram()[start..start + 4];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
