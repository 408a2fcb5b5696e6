//! The witness of an emulated board: the kernel says whether the emulator's process is gone.
use std::sync::Arc;

use super::{Kind, Proof, Witness};

/// `witness: process`.
pub(super) const KIND: Kind = Kind {
    name: "process",
    wire: |board| Some(Box::new(ProcessWitness(board.process()?))),
};

/// Something that lives in a process.
pub trait Emulated: Send + Sync {
    /// The process that still lives, if any.
    fn living_process(&self) -> Option<u32>;
}

/// Looks for the process of one board.
struct ProcessWitness(Arc<dyn Emulated>);

impl Witness for ProcessWitness {
    fn name(&self) -> &'static str {
        "the emulator's process"
    }

    fn look(&mut self) -> Proof {
        match self.0.living_process() {
            None => Proof::Off("the emulator's process is gone".to_owned()),
            Some(process) => Proof::StillOn(format!("process {process} of the emulator lives")),
        }
    }
}
