//! The walk over all cuts: at each operation of a run, power is lost in every way, and each result lives on.
use std::time::{Duration, Instant};

use nor_flash_model::{Cut, CutEffect};
use powercut_emulator::{Machine, Operation};
use powercut_explore::{Breach, Tearing, effects};
use powercut_platform::PlatformError;
use serde::{Deserialize, Serialize};

use crate::course::Course;
use crate::cut::cut;
use crate::life::{Halt, go_on, machine};
use crate::upgrade::Upgrade;

/// Failures that are kept; more of them say nothing new.
const MOST_FAILURES: usize = 20;

/// The cuts to try.
#[derive(Debug, Clone)]
pub struct Search {
    /// Most cuts in a schedule.
    pub depth: usize,
    /// What a cut may leave.
    pub tearing: Tearing,
    /// Operations that may be hit by the first cut, numbered from 1.
    pub operations: std::ops::RangeInclusive<u64>,
    /// Of those, each so-manieth, from the first on.
    pub stride: u64,
}

/// The work that was done.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Cuts judged to their end.
    pub states: u64,
    /// Runs for that.
    pub runs: u64,
    /// Flash operations in them.
    pub operations: u64,
    /// Instructions in them.
    pub instructions: u64,
    /// Cuts that failed.
    pub failed: u64,
}

/// A schedule that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
    /// The first invariant that broke.
    pub breach: Breach,
}

/// See the module's text.
pub struct Explorer<'u> {
    upgrade: &'u Upgrade,
    search: Search,
    effects: Vec<CutEffect>,
    /// A machine for each number of cuts; one that runs is taken out.
    machines: Vec<Option<Machine>>,
    path: Vec<Cut>,
    /// The work so far.
    pub counts: Counts,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// Time in runs.
    pub running: Duration,
    on_progress: &'u dyn Fn(u64, &Counts) -> bool,
    stopped: bool,
}

impl<'u> Explorer<'u> {
    /// A walk of which nothing is done. `on_progress` hears of each first cut that is done: its operation number and the
    /// counts so far; it stops the walk by `false`.
    pub fn new(
        upgrade: &'u Upgrade,
        search: Search,
        on_progress: &'u dyn Fn(u64, &Counts) -> bool,
    ) -> Self {
        let programs_twice = upgrade.board.geometry.programs_twice();
        Self {
            upgrade,
            effects: effects(search.tearing, programs_twice),
            machines: (0..=search.depth)
                .map(|_| Some(machine(&upgrade.flash)))
                .collect(),
            search,
            path: Vec::new(),
            counts: Counts::default(),
            failures: Vec::new(),
            running: Duration::ZERO,
            on_progress,
            stopped: false,
        }
    }

    /// Walks over all cuts.
    ///
    /// # Errors
    /// When the platform cannot serve the package.
    pub fn explore(&mut self) -> Result<(), PlatformError> {
        let mut course = Course::new(self.upgrade)?;
        let Some(mut machine) = self.machines[0].take() else {
            return Ok(());
        };
        course.power_on(&mut machine);
        self.walk(&mut machine, &mut course);
        self.machines[0] = Some(machine);
        Ok(())
    }

    /// Follows a run to its end, and explores each of its cuts.
    fn walk(&mut self, machine: &mut Machine, course: &mut Course<'u>) {
        let level = self.path.len();
        let begun = (course.operations, machine.instructions());
        course.asks = level < self.search.depth;
        let mut resting = false;
        let end = loop {
            match go_on(machine, course, &mut resting) {
                Halt::Operation(operation) => {
                    self.cut_here(machine, course, operation);
                    if self.stopped {
                        return;
                    }
                    course.allow();
                    if level == 0 && course.operations + 1 >= *self.search.operations.end() {
                        course.asks = false;
                    }
                }
                Halt::Rest => break Ok(()),
                Halt::Broken(violation) => {
                    break Err(Breach {
                        invariant: violation.invariant,
                        reason: violation.reason,
                    });
                }
            }
        };
        self.counts.runs += 1;
        self.counts.operations += course.operations - begun.0;
        self.counts.instructions += machine.instructions() - begun.1;
        self.judge(end);
    }

    fn judge(&mut self, end: Result<(), Breach>) {
        self.counts.states += 1;
        let Err(breach) = end else {
            return;
        };
        self.counts.failed += 1;
        if self.failures.len() < MOST_FAILURES {
            let cuts = self.path.clone();
            self.failures.push(Failure { cuts, breach });
        }
    }

    /// `machine` is about to do `operation`: explores each way to lose power now.
    fn cut_here(&mut self, machine: &Machine, course: &Course<'u>, pending: Operation) {
        let operation = course.operations + 1;
        let is_first = self.path.is_empty();
        if is_first {
            let search = &self.search;
            let is_wanted = search.operations.contains(&operation)
                && (operation - search.operations.start()).is_multiple_of(search.stride);
            if !is_wanted {
                return;
            }
        }
        for index in 0..self.effects.len() {
            let effect = self.effects[index];
            self.branch(machine, course, pending, Cut { operation, effect });
        }
        if is_first && !(self.on_progress)(operation, &self.counts) {
            self.stopped = true;
        }
    }

    fn branch(&mut self, from: &Machine, course: &Course<'u>, pending: Operation, at: Cut) {
        let level = self.path.len() + 1;
        let Some(mut machine) = self.machines[level].take() else {
            return;
        };
        machine.load_flash(from.flash());
        let mut course = course.fork();
        self.path.push(at);
        let begun = Instant::now();
        cut(&mut machine, &mut course, pending, at.effect);
        self.walk(&mut machine, &mut course);
        self.running += begun.elapsed();
        self.path.pop();
        self.machines[level] = Some(machine);
    }
}
