//! What a run leaves behind for people and machines: `results.jsonl`, one line a case, and JUnit.
//!
//! Both are written while the run goes on and are valid whenever it is interrupted. Nothing here judges: it
//! writes down what the verdict says.
mod jsonl;
mod junit;
mod result;
mod xml_text;

use std::path::PathBuf;

pub use jsonl::{JsonlWriter, ResultsError, read_results};
pub(crate) use junit::replace as replace_file;
pub use junit::{Finding, FindingKind, JunitFile};
pub use result::{CaseResult, HappenedCut, NotObserved, SCHEMA};

/// A report could not be written. The class of the run's outcome is *bench error*: the verdicts stand.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file system refused.
    #[error("cannot write the report {}: {source}; check that the folder exists, is writable and has space", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// The content could not be put into the report's format.
    #[error("cannot put case {case} into the report {}: {reason}", .path.display())]
    Encode {
        /// Which file.
        path: PathBuf,
        /// Which case, or `all`.
        case: String,
        /// What is wrong.
        reason: String,
    },
}
