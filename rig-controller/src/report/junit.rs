//! JUnit, as CI servers show it.
//!
//! The only module that touches `junit-report`. That writer cannot express properties, so they stand in
//! system-out; GitLab shows only the text content of a failure, so everything a person needs stands there too.
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use junit_report::{Duration, Report, TestCase, TestResult, TestSuite};

use super::xml_text::{attribute, cdata};
use super::{CaseResult, ReportError};
use crate::plan::Case;
use powercut_oracle::verdict::VerdictClass;

/// A JUnit report that grows case by case and is valid on disk after every [`JunitFile::write`].
#[derive(Debug)]
pub struct JunitFile {
    path: PathBuf,
    suite: TestSuite,
}

/// What a test case that is no case of a plan came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Class of the test case.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub kind: FindingKind,
    /// Why, on one line.
    pub message: String,
    /// What a person needs to go on, unless it passed.
    pub text: String,
    /// What was counted.
    pub output: String,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// Well.
    Pass,
    /// The firmware failed; in which way.
    Failure(String),
    /// Nothing was proved; why.
    Error(String),
    /// Its author leaves it out.
    Skipped,
}

impl JunitFile {
    /// An empty report of plan `plan`, to be written to `path`.
    pub fn new(path: &Path, plan: &str) -> Self {
        Self {
            path: path.to_owned(),
            suite: TestSuite::new(&attribute(plan)),
        }
    }

    /// Add a case that was run.
    pub fn add(&mut self, result: &CaseResult) {
        self.suite.add_testcase(testcase(result));
    }

    /// Add what is no case of a plan. How long it took is not known.
    pub fn add_finding(&mut self, finding: &Finding) {
        self.add_finding_that_took(finding, std::time::Duration::ZERO);
    }

    /// Add what is no case of a plan, with the time it took.
    pub fn add_finding_that_took(&mut self, finding: &Finding, took: std::time::Duration) {
        let (name, message) = (attribute(&finding.name), attribute(&finding.message));
        let time = Duration::try_from(took).unwrap_or(Duration::MAX);
        let mut case = match &finding.kind {
            FindingKind::Pass => TestCase::success(&name, time),
            FindingKind::Failure(kind) => {
                TestCase::failure(&name, time, &attribute(kind), &message)
            }
            FindingKind::Error(kind) => TestCase::error(&name, time, &attribute(kind), &message),
            FindingKind::Skipped => TestCase::skipped(&name),
        };
        if let TestResult::Failure { cause, .. } | TestResult::Error { cause, .. } =
            &mut case.result
        {
            *cause = Some(cdata(&finding.text));
        }
        case.set_classname(&attribute(&finding.class));
        case.set_system_out(&cdata(&finding.output));
        self.suite.add_testcase(case);
    }

    /// Add a case that was not run, or not to its end. It is an error: CI servers take what is skipped for good.
    pub fn add_not_run(&mut self, case: &Case, why: &str) {
        let name = attribute(&case.title());
        let mut not_run = TestCase::error(&name, Duration::ZERO, "not run", &attribute(why));
        if let TestResult::Error { cause, .. } = &mut not_run.result {
            *cause = Some(cdata(why));
        }
        not_run.set_classname(&classname(&case.plan, &case.group));
        self.suite.add_testcase(not_run);
    }

    /// Write the report as it stands. Whoever reads the file sees the last complete one, never a part.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self) -> Result<(), ReportError> {
        let mut report = Report::new();
        report.add_testsuite(self.suite.clone());
        let mut xml = Vec::new();
        report
            .write_xml(&mut xml)
            .map_err(|error| ReportError::Encode {
                path: self.path.clone(),
                case: "all".to_owned(),
                reason: error.to_string(),
            })?;
        replace(&self.path, &xml).map_err(|source| ReportError::Write {
            path: self.path.clone(),
            source,
        })
    }
}

/// Put `content` into `path` through a neighbour and a rename, which no reader can see half done.
pub(crate) fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut neighbour = path.as_os_str().to_owned();
    neighbour.push(format!(".{}.tmp", std::process::id()));
    let neighbour = PathBuf::from(neighbour);
    let written = File::create(&neighbour)
        .and_then(|mut file| {
            std::io::Write::write_all(&mut file, content)?;
            // Renaming before the content has reached the disk could leave an empty report after a crash.
            file.sync_all()
        })
        .and_then(|()| fs::rename(&neighbour, path));
    if written.is_err() {
        // The error that matters is the first; a file that cannot be removed either is only untidy.
        let _ = fs::remove_file(&neighbour);
    }
    written
}

fn classname(plan: &str, group: &str) -> String {
    attribute(&format!("{plan}.{group}"))
}

fn testcase(result: &CaseResult) -> TestCase {
    let name = attribute(&result.title);
    let time = Duration::checked_seconds_f64(result.seconds).unwrap_or(Duration::ZERO);
    let message = attribute(result.reason.as_deref().unwrap_or_default());
    let mut case = match result.verdict {
        VerdictClass::Pass => TestCase::success(&name, time),
        VerdictClass::FirmwareFailure => {
            let kind = match result.invariant {
                Some(invariant) => format!("firmware failure {invariant}"),
                None => "firmware failure".to_owned(),
            };
            TestCase::failure(&name, time, &kind, &message)
        }
        class @ (VerdictClass::BenchError
        | VerdictClass::PlanError
        | VerdictClass::Inconclusive) => TestCase::error(&name, time, &class.to_string(), &message),
    };
    if let TestResult::Failure { cause, .. } | TestResult::Error { cause, .. } = &mut case.result {
        *cause = Some(cdata(&explanation(result)));
    }
    case.set_classname(&classname(&result.plan, &result.group));
    case.set_system_out(&cdata(&properties(result)));
    case
}

/// The text of a failure or an error.
fn explanation(result: &CaseResult) -> String {
    let mut text = format!(
        "{}: {}\n",
        result.verdict,
        result.reason.as_deref().unwrap_or("no reason given")
    );
    if let Some(invariant) = result.invariant {
        let _ = writeln!(
            text,
            "broken invariant {invariant}: {}",
            invariant.meaning()
        );
    }
    let _ = writeln!(text, "planned cuts: {}", or_none(&result.planned_cuts));
    let _ = writeln!(text, "cuts that happened: {}", happened(result));
    let _ = writeln!(text, "run it again: {}", result.replay);
    if let Some(evidence) = &result.evidence {
        let _ = writeln!(text, "evidence: {}", evidence.display());
    }
    text
}

/// What would be properties, one a line, and the files of the evidence folder as attachments.
fn properties(result: &CaseResult) -> String {
    let counts = &result.counts;
    let mut text = String::new();
    let checked: Vec<String> = result.checked.iter().map(ToString::to_string).collect();
    let not_observed: Vec<String> = result
        .not_observed
        .iter()
        .map(|missing| format!("{} ({})", missing.invariant, missing.why))
        .collect();
    for (name, value) in [
        ("verdict", result.verdict.to_string()),
        ("board", result.board.clone()),
        ("case", result.case_line.clone()),
        ("seed", result.seed.to_string()),
        ("cuts that happened", happened(result)),
        ("invariants checked", or_none(&checked)),
        ("invariants not observed", or_none(&not_observed)),
        ("boots", counts.boots.to_string()),
        ("resets", counts.resets.to_string()),
        ("flash operations", or_unseen(counts.flash_operations)),
        ("erases", or_unseen(counts.erases)),
        ("fragments", counts.fragments.to_string()),
        ("fetched again", or_unseen(counts.fetched_again)),
        ("retransmissions", counts.retransmissions.to_string()),
        ("duplicates", counts.duplicates.to_string()),
        ("bytes up", counts.bytes_up.to_string()),
        ("bytes down", counts.bytes_down.to_string()),
    ] {
        let _ = writeln!(text, "{name}: {value}");
    }
    for file in attachments(result.evidence.as_deref()) {
        let _ = writeln!(text, "[[ATTACHMENT|{}]]", file.display());
    }
    text
}

fn happened(result: &CaseResult) -> String {
    let cuts: Vec<String> = result
        .cuts
        .iter()
        .map(|cut| {
            let places = [
                cut.operation
                    .map(|operation| format!("operation {operation}")),
                cut.phase.map(|phase| format!("in {phase}")),
                cut.fragment.map(|index| format!("at fragment {index}")),
            ];
            let places: Vec<String> = places.into_iter().flatten().collect();
            match places.as_slice() {
                [] => cut.planned.clone(),
                places => format!("{} ({})", cut.planned, places.join(" ")),
            }
        })
        .collect();
    or_none(&cuts)
}

fn or_unseen(count: Option<u64>) -> String {
    count.map_or("not observed".to_owned(), |count| count.to_string())
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

/// The files of the evidence folder in a fixed order; CI servers attach files, not folders.
fn attachments(folder: Option<&Path>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = folder
        .and_then(|folder| fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
#[path = "junit_tests.rs"]
mod tests;
