//! Relays switch a board's power.
mod virtual_relay;

pub use virtual_relay::{Switched, VirtualRelay};

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
