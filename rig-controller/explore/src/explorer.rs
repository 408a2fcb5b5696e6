//! The walk over all schedules: at each operation of a run, power is cut in every way, and each result lives on.
//!
//! The walk goes depth first: a cut is explored the moment the run is about to do the operation, from a copy of its
//! flash, so no run ever has to be repeated to get to a cut.
use std::rc::Rc;

use nor_flash_model::{Cut, CutEffect, NorFlashModel, split_mix};
use serde::{Deserialize, Serialize};

use super::effects::{Tearing, effects, random_effect};
use super::explored_flash::{ExploredFlash, Pending};
use super::footprint::{Footprint, MOST_PAGES, Segment};
use super::life::{End, arm, live};
use super::memory::Memory;
use super::merge::{Answers, ExploredFutures, Known};
use super::oracle::{Breach, broken};
use super::scene::Scene;
use powercut_oracle::verdict::Invariant;

/// Failures that are kept of one exploration; more of them say nothing new.
const MOST_FAILURES: usize = 20;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExplorationCounts {
    /// Schedules that were judged: every one ended at rest, in a state explored before, or in a failure.
    pub schedules: u64,
    /// Runs that were simulated for that. One that ends in a state explored before stands for all schedules that
    /// follow from there.
    pub runs: u64,
    /// Those among them that ended in a state explored before.
    pub merged: u64,
    /// Flash operations simulated.
    pub operations: u64,
    /// Distinct states.
    pub states: u64,
    /// Schedules that failed.
    pub failed: u64,
}

impl std::ops::AddAssign for ExplorationCounts {
    fn add_assign(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.runs += other.runs;
        self.merged += other.merged;
        self.operations += other.operations;
        self.states += other.states;
        self.failed += other.failed;
    }
}

/// A schedule that broke an invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
    /// What broke.
    pub breach: Breach,
}

/// What to try at each operation.
#[derive(Debug, Clone, Copy)]
pub(super) enum Search {
    /// Every schedule of up to `depth` cuts.
    Exhaustive { depth: usize },
    /// From each operation on, so many schedules of up to `depth` cuts.
    Random {
        samples: u32,
        depth: usize,
        seed: u64,
    },
}

/// The operations of the uncut run are dealt out in `of` equal ranges; takes the first cuts in range `index`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) index: u64,
    pub(super) of: u64,
}

pub(super) struct Explorer<
    's,
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
    const BUFFER: usize,
> {
    scene: &'s Scene,
    search: Search,
    share: Share,
    tearing: Tearing,
    merging: bool,
    /// Operations before the uncut run.
    begin: u64,
    effects: Vec<CutEffect>,
    explored: ExploredFutures,
    path: Vec<Cut>,
    pub(super) counts: ExplorationCounts,
    pub(super) failures: Vec<Failure>,
    /// Called after each first cut, with its operation number; `false` stops the walk.
    on_progress: &'s (dyn Fn(u64, &ExplorationCounts) -> bool + Sync),
    stopped: bool,
}

impl<'s, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>
    Explorer<'s, UNIT, PAGE, PROGRAMS, BUFFER>
{
    pub(super) fn new(
        scene: &'s Scene,
        search: Search,
        share: Share,
        tearing: Tearing,
        merging: bool,
        on_progress: &'s (dyn Fn(u64, &ExplorationCounts) -> bool + Sync),
    ) -> Self {
        Self {
            scene,
            search,
            share,
            tearing,
            merging: merging && scene.pages <= MOST_PAGES,
            begin: 0,
            effects: effects(tearing, PROGRAMS > 1),
            explored: ExploredFutures::default(),
            path: Vec::new(),
            counts: ExplorationCounts::default(),
            failures: Vec::new(),
            on_progress,
            stopped: false,
        }
    }

    /// Walks from `start`. The uncut run itself is judged too.
    pub(super) fn explore(&mut self, start: NorFlashModel<UNIT, PAGE, PROGRAMS>) {
        self.begin = start.operations();
        let mut explored =
            ExploredFlash::new(self.scene, start, Memory::default(), Some(&mut *self));
        let end = live(&mut explored, |_| None);
        let operations = explored.flash.operations();
        // Every share runs it, one counts it.
        if self.share.index == 0 {
            self.judge(&end, operations - self.begin);
        }
        self.counts.states = self.explored.len() as u64;
    }

    /// Whether runs that met are to be followed only once.
    pub(super) fn merges(&self) -> bool {
        self.merging && !self.path.is_empty()
    }

    /// The future of a run, if it was explored: see [`ExploredFutures`].
    pub(super) fn known(
        &mut self,
        place: u64,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    ) -> Option<Known> {
        self.explored.known(self.beyond(place), flash)
    }

    /// A future was explored; `schedules` had been judged before.
    pub(super) fn learn(
        &mut self,
        place: u64,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
        footprint: Footprint,
        schedules: u64,
    ) -> Rc<Footprint> {
        let place = self.beyond(place);
        let schedules = self.counts.schedules - schedules;
        self.explored.learn(place, flash, footprint, schedules)
    }

    /// A run that was at `place` came to `known`, which has seen everything that it looked at in between; flash is the same.
    pub(super) fn learn_also(&mut self, place: u64, known: &Known, schedules: u64) {
        let place = self.beyond(place);
        let schedules = self.counts.schedules - schedules;
        self.explored.learn_also(place, known, schedules);
    }

    /// What pages answered, if runs that met are to be followed only once.
    pub(super) fn answers(&mut self) -> Option<&mut Answers> {
        self.merging.then_some(&mut self.explored.answers)
    }

    /// How many cuts are to come decides about the future too.
    fn beyond(&self, place: u64) -> u64 {
        nor_flash_model::fold(place, self.path.len() as u64)
    }

    fn is_in_share(&self, operation: u64) -> bool {
        let total = self.scene.reference.operations.max(1);
        let at = (operation - self.begin - 1).min(total - 1);
        at * self.share.of / total == self.share.index
    }

    /// A run is about to do `pending` on `flash`: explores what happens if power is lost now.
    pub(super) fn cut_here(
        &mut self,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
        memory: &Memory,
        pending: Pending<'_>,
        mut segment: Option<&mut Segment>,
    ) {
        let operation = flash.operations() + 1;
        let first = self.path.is_empty();
        if self.stopped || (first && !self.is_in_share(operation)) {
            return;
        }
        match self.search {
            Search::Exhaustive { depth } => {
                if self.path.len() < depth {
                    for index in 0..self.effects.len() {
                        let effect = self.effects[index];
                        let later = self.branch(flash, *memory, pending, Cut { operation, effect });
                        if let Some(segment) = segment.as_deref_mut() {
                            segment.branched_off(pending.after::<UNIT, PAGE>(effect), &later);
                        }
                    }
                }
            }
            Search::Random {
                samples,
                depth,
                seed,
            } => {
                if first {
                    for sample in 0..samples {
                        let mut random = seed ^ operation << 24 ^ u64::from(sample);
                        self.sample(flash, *memory, pending, &mut random, depth);
                    }
                }
            }
        }
        if first && !(self.on_progress)(operation, &self.counts) {
            self.stopped = true;
        }
    }

    fn branch(
        &mut self,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
        memory: Memory,
        pending: Pending<'_>,
        cut: Cut,
    ) -> Rc<Footprint> {
        let torn = match torn(flash, pending, cut) {
            Ok(torn) => torn,
            Err(breach) => {
                self.path.push(cut);
                self.judge(&Err(breach), 0);
                self.path.pop();
                return Rc::new(Footprint::empty());
            }
        };
        let operations = torn.operations();
        self.path.push(cut);
        let memory = counted(memory, pending, cut, self.scene);
        let mut explored = ExploredFlash::new(self.scene, torn, memory, Some(&mut *self));
        let end = live(&mut explored, |_| None);
        let operations = explored.flash.operations() - operations;
        if let Some(explorer) = explored.explorer() {
            explorer.judge(&end, operations);
        }
        let footprint = explored.conclude();
        self.path.pop();
        footprint
    }

    /// One random schedule that begins with a cut here.
    fn sample(
        &mut self,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
        memory: Memory,
        pending: Pending<'_>,
        random: &mut u64,
        depth: usize,
    ) {
        let tearing = self.tearing;
        let mut left = split_mix(random) % depth.max(1) as u64;
        let first = Cut {
            operation: flash.operations() + 1,
            effect: random_effect(random, tearing, PROGRAMS > 1),
        };
        let torn = match torn(flash, pending, first) {
            Ok(torn) => torn,
            Err(breach) => {
                self.path.push(first);
                self.judge(&Err(breach), 0);
                self.path.pop();
                return;
            }
        };
        let operations = torn.operations();
        let total = self.scene.reference.operations.max(16);
        // A supply that breaks down does so at the same load at every boot, for instance while a journal page opens.
        let stubborn = split_mix(random).is_multiple_of(4).then(|| {
            let after = 1 + split_mix(random) % 32;
            (after, random_effect(random, tearing, PROGRAMS > 1))
        });
        let mut path = vec![first];
        let mut armed: Option<Cut> = None;
        let memory = counted(memory, pending, first, self.scene);
        // Such runs hardly ever meet: looking out for it would cost more than it saves.
        let mut explored =
            ExploredFlash::<UNIT, PAGE, PROGRAMS, BUFFER>::new(self.scene, torn, memory, None);
        let end = live(&mut explored, |now| {
            path.extend(armed.take());
            left = left.checked_sub(1)?;
            if let Some((after, effect)) = stubborn {
                armed = Some(Cut {
                    operation: now + after,
                    effect,
                });
                return armed;
            }
            // Some at once, some within a page or two, some anywhere.
            let reach = [4, 40, 400, total][(split_mix(random) % 4) as usize];
            armed = Some(Cut {
                operation: now + 1 + split_mix(random) % reach,
                effect: random_effect(random, tearing, PROGRAMS > 1),
            });
            armed
        });
        let operations = explored.flash.operations() - operations;
        std::mem::swap(&mut self.path, &mut path);
        self.judge(&end, operations);
        self.path.clear();
    }

    fn judge(&mut self, end: &Result<End, Breach>, operations: u64) {
        self.counts.runs += 1;
        self.counts.operations += operations;
        match end {
            Ok(End::Rest) => self.counts.schedules += 1,
            Ok(End::Merged { schedules }) => {
                self.counts.merged += 1;
                self.counts.schedules += schedules;
            }
            Err(breach) => {
                self.counts.schedules += 1;
                self.counts.failed += 1;
                if self.failures.len() < MOST_FAILURES {
                    self.failures.push(Failure {
                        cuts: self.path.clone(),
                        breach: breach.clone(),
                    });
                }
            }
        }
    }
}

/// `flash` after `cut` hit `pending`; T1 if it did not.
fn torn<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
    flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    pending: Pending<'_>,
    cut: Cut,
) -> Result<NorFlashModel<UNIT, PAGE, PROGRAMS>, Breach> {
    use embedded_storage::nor_flash::NorFlash;
    let mut torn = flash.clone();
    arm(&mut torn, cut);
    // Both end in the loss of power, or in a refusal that the oracle finds in the model.
    let _ = match pending {
        Pending::Program { address, bytes } => torn.write(address, bytes),
        Pending::Erase { address } => torn.erase(address, address + PAGE as u32),
    };
    if torn.is_powered() && torn.violations().is_empty() {
        return broken(
            Invariant::T1,
            format!("{cut} was planned, but power stays on"),
        );
    }
    torn.power_off();
    Ok(torn)
}

/// What the oracle knows after `cut` hit `pending`.
fn counted(mut memory: Memory, pending: Pending<'_>, cut: Cut, scene: &Scene) -> Memory {
    if let Pending::Erase { address } = pending
        && cut.effect != CutEffect::Before
    {
        memory.erased(address >= scene.layout.active.start);
    }
    memory
}
