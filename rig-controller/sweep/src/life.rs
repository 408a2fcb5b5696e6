//! A device's life from where it stands to rest: it runs, tells the platform how the upgrade has ended, and tells it again
//! after one more power-on.
use powercut_emulator::{
    CLOCK_HZ, Cycles, Machine, MemoOptions, Operation, ResetCause, Stop, Timing,
};
use powercut_explore::Breach;
use powercut_oracle::verdict::Invariant;

use crate::course::Course;

/// The device runs for so long before it is seen whether it has come to its end.
const STRETCH: Cycles = CLOCK_HZ / 1000;
/// A device that has had power for so many seconds without coming to its end has none.
const PATIENCE_S: Cycles = 3600;

/// Why a life stands still.
pub(crate) enum Halt {
    /// The device is about to do this, and was to stop before.
    Operation(Operation),
    /// It rests, as it should.
    Rest,
    /// An invariant is broken.
    Broken(Breach),
}

/// A machine that is off and in which time stands still for a core that is awake.
pub(crate) fn machine(flash: &[u8]) -> Machine {
    let mut machine = Machine::new(Timing::Instant);
    machine.let_time_stand(true);
    machine.remember_calls(MemoOptions::default());
    machine.load_flash(flash);
    machine
}

/// The first invariant that broke, if one did.
pub(crate) fn breach(course: &Course<'_>) -> Option<Breach> {
    course.watch.violation().map(|violation| Breach {
        invariant: violation.invariant,
        reason: violation.reason.clone(),
    })
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
                course.watch.report(Invariant::S1, reason);
            }
            Stop::Asleep => {
                let reason = "the device sleeps for ever without having come to its end";
                course.watch.report(Invariant::L2, reason.to_owned());
            }
            // No debugger is attached.
            Stop::World | Stop::Budget | Stop::Breakpoint { .. } | Stop::Trapped { .. } => {}
        }
        if let Some(error) = course.outside.take_failure() {
            course.watch.report(Invariant::T1, error.to_string());
        }
        if let Some(breach) = breach(course) {
            return Halt::Broken(breach);
        }
        if let Some(operation) = course.pending.take() {
            return Halt::Operation(operation);
        }
        if course.outside.told() {
            course.power_off(machine, false);
            if *resting {
                course.at_rest(machine);
                return breach(course).map_or(Halt::Rest, Halt::Broken);
            }
            *resting = true;
            course.power_on(machine);
        } else if machine.now() > PATIENCE_S * CLOCK_HZ {
            let reason = format!("the device has not come to its end in {PATIENCE_S} s");
            course.watch.report(Invariant::L2, reason);
        }
    }
}
