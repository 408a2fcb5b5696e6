//! A micro:bit's chip in this process with a probe on its debug port, and nothing else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use powercut_emulator::{
    Alone, BusError, Cycles, DebugPort, FLASH_BYTES, Machine, Timing, Width, time_of,
};
use probe_rs::probe::Probe;

use crate::driver::VirtualProbe;

/// The chip's name in probe-rs's list; probe-rs also finds it out by itself.
pub const CHIP: &str = "nRF51822_xxAA";

/// RAM holds this byte everywhere at power-on: neither zeros nor addresses.
const GARBAGE: u8 = 0xA7;

/// A chip that has power. It runs in virtual time, and only while a debugger talks to its probe: a transfer lets it run for
/// as long as the transfer takes on the wire, a look at whether it has halted for longer.
///
/// Clones are the same board.
#[derive(Clone)]
pub struct VirtualBoard(Arc<Mutex<Chip>>);

struct Chip {
    machine: Machine,
    port: DebugPort,
}

impl VirtualBoard {
    /// A board with this flash, just powered on.
    ///
    /// # Panics
    /// When `flash` is not as long as the chip's.
    pub fn new(flash: &[u8], timing: Timing) -> Self {
        let mut machine = Machine::new(timing);
        machine.load_flash(flash);
        machine.ram_mut().fill(GARBAGE);
        machine.power_on(0);
        let port = DebugPort::new();
        Self(Arc::new(Mutex::new(Chip { machine, port })))
    }

    /// A board with erased flash.
    pub fn erased(timing: Timing) -> Self {
        Self::new(&vec![0xFF; FLASH_BYTES], timing)
    }

    /// A probe on it, as probe-rs knows probes.
    pub fn probe(&self) -> Probe {
        Probe::new(VirtualProbe::new(self.clone()))
    }

    /// How long it has had power, in its own time.
    pub fn now(&self) -> Duration {
        time_of(self.chip().machine.now())
    }

    /// Its flash, read past the probe.
    pub fn flash(&self) -> Vec<u8> {
        self.chip().machine.flash().to_vec()
    }

    /// Lets the core run for so long, unless the debugger has halted it.
    pub(crate) fn run(&self, cycles: Cycles) {
        let chip = &mut *self.chip();
        let until = chip.machine.now() + cycles;
        chip.port.run(&mut chip.machine, &mut Alone, until);
    }

    pub(crate) fn read(&self, address: u32, width: Width) -> Result<u32, BusError> {
        let chip = &mut *self.chip();
        chip.port
            .read(&mut chip.machine, &mut Alone, address, width)
    }

    pub(crate) fn write(&self, address: u32, value: u32, width: Width) -> Result<(), BusError> {
        let chip = &mut *self.chip();
        chip.port
            .write(&mut chip.machine, &mut Alone, address, value, width)
    }

    fn chip(&self) -> MutexGuard<'_, Chip> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for VirtualBoard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VirtualBoard")
    }
}
