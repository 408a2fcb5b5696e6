//! Explorations of many upgrades, cut into slices and shared out over cores and machines. A slice is the unit of work and of
//! record: its result is one line of JSON, so a campaign that was stopped goes on where it was, and the records of several
//! machines are put together by putting the lines together.
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nor_flash_model::Cut;
use powercut_explore::CaseName;
use powercut_explore::campaign::FailureRecord;
use powercut_explore::results::Recorded;
use powercut_platform::PlatformError;
use serde::{Deserialize, Serialize};

use crate::explorer::Explorer;
use crate::line::ElfLine;
use crate::search::Search;
use crate::tally::Tally;
use crate::upgrade::Upgrade;

/// Says whether to stop; asked often, from many threads.
pub type Stop<'a> = dyn Fn() -> bool + Sync + 'a;

/// Version of the record's schema.
const SCHEMA: u32 = 1;
/// How often a campaign says that it is under way.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A part of the cuts of one upgrade: the unit of work and of record.
#[derive(Debug, Clone)]
pub struct Slice {
    upgrade: Arc<Upgrade>,
    search: Search,
    name: String,
}

/// One slice, explored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SliceRecord {
    /// Always the schema's version.
    pub schema: u32,
    /// Upgrade, search and slice; equal for equal work.
    pub slice: String,
    /// The work that was done.
    pub tally: Tally,
    /// Failures, the first few.
    pub failures: Vec<FailureRecord>,
}

impl Recorded for SliceRecord {
    const SCHEMA: u32 = SCHEMA;

    fn schema(&self) -> u32 {
        self.schema
    }

    fn slice(&self) -> &str {
        &self.slice
    }

    /// Times may differ.
    fn agrees_with(&self, other: &Self) -> bool {
        let counts = |tally: &Tally| (tally.download, tally.swap);
        counts(&self.tally) == counts(&other.tally) && self.failures == other.failures
    }
}

/// There is no operation that a first cut may hit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{upgrade}: no operation from {first} on can be cut, for the upgrade takes {operations} without a cut; write --operations FROM-TO with a FROM of at most {operations}"
)]
pub struct NothingToCutError {
    /// The case of the upgrade.
    pub upgrade: CaseName,
    /// The first operation that was to be hit.
    pub first: u64,
    /// Operations of the upgrade without a cut.
    pub operations: u64,
}

/// The slices of `upgrade`, whose run without a cut has so many operations, explored as `search` says: at least one.
///
/// # Errors
/// When `search` hits none of the operations.
pub fn slices(
    upgrade: &Arc<Upgrade>,
    operations: u64,
    search: &Search,
) -> Result<Vec<Slice>, NothingToCutError> {
    let parts = search.parts(operations);
    if parts.is_empty() {
        return Err(NothingToCutError {
            upgrade: upgrade.name.clone(),
            first: *search.operations.start(),
            operations,
        });
    }
    let described = upgrade.described();
    let slice = |search: Search| Slice {
        upgrade: Arc::clone(upgrade),
        name: format!("{described}:{search}"),
        search,
    };
    Ok(parts.into_iter().map(slice).collect())
}

impl Slice {
    /// Upgrade, search and slice; equal for equal work.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The upgrade that it is of.
    pub fn upgrade(&self) -> &Arc<Upgrade> {
        &self.upgrade
    }

    /// Operations that the first cut may hit.
    fn operations(&self) -> RangeInclusive<u64> {
        self.search.operations.clone()
    }

    /// Explores it; `None` if `stop` said so before it was done.
    fn run(
        &self,
        stop: &Stop<'_>,
        on_progress: &dyn Fn(u64, &Tally),
    ) -> Result<Option<SliceRecord>, PlatformError> {
        let mut explorer = Explorer::new(&self.upgrade, self.search.clone(), stop, on_progress);
        explorer.explore()?;
        let line = |cuts: Vec<Cut>| ElfLine {
            case: self.upgrade.name.clone(),
            cuts,
        };
        let failures = explorer.failures.into_iter().map(|failure| FailureRecord {
            schedule: line(failure.cuts).to_string(),
            invariant: failure.breach.invariant,
            reason: failure.breach.reason,
        });
        Ok((!stop()).then(|| SliceRecord {
            schema: SCHEMA,
            slice: self.name.clone(),
            tally: explorer.tally,
            failures: failures.collect(),
        }))
    }
}

/// How far a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Slices done.
    pub done: usize,
    /// Slices there are.
    pub slices: usize,
    /// Cuts judged, also in slices that are not done.
    pub states: u64,
    /// Cuts that failed.
    pub failed: u64,
    /// Of the slices that were to be explored, so much is done: 0 to 1.
    pub share: f64,
}

/// The work that the threads of a campaign have done together.
struct Work<'a> {
    open: Vec<&'a Slice>,
    slices: usize,
    next: AtomicUsize,
    /// By slice: states, failures, and the part of it that is done.
    done: Mutex<Vec<(u64, u64, f64)>>,
    told: Mutex<Instant>,
}

impl Work<'_> {
    fn progress(&self, done: &[(u64, u64, f64)]) -> Progress {
        let whole = done.iter().filter(|(.., share)| *share >= 1.0).count();
        Progress {
            done: self.slices - self.open.len() + whole,
            slices: self.slices,
            states: done.iter().map(|(states, ..)| states).sum(),
            failed: done.iter().map(|(_, failed, _)| failed).sum(),
            share: done.iter().map(|(.., share)| share).sum::<f64>()
                / self.open.len().max(1) as f64,
        }
    }

    /// A slice has come so far.
    fn note(&self, at: usize, tally: &Tally, share: f64) -> Progress {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done[at] = (tally.states(), tally.failed(), share);
        self.progress(&done)
    }

    /// Whether it is time to say how far all is.
    fn is_time_to_tell(&self) -> bool {
        self.told.try_lock().is_ok_and(|mut told| {
            let is_time = told.elapsed() >= TELL_EVERY;
            if is_time {
                *told = Instant::now();
            }
            is_time
        })
    }
}

/// Explores all slices that are not `known`, on `jobs` threads. `tell` hears of each as it is done, and every few seconds of
/// how far all of them are. Ends early once `stop` says so.
///
/// # Errors
/// When the platform cannot serve a package.
pub fn run(
    slices: &[Slice],
    known: &BTreeSet<String>,
    jobs: usize,
    stop: &Stop<'_>,
    tell: &(dyn Fn(Option<SliceRecord>, Progress) + Sync),
) -> Result<(), PlatformError> {
    let open: Vec<&Slice> = slices
        .iter()
        .filter(|slice| !known.contains(slice.name()))
        .collect();
    let work = Work {
        slices: slices.len(),
        next: AtomicUsize::new(0),
        done: Mutex::new(vec![(0, 0, 0.0); open.len()]),
        told: Mutex::new(Instant::now()),
        open,
    };
    // What one thread cannot do ends the work of all.
    let has_failed = AtomicBool::new(false);
    let stop = &|| stop() || has_failed.load(Ordering::Relaxed);
    let one_after_the_other = || {
        while !stop() {
            let at = work.next.fetch_add(1, Ordering::Relaxed);
            let Some(slice) = work.open.get(at) else {
                break;
            };
            let operations = slice.operations();
            let count = (operations.end() - operations.start() + 1) as f64;
            let on_progress = |operation: u64, tally: &Tally| {
                let share = (operation - operations.start()) as f64 / count;
                let progress = work.note(at, tally, share.min(0.999));
                if work.is_time_to_tell() {
                    tell(None, progress);
                }
            };
            let explored = slice.run(stop, &on_progress);
            has_failed.fetch_or(explored.is_err(), Ordering::Relaxed);
            let Some(record) = explored? else {
                break;
            };
            let progress = work.note(at, &record.tally, 1.0);
            tell(Some(record), progress);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..jobs.max(1))
            .map(|_| scope.spawn(one_after_the_other))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}
