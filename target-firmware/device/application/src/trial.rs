//! Probation: what this image has to show, and how the images that are bad on purpose fail.

use powercut_session::Probation;

use crate::image::{BEHAVIOUR, Behaviour};

const GOOD_LIMIT_MS: u64 = 3 * 60 * 1000;
const NEVER_CONFIRMS_LIMIT_MS: u64 = 300;

/// What the session does on probation.
pub(crate) const PROBATION: Probation = Probation {
    limit_ms: match BEHAVIOUR {
        Behaviour::NeverConfirms => NEVER_CONFIRMS_LIMIT_MS,
        Behaviour::Good | Behaviour::Panics | Behaviour::Hangs => GOOD_LIMIT_MS,
    },
    confirms: !matches!(BEHAVIOUR, Behaviour::NeverConfirms),
};

/// Begins the attempt: images that panic or hang do it here.
pub(crate) fn begin() {
    match BEHAVIOUR {
        Behaviour::Good | Behaviour::NeverConfirms => {}
        Behaviour::Panics => panic!("bad on purpose"),
        Behaviour::Hangs => microbit::halt(),
    }
}
