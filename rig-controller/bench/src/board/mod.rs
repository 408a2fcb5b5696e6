//! What a board is to the rig: something that can be provisioned, powered, watched and read.
//!
//! A driver reports what it sees to a [`BoardObserver`], in the order in which the device did it, and cuts
//! power exactly where the observer says so. It knows nothing of plans, packages or journals.
mod virtual_board;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nor_flash_model::{Geometry, TornShape};
use powercut_oracle::FlashOp;

pub use virtual_board::VirtualBoard;
#[cfg(feature = "fuzzing")]
pub use virtual_board::fuzz_trace;

/// What the observer wants after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Continue,
    /// Cut power here: nothing the device did after this event happened. If the event is a flash operation
    /// (reported *before* it takes effect), `torn` says what is left of it; `None` leaves nothing of it.
    Cut {
        /// Partial effect of the operation that was about to happen.
        torn: Option<TornShape>,
    },
    /// Let this flash operation take full effect, then cut.
    CutAfter,
}

/// Receives what the device does, in program order, on the driver's reader thread. Must not block.
pub trait BoardObserver: Send {
    /// A flash operation is about to take effect; `flash` is the content before it.
    fn flash_op(&mut self, op: &FlashOp, flash: &[u8]) -> Decision;
    /// The operation has taken full effect; `flash` is the content after it. Not called for a torn one.
    fn flash_op_done(&mut self, op: &FlashOp, flash: &[u8]);
    /// The device sent one byte on its UART.
    fn uart_byte(&mut self, byte: u8, flash: &[u8]) -> Decision;
    /// The device wrote its GPIO outputs (register offset in the GPIO block, value).
    fn pin_write(&mut self, register: u32, value: u32, flash: &[u8]) -> Decision;
    /// The device reset itself (software reset or watchdog); power stayed on.
    fn device_reset(&mut self, cause: ResetCause, flash: &[u8]);
    /// The device did something this board's silicon cannot do; the message names it.
    fn not_on_silicon(&mut self, what: &str);
}

/// Why a board reset without losing power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// The firmware asked for it.
    Software,
    /// The watchdog the firmware had started was not fed.
    Watchdog,
}

/// Why [`Board::wait`] returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// The observer asked for a cut and power is off, exactly there.
    Cut,
    /// Power was switched off through the relay.
    PoweredOff,
    /// The time was up; the board is still powered.
    TimedOut,
}

/// Sends bytes to the device's UART. Bytes sent while the board is off are lost.
pub trait UartToDevice: Send + Sync {
    /// Queue bytes for the device; never blocks, never fails (a dead board loses them).
    fn send(&self, bytes: &[u8]);
}

/// What a board kind cannot show the oracle; listed in every result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observability {
    /// Single flash operations, and so exact cuts and program counts, can be seen.
    pub flash_operations: bool,
    /// Flash content can be read while the board is off.
    pub flash_content: bool,
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

/// Shared by the driver's reader thread and the case runner.
pub type SharedObserver = Arc<Mutex<dyn BoardObserver>>;

/// One device under test. All calls come from one thread; the observer is called from the driver's own: do not
/// hold its lock during a call that switches power, waits or verifies.
pub trait Board: Send {
    /// The name the bench gives it.
    fn name(&self) -> &str;
    /// Its flash.
    fn geometry(&self) -> Geometry;
    /// What it can show.
    fn observability(&self) -> Observability;
    /// Put `flash` on the board (whole flash, `geometry().size_bytes()` bytes) and restart operation numbers at 1.
    /// The board must be off.
    ///
    /// # Errors
    /// The board is powered, or `flash` has the wrong size, or it cannot be written.
    fn provision(&mut self, flash: &[u8]) -> Result<(), BoardError>;
    /// Give it power. Reports to `observer` until power goes.
    ///
    /// # Errors
    /// The board cannot be started; it is off then.
    fn power_on(&mut self, observer: SharedObserver) -> Result<(), BoardError>;
    /// Take power. Idempotent; must succeed in turning it off even if everything else is broken.
    ///
    /// # Errors
    /// Something else than switching off went wrong: power is gone all the same.
    fn power_off(&mut self) -> Result<(), BoardError>;
    /// Wait until the board is cut, or `timeout` passes, or [`Waker::wake`] of [`Board::waker`] is called
    /// (then `TimedOut` is returned early).
    ///
    /// # Errors
    /// The bench failed while the firmware ran; the board is off then.
    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError>;
    /// Make sure that the bench still does its part for a powered board, before its silence is held against the firmware.
    /// A board that is off, or that cannot tell, has nothing to say.
    ///
    /// # Errors
    /// The bench does not do its part; the board is off then.
    fn check(&mut self) -> Result<(), BoardError> {
        Ok(())
    }
    /// Lets another thread end a [`Board::wait`] early.
    fn waker(&self) -> Waker;
    /// A handle that sends to the device's UART; stays valid across power cycles.
    fn uart(&self) -> Arc<dyn UartToDevice>;
    /// Flash content, whole. When the board is off this is what the next boot will find.
    ///
    /// # Errors
    /// Flash cannot be read now.
    fn read_flash(&mut self) -> Result<Vec<u8>, BoardError>;
    /// Compare the rig's record with what the powered board really holds; the board is off afterwards.
    ///
    /// # Errors
    /// The two differ, or cannot be compared, as when the board is off.
    fn verify_record(&mut self) -> Result<(), BoardError>;
    /// Most bytes of stack in use at any time since power-on, if the board can tell: used for figures.
    ///
    /// # Errors
    /// When the board does not answer.
    fn stack_high_water_bytes(&mut self) -> Result<Option<u32>, BoardError>;
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

/// How to start a virtual board.
#[derive(Debug, Clone)]
pub struct VirtualBoardConfig {
    /// Name on the bench.
    pub name: String,
    /// Emulator program, `qemu-system-arm` unless the bench says otherwise.
    pub qemu: PathBuf,
    /// Seed of everything random in the emulator: RNG and the garbage in RAM at power-on.
    pub seed: u64,
    /// Silence after which a started watchdog that was not fed bites (host time; the device does nothing observable meanwhile).
    pub watchdog: Duration,
}
