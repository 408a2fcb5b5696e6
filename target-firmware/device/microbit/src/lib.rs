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
pub mod seeded;
mod sleep;
mod uart;
mod watchdog;

use core::sync::atomic::{AtomicBool, Ordering};

pub use clock::Clock;
pub use cpu::{boot_image_at, halt, restart};
pub use flash::{Flash, FlashError, PAGE_BYTES};
pub use heartbeat::{Heartbeat, signal_distress};
pub use sleep::{Sleep, Woken};
pub use uart::Uart;
pub use watchdog::Watchdog;

/// The board, once: what works from reset on, and what has to be started first.
pub struct Board {
    /// The code memory of the chip, all 256 KB.
    pub flash: Flash,
    /// Restarts the board when it is not fed.
    pub watchdog: Watchdog,
    /// Everything that takes up pins and clocks.
    pub peripherals: StoppedPeripherals,
}

/// What an application starts and a bootloader leaves alone.
pub struct StoppedPeripherals(());

/// What an application works with.
pub struct Peripherals {
    /// The serial line to the modem, on the pins of the USB bridge.
    pub uart: Uart,
    /// Time since the start.
    pub clock: Clock,
    /// One LED, whose pin the rig watches.
    pub heartbeat: Heartbeat,
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
        Some(Self {
            flash: Flash::new(),
            watchdog: Watchdog::new(),
            peripherals: StoppedPeripherals(()),
        })
    }
}

impl StoppedPeripherals {
    /// Starts the clock first, for the UART needs its crystal.
    pub fn start(self) -> Peripherals {
        let clock = Clock::start();
        Peripherals {
            uart: Uart::start(),
            clock,
            heartbeat: Heartbeat::start(),
            sleep: Sleep::new(),
        }
    }
}

/// Restarts the board when the CPU faults, instead of locking up. For the program at address 0: its handlers serve
/// whoever runs, as the chip cannot move the vector table, so this one uses nothing but the stack.
#[macro_export]
macro_rules! restart_on_fault {
    () => {
        // SAFETY: never returns to the faulting code and touches no memory of it.
        #[cortex_m_rt::exception(trampoline = false)]
        unsafe fn HardFault() -> ! {
            $crate::restart()
        }
    };
}
