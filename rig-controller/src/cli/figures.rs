//! `rig figures`: what a run took, from its results: time, power cycles, bytes on the wire, memory. `rig figures
//! progress`, `rig figures exploration` and `rig figures attack` need no run and stand in [`in_process`].
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{CliError, exit, in_process, say};
use crate::report::{CaseResult, read_results};
use powercut_oracle::verdict::VerdictClass;
use powercut_package::static_ram_bytes;

/// Options of `rig figures`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct FiguresArgs {
    #[command(subcommand)]
    measure: Option<in_process::InProcessMeasure>,
    /// Results of a run.
    #[arg(
        value_name = "RESULTS",
        default_value = "powercut-out/smoke/results.jsonl"
    )]
    results: PathBuf,
    /// Folder of the firmware set that ran.
    #[arg(long, value_name = "DIR", default_value = crate::run::DEFAULT_FIRMWARE)]
    firmware: PathBuf,
    /// Fail if a program takes more RAM than this, stack included.
    #[arg(long, value_name = "BYTES", default_value_t = 15 * 1024)]
    ram_limit: u64,
}

/// Prints the figures of the cases that passed, or measures what was asked for.
pub(super) fn figures(args: &FiguresArgs) -> Result<ExitCode, CliError> {
    if let Some(measure) = &args.measure {
        return in_process::measure(measure);
    }
    let results = read_results(&args.results)?;
    let passed: Vec<&CaseResult> = results
        .iter()
        .filter(|result| result.verdict == VerdictClass::Pass)
        .collect();
    say::line(&format!(
        "{} of {} cases of {} passed; figures are of these",
        passed.len(),
        results.len(),
        args.results.display()
    ));
    for line in time(&passed).into_iter().chain(wire(&passed)) {
        say::line(&line);
    }
    let stacks = passed.iter().filter_map(|result| result.counts.stack_bytes);
    let Some(stack) = stacks.max() else {
        return Ok(ExitCode::SUCCESS);
    };
    let static_ram = static_ram_bytes(&args.firmware)?;
    let (ram, limit) = (static_ram + stack, args.ram_limit);
    say::line(&format!(
        "RAM: {static_ram} bytes static, {stack} bytes of stack at most in boots that were not cut, {ram} of {limit}"
    ));
    Ok(if ram > limit {
        exit::FIRMWARE.into()
    } else {
        ExitCode::SUCCESS
    })
}

/// Seconds of a case with three cuts, by link, and power cycles in them.
fn time(passed: &[&CaseResult]) -> Vec<String> {
    let mut links: Vec<&str> = passed.iter().map(|result| result.link.as_str()).collect();
    links.sort_unstable();
    links.dedup();
    links
        .into_iter()
        .filter_map(|link| {
            let cases: Vec<&&CaseResult> = passed
                .iter()
                .filter(|result| result.link == link && result.cuts.len() == 3)
                .collect();
            let seconds: f64 = cases.iter().map(|result| result.seconds).sum();
            let boots: u64 = cases.iter().map(|result| result.counts.boots).sum();
            let count = cases.len() as f64;
            (!cases.is_empty()).then(|| {
                format!(
                    "link {link}: {:.2} s a case with three cuts (mean of {}), {:.2} power cycles a second and board",
                    seconds / count,
                    cases.len(),
                    boots as f64 / seconds
                )
            })
        })
        .collect()
}

/// Bytes on the wire over bytes of image, for upgrades over a link that loses nothing.
fn wire(passed: &[&CaseResult]) -> Vec<String> {
    let mut lines: Vec<String> = passed
        .iter()
        .filter(|result| result.link == "ideal" && result.counts.flash_operations.is_some_and(|count| count > 0))
        .map(|result| {
            let counts = &result.counts;
            let wire = counts.bytes_up + counts.bytes_down;
            format!(
                "case {:3} {} to {}: image {} bytes, {} fragments of {} bytes, {wire} bytes of UDP payload both ways: {:.3} a byte of image ({} fragments fetched again in {} cuts)",
                result.case,
                result.from,
                result.to,
                counts.image_bytes,
                counts.fragments,
                result.fragment_bytes,
                wire as f64 / counts.image_bytes as f64,
                counts.fetched_again.map_or("?".to_owned(), |count| count.to_string()),
                result.cuts.len()
            )
        })
        .collect();
    lines.sort_unstable();
    lines
}
