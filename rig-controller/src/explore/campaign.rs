//! Many surveys, cut into slices and shared out over cores and machines. A slice is the unit of work and of record: its
//! result is one line of JSON, so a campaign that was stopped goes on where it was, and the records of several machines
//! are put together by putting the lines together.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::explorer::Counts;
use super::geometry::Geometry;
use super::oracle::Breach;
use super::plan_line::PlannedLine;
use super::scenario::Scenario;
use super::schedule::Schedule;
use super::survey::{Depth, Part, Survey};
use crate::case::cancel::Cancel;
use crate::case::verdict::Invariant;

/// Version of the record's schema.
pub const SCHEMA: u32 = 1;
/// Slices of one survey. Fixed, so that a record made with another number of cores is still of use.
const SLICES: u64 = 8;
/// Slices of a survey of a test plan's upgrade: real images take a hundred times as long.
const PLANNED_SLICES: u64 = 64;

/// What to explore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Every single cut in the two smallest geometries, some random schedules of up to 8: under three minutes.
    Quick,
    /// Every single cut in every geometry, every pair close to each other in the smallest, many random schedules.
    Full,
}

impl Profile {
    /// Its surveys.
    pub fn surveys(self, seed: u64) -> Vec<Survey> {
        let single = Depth::Exhaustive { cuts: 1 };
        let pairs = Depth::Exhaustive { cuts: 2 };
        let random = |samples| Depth::Random {
            samples,
            cuts: 8,
            seed,
        };
        let tiny: &[Geometry] = &[Geometry::Tiny, Geometry::TinyOnce];
        let small = |depth, loss_permille| Survey {
            loss_permille,
            seed,
            depth,
            ..Survey::default()
        };
        match self {
            Self::Quick => [
                surveys(tiny, &Scenario::ALL, &small(single, 0)),
                surveys(tiny, &Scenario::ALL, &small(random(2), 50)),
            ]
            .concat(),
            Self::Full => [
                surveys(&Geometry::ALL, &Scenario::ALL, &small(pairs, 0)),
                surveys(
                    &[Geometry::Nrf51, Geometry::Stm32l4],
                    &Scenario::ALL,
                    &Survey {
                        image_pages: 64,
                        fragment_bytes: Some(160),
                        ..small(single, 0)
                    },
                ),
                surveys(tiny, &Scenario::ALL, &small(random(400), 0)),
                surveys(tiny, &Scenario::ALL, &small(random(100), 50)),
            ]
            .concat(),
        }
    }
}

/// The same survey of every one of these geometries and upgrades.
pub fn surveys(geometries: &[Geometry], scenarios: &[Scenario], like: &Survey) -> Vec<Survey> {
    let each = |geometry: &Geometry| {
        let geometry = *geometry;
        scenarios.iter().map(move |scenario| Survey {
            geometry,
            scenario: *scenario,
            ..like.clone()
        })
    };
    geometries.iter().flat_map(each).collect()
}

/// A part of one survey: the unit of work and of record.
#[derive(Debug, Clone)]
pub struct Slice {
    survey: Survey,
    part: Part,
    name: String,
}

/// One slice, explored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceRecord {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Survey and slice; equal for equal work.
    pub slice: String,
    /// What was done.
    pub counts: Counts,
    /// Failures, the first few.
    pub failures: Vec<FailureRecord>,
}

/// A schedule that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// As `rig replay` takes it.
    pub schedule: String,
    /// What it broke.
    pub invariant: Invariant,
    /// What was seen.
    pub reason: String,
}

/// The slices that fall to `part` of a campaign.
pub fn slices(surveys: &[Survey], part: Part) -> Vec<Slice> {
    let all = surveys.iter().flat_map(|survey| {
        let of = match survey.planned {
            Some(_) => PLANNED_SLICES,
            None => SLICES,
        };
        (0..of).map(move |index| Slice {
            survey: survey.clone(),
            part: Part { index, of },
            name: format!("{survey}/{index}"),
        })
    });
    (0_u64..)
        .zip(all)
        .filter(|(number, _)| number % part.of == part.index)
        .map(|(_, slice)| slice)
        .collect()
}

impl Slice {
    /// Survey and slice; equal for equal work.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schedule of a failure of this slice, from its line.
    pub fn schedule(&self, line: &str) -> Option<Schedule> {
        match &self.survey.planned {
            Some(upgrade) => {
                let line: PlannedLine = line.parse().ok()?;
                (line.case == *upgrade.name()).then(|| line.of(Arc::clone(upgrade)))
            }
            None => line.parse().ok(),
        }
    }

    /// Explores it; `None` if `stop` was cancelled before it was done.
    fn run(&self, stop: &Cancel, judged: &AtomicU64) -> Option<SliceRecord> {
        let last = AtomicU64::new(0);
        let (counts, failures) = self.survey.run(self.part, &|_, counts| {
            let before = last.swap(counts.schedules, Ordering::Relaxed);
            judged.fetch_add(counts.schedules - before, Ordering::Relaxed);
            !stop.is_cancelled()
        });
        let failures = failures
            .into_iter()
            .map(|failure| {
                let Breach { invariant, reason } = failure.breach;
                FailureRecord {
                    schedule: self.survey.schedule(failure.cuts).to_string(),
                    invariant,
                    reason,
                }
            })
            .collect();
        (!stop.is_cancelled()).then(|| SliceRecord {
            schema: SCHEMA,
            slice: self.name.clone(),
            counts,
            failures,
        })
    }
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Slices done.
    pub done: usize,
    /// Slices there are.
    pub slices: usize,
    /// Schedules judged, also in slices that are not done.
    pub schedules: u64,
}

/// Explores all slices that are not `known`, on `jobs` threads. `on_record` hears of each as it is done. Ends early once `stop` is cancelled.
pub fn run(
    slices: &[Slice],
    known: &BTreeSet<String>,
    jobs: usize,
    stop: &Cancel,
    on_record: &(dyn Fn(SliceRecord, Standing) + Sync),
) {
    let open: Vec<&Slice> = slices
        .iter()
        .filter(|slice| !known.contains(slice.name()))
        .collect();
    let next = AtomicUsize::new(0);
    let judged = AtomicU64::new(0);
    let done = Mutex::new(slices.len() - open.len());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop.is_cancelled() {
                    let Some(slice) = open.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        break;
                    };
                    let Some(record) = slice.run(stop, &judged) else {
                        break;
                    };
                    // A poisoned lock only means that another listener panicked; the count is still right.
                    let mut done = done
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    *done += 1;
                    let standing = Standing {
                        done: *done,
                        slices: slices.len(),
                        schedules: judged.load(Ordering::Relaxed),
                    };
                    on_record(record, standing);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_campaign_are_disjoint_and_together_all_of_it() {
        let surveys = Profile::Quick.surveys(1);
        let names = |part: Part| -> Vec<String> {
            slices(&surveys, part)
                .iter()
                .map(|slice| slice.name().to_owned())
                .collect()
        };
        let all: BTreeSet<String> = names(Part { index: 0, of: 1 }).into_iter().collect();
        let mut parts: Vec<String> = (0..3)
            .flat_map(|index| names(Part { index, of: 3 }))
            .collect();
        assert_eq!(
            parts.len(),
            all.len(),
            "a name says all that makes a slice different"
        );
        parts.sort();
        assert!(parts.iter().eq(&all));
    }
}
