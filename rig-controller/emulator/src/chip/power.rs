//! Supply and clocks, which share one place in memory: why the chip was reset, what survives a reset, and the crystals.

use super::{INTERRUPT_CLEAR, INTERRUPT_SET, write_mask};
use crate::Cycles;
use crate::world::{ResetCause, Timing};

const HFCLK_START: u32 = 0x000;
const HFCLK_STOP: u32 = 0x004;
const LFCLK_START: u32 = 0x008;
const LFCLK_STOP: u32 = 0x00C;
const HFCLK_STARTED: u32 = 0x100;
const LFCLK_STARTED: u32 = 0x104;
const RESET_REASON: u32 = 0x400;
const HFCLK_RUN: u32 = 0x408;
const HFCLK_STATUS: u32 = 0x40C;
const LFCLK_RUN: u32 = 0x414;
const LFCLK_STATUS: u32 = 0x418;
const LFCLK_SOURCE_COPY: u32 = 0x41C;
const SYSTEM_OFF: u32 = 0x500;
const POWER_FAIL: u32 = 0x510;
const LFCLK_SOURCE: u32 = 0x518;
const RETAINED: u32 = 0x51C;
const RAM_ON: u32 = 0x524;
const RESET_PIN: u32 = 0x544;
const XTAL_FREQUENCY: u32 = 0x550;
const RAM_ON_B: u32 = 0x554;
const DCDC_ENABLE: u32 = 0x578;

const BY_WATCHDOG: u32 = 1 << 1;
const BY_SOFTWARE: u32 = 1 << 2;
const BY_LOCK_UP: u32 = 1 << 3;
/// In the status of a clock: it runs; for the fast one: from the crystal.
const RUNNING: u32 = 1 << 16;
const CRYSTAL: u32 = 1;

/// The 16 MHz crystal takes 1.2 ms to start; the data sheet leaves that to the crystal's maker.
const CRYSTAL_CYCLES: Cycles = 19_200;
/// The 32 kHz RC oscillator takes 390 us to start.
const SLOW_CLOCK_CYCLES: Cycles = 6_240;

/// A clock on its way or running.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Clock {
    triggered: bool,
    /// When it runs, while it starts.
    due: Option<Cycles>,
    running: bool,
    started: bool,
}

impl Clock {
    const STOPPED: Self = Self {
        triggered: false,
        due: None,
        running: false,
        started: false,
    };

    fn start(&mut self, now: Cycles, takes: Cycles) {
        self.triggered = true;
        let due = if self.running { now } else { now + takes };
        self.due = self.due.or(Some(due));
        self.advance(now);
    }

    fn stop(&mut self) {
        self.triggered = false;
        self.due = None;
        self.running = false;
    }

    fn advance(&mut self, now: Cycles) {
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            self.running = true;
            self.started = true;
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PowerAndClock {
    timing: Timing,
    reset_reason: u32,
    retained: u32,
    off: bool,
    power_fail: u32,
    ram_on: u32,
    ram_on_b: u32,
    reset_pin: u32,
    xtal_frequency: u32,
    dcdc: u32,
    fast: Clock,
    slow: Clock,
    slow_source: u32,
    interrupts: u32,
}

impl PowerAndClock {
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            timing,
            reset_reason: 0,
            retained: 0,
            off: false,
            power_fail: 0,
            ram_on: 3,
            ram_on_b: 3,
            reset_pin: 0,
            xtal_frequency: 0xFF,
            dcdc: 0,
            fast: Clock::STOPPED,
            slow: Clock::STOPPED,
            slow_source: 0,
            interrupts: 0,
        }
    }

    /// Takes over what survives a reset, and adds its reason: reasons add up until the firmware clears them.
    pub(crate) fn after_reset(&mut self, before: &Self, cause: ResetCause) {
        let reason = match cause {
            ResetCause::Software => BY_SOFTWARE,
            ResetCause::Watchdog => BY_WATCHDOG,
            ResetCause::LockUp => BY_LOCK_UP,
        };
        self.reset_reason = before.reset_reason | reason;
        if cause != ResetCause::Watchdog {
            self.retained = before.retained;
        }
    }

    /// How long a clock takes to start that takes so long on the chip.
    fn takes(&self, cycles: Cycles) -> Cycles {
        match self.timing {
            Timing::Silicon => cycles,
            Timing::Instant => 0,
        }
    }

    /// Whether the firmware has switched the chip off.
    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    pub(crate) fn advance(&mut self, now: Cycles) {
        self.fast.advance(now);
        self.slow.advance(now);
    }

    pub(crate) fn interrupt(&self) -> bool {
        let events = u32::from(self.fast.started) | u32::from(self.slow.started) << 1;
        events & self.interrupts != 0
    }

    pub(crate) fn next_interrupt(&self) -> Option<Cycles> {
        let clocks = [(&self.fast, 1), (&self.slow, 2)];
        clocks
            .into_iter()
            .filter(|(clock, bit)| self.interrupts & bit != 0 && !clock.started)
            .filter_map(|(clock, _)| clock.due)
            .min()
    }

    pub(crate) fn read(&mut self, offset: u32, now: Cycles) -> Option<u32> {
        self.advance(now);
        Some(match offset {
            HFCLK_START | HFCLK_STOP | LFCLK_START | LFCLK_STOP | SYSTEM_OFF => 0,
            HFCLK_STARTED => self.fast.started.into(),
            LFCLK_STARTED => self.slow.started.into(),
            INTERRUPT_SET | INTERRUPT_CLEAR => self.interrupts,
            RESET_REASON => self.reset_reason,
            HFCLK_RUN => self.fast.triggered.into(),
            // The chip's own oscillator runs in any case.
            HFCLK_STATUS => RUNNING | if self.fast.running { CRYSTAL } else { 0 },
            LFCLK_RUN => self.slow.triggered.into(),
            LFCLK_STATUS => self.slow_source | if self.slow.running { RUNNING } else { 0 },
            LFCLK_SOURCE_COPY | LFCLK_SOURCE => self.slow_source,
            POWER_FAIL => self.power_fail,
            RETAINED => self.retained,
            RAM_ON => self.ram_on,
            RESET_PIN => self.reset_pin,
            XTAL_FREQUENCY => self.xtal_frequency,
            RAM_ON_B => self.ram_on_b,
            DCDC_ENABLE => self.dcdc,
            _ => return None,
        })
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) -> bool {
        self.advance(now);
        let triggered = value & 1 == 1;
        match offset {
            HFCLK_START if triggered => self.fast.start(now, self.takes(CRYSTAL_CYCLES)),
            HFCLK_STOP if triggered => self.fast.stop(),
            LFCLK_START if triggered => self.slow.start(now, self.takes(SLOW_CLOCK_CYCLES)),
            LFCLK_STOP if triggered => self.slow.stop(),
            HFCLK_STARTED => self.fast.started = triggered,
            LFCLK_STARTED => self.slow.started = triggered,
            INTERRUPT_SET | INTERRUPT_CLEAR => write_mask(&mut self.interrupts, offset, value),
            RESET_REASON => self.reset_reason &= !value,
            HFCLK_START | HFCLK_STOP | LFCLK_START | LFCLK_STOP | HFCLK_RUN | HFCLK_STATUS
            | LFCLK_RUN | LFCLK_STATUS | LFCLK_SOURCE_COPY => {}
            SYSTEM_OFF => self.off |= triggered,
            POWER_FAIL => self.power_fail = value & 7,
            LFCLK_SOURCE => self.slow_source = value & 3,
            RETAINED => self.retained = value & 0xFF,
            RAM_ON => self.ram_on = value,
            RESET_PIN => self.reset_pin = value & 1,
            XTAL_FREQUENCY => self.xtal_frequency = value & 0xFF,
            RAM_ON_B => self.ram_on_b = value,
            DCDC_ENABLE => self.dcdc = value & 1,
            _ => return false,
        }
        true
    }
}
