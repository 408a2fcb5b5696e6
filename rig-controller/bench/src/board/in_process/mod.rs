//! The virtual board: a micro:bit (nRF51822) in this process, whose power can be cut at an exact flash operation, UART byte or
//! pin write. It lives in virtual time: nothing waits for the host, and the same case goes the same way every time.
//!
//! The device runs on the thread that waits for it, in [`Board::wait`]. Flash operations, bytes on the line and sleeps take the
//! time that they take on silicon, or none with `timing: instant`, as in QEMU.
mod chip;
mod power;
mod world;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use powercut_emulator::Timing;
use powercut_oracle::outage::Ram;
use powercut_oracle::seen::VirtualTime;
use powercut_oracle::sight::Sight;

use self::power::Supply;
use super::{Board, BoardError, CutObserver, Facts, Hold, Kind, Stopped, Waker, nrf51};
use crate::entry::{BoardEntry, BoardTiming};
use crate::feed::Feed;
use crate::link::FarEnd;
use crate::relay::Switched;
use crate::uart::UartToDevice;
use crate::witness::Emulated;

/// The rate of modems at power-on (Quectel's AT+IPR is 115200 by default), and of the firmware.
const BAUD: u32 = 115_200;

/// `virtual: microbit`, `engine: process`.
pub(super) const KIND: Kind = Kind {
    name: "microbit",
    engine: "process",
    sight: Sight::EVERYTHING,
    relay: "virtual",
    witness: "emulator",
    link: "play",
    make,
};

fn make(entry: &BoardEntry) -> Box<dyn Board> {
    let timing = match entry.timing {
        BoardTiming::Silicon => Timing::Silicon,
        BoardTiming::Instant => Timing::Instant,
    };
    Box::new(InProcessBoard {
        supply: Arc::new(Supply::new(entry.name.clone(), timing)),
        name: entry.name.clone(),
        silence: entry.silence,
        timing,
    })
}

/// A micro:bit in this process. Dropping it switches it off.
struct InProcessBoard {
    name: String,
    silence: Option<Duration>,
    timing: Timing,
    supply: Arc<Supply>,
}

impl fmt::Debug for InProcessBoard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("InProcessBoard").field(&self.name).finish()
    }
}

impl Board for InProcessBoard {
    fn name(&self) -> &str {
        &self.name
    }

    fn facts(&self) -> Facts {
        Facts {
            geometry: nrf51::FLASH,
            sight: KIND.sight,
            silence: self.silence,
        }
    }

    fn provision(&mut self, flash: &[u8], seed: u64) -> Result<(), BoardError> {
        self.supply.chip().provision(&self.name, flash, seed)
    }

    fn watch(&mut self, feed: Feed) {
        self.supply.chip().watch(feed);
    }

    fn hold(&mut self) -> Result<Hold, BoardError> {
        // The core stands at its reset vector until it is released.
        Ok(Hold::Held)
    }

    fn release(&mut self) -> Result<(), BoardError> {
        self.supply.chip().release(&self.name)
    }

    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError> {
        self.supply.run(timeout)
    }

    fn load(&self) -> Option<Arc<dyn Switched>> {
        Some(Arc::clone(&self.supply) as _)
    }

    fn emulated(&self) -> Option<Arc<dyn Emulated>> {
        Some(Arc::clone(&self.supply) as _)
    }

    fn time(&self) -> Option<VirtualTime> {
        Some(self.supply.time().clone())
    }

    fn line_baud(&self) -> Option<u32> {
        (self.timing == Timing::Silicon).then_some(BAUD)
    }

    fn connect(&mut self, far_end: Option<Arc<Mutex<dyn FarEnd>>>) {
        self.supply.chip().connect(far_end);
    }

    fn observe_cuts(&mut self, observer: Arc<dyn CutObserver>) -> bool {
        self.supply.chip().observe_cuts(observer);
        true
    }

    fn keep_ram(&mut self, kept: Ram) -> bool {
        self.supply.chip().keep_ram(kept);
        true
    }

    fn rest(&mut self, time: Duration) -> bool {
        self.supply.rest(time);
        true
    }

    fn waker(&self) -> Waker {
        let supply = Arc::clone(&self.supply);
        Waker(Arc::new(move || supply.wake()))
    }

    fn uart(&self) -> Arc<dyn UartToDevice> {
        Arc::clone(&self.supply) as _
    }

    fn read_flash(&mut self) -> Result<Option<Vec<u8>>, BoardError> {
        Ok(Some(self.supply.chip().flash().to_vec()))
    }

    fn stack_high_water_bytes(&mut self) -> Result<Option<u32>, BoardError> {
        Ok(self.supply.chip().stack_bytes())
    }
}

#[cfg(test)]
mod tests;
