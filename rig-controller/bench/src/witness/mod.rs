//! Witnesses prove, without the relay's word, that power went. [`KINDS`] lists the kinds there are.
mod emulator;

use crate::board::Board;

pub use emulator::Emulated;

/// A kind of witness.
pub struct Kind {
    /// Its name in bench files, after `witness:`.
    pub name: &'static str,
    /// Makes one that looks at `board`; `None` if a witness of this kind has nothing to look at there.
    pub wire: fn(&dyn Board) -> Option<Box<dyn Witness>>,
}

/// The kinds of witnesses there are.
pub const KINDS: &[Kind] = &[emulator::KIND];

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
