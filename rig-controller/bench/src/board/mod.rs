//! A board, as the rig sees it: something that can be provisioned, watched, held, released and read.
//!
//! A driver tells a [`Feed`] what it sees, in the order in which the device did it, and cuts power exactly where the answer
//! says so, where it can. It knows nothing of plans, packages or journals. A [`Composed`] board is one with its relay, its
//! witness and its link; [`KINDS`] lists the kinds there are.
mod composed;
mod cut_observer;
mod in_process;
mod nrf51;
mod qemu;
mod stack;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nor_flash_model::Geometry;
use powercut_oracle::outage::Ram;
use powercut_oracle::seen::VirtualTime;
use powercut_oracle::sight::Sight;

use crate::feed::Feed;
use crate::link::FarEnd;
use crate::relay::Switched;
use crate::uart::UartToDevice;
use crate::witness::Emulated;

pub use composed::{Composed, KINDS, Kind, compose, sight_of};
pub use cut_observer::{AtCut, CutObserver};
pub use nrf51::{kind_of, randomise, randomise_but};
#[cfg(feature = "fuzzing")]
pub use qemu::fuzz_trace;

/// Why [`Board::wait`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// A cut was ordered and power is off, exactly there.
    Cut,
    /// Power was switched off through the relay.
    PoweredOff,
    /// The time was up; the board is still powered.
    TimedOut,
}

/// Something wrong with the bench, not with the firmware: the verdict class of every variant but [`BoardError::LockedUp`] is
/// *bench error*.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The program that emulates the board is not there.
    #[error(
        "cannot start the emulator `{program}`: {source}; correct `qemu:` in the bench file if it names one, else install it (Debian: apt-get install qemu-system-arm) or run ci/setup"
    )]
    NoEmulator {
        /// What was started.
        program: String,
        /// Why it did not.
        source: std::io::Error,
    },
    /// The emulator ended although nobody cut it.
    #[error(
        "the emulator of board {board} ended by itself ({status}) while {doing}; its last words: {stderr}"
    )]
    EmulatorDied {
        /// Board name.
        board: String,
        /// Exit status as text.
        status: String,
        /// What the rig was doing.
        doing: String,
        /// End of its error output.
        stderr: String,
    },
    /// The emulator neither showed what the device does nor answered a question of its own.
    #[error(
        "the emulator of board {board} stopped answering: no sign of life for {seconds} s, and its process {process} {doing}; nothing is known about the firmware; see what holds it, or what else this computer is busy with, and run the case again"
    )]
    EmulatorSilent {
        /// Board name.
        board: String,
        /// For how long.
        seconds: u64,
        /// Its process.
        process: u32,
        /// What the process does, in words.
        doing: &'static str,
    },
    /// The device's core faulted while it handled a fault and stands still, and no watchdog runs. Of all variants this one is
    /// the firmware's doing.
    #[error(
        "board {board}: the core locked up: it faulted while handling a fault, and no watchdog runs, so the device stands still for good"
    )]
    LockedUp {
        /// Board name.
        board: String,
    },
    /// A channel to the board failed or did not answer in time.
    #[error("board {board}: {doing} failed: {reason}")]
    Channel {
        /// Board name.
        board: String,
        /// What the rig was doing.
        doing: String,
        /// What went wrong and what to check.
        reason: String,
    },
    /// The rig's own record of flash and the board's flash differ.
    #[error(
        "board {board}: flash differs from the rig's record at {address:#x}: record {recorded:#x}, board {found:#x}; this is a fault of the bench"
    )]
    ShadowMismatch {
        /// Board name.
        board: String,
        /// First byte address that differs.
        address: u32,
        /// What the rig believed.
        recorded: u8,
        /// What the board holds.
        found: u8,
    },
}

impl BoardError {
    /// Something of board `board` failed while the rig was `doing` it.
    pub(crate) fn channel(board: &str, doing: &str, reason: impl fmt::Display) -> Self {
        Self::Channel {
            board: board.to_owned(),
            doing: doing.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Facts about a board that hold before anything is switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its flash.
    pub geometry: Geometry,
    /// Its sight.
    pub sight: Sight,
    /// A powered board that is silent for longer is not on its way any more; `None` where nothing is known of the firmware's
    /// pauses.
    pub silence: Option<Duration>,
}

/// How a board comes up when it gets power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its core waits for [`Board::release`] and has not run an instruction: flash is what the last cut left.
    Held,
    /// Its core runs already.
    Running,
}

/// One device under test, without its relay. All calls come from one thread; events are told on the driver's own.
pub trait Board: Send {
    /// The name the bench gives it.
    fn name(&self) -> &str;
    /// The facts about it.
    fn facts(&self) -> Facts;
    /// Puts `flash` on the board (whole flash), restarts operation numbers at 1, and draws everything random in the board
    /// from `seed` from here on. The board must be off.
    ///
    /// # Errors
    /// The board is powered, or `flash` has the wrong size, or it cannot be written.
    fn provision(&mut self, flash: &[u8], seed: u64) -> Result<(), BoardError>;
    /// Has everything that is seen from the next power-on on told to `feed`.
    fn watch(&mut self, feed: Feed);
    /// The relay has given power: takes hold of the core before it runs, where this kind of board can.
    ///
    /// # Errors
    /// The board does not answer; it may have power.
    fn hold(&mut self) -> Result<Hold, BoardError>;
    /// Lets a core that is held run. Nothing happens if it runs.
    ///
    /// # Errors
    /// The board does not answer; it may have power.
    fn release(&mut self) -> Result<(), BoardError>;
    /// The time in which the board lives, if it is not this host's: then every [`Duration`] of this trait is of it, and it
    /// passes only during calls of [`Board::wait`] and [`Board::rest`].
    fn time(&self) -> Option<VirtualTime> {
        None
    }
    /// Bits a second on the line to its UART, where bytes take time.
    fn line_baud(&self) -> Option<u32> {
        None
    }
    /// Has the board live beside the far end of its UART's line, where both live in the board's own time. Called once a case,
    /// while the board is off; `None` is a line on which nothing happens.
    fn connect(&mut self, _line: Option<Arc<Mutex<dyn FarEnd>>>) {}
    /// Has `observer` told of every cut, with a copy of the chip; `false` for a kind of board that is not in this process.
    fn observe_cuts(&mut self, _observer: Arc<dyn CutObserver>) -> bool {
        false
    }
    /// Decides how much of its content the RAM of a board that is off keeps up to the next power-on; without a call it keeps
    /// nothing. `false` for a kind of board whose RAM cannot be told.
    fn keep_ram(&mut self, _kept: Ram) -> bool {
        false
    }
    /// Lets the off time of a cut pass, for the board and all who live beside it; `false` if it passes by itself.
    fn rest(&mut self, _time: Duration) -> bool {
        false
    }
    /// Waits until the board is cut, or `timeout` passes, or [`Waker::wake`] of [`Board::waker`] is called
    /// (then `TimedOut` is returned early).
    ///
    /// # Errors
    /// The bench failed while the firmware ran.
    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError>;
    /// Makes sure that the bench still does its part for a powered board, before its silence is held against the firmware.
    /// A board that is off, or that cannot tell, has nothing to say.
    ///
    /// # Errors
    /// The bench does not do its part.
    fn check(&mut self) -> Result<(), BoardError> {
        Ok(())
    }
    /// The load that a virtual relay switches; a board of silicon has none.
    fn load(&self) -> Option<Arc<dyn Switched>> {
        None
    }
    /// The emulator's own word on whether the board has power, where there is an emulator.
    fn emulated(&self) -> Option<Arc<dyn Emulated>> {
        None
    }
    /// Lets another thread end a [`Board::wait`] early.
    fn waker(&self) -> Waker;
    /// A handle that sends to the device's UART; stays valid across power cycles.
    fn uart(&self) -> Arc<dyn UartToDevice>;
    /// Flash content, whole; `None` if it cannot be read now.
    ///
    /// # Errors
    /// Reading it failed.
    fn read_flash(&mut self) -> Result<Option<Vec<u8>>, BoardError>;
    /// Compares the rig's record with what the powered board really holds, where there is a record.
    ///
    /// # Errors
    /// The two differ, or cannot be compared, as when the board is off.
    fn verify_record(&mut self) -> Result<(), BoardError> {
        Ok(())
    }
    /// Most bytes of stack in use at any time since power-on, if the board can tell: used for figures.
    ///
    /// # Errors
    /// When the board does not answer.
    fn stack_high_water_bytes(&mut self) -> Result<Option<u32>, BoardError> {
        Ok(None)
    }
}

/// Ends a wait from another thread.
#[derive(Clone)]
pub struct Waker(pub Arc<dyn Fn() + Send + Sync>);

impl Waker {
    /// Make the pending or the next [`Board::wait`] return.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// How to start a board in QEMU.
#[derive(Debug, Clone)]
pub(crate) struct QemuConfig {
    /// Name on the bench.
    pub name: String,
    /// Emulator program, `qemu-system-arm` unless the bench says otherwise.
    pub qemu: PathBuf,
    /// Silence after which a started watchdog that was not fed bites (host time; the device does nothing observable meanwhile).
    pub watchdog: Duration,
    /// Silence after which a powered board counts as gone, if the bench says.
    pub silence: Option<Duration>,
}
