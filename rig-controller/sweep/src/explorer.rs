//! The walk over all cuts: at each operation of a run, power is lost in every way, and each result lives on.
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;
use std::time::Instant;

use nor_flash_model::{Cut, CutEffect, Flicker, fold};
use powercut_emulator::{Core, Machine, Operation};
use powercut_explore::{Breach, Depth, Failure, effects};
use powercut_oracle::seen::What;
use powercut_oracle::verdict::Invariant;
use powercut_platform::PlatformError;

use crate::course::{Course, Parted};
use crate::cut::leave;
use crate::futures::{End, Future, Futures, Length, Mark, Place};
use crate::life::{Halt, go_on, machine};
use crate::pages::{Device, Versions};
use crate::random::RandomCuts;
use crate::search::Search;
use crate::tally::{Stage, Tally};
use crate::upgrade::Upgrade;
use crate::watch::{Watch, page_of};

/// Failures that are kept; more of them say nothing new.
const MOST_FAILURES: usize = 20;
/// Moments of a run at which known futures are looked for, power-on included. Runs that meet do so early.
const MOST_MARKS: usize = 6;

/// Hears of each first cut that is done: its operation's number and the work so far.
pub type OnProgress<'a> = dyn Fn(u64, &Tally) + 'a;

/// See the module's text.
pub struct Explorer<'u> {
    pub(crate) upgrade: &'u Upgrade,
    pub(crate) search: Search,
    effects: Vec<CutEffect>,
    futures: Futures,
    pub(crate) path: Vec<Cut>,
    pub(crate) stage: Stage,
    /// The work so far.
    pub tally: Tally,
    /// The first failures; T1 says that two ways to judge a schedule disagreed.
    pub failures: Vec<Failure>,
    stop: &'u (dyn Fn() -> bool + 'u),
    on_progress: &'u OnProgress<'u>,
    /// The rest of the run without cuts need not be walked.
    stopped: bool,
}

impl<'u> Explorer<'u> {
    /// A walk of which nothing is done; it ends early once `stop` says so.
    pub fn new(
        upgrade: &'u Upgrade,
        search: Search,
        stop: &'u (dyn Fn() -> bool + 'u),
        on_progress: &'u OnProgress<'u>,
    ) -> Self {
        let programs_twice = upgrade.board.geometry.programs_twice();
        Self {
            upgrade,
            effects: effects(search.tearing, programs_twice),
            search,
            futures: Futures::default(),
            path: Vec::new(),
            stage: Stage::Download,
            tally: Tally::default(),
            failures: Vec::new(),
            stop,
            on_progress,
            stopped: false,
        }
    }

    /// Walks over all cuts; the run without a cut is judged, too.
    ///
    /// # Errors
    /// When the platform cannot serve the package.
    pub fn explore(&mut self) -> Result<(), PlatformError> {
        let mut course = Course::new(self.upgrade)?;
        let device = || Device::new(machine(&self.upgrade.flash));
        let mut uncut = device();
        let mut after_cuts: Vec<Device> = (0..self.search.levels()).map(|_| device()).collect();
        course.power_on(&mut uncut.machine);
        let end = self.follow((&mut uncut, &mut after_cuts), &mut course, Vec::new());
        if let Err(breach) = end {
            self.fail(breach);
        }
        Ok(())
    }

    pub(crate) fn fail(&mut self, breach: Breach) {
        self.tally.of(self.stage).0.failed += 1;
        if self.failures.len() < MOST_FAILURES {
            let cuts = self.path.clone();
            self.failures.push(Failure { cuts, breach });
        }
    }

    /// Follows a run that has these marks to its end, or to a future that is known, and explores each of its
    /// cuts: a device behind `device` is there for each cut that may still come.
    fn follow(
        &mut self,
        (device, after_cuts): (&mut Device, &mut [Device]),
        course: &mut Course<'u>,
        mut marks: Vec<Mark>,
    ) -> Result<(), Breach> {
        let level = self.path.len();
        let begun = length(course, &device.machine);
        let is_cut = !after_cuts.is_empty();
        let is_merging = self.search.merging && level > 0;
        let (mut resting, mut in_journal) = (false, true);
        let end = loop {
            let stops = is_cut || (is_merging && marks.len() < MOST_MARKS);
            course.stops_from = match (stops, level) {
                (true, 0) => *self.search.operations.start(),
                (true, _) => 0,
                (false, _) => u64::MAX,
            };
            let halt = go_on(&mut device.machine, course, &mut resting);
            for page in course.changed.take() {
                device.refresh(page);
            }
            let operation = match halt {
                Halt::Operation(operation) => operation,
                Halt::Rest => {
                    break End {
                        length: length(course, &device.machine) - begun,
                        records: course.watch.records(),
                        needed: course.watch.records_needed(),
                    };
                }
                Halt::Broken(breach) => return Err(breach),
            };
            if let Some((next, deeper)) = after_cuts.split_first_mut() {
                self.cut_here(device, (next, deeper), course, operation);
                if self.stopped {
                    // What is left undone is not judged.
                    return Ok(());
                }
            }
            let was_in_journal = std::mem::replace(&mut in_journal, self.is_journal(operation));
            let is_landmark =
                !in_journal && (was_in_journal || matches!(operation, Operation::Erase { .. }));
            if is_merging && is_landmark && marks.len() < MOST_MARKS {
                let here = length(course, &device.machine);
                let timer = Instant::now();
                let known = self.meet(device, course, &mut marks, here - begun);
                self.tally.of(self.stage).1.lookup += timer.elapsed();
                if let Some(future) = known {
                    self.tally.of(self.stage).0.met += 1;
                    break End {
                        length: here - begun + future.length,
                        records: course.watch.records(),
                        needed: future.records,
                    };
                }
            }
            course.allow();
        };
        let timer = Instant::now();
        if let Some(versions) = &course.versions {
            self.futures.learn(marks, device, versions, &end);
        }
        self.tally.of(self.stage).1.lookup += timer.elapsed();
        Ok(())
    }

    fn is_journal(&self, operation: Operation) -> bool {
        let layout = &self.upgrade.board.layout;
        let (Operation::Program { address, .. } | Operation::Erase { address }) = operation;
        (layout.identification.start..layout.active.start).contains(&address)
    }

    /// Looks for the future of a run that has come so far, and sets a mark if it is not known.
    fn meet(
        &mut self,
        device: &mut Device,
        course: &mut Course<'u>,
        marks: &mut Vec<Mark>,
        so_far: Length,
    ) -> Option<Rc<Future>> {
        device.refresh_unsettled();
        let core = device.machine.core();
        let cuts_to_come = self.path.len() < self.search.levels();
        let place = place(device, course, &core, cuts_to_come);
        if let Some(future) = self.futures.find(&place) {
            future.follow(&mut device.machine);
            return Some(future);
        }
        marks.push(Mark::new(&place, so_far));
        course.marks = marks.len();
        if let Some(footprint) = device.machine.footprint_mut() {
            footprint.mark();
        }
        None
    }

    /// `device` is about to do `pending`: explores each way to lose power now.
    fn cut_here(
        &mut self,
        device: &Device,
        (next, deeper): (&mut Device, &mut [Device]),
        course: &Course<'u>,
        pending: Operation,
    ) {
        let operation = course.watch.operations + 1;
        if self.path.is_empty() {
            if operation > *self.search.operations.end() {
                self.stopped = true;
                return;
            }
            if !self.search.hits(operation) {
                return;
            }
            self.stage = if course.watch.is_downloading() {
                Stage::Download
            } else {
                Stage::Swap
            };
        }
        match self.search.depth {
            Depth::Exhaustive { .. } => {
                // It is the same for all effects.
                let outside = course.outside_once_parted(device.machine.now());
                for index in 0..self.effects.len() {
                    let effect = self.effects[index];
                    self.path.push(Cut { operation, effect });
                    let to = (&mut *next, &mut *deeper);
                    if let Err(breach) = self.judge(to, (device, course, outside), pending, effect)
                    {
                        self.fail(breach);
                    }
                    self.path.pop();
                }
            }
            Depth::Random {
                samples,
                cuts,
                seed,
            } => {
                for sample in 0..samples {
                    let random = seed ^ operation << 24 ^ u64::from(sample);
                    self.sample(
                        next,
                        (device, course),
                        pending,
                        RandomCuts::new(random, cuts),
                    );
                }
            }
        }
        if self.path.is_empty() {
            (self.on_progress)(operation, &self.tally);
        }
        self.stopped |= (self.stop)();
    }

    /// Power is lost at `pending`, which the device and course of `from` are about to do, with this effect; then the outside is
    /// `outside`.
    fn judge(
        &mut self,
        (device, deeper): (&mut Device, &mut [Device]),
        (from, before, outside): (&Device, &Course<'u>, Parted),
        pending: Operation,
        effect: CutEffect,
    ) -> Result<(), Breach> {
        let stage = self.stage;
        let timer = Instant::now();
        device.copy_flash(from);
        let watch = cut(device, before, pending, effect);
        let now = from.machine.now();
        let (counts, times) = self.tally.of(stage);
        counts.states += 1;
        times.setup += timer.elapsed();
        if let Some(violation) = watch.violation() {
            return Err(Breach {
                invariant: violation.invariant,
                reason: violation.reason.clone(),
            });
        }
        let cuts_to_come = !deeper.is_empty();
        let timer = Instant::now();
        let place = Place {
            key: before.memory_once_parted(&watch, outside, cuts_to_come),
            device,
            programs: watch.programs(),
            records: watch.records(),
            core: None,
        };
        let is_merging = self.search.merging;
        let known = is_merging.then(|| self.futures.find(&place)).flatten();
        let is_new = is_merging && known.is_none();
        let mark = is_new.then(|| Mark::new(&place, Length::default()));
        let (counts, times) = self.tally.of(stage);
        times.lookup += timer.elapsed();
        if let Some(future) = known {
            counts.merged += 1;
            if !counts.merged.is_multiple_of(self.search.check_one_in) {
                return Ok(());
            }
            let timer = Instant::now();
            let checked = check(device, before.part(watch, now, effect), future.length);
            let (counts, times) = self.tally.of(stage);
            times.check += timer.elapsed();
            counts.checked += 1;
            return checked;
        }
        counts.distinct += 1;
        let course = before.part(watch, now, effect);
        self.recover((device, deeper), course, mark)
    }

    /// Follows a future that is not known, to be kept if there is a mark of its beginning.
    fn recover(
        &mut self,
        (device, deeper): (&mut Device, &mut [Device]),
        mut course: Course<'u>,
        mark: Option<Mark>,
    ) -> Result<(), Breach> {
        let timer = Instant::now();
        let lookup = self.tally.of(self.stage).1.total();
        let mut marks = Vec::new();
        if let Some(mark) = mark {
            let mut versions = Box::<Versions>::default();
            versions.clear();
            course.versions = Some(versions);
            course.watch.is_noting = true;
            device.machine.keep_footprint(true);
            course.begin_boot(&mut device.machine);
            if let Some(footprint) = device.machine.footprint_mut() {
                footprint.mark();
            }
            marks.push(mark);
            course.marks = 1;
        } else {
            course.begin_boot(&mut device.machine);
        }
        let begun = length(&course, &device.machine);
        let end = self.follow((device, deeper), &mut course, marks);
        let ran = length(&course, &device.machine) - begun;
        let booted = course.booted_at.map_or(timer.elapsed(), |at| at - timer);
        let (counts, times) = self.tally.of(self.stage);
        // Lookups in between, and cuts of this run, have been counted.
        let within = times.total().saturating_sub(lookup);
        times.boot += booted;
        times.recovery += timer.elapsed().saturating_sub(within + booted);
        counts.operations += ran.operations;
        counts.instructions += ran.instructions;
        end
    }
}

/// Power is lost on `device`, which has the flash of the one of `before`; the oracle that has seen it, and has looked at what
/// is left.
pub(crate) fn cut(
    device: &mut Device,
    before: &Course<'_>,
    pending: Operation,
    effect: CutEffect,
) -> Watch {
    let mut watch = before.watch.clone();
    watch.is_noting = false;
    watch.operate(pending, effect, device.machine.flash());
    leave(&mut device.machine, pending, effect);
    if let Some(flicker) = effect.flicker() {
        device.noise = number(flicker);
    }
    device.refresh(page_of(pending));
    watch.power_off(true);
    watch.boot(What::PowerOn, device.machine.flash());
    watch
}

/// Follows a state whose future is known to be of this length.
fn check(device: &mut Device, mut course: Course<'_>, known: Length) -> Result<(), Breach> {
    device.machine.keep_footprint(false);
    course.stops_from = u64::MAX;
    course.begin_boot(&mut device.machine);
    let begun = length(&course, &device.machine);
    let halt = go_on(&mut device.machine, &mut course, &mut false);
    for page in course.changed.take() {
        device.refresh(page);
    }
    let disagrees = |what: String| {
        Err(Breach {
            invariant: Invariant::T1,
            reason: format!("the exploration took this state for one that passes, but {what}"),
        })
    };
    match halt {
        Halt::Operation(_) => disagrees("it was not followed to its end".to_owned()),
        Halt::Broken(breach) => disagrees(breach.to_string()),
        Halt::Rest => {
            let found = length(&course, &device.machine) - begun;
            if found == known {
                return Ok(());
            }
            disagrees(format!(
                "its future has {} operations and {} instructions, not {} and {}",
                found.operations, found.instructions, known.operations, known.instructions
            ))
        }
    }
}

/// How weak bits read, as a number.
fn number(flicker: Flicker) -> u64 {
    let mut hasher = DefaultHasher::new();
    flicker.hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn length(course: &Course<'_>, machine: &Machine) -> Length {
    Length {
        operations: course.watch.operations,
        instructions: machine.instructions(),
    }
}

fn place<'a>(
    device: &'a Device,
    course: &'a Course<'_>,
    core: &'a Core,
    cuts_to_come: bool,
) -> Place<'a> {
    let view = device.machine.view();
    let registers = view.registers.iter();
    let key = registers.fold(course.memory(cuts_to_come), |key, register| {
        fold(key, u64::from(*register))
    });
    Place {
        key,
        device,
        programs: course.watch.programs(),
        records: course.watch.records(),
        core: Some(core),
    }
}
