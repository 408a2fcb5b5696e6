//! On-target test suites as files: which tests a program has, and what became of each, going by what the program said and how
//! it ended. Running programs is for others: through a debug probe, or in QEMU.
//!
//! Two kinds are known. Tests of the crate `embedded-test` each start from a reset: the suite is told by semihosting which
//! one to run, and exits with its result. Tests of the crate `defmt-test` run one after the other in one program, which says
//! by defmt frames which one it has come to. Both may log by semihosting or by RTT, as text or as defmt frames.
#![forbid(unsafe_code)]

mod defmt_tests;
mod embedded_tests;
mod transcript;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use defmt_decoder::Table;
use object::{Architecture, Object, ObjectSymbol};

pub use defmt_tests::judge;
pub use embedded_tests::EmbeddedTest;
pub use transcript::{Message, Transcript};

/// A test may take so long if neither it nor the caller says otherwise.
pub const TIME_LIMIT: Duration = Duration::from_mins(1);

/// A suite cannot be read; of its tests nothing is said.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The file cannot be read.
    #[error("reading the suite {}: {source}; build it first, with cargo test --no-run", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is no ELF file: {source}; give the file that cargo test --no-run names", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        source: object::Error,
    },
    /// The program is for another processor.
    #[error("{} is not for a Cortex-M: it must be built for the target thumbv6m-none-eabi", path.display())]
    OtherProcessor {
        /// The file.
        path: PathBuf,
    },
    /// There is no test in the program.
    #[error(
        "{} has no tests: neither those of embedded-test (section .embedded_test, link with -Tembedded-test.x) nor those of \
         defmt-test (section .defmt, link with -Tdefmt.x)", path.display()
    )]
    NoTests {
        /// The file.
        path: PathBuf,
    },
    /// A test that embedded-test describes has no address.
    #[error("the test `{name}` in {} has no address in section .embedded_test", path.display())]
    NoAddress {
        /// The file.
        path: PathBuf,
        /// The test.
        name: String,
    },
    /// The strings of defmt cannot be read.
    #[error("reading the defmt table of {}: {reason}; defmt and defmt-decoder must agree in their version", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestVerdict {
    /// Well.
    Passed,
    /// The suite leaves it out.
    Ignored,
    /// Not well.
    Failed(TestFailure),
}

/// The way in which a test failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestFailure {
    /// It panicked, or returned an error.
    Aborted,
    /// It returned, and should have panicked.
    DidNotPanic,
    /// It was not at its end when its time was up.
    OutOfTime {
        /// The time it had.
        limit: Duration,
        /// The next instruction, where that can be seen.
        pc: Option<u32>,
    },
    /// It did what the core does not do.
    HardFault {
        /// The instruction that could not be completed.
        pc: u32,
    },
    /// It faulted in the handler of faults.
    LockedUp,
    /// It came to a breakpoint that no debugger has set.
    Breakpoint {
        /// The breakpoint.
        pc: u32,
    },
    /// It asked something by semihosting, with a pointer that leads nowhere.
    BadRequest {
        /// The breakpoint by which it asked.
        pc: u32,
        /// The reason why that cannot be read.
        reason: String,
    },
    /// It ended with an exit code of its own.
    Exited(String),
    /// The program ended and had not come to it, or to its end.
    NotFinished,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted => f.write_str("panicked or returned an error"),
            Self::DidNotPanic => f.write_str("did not panic as it should"),
            Self::OutOfTime { limit, pc } => {
                let limit = limit.as_secs_f64();
                write!(f, "ran out of time: not at its end after {limit} s")?;
                pc.map_or(Ok(()), |pc| write!(f, ", stopped at {pc:#010x}"))
            }
            Self::HardFault { pc } => write!(f, "hard fault at {pc:#010x}"),
            Self::LockedUp => f.write_str("locked up: a fault in the handler of faults"),
            Self::Breakpoint { pc } => write!(f, "stopped at the breakpoint in {pc:#010x}"),
            Self::BadRequest { pc, reason } => write!(
                f,
                "asked by semihosting at {pc:#010x} with a pointer that leads nowhere: {reason}"
            ),
            Self::Exited(how) => write!(f, "exited with {how}"),
            Self::NotFinished => f.write_str("not run to its end: the suite ended before"),
        }
    }
}

/// The result of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub verdict: TestVerdict,
    /// The lines that the board has said meanwhile, by semihosting and RTT.
    pub said: Vec<String>,
    /// How long it took, in the time of what ran it.
    pub took: Duration,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It exited with success.
    Returned,
    /// In any other way.
    Failed(TestFailure),
}

/// A program with tests in it.
pub struct Suite {
    elf: Vec<u8>,
    table: Option<Table>,
    /// Where the control block of RTT is, if the program has one.
    rtt: Option<u32>,
    tests: Tests,
}

/// The tests of a suite.
#[derive(Debug)]
pub enum Tests {
    /// Of embedded-test, by their names.
    Embedded(Vec<EmbeddedTest>),
    /// Of defmt-test: names alone; the program knows the order.
    Defmt(BTreeSet<String>),
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").finish_non_exhaustive()
    }
}

impl Suite {
    /// Reads a suite from an ELF file.
    ///
    /// # Errors
    /// It cannot be read, or is no suite.
    pub fn read(path: &Path) -> Result<Self, SuiteError> {
        let elf = std::fs::read(path).map_err(|source| SuiteError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, elf)
    }

    fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, SuiteError> {
        let not_elf = |source| SuiteError::NotElf {
            path: path.to_owned(),
            source,
        };
        let elf = object::File::parse(bytes.as_slice()).map_err(not_elf)?;
        if elf.architecture() != Architecture::Arm || elf.is_64() {
            return Err(SuiteError::OtherProcessor {
                path: path.to_owned(),
            });
        }
        // The linker script makes the section also for a program that logs nothing.
        let logs = elf.symbols().any(|symbol| {
            let name = symbol.name().unwrap_or_default();
            name.trim_matches('"').starts_with("_defmt_version_")
        });
        let table = if logs {
            Table::parse(&bytes).map_err(|error| SuiteError::Table {
                path: path.to_owned(),
                reason: format!("{error:#}"),
            })?
        } else {
            None
        };
        let embedded = embedded_tests::of(path, &elf)?;
        let tests = if embedded.is_empty() {
            Tests::Defmt(defmt_tests::of(&elf))
        } else {
            Tests::Embedded(embedded)
        };
        if matches!(&tests, Tests::Defmt(names) if names.is_empty()) {
            return Err(SuiteError::NoTests {
                path: path.to_owned(),
            });
        }
        let rtt = elf.symbol_by_name("_SEGGER_RTT");
        let rtt = rtt.map(|symbol| symbol.address() as u32);
        drop(elf);
        Ok(Self {
            elf: bytes,
            table,
            rtt,
            tests,
        })
    }

    /// The ELF file.
    pub fn elf(&self) -> &[u8] {
        &self.elf
    }

    /// Where the control block of RTT is, if the program has one.
    pub fn rtt(&self) -> Option<u32> {
        self.rtt
    }

    /// Its tests.
    pub fn tests(&self) -> &Tests {
        &self.tests
    }

    /// An empty transcript of a run of it.
    pub fn transcript(&self) -> Transcript<'_> {
        Transcript::new(self.table.as_ref(), self.rtt.is_some())
    }
}
