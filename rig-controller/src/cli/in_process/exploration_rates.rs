//! `rig figures exploration`: how many schedules of a power cut and a recovery are judged a second on one core, by each way
//! of saving work, whether all ways come to the same verdicts, and what a second core adds.
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::{exit, say};
use powercut_explore::{Depth, ExplorationCounts, FlashPart, Partition, Survey, campaign};

/// Options of `rig figures exploration`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplorationArgs {
    /// Of the operations of the 64 KiB upgrade, one in so many is cut at.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=1024))]
    one_in: u64,
}

/// A way of exploring: whether runs that met are followed once, whether results are remembered.
const WAYS: [(&str, bool, bool); 4] = [
    ("every run to its end", false, false),
    ("the same, results remembered", false, true),
    ("states once", true, false),
    ("the same, results remembered", true, true),
];

/// Prints the table; fails if two ways come to different verdicts.
pub(super) fn exploration(args: &ExplorationArgs) -> ExitCode {
    say::line(
        "every single cut, torn and weak results included; one core, what a second core adds below",
    );
    say::line(
        "upgrade                     way                           schedules     a second  operations  failed",
    );
    let small = Survey::default();
    let large = Survey {
        geometry: FlashPart::Nrf51,
        image_pages: 64,
        fragment_bytes: Some(160),
        ..Survey::default()
    };
    let all: Vec<Partition> = (0..4).map(|index| Partition { index, of: 4 }).collect();
    // Narrow partitions far from each other, so that every phase of the upgrade is in them.
    let some: Vec<Partition> = (0..8)
        .map(|index| Partition {
            index: index * args.one_in + args.one_in / 2,
            of: 8 * args.one_in,
        })
        .collect();
    let same = compare("9 pages, 256-byte pages", &small, &all)
        & compare("64 KiB, nRF51, 160 bytes", &large, &some);
    scaling();
    if same {
        exit::PASS.into()
    } else {
        say::line("the ways differ in what they found: saving work has changed a verdict");
        exit::FIRMWARE.into()
    }
}

/// Explores in every way; whether all of them found the same.
fn compare(name: &str, survey: &Survey, partitions: &[Partition]) -> bool {
    let mut found = BTreeSet::new();
    for (way, merging, remembering) in WAYS {
        let survey = Survey {
            merging,
            remembering,
            ..survey.clone()
        };
        let begun = Instant::now();
        let mut counts = ExplorationCounts::default();
        let mut failures = Vec::new();
        for partition in partitions {
            let (more, failed) = survey.run(*partition, &|_, _| true);
            counts += more;
            failures.extend(
                failed
                    .into_iter()
                    .map(|failure| survey.schedule(failure.cuts)),
            );
        }
        let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
        say::line(&format!(
            "{name:27} {way:29} {:9} {:12.0} {:11} {:7}",
            counts.schedules,
            counts.schedules as f64 / begun.elapsed().as_secs_f64(),
            counts.operations,
            counts.failed
        ));
        found.insert((counts.schedules, counts.failed, failures));
    }
    found.len() == 1
}

/// The same work on one thread and on two.
fn scaling() {
    let survey = Survey {
        geometry: FlashPart::TinyOnce,
        depth: Depth::Exhaustive { cuts: 2 },
        ..Survey::default()
    };
    let slices = campaign::slices(&[survey], Partition { index: 0, of: 1 });
    let time = |jobs| {
        let begun = Instant::now();
        campaign::run(&slices, &BTreeSet::new(), jobs, &|| false, &|_, _| ());
        begun.elapsed()
    };
    let (one, two): (Duration, Duration) = (time(1), time(2));
    say::line(&format!(
        "every pair of cuts, 9 pages of 256 bytes written once: {:.2} s on one thread, {:.2} s on two: {:.2} times as fast",
        one.as_secs_f64(),
        two.as_secs_f64(),
        one.as_secs_f64() / two.as_secs_f64()
    ));
}
