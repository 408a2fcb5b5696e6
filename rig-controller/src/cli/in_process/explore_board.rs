//! `rig explore PLAN --board virtual`: power cut at every flash operation of the firmware itself.
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::explore::ExploreArgs;
use crate::cli::{CliError, exit, say};
use crate::run::{Inputs, Sources, all_swept};
use powercut_sweep::{Explorer, Search};

/// Options of `rig explore` for the firmware itself.
#[derive(Debug, Args)]
pub(super) struct BoardArgs {
    /// Explore the firmware itself on this kind of board.
    #[arg(long, value_enum, requires = "plan")]
    board: Option<BoardKind>,
    /// With --board: first cuts at each so-manieth operation only.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    stride: u64,
    /// With --board: of the states whose future is known, follow each so-manieth all the same; it has to agree.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    check_one_in: u64,
    /// With --board: first cuts at these operations only, such as 100-200.
    #[arg(long, value_name = "FROM-TO", value_parser = parse_operations)]
    operations: Option<std::ops::RangeInclusive<u64>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BoardKind {
    /// The micro:bit that is emulated in process.
    Virtual,
}

fn parse_operations(text: &str) -> Result<std::ops::RangeInclusive<u64>, String> {
    text.split_once('-')
        .and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?))
        .filter(|range| *range.start() > 0 && !range.is_empty())
        .ok_or_else(|| "operations look like 100-200, numbered from 1".to_owned())
}

/// Runs the verb.
pub(super) fn explore(args: &ExploreArgs, plan: &Path) -> Result<ExitCode, CliError> {
    let sources = Sources {
        plan: plan.to_owned(),
        bench: args.bench.clone(),
        firmware: args.sources.firmware.clone(),
        links: args.sources.links.clone(),
    };
    let inputs = Inputs::load(sources, args.seed)?;
    let mut code = exit::PASS;
    for upgrade in all_swept(&inputs, &args.case)? {
        let begun = Instant::now();
        let search = Search {
            depth: args.depth.map_or(1, std::num::NonZero::get),
            tearing: args.tearing,
            operations: args.on_board.operations.clone().unwrap_or(1..=u64::MAX),
            stride: args.on_board.stride,
            merging: !args.no_merge,
            check_one_in: args.on_board.check_one_in,
        };
        let on_progress = |_: u64, _: &powercut_sweep::Tally| true;
        let mut explorer = Explorer::new(&upgrade, search, &on_progress);
        explorer.explore()?;
        for failure in &explorer.failures {
            let cuts: Vec<String> = failure.cuts.iter().map(ToString::to_string).collect();
            say::line(&format!("FAILED {}", failure.breach));
            say::line(&format!(
                "  rig replay elf:{}:cuts={}",
                upgrade.name,
                cuts.join(",")
            ));
            code = exit::FIRMWARE;
        }
        say::line(&format!(
            "{}: {:#?} {:.1} s",
            upgrade.name,
            explorer.tally,
            begun.elapsed().as_secs_f64(),
        ));
    }
    Ok(code.into())
}
