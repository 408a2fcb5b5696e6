//! `rig test` in a rig that was built without debug probes: it says so.
use std::process::ExitCode;

use super::NotBuiltIn;
use crate::cli::CliError;

pub(in crate::cli) use super::AbsentArgs as TestArgs;

/// Debug probes are not there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TestError(#[from] NotBuiltIn);

impl TestError {
    /// Whether an input was bad.
    pub(in crate::cli) fn is_bad_input(&self) -> bool {
        self.0.is_bad_input()
    }
}

/// Says that the verb is not there.
pub(in crate::cli) fn test(_: &TestArgs) -> Result<ExitCode, CliError> {
    Err(TestError(NotBuiltIn("debug probes")).into())
}
