//! `rig shrink`: a failing case or schedule with fewer cuts, then earlier ones, then simpler ones, that breaks the same
//! invariant.
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::explore::code;
use super::replay_elf::upgrade_of;
use super::replay_schedule::case_of;
use crate::cli::signals::Signals;
use crate::cli::sources::CaseSourceArgs;
use crate::cli::{CliError, exit, say};
use crate::plan::{CaseLine, Cut, LineCuts};
use crate::run::{Inputs, Rig, Sources, distrust_program, evidence, shrink as run, upgrade};
use powercut_bench::board::compose;
use powercut_bench::cancel::Cancel;
use powercut_explore::{PlannedLine, Schedule, Shrunk, shrink_by};
use powercut_oracle::verdict::Verdict;
use powercut_platform::UdpPlatform;
use powercut_sweep::ElfLine;

/// Options of `rig shrink`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ShrinkArgs {
    /// A case as it was printed (smoke:7:mb-1:seed=1:cuts=op3121,op9000), a schedule of `rig explore`
    /// (elf:smoke:1:mb-1:seed=1:cuts=op37/before or one that begins with core:), or a folder of evidence.
    case: String,
    #[command(flatten)]
    sources: CaseSourceArgs,
    /// Run so many schedules at most. A schedule of the firmware takes about a second, a case several.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,
}

/// The cuts of the case are not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{line} ended before its cuts were drawn, so there are none to leave out; run it with the command that `rig run` printed for it, and shrink the line that comes out"
)]
pub struct AsPlannedError {
    /// The case.
    line: String,
}

/// Runs the verb.
pub(super) fn shrink(args: &ShrinkArgs) -> Result<ExitCode, CliError> {
    let cancel = Cancel::default();
    let signals = Signals::watch(cancel.clone())?;
    let may_try = |tried: u32| tried < args.tries && !cancel.is_cancelled();
    let code = if ElfLine::is_one(&args.case) {
        of_the_firmware(args, may_try)?
    } else if PlannedLine::is_one(&args.case) {
        let line: PlannedLine = args.case.parse()?;
        let (inputs, _) = case_of(&line.case, Vec::new(), &args.sources)?;
        let board = inputs.board(&line.case.board)?;
        let upgrade = upgrade(&inputs, inputs.case(line.case.index)?, board)?;
        let options = inputs.sources.options(&line.case.plan);
        of_the_core(line.of(upgrade), &options, may_try)
    } else if Schedule::is_one(&args.case) {
        of_the_core(args.case.parse()?, "", may_try)
    } else {
        of_a_case(args, &cancel, may_try)?
    };
    Ok(signals.exit().unwrap_or_else(|| code.into()))
}

/// Says what is left of a failing schedule, as a `line` that `rig replay` takes with these options.
pub(super) fn say_shrunk<S>(shrunk: &Shrunk<S>, line: &impl fmt::Display, options: &str) {
    let minimal = if shrunk.is_minimal {
        "locally minimal"
    } else {
        "perhaps not minimal"
    };
    say::line(&format!(
        "  shrunk ({minimal}, {} tried): rig replay {line}{options}",
        shrunk.tried
    ));
    say::line(&format!("  {}", shrunk.breach));
}

/// Nothing is shrunk that does not fail.
fn say_pass(line: &impl fmt::Display) -> u8 {
    say::line(&format!("{line}: pass: there is nothing to shrink"));
    exit::PASS
}

fn of_the_core(schedule: Schedule, options: &str, may_try: impl FnMut(u32) -> bool) -> u8 {
    let line = schedule.to_string();
    let run =
        |schedule: &Schedule| Ok::<_, std::convert::Infallible>(powercut_explore::replay(schedule));
    let Ok(shrunk) = shrink_by(schedule, Schedule::smaller, run, may_try);
    let Some(shrunk) = shrunk else {
        return say_pass(&line);
    };
    say_shrunk(&shrunk, &shrunk.schedule, options);
    code(&Err(shrunk.breach))
}

fn of_the_firmware(args: &ShrinkArgs, may_try: impl FnMut(u32) -> bool) -> Result<u8, CliError> {
    let line: ElfLine = args.case.parse()?;
    let (upgrade, options) = upgrade_of(&line, &args.sources)?;
    let Some(shrunk) = powercut_sweep::shrink(&upgrade, &line.cuts, may_try)? else {
        let judged = powercut_sweep::replay(&upgrade, &line.cuts)?.judged;
        let Err(breach) = &judged else {
            return Ok(say_pass(&line));
        };
        say::line(&format!("{line}: {breach}: there is nothing to shrink"));
        return Ok(code(&judged));
    };
    let small = ElfLine {
        cuts: shrunk.schedule.clone(),
        ..line
    };
    say_shrunk(&shrunk, &small, &options);
    Ok(code(&Err(shrunk.breach)))
}

fn of_a_case(
    args: &ShrinkArgs,
    cancel: &Cancel,
    may_try: impl FnMut(u32) -> bool,
) -> Result<u8, CliError> {
    let folder = PathBuf::from(&args.case);
    let (line, defaults) = if folder.is_dir() {
        let (line, _) = evidence::read(&folder)?;
        (line, Sources::in_evidence(&folder))
    } else {
        let line: CaseLine = args.case.parse()?;
        let defaults = Sources::defaults(&line.plan);
        (line, defaults)
    };
    let LineCuts::Given(cuts) = &line.cuts else {
        let line = line.to_string();
        return Err(AsPlannedError { line }.into());
    };
    let mut inputs = Inputs::load_case(args.sources.or(defaults), &line)?;
    if folder.is_dir() && args.sources.bench.is_none() {
        // The folder may be somebody else's.
        distrust_program(&mut inputs);
    }
    inputs.check_sight()?;
    let board = inputs.board(&line.board)?;
    let case = inputs.case(line.index)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, inputs.bench.platform_port));
    let platform = UdpPlatform::bind(address)?;
    let rig = Rig::new(&inputs, &platform, &compose, cancel, &|_| ());
    let with = |cuts: &[Cut]| CaseLine {
        cuts: LineCuts::Given(cuts.to_vec()),
        ..line.clone()
    };
    let tell = |cuts: &[Cut], verdict: &Verdict| {
        say::line(&format!("{}: {}", with(cuts), verdict.class()));
    };
    let found = run::shrink(&rig, case, board, cuts, &tell, may_try);
    let Some(shrunk) = found.shrunk else {
        return Ok(found.first.map_or(exit::BENCH, |verdict| {
            say::line(&format!("{line}: {verdict}: there is nothing to shrink"));
            exit::of_class(verdict.class())
        }));
    };
    let options = inputs.sources.options(&line.plan);
    say_shrunk(&shrunk, &with(&shrunk.schedule), &options);
    Ok(code(&Err(shrunk.breach)))
}
