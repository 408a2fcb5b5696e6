//! `rig figures attack`: how many keystream bits and how much time the attack on the suite m-sequence takes, for a
//! register of every length.
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use powercut_upgrade::m_sequence::{Configuration, Polynomial, Register, Stream};

use crate::cli::{CliError, say};
use powercut_attack::recover;
use powercut_package::m_sequence::{apply, primitive_polynomials};
use powercut_package::{Image, active_range};

/// Fragment size where the keystream begins anew.
const FRAGMENT_BYTES: u16 = 160;
/// Seeds a register of each length is tried with.
const SEEDS: [u32; 5] = [
    0x1D87_2B41,
    0xFFFF_FFFF,
    0x8000_0001,
    0x5A5A_5A5A,
    0x0123_4567,
];

/// Options of `rig figures attack`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AttackCostArgs {
    /// The firmware that is encrypted, as HEX text and as binary.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/firmware/default/1.1.0.hex"
    )]
    image: PathBuf,
    /// Primitive polynomials, one a line: degree, exponents.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "fixtures/m-sequence/polynomials.txt"
    )]
    polynomials: PathBuf,
}

/// Bits and time of one row of attempts.
#[derive(Default)]
struct Cost {
    most_bits: usize,
    most_ms: f64,
    broken: usize,
}

/// Prints the table; `false` if a single file resisted.
pub(super) fn attack_cost(args: &AttackCostArgs) -> Result<bool, CliError> {
    let image = Image::load(&args.image, active_range())?;
    let text = image.to_hex().replace('\n', "\r\n").into_bytes();
    let polynomials = primitive_polynomials(&args.polynomials)?;
    say::line(&format!(
        "{}: {} bytes of HEX text, {} bytes of binary; {} seeds each, continuous and anew every {FRAGMENT_BYTES} bytes; most bits needed, longest time in ms",
        args.image.display(),
        text.len(),
        image.bytes.len(),
        SEEDS.len()
    ));
    say::line("stages   2n  text bits  text ms  binary bits  binary ms  broken");
    let (mut tried, mut broken) = (0, 0);
    for polynomial in polynomials {
        let of_text = cost(polynomial, &text);
        let of_binary = cost(polynomial, &image.bytes);
        let attempts = 4 * SEEDS.len();
        tried += attempts;
        broken += of_text.broken + of_binary.broken;
        say::line(&format!(
            "{:6} {:4} {:10} {:8.2} {:12} {:10.2}  {} of {attempts}",
            polynomial.stages(),
            2 * polynomial.stages(),
            of_text.most_bits,
            of_text.most_ms,
            of_binary.most_bits,
            of_binary.most_ms,
            of_text.broken + of_binary.broken,
        ));
    }
    say::line(&format!(
        "{broken} of {tried} files broken, each plaintext byte for byte"
    ));
    Ok(broken == tried)
}

fn cost(polynomial: Polynomial, plaintext: &[u8]) -> Cost {
    let mut cost = Cost::default();
    let ones = polynomial.longest_period() as u32;
    let registers = SEEDS
        .into_iter()
        .filter_map(|seed| Register::new(polynomial, seed & ones));
    for register in registers {
        for stream in [Stream::Continuous, Stream::RestartsPerFragment] {
            let mut ciphertext = plaintext.to_vec();
            apply(
                &Configuration { register, stream },
                FRAGMENT_BYTES,
                &mut ciphertext,
            );
            let start = Instant::now();
            let broken = recover(&ciphertext);
            let ms = start.elapsed().as_secs_f64() * 1e3;
            cost.most_ms = cost.most_ms.max(ms);
            if let Ok(broken) = broken
                && broken.plaintext == plaintext
                && broken.configuration.register == register
            {
                cost.broken += 1;
                cost.most_bits = cost.most_bits.max(broken.bits_needed);
            }
        }
    }
    cost
}
