//! Board support for the BBC micro:bit (nRF51822: Cortex-M0, 256 KB flash, 16 KB RAM), as far as an upgrade needs
//! it: flash, the UART to the modem, a clock, a watchdog, a heartbeat pin, sleep, reset and the jump to an
//! application.
//!
//! No interrupt is ever taken. nRF51 silicon has no vector table offset register, so an application's handlers
//! could not be reached without the bootloader's help. Instead interrupts stay masked, events pend, and
//! [`Sleep`] returns when one does.
//!
//! Nothing relies on the reset state of a register: a bootloader may have run before.
//!
//! This is the only crate with `unsafe` in it. Register addresses and meanings: nRF51 Series Reference Manual 3.0.
#![no_std]

mod clock;
mod cpu;
mod flash;
mod heartbeat;
mod register;
mod sleep;
mod uart;
mod watchdog;

use core::sync::atomic::{AtomicBool, Ordering};

pub use clock::Clock;
pub use cpu::{boot_image_at, is_bootable, restart};
pub use flash::{Flash, FlashError, PAGE_BYTES};
pub use heartbeat::Heartbeat;
pub use sleep::{Sleep, Woken};
pub use uart::Uart;
pub use watchdog::Watchdog;

/// Every part of the board, each once.
pub struct Board {
    /// The code memory of the chip, all 256 KB.
    pub flash: Flash,
    /// The serial line to the modem, on the pins of the USB bridge.
    pub uart: Uart,
    /// Time since power-on or reset.
    pub clock: Clock,
    /// One LED, whose pin the rig watches.
    pub heartbeat: Heartbeat,
    /// Restarts the board when it is not fed.
    pub watchdog: Watchdog,
    /// Waits for the UART or the clock.
    pub sleep: Sleep,
}

impl Board {
    /// Masks interrupts for good and hands out the board; `None` the second time.
    pub fn take() -> Option<Self> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        cortex_m::interrupt::disable();
        // Cortex-M0 has no compare-and-swap; with interrupts masked nothing comes between these two.
        if TAKEN.load(Ordering::Relaxed) {
            return None;
        }
        TAKEN.store(true, Ordering::Relaxed);
        let (clock, uart) = (Clock::start(), Uart::start());
        Some(Self {
            flash: Flash::new(),
            sleep: Sleep::new(),
            heartbeat: Heartbeat::start(),
            watchdog: Watchdog::new(),
            uart,
            clock,
        })
    }
}
