//! Makes a failing schedule small: fewer cuts, then earlier ones, then simpler results of each, while the same invariant still
//! breaks.
use nor_flash_model::Cut;
use powercut_explore::{Breach, smaller_cuts};
use powercut_platform::PlatformError;

use crate::replay::replay;
use crate::upgrade::Upgrade;

/// A run of the firmware takes about a second.
const MOST_TRIES: u32 = 60;

/// A smaller schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// The cuts that are left.
    pub cuts: Vec<Cut>,
    /// How it fails.
    pub breach: Breach,
    /// Schedules that were tried on the way.
    pub tried: u32,
    /// Whether no single step makes it smaller; `false` when the limit of tries was reached first.
    pub is_minimal: bool,
}

/// Shrinks a schedule of `upgrade`; `None` if it does not fail.
///
/// # Errors
/// When the platform cannot serve the package.
pub fn shrink(upgrade: &Upgrade, cuts: &[Cut]) -> Result<Option<Shrunk>, PlatformError> {
    let Err(breach) = replay(upgrade, cuts)?.judged else {
        return Ok(None);
    };
    let mut shrunk = Shrunk {
        cuts: cuts.to_vec(),
        breach,
        tried: 1,
        is_minimal: false,
    };
    'smaller: loop {
        for cuts in smaller_cuts(&shrunk.cuts) {
            if shrunk.tried >= MOST_TRIES {
                return Ok(Some(shrunk));
            }
            shrunk.tried += 1;
            if let Err(breach) = replay(upgrade, &cuts)?.judged
                && breach.invariant == shrunk.breach.invariant
            {
                shrunk.cuts = cuts;
                shrunk.breach = breach;
                continue 'smaller;
            }
        }
        shrunk.is_minimal = true;
        return Ok(Some(shrunk));
    }
}
