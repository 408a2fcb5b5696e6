//! `rig explore`: the upgrade core in process, with power cut at every flash operation. Needs no board and no emulator.
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::explore_board::{self, BoardArgs};
use super::explore_record::{self, RecordError};
use super::explore_results;
use super::repeat::compare_runs;
use super::shrink::say_shrunk;
use crate::cli::signals::Signals;
use crate::cli::sources::SourceArgs;
use crate::cli::{CliError, exit, say};
use crate::run::{DEFAULT_BENCH, Inputs, Sources, upgrades};
use powercut_bench::cancel::Cancel;
use powercut_explore::campaign::{self, CampaignProgress, News, Profile, Slice, SliceRecord};
use powercut_explore::{
    Breach, Depth, ExplorationCounts, FlashPart, Partition, SMALL_PAGES, Scenario, Schedule,
    Survey, Tearing, replay_with_flash, shrink,
};
use powercut_oracle::verdict::Invariant;

/// The seed of who gives none.
pub(super) const DEFAULT_SEED: u64 = 1;

/// Options of `rig explore`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExploreArgs {
    /// With --board: the test plan whose upgrades the firmware itself makes.
    #[arg(value_name = "PLAN", requires = "board", group = "real")]
    plan: Option<PathBuf>,
    #[command(flatten)]
    pub(super) on_board: BoardArgs,
    /// The upgrades of this test plan, with real images on the board's flash as it is provisioned, in place of made-up ones;
    /// every single cut of them unless --depth or --random says otherwise.
    #[arg(long, value_name = "PLAN", group = "real", conflicts_with_all = ["profile", "geometry", "scenario", "pages", "fragment_bytes", "loss"])]
    in_process: Option<PathBuf>,
    /// With a plan: only the upgrade of this case; may be given several times.
    #[arg(long, value_name = "N", requires = "real")]
    pub(super) case: Vec<usize>,
    /// With a plan: the bench whose first board is provisioned.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_BENCH)]
    pub(super) bench: PathBuf,
    #[command(flatten)]
    pub(super) sources: SourceArgs,
    /// How much to explore.
    #[arg(long, value_enum, default_value = "quick")]
    profile: ProfileName,
    /// Only this flash: tiny, tiny-once, nrf51, nrf52, stm32l4, stm32u5, stm32f4 or stm32f4-large; may be given several
    /// times.
    #[arg(long, value_name = "NAME")]
    geometry: Vec<FlashPart>,
    /// Only this upgrade: longer, shorter, never-confirms, corrupt, bad-signature, older, withdrawn or mended; may be given
    /// several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// Instead of a profile: every schedule of up to so many cuts.
    #[arg(long, value_name = "CUTS", conflicts_with = "profile")]
    pub(super) depth: Option<NonZero<usize>>,
    /// Instead of a profile: so many random schedules of up to 8 cuts from each operation on.
    #[arg(long, value_name = "SAMPLES", conflicts_with_all = ["profile", "depth"])]
    pub(super) random: Option<NonZero<u32>>,
    /// With --depth or --random: pages of the larger image.
    #[arg(long, value_name = "N", default_value_t = SMALL_PAGES, value_parser = clap::value_parser!(u16).range(4..=120))]
    pages: u16,
    /// With --depth or --random: bytes of a fragment [default: about three eighths of a page].
    #[arg(long, value_name = "N")]
    fragment_bytes: Option<u16>,
    /// With --depth or --random: of 1000 datagrams, so many are lost.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=900))]
    loss: u16,
    /// With --depth or --random: what a cut may leave of an operation: whole, torn or weak.
    #[arg(long, value_name = "KIND", default_value = "weak")]
    pub(super) tearing: Tearing,
    /// Follow every run to its end, also from states that were explored before: the same result, in far more time.
    #[arg(long)]
    pub(super) no_merge: bool,
    /// Work out every digest and signature, also of what was looked at before: the same result, in more time.
    #[arg(long)]
    no_memo: bool,
    /// Decides random schedules and what the link loses [default: 1]; in place of a plan's seed.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Only part M of N (from 0), to share the work out over machines.
    #[arg(long, value_name = "M/N", default_value = "0/1", value_parser = parse_partition)]
    pub(super) partition: Partition,
    /// Threads [default: one a core].
    #[arg(long, value_name = "N")]
    pub(super) jobs: Option<NonZero<usize>>,
    /// Append the result of each slice to this file; slices that are in it are not explored again.
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// Write what each survey came to into this JUnit file.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Explore nothing: put these records into one, which becomes the content of --record.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(super) merge: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProfileName {
    /// Every single cut on pages of up to 2 KB, every pair of cuts in the smallest upgrades, some random schedules.
    Quick,
    /// Every pair of cuts on nearly all flash, every single cut of 64 KiB images, ten million random schedules; an hour
    /// of one core.
    Full,
}

fn parse_partition(text: &str) -> Result<Partition, String> {
    text.split_once('/')
        .and_then(|(index, of)| {
            Some(Partition {
                index: index.parse().ok()?,
                of: of.parse().ok()?,
            })
        })
        .filter(|partition| partition.index < partition.of)
        .ok_or_else(|| "a partition looks like 0/2: its number, from 0, and how many".to_owned())
}

/// Runs the verb.
pub(super) fn explore(args: &ExploreArgs) -> Result<ExitCode, CliError> {
    if let Some(plan) = &args.plan {
        return explore_board::explore(args, plan);
    }
    let (mut surveys, options) = match &args.in_process {
        Some(plan) => planned_surveys(args, plan)?,
        None => (made_up_surveys(args), String::new()),
    };
    for survey in &mut surveys {
        survey.merging = !args.no_merge;
        survey.remembering = !args.no_memo;
    }
    let slices = campaign::slices(&surveys, args.partition);
    if !args.merge.is_empty() {
        let begun = Instant::now();
        let names: Vec<&str> = slices.iter().map(Slice::name).collect();
        let records = explore_results::merged(&names, &args.merge, args.record.as_deref())?;
        explore_results::say_missing(&slices, &records);
        if let Some(path) = &args.junit {
            explore_results::write_junit(path, &slices, &records, &options)?;
        }
        return Ok(summary(&records, &slices, begun, &options).into());
    }
    let names: BTreeSet<&str> = slices.iter().map(campaign::Slice::name).collect();
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
    campaign::run(
        &slices,
        &known,
        jobs(args),
        &|| stop.is_cancelled(),
        &|news, progress| {
            let record = match news {
                News::Done(record) => record,
                News::Underway => return show(None, progress, begun),
            };
            show(Some(&record), progress, begun);
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
        },
    );
    let records = records.into_inner().unwrap_or_default();
    let code = summary(&records, &slices, begun, &options);
    if let Some(path) = &args.junit {
        explore_results::write_junit(path, &slices, &records, &options)?;
    }
    let code = not_recorded(refused, code);
    Ok(signals.exit().unwrap_or_else(|| code.into()))
}

/// The exit code of an exploration that came to `code`: what was found is said first, then what could not be recorded.
pub(super) fn not_recorded(refused: Mutex<Option<RecordError>>, code: u8) -> u8 {
    match refused.into_inner() {
        Ok(Some(error)) => {
            say::complain(&error.to_string());
            if code == exit::PASS {
                exit::BENCH
            } else {
                code
            }
        }
        _ => code,
    }
}

/// Threads.
pub(super) fn jobs(args: &ExploreArgs) -> usize {
    args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, NonZero::get),
        NonZero::get,
    )
}

/// What the options ask for of a single exploration, if anything.
pub(super) fn depth(args: &ExploreArgs) -> Option<Depth> {
    match (args.depth, args.random) {
        (Some(cuts), _) => Some(Depth::Exhaustive { cuts: cuts.get() }),
        (None, Some(samples)) => Some(Depth::Random {
            samples: samples.get(),
            cuts: 8,
            seed: args.seed.unwrap_or(DEFAULT_SEED),
        }),
        (None, None) => None,
    }
}

fn made_up_surveys(args: &ExploreArgs) -> Vec<Survey> {
    let profile = match args.profile {
        ProfileName::Quick => Profile::Quick,
        ProfileName::Full => Profile::Full,
    };
    let seed = args.seed.unwrap_or(DEFAULT_SEED);
    let mut surveys = match depth(args) {
        None => profile.surveys(seed),
        Some(depth) => campaign::surveys(
            &FlashPart::ALL,
            &Scenario::ALL,
            &Survey {
                image_pages: args.pages,
                fragment_bytes: args.fragment_bytes,
                loss_permille: args.loss,
                seed,
                tearing: args.tearing,
                depth,
                ..Survey::default()
            },
        ),
    };
    surveys.retain(|survey| {
        (args.geometry.is_empty() || args.geometry.contains(&survey.geometry))
            && (args.scenario.is_empty() || args.scenario.contains(&survey.scenario))
    });
    surveys
}

/// A survey of each upgrade of the plan, and the options that `rig replay` needs for their schedules.
fn planned_surveys(args: &ExploreArgs, plan: &Path) -> Result<(Vec<Survey>, String), CliError> {
    let sources = Sources {
        plan: plan.to_owned(),
        bench: args.bench.clone(),
        firmware: args.sources.firmware.clone(),
        links: args.sources.links.clone(),
    };
    let inputs = Inputs::load(sources, args.seed)?;
    let like = Survey {
        tearing: args.tearing,
        depth: depth(args).unwrap_or(Depth::Exhaustive { cuts: 1 }),
        ..Survey::default()
    };
    let surveys = upgrades(&inputs, &args.case)?
        .into_iter()
        .map(|upgrade| upgrade.survey(&like))
        .collect();
    Ok((surveys, inputs.sources.options(inputs.plan.name())))
}

/// `record` is of a slice that was done just now; without, all are under way.
fn show(record: Option<&SliceRecord>, progress: CampaignProgress, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64().max(0.001);
    let left = seconds / progress.share.max(1e-6) * (1.0 - progress.share);
    let what = match record {
        Some(record) => format!(
            "{}: {} schedules, {} failed",
            record.slice, record.counts.schedules, record.counts.failed
        ),
        None => "under way".to_owned(),
    };
    say::line(&format!(
        "{:4}/{} {what}; {:.1} %, {:.0} a second, {left:.0} s left",
        progress.done,
        progress.slices,
        100.0 * progress.share,
        progress.schedules as f64 / seconds,
    ));
}

/// Says what came of it; the exit code. `options` are what `rig replay` needs for the schedules.
fn summary(records: &[SliceRecord], slices: &[Slice], begun: Instant, options: &str) -> u8 {
    let mut counts = ExplorationCounts::default();
    for record in records {
        counts += record.counts;
    }
    let failures = records.iter().flat_map(|record| &record.failures);
    for failure in failures.take(10) {
        say::line(&format!("FAILED {}: {}", failure.invariant, failure.reason));
        say::line(&format!("  rig replay {}{options}", failure.schedule));
    }
    if let Some(schedule) = records
        .iter()
        .find_map(|record| explore_results::first_failure(slices, &record.slice, &record.failures))
    {
        report_shrunk(&schedule, options);
    }
    say::line(&format!(
        "{} schedules in {} runs ({} of them ended in a state explored before), {} flash operations, {} failed, {:.1} s",
        counts.schedules,
        counts.runs,
        counts.merged,
        counts.operations,
        counts.failed,
        begun.elapsed().as_secs_f64()
    ));
    if counts.failed > 0 {
        exit::FIRMWARE
    } else if records.len() < slices.len() {
        say::line(&format!(
            "stopped: {} of {} slices are done",
            records.len(),
            slices.len()
        ));
        exit::BENCH
    } else {
        exit::PASS
    }
}

fn report_shrunk(schedule: &Schedule, options: &str) {
    if let Some(shrunk) = shrink(schedule) {
        say_shrunk(&shrunk, &shrunk.schedule, options);
    }
}

/// Runs one schedule again, for `rig replay`; `options` are what that needs for it.
pub(super) fn replay(schedule: &Schedule, times: u32, options: &str) -> ExitCode {
    let first = replay_with_flash(schedule);
    let judged = &first.0;
    say_judged(schedule, judged);
    let run = || Ok::<_, Infallible>(replay_with_flash(schedule));
    let Ok(differs) = compare_runs(&first, times, run);
    if judged.is_err() {
        report_shrunk(schedule, options);
    }
    differs.unwrap_or_else(|| code(judged)).into()
}

/// Says how a schedule came out in process.
pub(super) fn say_judged(schedule: &Schedule, judged: &Result<(), Breach>) {
    match judged {
        Ok(()) => say::line(&format!("{schedule}: pass")),
        Err(breach) => say::line(&format!("{schedule}: {breach}")),
    }
}

/// The exit code of a schedule that came out so.
pub(super) fn code(judged: &Result<(), Breach>) -> u8 {
    match judged {
        Ok(()) => exit::PASS,
        Err(breach) if breach.invariant == Invariant::T1 => exit::BENCH,
        Err(_) => exit::FIRMWARE,
    }
}
