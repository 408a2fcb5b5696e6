//! All cases of a plan: each board has its cases, one worker a board, one collector that writes reports.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::evidence::{self, EvidenceError};
use super::inputs::Inputs;
use super::judged::{Attempt, result_of};
use super::progress::{Listener, Progress};
use super::rig::{BoardFactory, Cuts, Rig};
use crate::bench::VirtualBoard;
use crate::case::cancel::Cancel;
use crate::case::runner::CaseReport;
use crate::case::verdict::{Verdict, VerdictClass};
use crate::plan::Case;
use crate::platform::UdpPlatform;
use crate::report::{CaseResult, JsonlWriter, JunitFile, ReportError};

/// Why a case that did not run stands in the report.
const CANCELLED: &str = "the run was cancelled before this case ended";

/// Of which cases evidence is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Of those that do not pass.
    Failing,
    /// Of all.
    All,
}

/// How to run a plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for results and evidence; made if it is not there.
    pub out: PathBuf,
    /// The JUnit file.
    pub junit: PathBuf,
    /// Most boards to use at once; all of the bench if `None`.
    pub jobs: Option<usize>,
    /// What to keep.
    pub keep: Keep,
}

/// A run could not go on: its class is *bench error*.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// A folder for them.
    #[error("cannot make the folder {}: {source}; check its permissions, or choose another with --out", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The cases that were judged, in the plan's order.
    pub results: Vec<CaseResult>,
    /// How many were not.
    pub skipped: usize,
    /// Host time of the whole run.
    pub duration: Duration,
    /// How often a board was given power, reference runs included.
    pub power_cycles: u64,
}

impl Summary {
    /// How many cases ended like this.
    pub fn count(&self, class: VerdictClass) -> usize {
        let alike = self.results.iter().filter(|result| result.verdict == class);
        alike.count()
    }
}

/// Runs all cases of `inputs`. Reports on disk are complete after every case; boards are off when this returns.
///
/// # Errors
/// When reports or evidence cannot be written; then the run is cancelled.
pub fn run_plan(
    inputs: &Inputs,
    options: &Options,
    boards: &BoardFactory<'_>,
    cancel: &Cancel,
    listener: &Listener<'_>,
) -> Result<Summary, RunError> {
    let start = Instant::now();
    let mut reports = Reports::create(inputs, options)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, inputs.bench.platform_port));
    let power_cycles = match UdpPlatform::bind(address) {
        Ok(platform) => {
            let rig = Rig::new(inputs, &platform, boards, cancel, listener);
            let ran = run_all(inputs, options, &rig, cancel, listener, &mut reports);
            // Even when reports fail: nobody waits for what no worker does any more.
            ran?;
            rig.reference_power_cycles()
        }
        Err(error) => {
            let verdict = Verdict::BenchError {
                reason: error.to_string(),
            };
            for (case, board) in inputs.cases.iter().zip(inputs.bench.boards.iter().cycle()) {
                let attempt = Attempt::ran(Vec::new(), CaseReport::not_run(verdict.clone()));
                let result = result_of(inputs, case, board, &attempt, &verdict);
                listener(&Progress::Finished { result: &result });
                reports.add(result)?;
            }
            0
        }
    };
    let results: Vec<CaseResult> = reports.results.into_values().collect();
    let of_cases: u64 = results.iter().map(|result| result.counts.boots).sum();
    Ok(Summary {
        skipped: inputs.cases.len() - results.len(),
        duration: start.elapsed(),
        power_cycles: power_cycles + of_cases,
        results,
    })
}

fn run_all(
    inputs: &Inputs,
    options: &Options,
    rig: &Rig<'_>,
    cancel: &Cancel,
    listener: &Listener<'_>,
    reports: &mut Reports<'_>,
) -> Result<(), RunError> {
    let used = options
        .jobs
        .unwrap_or(usize::MAX)
        .clamp(1, inputs.bench.boards.len());
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for (position, board) in inputs.bench.boards.iter().take(used).enumerate() {
            let sender = sender.clone();
            // By number, not by who is free: a case runs on the same board, with the same device identity in flash,
            // whenever the plan is run on the bench.
            let cases = inputs
                .cases
                .iter()
                .filter(move |case| (case.index - 1) % used == position);
            scope.spawn(move || {
                for case in cases {
                    if cancel.is_cancelled() {
                        return;
                    }
                    let done = one(inputs, options, rig, case, board);
                    // The collector listens until the last worker has gone.
                    let _ = sender.send(done);
                }
            });
        }
        drop(sender);
        let mut failure = None;
        for done in receiver {
            let added = match done {
                Ok(Some(result)) => {
                    listener(&Progress::Finished { result: &result });
                    reports.add(result)
                }
                Ok(None) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = added {
                // Verdicts that nobody gets to see are not worth the wear.
                cancel.cancel();
                failure.get_or_insert(error);
            }
        }
        match failure {
            Some(error) => Err(error),
            None => reports.finish(),
        }
    })
}

/// Runs one case and keeps its evidence; `None` if it was cancelled.
fn one(
    inputs: &Inputs,
    options: &Options,
    rig: &Rig<'_>,
    case: &Case,
    board: &VirtualBoard,
) -> Result<Option<CaseResult>, EvidenceError> {
    let attempt = rig.attempt(case, board, Cuts::AsPlanned);
    let Some(verdict) = &attempt.verdict else {
        return Ok(None);
    };
    let mut result = result_of(inputs, case, board, &attempt, verdict);
    if options.keep == Keep::All || verdict.class() != VerdictClass::Pass {
        let name = format!("{:03}-{}", case.index, board.name);
        let folder = options.out.join("cases").join(name);
        result.evidence = Some(folder.clone());
        evidence::write(&folder, inputs, case, &attempt, &result)?;
    }
    Ok(Some(result))
}

/// `results.jsonl` and JUnit.
struct Reports<'a> {
    inputs: &'a Inputs,
    jsonl: JsonlWriter,
    junit: PathBuf,
    /// By the case's number: the report does not tell which worker was faster.
    results: BTreeMap<usize, CaseResult>,
}

impl<'a> Reports<'a> {
    fn create(inputs: &'a Inputs, options: &Options) -> Result<Self, RunError> {
        let folder = |path: &Path| {
            std::fs::create_dir_all(path).map_err(|source| RunError::Folder {
                path: path.to_owned(),
                source,
            })
        };
        folder(&options.out)?;
        if let Some(parent) = options.junit.parent() {
            folder(parent)?;
        }
        evidence::clear(&options.out.join("cases"))?;
        let reports = Self {
            inputs,
            jsonl: JsonlWriter::create(&options.out.join("results.jsonl"))?,
            junit: options.junit.clone(),
            results: BTreeMap::new(),
        };
        // Written at once: a place where it cannot be written is found before anything has power.
        reports.write_junit(false)?;
        Ok(reports)
    }

    fn add(&mut self, result: CaseResult) -> Result<(), RunError> {
        self.jsonl.write(&result)?;
        self.results.insert(result.case, result);
        self.write_junit(false)
    }

    /// The last word: cases that have no result by now will not have one.
    fn finish(&self) -> Result<(), RunError> {
        self.write_junit(true)
    }

    fn write_junit(&self, with_skipped: bool) -> Result<(), RunError> {
        let mut junit = JunitFile::new(&self.junit, self.inputs.plan.name());
        for case in &self.inputs.cases {
            match self.results.get(&case.index) {
                Some(result) => junit.add(result),
                None if with_skipped => junit.add_skipped(case, CANCELLED),
                None => {}
            }
        }
        Ok(junit.write()?)
    }
}
