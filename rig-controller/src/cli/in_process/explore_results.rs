//! The results of `rig explore` as files: JUnit, and one record made of those of several machines.
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::explore_record::{RecordError, read};
use crate::cli::{CliError, say};
use crate::report::{Finding, FindingKind, JunitFile, replace_file};
use powercut_explore::campaign::{FailureRecord, Slice, SliceRecord};
use powercut_explore::results::{Recorded, SurveyResult, by_survey, merge};
use powercut_explore::{Schedule, shrink};

/// Failures told of in one test case.
const MOST_FAILURES: usize = 5;

/// Puts the records of `inputs`, of slices with these names, together, into `record` if given.
pub(super) fn merged<R: Recorded + Serialize + DeserializeOwned>(
    slices: &[&str],
    inputs: &[PathBuf],
    record: Option<&Path>,
) -> Result<Vec<R>, CliError> {
    let mut records = Vec::new();
    for path in inputs {
        // A record that is not there is no empty one when it is asked for by name.
        std::fs::metadata(path).map_err(|source| RecordError::File {
            path: path.clone(),
            source,
        })?;
        records.extend(read(path)?);
    }
    let records = merge(slices, records)?;
    if let Some(path) = record {
        let refused = |source| RecordError::File {
            path: path.to_owned(),
            source,
        };
        let mut lines = Vec::new();
        for record in &records {
            serde_json::to_writer(&mut lines, record).map_err(|error| refused(error.into()))?;
            lines.push(b'\n');
        }
        replace_file(path, &lines).map_err(refused)?;
    }
    Ok(records)
}

/// Says which slices nobody explored.
pub(super) fn say_missing(slices: &[Slice], records: &[SliceRecord]) {
    for survey in by_survey(slices, records) {
        for slice in &survey.missing {
            say::line(&format!("missing: {slice}"));
        }
    }
}

/// The first of `failures`, which are of the slice or survey of this name.
pub(super) fn first_failure(
    slices: &[Slice],
    name: &str,
    failures: &[FailureRecord],
) -> Option<Schedule> {
    let is_of = |slice: &&Slice| {
        let of = slice.name();
        of == name
            || of
                .rsplit_once('/')
                .is_some_and(|(survey, _)| survey == name)
    };
    let slice = slices.iter().find(is_of)?;
    slice.schedule(&failures.first()?.schedule)
}

/// Writes one test case a survey; the class is the geometry or the plan. `options` are what `rig replay` needs for the
/// schedules.
pub(super) fn write_junit(
    path: &Path,
    slices: &[Slice],
    records: &[SliceRecord],
    options: &str,
) -> Result<(), CliError> {
    let mut junit = JunitFile::new(path, "explore");
    for survey in by_survey(slices, records) {
        let first = first_failure(slices, &survey.survey, &survey.failures);
        junit.add_finding(&finding(&survey, first.as_ref(), options));
    }
    Ok(junit.write()?)
}

fn finding(result: &SurveyResult, schedule: Option<&Schedule>, options: &str) -> Finding {
    let (subject, name) = result
        .survey
        .split_once(':')
        .unwrap_or(("explore", &result.survey));
    let missing = format!(
        "{} of {} slices were not explored",
        result.missing.len(),
        result.slices
    );
    let (kind, message, text) = match (result.failures.first(), result.counts.failed) {
        (Some(first), _) => (
            FindingKind::Failure(format!("firmware failure {}", first.invariant)),
            first.reason.clone(),
            explanation(result, schedule, options),
        ),
        (None, 1..) => (
            FindingKind::Failure("firmware failure".to_owned()),
            "the record names no schedule".to_owned(),
            String::new(),
        ),
        (None, 0) if !result.missing.is_empty() => (
            FindingKind::Error("inconclusive".to_owned()),
            missing.clone(),
            result.missing.join("\n"),
        ),
        (None, 0) => (FindingKind::Pass, String::new(), String::new()),
    };
    let counts = &result.counts;
    Finding {
        class: format!("explore.{subject}"),
        name: name.to_owned(),
        kind,
        message,
        text,
        output: format!(
            "schedules: {}\nmerged: {}\nflash operations: {}\nfailed: {}\n{missing}\n",
            counts.schedules, counts.merged, counts.operations, counts.failed
        ),
    }
}

/// The first failures, and the first of them made small.
fn explanation(result: &SurveyResult, schedule: Option<&Schedule>, options: &str) -> String {
    let mut lines = vec![format!(
        "{} of {} schedules failed",
        result.counts.failed, result.counts.schedules
    )];
    for failure in result.failures.iter().take(MOST_FAILURES) {
        lines.push(format!("{}: {}", failure.invariant, failure.reason));
        lines.push(format!(
            "run it again: rig replay {}{options}",
            failure.schedule
        ));
    }
    if let Some(shrunk) = schedule.and_then(shrink) {
        lines.push(format!("shrunk: rig replay {}{options}", shrunk.schedule));
        lines.push(format!("shrunk, {}", shrunk.breach));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use powercut_explore::campaign::Profile;
    use powercut_explore::results::fixture::{failure, quick, records};

    /// Surveys of the quick profile.
    fn surveys() -> usize {
        Profile::Quick.surveys(1).len()
    }

    fn write(known: &[SliceRecord]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("junit.xml");
        write_junit(&path, &quick(0, 1), known, "").unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_survey_is_a_test_case_that_fails_with_invariant_reason_and_schedule() {
        let mut known = records(&quick(0, 1));
        known[0].failures.push(failure());
        known[0].counts.failed = 1;
        let xml = write(&known);
        assert!(
            xml.contains(&format!(
                "tests=\"{}\" errors=\"0\" failures=\"1\"",
                surveys()
            )),
            "{xml}"
        );
        assert!(xml.contains("classname=\"explore.tiny\""), "{xml}");
        assert!(xml.contains("type=\"firmware failure S2\""), "{xml}");
        assert!(xml.contains("message=\"not whole\""), "{xml}");
        assert!(
            xml.contains("rig replay core:tiny:longer:seed=1:cuts=op37/before"),
            "{xml}"
        );
    }

    #[test]
    fn a_survey_with_missing_slices_is_no_pass() {
        let mut known = records(&quick(0, 1));
        known.remove(0);
        let xml = write(&known);
        assert!(
            xml.contains(&format!(
                "tests=\"{}\" errors=\"1\" failures=\"0\"",
                surveys()
            )),
            "{xml}"
        );
        assert!(xml.contains("1 of 8 slices were not explored"), "{xml}");
    }

    #[test]
    fn records_are_merged_into_one_file_that_can_be_merged_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let all = quick(0, 1);
        for index in 0..2 {
            let lines: Vec<String> = records(&quick(index, 2))
                .iter()
                .map(|record| serde_json::to_string(record).unwrap() + "\n")
                .collect();
            std::fs::write(at(&format!("{index}.jsonl")), lines.concat()).unwrap();
        }
        let names: Vec<&str> = all.iter().map(Slice::name).collect();
        let merged = |inputs: &[PathBuf], record: Option<&Path>| {
            merged::<SliceRecord>(&names, inputs, record)
        };
        let inputs = [at("1.jsonl"), at("0.jsonl")];
        merged(&inputs, Some(&at("all.jsonl"))).unwrap();
        let inputs = [at("all.jsonl"), at("0.jsonl")];
        assert_eq!(merged(&inputs, None).unwrap(), records(&all));
        assert!(merged(&[at("none.jsonl")], None).is_err());
    }
}
