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

/// The farthest ahead an alarm is set: well within one turn of the counter (71 minutes), so that no turn is missed.
const FARTHEST_ALARM_MS: u32 = 30 * 60 * 1000;

const US_PER_MS: u32 = 1000;

/// Counts time since the board started, as long as it is asked at least once an hour.
///
/// The core has no division. Whole milliseconds are counted on from those of the last time, which takes a division only
/// after a longer sleep.
pub struct Clock {
    /// Whole milliseconds at the last look.
    ms: u64,
    /// The counter, when the last of them was full.
    full_at: u32,
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
        Self { ms: 0, full_at: 0 }
    }

    /// Milliseconds since the board started.
    pub fn now_ms(&mut self) -> u64 {
        let past_us = self.us_since_full();
        if past_us >= US_PER_MS {
            let ms = if past_us < 2 * US_PER_MS {
                1
            } else {
                past_us / US_PER_MS
            };
            self.ms += u64::from(ms);
            self.full_at = self.full_at.wrapping_add(ms * US_PER_MS);
        }
        self.ms
    }

    fn us_since_full(&self) -> u32 {
        CAPTURE_1.trigger();
        CC_1.read().wrapping_sub(self.full_at)
    }

    /// Pends the timer's interrupt at `at_ms`, or earlier when that is far away. `false` when the time had come
    /// before the alarm was set: then it may never go off.
    pub(crate) fn set_alarm(&mut self, at_ms: u64) -> bool {
        INTERRUPT_CLEAR.write(INTERRUPT_ON_COMPARE_0);
        COMPARE_0.write(0);
        let ahead_ms = at_ms.saturating_sub(self.now_ms());
        let ahead_us = ahead_ms.min(u64::from(FARTHEST_ALARM_MS)) as u32 * US_PER_MS;
        CC_0.write(self.full_at.wrapping_add(ahead_us));
        INTERRUPT_SET.write(INTERRUPT_ON_COMPARE_0);
        // Asked last: the counter compares for equality, and may have run past while it was being told.
        self.us_since_full() < ahead_us
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
