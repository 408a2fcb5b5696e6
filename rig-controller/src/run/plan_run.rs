//! All cases of a plan: each board has its cases, one worker a board; what workers find goes into the reports one case at a time.
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::evidence::{self, EvidenceError};
use super::inputs::Inputs;
use super::judged::{Attempt, result_of};
use super::out_folder::{OutFolder, OutFolderError};
use super::progress::{Listener, Progress};
use super::rig::{Composer, Cuts, Rig};
use crate::plan::Case;
use crate::report::{CaseResult, JsonlWriter, JunitFile, ReportError};
use powercut_bench::cancel::Cancel;
use powercut_bench::entry::BoardEntry;
use powercut_oracle::verdict::{Verdict, VerdictClass};
use powercut_platform::UdpPlatform;

/// Why a case that was not judged stands in the report once the run is over.
const CANCELLED: &str = "the run was cancelled before this case ended";
/// Why it does until then: the last word of a run that is killed.
const NOT_YET: &str =
    "the run has not come to the end of this case: rig is still at work, or was killed";

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

/// Something could not be written down: its class is *bench error*.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A report.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Evidence.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The folder for them.
    #[error(transparent)]
    Folder(#[from] OutFolderError),
    /// The folder for the JUnit report.
    #[error("cannot make the folder {}: {source}; check its permissions, or choose another file with --junit", .path.display())]
    JunitFolder {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
}

/// What came of a run.
#[derive(Debug)]
pub struct RunSummary {
    /// The cases that were judged, in the plan's order.
    pub results: Vec<CaseResult>,
    /// How many were not.
    pub skipped: usize,
    /// Host time of the whole run.
    pub duration: Duration,
    /// How often a board was given power, reference runs included.
    pub power_cycles: u64,
    /// What could not be written down of it. The verdicts stand all the same.
    pub unwritten: Vec<RunError>,
}

impl RunSummary {
    /// How many cases ended like this.
    pub fn count(&self, class: VerdictClass) -> usize {
        let alike = self.results.iter().filter(|result| result.verdict == class);
        alike.count()
    }
}

/// Runs all cases of `inputs`. A verdict is told to `listener` first, then put into the reports, and only then is its
/// evidence kept: what a full disk takes is the least that is needed. Boards are off when this returns.
///
/// # Errors
/// When reports cannot be begun: then nothing has run. What cannot be written later is in the summary; a report that cannot
/// be written cancels the run.
pub fn run_plan(
    inputs: &Inputs,
    options: &Options,
    compose: &Composer<'_>,
    cancel: &Cancel,
    listener: &Listener<'_>,
) -> Result<RunSummary, RunError> {
    let start = Instant::now();
    let _folder = OutFolder::take(&options.out)?;
    let reports = Mutex::new(Reports::create(inputs, options)?);
    let run = Run {
        inputs,
        options,
        cancel,
        listener,
        reports,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, inputs.bench.platform_port));
    let power_cycles = match UdpPlatform::bind(address) {
        Ok(platform) => {
            let rig = Rig::new(inputs, &platform, compose, cancel, listener);
            run.all(&rig);
            rig.reference_power_cycles()
        }
        Err(error) => {
            let verdict = Verdict::BenchError {
                reason: error.to_string(),
            };
            for (case, board) in inputs.cases.iter().zip(inputs.bench.boards.iter().cycle()) {
                run.ended(case, board, &Attempt::unbegun(case, verdict.clone()));
            }
            0
        }
    };
    let mut reports = run
        .reports
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    reports.finish();
    let results: Vec<CaseResult> = reports.results.into_values().collect();
    let of_cases: u64 = results.iter().map(|result| result.counts.boots).sum();
    Ok(RunSummary {
        skipped: inputs.cases.len() - results.len(),
        duration: start.elapsed(),
        power_cycles: power_cycles + of_cases,
        unwritten: reports.unwritten,
        results,
    })
}

/// What all workers share.
struct Run<'a> {
    inputs: &'a Inputs,
    options: &'a Options,
    cancel: &'a Cancel,
    listener: &'a Listener<'a>,
    reports: Mutex<Reports<'a>>,
}

impl<'a> Run<'a> {
    fn reports(&self) -> MutexGuard<'_, Reports<'a>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self, rig: &Rig<'_>) {
        let boards = &self.inputs.bench.boards;
        let used = self
            .options
            .jobs
            .unwrap_or(usize::MAX)
            .clamp(1, boards.len());
        std::thread::scope(|scope| {
            for (position, board) in boards.iter().take(used).enumerate() {
                // By number, not by who is free: a case runs on the same board, with the same device identity in flash,
                // whenever the plan is run on the bench.
                let cases = self
                    .inputs
                    .cases
                    .iter()
                    .filter(move |case| (case.index - 1) % used == position);
                scope.spawn(move || {
                    for case in cases {
                        if self.cancel.is_cancelled() {
                            return;
                        }
                        self.ended(case, board, &rig.attempt(case, board, Cuts::AsPlanned));
                    }
                });
            }
        });
    }

    /// Tells, reports and keeps what came of `case`, in this order; nothing if it was cancelled.
    fn ended(&self, case: &Case, board: &BoardEntry, attempt: &Attempt) {
        let Some(verdict) = &attempt.verdict else {
            return;
        };
        let mut result = result_of(self.inputs, case, board, attempt, verdict);
        let keep = self.options.keep == Keep::All || verdict.class() != VerdictClass::Pass;
        if keep {
            let name = format!("{:03}-{}", case.index, board.name);
            result.evidence = Some(self.options.out.join("cases").join(name));
        }
        {
            let mut reports = self.reports();
            (self.listener)(&Progress::Finished { result: &result });
            if !reports.add(result.clone()) {
                // Verdicts that no report holds are not worth the wear.
                self.cancel.cancel();
            }
        }
        let Some(folder) = &result.evidence else {
            return;
        };
        let kept = evidence::write(folder, self.inputs, case, attempt, &result);
        if kept.is_err() {
            // Half of it proves nothing, and takes the space that the next report needs.
            let _ = std::fs::remove_dir_all(folder);
        }
        if !self.reports().kept(case.index, kept) {
            self.cancel.cancel();
        }
    }
}

/// `results.jsonl` and JUnit.
struct Reports<'a> {
    inputs: &'a Inputs,
    jsonl: JsonlWriter,
    junit: PathBuf,
    /// By the case's number: the report does not tell which worker was faster.
    results: BTreeMap<usize, CaseResult>,
    unwritten: Vec<RunError>,
}

impl<'a> Reports<'a> {
    fn create(inputs: &'a Inputs, options: &Options) -> Result<Self, RunError> {
        if let Some(parent) = options.junit.parent() {
            std::fs::create_dir_all(parent).map_err(|source| RunError::JunitFolder {
                path: parent.to_owned(),
                source,
            })?;
        }
        evidence::clear(&options.out.join("cases"))?;
        let reports = Self {
            inputs,
            jsonl: JsonlWriter::create(&options.out.join("results.jsonl"))?,
            junit: options.junit.clone(),
            results: BTreeMap::new(),
            unwritten: Vec::new(),
        };
        // Written at once, with every case: a place where it cannot be written is found before anything has power, and a run
        // that is killed leaves a report that says so.
        reports.write_junit(NOT_YET)?;
        Ok(reports)
    }

    /// A case was judged; whether the reports could be written.
    fn add(&mut self, result: CaseResult) -> bool {
        let line = self.jsonl.write(&result);
        self.results.insert(result.case, result);
        let junit = self.write_junit(NOT_YET);
        self.note(line) & self.note(junit)
    }

    /// What came of keeping the evidence of the case; whether the reports could be written.
    fn kept(&mut self, case: usize, kept: Result<(), EvidenceError>) -> bool {
        let mut lines = Ok(());
        if let Err(error) = kept {
            self.unwritten.push(error.into());
            // It was announced.
            if let Some(result) = self.results.get_mut(&case) {
                result.evidence = None;
            }
            lines = self.jsonl.rewrite(self.results.values());
        }
        // It lists the files.
        let junit = self.write_junit(NOT_YET);
        self.note(lines) & self.note(junit)
    }

    /// The last word: cases that have no result by now will not have one.
    fn finish(&mut self) {
        let junit = self.write_junit(CANCELLED);
        self.note(junit);
    }

    fn note(&mut self, written: Result<(), ReportError>) -> bool {
        match written {
            Ok(()) => true,
            Err(error) => {
                self.unwritten.push(error.into());
                false
            }
        }
    }

    fn write_junit(&self, why_not: &str) -> Result<(), ReportError> {
        let mut junit = JunitFile::new(&self.junit, self.inputs.plan.name());
        for case in &self.inputs.cases {
            match self.results.get(&case.index) {
                Some(result) => junit.add(result),
                None => junit.add_not_run(case, why_not),
            }
        }
        junit.write()
    }
}
