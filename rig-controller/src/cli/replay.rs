//! `rig replay`: one recorded case, exactly as it was, as often as one likes.
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::gdb::{AtFirstCut, local_address};
use super::progress::Display;
use super::signals::Signals;
use super::sources::CaseSourceArgs;
use super::{CliError, exit, in_process, say};
use crate::plan::CaseLine;
use crate::report::CaseResult;
use crate::run::replay::{Fingerprint, Replayed, replay as run_again};
use crate::run::{
    Inputs, OutFolder, Progress, Rig, Sources, distrust_program, evidence, result_of,
};
use powercut_bench::cancel::Cancel;
use powercut_platform::UdpPlatform;

/// Options of `rig replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// A case as it was printed (smoke:7:mb-1:seed=1:cuts=op3121), a schedule of `rig explore`
    /// (core:tiny:longer:seed=1:cuts=op700/before, core:smoke:1:mb-1:seed=1:cuts=op37/before or
    /// elf:smoke:1:mb-1:seed=1:cuts=op37/before), or a folder of evidence, which brings along everything the options name.
    pub(super) case: String,
    #[command(flatten)]
    pub(super) sources: CaseSourceArgs,
    /// Run it this often, and compare verdict and flash after every cut.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) times: u32,
    /// Run a schedule of a plan's case on the board too, with the same cuts, and compare flash after each of them with the
    /// run in process. A case runs on the board anyway.
    #[arg(long)]
    pub(super) on_board: bool,
    /// Stop the first run at its first cut, and serve gdb there on this address of this computer [127.0.0.1:3333 if none is
    /// given]. gdb looks at a copy: once it has left, the case goes on as it was recorded.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:3333", value_parser = local_address)]
    gdb: Option<SocketAddr>,
    /// Start the emulator that the bench in a folder of evidence names. Without this the usual one is started: the folder may be
    /// somebody else's, and its bench can name any program.
    #[arg(long)]
    trust: bool,
    /// Keep evidence of the first run in this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl ReplayArgs {
    /// The options given that only a run on a board has.
    #[cfg(feature = "explore")]
    pub(super) fn of_a_board(&self) -> impl Iterator<Item = &'static str> {
        [
            ("--gdb", self.gdb.is_some()),
            ("--out", self.out.is_some()),
            ("--trust", self.trust),
        ]
        .into_iter()
        .filter(|(_, is_given)| *is_given)
        .map(|(option, _)| option)
    }
}

/// Runs the verb.
pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, CliError> {
    if let Some(replayed) = in_process::replay(args) {
        return replayed;
    }
    let folder = PathBuf::from(&args.case);
    let (line, defaults, recorded) = if folder.is_dir() {
        let (line, result) = evidence::read(&folder)?;
        (line, Sources::in_evidence(&folder), Some(result))
    } else {
        let line: CaseLine = args.case.parse()?;
        let defaults = Sources::defaults(&line.plan);
        (line, defaults, None)
    };
    let mut inputs = Inputs::load_case(args.sources.or(defaults), &line)?;
    if recorded.is_some()
        && args.sources.bench.is_none()
        && !args.trust
        && let Some(named) = distrust_program(&mut inputs)
    {
        say::complain(&format!(
            "the folder's bench names the program {}, which is not started: {} is; if you trust the folder, give --trust",
            named.display().to_string().escape_debug(),
            powercut_bench::inventory::DEFAULT_QEMU
        ));
    }
    run_on_board(args, &inputs, &line, &|replayed| {
        compare(replayed, args.times as usize, recorded.as_ref())
    })
}

/// Runs the one case of `inputs` with the cuts of `line`; what `judge` makes of its runs outweighs the verdict.
pub(super) fn run_on_board(
    args: &ReplayArgs,
    inputs: &Inputs,
    line: &CaseLine,
    judge: &dyn Fn(&Replayed) -> Option<u8>,
) -> Result<ExitCode, CliError> {
    let board = inputs.board(&line.board)?;
    inputs.check_sight()?;
    let _folder = args.out.as_deref().map(OutFolder::take).transpose()?;
    let cancel = Cancel::default();
    let signals = Signals::watch(cancel.clone())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, inputs.bench.platform_port));
    let platform = UdpPlatform::bind(address)?;
    let display = Display::new(args.times as usize);
    let listener = |progress: &Progress<'_>| display.show(progress);
    let at_cut = AtFirstCut::new(args.gdb, &inputs.sources.firmware, &cancel)?;
    let compose = |entry: &_| at_cut.compose(entry);
    let rig = Rig::new(inputs, &platform, &compose, &cancel, &listener);
    at_cut.check(&board.name)?;
    let times = args.times as usize;
    let mut code = exit::PASS;
    for case in &inputs.cases {
        let replayed = run_again(inputs, &rig, case, line, times)?;
        display.finish();
        let Some(verdict) = &replayed.first.verdict else {
            break;
        };
        say::line(&format!("{line}: {verdict}"));
        for (number, digest) in replayed
            .runs
            .iter()
            .flat_map(|run| &run.flash_sha256)
            .take(replayed.first.report.snapshots.len())
            .enumerate()
        {
            say::line(&format!("flash {}: sha256 {digest}", number + 1));
        }
        for (invariant, why) in replayed.first.report.rulings.not_observed() {
            say::line(&format!("not observed: {invariant}: {why}"));
        }
        if let Some(out) = &args.out {
            let mut result = result_of(inputs, case, board, &replayed.first, verdict);
            result.evidence = Some(out.clone());
            match evidence::write(out, inputs, case, &replayed.first, &result) {
                Ok(()) => say::line(&format!("Evidence: {}", out.display())),
                Err(error) => {
                    // The verdict stands.
                    say::complain(&error.to_string());
                    code = exit::BENCH;
                }
            }
        }
        let judged = judge(&replayed).unwrap_or_else(|| exit::of_class(verdict.class()));
        code = exit::worst([code, judged]);
    }
    if at_cut.found_no_cut() && signals.exit().is_none() {
        say::complain("gdb was not served: the case came to no cut; give a line with cuts");
        code = exit::worst([code, exit::BENCH]);
    }
    Ok(signals.exit().unwrap_or_else(|| code.into()))
}

/// Says whether the runs are the same; the exit code if they are not.
pub(super) fn compare(
    replayed: &Replayed,
    times: usize,
    recorded: Option<&CaseResult>,
) -> Option<u8> {
    let mut code = None;
    if times > 1 {
        let identical = replayed.identical();
        say::line(&format!("{identical} of {times} runs identical"));
        if let Some((number, difference)) = replayed.first_difference() {
            say::line(&format!(
                "run {number} differs from the first: {difference}"
            ));
            code = Some(exit::BENCH);
        }
    }
    if let (Some(recorded), Some(first)) = (recorded, replayed.runs.first()) {
        match Fingerprint::recorded(recorded).difference(first) {
            None => say::line(
                "identical to the recorded run: verdict, cuts and digests of flash in its result.json",
            ),
            Some(difference) => {
                say::line(&format!("differs from the recorded run: {difference}"));
                code = Some(exit::BENCH);
            }
        }
    }
    code
}
