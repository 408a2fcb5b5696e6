//! The core and the chip as silicon has them.

mod anything;
mod arithmetic;
#[path = "../common/mod.rs"]
mod common;
mod debugger;
mod exceptions;
mod faults;
mod flash;
mod peripherals;
mod sleep;
mod timers;
mod transfers;
mod uart;
