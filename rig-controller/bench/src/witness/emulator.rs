//! The witness of an emulated board: the emulator says, whatever the relay says, whether the board lives.
use std::sync::Arc;

use super::{Kind, Proof, Witness};

/// `witness: emulator`.
pub(super) const KIND: Kind = Kind {
    name: "emulator",
    wire: |board| Some(Box::new(EmulatorWitness(board.emulated()?))),
};

/// An emulator that can be asked.
pub trait Emulated: Send + Sync {
    /// The part of it that is looked at.
    fn name(&self) -> &'static str;
    /// Looks whether the board lives.
    fn look(&self) -> Proof;
}

/// Asks the emulator of one board.
struct EmulatorWitness(Arc<dyn Emulated>);

impl Witness for EmulatorWitness {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn look(&mut self) -> Proof {
        self.0.look()
    }
}
