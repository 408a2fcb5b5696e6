//! Makes a failing schedule of the firmware small.
use nor_flash_model::Cut;
use powercut_explore::{Shrunk, shrink_by, smaller_cuts};
use powercut_oracle::verdict::Invariant;
use powercut_platform::PlatformError;

use crate::replay::replay;
use crate::upgrade::Upgrade;

/// How many operations back an earlier place is looked for: a run of the firmware takes a second or two.
const EARLIER: u64 = 8;

/// Shrinks these cuts of `upgrade`; `None` if they break nothing, or if the first thing that breaks is not the firmware's (T1: a
/// cut never happens). `may_try` says whether one more schedule may be run after so
/// many.
///
/// # Errors
/// When the platform cannot serve the package.
pub fn shrink(
    upgrade: &Upgrade,
    cuts: &[Cut],
    may_try: impl FnMut(u32) -> bool,
) -> Result<Option<Shrunk<Vec<Cut>>>, PlatformError> {
    let run = |cuts: &Vec<Cut>| {
        let judged = replay(upgrade, cuts)?.judged;
        Ok(judged.or_else(|breach| match breach.invariant {
            Invariant::T1 => Ok(()),
            _ => Err(breach),
        }))
    };
    let smaller = |cuts: &Vec<Cut>| smaller_cuts(cuts, EARLIER);
    shrink_by(cuts.to_vec(), smaller, run, may_try)
}
