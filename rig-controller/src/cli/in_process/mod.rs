//! The verbs that need no board: upgrades explored and simulated in process, and the attack on the suite m-sequence.
mod attack;
mod attack_cost;
mod coap_peer;
mod coap_yardstick;
mod compare_core;
mod exploration_rates;
mod explore;
mod explore_board;
mod explore_record;
mod explore_results;
#[cfg(feature = "seeded-bugs")]
mod mutants;
mod progress_cost;
mod repeat;
mod replay_elf;
mod replay_schedule;
mod shrink;
mod simulate;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::replay::ReplayArgs;
use super::{CliError, exit};
use crate::run::on_board::NotOnBoardError;
use powercut_attack::AttackError;
use powercut_explore::{ParseScheduleError, PlannedLine, Schedule};
use powercut_sweep::ElfLine;

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Break what does not protect firmware.
    Attack(attack::AttackArgs),
    /// Cut power at every flash operation of upgrades in process, without board or emulator.
    Explore(Box<explore::ExploreArgs>),
    /// Plant bugs in the upgrade core and see whether exploration finds them.
    #[cfg(feature = "seeded-bugs")]
    Mutants(mutants::MutantsArgs),
    /// Make a failing case or schedule small: fewer cuts, then earlier ones, then simpler ones.
    Shrink(shrink::ShrinkArgs),
    /// Simulate whole upgrades in virtual time: link, serial line, flash and power.
    Simulate(simulate::SimulateArgs),
}

/// The measures of `rig figures` that need no run.
#[derive(Debug, Subcommand)]
pub(super) enum InProcessMeasure {
    /// Measure in process what keeping progress in flash costs.
    Progress(progress_cost::ProgressArgs),
    /// Transfer as many bytes by CoAP Block2 with libcoap's programs, over the same link, for comparison.
    Coap(coap_yardstick::CoapArgs),
    /// Measure how fast the exploration in process is; build with --release.
    Exploration(exploration_rates::ExplorationArgs),
    /// Measure the attack on the suite m-sequence.
    Attack(attack_cost::AttackCostArgs),
}

/// Something without a board could not be done.
#[derive(Debug, thiserror::Error)]
pub enum InProcessError {
    /// A file that could not be broken.
    #[error("{}: {source}", .path.display())]
    Attack {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AttackError,
    },
    /// A schedule of the exploration in process.
    #[error(transparent)]
    Schedule(#[from] ParseScheduleError),
    /// A schedule that the board cannot show.
    #[error(transparent)]
    NotOnBoard(#[from] NotOnBoardError),
    /// The record of an exploration.
    #[error(transparent)]
    Record(#[from] explore_record::RecordError),
    /// No operation of an upgrade can be cut.
    #[error(transparent)]
    NothingToCut(#[from] powercut_sweep::campaign::NothingToCutError),
    /// A case that cannot be made small.
    #[error(transparent)]
    NotShrunk(#[from] shrink::AsPlannedError),
    /// Records of explorations do not go together.
    #[error(transparent)]
    Merge(#[from] powercut_explore::results::MergeError),
    /// The table of planted bugs.
    #[cfg(feature = "seeded-bugs")]
    #[error(transparent)]
    Table(#[from] mutants::TableError),
    /// A simulation does not come to its end.
    #[error(transparent)]
    Simulation(#[from] powercut_simulate::CampaignError),
    /// The transfer by CoAP.
    #[error(transparent)]
    Coap(#[from] coap_peer::CoapError),
    /// The chart of a simulation.
    #[error(transparent)]
    Chart(#[from] powercut_simulate::report::ChartError),
}

impl InProcessError {
    /// Whether an input was bad; else something around the verb failed.
    pub(super) fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Simulation(_) | Self::Coap(_) | Self::Chart(_))
    }
}

/// Errors of these verbs are errors of the command.
macro_rules! also_errors_of_the_command {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                InProcessError::from(error).into()
            }
        })+
    };
}

also_errors_of_the_command!(
    ParseScheduleError,
    NotOnBoardError,
    explore_record::RecordError,
    powercut_sweep::campaign::NothingToCutError,
    shrink::AsPlannedError,
    powercut_explore::results::MergeError,
    powercut_simulate::CampaignError,
    coap_peer::CoapError,
    powercut_simulate::report::ChartError,
);
#[cfg(feature = "seeded-bugs")]
also_errors_of_the_command!(mutants::TableError);

/// Does one of the verbs.
pub(super) fn run(verb: &Verb) -> Result<ExitCode, CliError> {
    match verb {
        Verb::Attack(args) => attack::attack(args).map(|()| ExitCode::SUCCESS),
        Verb::Explore(args) => explore::explore(args),
        #[cfg(feature = "seeded-bugs")]
        Verb::Mutants(args) => mutants::mutants(args),
        Verb::Shrink(args) => shrink::shrink(args),
        Verb::Simulate(args) => simulate::simulate(args),
    }
}

/// Measures.
pub(super) fn measure(measure: &InProcessMeasure) -> Result<ExitCode, CliError> {
    match measure {
        InProcessMeasure::Progress(args) => Ok(progress_cost::progress(args)),
        InProcessMeasure::Coap(args) => coap_yardstick::coap(args),
        InProcessMeasure::Exploration(args) => Ok(exploration_rates::exploration(args)),
        InProcessMeasure::Attack(args) => {
            let all_broken = attack_cost::attack_cost(args)?;
            let code = if all_broken {
                exit::PASS
            } else {
                exit::FIRMWARE
            };
            Ok(code.into())
        }
    }
}

/// Replays `args.case` if it is a schedule of the exploration; `None` if it is a case.
pub(super) fn replay(args: &ReplayArgs) -> Option<Result<ExitCode, CliError>> {
    let line = &args.case;
    let refused = |option: Option<&'static str>, remedy| {
        let line = line.clone();
        let option = option?;
        let error = NotOnBoardError::Option {
            option,
            line,
            remedy,
        };
        Some(Err(error.into()))
    };
    if ElfLine::is_one(line) {
        let on_board = args.on_board.then_some("--on-board");
        let remedy = "it runs the firmware in this process: leave the option out, or write `core:` in place of `elf:` and add --on-board";
        return refused(on_board.or(args.of_a_board().next()), remedy)
            .or_else(|| Some(replay_elf::replay(args)));
    }
    let of_a_board = args.of_a_board().next().filter(|_| !args.on_board);
    if PlannedLine::is_one(line) {
        return refused(of_a_board, "add --on-board, or leave the option out")
            .or_else(|| Some(replay_schedule::replay(args)));
    }
    Schedule::is_one(line).then(|| {
        if args.on_board {
            let line = line.clone();
            return Err(NotOnBoardError::MadeUp { line }.into());
        }
        let remedy =
            "leave the option out, or give a schedule of a test plan, such as core:smoke:1:mb-1:seed=1:cuts=op37/before, with --on-board";
        refused(of_a_board, remedy).unwrap_or_else(|| {
            let schedule = line.parse()?;
            Ok(explore::replay(&schedule, args.times, ""))
        })
    })
}
