//! `rig replay` of a schedule of a test plan's case: in process, and on the board if that is asked for.
use powercut_oracle::verdict::Outcome;
use std::process::ExitCode;
use std::sync::Arc;

use powercut_upgrade::journal::Phase;

use super::explore;
use crate::cli::replay::{ReplayArgs, compare, run_on_board};
use crate::cli::sources::CaseSourceArgs;
use crate::cli::{CliError, exit, say};
use crate::plan::{CaseLine, Cut, FinalImage, LineCuts};
use crate::run::on_board;
use crate::run::{Inputs, Sources, upgrade};
use powercut_explore::{CaseName, Flashes, PlannedLine, Survey, replay_with_flash};
use powercut_oracle::flash_view;

/// The inputs of the case that a schedule is of, and the case's line with these cuts.
pub(super) fn case_of(
    name: &CaseName,
    cuts: Vec<Cut>,
    sources: &CaseSourceArgs,
) -> Result<(Inputs, CaseLine), CliError> {
    let line = CaseLine {
        plan: name.plan.clone(),
        index: name.index,
        board: name.board.clone(),
        seed: name.seed,
        cuts: LineCuts::Given(cuts),
    };
    let inputs = Inputs::load_case(sources.or(Sources::defaults(&name.plan)), &line)?;
    Ok((inputs, line))
}

/// Runs the schedule.
pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    let line: PlannedLine = args.case.parse()?;
    // What the board cannot show is told before anything runs.
    let cuts = if args.on_board {
        on_board::cuts(&line.cuts, &line.faults)?
    } else {
        Vec::new()
    };
    let (mut inputs, case_line) = case_of(&line.case, cuts, &args.sources)?;
    let board = inputs.board(&case_line.board)?;
    let upgrade = upgrade(&inputs, inputs.case(case_line.index)?, board)?;
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
    expect_what_the_cuts_lead_to(&mut inputs, &flashes);
    run_on_board(args, &inputs, &case_line, &|replayed| {
        let repeated = compare(replayed, args.times as usize, None);
        let verdict = replayed.first.verdict.as_ref();
        let board_code = verdict.map(|verdict| exit::of_class(verdict.class()));
        match on_board::compare(&flashes, &replayed.first.report.snapshots) {
            Ok(same) => {
                say::line(&same.to_string());
                let codes = [Some(explore::code(&judged)), board_code, repeated];
                Some(exit::worst(codes.into_iter().flatten()))
            }
            Err(difference) => {
                say::line(&difference.to_string());
                Some(exit::BENCH)
            }
        }
    })
}

/// Cuts that use up the attempts of the new image's trial bring the old one back, whatever the plan says of the upgrade
/// without them. Whether they do is known from the run in process.
fn expect_what_the_cuts_lead_to(inputs: &mut Inputs, flashes: &Flashes) {
    let (geometry, layout) = (inputs.firmware.geometry(), inputs.firmware.layout());
    let end = flashes.at_rest.as_ref();
    let journal = end.and_then(|flash| flash_view::journal_state(flash, geometry, &layout));
    if journal.is_none_or(|journal| journal.phase != Phase::Reverted) {
        return;
    }
    for case in &mut inputs.cases {
        if case.expect.outcome == Outcome::Confirmed {
            say::line("the cuts use up the trial's attempts: the old image is expected back");
            case.expect.final_image = FinalImage::From;
            case.expect.outcome = Outcome::Reverted;
        }
    }
}
