//! Random schedules: power is lost at an operation of the run without cuts, and then again and again while the device
//! recovers.
use std::time::Instant;

use nor_flash_model::{Cut, split_mix};
use powercut_emulator::Operation;
use powercut_explore::{Breach, Tearing, random_effect};

use crate::course::Course;
use crate::explorer::{Explorer, cut, length};
use crate::life::{Halt, breach, go_on};
use crate::pages::Device;

/// The cuts of one schedule, drawn as they are needed.
pub(crate) struct RandomCuts {
    random: u64,
    /// Cuts behind the first.
    left: u64,
}

impl RandomCuts {
    /// A schedule of 1 to `most` cuts that follows from `seed`.
    pub(crate) fn new(seed: u64, most: usize) -> Self {
        let mut random = seed;
        let left = split_mix(&mut random) % most.max(1) as u64;
        Self { random, left }
    }

    /// A cut at `operation`.
    fn at(&mut self, operation: u64, tearing: Tearing, programs_twice: bool) -> Cut {
        let effect = random_effect(&mut self.random, tearing, programs_twice);
        Cut { operation, effect }
    }

    /// The next operation to be hit, after so many.
    fn next(&mut self, operations: u64) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        // Some at once, some within a page or two, some anywhere.
        let reach = [4, 40, 400, 50_000][(split_mix(&mut self.random) % 4) as usize];
        Some(operations + 1 + split_mix(&mut self.random) % reach)
    }
}

impl<'u> Explorer<'u> {
    /// One random schedule, whose first cut is at `pending`, which the device and course of `from` are about to do; `device`
    /// lives on from there.
    pub(crate) fn sample(
        &mut self,
        device: &mut Device,
        (from, before): (&Device, &Course<'u>),
        pending: Operation,
        cuts: RandomCuts,
    ) {
        let begun = Instant::now();
        device.copy_flash(from);
        let end = self.live(device, from, before, pending, cuts);
        let (counts, times) = self.tally.of(self.stage);
        counts.states += 1;
        counts.distinct += 1;
        times.recovery += begun.elapsed();
        if let Err(breach) = end {
            self.fail(breach);
        }
        self.path.clear();
    }

    fn live(
        &mut self,
        device: &mut Device,
        from: &Device,
        before: &Course<'u>,
        pending: Operation,
        mut cuts: RandomCuts,
    ) -> Result<(), Breach> {
        let tearing = self.search.tearing;
        let programs_twice = self.upgrade.board.geometry.programs_twice();
        let begun = device.machine.instructions();
        let mut at = cuts.at(before.watch.operations + 1, tearing, programs_twice);
        let watch = cut(device, before, pending, at.effect);
        let mut course = before.part(watch, from.machine.now(), at.effect);
        self.path.push(at);
        loop {
            if let Some(breach) = breach(&course) {
                return Err(breach);
            }
            course.begin_boot(&mut device.machine);
            let next = cuts.next(course.watch.operations);
            course.stops_from = next.unwrap_or(u64::MAX);
            let halt = go_on(&mut device.machine, &mut course, &mut false);
            for page in course.changed.take() {
                device.refresh(page);
            }
            match halt {
                Halt::Operation(operation) => {
                    at = cuts.at(course.watch.operations + 1, tearing, programs_twice);
                    let watch = cut(device, &course, operation, at.effect);
                    course.lose_power(watch, device.machine.now(), at.effect);
                    self.path.push(at);
                }
                Halt::Rest | Halt::Broken(_) => {
                    let counts = self.tally.of(self.stage).0;
                    let end = length(&course, &device.machine);
                    counts.operations += end.operations - before.watch.operations;
                    counts.instructions += end.instructions - begun;
                    return match halt {
                        Halt::Broken(breach) => Err(breach),
                        _ => Ok(()),
                    };
                }
            }
        }
    }
}
