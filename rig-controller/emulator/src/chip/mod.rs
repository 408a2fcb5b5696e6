//! The peripherals of the nRF51822 that the firmware uses, a file each.
//!
//! A peripheral knows registers and time, nothing of the core or the world. `read` and `write` take the register's offset;
//! they answer `None` and `false` for a register that is not there.

pub(crate) mod gpio;
pub(crate) mod information;
pub(crate) mod nvic;
pub(crate) mod nvmc;
pub(crate) mod power;
pub(crate) mod rng;
pub(crate) mod timer;
pub(crate) mod uart;
pub(crate) mod watchdog;

use gpio::Gpio;
use information::Information;
use nvic::Nvic;
use nvmc::Nvmc;
use power::PowerAndClock;
use rng::Rng;
use timer::Timer;
use uart::Uart;
use watchdog::Watchdog;

use crate::Cycles;
use crate::world::{ResetCause, Timing};

/// Registers that all peripherals have at the same offsets.
pub(crate) const SHORTS: u32 = 0x200;
pub(crate) const INTERRUPT_SET: u32 = 0x304;
pub(crate) const INTERRUPT_CLEAR: u32 = 0x308;

/// A peripheral on the bus for slow ones. Its identifier gives its place in memory and its interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peripheral {
    PowerAndClock,
    Uart,
    Timer(usize),
    Rng,
    Watchdog,
    Nvmc,
}

impl Peripheral {
    /// The one with this identifier.
    pub(crate) fn of(identifier: u32) -> Option<Self> {
        Some(match identifier {
            0 => Self::PowerAndClock,
            2 => Self::Uart,
            8..=10 => Self::Timer(identifier as usize - 8),
            13 => Self::Rng,
            16 => Self::Watchdog,
            30 => Self::Nvmc,
            _ => return None,
        })
    }
}

/// All peripherals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chip {
    pub(crate) power: PowerAndClock,
    pub(crate) uart: Uart,
    pub(crate) timers: [Timer; 3],
    pub(crate) rng: Rng,
    pub(crate) watchdog: Watchdog,
    pub(crate) nvmc: Nvmc,
    pub(crate) gpio: Gpio,
    pub(crate) information: Information,
    pub(crate) nvic: Nvic,
}

impl Chip {
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            power: PowerAndClock::new(timing),
            uart: Uart::new(timing),
            timers: [Timer::new(32), Timer::new(16), Timer::new(16)],
            rng: Rng::new(),
            watchdog: Watchdog::new(),
            nvmc: Nvmc::new(),
            gpio: Gpio::new(),
            information: Information::new(),
            nvic: Nvic::new(),
        }
    }

    /// The chip after a reset that is not power-on. The watchdog goes on unless it was the one that reset the chip.
    pub(crate) fn reset(&mut self, timing: Timing, cause: ResetCause) {
        let before = std::mem::replace(self, Self::new(timing));
        self.keep(&before);
        self.power.after_reset(&before.power, cause);
        if cause != ResetCause::Watchdog {
            self.watchdog = before.watchdog;
        }
    }

    /// The chip after power-on.
    pub(crate) fn power_on(&mut self, timing: Timing) {
        let before = std::mem::replace(self, Self::new(timing));
        self.keep(&before);
    }

    /// Takes over what neither a reset nor a loss of power changes.
    fn keep(&mut self, before: &Self) {
        self.information = before.information.clone();
        self.rng.keep(&before.rng);
        self.gpio.keep(&before.gpio);
    }

    /// Lets everything happen that is due by `now`.
    pub(crate) fn advance(&mut self, now: Cycles) {
        for timer in &mut self.timers {
            timer.advance(now);
        }
        self.rng.advance(now);
        self.power.advance(now);
        self.watchdog.advance(now);
        let lines = u32::from(self.power.interrupt())
            | u32::from(self.uart.interrupt()) << 2
            | u32::from(self.timers[0].interrupt()) << 8
            | u32::from(self.timers[1].interrupt()) << 9
            | u32::from(self.timers[2].interrupt()) << 10
            | u32::from(self.rng.interrupt()) << 13
            | u32::from(self.watchdog.interrupt()) << 16;
        self.nvic.set_lines(lines);
    }

    /// When one of the peripherals could interrupt or reset the core next, or has sent a byte.
    pub(crate) fn next_event(&self, asleep: bool) -> Option<Cycles> {
        let watchdog = self.watchdog.next_event();
        let watchdog = watchdog.filter(|_| !asleep || self.watchdog.runs_while_asleep());
        let others = self.next_event_but_watchdog();
        others.into_iter().chain(watchdog).min()
    }

    /// The same, without what the watchdog does.
    pub(crate) fn next_event_but_watchdog(&self) -> Option<Cycles> {
        let timers = self.timers.iter().filter_map(Timer::next_interrupt);
        timers
            .chain(self.uart.sent_at())
            .chain(self.rng.next_interrupt())
            .chain(self.power.next_interrupt())
            .min()
    }
}

/// Sets or clears the bits of an interrupt mask, by the register that was written.
pub(crate) fn write_mask(mask: &mut u32, offset: u32, value: u32) {
    if offset == INTERRUPT_SET {
        *mask |= value;
    } else {
        *mask &= !value;
    }
}
