//! A micro:bit's chip in process: an ARMv6-M core (Cortex-M0) and the nRF51822 around it, as far as Powercut's firmware
//! uses it.
//!
//! A [`Machine`] runs the very binary that ships. It is deterministic: it has no thread, reads no clock, does no input or
//! output, and time is a number of core cycles ([`Cycles`]) that instructions, flash operations and sleeps add to. All
//! that is outside the chip is a [`World`]: the machine asks it before each flash operation, tells it each byte that has
//! left the UART and each pin that was written, and asks it when it will do something by itself next.
//!
//! Two timings: with [`Timing::Silicon`] flash operations and UART bytes take the time that the data sheet gives, and a
//! receiver that is not read overruns; with [`Timing::Instant`] they take none, as in QEMU.
//!
//! The core is stricter than QEMU's where silicon is: it has no vector table offset register and no `SysTick`, and it refuses
//! instructions that a Cortex-M0 lacks (IT, CBZ, 32-bit ones but BL, MSR, MRS and barriers). Where the architecture leaves
//! an encoding or a narrow transfer unpredictable, it faults. `tests/qemu` compares the two, and lists where they differ.
//!
//! Of the chip there are code flash with its controller, FICR and UICR, RAM, UART0, TIMER0 to TIMER2, pins, the random number
//! generator, the watchdog, clocks, and the reasons of resets. There are no RTC, radio, GPIOTE, PPI, SPI, TWI or converters,
//! no flow control by RTS and CTS, and no comparator that warns of a failing supply: [`World::not_emulated`] tells each use of a
//! register that is missing. A brown-out is a [`Machine::power_on`] with RAM as it was.
//! Times that the manuals leave open (return from an exception, start of a crystal) are constants with a comment. A reset by
//! the watchdog waits for the end of a flash operation.
//!
//! Sources: ARMv6-M Architecture Reference Manual (ARM DDI 0419), Cortex-M0 Technical Reference Manual (ARM DDI 0432,
//! cycle counts), nRF51 Series Reference Manual 3.0, nRF51822 Product Specification 3.1 (times).
#![forbid(unsafe_code)]

mod bus;
mod chip;
mod cpu;
mod debug;
mod debug_port;
mod decode;
mod exceptions;
mod execute;
mod footprint;
mod machine;
mod memo;
mod memory;
mod still;
mod system;
mod time;
mod traps;
mod unsettled;
mod world;

pub use debug::{BusError, Width};
pub use debug_port::{DebugPort, ROM_TABLE};
pub use footprint::{Footprint, MOST_MARKS, Marks, Programmed};
pub use machine::{Core, Machine};
pub use memo::{MemoFigures, MemoOptions};
pub use time::{cycles_in, time_of};
pub use traps::Traps;
pub use unsettled::{Noise, Unsettled};
pub use world::{Alone, Go, Operation, ResetCause, Stop, Timing, Trap, View, World};

/// Bytes of code flash, from address 0 on.
pub const FLASH_BYTES: usize = 256 * 1024;
/// Bytes in a page of flash, the unit of an erase.
pub const PAGE_BYTES: usize = 1024;
/// The address of the first byte of RAM.
pub const RAM_START: u32 = 0x2000_0000;
/// Bytes of RAM.
pub const RAM_BYTES: usize = 16 * 1024;
/// Core cycles in a second.
pub const CLOCK_HZ: u64 = 16_000_000;

/// Core cycles at 16 MHz since power-on of the machine.
pub type Cycles = u64;
