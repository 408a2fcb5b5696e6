//! The watchdog: once started it cannot be stopped, and only its own reset or a loss of power ends it.

use super::{INTERRUPT_CLEAR, INTERRUPT_SET, write_mask};
use crate::Cycles;

const START: u32 = 0x000;
const TIMEOUT: u32 = 0x100;
const RUN_STATUS: u32 = 0x400;
const REQUEST_STATUS: u32 = 0x404;
const RELOAD_VALUE: u32 = 0x504;
const RELOAD_ENABLE: u32 = 0x508;
const CONFIG: u32 = 0x50C;
const RELOAD: std::ops::Range<u32> = 0x600..0x620;

const RELOAD_KEY: u32 = 0x6E52_4635;
const RUN_WHILE_ASLEEP: u32 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Watchdog {
    running: bool,
    /// Ticks from a reload to the time-out, less one.
    reload_value: u32,
    /// The reload registers that all have to be written.
    enabled: u32,
    /// Those of them that were not written since the last reload.
    missing: u32,
    config: u32,
    interrupts: u32,
    timeout: bool,
    /// The last reload.
    fed: Cycles,
}

/// Ticks of the 32,768 Hz clock, in cycles.
fn ticks(count: u64) -> Cycles {
    count * 15_625 / 32
}

impl Watchdog {
    pub(crate) fn new() -> Self {
        Self {
            running: false,
            reload_value: u32::MAX,
            enabled: 1,
            missing: 1,
            config: RUN_WHILE_ASLEEP,
            interrupts: 0,
            timeout: false,
            fed: 0,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    fn timeout_at(&self) -> Cycles {
        self.fed + ticks(u64::from(self.reload_value) + 1)
    }

    /// When it resets the chip; a handler of its interrupt gets two ticks first.
    pub(crate) fn bites_at(&self) -> Option<Cycles> {
        let grace = if self.interrupts & 1 == 1 {
            ticks(2)
        } else {
            0
        };
        self.running.then(|| self.timeout_at() + grace)
    }

    pub(crate) fn next_event(&self) -> Option<Cycles> {
        if self.interrupts & 1 == 1 && !self.timeout {
            return self.running.then(|| self.timeout_at());
        }
        self.bites_at()
    }

    pub(crate) fn interrupt(&self) -> bool {
        self.interrupts & 1 == 1 && self.timeout
    }

    pub(crate) fn advance(&mut self, now: Cycles) {
        if self.running && now >= self.timeout_at() {
            self.timeout = true;
        }
    }

    /// The core has slept for so long.
    pub(crate) fn slept(&mut self, cycles: Cycles) {
        if self.config & RUN_WHILE_ASLEEP == 0 {
            self.fed += cycles;
        }
    }

    /// Whether the time goes on while the core sleeps.
    pub(crate) fn runs_while_asleep(&self) -> bool {
        self.config & RUN_WHILE_ASLEEP != 0
    }

    pub(crate) fn read(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            START => 0,
            TIMEOUT => self.timeout.into(),
            INTERRUPT_SET | INTERRUPT_CLEAR => self.interrupts,
            RUN_STATUS => self.running.into(),
            REQUEST_STATUS => self.missing,
            RELOAD_VALUE => self.reload_value,
            RELOAD_ENABLE => self.enabled,
            CONFIG => self.config,
            offset if RELOAD.contains(&offset) => 0,
            _ => return None,
        })
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32, now: Cycles) -> bool {
        match offset {
            START if value & 1 == 1 && !self.running => {
                self.running = true;
                self.missing = self.enabled;
                self.fed = now;
            }
            TIMEOUT => self.timeout = value & 1 == 1,
            INTERRUPT_SET | INTERRUPT_CLEAR => write_mask(&mut self.interrupts, offset, value & 1),
            // Its settings cannot be changed once it runs.
            RELOAD_VALUE if !self.running => self.reload_value = value,
            RELOAD_ENABLE if !self.running => {
                self.enabled = value & 0xFF;
                self.missing = self.enabled;
            }
            CONFIG if !self.running => self.config = value,
            START | RUN_STATUS | REQUEST_STATUS | RELOAD_VALUE | RELOAD_ENABLE | CONFIG => {}
            offset if RELOAD.contains(&offset) => {
                if value == RELOAD_KEY {
                    self.reload(1 << ((offset - RELOAD.start) / 4), now);
                }
            }
            _ => return false,
        }
        true
    }

    /// The last reload.
    pub(crate) fn fed(&self) -> Cycles {
        self.fed
    }

    /// The firmware writes the first reload register.
    pub(crate) fn feed(&mut self, now: Cycles) {
        self.reload(1, now);
    }

    fn reload(&mut self, register: u32, now: Cycles) {
        if !self.running || self.missing & register == 0 {
            return;
        }
        self.missing &= !register;
        if self.missing == 0 {
            self.missing = self.enabled;
            self.fed = now;
        }
    }
}
