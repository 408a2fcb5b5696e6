//! Witnesses prove, without the relay's word, that power went.
mod process;

pub(crate) use process::{Emulated, ProcessWitness};

/// The finding of a witness about a board that ought to be off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Power is gone; how that shows.
    Off(String),
    /// Power is there; how that shows.
    StillOn(String),
}

/// Looks at one board from a side of its own.
pub trait Witness: Send {
    /// Its name in reports.
    fn name(&self) -> &str;
    /// Looks at a board whose relay has been told to open.
    fn look(&mut self) -> Proof;
}
