//! `rig platform` in a rig that was built without the platform service: it says so.
use std::process::ExitCode;

use clap::Args;

use super::CliError;

/// Options of `rig platform`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct PlatformArgs {
    /// The options of the verb where it is there.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<std::ffi::OsString>,
}

/// The service is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "this rig was built without the platform service; build it whole: cargo build --locked -p rig-controller"
)]
pub struct ServiceError;

impl ServiceError {
    /// Whether an input was bad.
    #[expect(clippy::unused_self, reason = "as where the service is there")]
    pub(super) fn is_bad_input(&self) -> bool {
        false
    }
}

/// Says that the service is not there.
pub(super) fn platform(_: &PlatformArgs) -> Result<ExitCode, CliError> {
    Err(ServiceError.into())
}
