//! The world around the chip, and the words in which chip and world talk.

use crate::{Cycles, FLASH_BYTES, RAM_BYTES};

/// How long flash and UART take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// As on the chip: a word program takes 46.3 us (741 cycles) and a page erase 22.3 ms (356,800 cycles), during which the
    /// CPU stands still; UART bytes take the time of the baud rate that the firmware has set; a seventh byte in the
    /// receiver is lost.
    Silicon,
    /// As in QEMU: flash operations and UART bytes take no time, and bytes wait outside until the receiver has room.
    Instant,
}

/// One change of flash: the unit in which power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A word program; the word becomes `before & value`.
    Program {
        /// The word's address, a multiple of 4.
        address: u32,
        /// The word as it is.
        before: u32,
        /// The word that was written.
        value: u32,
    },
    /// A page erase; all bytes of the page become 0xFF.
    Erase {
        /// The page's first address.
        address: u32,
    },
}

/// The world's answer to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Go on.
    On,
    /// Stop before the event has taken effect: the instruction that caused it is not executed, and a further run begins
    /// with it. After events that have happened already (a byte sent, a pin written) the same as `StopAfter`.
    StopBefore,
    /// Stop once the event has taken effect.
    StopAfter,
}

/// Who has reset the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// The firmware, by SYSRESETREQ.
    Software,
    /// The watchdog, which was not fed in time.
    Watchdog,
    /// The chip itself, because its core was locked up; see [`Machine::reset`](crate::Machine::reset).
    LockUp,
}

/// Why a run of the machine has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The world has said so.
    World,
    /// The cycle up to which the machine was to run is reached.
    Budget,
    /// The core sleeps, and nothing can ever wake it: no timer, no watchdog, and the world has nothing more to do.
    Asleep,
    /// The core is locked up: a fault in a handler of faults, or at the entry to it. On the board the chip resets itself
    /// then; see [`Machine::reset`](crate::Machine::reset).
    LockUp {
        /// The instruction that could not be completed.
        pc: u32,
    },
    /// A BKPT instruction, with a debugger attached; it is not executed.
    Breakpoint {
        /// The instruction's address.
        pc: u32,
        /// The number in the instruction.
        number: u8,
    },
    /// A trap that a debugger has set; see [`Machine::set_breakpoints`](crate::Machine::set_breakpoints) and
    /// [`Machine::set_traps`](crate::Machine::set_traps).
    Trapped {
        /// The next instruction, which is not executed.
        pc: u32,
        /// The trap.
        by: Trap,
    },
}

/// Where a debugger has the core stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// Before the instruction at an address.
    Breakpoint,
    /// Before the first instruction of the handler of faults.
    HardFault,
    /// Before the first instruction after a reset.
    Reset,
}

/// The machine as an event finds it.
#[non_exhaustive]
pub struct View<'a> {
    /// Code flash, 256 KiB from address 0.
    pub flash: &'a [u8; FLASH_BYTES],
    /// RAM, 16 KiB.
    pub ram: &'a [u8; RAM_BYTES],
    /// The time.
    pub now: Cycles,
    /// The instruction that causes the event; for an event that no instruction causes, the next instruction.
    pub pc: u32,
    /// R0 to R12, SP, LR; the last is `pc`.
    pub registers: &'a [u32; 16],
    /// Instructions executed since the machine was made.
    pub instructions: u64,
}

/// A world in which nothing is connected to the chip: flash operations happen, bytes go nowhere, and none ever come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alone;

impl World for Alone {}

/// All that is outside the chip. A world says what it has to do with the chip; in all else nothing is connected to it.
///
/// The machine calls it in the order of time, which never goes back. While it calls, it stands still: a world that wants to
/// change flash, RAM or registers stops the machine first.
pub trait World {
    /// The chip is about to change flash.
    fn operation(&mut self, operation: Operation, view: &View<'_>) -> Go {
        let _ = (operation, view);
        Go::On
    }

    /// The chip has changed flash, and the time it took is over.
    fn operation_done(&mut self, operation: Operation, view: &View<'_>) {
        let _ = (operation, view);
    }

    /// A byte has left the UART at `view.now`: after its time on the line ([`Timing::Silicon`]), or as it was written.
    fn byte_sent(&mut self, byte: u8, view: &View<'_>) -> Go {
        let _ = (byte, view);
        Go::On
    }

    /// The firmware has written the output levels of pins: `written` is what it wrote to the register, which sets them, raises
    /// or lowers those whose bit is 1, and `outputs` are the levels now, a bit a pin.
    fn pins(&mut self, written: u32, outputs: u32, view: &View<'_>) -> Go {
        let _ = (written, outputs, view);
        Go::On
    }

    /// The chip resets; flash and RAM stay.
    fn reset(&mut self, cause: ResetCause, view: &View<'_>) {
        let _ = (cause, view);
    }

    /// The world says which bytes of flash it has looked at in the latest event, and what it does depends on. Asked for while
    /// a [footprint](crate::Footprint) is kept.
    fn looked_at(&mut self, note: &mut dyn FnMut(std::ops::Range<u32>)) {
        let _ = note;
    }

    /// The firmware has written to flash or UICR at `address`, or asked for an erase there (the register's address), while
    /// the controller does not let it: nothing has changed. The manual does not say how the chip takes it; firmware that
    /// does it is wrong in any case.
    fn not_written(&mut self, address: u32, view: &View<'_>) {
        let _ = (address, view);
    }

    /// The firmware uses `what`, which QEMU has and nRF51 silicon lacks: "VTOR" or "`SysTick`".
    fn not_on_silicon(&mut self, what: &'static str) {
        let _ = what;
    }

    /// The firmware uses a register, of a peripheral or of the core, that this crate does not have; it reads as zero and ignores
    /// writes.
    fn not_emulated(&mut self, address: u32) {
        let _ = address;
    }

    /// A byte has arrived at a receiver that listens and is full: the byte is lost.
    fn overrun(&mut self, now: Cycles) {
        let _ = now;
    }

    /// When the outside does something by itself next: a byte arrives, a datagram arrives. The machine calls
    /// [`turn`](Self::turn) then. It reads a time that is still named after that, and has passed, as a byte that waits until
    /// the device has room.
    fn next_at(&self) -> Option<Cycles> {
        None
    }

    /// Everything outside happens that is due by `now`, and all that follows from it by `now`.
    fn turn(&mut self, now: Cycles) {
        let _ = now;
    }

    /// Hands over the next byte whose last bit has arrived at the device by `now`. With [`Timing::Silicon`] the machine takes
    /// it in any case, and the device loses it when the receiver is full or off; with [`Timing::Instant`] the machine asks
    /// only when there is room.
    fn next_byte(&mut self, now: Cycles) -> Option<u8> {
        let _ = now;
        None
    }
}
