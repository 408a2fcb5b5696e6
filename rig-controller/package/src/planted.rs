//! Names of the bugs that can be planted in firmware on purpose.
use powercut_upgrade::seeded::Bug;

use super::FirmwareError;

/// Bugs that can be planted in the device's own code: those of `microbit::seeded`. The others are the core's.
pub const DEVICE_BUGS: [&str; 3] = [
    "program-if-different",
    "program-in-halves",
    "trial-without-watchdog",
];

/// Refuses a name that neither core nor device knows: such a bug would be planted nowhere.
pub(crate) fn check_bug(name: &str) -> Result<(), FirmwareError> {
    if Bug::named(name).is_some() || DEVICE_BUGS.contains(&name) {
        return Ok(());
    }
    let core = Bug::ALL.iter().map(|bug| bug.name());
    let known: Vec<&str> = DEVICE_BUGS.into_iter().chain(core).collect();
    Err(FirmwareError::NoBug {
        name: name.to_owned(),
        known: known.join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_of_core_and_device_are_known_and_others_are_refused_with_all_there_are() {
        for name in ["record-before-data", "trial-without-watchdog"] {
            assert!(check_bug(name).is_ok(), "{name}");
        }
        let error = check_bug("record-before").unwrap_err().to_string();
        assert!(error.contains("no bug `record-before`"), "{error}");
        assert!(error.contains("record-before-data"), "{error}");
    }

    #[test]
    fn the_device_has_the_bugs_that_are_listed_for_it() {
        let source = include_str!("../../../target-firmware/device/microbit/src/seeded.rs");
        let names = source.matches(" => Some(Bug::").count();
        assert_eq!(names, DEVICE_BUGS.len());
        for name in DEVICE_BUGS {
            assert!(source.contains(&format!("b\"{name}\" =>")), "{name}");
        }
    }
}
