//! Runs one on-target test suite in QEMU's micro:bit and says what came of each test.
//!
//! Cargo calls it with the ELF file of a suite (`runner` in `.cargo/config.toml`), so `cargo test` works as for any
//! other package. Two kinds of suite are known: `embedded-test`, whose tests run each from a reset of its own, and
//! `defmt-test`, whose tests run one after the other and report by defmt frames.

mod defmt_suite;
mod embedded_suite;
mod qemu;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use object::{Object, ObjectSection};
use thiserror::Error;

use crate::report::Report;

/// Why no verdict on the suite was possible.
#[derive(Debug, Error)]
enum Error {
    #[error("usage: on-target SUITE.elf [FILTER]")]
    Usage,
    #[error("reading the suite {path}: {source}; build it first")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is no ELF file: {source}")]
    Elf {
        path: PathBuf,
        source: object::Error,
    },
    #[error(
        "{path} is no test suite: no embedded-test section and no defmt section in it; \
         the bootloader and the application run on a bench, not here"
    )]
    NoSuite { path: PathBuf },
    #[error(transparent)]
    Embedded(#[from] embedded_suite::Error),
    #[error(transparent)]
    Defmt(#[from] defmt_suite::Error),
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
    let report = run_suite(&path, &filter)?;
    println!("{}", report.summary());
    Ok(report)
}

fn run_suite(path: &Path, filter: &str) -> Result<Report, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let elf = object::File::parse(bytes.as_slice()).map_err(|source| Error::Elf {
        path: path.to_owned(),
        source,
    })?;
    let has = |name| {
        elf.section_by_name(name)
            .is_some_and(|section| section.size() > 0)
    };
    if has(".embedded_test") {
        Ok(embedded_suite::run(path, &elf, filter)?)
    } else if has(".defmt") {
        Ok(defmt_suite::run(path, &bytes)?)
    } else {
        Err(Error::NoSuite {
            path: path.to_owned(),
        })
    }
}
