//! `rig replay` of a schedule of a test plan's case: in process, and on the board if that is asked for.
use std::process::ExitCode;
use std::sync::Arc;

use super::replay::{ReplayArgs, compare, run_on_board};
use super::{CliError, exit, explore, say};
use crate::explore::{PlannedLine, Survey, replay_with_flash};
use crate::plan::CaseLine;
use crate::run::on_board;
use crate::run::{Inputs, Sources, upgrade};

/// Runs the schedule.
pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let line: PlannedLine = args.case.parse()?;
    let sources = args.sources(Sources::defaults(&line.case.plan));
    // What the board cannot show is told before anything runs.
    let cuts = if args.on_board {
        on_board::cuts(&line.cuts, &line.faults)?
    } else {
        Vec::new()
    };
    let case_line = CaseLine {
        plan: line.case.plan.clone(),
        index: line.case.index,
        board: line.case.board.clone(),
        seed: line.case.seed,
        cuts,
    };
    let inputs = Inputs::load_case(sources, &case_line)?;
    let board = inputs.board(&case_line.board)?;
    let Some(case) = inputs.cases.first() else {
        return Ok(exit::BENCH.into());
    };
    let upgrade = upgrade(&inputs, case, board)?;
    if let Ok(operations) = Arc::clone(&upgrade).survey(&Survey::default()).operations() {
        say::line(&format!(
            "flash operations without a cut: {}",
            operations.end()
        ));
    }
    let schedule = line.of(upgrade);
    if !args.on_board {
        let options = inputs.sources.options(&case_line.plan);
        return Ok(explore::replay(&schedule, args.times, &options));
    }
    let (judged, flashes) = replay_with_flash(&schedule);
    explore::say_judged(&schedule, &judged);
    run_on_board(args, &inputs, &case_line, &|replayed| {
        let repeated = compare(replayed, args.times as usize, None);
        match on_board::compare(&flashes, &replayed.first.report.snapshots) {
            Ok(same) => {
                say::line(&same.to_string());
                // The board's own verdict counts, unless it passes what did not pass in process.
                repeated.or_else(|| judged.is_err().then(|| explore::code(&judged)))
            }
            Err(difference) => {
                say::line(&difference.to_string());
                Some(exit::BENCH)
            }
        }
    })
}
