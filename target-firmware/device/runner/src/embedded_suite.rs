//! Suites of the `embedded-test` crate: every test is a symbol in section `.embedded_test` whose name is JSON and
//! whose first word is the address to run. Each runs in a machine of its own.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol};
use serde::Deserialize;
use thiserror::Error;

use crate::qemu::{self, End};
use crate::report::Report;

const SECTION: &str = ".embedded_test";

/// The suite could not be read or run.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("reading section {SECTION}: {0}")]
    Elf(#[from] object::Error),
    #[error("the symbol of test `{name}` lies outside section {SECTION}")]
    NoAddress { name: String },
    #[error("running test `{name}`: {source}")]
    Run { name: String, source: qemu::Error },
}

/// What the symbol's name says.
#[derive(Debug, Deserialize)]
struct Test {
    name: String,
    ignored: bool,
    should_panic: bool,
}

pub(crate) fn run(path: &Path, elf: &object::File<'_>, filter: &str) -> Result<Report, Error> {
    let mut tests = Vec::new();
    for symbol in elf.symbols() {
        // Other symbols have other names.
        let Ok(test) = serde_json::from_str::<Test>(symbol.name()?) else {
            continue;
        };
        let address = address(elf, symbol.address())?.ok_or_else(|| Error::NoAddress {
            name: test.name.clone(),
        })?;
        tests.push((test, address));
    }
    tests.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let mut report = Report::default();
    for (test, address) in &tests {
        if test.name.contains(filter) {
            run_one(path, test, *address, &mut report)?;
        }
    }
    Ok(report)
}

fn run_one(path: &Path, test: &Test, address: u32, report: &mut Report) -> Result<(), Error> {
    if test.ignored {
        report.ignored(&test.name);
        return Ok(());
    }
    let outcome =
        qemu::run(path, &["run_addr", &address.to_string()]).map_err(|source| Error::Run {
            name: test.name.clone(),
            source,
        })?;
    let output = String::from_utf8_lossy(&outcome.output);
    match (outcome.end, test.should_panic) {
        (End::Returned, false) | (End::Aborted, true) => report.passed(&test.name),
        (End::Returned, true) => report.failed_because(&test.name, "did not panic as it should"),
        (End::Aborted, false) => report.failed_because(&test.name, &output),
        (End::OutOfTime, _) => {
            report.failed_because(&test.name, &format!("ran out of time\n{output}"));
        }
    }
    Ok(())
}

/// The word a symbol of the section points to.
fn address(elf: &object::File<'_>, at: u64) -> Result<Option<u32>, object::Error> {
    let Some(section) = elf.section_by_name(SECTION) else {
        return Ok(None);
    };
    let word = section.data_range(at, 4)?;
    Ok(word
        .and_then(|word| word.try_into().ok())
        .map(u32::from_le_bytes))
}
