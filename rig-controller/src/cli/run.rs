//! `rig run`: all cases of a plan.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::progress::Display;
use super::signals::Signals;
use super::sources::SourceArgs;
use super::{CliError, exit, say};
use crate::report::CaseResult;
use crate::run::{DEFAULT_BENCH, Inputs, Keep, Options, RunError, RunSummary, Sources, run_plan};
use powercut_bench::board::compose;
use powercut_bench::cancel::Cancel;
use powercut_oracle::verdict::{Invariant, VerdictClass};

/// Options of `rig run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The plan, a YAML file.
    plan: PathBuf,
    /// The bench, a YAML file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_BENCH)]
    bench: PathBuf,
    /// Folder for results and evidence [default: powercut-out/PLAN].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The JUnit report [default: junit.xml in the folder for results].
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Most boards to use at once [default: all of the bench].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Seed of everything random, in place of the plan's.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Run these cases alone, by their numbers.
    #[arg(long, value_name = "N", value_delimiter = ',')]
    only: Vec<usize>,
    /// Of which cases to keep evidence.
    #[arg(long, value_enum, default_value = "failing")]
    keep: KeepArg,
    #[command(flatten)]
    sources: SourceArgs,
}

/// A full disk has the same to say of every case.
const MOST_COMPLAINTS: usize = 3;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KeepArg {
    /// Those that do not pass.
    Failing,
    /// All.
    All,
}

/// Runs the verb.
pub(super) fn run(args: RunArgs) -> Result<ExitCode, CliError> {
    let sources = Sources {
        plan: args.plan,
        bench: args.bench,
        firmware: args.sources.firmware,
        links: args.sources.links,
    };
    let inputs = if args.only.is_empty() {
        Inputs::load(sources, args.seed)?
    } else {
        Inputs::load_only(sources, args.seed, &args.only)?
    };
    inputs.check_sight()?;
    let out = args
        .out
        .unwrap_or_else(|| PathBuf::from("powercut-out").join(inputs.plan.name()));
    let options = Options {
        junit: args.junit.unwrap_or_else(|| out.join("junit.xml")),
        out,
        jobs: args.jobs.map(usize::from),
        keep: match args.keep {
            KeepArg::Failing => Keep::Failing,
            KeepArg::All => Keep::All,
        },
    };
    let cancel = Cancel::default();
    let signals = Signals::watch(cancel.clone())?;
    let display = Display::new(inputs.cases.len());
    let ran = run_plan(&inputs, &options, &compose, &cancel, &|progress| {
        display.show(progress);
    });
    display.finish();
    let summary = ran?;
    report(&summary, &options);
    for error in summary.unwritten.iter().take(MOST_COMPLAINTS) {
        say::complain(&error.to_string());
    }
    if let Some(more) = summary.unwritten.len().checked_sub(MOST_COMPLAINTS)
        && more > 0
    {
        say::complain(&format!("and {more} times more the like"));
    }
    // What the verdicts say of the firmware outweighs what could not be written.
    let incomplete = !summary.unwritten.is_empty() || summary.skipped > 0;
    let code = exit::worst([
        exit::of(&summary.results),
        if incomplete { exit::BENCH } else { exit::PASS },
    ]);
    Ok(signals.exit().unwrap_or_else(|| code.into()))
}

fn report(summary: &RunSummary, options: &Options) {
    let counts: Vec<String> = [
        VerdictClass::Pass,
        VerdictClass::FirmwareFailure,
        VerdictClass::BenchError,
        VerdictClass::PlanError,
        VerdictClass::Inconclusive,
    ]
    .into_iter()
    .map(|class| (summary.count(class), class.to_string()))
    .chain([(summary.skipped, "not run".to_owned())])
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    let seconds = summary.duration.as_secs_f64();
    let total = summary.results.len() + summary.skipped;
    say::line(&format!(
        "{} case{}: {}; {seconds:.1} s, {} power cycles, {:.1} a second",
        total,
        if total == 1 { "" } else { "s" },
        counts.join(", "),
        summary.power_cycles,
        summary.power_cycles as f64 / seconds.max(1e-3)
    ));
    let passed = |result: &&CaseResult| result.verdict == VerdictClass::Pass;
    let mut not_observed = BTreeMap::<(Invariant, &str), usize>::new();
    for missing in summary
        .results
        .iter()
        .filter(passed)
        .flat_map(|result| &result.not_observed)
    {
        *not_observed
            .entry((missing.invariant, &missing.why))
            .or_default() += 1;
    }
    let all = summary.results.iter().filter(passed).count();
    for ((invariant, why), cases) in not_observed {
        say::line(&format!(
            "not observed in {cases} of {all} cases that passed: {invariant}: {why}"
        ));
    }
    for result in &summary.results {
        if result.verdict != VerdictClass::Pass {
            say::line(&format!("{}: {}", result.verdict, result.replay));
        }
    }
    let unreported = |error: &RunError| matches!(error, RunError::Report(_));
    if !summary.unwritten.iter().any(unreported) {
        say::line(&format!("JUnit: {}", options.junit.display()));
    }
    say::line(&format!("Evidence: {}", options.out.display()));
}
