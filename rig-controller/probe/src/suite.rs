//! On-target test suites, run through a debug probe. Time is that of the board.
use std::collections::BTreeSet;
use std::time::Duration;

use powercut_suite::{EmbeddedTest, Tests, judge};
pub use powercut_suite::{Suite, SuiteError, TIME_LIMIT, TestFailure, TestResult, TestVerdict};

use crate::execution::Execution;
use crate::virtual_board::VirtualBoard;

/// The probe failed; of the tests that were not run nothing is said.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct SuiteRunError {
    /// The step that failed.
    doing: &'static str,
    /// The reasons, the outermost first.
    reason: String,
}

/// An error with all its reasons, the outermost first.
pub(crate) fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut reasons = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        reasons.push(error.to_string());
        source = error.source();
    }
    reasons.join(": ")
}

/// The error of a step of the probe, with all its reasons.
pub(crate) fn probe_error(
    doing: &'static str,
) -> impl FnOnce(&(dyn std::error::Error + 'static)) -> SuiteRunError {
    move |error| SuiteRunError {
        doing,
        reason: in_words(error),
    }
}

/// Which tests to run, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuiteOptions {
    /// Tests whose names contain this. A suite of defmt-test always runs as a whole.
    pub filter: String,
    /// A test fails after so long, in the board's time, unless it says itself how long it may take.
    pub limit: Duration,
}

impl Default for SuiteOptions {
    fn default() -> Self {
        Self {
            filter: String::new(),
            limit: TIME_LIMIT,
        }
    }
}

/// Flashes `suite` to `board`, verifies it, and runs its tests. `listener` is told of each as soon as it has ended.
///
/// # Errors
/// The probe failed. Tests that fail are no error.
pub fn run(
    suite: &Suite,
    board: &VirtualBoard,
    options: &SuiteOptions,
    listener: &mut dyn FnMut(&TestResult),
) -> Result<(), SuiteRunError> {
    let mut execution = Execution::begin(board, suite)?;
    match suite.tests() {
        Tests::Embedded(tests) => {
            for test in tests {
                if test.name().contains(&options.filter) {
                    listener(&run_one(test, &mut execution, options.limit)?);
                }
            }
            Ok(())
        }
        Tests::Defmt(names) => run_all(names, &mut execution, options.limit, listener),
    }
}

fn run_one(
    test: &EmbeddedTest,
    execution: &mut Execution<'_>,
    limit: Duration,
) -> Result<TestResult, SuiteRunError> {
    let name = test.name().to_owned();
    if test.is_ignored() {
        return Ok(TestResult {
            name,
            verdict: TestVerdict::Ignored,
            said: Vec::new(),
            took: Duration::ZERO,
        });
    }
    let limit = test.time_limit().unwrap_or(limit);
    let ran = execution.run(&test.command_line().join(" "), limit)?;
    Ok(TestResult {
        name,
        verdict: test.judge(ran.end),
        said: ran.said.lines(),
        took: ran.took,
    })
}

fn run_all(
    names: &BTreeSet<String>,
    execution: &mut Execution<'_>,
    limit: Duration,
    listener: &mut dyn FnMut(&TestResult),
) -> Result<(), SuiteRunError> {
    let ran = execution.run("", limit)?;
    for result in judge(names, &ran.said, &ran.end) {
        listener(&result);
    }
    Ok(())
}
