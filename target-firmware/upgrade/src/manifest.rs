//! What an image is: a manifest of 56 bytes, signed with Ed25519 (RFC 8032) over exactly these bytes, whatever the
//! cipher suite.
//!
//! ```text
//! 0  magic "PCM1"          16 fragment size u16        24 image digest (SHA-256)
//! 4  suite u8              18 hardware id u16          56 Ed25519 signature
//! 5  key id u8             20 security counter u32     120 end
//! 6  trial attempts u8
//! 7  reserved, 0
//! 8  version: major u8, minor u8, patch u16
//! 12 image size u32
//! ```
//! Integers are little-endian.
use core::fmt;

use sha2::{Digest, Sha256};

/// Bytes of the signed part.
pub const MANIFEST_BYTES: usize = 56;
/// Bytes of manifest and signature.
pub const SIGNED_MANIFEST_BYTES: usize = MANIFEST_BYTES + 64;
/// Smallest and largest fragment, bytes of plaintext.
pub const FRAGMENT_BYTES: core::ops::RangeInclusive<u16> = 32..=1024;

const MAGIC: [u8; 4] = *b"PCM1";

/// `major.minor.patch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub patch: u16,
}

impl Version {
    /// Four bytes as in the manifest.
    pub const fn to_bytes(self) -> [u8; 4] {
        let patch = self.patch.to_le_bytes();
        [self.major, self.minor, patch[0], patch[1]]
    }

    /// The inverse of [`Version::to_bytes`].
    pub const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self {
            major: bytes[0],
            minor: bytes[1],
            patch: u16::from_le_bytes([bytes[2], bytes[3]]),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How fragments are protected on their way to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// RFC 8439, key per device and manifest, nonce = fragment index.
    ChaCha20Poly1305 = 1,
    /// The keystream of a shift register ([`crate::m_sequence`]), the same for every image: to reproduce, not to protect.
    MSequence = 2,
}

/// Names one of the signing keys a device trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub u8);

/// Anti-rollback: an image with a lower one than the device has confirmed never runs again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SecurityCounter(pub u32);

/// Position of a fragment in its image, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentIndex(pub u16);

/// First 16 bytes of the SHA-256 of a manifest (without signature): names an image in journals and messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageId(pub [u8; 16]);

impl ImageId {
    /// No image.
    pub const NONE: Self = Self([0; 16]);
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The facts about an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// Cipher suite of the download.
    pub suite: Suite,
    /// Which key signed it.
    pub key_id: KeyId,
    /// Boots the image gets to confirm itself before it is reverted, at least 1.
    pub trial_attempts: u8,
    /// Version of the image.
    pub version: Version,
    /// Image bytes, at least 1.
    pub size_bytes: u32,
    /// Plaintext bytes in a fragment but the last.
    pub fragment_bytes: u16,
    /// What hardware it is for.
    pub hardware: u16,
    /// Anti-rollback counter.
    pub security_counter: SecurityCounter,
    /// SHA-256 of the image.
    pub image_digest: [u8; 32],
}

/// Why bytes are not a manifest, or not one this device accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestError {
    /// The magic is missing: not a manifest at all.
    NotAManifest,
    /// The suite is unknown to this device.
    UnknownSuite(u8),
    /// A field is outside its range; its byte offset.
    Field(u8),
    /// No trusted key has this id.
    UnknownKey(KeyId),
    /// The signature does not match.
    BadSignature,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAManifest => f.write_str("not a manifest (no PCM1 at its start)"),
            Self::UnknownSuite(suite) => write!(f, "cipher suite {suite} is not known"),
            Self::Field(offset) => write!(f, "the field at byte {offset} is outside its range"),
            Self::UnknownKey(id) => write!(f, "signing key {} is not trusted", id.0),
            Self::BadSignature => f.write_str("the signature does not match"),
        }
    }
}

impl core::error::Error for ManifestError {}

impl Manifest {
    /// The bytes that are signed.
    pub fn encode(&self) -> [u8; MANIFEST_BYTES] {
        let mut bytes = [0; MANIFEST_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.suite as u8;
        bytes[5] = self.key_id.0;
        bytes[6] = self.trial_attempts;
        bytes[8..12].copy_from_slice(&self.version.to_bytes());
        bytes[12..16].copy_from_slice(&self.size_bytes.to_le_bytes());
        bytes[16..18].copy_from_slice(&self.fragment_bytes.to_le_bytes());
        bytes[18..20].copy_from_slice(&self.hardware.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.security_counter.0.to_le_bytes());
        bytes[24..].copy_from_slice(&self.image_digest);
        bytes
    }

    /// Reads the signed part; every field is checked against its range.
    pub fn decode(bytes: &[u8; MANIFEST_BYTES]) -> Result<Self, ManifestError> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[..4] != MAGIC {
            return Err(ManifestError::NotAManifest);
        }
        let suite = match bytes[4] {
            1 => Suite::ChaCha20Poly1305,
            2 => Suite::MSequence,
            other => return Err(ManifestError::UnknownSuite(other)),
        };
        let mut image_digest = [0; 32];
        image_digest.copy_from_slice(&bytes[24..]);
        let manifest = Self {
            suite,
            key_id: KeyId(bytes[5]),
            trial_attempts: bytes[6],
            version: Version::from_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            size_bytes: u32_at(12),
            fragment_bytes: u16_at(16),
            hardware: u16_at(18),
            security_counter: SecurityCounter(u32_at(20)),
            image_digest,
        };
        if manifest.trial_attempts == 0 {
            return Err(ManifestError::Field(6));
        }
        if bytes[7] != 0 {
            return Err(ManifestError::Field(7));
        }
        if manifest.size_bytes == 0 {
            return Err(ManifestError::Field(12));
        }
        if !FRAGMENT_BYTES.contains(&manifest.fragment_bytes)
            || !manifest.fragment_bytes.is_multiple_of(4)
            || manifest.size_bytes > 0xFFFF * u32::from(manifest.fragment_bytes)
        {
            return Err(ManifestError::Field(16));
        }
        Ok(manifest)
    }

    /// Number of fragments.
    pub fn fragments(&self) -> u16 {
        self.size_bytes.div_ceil(u32::from(self.fragment_bytes)) as u16
    }

    /// Image offset of a fragment's first byte.
    pub fn fragment_offset(&self, index: FragmentIndex) -> u32 {
        u32::from(index.0) * u32::from(self.fragment_bytes)
    }

    /// Plaintext bytes of a fragment; 0 beyond the last.
    pub fn fragment_len(&self, index: FragmentIndex) -> usize {
        self.size_bytes
            .saturating_sub(self.fragment_offset(index))
            .min(u32::from(self.fragment_bytes)) as usize
    }
}

/// A manifest with its signature, as it travels and as it lies in flash. Holding one means that it decodes, not that
/// its signature was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: Manifest,
    digest: [u8; 32],
    signature: [u8; 64],
}

impl SignedManifest {
    /// Puts a manifest and its signature together.
    pub fn new(manifest: Manifest, signature: [u8; 64]) -> Self {
        let digest = Sha256::digest(manifest.encode()).into();
        Self {
            manifest,
            digest,
            signature,
        }
    }

    /// Reads manifest and signature.
    pub fn decode(bytes: &[u8; SIGNED_MANIFEST_BYTES]) -> Result<Self, ManifestError> {
        let (Some(signed), Some(signature)) = (bytes.first_chunk(), bytes.last_chunk()) else {
            return Err(ManifestError::NotAManifest);
        };
        Ok(Self {
            manifest: Manifest::decode(signed)?,
            digest: Sha256::digest(signed).into(),
            signature: *signature,
        })
    }

    /// The bytes that travel.
    pub fn encode(&self) -> [u8; SIGNED_MANIFEST_BYTES] {
        let mut bytes = [0; SIGNED_MANIFEST_BYTES];
        bytes[..MANIFEST_BYTES].copy_from_slice(&self.manifest.encode());
        bytes[MANIFEST_BYTES..].copy_from_slice(&self.signature);
        bytes
    }

    /// The facts.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the signed part; the salt of the download's key.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The image's name.
    pub fn image_id(&self) -> ImageId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.digest[..16]);
        ImageId(id)
    }

    /// Checks the signature with the key the manifest names.
    #[inline(never)]
    pub fn verify(&self, keys: &TrustedKeys) -> Result<(), ManifestError> {
        let id = self.manifest.key_id;
        let key = keys.find(id).ok_or(ManifestError::UnknownKey(id))?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(key)
            .map_err(|_| ManifestError::UnknownKey(id))?;
        key.verify_strict(
            &self.manifest.encode(),
            &ed25519_dalek::Signature::from_bytes(&self.signature),
        )
        .map_err(|_| ManifestError::BadSignature)
    }
}

/// The signing keys a device trusts: up to two, so that one can be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrustedKeys(pub [Option<(KeyId, [u8; 32])>; 2]);

impl TrustedKeys {
    fn find(&self, id: KeyId) -> Option<&[u8; 32]> {
        self.0
            .iter()
            .flatten()
            .find(|(key_id, _)| *key_id == id)
            .map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::Signer;
    use proptest::prelude::*;

    fn manifest() -> Manifest {
        Manifest {
            suite: Suite::ChaCha20Poly1305,
            key_id: KeyId(1),
            trial_attempts: 3,
            version: Version {
                major: 1,
                minor: 1,
                patch: 0,
            },
            size_bytes: 1000,
            fragment_bytes: 160,
            hardware: 0x51,
            security_counter: SecurityCounter(2),
            image_digest: [7; 32],
        }
    }

    #[test]
    fn a_signature_by_another_key_or_over_other_bytes_is_refused() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let keys = TrustedKeys([Some((KeyId(1), key.verifying_key().to_bytes())), None]);
        let good = SignedManifest::new(manifest(), key.sign(&manifest().encode()).to_bytes());
        assert_eq!(good.verify(&keys), Ok(()));

        let other = ed25519_dalek::SigningKey::from_bytes(&[4; 32]);
        let forged = SignedManifest::new(manifest(), other.sign(&manifest().encode()).to_bytes());
        assert_eq!(forged.verify(&keys), Err(ManifestError::BadSignature));

        let mut changed = good.encode();
        changed[20] ^= 1;
        let changed = SignedManifest::decode(&changed).unwrap();
        assert_eq!(changed.verify(&keys), Err(ManifestError::BadSignature));
    }

    #[test]
    fn the_last_fragment_is_short_and_nothing_follows_it() {
        let m = manifest();
        assert_eq!(m.fragments(), 7);
        assert_eq!(m.fragment_len(FragmentIndex(5)), 160);
        assert_eq!(m.fragment_len(FragmentIndex(6)), 40);
        assert_eq!(m.fragment_len(FragmentIndex(7)), 0);
    }

    proptest! {
        #[test]
        fn decoding_never_panics_and_what_decodes_encodes_to_the_same_bytes(mut bytes in prop::collection::vec(any::<u8>(), MANIFEST_BYTES), valid_head: bool) {
            if valid_head {
                bytes[..8].copy_from_slice(&manifest().encode()[..8]);
                bytes[14..20].copy_from_slice(&manifest().encode()[14..20]);
            }
            let bytes: [u8; MANIFEST_BYTES] = bytes.try_into().unwrap();
            if let Ok(decoded) = Manifest::decode(&bytes) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
        }
    }
}
