//! One case on one board: what happens, what is seen, and what it means.
//!
//! [`runner`] drives; [`monitor`] sees every event in the device's order and asks [`trigger`] whether power goes now; the
//! oracle checks the invariants against flash and link.
mod counts;
#[cfg(test)]
mod fake_board;
mod judge;
pub mod monitor;
pub mod runner;
mod snapshot;
pub mod timeline;
pub mod trigger;

pub use counts::Counts;
