//! The watchdog. Once started it cannot be stopped, and on nRF51 it outlives a soft reset: whoever runs, the
//! bootloader included, must feed it.

use crate::register::Register;

const WDT: u32 = 0x4001_0000;
const START: Register = Register::at(WDT, 0x000);
const RUNNING: Register = Register::at(WDT, 0x400);
const RELOAD_VALUE: Register = Register::at(WDT, 0x504);
const RELOAD_ENABLE: Register = Register::at(WDT, 0x508);
const CONFIG: Register = Register::at(WDT, 0x50C);
const RELOAD_0: Register = Register::at(WDT, 0x600);

const RUN_WHILE_ASLEEP: u32 = 1;
const RELOAD_KEY: u32 = 0x6E52_4635;
const TICKS_PER_SECOND: u32 = 32_768;

/// Restarts the board when it was not fed in time.
pub struct Watchdog(());

impl Watchdog {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Starts the watchdog, unless it runs already (then its time stays as it was).
    pub fn start(&mut self, seconds: u16) {
        if !RUNNING.is_set() {
            CONFIG.write(RUN_WHILE_ASLEEP);
            RELOAD_VALUE.write(u32::from(seconds) * TICKS_PER_SECOND);
            RELOAD_ENABLE.write(1);
            START.trigger();
        }
        self.feed();
    }

    /// Grants another period; without effect while the watchdog does not run.
    pub fn feed(&mut self) {
        RELOAD_0.write(RELOAD_KEY);
    }
}
