//! One schedule, run again: the same cuts in the same upgrade, with the verdict of that run alone.
//!
//! A cut that never happens makes the replay fail with T1: a schedule that does not do what its line says must not pass.
use nor_flash_model::Cut;
use powercut_explore::{Breach, Flashes};
use powercut_oracle::verdict::Invariant;
use powercut_platform::PlatformError;

use crate::course::Course;
use crate::cut::{leave, settled};
use crate::life::{Halt, go_on, machine};
use crate::upgrade::Upgrade;

/// The outcome of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The verdict.
    pub judged: Result<(), Breach>,
    /// Flash after each cut, and at rest.
    pub flashes: Flashes,
    /// Flash operations, those before the cuts included.
    pub operations: u64,
    /// Instructions.
    pub instructions: u64,
}

/// Runs `upgrade` with these cuts, which are in order.
///
/// # Errors
/// When the platform cannot serve the package.
pub fn replay(upgrade: &Upgrade, cuts: &[Cut]) -> Result<Replayed, PlatformError> {
    let mut machine = machine(&upgrade.flash);
    let mut course = Course::new(upgrade)?;
    course.power_on(&mut machine);
    let mut planned = cuts.iter().copied().peekable();
    let mut flashes = Flashes::default();
    let mut resting = false;
    let judged = loop {
        course.stops_from = planned.peek().map_or(u64::MAX, |cut| cut.operation);
        match go_on(&mut machine, &mut course, &mut resting) {
            Halt::Broken(breach) => break Err(breach),
            Halt::Rest => {
                flashes.at_rest = Some(settled(&machine));
                break planned.next().map_or(Ok(()), |cut| {
                    Err(Breach {
                        invariant: Invariant::T1,
                        reason: format!("{cut} never happens: the device is at rest before"),
                    })
                });
            }
            Halt::Operation(operation) => {
                let here = course.watch.operations + 1;
                if let Some(cut) = planned.next_if(|cut| cut.operation == here) {
                    course.watch.operate(operation, cut.effect, machine.flash());
                    leave(&mut machine, operation, cut.effect);
                    course.power_off(&machine, true);
                    course.weakened(cut.effect);
                    flashes.after_cuts.push(settled(&machine));
                    course.power_on(&mut machine);
                    resting = false;
                } else {
                    course.allow();
                }
            }
        }
    };
    Ok(Replayed {
        judged,
        flashes,
        operations: course.watch.operations,
        instructions: machine.instructions(),
    })
}
