//! `rig mutants`: plants bugs in the upgrade core, one at a time, and says whether the exploration finds them. Only in
//! a `rig` built with the feature `seeded-bugs`.
use std::process::ExitCode;

use clap::Args;
use powercut_upgrade::seeded::Bug;

use super::{exit, say};
use crate::explore::mutants::{look_for, look_without_bug};

/// Options of `rig mutants`.
#[derive(Debug, Args)]
pub(super) struct MutantsArgs {
    /// Only this bug; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Vec<Bug>,
}

fn bug(name: &str) -> Result<Bug, String> {
    let named = Bug::ALL.iter().find(|bug| bug.name() == name);
    named.copied().ok_or_else(|| {
        let names: Vec<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

/// Runs the verb.
pub(super) fn mutants(args: &MutantsArgs) -> ExitCode {
    if let Some(found) = look_without_bug() {
        say::line(&format!("without any bug: {}", found.breach));
        say::line(&format!("  rig replay {}", found.schedule));
        return exit::FIRMWARE.into();
    }
    let bugs = if args.bug.is_empty() {
        Bug::ALL
    } else {
        &args.bug
    };
    say::line(&format!(
        "{:28} {:11} {:>4} {:>7}  schedule",
        "bug", "invariant", "cuts", "seconds"
    ));
    let mut survived = 0;
    for bug in bugs {
        let mutant = look_for(*bug);
        let seconds = mutant.time.as_secs_f64();
        let name = bug.name();
        let Some(kill) = mutant.kill else {
            survived += 1;
            say::line(&format!("{name:28} survived         {seconds:>7.1}"));
            continue;
        };
        say::line(&format!(
            "{name:28} {:11} {:>4} {seconds:>7.1}  {} ({:?})",
            kill.breach.invariant.to_string(),
            kill.schedule.cuts.len(),
            kill.schedule,
            kill.class
        ));
    }
    say::line(&format!(
        "{} of {} bugs killed",
        bugs.len() - survived,
        bugs.len()
    ));
    if survived == 0 {
        exit::PASS
    } else {
        exit::FIRMWARE
    }
    .into()
}
