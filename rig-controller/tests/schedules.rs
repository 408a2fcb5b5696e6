//! Schedules that once broke the upgrade core, kept so that they never do again.
use std::path::Path;

use powercut_explore::{Schedule, replay};

#[test]
fn every_schedule_that_once_broke_the_core_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/schedules");
    let mut replayed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let schedule: Schedule = line.parse().unwrap();
            replay(&schedule).unwrap_or_else(|breach| {
                panic!("{}: {line}: {breach}", path.display());
            });
            replayed += 1;
        }
    }
    assert!(replayed > 0, "no schedules in fixtures/schedules");
}
