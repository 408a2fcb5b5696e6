//! Whether the exploration finds bugs: each bug that can be planted in the core is, one at a time, and looked for from
//! simple cuts to mean ones. The core without any bug has to pass all of the same runs.
use std::time::{Duration, Instant};

use powercut_upgrade::seeded::{self, Bug};

use super::effects::Tearing;
use super::geometry::Geometry;
use super::oracle::Breach;
use super::scenario::Scenario;
use super::schedule::Schedule;
use super::shrink::shrink;
use super::survey::{Depth, Part, Survey};

/// Pages of the larger image: enough for every path, few enough for many bugs.
const IMAGE_PAGES: u16 = 5;

/// What it takes to find a bug, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultClass {
    /// One cut, between operations or without any.
    Whole,
    /// One cut in an operation, with a result that stays.
    Torn,
    /// One cut that leaves weak bits.
    Weak,
    /// Several cuts.
    Several,
}

/// How a bug was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// What it took.
    pub class: FaultClass,
    /// The shortest schedule that shrinking came to.
    pub schedule: Schedule,
    /// What it breaks.
    pub breach: Breach,
}

/// One bug, looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutant {
    /// Which.
    pub bug: Bug,
    /// `None` if it survived.
    pub kill: Option<Kill>,
    /// How long that took, shrinking included.
    pub time: Duration,
}

/// Looks for one bug. No other thread may explore meanwhile: a bug is planted in the whole process.
pub fn look_for(bug: Bug) -> Mutant {
    let begun = Instant::now();
    seeded::plant(Some(bug));
    let kill = find();
    seeded::plant(None);
    Mutant {
        bug,
        kill,
        time: begun.elapsed(),
    }
}

/// Runs everything that bugs are looked for with, on the core as it is; what it finds is no planted bug.
pub fn look_without_bug() -> Option<Kill> {
    seeded::plant(None);
    find()
}

fn find() -> Option<Kill> {
    let single = Depth::Exhaustive { cuts: 1 };
    let pairs = Depth::Exhaustive { cuts: 2 };
    let random = Depth::Random {
        samples: 4,
        cuts: 6,
        seed: 1,
    };
    let rungs = [
        (FaultClass::Whole, Tearing::Whole, single, 1),
        (FaultClass::Torn, Tearing::Torn, single, 1),
        (FaultClass::Weak, Tearing::Weak, single, 1),
        (FaultClass::Several, Tearing::Weak, random, 1),
        // All of them take minutes for each bug that survives until here.
        (FaultClass::Several, Tearing::Torn, pairs, 32),
    ];
    rungs
        .into_iter()
        .find_map(|(class, tearing, depth, of)| climb(class, tearing, depth, of))
}

/// Runs one of `of` parts of a rung.
fn climb(class: FaultClass, tearing: Tearing, depth: Depth, of: u64) -> Option<Kill> {
    for geometry in [Geometry::Tiny, Geometry::TinyOnce] {
        for scenario in Scenario::ALL {
            let survey = Survey {
                geometry,
                scenario,
                image_pages: IMAGE_PAGES,
                tearing,
                depth,
                ..Survey::default()
            };
            let part = Part { index: 0, of };
            let (_, failures) = survey.run(part, &|_, counts| counts.failed == 0);
            let Some(failure) = failures.into_iter().next() else {
                continue;
            };
            let schedule = survey.schedule(failure.cuts);
            let found = shrink(&schedule);
            return Some(Kill {
                class,
                breach: found
                    .as_ref()
                    .map_or(failure.breach, |shrunk| shrunk.breach.clone()),
                schedule: found.map_or(schedule, |shrunk| shrunk.schedule),
            });
        }
    }
    None
}
