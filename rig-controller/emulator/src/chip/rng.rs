//! The random number generator: bytes that follow from the machine's seed.

use super::{INTERRUPT_CLEAR, INTERRUPT_SET, SHORTS, write_mask};
use crate::Cycles;

const START: u32 = 0x000;
const STOP: u32 = 0x004;
const VALUE_READY: u32 = 0x100;
const CONFIG: u32 = 0x504;
const VALUE: u32 = 0x508;

const STOP_WHEN_READY: u32 = 1;
const CORRECTED: u32 = 1;

/// A byte takes 167 us, and 677 us with bias correction.
const RAW_CYCLES: Cycles = 2_672;
const CORRECTED_CYCLES: Cycles = 10_832;

/// The additive constant of splitmix64, by which its state moves on with each number.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rng {
    state: u64,
    /// When the next byte is ready, while the generator runs.
    due: Option<Cycles>,
    ready: bool,
    value: u8,
    shorts: u32,
    interrupts: u32,
    config: u32,
}

impl Rng {
    pub(crate) fn new() -> Self {
        Self {
            state: 0,
            due: None,
            ready: false,
            value: 0,
            shorts: 0,
            interrupts: 0,
            config: 0,
        }
    }

    /// The bytes that follow depend on `seed` alone.
    pub(crate) fn set_seed(&mut self, seed: u64) {
        self.state = seed;
    }

    /// Goes on in the sequence of `before`: noise does not begin anew with a reset.
    pub(crate) fn keep(&mut self, before: &Self) {
        self.state = before.state;
    }

    pub(crate) fn interrupt(&self) -> bool {
        self.interrupts & 1 == 1 && self.ready
    }

    pub(crate) fn next_interrupt(&self) -> Option<Cycles> {
        self.due.filter(|_| self.interrupts & 1 == 1 && !self.ready)
    }

    fn period(&self) -> Cycles {
        if self.config & CORRECTED == 0 {
            RAW_CYCLES
        } else {
            CORRECTED_CYCLES
        }
    }

    pub(crate) fn advance(&mut self, now: Cycles) {
        let Some(due) = self.due.filter(|due| *due <= now) else {
            return;
        };
        let stops = self.shorts & STOP_WHEN_READY != 0;
        let further = if stops {
            0
        } else {
            (now - due) / self.period()
        };
        self.state = self.state.wrapping_add(STEP.wrapping_mul(1 + further));
        self.value = (mixed(self.state) >> 56) as u8;
        self.ready = true;
        self.due = (!stops).then(|| due + (1 + further) * self.period());
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> Option<u32> {
        self.advance(now);
        Some(match offset {
            START | STOP => 0,
            VALUE_READY => self.ready.into(),
            SHORTS => self.shorts,
            INTERRUPT_SET | INTERRUPT_CLEAR => self.interrupts,
            CONFIG => self.config,
            VALUE => self.value.into(),
            _ => return None,
        })
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) -> bool {
        self.advance(now);
        match offset {
            START if value & 1 == 1 => self.due = self.due.or(Some(now + self.period())),
            STOP if value & 1 == 1 => self.due = None,
            START | STOP | VALUE => {}
            VALUE_READY => self.ready = value & 1 == 1,
            SHORTS => self.shorts = value & STOP_WHEN_READY,
            INTERRUPT_SET | INTERRUPT_CLEAR => write_mask(&mut self.interrupts, offset, value),
            CONFIG => self.config = value & CORRECTED,
            _ => return false,
        }
        true
    }
}

/// The number of splitmix64 at this state (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
pub(crate) fn mixed(state: u64) -> u64 {
    let z = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}
