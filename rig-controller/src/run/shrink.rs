//! A failing case made small: the same case with fewer, earlier or simpler cuts that break the same invariant.
use powercut_bench::entry::BoardEntry;
use powercut_explore::{Breach, Shrunk, shrink_by};
use powercut_oracle::verdict::Verdict;

use super::rig::{Cuts, Rig};
use crate::plan::{Case, Cut, smaller_cuts};

/// A case that was to be made small.
#[derive(Debug, Clone)]
pub struct ShrunkCase {
    /// The verdict with the cuts that were given; `None` if the run was cancelled before there was one.
    pub first: Option<Verdict>,
    /// The smaller case; `None` if the firmware did not fail.
    pub shrunk: Option<Shrunk<Vec<Cut>>>,
}

/// Shrinks the cuts of `case` on `board`. A case that proves nothing, because a cut never happens in it or because the bench
/// erred, is no failing one. `tell` hears of the verdict of each case; `may_try` says whether one more may be run after so
/// many.
pub fn shrink(
    rig: &Rig<'_>,
    case: &Case,
    board: &BoardEntry,
    cuts: &[Cut],
    tell: &dyn Fn(&[Cut], &Verdict),
    may_try: impl FnMut(u32) -> bool,
) -> ShrunkCase {
    let mut first = None;
    let run = |cuts: &Vec<Cut>| {
        let verdict = rig.attempt(case, board, Cuts::Given(cuts)).verdict;
        if let Some(verdict) = &verdict {
            tell(cuts, verdict);
        }
        first = first.take().or_else(|| verdict.clone());
        Ok::<_, std::convert::Infallible>(match verdict {
            Some(Verdict::FirmwareFailure { invariant, reason }) => {
                Err(Breach { invariant, reason })
            }
            _ => Ok(()),
        })
    };
    let Ok(shrunk) = shrink_by(cuts.to_vec(), |cuts| smaller_cuts(cuts), run, may_try);
    ShrunkCase { first, shrunk }
}
