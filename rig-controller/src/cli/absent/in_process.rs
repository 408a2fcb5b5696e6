//! The verbs that need no board, in a rig that was built without them: they say so.
use std::process::ExitCode;

use clap::Subcommand;

use super::{AbsentArgs, NotBuiltIn};
use crate::cli::CliError;
use crate::cli::replay::ReplayArgs;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Verb {
    /// Not in this build: break what does not protect firmware.
    Attack(AbsentArgs),
    /// Not in this build: cut power at every flash operation of upgrades in process.
    Explore(AbsentArgs),
    /// Not in this build: make a failing case or schedule small.
    Shrink(AbsentArgs),
    /// Not in this build: simulate whole upgrades in virtual time.
    Simulate(AbsentArgs),
}

/// The measures of `rig figures` that need no run.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum InProcessMeasure {
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

/// Exploration, shrinking, simulation and attack are not there.
pub type InProcessError = NotBuiltIn;

const ABSENT: NotBuiltIn = NotBuiltIn("exploration, shrinking, simulation and attack");

/// Says that the verb is not there.
pub(in crate::cli) fn run(_: &Verb) -> Result<ExitCode, CliError> {
    Err(ABSENT.into())
}

/// Says that the measure is not there.
pub(in crate::cli) fn measure(_: &InProcessMeasure) -> Result<ExitCode, CliError> {
    Err(ABSENT.into())
}

/// Says that schedules of the exploration cannot be replayed; `None` if `args.case` is none.
pub(in crate::cli) fn replay(args: &ReplayArgs) -> Option<Result<ExitCode, CliError>> {
    let is_schedule = ["core:", "elf:"].iter().any(|of| args.case.starts_with(of));
    is_schedule.then(|| Err(ABSENT.into()))
}
