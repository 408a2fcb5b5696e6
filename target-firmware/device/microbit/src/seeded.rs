//! Bugs planted on purpose in the device's own code, one at a time, so that tools can be shown to find them. Compiled in only by
//! the feature `seeded-bug`, which no product has, if the environment variable `POWERCUT_SEEDED_BUG` names one of them when the
//! device is built; without the feature [`is_planted`] is `false` for the compiler too. The bugs of the upgrade core stand in the
//! core.

/// One bug.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The flash driver does not program a word that reads as it should.
    ProgramIfDifferent,
    /// The flash driver programs each half of a word by itself, which takes both programs that the flash allows.
    ProgramInHalves,
    /// The bootloader starts an image on probation without the watchdog.
    TrialWithoutWatchdog,
}

const BUILT_IN: Option<Bug> = match option_env!("POWERCUT_SEEDED_BUG") {
    Some(name) if cfg!(feature = "seeded-bug") => named(name.as_bytes()),
    _ => None,
};

const fn named(name: &[u8]) -> Option<Bug> {
    match name {
        b"program-if-different" => Some(Bug::ProgramIfDifferent),
        b"program-in-halves" => Some(Bug::ProgramInHalves),
        b"trial-without-watchdog" => Some(Bug::TrialWithoutWatchdog),
        _ => None,
    }
}

/// Whether `bug` is planted.
#[inline]
pub fn is_planted(bug: Bug) -> bool {
    BUILT_IN == Some(bug)
}
