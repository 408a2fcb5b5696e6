//! The virtual board in QEMU, a second opinion on the one in this process: a micro:bit (nRF51822) whose power can be cut at an exact flash operation, UART byte
//! or pin write, reproducibly.
//!
//! QEMU prints every write of the core in program order before it takes effect. The rig keeps its own record of
//! flash from that, reports each event, and at a cut freezes the record and kills QEMU: what QEMU did beyond that
//! point never happened. The next power-on starts from the record, with RAM full of seeded garbage.
//!
//! Where QEMU is kinder than silicon the board takes the kindness away: it plays the watchdog, and reports uses of
//! VTOR and `SysTick`, which the nRF51 does not have.
mod channels;
mod decode;
mod guard;
mod launch;
mod memory;
mod memory_map;
mod process;
mod reader;
mod shadow;
#[cfg(test)]
mod silence_tests;
mod status;
mod supply;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod toy_firmware;
mod trace;
mod waiting;

#[cfg(feature = "fuzzing")]
pub use trace::fuzz_trace;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::supply::Supply;
use super::{Board, BoardError, Facts, Hold, Kind, QemuConfig, Stopped, Waker};
use crate::entry::BoardEntry;
use crate::feed::Feed;
use crate::relay::Switched;
use crate::uart::UartToDevice;
use crate::witness::Emulated;
use powercut_oracle::sight::Sight;

/// From here on the watchdog is what a silent device may be waiting for.
const LONG_WATCHDOG: Duration = Duration::from_secs(5);

/// `virtual: microbit`, `engine: qemu`.
pub(super) const KIND: Kind = Kind {
    name: "microbit",
    engine: "qemu",
    sight: Sight {
        // The host's time passes differently every time.
        moments: false,
        // A new process knows nothing of the RAM of the last.
        outages: false,
        ..Sight::EVERYTHING
    },
    relay: "virtual",
    witness: "emulator",
    link: "play",
    make,
};

fn make(entry: &BoardEntry) -> Box<dyn Board> {
    Box::new(QemuBoard::new(QemuConfig {
        name: entry.name.clone(),
        qemu: entry.emulator.clone(),
        watchdog: entry.watchdog,
        silence: entry.silence.or_else(|| {
            let is_long = entry.watchdog >= LONG_WATCHDOG;
            is_long.then(|| entry.watchdog + Duration::from_secs(1))
        }),
    }))
}

/// A micro:bit in QEMU. Dropping it switches it off; no emulator outlives the rig.
///
/// Calls that switch power off wait for the thread that tells the feed: do not hold the sink's lock during a call.
pub(crate) struct QemuBoard {
    supply: Arc<Supply>,
}

impl QemuBoard {
    /// A board that is off and whose flash is erased. Nothing is started yet.
    pub(crate) fn new(config: QemuConfig) -> Self {
        Self {
            supply: Arc::new(Supply::new(config)),
        }
    }
}

impl fmt::Debug for QemuBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QemuBoard")
            .field("config", self.supply.config())
            .finish_non_exhaustive()
    }
}

impl Board for QemuBoard {
    fn name(&self) -> &str {
        &self.supply.config().name
    }

    fn facts(&self) -> Facts {
        Facts {
            geometry: memory_map::FLASH,
            sight: KIND.sight,
            silence: self.supply.config().silence,
        }
    }

    fn provision(&mut self, flash: &[u8], seed: u64) -> Result<(), BoardError> {
        self.supply.provision(flash, seed)
    }

    fn watch(&mut self, feed: Feed) {
        self.supply.attach(feed);
    }

    fn hold(&mut self) -> Result<Hold, BoardError> {
        // The emulator starts with its core stopped.
        Ok(Hold::Held)
    }

    fn release(&mut self) -> Result<(), BoardError> {
        self.supply.run_core()
    }

    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError> {
        self.supply.wait(timeout)
    }

    fn check(&mut self) -> Result<(), BoardError> {
        self.supply.check()
    }

    /// It can be switched from any thread, also while another one waits for the board; switching it on needs a
    /// [`Board::watch`] before.
    fn load(&self) -> Option<Arc<dyn Switched>> {
        Some(Arc::clone(&self.supply) as _)
    }

    fn emulated(&self) -> Option<Arc<dyn Emulated>> {
        Some(Arc::clone(&self.supply) as _)
    }

    fn waker(&self) -> Waker {
        let status = Arc::clone(&self.supply.status);
        Waker(Arc::new(move || status.update(|state| state.woken = true)))
    }

    fn uart(&self) -> Arc<dyn UartToDevice> {
        Arc::clone(&self.supply.line) as _
    }

    fn read_flash(&mut self) -> Result<Option<Vec<u8>>, BoardError> {
        Ok(Some(self.supply.shadow().content().to_vec()))
    }

    fn verify_record(&mut self) -> Result<(), BoardError> {
        self.supply.verify_record()
    }

    fn stack_high_water_bytes(&mut self) -> Result<Option<u32>, BoardError> {
        self.supply.stack_bytes()
    }
}
