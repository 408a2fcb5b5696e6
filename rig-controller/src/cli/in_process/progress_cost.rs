//! `rig figures progress`: what keeping progress in flash costs, measured in process, and whether it stays within its
//! limits.
use std::process::ExitCode;

use clap::Args;

use crate::cli::{exit, say};
use powercut_explore::FlashPart;
use powercut_explore::progress_cost::{Cost, MeasuredUpgrade, ProgressCost};

/// The flash that is measured, with the journal erases an upgrade may cost there.
const MEASURED: [(FlashPart, Option<u64>); 3] = [
    (FlashPart::Nrf51, Some(8)),
    (FlashPart::Nrf52, Some(3)),
    (FlashPart::Stm32l4, None),
];

const HEAD: [&str; 2] = [
    "flash     page  fragments   programs a fragment   programs an upgrade   erases of journal pages   of a page of",
    "                                data     record   download      whole   download  whole  limit    flags instead",
];

/// Options of `rig figures progress`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProgressArgs {
    /// Bytes of the image.
    #[arg(long, value_name = "BYTES", default_value_t = 64 * 1024, value_parser = clap::value_parser!(u32).range(1024..=1024 * 1024))]
    image: u32,
    /// Bytes in a fragment, a multiple of 8.
    #[arg(long, value_name = "BYTES", default_value_t = 160, value_parser = parse_fragment)]
    fragment: u16,
    /// Journal erases an upgrade may cost, on all flash alike [default: 8 on 1 KB pages, 3 on 4 KB].
    #[arg(long, value_name = "N")]
    journal_erases: Option<u64>,
}

fn parse_fragment(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|bytes: &u16| (32..=1024).contains(bytes) && bytes.is_multiple_of(8))
        .ok_or_else(|| "a fragment has 32 to 1024 bytes, a multiple of 8".to_owned())
}

/// Prints the table; fails if a limit is exceeded.
pub(super) fn progress(args: &ProgressArgs) -> ExitCode {
    let mut over = Vec::new();
    say::line(&format!(
        "an upgrade of {} bytes in fragments of {} bytes, power never cut; programs of one unit",
        args.image, args.fragment
    ));
    for line in HEAD {
        say::line(line);
    }
    for (geometry, usual) in MEASURED {
        let upgrade = MeasuredUpgrade {
            geometry,
            image_bytes: args.image,
            fragment_bytes: args.fragment,
        };
        let limit = args.journal_erases.or(usual);
        match upgrade.measure() {
            Ok(cost) => {
                say::line(&row(upgrade, &cost, limit));
                let erases = cost.whole.journal_erases;
                over.extend(limit.filter(|limit| erases > *limit).map(|limit| {
                    format!("{geometry}: {erases} journal erases in an upgrade, {limit} may be")
                }));
            }
            Err(breach) => over.push(format!("{geometry}: {breach}")),
        }
    }
    for line in &over {
        say::line(line);
    }
    if over.is_empty() {
        exit::PASS.into()
    } else {
        exit::FIRMWARE.into()
    }
}

fn row(upgrade: MeasuredUpgrade, cost: &ProgressCost, limit: Option<u64>) -> String {
    let fragments = upgrade.fragments();
    let programs = |cost: &Cost| cost.slot_programs + cost.journal_programs;
    let each = |programs: u64| programs as f64 / f64::from(fragments);
    format!(
        "{:8} {:5} {fragments:10} {:12.2} {:10.2} {:10} {:10} {:10} {:6} {:>6} {fragments:15}",
        upgrade.geometry,
        upgrade.geometry.facts().page_bytes(),
        each(cost.download.slot_programs),
        each(cost.download.journal_programs),
        programs(&cost.download),
        programs(&cost.whole),
        cost.download.journal_erases,
        cost.whole.journal_erases,
        limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()),
    )
}
