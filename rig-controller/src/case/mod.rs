//! One case on one board: what happens, what is seen, and what it means.
//!
//! [`runner`] drives; [`monitor`] sees every event in the device's order and asks [`trigger`] whether power goes now;
//! [`oracle`] checks the invariants against flash ([`flash_view`]) and link; [`verdict`] says what came of it.
pub mod cancel;
#[cfg(test)]
pub(crate) mod fixture;
pub mod flash_view;
pub mod monitor;
pub mod oracle;
pub mod progress;
pub mod runner;
pub mod timeline;
pub mod trigger;
pub mod verdict;
pub(crate) mod words;
