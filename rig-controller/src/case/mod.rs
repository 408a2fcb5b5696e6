//! One case on one board: what happens, what is seen, and what it means.
//!
//! [`runner`] drives; [`monitor`] sees every event in the device's order and asks [`trigger`] whether power goes now; the
//! oracle checks the invariants against flash and link.
pub mod monitor;
pub mod progress;
pub mod runner;
pub mod timeline;
pub mod trigger;
