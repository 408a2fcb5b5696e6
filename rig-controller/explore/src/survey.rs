//! What is asked for, in terms of geometries and scenarios; from here on sizes are constants of types.
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "seeded-bugs")]
use nor_flash_model::Operation;
use nor_flash_model::{Cut, NorFlashModel, OnGeometry, on_geometry};

use super::bench::Bench;
use super::effects::Tearing;
use super::explorer::{Counts, Explorer, Failure, Search, Share};
#[cfg(feature = "seeded-bugs")]
use super::fault::Fault;
use super::flash_part::FlashPart;
use super::life::{Moment, arm, live, live_watched};
use super::memory::Memory;
use super::oracle::{Breach, broken};
use super::plan_scene::PlannedUpgrade;
use super::recall::Remembering;
use super::scenario::Scenario;
use super::scene::{Reference, SMALL_PAGES, Scene};
use super::schedule::Schedule;
use powercut_oracle::verdict::Invariant;

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

/// Part `index` (from 0) of `of`: parts of one survey are disjoint and together are all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub index: u64,
    /// Of how many.
    pub of: u64,
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
    /// Explores one part. `on_progress` hears of each first cut that is done: its operation number and the counts so
    /// far; it stops the survey by `false`.
    pub fn run(
        &self,
        part: Part,
        on_progress: &(dyn Fn(u64, &Counts) -> bool + Sync),
    ) -> (Counts, Vec<Failure>) {
        on_geometry(
            self.geometry.facts(),
            Exploration {
                survey: self,
                part,
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

/// Runs one schedule again.
///
/// # Errors
/// The invariant it breaks; T1 if a cut never happens, because the device is at rest before.
pub fn replay(schedule: &Schedule) -> Result<(), Breach> {
    let flashes = None;
    on_geometry(schedule.geometry.facts(), Replay { schedule, flashes })
}

/// What flash held, whole, in a run of one schedule; a weak bit reads 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flashes {
    /// After each cut.
    pub after_cuts: Vec<Vec<u8>>,
    /// After the second boot in a row that had nothing left to do, if it came to that after the last cut.
    pub at_rest: Option<Vec<u8>>,
}

impl Flashes {
    fn add<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
        &mut self,
        moment: Moment,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    ) {
        match moment {
            Moment::Cut => {
                self.after_cuts.push(flash.bytes());
                self.at_rest = None;
            }
            Moment::Rest(2) => self.at_rest = Some(flash.bytes()),
            Moment::Rest(_) => {}
        }
    }
}

/// Like [`replay`], with what flash held meanwhile.
pub fn replay_with_flash(schedule: &Schedule) -> (Result<(), Breach>, Flashes) {
    let mut flashes = Flashes::default();
    let replay = Replay {
        schedule,
        flashes: Some(&mut flashes),
    };
    let judged = on_geometry(schedule.geometry.facts(), replay);
    (judged, flashes)
}

/// A kind of fault, to try at many places.
#[cfg(feature = "seeded-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A program that silently does nothing: each of a journal's records and SEALs, and some of the others.
    Silent,
    /// A bit of either image slot that turns over, at some of the operations.
    Rot,
}

/// Tries single faults of a kind in the uncut run of `schedule`; the first that breaks an invariant.
#[cfg(feature = "seeded-bugs")]
pub fn first_fault(schedule: &Schedule, kind: FaultKind) -> Option<(Schedule, Breach)> {
    on_geometry(schedule.geometry.facts(), FirstFault { schedule, kind })
}

#[cfg(feature = "seeded-bugs")]
struct FirstFault<'a> {
    schedule: &'a Schedule,
    kind: FaultKind,
}

#[cfg(feature = "seeded-bugs")]
impl FirstFault<'_> {
    /// The faults to try, given the operations of the uncut run.
    fn faults(&self, scene: &Scene, first: u64, log: &[Operation]) -> Vec<Fault> {
        // Of what there is very much of, every so-manieth will do.
        const SOME: u64 = 11;
        let layout = &scene.layout;
        let header_bytes = 72;
        let mut faults = Vec::new();
        for (operation, what) in (first..).zip(log) {
            let is_sampled = operation.is_multiple_of(SOME);
            match (self.kind, what) {
                (FaultKind::Silent, Operation::Program { address }) => {
                    let in_journal = (layout.identification.start..layout.active.start)
                        .contains(address)
                        && address % layout.page_bytes >= header_bytes;
                    if in_journal || is_sampled {
                        faults.push(Fault::Silent { operation });
                    }
                }
                (FaultKind::Rot, _) if is_sampled => {
                    for slot in [layout.active.start, layout.staging.start] {
                        for page in [0, 1] {
                            faults.push(Fault::Rot {
                                operation,
                                address: slot + page * layout.page_bytes + 17,
                                bit: 3,
                            });
                        }
                    }
                }
                (FaultKind::Silent, Operation::Erase { .. }) | (FaultKind::Rot, _) => {}
            }
        }
        faults
    }
}

#[cfg(feature = "seeded-bugs")]
impl OnGeometry for FirstFault<'_> {
    type Output = Option<(Schedule, Breach)>;

    /// Does it on flash of this geometry.
    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let (scene, flash) = match prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(self.schedule) {
            Ok(prepared) => prepared,
            Err(breach) => return Some((self.schedule.clone(), breach)),
        };
        let with = |flash, faults: Vec<Fault>| {
            let mut bench =
                Bench::<UNIT, PAGE, PROGRAMS, BUFFER>::new(&scene, flash, Memory::default(), None);
            bench.faults = faults.into_iter();
            let end = live(&mut bench, |_| None);
            (end, bench.flash)
        };
        let mut logged = flash.clone();
        logged.start_log();
        let (_, logged) = with(logged, Vec::new());
        let faults = self.faults(&scene, flash.operations() + 1, logged.log());
        faults.into_iter().find_map(|fault| {
            let breach = with(flash.clone(), vec![fault]).0.err()?;
            let faults = vec![fault];
            let schedule = self.schedule.clone();
            Some((Schedule { faults, ..schedule }, breach))
        })
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
    let mut factory = Bench::<UNIT, PAGE, PROGRAMS, BUFFER>::new(
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
        let mut uncut = Bench::<UNIT, PAGE, PROGRAMS, BUFFER>::new(&scene, flash, memory, None);
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
    part: Part,
    on_progress: &'a (dyn Fn(u64, &Counts) -> bool + Sync),
}

impl OnGeometry for Exploration<'_> {
    type Output = (Counts, Vec<Failure>);

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let survey = self.survey;
        let _remembering = survey.remembering.then(Remembering::begin);
        let prepared = prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(&survey.schedule(Vec::new()));
        let (scene, flash) = match prepared {
            Ok(prepared) => prepared,
            Err(breach) => {
                let counts = Counts {
                    schedules: 1,
                    failed: 1,
                    ..Counts::default()
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
            index: self.part.index,
            of: self.part.of,
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

struct Replay<'a> {
    schedule: &'a Schedule,
    flashes: Option<&'a mut Flashes>,
}

impl OnGeometry for Replay<'_> {
    type Output = Result<(), Breach>;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let Self {
            schedule,
            mut flashes,
        } = self;
        let (scene, mut flash) = prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(schedule)?;
        let mut cuts = schedule.cuts.iter().copied();
        if let Some(first) = cuts.next() {
            arm(&mut flash, first);
        }
        let mut bench =
            Bench::<UNIT, PAGE, PROGRAMS, BUFFER>::new(&scene, flash, Memory::default(), None);
        bench.faults = schedule.faults.clone().into_iter();
        let watch = |moment, flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>| {
            if let Some(flashes) = &mut flashes {
                flashes.add(moment, flash);
            }
        };
        live_watched(&mut bench, |_| cuts.next(), watch)?;
        if let Some(cut) = bench.flash.planned_cut().or(cuts.next()) {
            return broken(
                Invariant::T1,
                format!("{cut} never happens: the device is at rest before"),
            );
        }
        // Counted by the device's lives, not by who plans the cuts.
        if usize::from(bench.memory.cuts) != schedule.cuts.len().min(usize::from(u8::MAX)) {
            return broken(
                Invariant::T1,
                format!(
                    "{} cuts were planned, power was lost {} times",
                    schedule.cuts.len(),
                    bench.memory.cuts
                ),
            );
        }
        match bench.faults.next() {
            None => Ok(()),
            Some(fault) => broken(
                Invariant::T1,
                format!("{fault} never happens: the device is at rest before"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(geometry: FlashPart, scenario: Scenario, depth: Depth) -> Survey {
        Survey {
            geometry,
            scenario,
            image_pages: 5,
            depth,
            ..Survey::default()
        }
    }

    const SINGLE: Depth = Depth::Exhaustive { cuts: 1 };

    #[test]
    fn every_single_cut_of_a_small_upgrade_is_survived() {
        for (geometry, scenario) in [
            (FlashPart::Tiny, Scenario::NeverConfirms),
            (FlashPart::TinyOnce, Scenario::Longer),
        ] {
            let survey = survey(geometry, scenario, SINGLE);
            let (counts, failures) = survey.run(Part { index: 0, of: 3 }, &|_, _| true);
            assert_eq!(failures, []);
            assert!(counts.schedules > 1_000, "{counts:?}");
        }
    }

    #[test]
    fn an_upgrade_without_a_cut_is_sound_in_every_geometry() {
        for geometry in FlashPart::ALL {
            let survey = Survey {
                geometry,
                ..Survey::default()
            };
            let operations = survey.operations().unwrap();
            assert!(operations.count() > 500, "{geometry}");
        }
    }

    #[test]
    fn parts_cover_every_operation_once() {
        let survey = survey(FlashPart::TinyOnce, Scenario::Shorter, SINGLE);
        let operations = survey.operations().unwrap();
        let cut = std::sync::Mutex::new(Vec::new());
        for index in 0..3 {
            survey.run(Part { index, of: 3 }, &|operation, _| {
                cut.lock().unwrap().push(operation);
                true
            });
        }
        let mut cut = cut.into_inner().unwrap();
        cut.sort_unstable();
        assert!(cut.into_iter().eq(operations));
    }

    #[test]
    fn random_schedules_over_a_lossy_link_are_survived_and_are_the_same_every_time() {
        let random = Depth::Random {
            samples: 1,
            cuts: 6,
            seed: 7,
        };
        let survey = Survey {
            loss_permille: 100,
            ..survey(FlashPart::Tiny, Scenario::Longer, random)
        };
        let part = Part { index: 1, of: 8 };
        let (counts, failures) = survey.run(part, &|_, _| true);
        assert_eq!(failures, []);
        assert_eq!(survey.run(part, &|_, _| true).0, counts);
    }

    /// Explores the same part with and without following runs that met.
    fn both_ways(survey: &Survey, part: Part) {
        let run = |merging| {
            let survey = Survey {
                merging,
                remembering: merging,
                ..survey.clone()
            };
            survey.run(part, &|_, _| true)
        };
        let ((merged, failures), (whole, all_failures)) = (run(true), run(false));
        assert_eq!(
            (merged.schedules, merged.failed),
            (whole.schedules, whole.failed),
            "{survey}"
        );
        assert_eq!(failures, all_failures, "{survey}");
        assert_eq!((whole.schedules, whole.merged), (whole.runs, 0));
        assert!(merged.merged * 2 >= merged.runs, "{merged:?}");
    }

    #[test]
    fn runs_that_met_need_not_be_followed_twice() {
        for (geometry, scenario) in [
            (FlashPart::Tiny, Scenario::NeverConfirms),
            (FlashPart::TinyOnce, Scenario::Withdrawn),
        ] {
            let one = survey(geometry, scenario, SINGLE);
            both_ways(&one, Part { index: 1, of: 9 });
            let lossy = Survey {
                loss_permille: 100,
                ..one.clone()
            };
            both_ways(&lossy, Part { index: 5, of: 9 });
            let pairs = Survey {
                image_pages: 4,
                tearing: Tearing::Whole,
                depth: Depth::Exhaustive { cuts: 2 },
                ..one
            };
            both_ways(&pairs, Part { index: 99, of: 199 });
        }
    }

    #[test]
    #[ignore = "minutes, even when optimised"]
    fn runs_that_met_in_two_cuts_of_any_kind_need_not_be_followed_twice() {
        for (geometry, scenario) in [
            (FlashPart::Tiny, Scenario::Longer),
            (FlashPart::TinyOnce, Scenario::Shorter),
            (FlashPart::Tiny, Scenario::NeverConfirms),
        ] {
            let pairs = Survey {
                image_pages: 4,
                ..survey(geometry, scenario, Depth::Exhaustive { cuts: 2 })
            };
            for index in [3, 120, 244, 371] {
                println!("{pairs} {index}");
                both_ways(&pairs, Part { index, of: 400 });
            }
        }
    }

    #[test]
    fn a_cut_that_never_happens_is_no_pass() {
        let line = "core:tiny:longer:seed=1:cuts=op99999/before";
        let breach = replay(&line.parse().unwrap()).unwrap_err();
        assert_eq!(breach.invariant, Invariant::T1);
    }
}
