//! What a run tells while it goes on, for people to watch.
use crate::plan::Case;
use crate::report::{CaseResult, HappenedCut};

/// Something worth telling. Comes from the workers' threads, in order for each board.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A board takes up a case.
    Started {
        /// The case.
        case: &'a Case,
        /// The board.
        board: &'a str,
    },
    /// It runs without cuts first, to show what there is to cut.
    Reference {
        /// The case that needs it.
        case: &'a Case,
        /// The board.
        board: &'a str,
    },
    /// Power was cut.
    Cut {
        /// In which case.
        case: &'a Case,
        /// Of which board.
        board: &'a str,
        /// Where.
        cut: &'a HappenedCut,
        /// Which of the case's cuts it is, from 1.
        number: usize,
        /// How many the case has.
        planned: usize,
    },
    /// A case is judged.
    Finished {
        /// How.
        result: &'a CaseResult,
    },
}

/// Listens to the progress of a run; called from several threads at once, and must not block for long.
pub type Listener<'a> = dyn Fn(&Progress<'_>) + Sync + 'a;
