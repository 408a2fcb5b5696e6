//! Time that stands still for a core that is awake, and passes only while it sleeps.
//!
//! Two runs that differ in a few instructions then see the same time, and go on alike. A core that is awake for
//! [`LONGEST_AWAKE`] in a row has time pass again, so that a watchdog still bites a program that hangs.

use crate::CLOCK_HZ;
use crate::Cycles;
use crate::machine::Machine;

/// Cycles that a core may be awake in a row: no upgrade works for so long without a sleep.
const LONGEST_AWAKE: Cycles = 64 * CLOCK_HZ;

/// The moment at which time stands, and how long the core has been awake in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: Cycles,
    awake_for: Cycles,
}

impl Moment {
    fn begun(at: Cycles) -> Self {
        let awake_for = 0;
        Self { at, awake_for }
    }
}

impl Machine {
    /// From now on time stands still for a core that is awake, or passes as ever.
    pub fn let_time_stand(&mut self, stands: bool) {
        self.moment = stands.then(|| Moment::begun(self.now));
    }

    /// Time has passed by something other than instructions.
    pub(crate) fn time_has_passed(&mut self) {
        self.moment = self.moment.map(|_| Moment::begun(self.now));
    }

    /// Takes back what instructions have added to the time, if time stands.
    pub(crate) fn take_time_back(&mut self) {
        let Some(moment) = &mut self.moment else {
            return;
        };
        moment.awake_for += self.now - moment.at;
        if moment.awake_for < LONGEST_AWAKE {
            self.now = moment.at;
        } else {
            *moment = Moment::begun(self.now);
        }
    }
}
