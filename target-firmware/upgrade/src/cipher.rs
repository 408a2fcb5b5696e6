//! How fragments are protected on their way. The suite `chacha20-poly1305` (RFC 8439) takes its key from HKDF-SHA-256
//! (RFC 5869) over the device key with the manifest's digest as salt, and the fragment index as nonce: resume needs
//! no cipher state, and no two plaintexts share key and nonce, because the manifest names size, fragment size,
//! suite and image digest. The suite `m-sequence` ([`crate::m_sequence`]) has no tag: whatever arrives opens, and only the
//! digest of the whole image tells whether it was right (and whatever check its dialect has).
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::factory::DeviceKey;
use crate::m_sequence::Configuration;
use crate::manifest::{FragmentIndex, SignedManifest, Suite};

/// Bytes a fragment of `chacha20-poly1305` grows by; no suite has more.
pub const TAG_BYTES: usize = 16;

/// Bytes a fragment grows by when it is sealed under a suite; 0 if that has no tag.
pub const fn overhead_bytes(suite: Suite) -> usize {
    match suite {
        Suite::ChaCha20Poly1305 => TAG_BYTES,
        Suite::MSequence => 0,
    }
}

const INFO: &[u8] = b"powercut fragment chacha20-poly1305 v1";

/// The fragment is not what the platform sent for this index under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAuthentic;

/// The image comes in the suite `m-sequence`, but no polynomial and seed were agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotConfigured;

impl core::fmt::Display for NotConfigured {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(
            "the suite m-sequence needs polynomial, seed and stream, and none are configured",
        )
    }
}

impl core::error::Error for NotConfigured {}

/// The cipher of one download: one device, one manifest.
#[derive(Clone)]
pub struct FragmentCipher(Keyed);

#[derive(Clone)]
enum Keyed {
    ChaCha20Poly1305(ChaCha20Poly1305),
    MSequence(Keystream),
}

#[derive(Clone, Copy)]
struct Keystream {
    configuration: Configuration,
    fragment_bytes: u16,
}

impl Keystream {
    fn add_to(self, index: FragmentIndex, fragment: &mut [u8]) {
        let offset = u32::from(index.0) * u32::from(self.fragment_bytes);
        self.configuration.apply(offset, fragment);
    }
}

impl core::fmt::Debug for FragmentCipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FragmentCipher(..)")
    }
}

impl FragmentCipher {
    /// Derives the download's key, or takes the register that was agreed on, as the manifest's suite demands.
    pub fn new(
        device_key: &DeviceKey,
        m_sequence: Option<Configuration>,
        manifest: &SignedManifest,
    ) -> Result<Self, NotConfigured> {
        let keyed = match manifest.manifest().suite {
            Suite::ChaCha20Poly1305 => Keyed::ChaCha20Poly1305(derived(device_key, manifest)),
            Suite::MSequence => Keyed::MSequence(Keystream {
                configuration: m_sequence.ok_or(NotConfigured)?,
                fragment_bytes: manifest.manifest().fragment_bytes,
            }),
        };
        Ok(Self(keyed))
    }

    /// The 12-byte nonce of a fragment in `chacha20-poly1305`: its index, little-endian, zero padded.
    pub fn nonce(index: FragmentIndex) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..2].copy_from_slice(&index.0.to_le_bytes());
        nonce
    }

    /// Encrypts `fragment` in place and returns its tag; `None` where the suite has none.
    pub fn seal(&self, index: FragmentIndex, fragment: &mut [u8]) -> Option<[u8; TAG_BYTES]> {
        match &self.0 {
            Keyed::ChaCha20Poly1305(cipher) => Some(
                cipher
                    .encrypt_inout_detached(&Nonce::from(Self::nonce(index)), &[], fragment.into())
                    // Only a message of 256 GiB and more is refused.
                    .map_or([0; TAG_BYTES], Into::into),
            ),
            Keyed::MSequence(keystream) => {
                keystream.add_to(index, fragment);
                None
            }
        }
    }

    /// Decrypts `sealed` in place and returns the plaintext; a tag at its end is checked first, and left away.
    pub fn open<'a>(
        &self,
        index: FragmentIndex,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], NotAuthentic> {
        let cipher = match &self.0 {
            Keyed::ChaCha20Poly1305(cipher) => cipher,
            Keyed::MSequence(keystream) => {
                keystream.add_to(index, sealed);
                return Ok(sealed);
            }
        };
        let (fragment, tag) = sealed
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(NotAuthentic)?;
        cipher
            .decrypt_inout_detached(
                &Nonce::from(Self::nonce(index)),
                &[],
                (&mut *fragment).into(),
                &Tag::from(*tag),
            )
            .map_err(|_| NotAuthentic)?;
        Ok(fragment)
    }
}

fn derived(device_key: &DeviceKey, manifest: &SignedManifest) -> ChaCha20Poly1305 {
    let mut key = [0; 32];
    // 32 bytes is far below HKDF's limit of 255 blocks.
    let _ = Hkdf::<Sha256>::new(Some(manifest.digest()), &device_key.0).expand(INFO, &mut key);
    let cipher = ChaCha20Poly1305::new(&key.into());
    key.zeroize();
    cipher
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::m_sequence::{Polynomial, Register, Stream};
    use crate::manifest::{KeyId, Manifest, SecurityCounter, Version};

    fn signed(suite: Suite, fragment_bytes: u16) -> SignedManifest {
        let manifest = Manifest {
            suite,
            key_id: KeyId(1),
            trial_attempts: 3,
            version: Version {
                major: 1,
                minor: 0,
                patch: 0,
            },
            size_bytes: 1000,
            fragment_bytes,
            hardware: 0,
            security_counter: SecurityCounter(0),
            image_digest: [1; 32],
        };
        SignedManifest::new(manifest, [0; 64])
    }

    fn cipher(key: u8, fragment_bytes: u16) -> FragmentCipher {
        let signed = signed(Suite::ChaCha20Poly1305, fragment_bytes);
        FragmentCipher::new(&DeviceKey([key; 32]), None, &signed).unwrap()
    }

    #[test]
    fn a_fragment_opens_only_under_its_own_index_device_and_manifest() {
        let right = cipher(1, 160);
        let mut sealed = [5_u8; 36];
        let tag = right.seal(FragmentIndex(3), &mut sealed[..20]).unwrap();
        sealed[20..].copy_from_slice(&tag);
        assert_ne!(sealed[..20], [5; 20]);

        let open = |cipher: &FragmentCipher, index, mut bytes: [u8; 36]| {
            cipher
                .open(FragmentIndex(index), &mut bytes)
                .map(|plain| plain.to_vec())
        };
        assert_eq!(open(&right, 3, sealed), Ok(std::vec![5; 20]));
        assert_eq!(open(&right, 4, sealed), Err(NotAuthentic));
        assert_eq!(open(&cipher(2, 160), 3, sealed), Err(NotAuthentic));
        assert_eq!(open(&cipher(1, 500), 3, sealed), Err(NotAuthentic));
        assert_eq!(
            right.open(FragmentIndex(3), &mut sealed[..15]),
            Err(NotAuthentic)
        );
    }

    #[test]
    fn a_device_without_a_register_has_no_m_sequence_and_one_with_it_opens_whatever_comes() {
        let signed = signed(Suite::MSequence, 160);
        let key = DeviceKey([1; 32]);
        assert_eq!(
            FragmentCipher::new(&key, None, &signed).err(),
            Some(NotConfigured)
        );
        let polynomial = Polynomial::from_exponents(&[16, 14, 13, 11]).unwrap();
        let configuration = Configuration {
            register: Register::new(polynomial, 0xACE1).unwrap(),
            stream: Stream::Continuous,
        };
        let cipher = FragmentCipher::new(&key, Some(configuration), &signed).unwrap();
        let mut sent = [5_u8; 20];
        assert_eq!(cipher.seal(FragmentIndex(3), &mut sent), None);
        let mut expected = [5_u8; 20];
        configuration
            .register
            .after(3 * 160 * 8)
            .apply(&mut expected);
        assert_eq!(sent, expected);
        sent[7] ^= 0x10;
        let mut damaged = [5_u8; 20];
        damaged[7] ^= 0x10;
        assert_eq!(
            cipher.open(FragmentIndex(3), &mut sent),
            Ok(&mut damaged[..]),
            "nothing but the digest of the image notices"
        );
    }
}
