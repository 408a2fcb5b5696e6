//! TIMER0 to TIMER2: counters with four compare registers each.
//!
//! A timer is brought up to date when somebody looks: what it has passed in between is worked out, not counted.

use super::{INTERRUPT_CLEAR, INTERRUPT_SET, SHORTS, write_mask};
use crate::Cycles;

const START: u32 = 0x000;
const STOP: u32 = 0x004;
const COUNT: u32 = 0x008;
const CLEAR: u32 = 0x00C;
const SHUT_DOWN: u32 = 0x010;
const CAPTURE: std::ops::Range<u32> = 0x040..0x050;
const COMPARE: std::ops::Range<u32> = 0x140..0x150;
const MODE: u32 = 0x504;
const BIT_MODE: u32 = 0x508;
const PRESCALER: u32 = 0x510;
const CC: std::ops::Range<u32> = 0x540..0x550;

const COUNTER_MODE: u32 = 1;
const CLEAR_SHORTS: u32 = 0x00F;
const STOP_SHORTS: u32 = 0xF00;
const INTERRUPT_SHIFT: u32 = 16;
const SLOWEST_PRESCALER: u32 = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    /// As many bits as the counter has at most.
    bits: u32,
    running: bool,
    counter: u64,
    /// When the counter had this value first.
    since: Cycles,
    mode: u32,
    bit_mode: u32,
    prescaler: u32,
    shorts: u32,
    interrupts: u32,
    cc: [u32; 4],
    reached: [bool; 4],
}

impl Timer {
    pub(crate) fn new(bits: u32) -> Self {
        Self {
            bits,
            running: false,
            counter: 0,
            since: 0,
            mode: 0,
            bit_mode: 0,
            prescaler: 4,
            shorts: 0,
            interrupts: 0,
            cc: [0; 4],
            reached: [false; 4],
        }
    }

    fn mask(&self) -> u64 {
        let bits = [16, 8, 24, 32][self.bit_mode as usize].min(self.bits);
        (1 << bits) - 1
    }

    fn counts_time(&self) -> bool {
        self.running && self.mode != COUNTER_MODE
    }

    pub(crate) fn advance(&mut self, now: Cycles) {
        if self.counts_time() {
            let ticks = (now - self.since) >> self.prescaler;
            self.since += ticks << self.prescaler;
            self.count(ticks);
        }
    }

    /// Ticks until the counter equals compare register `index` next. Bits that the counter does not have do not count.
    fn distance(&self, index: usize) -> u64 {
        let mask = self.mask();
        match u64::from(self.cc[index]).wrapping_sub(self.counter) & mask {
            0 => mask + 1,
            distance => distance,
        }
    }

    fn distances(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|index| self.distance(index))
    }

    /// The counter moves on by so many ticks.
    fn count(&mut self, mut ticks: u64) {
        let mut since_cleared = None;
        while ticks > 0 && self.running {
            let distances = self.distances();
            let step = distances.into_iter().min().unwrap_or(ticks);
            if self.shorts == 0 || step > ticks {
                for (reached, distance) in self.reached.iter_mut().zip(distances) {
                    *reached |= distance <= ticks;
                }
                self.counter = (self.counter + ticks) & self.mask();
                return;
            }
            ticks -= step;
            self.counter = (self.counter + step) & self.mask();
            let period = since_cleared.map(|ticks: u64| ticks + step);
            since_cleared = period;
            for index in (0..4).filter(|index| distances[*index] == step) {
                self.reached[index] = true;
                if self.shorts & STOP_SHORTS & 0x100 << index != 0 {
                    self.running = false;
                }
                if self.shorts & CLEAR_SHORTS & 1 << index != 0 {
                    self.counter = 0;
                    since_cleared = Some(0);
                    // From one clearing to the next everything has happened that ever will.
                    if let Some(period) = period.filter(|period| *period > 0) {
                        ticks %= period;
                    }
                }
            }
        }
    }

    pub(crate) fn next_interrupt(&self) -> Option<Cycles> {
        let waited_for = |index: usize| {
            self.interrupts >> INTERRUPT_SHIFT & 1 << index != 0 && !self.reached[index]
        };
        if !self.counts_time() || !(0..4).any(waited_for) {
            return None;
        }
        // Any of those with a short may change what comes after.
        (0..4)
            .filter(|index| waited_for(*index) || self.shorts & 0x101 << index != 0)
            .map(|index| self.distance(index))
            .map(|distance| self.since + (distance << self.prescaler))
            .min()
    }

    pub(crate) fn interrupt(&self) -> bool {
        (0..4).any(|index| {
            self.interrupts >> INTERRUPT_SHIFT & 1 << index != 0 && self.reached[index]
        })
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> Option<u32> {
        self.advance(now);
        Some(match offset {
            START | STOP | COUNT | CLEAR | SHUT_DOWN => 0,
            offset if CAPTURE.contains(&offset) => 0,
            offset if COMPARE.contains(&offset) => self.reached[index(offset)].into(),
            SHORTS => self.shorts,
            INTERRUPT_SET | INTERRUPT_CLEAR => self.interrupts,
            MODE => self.mode,
            BIT_MODE => self.bit_mode,
            PRESCALER => self.prescaler,
            offset if CC.contains(&offset) => self.cc[index(offset)],
            _ => return None,
        })
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) -> bool {
        self.advance(now);
        let triggered = value & 1 == 1;
        match offset {
            START if triggered && !self.running => {
                self.running = true;
                self.since = now;
            }
            STOP | SHUT_DOWN if triggered => self.running = false,
            COUNT if triggered && self.mode == COUNTER_MODE => self.count(1),
            CLEAR if triggered => {
                self.counter = 0;
                self.since = now;
            }
            offset if CAPTURE.contains(&offset) && triggered => {
                self.cc[index(offset)] = self.counter as u32;
            }
            START | STOP | COUNT | CLEAR | SHUT_DOWN => {}
            offset if CAPTURE.contains(&offset) => {}
            offset if COMPARE.contains(&offset) => self.reached[index(offset)] = triggered,
            SHORTS => self.shorts = value & (CLEAR_SHORTS | STOP_SHORTS),
            INTERRUPT_SET | INTERRUPT_CLEAR => write_mask(&mut self.interrupts, offset, value),
            MODE => {
                self.mode = value & 1;
                self.since = now;
            }
            BIT_MODE => {
                self.bit_mode = value & 3;
                self.counter &= self.mask();
            }
            PRESCALER => {
                self.prescaler = (value & 15).min(SLOWEST_PRESCALER);
                self.since = now;
            }
            offset if CC.contains(&offset) => self.cc[index(offset)] = value,
            _ => return false,
        }
        true
    }
}

/// Which of the four this register belongs to.
fn index(offset: u32) -> usize {
    (offset / 4) as usize & 3
}
