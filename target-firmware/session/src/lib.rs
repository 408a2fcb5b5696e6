//! The one loop of an application that upgrades itself. The firmware, the simulation, the load generator and the tests
//! turn this one, so what they show holds for what ships: flash operations, datagrams and timers in the same order.
//!
//! It has two layers, both sans-IO. [`Session`] joins the upgrade agent with the [`Probation`] of a new image, for
//! owners that have datagrams. [`OverModem`] puts the AT client underneath, for owners that have a serial line to a
//! modem. Flash, bytes and the time in milliseconds are the owner's, and so is waiting.
//!
//! `no_std`, no alloc, no unsafe.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod over_modem;
#[cfg(test)]
mod over_modem_tests;
mod overheard;
mod session;
mod trial;

pub use over_modem::{Line, Next, OverModem, Received, Transmission};
pub use overheard::Overheard;
pub use session::{Reason, Session, Step};
pub use trial::Probation;
