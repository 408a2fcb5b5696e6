//! `rig test`: a suite of on-target tests on the virtual board, flashed and run through a debug probe.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use powercut_emulator::Timing;
use powercut_probe::VirtualBoard;
use powercut_probe::suite::{
    self, Suite, SuiteError, SuiteOptions, SuiteRunError, TIME_LIMIT, TestFailure, TestResult,
    TestVerdict,
};

use super::{CliError, exit, say};
use crate::report::{Finding, FindingKind, JunitFile};

/// Options of `rig test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The suite, an ELF file: `cargo test --no-run` names it.
    suite: PathBuf,
    /// Run those tests of embedded-test alone whose names contain this.
    filter: Option<String>,
    /// Write a JUnit report, one test case each.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// A test fails after so many seconds of the board's time, unless it says itself how long it may take.
    #[arg(long, value_name = "S", default_value_t = TIME_LIMIT.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    timeout_s: u64,
}

/// Why nothing can be said of the tests.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The file.
    #[error(transparent)]
    Suite(#[from] SuiteError),
    /// The probe.
    #[error(transparent)]
    Run(#[from] SuiteRunError),
}

impl TestError {
    /// Whether an input was bad.
    pub(super) fn is_bad_input(&self) -> bool {
        matches!(self, Self::Suite(_))
    }
}

/// Runs the verb.
pub(super) fn test(args: &TestArgs) -> Result<ExitCode, CliError> {
    let suite = Suite::read(&args.suite).map_err(TestError::from)?;
    let options = SuiteOptions {
        filter: args.filter.clone().unwrap_or_default(),
        limit: Duration::from_secs(args.timeout_s),
    };
    let class = class_of(args);
    let mut junit = args.junit.as_ref().map(|path| JunitFile::new(path, &class));
    let mut counts = Counts::default();
    let board = VirtualBoard::erased(Timing::Silicon);
    let ran = suite::run(&suite, &board, &options, &mut |result| {
        counts.add(result);
        print(result);
        if let Some(junit) = &mut junit {
            junit.add_finding_that_took(&finding(&class, result), result.took);
        }
    });
    // The report has the tests that were run, whatever became of the others.
    let written = junit.map_or(Ok(()), |junit| junit.write());
    ran.map_err(TestError::from)?;
    say::line(&counts.summary(&board));
    if counts.failed == 0 {
        written?;
        return Ok(exit::PASS.into());
    }
    if let Err(error) = written {
        say::complain(&CliError::from(error).to_string());
    }
    Ok(exit::FIRMWARE.into())
}

/// The suite's name, without the hash that Cargo adds.
fn class_of(args: &TestArgs) -> String {
    let stem = args.suite.file_stem().unwrap_or_default();
    let stem = stem.to_string_lossy();
    match stem.rsplit_once('-') {
        Some((name, hash)) if hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => stem.into_owned(),
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Counts {
    fn add(&mut self, result: &TestResult) {
        match result.verdict {
            TestVerdict::Passed => self.passed += 1,
            TestVerdict::Failed(_) => self.failed += 1,
            TestVerdict::Ignored => self.ignored += 1,
        }
    }

    /// In the words of cargo's own tests.
    fn summary(&self, board: &VirtualBoard) -> String {
        let verdict = if self.failed == 0 { "ok" } else { "FAILED" };
        format!(
            "test result: {verdict}. {} passed; {} failed; {} ignored; {:.3} s of the board's time",
            self.passed,
            self.failed,
            self.ignored,
            board.now().as_secs_f64()
        )
    }
}

fn print(result: &TestResult) {
    let name = &result.name;
    match &result.verdict {
        TestVerdict::Passed => say::line(&format!("test {name} ... ok")),
        TestVerdict::Ignored => say::line(&format!("test {name} ... ignored")),
        TestVerdict::Failed(failure) => {
            say::line(&format!("test {name} ... FAILED: {failure}"));
            for line in &result.said {
                say::line(&format!("    {line}"));
            }
        }
    }
}

fn finding(class: &str, result: &TestResult) -> Finding {
    let said = result.said.join("\n");
    let (kind, message) = match &result.verdict {
        TestVerdict::Passed => (FindingKind::Pass, String::new()),
        TestVerdict::Ignored => (FindingKind::Skipped, String::new()),
        TestVerdict::Failed(failure) => {
            let kind = FindingKind::Failure(kind_of(failure).to_owned());
            (kind, failure.to_string())
        }
    };
    Finding {
        class: class.to_owned(),
        name: result.name.clone(),
        kind,
        text: format!("{message}\n{said}"),
        message,
        output: said,
    }
}

fn kind_of(failure: &TestFailure) -> &'static str {
    match failure {
        TestFailure::Aborted => "panic",
        TestFailure::DidNotPanic => "no panic",
        TestFailure::OutOfTime { .. } => "timeout",
        TestFailure::HardFault { .. } => "hard fault",
        TestFailure::LockedUp => "lock-up",
        TestFailure::Breakpoint { .. } => "breakpoint",
        TestFailure::Exited(_) => "exit",
        TestFailure::BadRequest { .. } => "bad semihosting request",
        TestFailure::NotFinished => "not finished",
    }
}
