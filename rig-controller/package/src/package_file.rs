//! Packages: a firmware image made ready for the platform, signed but not yet encrypted. The platform encrypts
//! for each device when it serves.
//!
//! ```text
//! 0    magic "PCPK"
//! 4    version of this format, u16, 1
//! 6    reserved, 0
//! 8    manifest and signature, 120 bytes (as in `powercut_upgrade::manifest`)
//! 128  the image, as many bytes as the manifest says
//! ..   SHA-256 of everything before
//! ```
//! Integers are little-endian. The trailing digest tells damage on the way from a bad signature, which only
//! the device judges: a package with a wrong signature can be read, so that a device can be seen to refuse it.
use std::path::Path;

use ed25519_dalek::{Signer, SigningKey};
use powercut_upgrade::manifest::{
    FRAGMENT_BYTES, KeyId, MANIFEST_BYTES, Manifest, ManifestError, SIGNED_MANIFEST_BYTES,
    SecurityCounter, SignedManifest, Suite, Version,
};
use sha2::{Digest, Sha256};

use super::{FirmwareError, read, write};
use crate::Package;

const MAGIC: [u8; 4] = *b"PCPK";
const FORMAT: u16 = 1;
const MANIFEST_OFFSET: usize = 8;
const IMAGE_OFFSET: usize = MANIFEST_OFFSET + SIGNED_MANIFEST_BYTES;
const DIGEST_BYTES: usize = 32;

/// What a manifest says that does not follow from the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackageFacts {
    /// Version of the image.
    pub version: Version,
    /// Cipher suite of the download.
    pub suite: Suite,
    /// Plaintext bytes in a fragment but the last.
    pub fragment_bytes: u16,
    /// Which of the device's trusted keys signs.
    pub key_id: KeyId,
    /// Boots the image gets to confirm itself.
    pub trial_attempts: u8,
    /// What hardware it is for.
    pub hardware: u16,
    /// Anti-rollback counter.
    pub security_counter: SecurityCounter,
}

/// Make a package of `image` and sign it.
///
/// # Errors
/// When `facts` and the image do not make a manifest a device would accept.
pub fn pack(
    image: Vec<u8>,
    facts: PackageFacts,
    key: &SigningKey,
) -> Result<Package, FirmwareError> {
    let PackageFacts {
        version,
        suite,
        fragment_bytes,
        key_id,
        trial_attempts,
        hardware,
        security_counter,
    } = facts;
    if !FRAGMENT_BYTES.contains(&fragment_bytes) {
        return Err(FirmwareError::CannotPack(ManifestError::Field(16)));
    }
    let size_bytes = u32::try_from(image.len())
        .map_err(|_| FirmwareError::CannotPack(ManifestError::Field(12)))?;
    let manifest = Manifest {
        suite,
        key_id,
        trial_attempts,
        version,
        size_bytes,
        fragment_bytes,
        hardware,
        security_counter,
        image_digest: Sha256::digest(&image).into(),
    };
    let signed: [u8; MANIFEST_BYTES] = manifest.encode();
    // Reading it back applies every check the device will apply.
    Manifest::decode(&signed).map_err(FirmwareError::CannotPack)?;
    let signed = SignedManifest::new(manifest, key.sign(&signed).to_bytes());
    Ok(Package::new(signed, image).unwrap_or_else(|_| unreachable!("made for this very image")))
}

/// Read the package at `path`. Its signature is not checked.
///
/// # Errors
/// When it cannot be read, is damaged, or its manifest describes another image.
pub fn load_package(path: &Path) -> Result<Package, FirmwareError> {
    read_package(path, &read(path)?)
}

/// Whether a file's content claims to be a package.
pub fn is_package(content: &[u8]) -> bool {
    content.starts_with(&MAGIC)
}

/// Write a package.
///
/// # Errors
/// When the file system refuses.
pub fn save_package(package: &Package, path: &Path) -> Result<(), FirmwareError> {
    write(path, &to_bytes(package))
}

/// The bytes of the file.
pub(super) fn to_bytes(package: &Package) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(IMAGE_OFFSET + package.image().len() + DIGEST_BYTES);
    bytes.extend(MAGIC);
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(package.signed().encode());
    bytes.extend_from_slice(package.image());
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    bytes
}

/// Read a package from a file's content; `path` is what complaints call it. Its signature is not checked.
///
/// # Errors
/// When it is damaged, or its manifest describes another image.
pub fn read_package(path: &Path, content: &[u8]) -> Result<Package, FirmwareError> {
    let wrong = |offset: usize, reason: String| FirmwareError::Offset {
        path: path.to_owned(),
        offset: offset as u64,
        reason,
    };
    let cut_short = || {
        wrong(
            content.len(),
            "the package was cut short; copy or make it again".to_owned(),
        )
    };
    if !is_package(content) {
        return Err(wrong(
            0,
            "not a package (no PCPK at its start); make one with `rig pack`".to_owned(),
        ));
    }
    let (head, rest) = content
        .split_first_chunk::<MANIFEST_OFFSET>()
        .ok_or_else(cut_short)?;
    let &[_, _, _, _, low, high, reserved @ ..] = head;
    let format = u16::from_le_bytes([low, high]);
    if format != FORMAT || reserved != [0, 0] {
        return Err(wrong(
            4,
            format!(
                "the package has format {format}, this rig reads {FORMAT}; make it again with `rig pack`"
            ),
        ));
    }
    let (manifest, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
    let (image, found) = rest
        .split_last_chunk::<DIGEST_BYTES>()
        .ok_or_else(cut_short)?;
    let digest_offset = content.len() - DIGEST_BYTES;
    let covered = content.get(..digest_offset).unwrap_or_default();
    if <[u8; DIGEST_BYTES]>::from(Sha256::digest(covered)) != *found {
        return Err(wrong(
            digest_offset,
            "the digest at the end does not match; the file is damaged or cut short, copy it again"
                .to_owned(),
        ));
    }
    let manifest = SignedManifest::decode(manifest).map_err(|source| FirmwareError::Manifest {
        path: path.to_owned(),
        offset: MANIFEST_OFFSET as u64,
        source,
    })?;
    Package::new(manifest, image.to_vec()).map_err(|_| {
        wrong(
            IMAGE_OFFSET,
            "the manifest describes another image; make the package again with `rig pack`"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use powercut_upgrade::manifest::TrustedKeys;
    use proptest::prelude::*;

    use super::*;

    fn facts() -> PackageFacts {
        PackageFacts {
            version: Version {
                major: 1,
                minor: 1,
                patch: 0,
            },
            suite: Suite::ChaCha20Poly1305,
            fragment_bytes: 160,
            key_id: KeyId(1),
            trial_attempts: 3,
            hardware: 0x51,
            security_counter: SecurityCounter(2),
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn package() -> Package {
        pack((0..=u8::MAX).cycle().take(500).collect(), facts(), &key()).unwrap()
    }

    fn parse(content: &[u8]) -> Result<Package, String> {
        super::read_package(Path::new("b.pkg"), content).map_err(|error| error.to_string())
    }

    #[test]
    fn a_package_reads_back_and_its_signature_holds() {
        let package = package();
        let again = parse(&to_bytes(&package)).unwrap();
        assert_eq!(again, package);
        let trusted = TrustedKeys([Some((KeyId(1), key().verifying_key().to_bytes())), None]);
        assert_eq!(again.signed().verify(&trusted), Ok(()));
        assert_eq!(again.manifest().fragments(), 4);
    }

    #[test]
    fn a_package_signed_by_a_stranger_reads_but_does_not_verify() {
        let stranger = SigningKey::from_bytes(&[8; 32]);
        let package = pack(vec![1, 2, 3], facts(), &stranger).unwrap();
        let trusted = TrustedKeys([Some((KeyId(1), key().verifying_key().to_bytes())), None]);
        let again = parse(&to_bytes(&package)).unwrap();
        assert_eq!(
            again.signed().verify(&trusted),
            Err(ManifestError::BadSignature)
        );
    }

    #[test]
    fn what_no_device_would_accept_is_not_packed() {
        let refused =
            |facts, image: &[u8]| pack(image.to_vec(), facts, &key()).unwrap_err().to_string();
        let bad_fragment = PackageFacts {
            fragment_bytes: 161,
            ..facts()
        };
        assert!(refused(bad_fragment, &[1]).contains("the field at byte 16"));
        let no_fragment = PackageFacts {
            fragment_bytes: 0,
            ..facts()
        };
        assert!(refused(no_fragment, &[1]).contains("the field at byte 16"));
        let no_trial = PackageFacts {
            trial_attempts: 0,
            ..facts()
        };
        assert!(refused(no_trial, &[1]).contains("the field at byte 6"));
        assert!(refused(facts(), &[]).contains("the field at byte 12"));
    }

    #[test]
    fn a_manifest_of_another_image_is_noticed_behind_a_right_digest() {
        let mut mixed = to_bytes(&package());
        mixed[IMAGE_OFFSET + 3] ^= 1;
        let covered = mixed.len() - DIGEST_BYTES;
        let digest = Sha256::digest(&mixed[..covered]);
        mixed[covered..].copy_from_slice(&digest);
        assert!(
            parse(&mixed)
                .unwrap_err()
                .contains("byte 0x80: the manifest describes another image")
        );
    }

    #[test]
    fn other_files_and_other_formats_are_told_apart_from_damage() {
        assert!(
            parse(b":0100")
                .unwrap_err()
                .contains("byte 0x0: not a package")
        );
        let mut newer = to_bytes(&package());
        newer[4] = 2;
        assert!(
            parse(&newer)
                .unwrap_err()
                .contains("byte 0x4: the package has format 2, this rig reads 1")
        );
        assert!(
            parse(b"PCPK\x01\0\0\0")
                .unwrap_err()
                .contains("byte 0x8: the package was cut short")
        );
    }

    proptest! {
        #[test]
        fn any_changed_or_missing_byte_is_noticed(at in 0usize..660, change in 1u8..) {
            let bytes = to_bytes(&package());
            prop_assert_eq!(bytes.len(), 660);
            let mut changed = bytes.clone();
            changed[at] ^= change;
            prop_assert!(parse(&changed).is_err());
            prop_assert!(parse(&bytes[..at]).is_err());
        }
    }
}
