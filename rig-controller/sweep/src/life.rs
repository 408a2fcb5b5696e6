//! A device's life from where it stands to rest: it runs, tells the platform how the upgrade has ended, and tells it again
//! after one more power-on.
use powercut_emulator::{CLOCK_HZ, Cycles, Machine, Operation, ResetCause, Stop, Timing};
use powercut_oracle::ending::Ending;
use powercut_oracle::oracle::Violation;
use powercut_oracle::verdict::{Invariant, Outcome};

use crate::course::Course;

/// The device runs for so long before it is seen whether it has come to its end.
const STRETCH: Cycles = CLOCK_HZ / 1000;
/// A device that has had power for so long without coming to its end has none.
const PATIENCE: Cycles = 3600 * CLOCK_HZ;

/// Why a life stands still.
pub(crate) enum Halt {
    /// The device is about to do this, and was to stop before.
    Operation(Operation),
    /// It rests, as it should.
    Rest,
    /// An invariant is broken.
    Broken(Violation),
}

/// A machine that is off and in which time stands still for a core that is awake.
pub(crate) fn machine(flash: &[u8]) -> Machine {
    let mut machine = Machine::new(Timing::Instant);
    machine.let_time_stand(true);
    machine.load_flash(flash);
    machine
}

/// Lives on to the next thing that is to be known. `resting` is whether the device has come to its end and has been powered
/// once more.
pub(crate) fn go_on(machine: &mut Machine, course: &mut Course<'_>, resting: &mut bool) -> Halt {
    loop {
        let stop = machine.run(course, machine.now() + STRETCH);
        match stop {
            Stop::LockUp { .. } if machine.watchdog_runs() => {
                machine.reset(course, ResetCause::LockUp);
            }
            Stop::LockUp { pc } => {
                let reason = format!("the core has locked up at {pc:#x}, and no watchdog runs");
                course.report(Invariant::S1, reason);
            }
            Stop::Asleep => {
                let reason = "the device sleeps for ever without having come to its end";
                course.report(Invariant::L2, reason.to_owned());
            }
            Stop::World | Stop::Budget | Stop::Breakpoint { .. } => {}
        }
        if let Some(violation) = course.violation() {
            return Halt::Broken(violation.clone());
        }
        if let Some(operation) = course.pending.take() {
            return Halt::Operation(operation);
        }
        if course.outside.told() {
            course.power_off(machine, false);
            if *resting {
                return at_rest(machine, course);
            }
            *resting = true;
            course.power_on(machine);
        } else if machine.now() > PATIENCE {
            let hours = PATIENCE / CLOCK_HZ / 3600;
            let reason = format!("the device has not come to its end in {hours} h");
            course.report(Invariant::L2, reason);
        }
    }
}

/// The device rests: the right image, the right outcome, and no more erases than needed.
fn at_rest(machine: &Machine, course: &mut Course<'_>) -> Halt {
    let upgrade = course.upgrade;
    let report = course.outside.device_state().last_report;
    let ending = Ending::of(
        machine.flash(),
        (upgrade.board.geometry, &upgrade.board.layout),
        &upgrade.images,
        report.map(|status| status.result),
        course.oracle.trials(),
    );
    course.oracle.at_end(ending.is_new);
    let attempts = u32::from(upgrade.images.new.manifest().trial_attempts);
    let used_up = course.cuts >= attempts && ending.outcome == Some(Outcome::Reverted);
    let is_expected = ending.outcome == Some(upgrade.outcome)
        || (used_up && upgrade.outcome == Outcome::Confirmed);
    if !is_expected {
        let reason = format!(
            "the upgrade should end {}; it ended {}",
            upgrade.outcome,
            ending.in_words()
        );
        course.report(Invariant::Expectation, reason);
    }
    match course.violation() {
        Some(violation) => Halt::Broken(violation.clone()),
        None => Halt::Rest,
    }
}
