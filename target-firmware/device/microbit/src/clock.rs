//! Time since start, from TIMER0 as a 32-bit counter of microseconds.
//!
//! Reading costs a write to the timer (a capture), so read it when woken, not in a loop.

use crate::register::Register;

const CLOCK: u32 = 0x4000_0000;
const HFCLK_START: Register = Register::at(CLOCK, 0x000);
const HFCLK_STARTED: Register = Register::at(CLOCK, 0x100);

const TIMER0: u32 = 0x4000_8000;
const START: Register = Register::at(TIMER0, 0x000);
const STOP: Register = Register::at(TIMER0, 0x004);
const CLEAR: Register = Register::at(TIMER0, 0x00C);
const CAPTURE_1: Register = Register::at(TIMER0, 0x044);
const COMPARE_0: Register = Register::at(TIMER0, 0x140);
const SHORTS: Register = Register::at(TIMER0, 0x200);
const INTERRUPT_SET: Register = Register::at(TIMER0, 0x304);
const INTERRUPT_CLEAR: Register = Register::at(TIMER0, 0x308);
const MODE: Register = Register::at(TIMER0, 0x504);
const BIT_MODE: Register = Register::at(TIMER0, 0x508);
const PRESCALER: Register = Register::at(TIMER0, 0x510);
const CC_0: Register = Register::at(TIMER0, 0x540);
const CC_1: Register = Register::at(TIMER0, 0x544);

const TIMER_MODE: u32 = 0;
const BITS_32: u32 = 3;
/// 16 MHz / 2^4.
const ONE_MEGAHERTZ: u32 = 4;
const INTERRUPT_ON_COMPARE_0: u32 = 1 << 16;

/// The NVIC's number for TIMER0.
pub(crate) const INTERRUPT: u32 = 8;

/// The farthest ahead an alarm is set: well within one turn of the counter (71 minutes), so that turns are counted.
const FARTHEST_ALARM_US: u64 = 30 * 60 * 1_000_000;

/// Counts time since the board started, as long as it is asked at least once an hour.
pub struct Clock {
    last_counter: u32,
    turns: u32,
}

impl Clock {
    pub(crate) fn start() -> Self {
        // The crystal: the UART's baud rate is only marginally right without it.
        HFCLK_STARTED.write(0);
        HFCLK_START.trigger();
        while !HFCLK_STARTED.is_set() {}
        STOP.trigger();
        CLEAR.trigger();
        INTERRUPT_CLEAR.write(u32::MAX);
        SHORTS.write(0);
        MODE.write(TIMER_MODE);
        BIT_MODE.write(BITS_32);
        PRESCALER.write(ONE_MEGAHERTZ);
        COMPARE_0.write(0);
        START.trigger();
        Self {
            last_counter: 0,
            turns: 0,
        }
    }

    /// Microseconds since the board started.
    pub fn now_us(&mut self) -> u64 {
        CAPTURE_1.trigger();
        let counter = CC_1.read();
        if counter < self.last_counter {
            self.turns = self.turns.wrapping_add(1);
        }
        self.last_counter = counter;
        u64::from(self.turns) << 32 | u64::from(counter)
    }

    /// Milliseconds since the board started.
    pub fn now_ms(&mut self) -> u64 {
        self.now_us() / 1000
    }

    /// Pends the timer's interrupt at `at_us`, or earlier when that is far away. `false` when the time had come
    /// before the alarm was set: then it may never go off.
    pub(crate) fn set_alarm(&mut self, at_us: u64) -> bool {
        INTERRUPT_CLEAR.write(INTERRUPT_ON_COMPARE_0);
        COMPARE_0.write(0);
        let at_us = at_us.min(self.now_us() + FARTHEST_ALARM_US);
        CC_0.write(at_us as u32);
        INTERRUPT_SET.write(INTERRUPT_ON_COMPARE_0);
        // Asked last: the counter compares for equality, and may have run past while it was being told.
        self.now_us() < at_us
    }

    /// Whether the alarm has gone off since it was set.
    pub(crate) fn alarm_is_due() -> bool {
        COMPARE_0.is_set()
    }

    pub(crate) fn clear_alarm() {
        INTERRUPT_CLEAR.write(INTERRUPT_ON_COMPARE_0);
        COMPARE_0.write(0);
    }
}
