//! The work that an exploration has done, and where its time went.
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The part of an upgrade that the first cut hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Fragments arrive, and the staged image is verified.
    Download,
    /// The images are exchanged, and the new one proves itself.
    Swap,
}

/// Counts of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageCounts {
    /// Cuts judged to their end.
    pub states: u64,
    /// Those among them whose future was known when power came back.
    pub merged: u64,
    /// Futures that were followed: each is another one than all before.
    pub distinct: u64,
    /// Those among them that came to a future known before.
    pub met: u64,
    /// Merged states whose future was followed all the same, and agreed.
    pub checked: u64,
    /// Cuts that failed.
    pub failed: u64,
    /// Flash operations in the runs.
    pub operations: u64,
    /// Instructions in the runs.
    pub instructions: u64,
}

impl std::ops::AddAssign for StageCounts {
    fn add_assign(&mut self, other: Self) {
        self.states += other.states;
        self.merged += other.merged;
        self.distinct += other.distinct;
        self.met += other.met;
        self.checked += other.checked;
        self.failed += other.failed;
        self.operations += other.operations;
        self.instructions += other.instructions;
    }
}

/// Time of one stage, on the host's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StageTimes {
    /// Making states and having the oracle look at them.
    pub setup: Duration,
    /// Looking for known futures, and keeping new ones.
    pub lookup: Duration,
    /// From power-on to the first sign of an application, in runs that came so far.
    pub boot: Duration,
    /// The rest of the runs.
    pub recovery: Duration,
    /// Runs that checked a merged state.
    pub check: Duration,
}

impl StageTimes {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.setup + self.lookup + self.boot + self.recovery + self.check
    }
}

impl std::ops::AddAssign for StageTimes {
    fn add_assign(&mut self, other: Self) {
        self.setup += other.setup;
        self.lookup += other.lookup;
        self.boot += other.boot;
        self.recovery += other.recovery;
        self.check += other.check;
    }
}

/// Counts and times of both stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// First cuts in the download.
    pub download: StageCounts,
    /// First cuts in the swap and behind it.
    pub swap: StageCounts,
    /// Time of the former.
    pub download_times: StageTimes,
    /// Time of the latter.
    pub swap_times: StageTimes,
}

impl Tally {
    /// Counts and times of a stage.
    pub(crate) fn of(&mut self, stage: Stage) -> (&mut StageCounts, &mut StageTimes) {
        match stage {
            Stage::Download => (&mut self.download, &mut self.download_times),
            Stage::Swap => (&mut self.swap, &mut self.swap_times),
        }
    }

    /// Cuts that failed.
    pub fn failed(&self) -> u64 {
        self.download.failed + self.swap.failed
    }

    /// Cuts judged to their end.
    pub fn states(&self) -> u64 {
        self.download.states + self.swap.states
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.download += other.download;
        self.swap += other.swap;
        self.download_times += other.download_times;
        self.swap_times += other.swap_times;
    }
}
