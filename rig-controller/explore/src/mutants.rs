//! Whether the exploration finds bugs: each bug that can be planted, in the core, in the scripted platform or in the rig
//! itself, is planted alone and looked for, from simple means to mean ones. The sound core has to pass all of the same
//! runs. The first means that finds a bug is the fault class it needs.
use std::fmt;
use std::time::{Duration, Instant};

use powercut_upgrade::seeded::{self, Bug};
use serde::Serialize;

use super::effects::Tearing;
use super::flash_part::FlashPart;
use super::oracle::Breach;
use super::planted::{self, RigBug};
use super::scenario::Scenario;
use super::schedule::Schedule;
use super::shrink::shrink;
use super::survey::{Depth, FaultKind, Partition, Survey, first_fault};

/// Pages of the larger image: enough for every path, few enough for many bugs.
const IMAGE_PAGES: u16 = 4;
/// Declared equivalents there may be.
pub const MOST_EQUIVALENT: usize = 3;

/// A bug, wherever it is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// In the upgrade core.
    Core(Bug),
    /// In the scripted platform or the rig.
    Rig(RigBug),
}

impl Planted {
    /// All.
    pub fn all() -> impl Iterator<Item = Self> {
        let core = Bug::ALL.iter().copied().map(Self::Core);
        core.chain(RigBug::ALL.into_iter().map(Self::Rig))
    }

    /// How it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Core(bug) => bug.name(),
            Self::Rig(bug) => bug.name(),
        }
    }

    /// Why no run can tell the core with this bug from the sound one; `None` if one has to.
    pub const fn equivalent(self) -> Option<&'static str> {
        match self {
            Self::Core(Bug::RecordNotBoundToSession) => Some(
                "a page is erased before its HEADER is written and appended to only in the boot that wrote it, so no record of another session can stand behind a HEADER",
            ),
            Self::Core(Bug::ReadyNotReasserted) => Some(
                "all the bootloader does with READY before its first record is reading STAGING, and a boot's first record opens a fresh page that states READY anew by itself",
            ),
            _ => None,
        }
    }

    fn plant(self) {
        match self {
            Self::Core(bug) => seeded::plant(Some(bug)),
            Self::Rig(bug) => planted::plant(Some(bug)),
        }
    }
}

fn plant_nothing() {
    seeded::plant(None);
    planted::plant(None);
}

/// What it takes to find a bug, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// Nothing but the right flash.
    Uncut,
    /// A link that loses datagrams.
    Lossy,
    /// A program that does nothing and reports success.
    Silent,
    /// A bit of an image that turns over.
    Rot,
    /// One cut, before an operation or after it.
    Whole,
    /// One cut in an operation, with a result that stays.
    Torn,
    /// One cut that leaves weak bits or units that cannot be read.
    Weak,
    /// Several cuts.
    Several,
}

impl fmt::Display for FaultClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Uncut => "uncut",
            Self::Lossy => "lossy",
            Self::Silent => "silent",
            Self::Rot => "rot",
            Self::Whole => "whole",
            Self::Torn => "torn",
            Self::Weak => "weak",
            Self::Several => "several",
        })
    }
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
    pub bug: Planted,
    /// `None` if it survived.
    pub kill: Option<Kill>,
    /// How long that took, shrinking included.
    pub time: Duration,
}

impl Mutant {
    /// Whether it is as it has to be: killed, or alive and declared equivalent.
    pub fn is_as_declared(&self) -> bool {
        self.kill.is_some() != self.bug.equivalent().is_some()
    }
}

/// Looks for one bug. No other thread may explore meanwhile: a bug is planted in the whole process.
pub fn look_for(bug: Planted) -> Mutant {
    let begun = Instant::now();
    plant_nothing();
    bug.plant();
    let kill = find();
    plant_nothing();
    Mutant {
        bug,
        kill,
        time: begun.elapsed(),
    }
}

/// Runs everything that bugs are looked for with, on the core as it is; what it finds is no planted bug.
pub fn look_without_bug() -> Option<Kill> {
    plant_nothing();
    find()
}

/// One means of looking, with one scene.
struct Rung {
    class: FaultClass,
    geometry: FlashPart,
    scenario: Scenario,
    means: Means,
}

enum Means {
    Cuts {
        tearing: Tearing,
        depth: Depth,
        loss_permille: u16,
        /// One part of so many is run.
        of: u64,
    },
    Faults(FaultKind),
}

const UNCUT: Depth = Depth::Exhaustive { cuts: 0 };
const SINGLE: Depth = Depth::Exhaustive { cuts: 1 };
const PAIRS: Depth = Depth::Exhaustive { cuts: 2 };
const RANDOM: Depth = Depth::Random {
    samples: 2,
    cuts: 6,
    seed: 1,
};
const TINY: [FlashPart; 2] = [FlashPart::Tiny, FlashPart::TinyOnce];

fn rungs() -> impl Iterator<Item = Rung> {
    let cuts = |class, geometries: &'static [FlashPart], tearing, depth, loss_permille, of| {
        geometries.iter().flat_map(move |geometry| {
            Scenario::ALL.into_iter().map(move |scenario| Rung {
                class,
                geometry: *geometry,
                scenario,
                means: Means::Cuts {
                    tearing,
                    depth,
                    loss_permille,
                    of,
                },
            })
        })
    };
    let faults = |class, kind, scenarios: &'static [Scenario]| {
        TINY.into_iter().flat_map(move |geometry| {
            scenarios.iter().map(move |scenario| Rung {
                class,
                geometry,
                scenario: *scenario,
                means: Means::Faults(kind),
            })
        })
    };
    let whole = Tearing::Whole;
    // Every part with its pages and units, if only once.
    cuts(FaultClass::Uncut, &TINY, whole, UNCUT, 0, 1)
        .chain(cuts(
            FaultClass::Uncut,
            &[FlashPart::Stm32u5],
            whole,
            UNCUT,
            0,
            1,
        ))
        .chain(cuts(FaultClass::Lossy, &TINY, whole, UNCUT, 200, 1))
        .chain(faults(
            FaultClass::Silent,
            FaultKind::Silent,
            &[Scenario::Longer, Scenario::NeverConfirms],
        ))
        .chain(faults(
            FaultClass::Rot,
            FaultKind::Rot,
            &[Scenario::Longer, Scenario::Shorter, Scenario::Unbootable],
        ))
        .chain(cuts(FaultClass::Whole, &TINY, whole, SINGLE, 0, 1))
        .chain(cuts(FaultClass::Torn, &TINY, Tearing::Torn, SINGLE, 0, 1))
        .chain(cuts(FaultClass::Weak, &TINY, Tearing::Weak, SINGLE, 0, 1))
        .chain(cuts(
            FaultClass::Several,
            &TINY,
            Tearing::Weak,
            RANDOM,
            0,
            1,
        ))
        // All of them take minutes for each bug that survives until here.
        .chain(cuts(
            FaultClass::Several,
            &TINY,
            Tearing::Torn,
            PAIRS,
            0,
            64,
        ))
}

fn find() -> Option<Kill> {
    rungs().find_map(|rung| rung.climb())
}

impl Rung {
    fn climb(&self) -> Option<Kill> {
        let (schedule, breach) = match self.means {
            Means::Cuts {
                tearing,
                depth,
                loss_permille,
                of,
            } => {
                let survey = Survey {
                    geometry: self.geometry,
                    scenario: self.scenario,
                    image_pages: IMAGE_PAGES,
                    loss_permille,
                    tearing,
                    depth,
                    ..Survey::default()
                };
                let partition = Partition { index: 0, of };
                let (_, failures) = survey.run(partition, &|_, counts| counts.failed == 0);
                let failure = failures.into_iter().next()?;
                (survey.schedule(failure.cuts), failure.breach)
            }
            Means::Faults(kind) => first_fault(
                &Schedule {
                    image_pages: IMAGE_PAGES,
                    ..Schedule::uncut(self.geometry, self.scenario)
                },
                kind,
            )?,
        };
        let shrunk = shrink(&schedule);
        Some(Kill {
            class: self.class,
            breach: shrunk
                .as_ref()
                .map_or(breach, |shrunk| shrunk.breach.clone()),
            schedule: shrunk.map_or(schedule, |shrunk| shrunk.schedule),
        })
    }
}
