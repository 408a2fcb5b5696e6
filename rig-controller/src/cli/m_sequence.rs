//! `rig m-sequence`: a file encrypted and decrypted as the suite does it, HEX text as well as binary.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use powercut_upgrade::m_sequence::{Configuration, Stream};

use super::{CliError, say};
use powercut_package::m_sequence::{Parameters, apply};
use powercut_package::{read, write};

/// Files in the suite m-sequence, which protects nothing.
#[derive(Debug, Args)]
pub(super) struct MSequenceArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Encrypt a file, HEX text or binary.
    Encrypt(FileArgs),
    /// Decrypt one.
    Decrypt(FileArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The file.
    file: PathBuf,
    /// Where the result goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// YAML file with polynomial, seed and stream, such as fixtures/m-sequence/device.yaml.
    #[arg(long, value_name = "FILE", required_unless_present = "polynomial")]
    parameters: Option<PathBuf>,
    /// Exponents of the feedback polynomial without the 0, such as 32,30,26,25.
    #[arg(
        long,
        value_name = "N,...",
        value_delimiter = ',',
        conflicts_with = "parameters",
        requires = "seed"
    )]
    polynomial: Vec<u8>,
    /// First content of the register, decimal or 0x....
    #[arg(long, value_name = "N", conflicts_with = "parameters", value_parser = seed)]
    seed: Option<u32>,
    /// How the keystream goes on from one fragment to the next.
    #[arg(
        long,
        value_enum,
        default_value = "continuous",
        conflicts_with = "parameters"
    )]
    stream: StreamArg,
    #[command(flatten)]
    fragments: FragmentArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StreamArg {
    /// Each fragment begins with the seed.
    PerFragment,
    /// Through the whole file.
    Continuous,
}

/// In what pieces a file is encrypted.
#[derive(Debug, Args)]
pub(super) struct FragmentArgs {
    /// Bytes of a fragment, if each begins with the seed.
    #[arg(long = "encrypted-fragment-bytes", value_name = "N", default_value_t = 160, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) bytes: u16,
}

fn seed(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "it must be a number from 1 to 4294967295 or 0xFFFFFFFF".to_owned())
}

impl FileArgs {
    fn configuration(&self) -> Result<Configuration, CliError> {
        if let Some(path) = &self.parameters {
            return Ok(Parameters::load(path)?.configuration());
        }
        let stream = match self.stream {
            StreamArg::PerFragment => Stream::RestartsPerFragment,
            StreamArg::Continuous => Stream::Continuous,
        };
        let seed = self.seed.unwrap_or_default();
        Ok(Parameters::new(&self.polynomial, seed, stream)?.configuration())
    }
}

/// Runs the verb. Adding the keystream a second time takes it away, so both do the same.
pub(super) fn m_sequence(args: &MSequenceArgs) -> Result<(), CliError> {
    let (Verb::Encrypt(args) | Verb::Decrypt(args)) = &args.verb;
    let configuration = args.configuration()?;
    let mut content = read(&args.file)?;
    apply(&configuration, args.fragments.bytes, &mut content);
    write(&args.output, &content)?;
    say::line(&format!(
        "{}: {} bytes under {}",
        args.output.display(),
        content.len(),
        configuration.register.polynomial()
    ));
    Ok(())
}
