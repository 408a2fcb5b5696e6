//! Suites of the crate `embedded-test`: a test is a symbol in section `.embedded_test` whose name is JSON and whose first word
//! is the address to run.

use std::path::Path;
use std::time::Duration;

use object::{Object, ObjectSection, ObjectSymbol};
use serde::Deserialize;

use super::{End, SuiteError, TestFailure, TestVerdict};

const SECTION: &str = ".embedded_test";

/// One test of embedded-test.
#[derive(Debug)]
pub struct EmbeddedTest {
    described: Description,
    address: u32,
}

/// The name of the symbol.
#[derive(Debug, Deserialize)]
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

impl EmbeddedTest {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.described.name
    }

    /// The suite leaves it out.
    pub fn is_ignored(&self) -> bool {
        self.described.ignored
    }

    /// The time that it says itself it may take.
    pub fn time_limit(&self) -> Option<Duration> {
        let seconds = self.described.timeout?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// The words of the command line by which the suite runs this test alone.
    pub fn command_line(&self) -> [String; 2] {
        ["run_addr".to_owned(), self.address.to_string()]
    }

    /// The verdict on it when a run of it ended like this.
    pub fn judge(&self, end: End) -> TestVerdict {
        match (end, self.described.should_panic) {
            (End::Returned, false) | (End::Failed(TestFailure::Aborted), true) => {
                TestVerdict::Passed
            }
            (End::Returned, true) => TestVerdict::Failed(TestFailure::DidNotPanic),
            (End::Failed(failure), _) => TestVerdict::Failed(failure),
        }
    }
}
