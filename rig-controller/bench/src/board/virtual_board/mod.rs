//! The virtual board: a micro:bit (nRF51822) in QEMU whose power can be cut at an exact flash operation, UART byte
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

use nor_flash_model::Geometry;

use self::supply::Supply;
use super::{
    Board, BoardError, Observability, SharedObserver, Stopped, UartToDevice, VirtualBoardConfig,
    Waker,
};
use crate::relay::VirtualRelay;

/// A micro:bit in QEMU. Dropping it switches it off; no emulator outlives the rig.
///
/// Calls that switch power off wait for the thread that reports to the observer: do not hold the observer's lock
/// during a call.
pub struct VirtualBoard {
    supply: Arc<Supply>,
}

impl VirtualBoard {
    /// A board that is off and whose flash is erased. Nothing is started yet.
    pub fn new(config: VirtualBoardConfig) -> Self {
        Self {
            supply: Arc::new(Supply::new(config)),
        }
    }

    /// The relay this board hangs on. It can be switched from any thread, also while another one waits for the
    /// board; switching it on needs a first [`Board::power_on`], which says who watches.
    pub fn relay(&self) -> VirtualRelay {
        let name = format!("virtual relay of {}", self.supply.config().name);
        VirtualRelay::new(name, Arc::clone(&self.supply) as _)
    }
}

impl fmt::Debug for VirtualBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualBoard")
            .field("config", self.supply.config())
            .finish_non_exhaustive()
    }
}

impl Board for VirtualBoard {
    fn name(&self) -> &str {
        &self.supply.config().name
    }

    fn geometry(&self) -> Geometry {
        memory_map::FLASH
    }

    fn observability(&self) -> Observability {
        Observability {
            flash_operations: true,
            flash_content: true,
        }
    }

    fn provision(&mut self, flash: &[u8]) -> Result<(), BoardError> {
        self.supply.provision(flash)
    }

    fn power_on(&mut self, observer: SharedObserver) -> Result<(), BoardError> {
        self.supply.attach(observer);
        self.supply.power_on()
    }

    fn power_off(&mut self) -> Result<(), BoardError> {
        self.supply.power_off();
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError> {
        self.supply.wait(timeout)
    }

    fn check(&mut self) -> Result<(), BoardError> {
        self.supply.check()
    }

    fn waker(&self) -> Waker {
        let status = Arc::clone(&self.supply.status);
        Waker(Arc::new(move || status.update(|state| state.woken = true)))
    }

    fn uart(&self) -> Arc<dyn UartToDevice> {
        Arc::clone(&self.supply.line) as _
    }

    fn read_flash(&mut self) -> Result<Vec<u8>, BoardError> {
        Ok(self.supply.shadow().content().to_vec())
    }

    fn verify_record(&mut self) -> Result<(), BoardError> {
        self.supply.verify_record()
    }

    fn stack_high_water_bytes(&mut self) -> Result<Option<u32>, BoardError> {
        let lowest = self.supply.lowest_stack_address()?;
        Ok(lowest.map(|lowest| memory_map::RAM_START + memory_map::RAM_BYTES as u32 - lowest))
    }
}
