//! Many surveys, cut into slices and shared out over cores and machines. A slice is the unit of work and of record: its
//! result is one line of JSON, so a campaign that was stopped goes on where it was, and the records of several machines
//! are put together by putting the lines together.
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::explorer::ExplorationCounts;
use super::flash_part::FlashPart;
use super::oracle::Breach;
use super::plan_line::PlannedLine;
use super::scenario::Scenario;
use super::schedule::Schedule;
use super::survey::{Depth, Partition, Survey};
use powercut_oracle::verdict::Invariant;

/// Says whether to stop; asked often, from many threads.
pub type Stop<'a> = dyn Fn() -> bool + Sync + 'a;

/// Version of the record's schema.
pub const SCHEMA: u32 = 1;
/// Slices of one survey. Fixed, so that a record made with another number of cores is still of use.
const SLICES: u64 = 8;
/// Slices of a survey of a test plan's upgrade: real images take a hundred times as long.
const PLANNED_SLICES: u64 = 64;

/// What to explore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Every single cut in the geometries with pages of up to 2 KB, every pair of cuts in the smallest upgrade, some
    /// random schedules of up to 8: a minute.
    Quick,
    /// Every pair of cuts in every geometry but one, every single cut there and of 64 KiB images, ten million random
    /// schedules of up to 8: an hour of one core.
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
        let tiny: &[FlashPart] = &[FlashPart::Tiny, FlashPart::TinyOnce];
        let part_pages = [FlashPart::Nrf51, FlashPart::Stm32l4];
        let small_pages = [tiny, &part_pages].concat();
        let large_pages = [FlashPart::Nrf52, FlashPart::Stm32u5, FlashPart::Stm32f4];
        // All of a good upgrade, and all of a revert.
        let through = [Scenario::Longer, Scenario::NeverConfirms];
        let thorough = [Scenario::Longer, Scenario::Shorter, Scenario::NeverConfirms];
        let small = |depth, loss_permille| Survey {
            loss_permille,
            seed,
            depth,
            ..Survey::default()
        };
        match self {
            Self::Quick => [
                surveys(&small_pages, &Scenario::ALL, &small(single, 0)),
                surveys(&[FlashPart::TinyOnce], &through, &small(pairs, 0)),
                surveys(tiny, &Scenario::ALL, &small(random(2), 50)),
            ]
            .concat(),
            Self::Full => [
                surveys(tiny, &Scenario::ALL, &small(pairs, 0)),
                surveys(&part_pages, &thorough, &small(pairs, 0)),
                // A revert takes as long as five upgrades: `--depth 2 --geometry nrf52 --scenario never-confirms`.
                surveys(&large_pages, &[Scenario::Longer], &small(pairs, 0)),
                // Its 2,275 fragments make pairs of cuts a matter of hours: `--depth 2 --geometry stm32f4-large`.
                surveys(&[FlashPart::Stm32f4Large], &through, &small(single, 0)),
                surveys(
                    &part_pages,
                    &Scenario::ALL,
                    &Survey {
                        image_pages: 64,
                        fragment_bytes: Some(160),
                        ..small(single, 0)
                    },
                ),
                surveys(tiny, &Scenario::ALL, &small(random(450), 0)),
                surveys(tiny, &Scenario::ALL, &small(random(150), 50)),
            ]
            .concat(),
        }
    }
}

/// The same survey of every one of these geometries and upgrades.
pub fn surveys(geometries: &[FlashPart], scenarios: &[Scenario], like: &Survey) -> Vec<Survey> {
    let each = |geometry: &FlashPart| {
        let geometry = *geometry;
        scenarios.iter().map(move |scenario| Survey {
            geometry,
            scenario: *scenario,
            ..like.clone()
        })
    };
    geometries.iter().flat_map(each).collect()
}

/// A partition of one survey: the unit of work and of record.
#[derive(Debug, Clone)]
pub struct Slice {
    survey: Survey,
    partition: Partition,
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
    pub counts: ExplorationCounts,
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

/// The slices that fall to `partition` of a campaign.
pub fn slices(surveys: &[Survey], partition: Partition) -> Vec<Slice> {
    let all = surveys.iter().flat_map(|survey| {
        let of = match survey.planned {
            Some(_) => PLANNED_SLICES,
            None => SLICES,
        };
        (0..of).map(move |index| Slice {
            survey: survey.clone(),
            partition: Partition { index, of },
            name: format!("{survey}/{index}"),
        })
    });
    partition.of_all(all)
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

    /// Explores it; `None` if `stop` said so before it was done. `tally` hears of each first cut that is done.
    fn run(&self, stop: &Stop<'_>, tally: &Tally<'_>) -> Option<SliceRecord> {
        let span = self.survey.operations().unwrap_or(1..=1);
        let operations = (span.end() + 1).saturating_sub(*span.start()).max(1);
        let last = Mutex::new((0, 0));
        let (counts, failures) = self.survey.run(self.partition, &|operation, counts| {
            let done = u128::from(operation + 1 - span.start())
                * u128::from(self.partition.of)
                * u128::from(WHOLE_SLICE)
                / u128::from(operations);
            let done = (done as u64)
                .saturating_sub(self.partition.index * WHOLE_SLICE)
                .min(WHOLE_SLICE);
            tally.add(&last, counts.schedules, done);
            !stop()
        });
        tally.add(&last, counts.schedules, WHOLE_SLICE);
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
        (!stop()).then(|| SliceRecord {
            schema: SCHEMA,
            slice: self.name.clone(),
            counts,
            failures,
        })
    }
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct CampaignProgress {
    /// Slices done.
    pub done: usize,
    /// Slices there are.
    pub slices: usize,
    /// Schedules judged, also in slices that are not done.
    pub schedules: u64,
    /// Of the slices that were to be explored, so much is done: 0 to 1.
    pub share: f64,
}

/// What a campaign tells.
#[derive(Debug)]
pub enum News {
    /// A slice is done.
    Done(SliceRecord),
    /// Slices are under way; told every few seconds.
    Underway,
}

/// Parts a slice is counted in.
const WHOLE_SLICE: u64 = 1_000_000;
/// How often a campaign says that it is under way.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What the threads of a campaign have done together.
struct Tally<'a> {
    slices: usize,
    open: usize,
    done: AtomicUsize,
    schedules: AtomicU64,
    /// In parts of [`WHOLE_SLICE`].
    parts: AtomicU64,
    told: Mutex<Instant>,
    tell: &'a (dyn Fn(News, CampaignProgress) + Sync),
}

impl Tally<'_> {
    fn progress(&self) -> CampaignProgress {
        let parts = self.parts.load(Ordering::Relaxed) as f64;
        CampaignProgress {
            done: self.done.load(Ordering::Relaxed),
            slices: self.slices,
            schedules: self.schedules.load(Ordering::Relaxed),
            share: parts / (self.open.max(1) as f64 * WHOLE_SLICE as f64),
        }
    }

    /// A slice has come to so many schedules and so many parts; `last` is where it was.
    fn add(&self, last: &Mutex<(u64, u64)>, schedules: u64, parts: u64) {
        {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            let (before, parts_before) = std::mem::replace(&mut *last, (schedules, parts));
            self.schedules
                .fetch_add(schedules.saturating_sub(before), Ordering::Relaxed);
            self.parts
                .fetch_add(parts.saturating_sub(parts_before), Ordering::Relaxed);
        }
        if let Ok(mut told) = self.told.try_lock()
            && told.elapsed() >= TELL_EVERY
        {
            *told = Instant::now();
            (self.tell)(News::Underway, self.progress());
        }
    }
}

/// Explores all slices that are not `known`, on `jobs` threads. `tell` hears of each as it is done, and of how far all of
/// them are. Ends early once `stop` says so.
pub fn run(
    slices: &[Slice],
    known: &BTreeSet<String>,
    jobs: usize,
    stop: &Stop<'_>,
    tell: &(dyn Fn(News, CampaignProgress) + Sync),
) {
    let open: Vec<&Slice> = slices
        .iter()
        .filter(|slice| !known.contains(slice.name()))
        .collect();
    let next = AtomicUsize::new(0);
    let tally = Tally {
        slices: slices.len(),
        open: open.len(),
        done: AtomicUsize::new(slices.len() - open.len()),
        schedules: AtomicU64::new(0),
        parts: AtomicU64::new(0),
        told: Mutex::new(Instant::now()),
        tell,
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !stop() {
                    let Some(slice) = open.get(next.fetch_add(1, Ordering::Relaxed)) else {
                        break;
                    };
                    let Some(record) = slice.run(stop, &tally) else {
                        break;
                    };
                    tally.done.fetch_add(1, Ordering::Relaxed);
                    tell(News::Done(record), tally.progress());
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_campaign_are_disjoint_and_together_all_of_it() {
        let surveys = Profile::Quick.surveys(1);
        let names = |partition: Partition| -> Vec<String> {
            slices(&surveys, partition)
                .iter()
                .map(|slice| slice.name().to_owned())
                .collect()
        };
        let all: BTreeSet<String> = names(Partition { index: 0, of: 1 }).into_iter().collect();
        let mut parts: Vec<String> = (0..3)
            .flat_map(|index| names(Partition { index, of: 3 }))
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
