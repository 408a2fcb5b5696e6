//! `rig replay` of a schedule of the firmware itself, in process.
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use super::explore::code;
use super::explore_board::report_shrunk;
use super::repeat::compare_runs;
use super::replay_schedule::case_of;
use crate::cli::replay::ReplayArgs;
use crate::cli::sources::CaseSourceArgs;
use crate::cli::{CliError, say};
use crate::run::swept;
use powercut_sweep::{ElfLine, Upgrade, replay as play};

/// The upgrade that `line` is of, and the options that `rig replay` needs for the line.
pub(super) fn upgrade_of(
    line: &ElfLine,
    sources: &CaseSourceArgs,
) -> Result<(Upgrade, String), CliError> {
    let (inputs, _) = case_of(&line.case, Vec::new(), sources)?;
    let board = inputs.board(&line.case.board)?;
    let upgrade = swept(&inputs, inputs.case(line.case.index)?, board)?;
    Ok((upgrade, inputs.sources.options(&line.case.plan)))
}

/// Runs the schedule.
pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let line: ElfLine = args.case.parse()?;
    let (upgrade, options) = upgrade_of(&line, &args.sources)?;
    let first = play(&upgrade, &line.cuts)?;
    let flashes = first
        .flashes
        .after_cuts
        .iter()
        .chain(&first.flashes.at_rest);
    for (number, flash) in (1..).zip(flashes) {
        let digest = hex::encode(Sha256::digest(flash));
        say::line(&format!("flash {number}: sha256 {digest}"));
    }
    match &first.judged {
        Ok(()) => say::line(&format!("{line}: pass")),
        Err(breach) => say::line(&format!("{line}: {breach}")),
    }
    let differs = compare_runs(&first, args.times, || play(&upgrade, &line.cuts))?;
    if first.judged.is_err() {
        report_shrunk(&upgrade, &line, &options)?;
    }
    Ok(differs.unwrap_or_else(|| code(&first.judged)).into())
}
