//! `rig plan check`: what a plan expands to, without running anything.
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CliError, say};
use crate::plan::{CutSpec, Plan};
use crate::run::check_sight;
use powercut_bench::inventory::Bench;

/// Options of `rig plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check a plan and list its cases.
    Check {
        /// The plan, a YAML file.
        plan: PathBuf,
        /// Check too that every board of this bench can do what the plan's cuts and expectations need.
        #[arg(long, value_name = "FILE")]
        bench: Option<PathBuf>,
    },
}

/// Runs the verb.
pub(super) fn plan(args: &PlanArgs) -> Result<(), CliError> {
    let Verb::Check { plan: path, bench } = &args.verb;
    let plan = Plan::load(path)?;
    let cases = plan.cases();
    if let Some(bench) = bench {
        check_sight(path, &cases, &Bench::load(bench)?)?;
    }
    for case in &cases {
        let cuts: u32 = case
            .cuts
            .iter()
            .map(|cut| match cut {
                CutSpec::Random { count, .. } => *count,
                CutSpec::At(_) => 1,
            })
            .sum();
        say::line(&format!("{} ({}), {cuts} cuts", case.title(), case.group));
    }
    say::line(&format!(
        "{}: plan {} with {} cases, seed {}",
        path.display(),
        plan.name(),
        cases.len(),
        plan.seed()
    ));
    Ok(())
}
