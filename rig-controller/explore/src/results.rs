//! What the records of a campaign say together: the records of several machines put into one, and what each survey came
//! to. Nothing here explores or judges.
use std::collections::{BTreeMap, BTreeSet};

use super::campaign::{FailureRecord, SCHEMA, Slice, SliceRecord};
use super::explorer::ExplorationCounts;

/// Records that cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The same slice came out differently, though it is the same work: the records are of different builds.
    #[error(
        "slice {0} is recorded twice, with different results; explore it again with one build of rig on all machines"
    )]
    Conflict(String),
    /// The slice is no part of what was asked for.
    #[error(
        "slice {0} is not part of this exploration; give the profile, seed, geometries and scenarios it was explored with"
    )]
    Stranger(String),
}

/// The record of a slice of some exploration: a line of JSON.
pub trait Recorded {
    /// Version of the schema.
    const SCHEMA: u32;

    /// The version that the record was made with.
    fn schema(&self) -> u32;

    /// The name of the slice.
    fn slice(&self) -> &str;

    /// Whether `other`, a record of the same slice, says the same.
    fn agrees_with(&self, other: &Self) -> bool;
}

impl Recorded for SliceRecord {
    const SCHEMA: u32 = SCHEMA;

    fn schema(&self) -> u32 {
        self.schema
    }

    fn slice(&self) -> &str {
        &self.slice
    }

    fn agrees_with(&self, other: &Self) -> bool {
        self == other
    }
}

/// Puts records together in the order of `slices`, which are names; what is there more than once stays once.
///
/// # Errors
/// When two records of a slice differ, or a record is of none of `slices`.
pub fn merge<R: Recorded>(slices: &[&str], records: Vec<R>) -> Result<Vec<R>, MergeError> {
    let expected: BTreeSet<&str> = slices.iter().copied().collect();
    let mut known: BTreeMap<String, R> = BTreeMap::new();
    for record in records {
        let slice = record.slice().to_owned();
        if !expected.contains(slice.as_str()) {
            return Err(MergeError::Stranger(slice));
        }
        match known.get(&slice) {
            Some(other) if !other.agrees_with(&record) => return Err(MergeError::Conflict(slice)),
            Some(_) => {}
            None => {
                known.insert(slice, record);
            }
        }
    }
    Ok(slices
        .iter()
        .filter_map(|slice| known.remove(*slice))
        .collect())
}

/// What one survey came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyResult {
    /// The survey in words: `geometry:scenario:...`.
    pub survey: String,
    /// What was done.
    pub counts: ExplorationCounts,
    /// Schedules that failed, the first few of each slice.
    pub failures: Vec<FailureRecord>,
    /// Slices that were to be explored.
    pub slices: usize,
    /// Those that were not.
    pub missing: Vec<String>,
}

/// The surveys of `slices` in their order, each with what `records` say of it.
pub fn by_survey(slices: &[Slice], records: &[SliceRecord]) -> Vec<SurveyResult> {
    let records: BTreeMap<&str, &SliceRecord> = records
        .iter()
        .map(|record| (record.slice.as_str(), record))
        .collect();
    let mut results: Vec<SurveyResult> = Vec::new();
    for slice in slices {
        let name = slice.name();
        let survey = name.rsplit_once('/').map_or(name, |(survey, _)| survey);
        let at = results
            .iter()
            .position(|result| result.survey == survey)
            .unwrap_or_else(|| {
                results.push(SurveyResult {
                    survey: survey.to_owned(),
                    counts: ExplorationCounts::default(),
                    failures: Vec::new(),
                    slices: 0,
                    missing: Vec::new(),
                });
                results.len() - 1
            });
        let result = &mut results[at];
        result.slices += 1;
        if let Some(record) = records.get(name) {
            result.counts += record.counts;
            result.failures.extend_from_slice(&record.failures);
        } else {
            result.missing.push(name.to_owned());
        }
    }
    results
}

/// Records as tests make them up.
#[cfg(any(test, feature = "fixtures"))]
pub mod fixture {
    use powercut_oracle::verdict::Invariant;

    use super::{FailureRecord, Slice, SliceRecord};
    use crate::campaign::{Profile, SCHEMA, slices};
    use crate::{ExplorationCounts, Partition};

    /// The slices of the quick profile in partition `index` of `of`.
    pub fn quick(index: u64, of: u64) -> Vec<Slice> {
        slices(&Profile::Quick.surveys(1), Partition { index, of })
    }

    /// Records of these slices, made up: each with one schedule.
    pub fn records(slices: &[Slice]) -> Vec<SliceRecord> {
        let counts = ExplorationCounts {
            schedules: 1,
            ..ExplorationCounts::default()
        };
        slices
            .iter()
            .map(|slice| SliceRecord {
                schema: SCHEMA,
                slice: slice.name().to_owned(),
                counts,
                failures: Vec::new(),
            })
            .collect()
    }

    /// A failure of S2.
    pub fn failure() -> FailureRecord {
        FailureRecord {
            schedule: "core:tiny:longer:seed=1:cuts=op37/before".to_owned(),
            invariant: Invariant::S2,
            reason: "not whole".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{failure, quick, records};
    use super::*;

    fn names(slices: &[Slice]) -> Vec<&str> {
        slices.iter().map(Slice::name).collect()
    }

    #[test]
    fn the_records_of_two_machines_are_together_the_record_of_one_whatever_the_order_and_how_often()
    {
        let all = quick(0, 1);
        let partitions = [quick(1, 2), quick(0, 2), quick(1, 2)];
        let scattered = partitions
            .iter()
            .flat_map(|slices| records(slices))
            .collect();
        assert_eq!(merge(&names(&all), scattered), Ok(records(&all)));
    }

    #[test]
    fn two_results_of_one_slice_and_slices_of_something_else_are_refused() {
        let all = quick(0, 1);
        let mut twice = records(&all[..2]);
        twice.push(SliceRecord {
            counts: ExplorationCounts::default(),
            ..twice[0].clone()
        });
        let name = all[0].name().to_owned();
        assert_eq!(
            merge(&names(&all), twice),
            Err(MergeError::Conflict(name.clone()))
        );
        assert_eq!(
            merge(&names(&all[1..]), records(&all[..1])),
            Err(MergeError::Stranger(name))
        );
    }

    #[test]
    fn a_survey_says_what_its_slices_came_to_and_which_are_missing() {
        let all = quick(0, 1);
        let mut known = records(&all);
        let missing = known.remove(3).slice;
        known[0].failures.push(failure());
        let surveys = by_survey(&all, &known);
        assert_eq!(
            surveys.iter().map(|survey| survey.slices).sum::<usize>(),
            all.len()
        );
        let first = &surveys[0];
        assert_eq!(first.counts.schedules as usize, first.slices - 1);
        assert_eq!(first.missing, [missing]);
        assert_eq!(first.failures, [failure()]);
        assert!(surveys[1..].iter().all(|survey| survey.missing.is_empty()));
    }
}
