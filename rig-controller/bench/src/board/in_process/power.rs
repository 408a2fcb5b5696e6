//! The power of a board in this process, shared by board, relay, witness and whoever wakes them: usable from any thread, while
//! another one runs the device.
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use powercut_emulator::{Timing, cycles_in};
use powercut_oracle::outage::Ram;
use powercut_oracle::seen::VirtualTime;

use super::chip::Chip;
use crate::board::{BoardError, Stopped};
use crate::relay::{Power, Switched};
use crate::uart::UartToDevice;
use crate::witness::{Emulated, Proof};

/// The device runs for so long, in its own time, before it is seen whether somebody wants to stop it.
const STRETCH: Duration = Duration::from_secs(2);

/// A chip with its power.
pub(super) struct Supply {
    name: String,
    chip: Mutex<Chip>,
    time: VirtualTime,
    heard: Arc<Mutex<VecDeque<u8>>>,
    woken: AtomicBool,
    opening: AtomicBool,
}

impl Supply {
    /// A board that is off and erased.
    pub(super) fn new(name: String, timing: Timing) -> Self {
        let (time, heard) = (VirtualTime::default(), Arc::default());
        Self {
            chip: Mutex::new(Chip::new(timing, time.clone(), Arc::clone(&heard))),
            name,
            time,
            heard,
            woken: AtomicBool::new(false),
            opening: AtomicBool::new(false),
        }
    }

    pub(super) fn chip(&self) -> MutexGuard<'_, Chip> {
        self.chip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn time(&self) -> &VirtualTime {
        &self.time
    }

    /// Ends [`Supply::run`] soon, or the next one at once.
    pub(super) fn wake(&self) {
        self.woken.store(true, Ordering::SeqCst);
    }

    /// Runs the device until it is cut, switched off or woken, or `timeout` of its own time has passed.
    pub(super) fn run(&self, timeout: Duration) -> Result<Stopped, BoardError> {
        let until = self.time.now().saturating_add(timeout);
        loop {
            let mut chip = self.chip();
            if let Some(stopped) = chip.stopped() {
                return Ok(stopped);
            }
            let is_over = self.time.now() >= until;
            if self.woken.swap(false, Ordering::SeqCst) || is_over {
                return Ok(Stopped::TimedOut);
            }
            if self.opening.load(Ordering::SeqCst) {
                // Somebody else is about to switch it off, and waits for the chip.
                drop(chip);
                std::thread::yield_now();
                continue;
            }
            let stretch = self.time.now().saturating_add(STRETCH).min(until);
            chip.run(&self.name, cycles_in(stretch), &self.woken)?;
        }
    }

    /// Lets time pass for a board that is off, and for all who live beside it.
    pub(super) fn rest(&self, time: Duration) {
        self.chip().pass(cycles_in(self.time.now() + time));
    }
}

impl Switched for Supply {
    fn close(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.chip().power_on(&self.name)?)
    }

    fn open(&self) {
        self.opening.store(true, Ordering::SeqCst);
        self.chip().power_off();
        self.opening.store(false, Ordering::SeqCst);
    }

    fn sag(&self) -> bool {
        // To core and peripherals it is the same; RAM is told apart.
        self.open();
        self.chip().keep_ram(Ram::Kept);
        true
    }

    fn power(&self) -> Power {
        if self.chip().has_power() {
            Power::On
        } else {
            Power::Off
        }
    }
}

impl Emulated for Supply {
    fn name(&self) -> &'static str {
        "the emulated core"
    }

    fn look(&self) -> Proof {
        // Core and peripherals forget without power, whoever took it; RAM may take its time.
        if self.chip().is_fed() {
            Proof::StillOn("its registers hold their state".to_owned())
        } else {
            Proof::Off("its registers have lost their state".to_owned())
        }
    }
}

impl UartToDevice for Supply {
    fn send(&self, bytes: &[u8]) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend(bytes);
    }
}
