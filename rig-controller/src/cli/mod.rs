//! The verbs of `rig`, one file each. A verb reads its options, calls the library and says what came of it; what
//! goes wrong becomes one plain text on stderr and an exit code ([`exit`]).
#[cfg(not(all(
    feature = "explore",
    feature = "gdb",
    feature = "hardware",
    feature = "service"
)))]
mod absent;
pub mod exit;
mod figures;
pub mod firmware;
#[cfg(feature = "gdb")]
mod gdb;
#[cfg(feature = "explore")]
mod in_process;
mod link;
mod local_address;
mod m_sequence;
mod pack;
mod plan;
#[cfg(feature = "service")]
mod platform;
mod progress;
mod replay;
mod run;
mod say;
mod signals;
mod sources;
#[cfg(feature = "hardware")]
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[cfg(not(feature = "gdb"))]
use self::absent::gdb;
#[cfg(not(feature = "explore"))]
use self::absent::in_process;
#[cfg(not(feature = "service"))]
use self::absent::platform;
#[cfg(not(feature = "hardware"))]
use self::absent::test;

use crate::plan::{ParseCaseLineError, PlanError};
use crate::run::evidence::{EvidenceError, NoEvidenceError};
use crate::run::{InputError, RunError};
use powercut_bench::inventory::BenchFileError;
use powercut_package::FirmwareError;
use powercut_package::m_sequence::ParametersError;
use powercut_platform::PlatformError;

/// Proves that firmware upgrades survive power cuts.
#[derive(Debug, Parser)]
#[command(name = "rig", version, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run all cases of a plan on the boards of a bench.
    Run(run::RunArgs),
    /// Run one recorded case again, exactly.
    Replay(replay::ReplayArgs),
    /// Run tests on the virtual board, through a debug probe.
    Test(test::TestArgs),
    /// Make a signed package of a firmware image.
    Pack(pack::PackArgs),
    /// Encrypt and decrypt files in the suite m-sequence.
    MSequence(m_sequence::MSequenceArgs),
    #[command(flatten)]
    InProcess(in_process::Verb),
    /// Look at plans.
    Plan(plan::PlanArgs),
    /// Build the firmware that plans run.
    Firmware(firmware::FirmwareArgs),
    /// Fit link profiles to captures, and play a link between programs.
    Link(link::LinkArgs),
    /// Print the figures of a run.
    Figures(figures::FiguresArgs),
    /// Serve upgrades to devices, and see how many at a time it can.
    Platform(platform::PlatformArgs),
}

/// Why a verb could not be done. What the verdicts say is no error.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// An input of a run.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A bench.
    #[error(transparent)]
    Bench(#[from] BenchFileError),
    /// Firmware, a key or a package.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
    /// Parameters of the suite m-sequence.
    #[error(transparent)]
    MSequence(#[from] ParametersError),
    /// A file that was decrypted first.
    #[error(
        "{source}; it was decrypted first: check that {} and --encrypted-fragment-bytes are what it was encrypted with", .parameters.display()
    )]
    Decrypted {
        /// What it was decrypted with.
        parameters: std::path::PathBuf,
        /// What is wrong with the result.
        source: FirmwareError,
    },
    /// A case line.
    #[error(transparent)]
    CaseLine(#[from] ParseCaseLineError),
    /// Without a board: exploration, simulation, attack.
    #[error(transparent)]
    InProcess(#[from] in_process::InProcessError),
    /// A report cannot be written.
    #[error(transparent)]
    Report(#[from] crate::report::ReportError),
    /// A folder that should hold evidence.
    #[error(transparent)]
    NoEvidence(#[from] NoEvidenceError),
    /// A file that a person wrote: a capture, a plan of simulations.
    #[error(transparent)]
    Fault(#[from] powercut_document::Fault),
    /// A link profile.
    #[error(transparent)]
    Link(#[from] powercut_link::LinkError),
    /// A capture says too little.
    #[error(transparent)]
    TooFew(#[from] powercut_link::fit::TooFewError),
    /// The relay.
    #[error(transparent)]
    Relay(#[from] powercut_bench::link::UdpRelayError),
    /// The output is one of the inputs.
    #[error("{} is read as {what}, and writing the package there would destroy it; name another file with -o", .path.display())]
    OverInput {
        /// The file.
        path: std::path::PathBuf,
        /// What it is read as.
        what: &'static str,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; check the folder and its permissions", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// The run itself.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Evidence of a replay.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The folder for it.
    #[error(transparent)]
    OutFolder(#[from] crate::run::OutFolderError),
    /// The platform of a replay.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The platform as a service.
    #[error(transparent)]
    Service(#[from] platform::ServiceError),
    /// A results file.
    #[error(transparent)]
    Results(#[from] crate::report::ResultsError),
    /// gdb at a cut.
    #[error(transparent)]
    Gdb(#[from] gdb::GdbError),
    /// A suite of on-target tests.
    #[error(transparent)]
    Suite(#[from] test::TestError),
    /// The host cannot tell the rig of Ctrl-C, so boards could stay powered.
    #[error("cannot listen for signals: {0}; check the limits on open files and threads")]
    Signals(#[source] std::io::Error),
}

impl CliError {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Input(_)
            | Self::Plan(_)
            | Self::Bench(_)
            | Self::Firmware(_)
            | Self::MSequence(_)
            | Self::Decrypted { .. }
            | Self::OverInput { .. }
            | Self::CaseLine(_)
            | Self::Results(_)
            | Self::Fault(_)
            | Self::Link(_)
            | Self::TooFew(_)
            | Self::NoEvidence(_) => exit::BAD_INPUT,
            Self::Service(error) if error.is_bad_input() => exit::BAD_INPUT,
            Self::InProcess(error) if error.is_bad_input() => exit::BAD_INPUT,
            Self::Gdb(error) if error.is_bad_input() => exit::BAD_INPUT,
            Self::Suite(error) if error.is_bad_input() => exit::BAD_INPUT,
            Self::Run(_)
            | Self::Report(_)
            | Self::Evidence(_)
            | Self::OutFolder(_)
            | Self::Platform(_)
            | Self::Relay(_)
            | Self::Write { .. }
            | Self::Service(_)
            | Self::Gdb(_)
            | Self::Suite(_)
            | Self::InProcess(_)
            | Self::Signals(_) => exit::BENCH,
        }
        .into()
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.verb {
        Verb::Run(args) => run::run(args),
        Verb::Replay(args) => replay::replay(&args),
        Verb::Test(args) => test::test(&args),
        Verb::Pack(args) => pack::pack(&args).map(|()| ExitCode::SUCCESS),
        Verb::MSequence(args) => m_sequence::m_sequence(&args).map(|()| ExitCode::SUCCESS),
        Verb::Plan(args) => plan::plan(&args).map(|()| ExitCode::SUCCESS),
        Verb::InProcess(verb) => in_process::run(&verb),
        Verb::Link(args) => link::link(&args),
        Verb::Figures(args) => figures::figures(&args),
        Verb::Platform(args) => platform::platform(&args),
        Verb::Firmware(args) => firmware::firmware(args)
            .map(|()| ExitCode::SUCCESS)
            .map_err(CliError::from),
    };
    done.unwrap_or_else(|error| {
        say::complain(&error.to_string());
        error.exit()
    })
}
