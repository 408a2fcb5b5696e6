//! `rig explore PLAN --board virtual`: power cut at every flash operation of the firmware itself.
use std::collections::BTreeSet;
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::compare_core::compare_core;
use super::explore::{ExploreArgs, code, depth, jobs, not_recorded};
use super::explore_record;
use super::explore_results::merged;
use super::shrink::say_shrunk;
use crate::cli::signals::Signals;
use crate::cli::{CliError, exit, say};
use crate::run::{Inputs, Sources, all_swept};
use powercut_bench::cancel::Cancel;
use powercut_explore::Depth;
use powercut_sweep::campaign::{self, Progress, Slice, SliceRecord};
use powercut_sweep::{ElfLine, Search, StageCounts, StageTimes, Tally, Upgrade, replay, shrink};

/// Schedules that are tried to make a failing one small, unless `rig shrink` is asked for more.
pub(super) const MOST_TRIES: u32 = 40;

/// Options of `rig explore` for the firmware itself.
#[derive(Debug, Args)]
pub(super) struct BoardArgs {
    /// Explore the firmware itself, on this kind of board.
    #[arg(long, value_enum, requires = "plan", conflicts_with_all = ["profile", "geometry", "scenario", "pages", "fragment_bytes", "loss", "no_memo", "junit"])]
    board: Option<BoardKind>,
    /// With --board: first cuts at these operations only, such as 100-200.
    #[arg(long, value_name = "FROM-TO", value_parser = parse_operations, requires = "board")]
    operations: Option<RangeInclusive<u64>>,
    /// With --board: first cuts at each so-manieth of these operations only.
    #[arg(long, value_name = "N", default_value = "1", requires = "board")]
    stride: NonZero<u64>,
    /// With --board: of the states whose future is known, follow each so-manieth all the same; it has to agree.
    #[arg(long, value_name = "N", default_value = "1000", requires = "board")]
    check_one_in: NonZero<u64>,
    /// With --board: play so many schedules, which --seed decides, in the core and in the firmware, and compare flash after
    /// each cut and at the end, in place of an exploration.
    #[arg(long, value_name = "N", requires = "board", conflicts_with_all = ["depth", "random", "merge", "record"])]
    compare_core: Option<NonZero<u32>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BoardKind {
    /// The micro:bit that is emulated in process.
    Virtual,
}

fn parse_operations(text: &str) -> Result<RangeInclusive<u64>, String> {
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
    let options = inputs.sources.options(inputs.plan.name());
    let mut uncut = Vec::new();
    for upgrade in all_swept(&inputs, &args.case)? {
        let run = replay(&upgrade, &[])?;
        if let Err(breach) = &run.judged {
            say::line(&format!("FAILED {}: {}", breach.invariant, breach.reason));
            let line = ElfLine {
                case: upgrade.name.clone(),
                cuts: Vec::new(),
            };
            say::line(&format!("  rig replay {line}{options}"));
            return Ok(code(&run.judged).into());
        }
        say::line(&format!(
            "{}: {} flash operations without a cut",
            upgrade.name, run.operations
        ));
        uncut.push((Arc::new(upgrade), run.operations));
    }
    if let Some(count) = args.on_board.compare_core {
        return Ok(compare_core(&inputs, &uncut, count.get(), args.seed)?.into());
    }
    let search = Search {
        depth: depth(args).unwrap_or(Depth::Exhaustive { cuts: 1 }),
        tearing: args.tearing,
        operations: args.on_board.operations.clone().unwrap_or(1..=u64::MAX),
        stride: args.on_board.stride.get(),
        merging: !args.no_merge,
        check_one_in: args.on_board.check_one_in.get(),
    };
    let mut slices = Vec::new();
    for (upgrade, operations) in &uncut {
        slices.extend(campaign::slices(upgrade, *operations, &search)?);
    }
    let slices = args.partition.of_all(slices);
    if slices.is_empty() {
        say::line("no slice falls to this part: there are more parts than slices");
    }
    let names: Vec<&str> = slices.iter().map(Slice::name).collect();
    if !args.merge.is_empty() {
        let begun = Instant::now();
        let records: Vec<SliceRecord> = merged(&names, &args.merge, args.record.as_deref())?;
        let known: BTreeSet<&str> = records.iter().map(|record| &*record.slice).collect();
        for missing in names.iter().filter(|name| !known.contains(*name)) {
            say::line(&format!("missing: {missing}"));
        }
        return Ok(summary(&records, &slices, begun, &options)?.into());
    }
    run(args, &slices, &options)
}

fn run(args: &ExploreArgs, slices: &[Slice], options: &str) -> Result<ExitCode, CliError> {
    let names: BTreeSet<&str> = slices.iter().map(Slice::name).collect();
    let mut earlier: Vec<SliceRecord> = match &args.record {
        Some(path) => explore_record::resume(path)?,
        None => Vec::new(),
    };
    earlier.retain(|record| names.contains(record.slice.as_str()));
    let known: BTreeSet<String> = earlier.iter().map(|record| record.slice.clone()).collect();
    let stop = Cancel::default();
    let signals = Signals::watch(stop.clone())?;
    let begun = Instant::now();
    let records = Mutex::new(earlier);
    let refused = Mutex::new(None);
    let tell = |record: Option<SliceRecord>, progress: Progress| {
        show(record.as_ref(), progress, begun);
        let Some(record) = record else {
            return;
        };
        if let Some(path) = &args.record
            && let Err(error) = explore_record::append(path, &record)
        {
            // What cannot be recorded would be done in vain.
            stop.cancel();
            if let Ok(mut refused) = refused.lock() {
                *refused = Some(error);
            }
        }
        if let Ok(mut records) = records.lock() {
            records.push(record);
        }
    };
    campaign::run(slices, &known, jobs(args), &|| stop.is_cancelled(), &tell)?;
    let records = records.into_inner().unwrap_or_default();
    let code = summary(&records, slices, begun, options)?;
    let code = not_recorded(refused, code);
    Ok(signals.exit().unwrap_or_else(|| code.into()))
}

/// `record` is of a slice that was done just now; without, all are under way.
fn show(record: Option<&SliceRecord>, progress: Progress, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    let left = seconds / progress.share.max(1e-6) * (1.0 - progress.share);
    let news = match record {
        Some(record) => format!(
            "{}: {} states, {} failed",
            record.slice,
            record.tally.states(),
            record.tally.failed()
        ),
        None => format!("under way, {} failed", progress.failed),
    };
    say::line(&format!(
        "{:4}/{} {news}; {:.1} %, {:.0} states a second, {left:.0} s left",
        progress.done,
        progress.slices,
        100.0 * progress.share,
        progress.states as f64 / seconds,
    ));
}

/// Says what came of it; the exit code.
fn summary(
    records: &[SliceRecord],
    slices: &[Slice],
    begun: Instant,
    options: &str,
) -> Result<u8, CliError> {
    let mut tally = Tally::default();
    for record in records {
        tally += record.tally;
    }
    let failures = records.iter().flat_map(|record| &record.failures);
    for failure in failures.clone().take(10) {
        say::line(&format!("FAILED {}: {}", failure.invariant, failure.reason));
        say::line(&format!("  rig replay {}{options}", failure.schedule));
    }
    if let Some(failure) = failures.clone().next()
        && let Ok(line) = failure.schedule.parse::<ElfLine>()
        && let Some(slice) = slices
            .iter()
            .find(|slice| slice.upgrade().name == line.case)
    {
        report_shrunk(slice.upgrade(), &line, options)?;
    }
    stage("download", &tally.download, &tally.download_times);
    stage("swap", &tally.swap, &tally.swap_times);
    say::line(&format!(
        "{} states, {} failed, {:.1} s",
        tally.states(),
        tally.failed(),
        begun.elapsed().as_secs_f64()
    ));
    if tally.failed() > 0 {
        // Two ways to judge one state that disagree say nothing of the firmware.
        let is_firmware = |failure: &powercut_explore::campaign::FailureRecord| {
            failure.invariant != powercut_oracle::verdict::Invariant::T1
        };
        return Ok(if failures.clone().any(is_firmware) {
            exit::FIRMWARE
        } else {
            exit::BENCH
        });
    }
    if records.len() < slices.len() {
        say::line(&format!(
            "stopped: {} of {} slices are done",
            records.len(),
            slices.len()
        ));
        return Ok(exit::BENCH);
    }
    Ok(exit::PASS)
}

/// Says what cuts in one part of the upgrade came to, and where the time of a core went.
fn stage(name: &str, counts: &StageCounts, times: &StageTimes) {
    if counts.states == 0 {
        return;
    }
    let seconds = times.total().as_secs_f64().max(1e-9);
    say::line(&format!(
        "{name}: {} states, {} futures followed ({} of them to one known before), {} merged, {} checked unmerged, {} failed; {seconds:.1} s, {:.0} states a second and core",
        counts.states,
        counts.distinct,
        counts.met,
        counts.merged,
        counts.checked,
        counts.failed,
        counts.states as f64 / seconds,
    ));
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / counts.states as f64;
    say::line(&format!(
        "  a state's time: setup {:.0} us, lookup {:.0} us, boot {:.0} us, recovery {:.0} us, check {:.0} us",
        each(times.setup),
        each(times.lookup),
        each(times.boot),
        each(times.recovery),
        each(times.check),
    ));
}

/// Makes a failing schedule small and says what is left.
pub(super) fn report_shrunk(
    upgrade: &Upgrade,
    line: &ElfLine,
    options: &str,
) -> Result<(), CliError> {
    if let Some(shrunk) = shrink(upgrade, &line.cuts, |tried| tried < MOST_TRIES)? {
        let small = ElfLine {
            cuts: shrunk.schedule.clone(),
            ..line.clone()
        };
        say_shrunk(&shrunk, &small, options);
    }
    Ok(())
}
