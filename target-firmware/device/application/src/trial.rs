//! Probation: what a new image has to show before it is confirmed, and how the images that are bad on purpose fail.

use crate::image::{BEHAVIOUR, Behaviour};

/// An image that cannot show what it has to in this time restarts, which costs it one of its attempts.
const GOOD_LIMIT_MS: u64 = 3 * 60 * 1000;
const NEVER_CONFIRMS_LIMIT_MS: u64 = 300;

/// One attempt of an image on probation.
pub(crate) struct Trial {
    give_up_ms: u64,
}

/// What becomes of the attempt now.
pub(crate) enum Verdict {
    /// Passed the self-test.
    Confirm,
    /// Not yet; look again at this time at the latest.
    Undecided {
        /// In the clock's milliseconds.
        until_ms: u64,
    },
    /// Failed.
    GiveUp,
}

impl Trial {
    /// Begins the attempt. Images that panic or hang do it here.
    pub(crate) fn begin(now_ms: u64) -> Self {
        let limit_ms = match BEHAVIOUR {
            Behaviour::Good => GOOD_LIMIT_MS,
            Behaviour::Panics => panic!("bad on purpose"),
            Behaviour::Hangs => microbit::halt(),
            Behaviour::NeverConfirms => NEVER_CONFIRMS_LIMIT_MS,
        };
        Self {
            give_up_ms: now_ms + limit_ms,
        }
    }

    /// Judges the attempt. An image that reaches the platform can be replaced again, so that is what it must show;
    /// that flash is readable has shown in starting the agent.
    pub(crate) fn judge(&self, now_ms: u64, heard_platform: bool) -> Verdict {
        if heard_platform && BEHAVIOUR != Behaviour::NeverConfirms {
            Verdict::Confirm
        } else if now_ms >= self.give_up_ms {
            Verdict::GiveUp
        } else {
            Verdict::Undecided {
                until_ms: self.give_up_ms,
            }
        }
    }
}
