//! `rig pack`: a firmware image becomes a signed package.
use powercut_package::suites::{SUITES, suite_name};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use powercut_upgrade::manifest::{FRAGMENT_BYTES, KeyId, SecurityCounter, Suite, Version};

use super::m_sequence::FragmentArgs;
use super::{CliError, say};
use powercut_package::ImageName;
use powercut_package::m_sequence::{Parameters, apply};
use powercut_package::{ImageFile, PackageFacts, active_range, pack as sign, read};
use powercut_package::{read_signing_key, save_package};

/// Options of `rig pack`.
#[derive(Debug, Args)]
pub(super) struct PackArgs {
    /// The image: Intel HEX, ELF or raw binary, linked for the slot it runs in. Its content decides which it is.
    image: PathBuf,
    /// Its version, such as 1.1.0.
    #[arg(long, value_name = "V", value_parser = version)]
    version: Version,
    /// File with the signing key: the line `ed25519 signing key`, then 64 hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Which of the device's trusted keys that is.
    #[arg(long, value_name = "N", default_value_t = 1)]
    key_id: u8,
    /// Anti-rollback counter: a device that has confirmed this image runs none with a lower one any more.
    #[arg(long, value_name = "N", default_value_t = 1)]
    security_counter: u32,
    /// Bytes of plaintext in a fragment.
    #[arg(long, value_name = "N", default_value_t = 160, value_parser = fragment_bytes)]
    fragment_bytes: u16,
    /// Boots the image gets to confirm itself.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    trial_attempts: u8,
    /// What hardware it is for.
    #[arg(long, value_name = "N", default_value = "0x51", value_parser = number)]
    hardware: u16,
    /// Cipher suite of the download.
    #[arg(long, value_name = "NAME", default_value = suite_name(Suite::ChaCha20Poly1305), value_parser = suite)]
    suite: Suite,
    /// The image is encrypted in the suite m-sequence: YAML file with polynomial, seed and stream.
    #[arg(long, value_name = "FILE")]
    encrypted_with: Option<PathBuf>,
    #[command(flatten)]
    encrypted: FragmentArgs,
    /// Pack also what looks like no image, as a raw binary, and an image that no board of the hardware would start.
    #[arg(long)]
    force: bool,
    /// Where the package goes.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

fn version(text: &str) -> Result<Version, String> {
    match ImageName::from_str(text) {
        Ok(name) if name.label().is_none() => Ok(name.version()),
        _ => Err(
            "a version has three numbers, such as 1.1.0: two from 0 to 255, one from 0 to 65535"
                .to_owned(),
        ),
    }
}

pub(super) fn fragment_bytes(text: &str) -> Result<u16, String> {
    let (least, most) = (FRAGMENT_BYTES.start(), FRAGMENT_BYTES.end());
    text.parse()
        .ok()
        .filter(|bytes| FRAGMENT_BYTES.contains(bytes) && bytes % 4 == 0)
        .ok_or_else(|| format!("it must be a multiple of 4 from {least} to {most}"))
}

fn number(text: &str) -> Result<u16, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "it must be a number from 0 to 65535 or 0xFFFF".to_owned())
}

fn suite(text: &str) -> Result<Suite, String> {
    let found = SUITES.into_iter().find(|suite| text == suite_name(*suite));
    found.ok_or_else(|| format!("suites are {}", SUITES.map(suite_name).join(" and ")))
}

/// Whether both names lead to one file, by whatever links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Runs the verb.
pub(super) fn pack(args: &PackArgs) -> Result<(), CliError> {
    let inputs = [
        (Some(&args.image), "the image"),
        (Some(&args.key), "the signing key"),
        (args.encrypted_with.as_ref(), "the register"),
    ];
    for (input, what) in inputs {
        if input.is_some_and(|input| is_same_file(input, &args.output)) {
            return Err(CliError::OverInput {
                path: args.output.clone(),
                what,
            });
        }
    }
    let mut content = read(&args.image)?;
    if let Some(parameters) = &args.encrypted_with {
        let configuration = Parameters::load(parameters)?.configuration();
        apply(&configuration, args.encrypted.bytes, &mut content);
    }
    let image = ImageFile::new(&args.image, content)
        .force(args.force)
        .image_for(active_range(), args.hardware)
        .map_err(|source| source.with_way_around("if you know better, `--force` packs it"));
    let image = match (image, &args.encrypted_with) {
        (Err(source), Some(parameters)) => Err(CliError::Decrypted {
            parameters: parameters.clone(),
            source,
        }),
        (image, _) => image.map_err(CliError::from),
    }?;
    let key = read_signing_key(&args.key)?;
    let facts = PackageFacts {
        version: args.version,
        suite: args.suite,
        fragment_bytes: args.fragment_bytes,
        key_id: KeyId(args.key_id),
        trial_attempts: args.trial_attempts,
        hardware: args.hardware,
        security_counter: SecurityCounter(args.security_counter),
    };
    let package = sign(image.bytes, facts, &key)?;
    save_package(&package, &args.output)?;
    let manifest = package.manifest();
    say::line(&format!(
        "{}: version {}, {} bytes in {} fragments of {}, security counter {}",
        args.output.display(),
        manifest.version,
        manifest.size_bytes,
        manifest.fragments(),
        manifest.fragment_bytes,
        manifest.security_counter.0
    ));
    Ok(())
}
