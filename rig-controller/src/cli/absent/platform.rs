//! `rig platform` in a rig that was built without the platform service: it says so.
use std::process::ExitCode;

use super::NotBuiltIn;
use crate::cli::CliError;

pub(in crate::cli) use super::AbsentArgs as PlatformArgs;

/// The service is not there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ServiceError(#[from] NotBuiltIn);

impl ServiceError {
    /// Whether an input was bad.
    pub(in crate::cli) fn is_bad_input(&self) -> bool {
        self.0.is_bad_input()
    }
}

/// Says that the service is not there.
pub(in crate::cli) fn platform(_: &PlatformArgs) -> Result<ExitCode, CliError> {
    Err(ServiceError(NotBuiltIn("the platform service")).into())
}
