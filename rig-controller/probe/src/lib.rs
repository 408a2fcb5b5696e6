//! Debug probes, all through probe-rs: for the board in this process a probe of our own stands below it, so that probe-rs
//! flashes, verifies, halts, steps and reads it as it does silicon.
//!
//! [`VirtualBoard`] is a chip on a desk with a probe on it. [`suite`] runs on-target tests through a probe.
#![forbid(unsafe_code)]

mod debug_access;
mod driver;
mod execution;
pub mod suite;
mod virtual_board;

pub use virtual_board::{CHIP, VirtualBoard};
