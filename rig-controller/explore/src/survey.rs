//! What is asked for, in terms of geometries and scenarios; from here on sizes are constants of types.
#[cfg(feature = "seeded-bugs")]
mod first_fault;
mod replay;

use std::fmt;
use std::sync::Arc;

use nor_flash_model::{Cut, NorFlashModel, OnGeometry, on_geometry};

use super::effects::Tearing;
use super::explored_flash::ExploredFlash;
use super::explorer::{ExplorationCounts, Explorer, Failure, Search, Share};
use super::flash_part::FlashPart;
use super::life::live;
use super::memory::Memory;
use super::oracle::{Breach, broken};
use super::plan_scene::PlannedUpgrade;
use super::recall::Remembering;
use super::scenario::Scenario;
use super::scene::{Reference, SMALL_PAGES, Scene};
use super::schedule::Schedule;
use powercut_oracle::verdict::Invariant;

#[cfg(feature = "seeded-bugs")]
pub use first_fault::{FaultKind, first_fault};
pub use replay::{Flashes, replay, replay_with_flash};

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every schedule of up to `cuts` cuts.
    Exhaustive {
        /// Most cuts.
        cuts: usize,
    },
    /// For each operation, so many random schedules that begin there.
    Random {
        /// Schedules per operation.
        samples: u32,
        /// Most cuts.
        cuts: usize,
        /// Decides which.
        seed: u64,
    },
}

/// Partition `index` (from 0) of `of`: the partitions of one survey are disjoint and together are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Which.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

impl Partition {
    /// Those of `all` that fall to this partition: each `of`th.
    pub fn of_all<T>(self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        (0_u64..)
            .zip(all)
            .filter(|(number, _)| number % self.of == self.index)
            .map(|(_, one)| one)
            .collect()
    }
}

/// One exploration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// On which flash.
    pub geometry: FlashPart,
    /// Which upgrade.
    pub scenario: Scenario,
    /// Pages of the larger image.
    pub image_pages: u16,
    /// Bytes of a fragment; `None` for about three eighths of a page.
    pub fragment_bytes: Option<u16>,
    /// Of 1000 datagrams, so many are lost.
    pub loss_permille: u16,
    /// Decides which.
    pub seed: u64,
    /// The upgrade of a test plan it is of, from which all above follows; `None` if the images are made up.
    pub planned: Option<Arc<PlannedUpgrade>>,
    /// What a cut may leave.
    pub tearing: Tearing,
    /// How deep to look.
    pub depth: Depth,
    /// Whether runs that met are followed only once. Changes how long it takes, not what comes of it.
    pub merging: bool,
    /// Whether digests and signatures are remembered by content. Changes how long it takes, not what comes of it.
    pub remembering: bool,
}

impl Default for Survey {
    /// Every single cut in the smallest upgrade there is.
    fn default() -> Self {
        Self {
            geometry: FlashPart::Tiny,
            scenario: Scenario::Longer,
            image_pages: SMALL_PAGES,
            fragment_bytes: None,
            loss_permille: 0,
            seed: 1,
            planned: None,
            tearing: Tearing::Weak,
            depth: Depth::Exhaustive { cuts: 1 },
            merging: true,
            remembering: true,
        }
    }
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            geometry,
            scenario,
            image_pages,
            fragment_bytes,
            loss_permille,
            seed,
            planned,
            tearing,
            depth,
            merging: _,
            remembering: _,
        } = self;
        if let Some(planned) = planned {
            write!(f, "{planned}:")?;
        }
        write!(f, "{geometry}:{scenario}:pages={image_pages}:")?;
        if let Some(bytes) = fragment_bytes {
            write!(f, "fragment={bytes}:")?;
        }
        write!(f, "loss={loss_permille}:seed={seed}:{tearing}:")?;
        match depth {
            Depth::Exhaustive { cuts } => write!(f, "all-{cuts}"),
            Depth::Random {
                samples,
                cuts,
                seed,
            } => write!(f, "random-{samples}x{cuts}-seed-{seed}"),
        }
    }
}

impl Survey {
    /// Explores one partition. `on_progress` hears of each first cut that is done: its operation number and the counts so
    /// far; it stops the survey by `false`.
    pub fn run(
        &self,
        partition: Partition,
        on_progress: &(dyn Fn(u64, &ExplorationCounts) -> bool + Sync),
    ) -> (ExplorationCounts, Vec<Failure>) {
        on_geometry(
            self.geometry.facts(),
            Exploration {
                survey: self,
                partition,
                on_progress,
            },
        )
    }

    /// Operation numbers of the uncut run: the first and the last a first cut may hit.
    ///
    /// # Errors
    /// When the uncut run breaks an invariant.
    pub fn operations(&self) -> Result<std::ops::RangeInclusive<u64>, Breach> {
        on_geometry(self.geometry.facts(), Span(&self.schedule(Vec::new())))
    }

    /// The line of a failure found here.
    pub fn schedule(&self, cuts: Vec<Cut>) -> Schedule {
        Schedule {
            geometry: self.geometry,
            scenario: self.scenario,
            image_pages: self.image_pages,
            fragment_bytes: self.fragment_bytes,
            seed: self.seed,
            loss_permille: self.loss_permille,
            planned: self.planned.clone(),
            cuts,
            faults: Vec::new(),
        }
    }
}

/// The scene of a schedule, with what its uncut run costs, and the flash it starts from.
fn prepare<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
    schedule: &Schedule,
) -> Result<(Scene, NorFlashModel<UNIT, PAGE, PROGRAMS>), Breach> {
    let mut scene = match &schedule.planned {
        Some(planned) => planned.scene(),
        None => Scene::new(
            schedule.geometry,
            schedule.scenario,
            schedule.image_pages,
            schedule.fragment_bytes,
            schedule.seed,
        ),
    };
    scene.loss_permille = schedule.loss_permille;
    let mut factory = ExploredFlash::<UNIT, PAGE, PROGRAMS, BUFFER>::new(
        &scene,
        NorFlashModel::new(scene.pages),
        Memory::default(),
        None,
    );
    if let Err(error) = scene.provision(&mut factory) {
        return broken(Invariant::T1, format!("the scene does not fit: {error}"));
    }
    let mut flash = factory.flash;
    if schedule.planned.is_some() {
        // As on the board, where the device's first operation is number 1.
        flash.count_anew();
    }
    let measure = || {
        let (flash, memory) = (flash.clone(), Memory::default());
        let before = flash.operations();
        let mut uncut =
            ExploredFlash::<UNIT, PAGE, PROGRAMS, BUFFER>::new(&scene, flash, memory, None);
        live(&mut uncut, |_| None)?;
        Ok(Reference {
            slot_erases: uncut.memory.slot_erases,
            journal_erases: uncut.memory.journal_erases,
            operations: uncut.flash.operations() - before,
        })
    };
    scene.reference = match &schedule.planned {
        Some(planned) => planned.reference(measure)?,
        None => measure()?,
    };
    Ok((scene, flash))
}

struct Exploration<'a> {
    survey: &'a Survey,
    partition: Partition,
    on_progress: &'a (dyn Fn(u64, &ExplorationCounts) -> bool + Sync),
}

impl OnGeometry for Exploration<'_> {
    type Output = (ExplorationCounts, Vec<Failure>);

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let survey = self.survey;
        let _remembering = survey.remembering.then(Remembering::begin);
        let prepared = prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(&survey.schedule(Vec::new()));
        let (scene, flash) = match prepared {
            Ok(prepared) => prepared,
            Err(breach) => {
                let counts = ExplorationCounts {
                    schedules: 1,
                    failed: 1,
                    ..ExplorationCounts::default()
                };
                let failure = Failure {
                    cuts: Vec::new(),
                    breach,
                };
                return (counts, vec![failure]);
            }
        };
        let search = match survey.depth {
            Depth::Exhaustive { cuts } => Search::Exhaustive { depth: cuts },
            Depth::Random {
                samples,
                cuts,
                seed,
            } => Search::Random {
                samples,
                depth: cuts,
                seed,
            },
        };
        let share = Share {
            index: self.partition.index,
            of: self.partition.of,
        };
        let mut explorer = Explorer::<UNIT, PAGE, PROGRAMS, BUFFER>::new(
            &scene,
            search,
            share,
            survey.tearing,
            survey.merging,
            self.on_progress,
        );
        explorer.explore(flash);
        (explorer.counts, explorer.failures)
    }
}

struct Span<'a>(&'a Schedule);

impl OnGeometry for Span<'_> {
    type Output = Result<std::ops::RangeInclusive<u64>, Breach>;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let (scene, flash) = prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(self.0)?;
        let before = flash.operations();
        Ok(before + 1..=before + scene.reference.operations)
    }
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
