//! What switches a board's power, and what a cut leaves of the operation it interrupts.
mod virtual_relay;

pub use virtual_relay::{Switched, VirtualRelay};

/// What a cut leaves of the flash operation it hits. Deterministic: a shape and an operation give one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TornShape {
    /// Program: the lower half of the unit's bits. Erase: the first half of the page.
    Half,
    /// Program: the upper half of the unit's bits. Erase: the second half of the page.
    OtherHalf,
    /// A random subset of the bits that were to change, drawn from this seed.
    Bits(u32),
    /// The first so many bytes of the unit or page.
    Prefix(u16),
    /// All but the byte with this number, from 0, in the unit or page.
    AllBut(u16),
    /// A random subset of the bits that were to change, drawn from this seed byte by byte and wherever the operation is:
    /// the subset that the flash model of the exploration draws.
    ByteBits(u64),
}

/// A relay failed to do what it was told: always a *bench error*.
#[derive(Debug, thiserror::Error)]
#[error("relay {relay}: switching {to} failed: {reason}")]
pub struct RelayError {
    /// Which relay.
    pub relay: String,
    /// `on` or `off`.
    pub to: &'static str,
    /// What went wrong and what to check.
    pub reason: String,
}

/// Switches one board's power.
pub trait Relay: Send {
    /// Give power. Idempotent.
    ///
    /// # Errors
    /// The load did not come up; what to check is in the reason.
    fn on(&mut self) -> Result<(), RelayError>;
    /// Take power. Idempotent.
    ///
    /// # Errors
    /// Power may still be there.
    fn off(&mut self) -> Result<(), RelayError>;
    /// Whether the relay believes power is on.
    fn is_on(&self) -> bool;
}
