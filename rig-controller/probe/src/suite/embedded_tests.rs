//! Suites of the crate `embedded-test`: a test is a symbol in section `.embedded_test` whose name is JSON and whose first word
//! is the address to run.

use std::path::Path;
use std::time::Duration;

use object::{Object, ObjectSection, ObjectSymbol};
use serde::Deserialize;

use super::execution::{End, Execution};
use super::{SuiteError, SuiteOptions, TestFailure, TestResult, TestVerdict};

const SECTION: &str = ".embedded_test";

/// One test.
pub(super) struct EmbeddedTest {
    described: Description,
    address: u32,
}

/// The name of the symbol.
#[derive(Deserialize)]
struct Description {
    name: String,
    ignored: bool,
    should_panic: bool,
    /// Seconds.
    timeout: Option<u32>,
}

/// The tests of a program, by their names.
pub(super) fn of(path: &Path, elf: &object::File<'_>) -> Result<Vec<EmbeddedTest>, SuiteError> {
    let mut tests = Vec::new();
    for symbol in elf.symbols() {
        // Other symbols have other names.
        let Some(described) = symbol
            .name()
            .ok()
            .and_then(|name| serde_json::from_str::<Description>(name).ok())
        else {
            continue;
        };
        let Some(address) = word(elf, symbol.address()) else {
            return Err(SuiteError::NoAddress {
                path: path.to_owned(),
                name: described.name,
            });
        };
        tests.push(EmbeddedTest { described, address });
    }
    tests.sort_by(|one, two| one.described.name.cmp(&two.described.name));
    Ok(tests)
}

/// The word of the section at an address.
fn word(elf: &object::File<'_>, at: u64) -> Option<u32> {
    let section = elf.section_by_name(SECTION)?;
    let word = section.data_range(at, 4).ok()??;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

pub(super) fn run(
    tests: &[EmbeddedTest],
    execution: &mut Execution<'_>,
    options: &SuiteOptions,
    listener: &mut dyn FnMut(&TestResult),
) -> Result<(), SuiteError> {
    for test in tests {
        if test.described.name.contains(&options.filter) {
            listener(&test.run(execution, options.limit)?);
        }
    }
    Ok(())
}

impl EmbeddedTest {
    fn run(
        &self,
        execution: &mut Execution<'_>,
        limit: Duration,
    ) -> Result<TestResult, SuiteError> {
        let test = &self.described;
        if test.ignored {
            return Ok(TestResult {
                name: test.name.clone(),
                verdict: TestVerdict::Ignored,
                said: Vec::new(),
                took: Duration::ZERO,
            });
        }
        let limit = test
            .timeout
            .map_or(limit, |seconds| Duration::from_secs(seconds.into()));
        let ran = execution.run(&format!("run_addr {}", self.address), limit)?;
        let verdict = match (ran.end, test.should_panic) {
            (End::Returned, false) | (End::Failed(TestFailure::Aborted), true) => {
                TestVerdict::Passed
            }
            (End::Returned, true) => TestVerdict::Failed(TestFailure::DidNotPanic),
            (End::Failed(failure), _) => TestVerdict::Failed(failure),
        };
        Ok(TestResult {
            name: test.name.clone(),
            verdict,
            said: ran.said.lines(),
            took: ran.took,
        })
    }
}
