//! A look at a board in this process while its power is about to go.
use powercut_emulator::Machine;

/// A board in this process at the moment of a cut.
#[derive(Clone)]
pub struct AtCut {
    /// The board.
    pub board: String,
    /// The chip as the cut finds it. Before a torn operation the next instruction is the one that begins it.
    pub before: Machine,
    /// The chip in its next boot, before the first instruction, as if power had come back at once; RAM is lost, whatever the cut
    /// keeps of it.
    pub after: Machine,
}

/// Told of every cut of a board in this process, before power goes.
pub trait CutObserver: Send + Sync {
    /// The device stands still until this returns; `at` is a copy.
    fn at_cut(&self, at: AtCut);
}
