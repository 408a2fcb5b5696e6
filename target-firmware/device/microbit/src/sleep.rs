//! Sleep until the UART or the clock has something.
//!
//! Interrupts are enabled in the NVIC but masked in the CPU: one that pends ends the sleep and is never taken. As
//! pending outlasts the instruction, nothing is missed between the last look and falling asleep.

use crate::register::Register;
use crate::{Clock, clock, uart};

const NVIC_ENABLE: Register = Register::at(0xE000_E100, 0);
const NVIC_DISABLE: Register = Register::at(0xE000_E180, 0);
pub(crate) const NVIC_CLEAR_PENDING: Register = Register::at(0xE000_E280, 0);

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// The UART has received.
    ByReceiving,
    /// The time has come.
    ByClock,
}

/// The board's way to wait.
pub struct Sleep(());

impl Sleep {
    pub(crate) fn new() -> Self {
        NVIC_DISABLE.write(u32::MAX);
        NVIC_CLEAR_PENDING.write(u32::MAX);
        NVIC_ENABLE.write(1 << clock::INTERRUPT | 1 << uart::INTERRUPT);
        Self(())
    }

    /// Waits until a byte is there to receive, or until `until_ms` by the clock; a time far away may end early.
    pub fn until(&mut self, clock: &mut Clock, until_ms: u64) -> Woken {
        let alarm_will_come = clock.set_alarm(until_ms);
        let woken = loop {
            // Cleared first: what comes after this pends again, and what came before is seen below.
            NVIC_CLEAR_PENDING.write(1 << clock::INTERRUPT | 1 << uart::INTERRUPT);
            if uart::has_received() {
                break Woken::ByReceiving;
            }
            if !alarm_will_come || Clock::alarm_is_due() {
                break Woken::ByClock;
            }
            cortex_m::asm::wfi();
        };
        Clock::clear_alarm();
        woken
    }
}
