//! Runs one on-target test suite in QEMU's micro:bit and says what came of each test.
//!
//! Cargo calls it with the ELF file of a suite (`runner` in `.cargo/config.toml`), so `cargo test` works as for any
//! other package. Two kinds of suite are known: `embedded-test`, whose tests run each in a machine of its own, and
//! `defmt-test`, whose tests run one after the other and report by defmt frames, sent through semihosting.

mod qemu;
mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use powercut_suite::{
    EmbeddedTest, Suite, SuiteError, TestResult, TestVerdict, Tests, Transcript, judge,
};
use thiserror::Error;

use crate::qemu::Outcome;
use crate::report::Report;

/// Why no verdict on the suite was possible.
#[derive(Debug, Error)]
enum Error {
    #[error("usage: on-target SUITE.elf [FILTER]")]
    Usage,
    #[error("{0}; the bootloader and the application run on a bench, not here")]
    Suite(#[from] SuiteError),
    #[error("running the suite: {0}")]
    Run(#[from] qemu::Error),
}

fn main() -> ExitCode {
    match run() {
        Ok(report) if report.failed() == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<Report, Error> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or(Error::Usage)?);
    let filter = arguments.next().unwrap_or_default();
    if arguments.next().is_some() || filter.starts_with('-') {
        return Err(Error::Usage);
    }
    let suite = Suite::read(&path)?;
    let mut report = Report::default();
    match suite.tests() {
        Tests::Embedded(tests) => {
            for test in tests.iter().filter(|test| test.name().contains(&filter)) {
                report.add(&run_one(&path, &suite, test)?);
            }
        }
        Tests::Defmt(names) => {
            for result in run_all(&path, &suite, names)? {
                report.add(&result);
            }
        }
    }
    println!("{}", report.summary());
    Ok(report)
}

fn run_one(path: &Path, suite: &Suite, test: &EmbeddedTest) -> Result<TestResult, Error> {
    let name = test.name().to_owned();
    if test.is_ignored() {
        return Ok(TestResult {
            name,
            verdict: TestVerdict::Ignored,
            said: Vec::new(),
            took: Duration::ZERO,
        });
    }
    let outcome = qemu::run(path, &test.command_line())?;
    Ok(TestResult {
        name,
        said: said(suite, &outcome).lines(),
        took: outcome.took,
        verdict: test.judge(outcome.end),
    })
}

fn run_all(path: &Path, suite: &Suite, names: &BTreeSet<String>) -> Result<Vec<TestResult>, Error> {
    let outcome = qemu::run(path, &[])?;
    Ok(judge(names, &said(suite, &outcome), &outcome.end))
}

/// The words of a run. QEMU tells them at its end: when each was said is not known.
fn said<'s>(suite: &'s Suite, outcome: &Outcome) -> Transcript<'s> {
    let mut said = suite.transcript();
    said.semihosting(&outcome.output, outcome.took);
    said.end(outcome.took);
    said
}
