//! `rig firmware build`: builds the firmware set that plans run, and says what each program takes.
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::say;
use powercut_package::{BuildOptions, FirmwareError, build};

/// Firmware of the boards.
#[derive(Debug, Args)]
pub struct FirmwareArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build bootloader and images from the sources in this repository; does nothing if they are up to date.
    Build(BuildArgs),
}

#[derive(Debug, Args)]
struct BuildArgs {
    /// Where the set goes.
    #[arg(long, default_value = "target/firmware/default")]
    out: PathBuf,
    /// The device workspace.
    #[arg(long, default_value = "target-firmware/device")]
    source: PathBuf,
    /// Folder with the test keys.
    #[arg(long, default_value = "fixtures/keys")]
    keys: PathBuf,
    /// What devices have for the suite m-sequence: polynomial, seed and stream.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "fixtures/m-sequence/device.yaml"
    )]
    m_sequence: PathBuf,
    /// Build only these images, such as 1.0.0,1.1.0.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Plant a bug on purpose, to see the rig find it: record-before-data, any other that `rig mutants` plants in the core, or
    /// one of the device's own code, such as program-if-different.
    #[arg(long)]
    seeded_bug: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// When the set cannot be built.
pub fn firmware(args: FirmwareArgs) -> Result<(), FirmwareError> {
    let Verb::Build(args) = args.verb;
    let options = BuildOptions {
        source: args.source,
        keys: args.keys,
        m_sequence: args.m_sequence,
        out: args.out,
        only: args.only,
        seeded_bug: args.seeded_bug,
    };
    let (footprints, built) = build(&options)?;
    let what = if built { "built" } else { "up to date" };
    say::line(&format!("firmware set {} ({what})", options.out.display()));
    say::line(&format!(
        "{:24} {:>8} {:>12}",
        "program", "flash B", "static RAM B"
    ));
    for program in footprints {
        say::line(&format!(
            "{:24} {:>8} {:>12}",
            program.name, program.flash_bytes, program.static_ram_bytes
        ));
    }
    Ok(())
}
