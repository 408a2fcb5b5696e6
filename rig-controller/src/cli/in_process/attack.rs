//! `rig attack m-sequence`: takes an encrypted firmware file apart, without anything but the file.
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use powercut_upgrade::m_sequence::Stream;

use super::InProcessError;
use crate::cli::{CliError, say};
use powercut_attack::{Broken, Plaintext, recover};
use powercut_package::{read, write};

/// Attacks on ways to protect firmware.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttackArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Recover register and plaintext of HEX text or a Cortex-M image in the suite m-sequence from the file alone.
    MSequence(FileArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// The encrypted file.
    file: PathBuf,
    /// Where the plaintext goes.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub(super) fn attack(args: &AttackArgs) -> Result<(), CliError> {
    let Verb::MSequence(args) = &args.verb;
    let ciphertext = read(&args.file)?;
    let start = Instant::now();
    let broken = recover(&ciphertext).map_err(|source| InProcessError::Attack {
        path: args.file.clone(),
        source,
    })?;
    let took = start.elapsed();
    for line in told(&broken) {
        say::line(&line);
    }
    say::line(&format!(
        "time: {:.2} ms for {} bytes of ciphertext",
        took.as_secs_f64() * 1e3,
        ciphertext.len()
    ));
    if let Some(out) = &args.out {
        write(out, &broken.plaintext)?;
        say::line(&format!("plaintext: {}", out.display()));
    }
    Ok(())
}

fn told(broken: &Broken) -> [String; 3] {
    let register = broken.configuration.register;
    let polynomial = register.polynomial();
    let stream = match (broken.configuration.stream, broken.fragment_bytes) {
        (Stream::RestartsPerFragment, Some(bytes)) => format!("begins anew every {bytes} bytes"),
        _ => "continuous".to_owned(),
    };
    [
        match broken.what {
            Plaintext::HexText { records } => {
                format!("Intel HEX text: {records} records, all checksums right")
            }
            Plaintext::Binary {
                stack,
                reset,
                coincidence,
            } => format!(
                "Cortex-M image: stack at {stack:#x}, reset at {reset:#x}, two bytes alike {coincidence:.1} times as often as by chance"
            ),
        },
        format!(
            "register: {} stages, {polynomial}, seed {:#x}; keystream {stream}",
            polynomial.stages(),
            register.state()
        ),
        format!(
            "keystream bits needed: {}; {} more foretold before anything was decrypted",
            broken.bits_needed, broken.bits_foretold
        ),
    ]
}
