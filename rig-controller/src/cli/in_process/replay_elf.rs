//! `rig replay` of a schedule of the firmware itself, in process.
use std::process::ExitCode;

use sha2::{Digest, Sha256};

use super::explore::code;
use super::explore_board::report_shrunk;
use crate::cli::replay::ReplayArgs;
use crate::cli::{CliError, exit, say};
use crate::plan::{CaseLine, LineCuts};
use crate::run::{Inputs, Sources, swept};
use powercut_sweep::{ElfLine, replay as play};

/// Runs the schedule.
pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let line: ElfLine = args.case.parse()?;
    let sources = args.sources(Sources::defaults(&line.case.plan));
    let case_line = CaseLine {
        plan: line.case.plan.clone(),
        index: line.case.index,
        board: line.case.board.clone(),
        seed: line.case.seed,
        cuts: LineCuts::Given(Vec::new()),
    };
    let inputs = Inputs::load_case(sources, &case_line)?;
    let board = inputs.board(&case_line.board)?;
    let Some(case) = inputs.cases.first() else {
        return Ok(exit::BENCH.into());
    };
    let upgrade = swept(&inputs, case, board)?;
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
    if args.times > 1 {
        let mut same = 1;
        for _ in 1..args.times {
            same += u32::from(play(&upgrade, &line.cuts)? == first);
        }
        say::line(&format!("{same} of {} runs identical", args.times));
    }
    if first.judged.is_err() {
        report_shrunk(&upgrade, &line, &inputs.sources.options(&case_line.plan))?;
    }
    Ok(code(&first.judged).into())
}
