//! How fragments are protected on their way. The suite `chacha20-poly1305` (RFC 8439) takes its key from HKDF-SHA-256
//! (RFC 5869) over the device key with the manifest's digest as salt, and the fragment index as nonce: resume needs
//! no cipher state, and no two plaintexts share key and nonce, because the manifest names size, fragment size,
//! suite and image digest.
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::factory::DeviceKey;
use crate::manifest::{FragmentIndex, SignedManifest};

/// Bytes a fragment grows by.
pub const TAG_BYTES: usize = 16;

const INFO: &[u8] = b"powercut fragment chacha20-poly1305 v1";

/// The fragment is not what the platform sent for this index under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAuthentic;

/// The cipher of one download: one device, one manifest.
#[derive(Clone)]
pub struct FragmentCipher(ChaCha20Poly1305);

impl core::fmt::Debug for FragmentCipher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("FragmentCipher(..)")
    }
}

impl FragmentCipher {
    /// Derives the download's key.
    pub fn new(device_key: &DeviceKey, manifest: &SignedManifest) -> Self {
        let mut key = [0; 32];
        // 32 bytes is far below HKDF's limit of 255 blocks.
        let _ = Hkdf::<Sha256>::new(Some(manifest.digest()), &device_key.0).expand(INFO, &mut key);
        let cipher = ChaCha20Poly1305::new(&key.into());
        key.zeroize();
        Self(cipher)
    }

    /// The 12-byte nonce of a fragment: its index, little-endian, zero padded.
    pub fn nonce(index: FragmentIndex) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[..2].copy_from_slice(&index.0.to_le_bytes());
        nonce
    }

    /// Encrypts `fragment` in place and returns its tag.
    pub fn seal(&self, index: FragmentIndex, fragment: &mut [u8]) -> [u8; TAG_BYTES] {
        self.0
            .encrypt_inout_detached(&Nonce::from(Self::nonce(index)), &[], fragment.into())
            // Only a message of 256 GiB and more is refused.
            .map_or([0; TAG_BYTES], Into::into)
    }

    /// Checks the tag at the end of `sealed` and decrypts what is before it in place; returns the plaintext.
    pub fn open<'a>(
        &self,
        index: FragmentIndex,
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], NotAuthentic> {
        let (fragment, tag) = sealed
            .split_last_chunk_mut::<TAG_BYTES>()
            .ok_or(NotAuthentic)?;
        self.0
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::manifest::{KeyId, Manifest, SecurityCounter, Suite, Version};

    fn signed(fragment_bytes: u16) -> SignedManifest {
        let manifest = Manifest {
            suite: Suite::ChaCha20Poly1305,
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

    #[test]
    fn a_fragment_opens_only_under_its_own_index_device_and_manifest() {
        let cipher = FragmentCipher::new(&DeviceKey([1; 32]), &signed(160));
        let mut sealed = [5_u8; 36];
        let tag = cipher.seal(FragmentIndex(3), &mut sealed[..20]);
        sealed[20..].copy_from_slice(&tag);
        assert_ne!(sealed[..20], [5; 20]);

        let open = |cipher: &FragmentCipher, index, mut bytes: [u8; 36]| {
            cipher
                .open(FragmentIndex(index), &mut bytes)
                .map(|plain| plain.to_vec())
        };
        assert_eq!(open(&cipher, 3, sealed), Ok(std::vec![5; 20]));
        assert_eq!(open(&cipher, 4, sealed), Err(NotAuthentic));
        let other_device = FragmentCipher::new(&DeviceKey([2; 32]), &signed(160));
        assert_eq!(open(&other_device, 3, sealed), Err(NotAuthentic));
        let other_manifest = FragmentCipher::new(&DeviceKey([1; 32]), &signed(500));
        assert_eq!(open(&other_manifest, 3, sealed), Err(NotAuthentic));
        assert_eq!(
            cipher.open(FragmentIndex(3), &mut sealed[..15]),
            Err(NotAuthentic)
        );
    }
}
