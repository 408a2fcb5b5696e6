//! Key files: a line that says which half of a key pair it is, then 32 bytes in hexadecimal, spread over as many lines as
//! one likes; `#` begins a comment.
//!
//! ```text
//! # Signs the images of the tests.
//! ed25519 signing key
//! c9adb2cc66d495a77e8ece36e507ae234a3ef822829693b6f7e6b5b371dccd63
//! ```
//! The other half is `ed25519 public key`. That line has to be there: the bytes of both halves look alike, a signature
//! made with a public key is worth nothing, and a signing key given for a public one would be written into devices.
//!
//! A signing key is the 32-byte seed of RFC 8032, section 5.1.5.
use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};

use super::text::{bare, lines};
use super::{FirmwareError, read_text};

/// Which half of a key pair a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    Signing,
    Public,
}

impl Half {
    /// The line that says so.
    const fn line(self) -> &'static str {
        match self {
            Self::Signing => "ed25519 signing key",
            Self::Public => "ed25519 public key",
        }
    }

    /// The half that this line names, if it names one.
    fn named_by(line: &[u8]) -> Option<Self> {
        [Self::Signing, Self::Public].into_iter().find(|half| {
            let words = line
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty());
            words
                .map(<[u8]>::to_ascii_lowercase)
                .eq(half.line().split(' ').map(str::as_bytes))
        })
    }
}

/// What a key file says.
struct KeyFile {
    half: Option<Half>,
    bytes: [u8; 32],
    /// The line on which the bytes begin.
    line: usize,
}

/// Read an Ed25519 signing key.
///
/// # Errors
/// When the file cannot be read, does not hold 32 bytes, or does not say that they are a signing key.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, FirmwareError> {
    let key = parse(path, &read_text(path)?)?;
    let wrong = |reason: String| wrong(path, key.line, reason);
    match key.half {
        Some(Half::Signing) => Ok(SigningKey::from_bytes(&key.bytes)),
        Some(Half::Public) => Err(wrong(format!(
            "this is a public key, which cannot sign; give the file with its other half, which has the line `{}`",
            Half::Signing.line()
        ))),
        None => Err(wrong(format!(
            "the file does not say whether this is a signing key or a public key; if it is the signing key, put the line `{}` above it",
            Half::Signing.line()
        ))),
    }
}

/// Read an Ed25519 public key.
///
/// # Errors
/// When the file cannot be read, does not hold 32 bytes, does not say that they are a public key, or they are no point of the
/// curve.
pub fn read_verifying_key(path: &Path) -> Result<VerifyingKey, FirmwareError> {
    let key = parse(path, &read_text(path)?)?;
    let wrong = |reason: String| wrong(path, key.line, reason);
    match key.half {
        Some(Half::Public) => VerifyingKey::from_bytes(&key.bytes).map_err(|_| {
            wrong("these 32 bytes are no Ed25519 public key; copy the file again".to_owned())
        }),
        Some(Half::Signing) => Err(wrong(format!(
            "this is a signing key, which has to stay secret, where a public key belongs; give a file with the line `{}` and below it this one's public half, {}",
            Half::Public.line(),
            hex::encode(
                SigningKey::from_bytes(&key.bytes)
                    .verifying_key()
                    .to_bytes()
            )
        ))),
        None => Err(wrong(format!(
            "the file does not say whether this is a signing key or a public key; if it is the public key, put the line `{}` above it",
            Half::Public.line()
        ))),
    }
}

/// The content of a file from which [`read_signing_key`] reads this key.
pub fn signing_key_text(key: &SigningKey) -> String {
    format!(
        "{}\n{}\n",
        Half::Signing.line(),
        hex::encode(key.to_bytes())
    )
}

fn wrong(path: &Path, line: usize, reason: String) -> FirmwareError {
    FirmwareError::Line {
        path: path.to_owned(),
        line,
        reason,
    }
}

fn parse(path: &Path, content: &[u8]) -> Result<KeyFile, FirmwareError> {
    let mut half = None;
    let mut bytes = [0; 32];
    let mut digits = 0;
    let mut first_line = 0;
    let mut last_line = 1;
    for (number, line) in lines(bare(content)) {
        let wrong = |reason: &str| wrong(path, number, reason.to_owned());
        let code = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        if digits == 0 && half.is_none() {
            half = Half::named_by(code);
            if half.is_some() {
                last_line = number;
                continue;
            }
        }
        if code.starts_with(b"-----BEGIN") {
            return Err(wrong(
                "a PEM file, and a key file of rig has 64 hexadecimal digits; `openssl pkey -in FILE -text -noout` prints both halves of an Ed25519 key",
            ));
        }
        for byte in code.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            let digit = char::from(*byte).to_digit(16).ok_or_else(|| {
                // What is there is not shown: it may be part of a secret.
                wrong("a character that is no hexadecimal digit; a key is 64 of them, and comments begin with #")
            })?;
            let Some(place) = bytes.get_mut(digits / 2) else {
                return Err(wrong(
                    "more than 64 hexadecimal digits; a key file holds one key",
                ));
            };
            *place = (*place << 4) | digit as u8;
            if digits == 0 {
                first_line = number;
            }
            digits += 1;
            last_line = number;
        }
    }
    if digits < 64 {
        return Err(wrong(
            path,
            last_line,
            format!("the key ends after {digits} of 64 hexadecimal digits; copy the file again"),
        ));
    }
    Ok(KeyFile {
        half,
        bytes,
        line: first_line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(content: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.key");
        std::fs::write(&path, content).unwrap();
        let text = read_signing_key(&path).unwrap_err().to_string();
        text.rsplit_once('/').unwrap().1.to_owned()
    }

    #[test]
    fn the_test_keys_that_come_with_powercut_belong_together() {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/keys");
        let signing = read_signing_key(&keys.join("test-signing.key")).unwrap();
        let verifying = read_verifying_key(&keys.join("test-signing.pub")).unwrap();
        assert_eq!(signing.verifying_key().to_bytes(), verifying.to_bytes());
    }

    #[test]
    fn a_signing_key_that_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.key");
        let key = SigningKey::from_bytes(&[7; 32]);
        std::fs::write(&path, signing_key_text(&key)).unwrap();
        assert_eq!(read_signing_key(&path).unwrap(), key);
    }

    #[test]
    fn a_key_that_is_too_short_too_long_or_no_key_is_refused_with_its_line() {
        assert!(complaint("# only a comment\n").starts_with("k.key:1: the key ends after 0 of 64"));
        assert!(
            complaint(&format!(
                "# c\n{}\n{}\n\n",
                "ab".repeat(16),
                "cd".repeat(15)
            ))
            .starts_with("k.key:3: the key ends after 62 of 64")
        );
        assert!(complaint(&"ab".repeat(33)).starts_with("k.key:1: more than 64"));
        let secret = complaint("# c\nabsecretx\n");
        assert!(
            secret.starts_with("k.key:2: a character that is no") && !secret.contains("secretx"),
            "{secret}"
        );
    }

    fn public(content: &str) -> Result<VerifyingKey, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pub");
        std::fs::write(&path, content).unwrap();
        read_verifying_key(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn each_half_of_a_pair_is_refused_where_the_other_belongs() {
        let signing = format!("# c\ned25519 signing key\n{}\n", "ab".repeat(32));
        let half = SigningKey::from_bytes(&[0xAB; 32]).verifying_key();
        let half = hex::encode(half.to_bytes());
        let text = public(&signing).unwrap_err();
        assert!(text.contains("k.pub:3: this is a signing key"), "{text}");
        assert!(text.ends_with(&half), "{text}");
        assert!(!text.contains("abab"), "{text}");
        let public_file = format!("Ed25519  Public Key\r\n{half}\r\n");
        assert!(public(&public_file).is_ok());
        assert!(
            complaint(&public_file).starts_with("k.key:2: this is a public key, which cannot sign")
        );
    }

    #[test]
    fn a_file_that_does_not_say_which_half_it_is_is_refused_with_the_line_that_it_lacks() {
        let digits = hex::encode(SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes());
        let text = complaint(&format!("# c\n{digits}\n"));
        assert!(
            text.starts_with("k.key:2: the file does not say whether"),
            "{text}"
        );
        assert!(text.contains("`ed25519 signing key`"), "{text}");
        let text = public(&digits).unwrap_err();
        assert!(text.contains("`ed25519 public key`"), "{text}");
        // Below the digits it comes too late.
        let text = complaint(&format!("{digits}\ned25519 signing key\n"));
        assert!(text.starts_with("k.key:2: more than 64"), "{text}");
    }

    #[test]
    fn key_files_of_other_programs_are_named_without_what_is_in_them() {
        let text = complaint("-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n");
        assert!(text.starts_with("k.key:1: a PEM file"), "{text}");
        assert!(!text.contains("MC4CAQAw"), "{text}");
    }

    #[test]
    fn bytes_that_are_no_point_of_the_curve_are_no_public_key() {
        let text = public(&format!(
            "# bad\ned25519 public key\n02{}\n",
            "00".repeat(31)
        ));
        let text = text.unwrap_err();
        assert!(
            text.contains("k.pub:3: these 32 bytes are no Ed25519 public key"),
            "{text}"
        );
    }
}
