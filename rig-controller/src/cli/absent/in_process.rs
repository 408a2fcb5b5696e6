//! The verbs that need no board, in a rig that was built without them: they say so.
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::CliError;
use super::replay::ReplayArgs;

/// Options of a verb that is not there.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct AbsentArgs {
    /// The options of the verb where it is there.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<std::ffi::OsString>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Not in this build: break what does not protect firmware.
    Attack(AbsentArgs),
    /// Not in this build: cut power at every flash operation of upgrades in process.
    Explore(AbsentArgs),
    /// Not in this build: simulate whole upgrades in virtual time.
    Simulate(AbsentArgs),
}

/// The measures of `rig figures` that need no run.
#[derive(Debug, Subcommand)]
pub(super) enum Measure {
    /// Not in this build.
    #[command(hide = true)]
    Progress(AbsentArgs),
    /// Not in this build.
    #[command(hide = true)]
    Coap(AbsentArgs),
    /// Not in this build.
    #[command(hide = true)]
    Exploration(AbsentArgs),
    /// Not in this build.
    #[command(hide = true)]
    Attack(AbsentArgs),
}

/// Exploration, simulation and attack are not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "this rig was built without exploration, simulation and attack, for `ci/demo` needs none of them; build it whole: cargo build --locked -p rig-controller"
)]
pub struct InProcessError;

impl InProcessError {
    /// Whether an input was bad.
    #[expect(clippy::unused_self, reason = "as where the verbs are there")]
    pub(super) fn is_bad_input(&self) -> bool {
        true
    }
}

/// Says that the verb is not there.
pub(super) fn run(_: &Verb) -> Result<ExitCode, CliError> {
    Err(InProcessError.into())
}

/// Says that the measure is not there.
pub(super) fn measure(_: &Measure) -> Result<ExitCode, CliError> {
    Err(InProcessError.into())
}

/// Says that schedules of the exploration cannot be replayed; `None` if `args.case` is none.
pub(super) fn replay(args: &ReplayArgs) -> Option<Result<ExitCode, CliError>> {
    let is_schedule = args.case.starts_with("core:");
    is_schedule.then(|| Err(InProcessError.into()))
}
