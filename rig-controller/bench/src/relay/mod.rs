//! Relays switch a board's power. [`KINDS`] lists the kinds there are.
mod virtual_relay;

use std::fmt;

use crate::board::Board;

pub use virtual_relay::Switched;

/// A kind of relay.
pub struct Kind {
    /// Its name in bench files, after `relay:`.
    pub name: &'static str,
    /// Makes the one that `board` hangs on; `None` if a relay of this kind has nothing to switch there.
    pub wire: fn(&dyn Board) -> Option<Box<dyn Relay>>,
}

/// The kinds of relays there are.
pub const KINDS: &[Kind] = &[virtual_relay::KIND];

/// Whether a board has power, as far as can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It has.
    On,
    /// It has none.
    Off,
    /// It cannot be told: switching failed, or the relay does not read back.
    Unknown,
}

/// Why a relay did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum RelayFault {
    /// The load did not come up, or did not go down.
    #[error("{0}")]
    Load(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It reads back otherwise than it was told.
    #[error("it was told {wanted} and reads back {found}; see whether its contact sticks")]
    Sticks {
        /// The order to the relay.
        wanted: Power,
        /// The state that it reads back.
        found: Power,
    },
    /// It switches on and off, and can do nothing between.
    #[error("it can only switch on and off; a brown-out needs a supply whose voltage can be set")]
    CannotSag,
}

/// A relay failed to do what it was told: always a *bench error*. Power is unknown then.
#[derive(Debug, thiserror::Error)]
pub struct RelayError {
    /// Which relay.
    pub relay: String,
    /// The order to the relay.
    pub to: Power,
    /// Why it did not.
    #[source]
    pub fault: RelayFault,
}

/// Switches one board's power.
pub trait Relay: Send {
    /// Its name in reports.
    fn name(&self) -> &str;
    /// Gives power. Idempotent.
    ///
    /// # Errors
    /// The load did not come up; power is off or unknown.
    fn on(&mut self) -> Result<(), RelayError>;
    /// Takes power. Idempotent.
    ///
    /// # Errors
    /// Power may still be there.
    fn off(&mut self) -> Result<(), RelayError>;
    /// Lets the supply sag until the board's chip is held in reset, and no further: its RAM keeps what it holds. [`Relay::on`]
    /// ends it.
    ///
    /// # Errors
    /// This relay cannot, or failed; power is unknown then.
    fn sag(&mut self) -> Result<(), RelayError> {
        Err(RelayError {
            relay: self.name().to_owned(),
            to: Power::Off,
            fault: RelayFault::CannotSag,
        })
    }
    /// The board's power, as far as the relay knows.
    fn power(&self) -> Power;
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { relay, to, fault } = self;
        match fault {
            // The load names itself and says what to check; the relay did its part.
            RelayFault::Load(error) => error.fmt(f),
            RelayFault::Sticks { .. } => write!(f, "{relay}: switching {to} failed: {fault}"),
            RelayFault::CannotSag => write!(f, "{relay}: {fault}"),
        }
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Unknown => "unknown",
        })
    }
}
