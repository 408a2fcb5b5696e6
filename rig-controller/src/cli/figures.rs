//! `rig figures`: what a run took, from its results: time, power cycles, bytes on the wire, memory.
use std::path::PathBuf;

use clap::Args;

use super::{CliError, say};
use crate::case::verdict::VerdictClass;
use crate::report::{CaseResult, read_results};

/// Options of `rig figures`.
#[derive(Debug, Args)]
pub(super) struct FiguresArgs {
    /// Results of a run.
    #[arg(
        value_name = "RESULTS",
        default_value = "powercut-out/smoke/results.jsonl"
    )]
    results: PathBuf,
}

/// Prints the figures of the cases that passed.
pub(super) fn figures(args: &FiguresArgs) -> Result<(), CliError> {
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
    if let Some(stack) = passed
        .iter()
        .filter_map(|result| result.counts.stack_bytes)
        .max()
    {
        say::line(&format!(
            "deepest stack of a boot that was not cut: {stack} bytes"
        ));
    }
    Ok(())
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
        .filter(|result| result.link == "ideal" && result.counts.flash_operations > 0)
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
                counts.fetched_again,
                result.cuts.len()
            )
        })
        .collect();
    lines.sort_unstable();
    lines
}
