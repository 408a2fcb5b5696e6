//! Key files: 32 bytes in hexadecimal, spread over as many lines as one likes; `#` begins a comment.
//!
//! A signing key is the 32-byte seed of RFC 8032, section 5.1.5.
use std::path::Path;

use ed25519_dalek::{SigningKey, VerifyingKey};

use super::{FirmwareError, read};

/// Read an Ed25519 signing key.
///
/// # Errors
/// When the file cannot be read or does not hold 32 bytes.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, FirmwareError> {
    let (bytes, _) = parse(path, &read(path)?)?;
    Ok(SigningKey::from_bytes(&bytes))
}

/// Read an Ed25519 public key.
///
/// # Errors
/// When the file cannot be read, does not hold 32 bytes, or these are no point of the curve.
pub fn read_verifying_key(path: &Path) -> Result<VerifyingKey, FirmwareError> {
    let (bytes, line) = parse(path, &read(path)?)?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| FirmwareError::Line {
        path: path.to_owned(),
        line,
        reason: "these 32 bytes are no Ed25519 public key; is this the signing key instead?"
            .to_owned(),
    })
}

/// The 32 bytes, and the line on which they begin.
fn parse(path: &Path, content: &[u8]) -> Result<([u8; 32], usize), FirmwareError> {
    let mut bytes = [0; 32];
    let mut digits = 0;
    let mut first_line = 0;
    let mut last_line = 1;
    for (number, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let number = number + 1;
        let wrong = |reason: String| FirmwareError::Line {
            path: path.to_owned(),
            line: number,
            reason,
        };
        let code = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        for byte in code.iter().filter(|byte| !byte.is_ascii_whitespace()) {
            let digit = char::from(*byte).to_digit(16).ok_or_else(|| {
                // What is there is not shown: it may be part of a secret.
                wrong("a character that is no hexadecimal digit; a key is 64 of them, and comments begin with #".to_owned())
            })?;
            let Some(place) = bytes.get_mut(digits / 2) else {
                return Err(wrong(
                    "more than 64 hexadecimal digits; a key file holds one key".to_owned(),
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
        return Err(FirmwareError::Line {
            path: path.to_owned(),
            line: last_line,
            reason: format!(
                "the key ends after {digits} of 64 hexadecimal digits; copy the file again"
            ),
        });
    }
    Ok((bytes, first_line))
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
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/keys");
        let signing = read_signing_key(&keys.join("test-signing.key")).unwrap();
        let verifying = read_verifying_key(&keys.join("test-signing.pub")).unwrap();
        assert_eq!(signing.verifying_key().to_bytes(), verifying.to_bytes());
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

    #[test]
    fn bytes_that_are_no_point_of_the_curve_are_no_public_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k.pub");
        std::fs::write(&path, format!("# bad\n02{}\n", "00".repeat(31))).unwrap();
        let text = read_verifying_key(&path).unwrap_err().to_string();
        assert!(
            text.contains("k.pub:2: these 32 bytes are no Ed25519 public key"),
            "{text}"
        );
    }
}
