//! Proof of origin of lean messages: whoever made one holds the device's key.
//!
//! The key is HKDF-SHA-256 (RFC 5869) over the device key, without salt. A code is HMAC-SHA-256 (RFC 2104), cut to its
//! first 4 or 8 bytes. It takes the place of a check: a message changed on its way is refused like one from a
//! stranger. What a code covers begins with a byte that no other use has, so none serves two purposes.
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::factory::DeviceKey;
use crate::manifest::{FragmentIndex, SignedManifest};

use super::Malformed;

const INFO: &[u8] = b"powercut lean messages v1";
/// Begin what no message begins with.
const HANDLE: u8 = b'h';
const FRAGMENT: u8 = b'f';

/// Names one device's download of one image, as far as a few bytes can: both sides derive it. Two downloads may share
/// one; the code of a message tells whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(pub [u8; 2]);

/// Authenticates messages between one device and the platform.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LeanKey([u8; 32]);

impl core::fmt::Debug for LeanKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("LeanKey(..)")
    }
}

impl LeanKey {
    /// The key of a device.
    #[inline(never)]
    pub fn of(device_key: &DeviceKey) -> Self {
        let mut key = [0; 32];
        // 32 bytes is far below HKDF's limit of 255 blocks.
        let _ = Hkdf::<Sha256>::new(None, &device_key.0).expand(INFO, &mut key);
        Self(key)
    }

    /// The name of this device's download of this image.
    #[inline(never)]
    pub fn handle(&self, manifest: &SignedManifest) -> Handle {
        Handle(self.code(&[&[HANDLE], manifest.digest()]))
    }

    /// The code of a fragment whose suite has no tag. `body` is what travels.
    pub fn fragment_code(
        &self,
        manifest: &SignedManifest,
        index: FragmentIndex,
        body: &[u8],
    ) -> [u8; 4] {
        self.code(&[&[FRAGMENT], manifest.digest(), &index.0.to_le_bytes(), body])
    }

    /// Puts the code of the first `length` bytes behind them; returns the length with it.
    pub(super) fn append<const BYTES: usize>(&self, out: &mut [u8], length: usize) -> usize {
        let code: [u8; BYTES] = self.code(&[&out[..length]]);
        out[length..length + BYTES].copy_from_slice(&code);
        length + BYTES
    }

    /// Checks the code at the end of a message; returns what is before it.
    pub(super) fn checked<'a, const BYTES: usize>(
        &self,
        bytes: &'a [u8],
    ) -> Result<&'a [u8], Malformed> {
        let (body, code) = bytes.split_last_chunk::<BYTES>().ok_or(Malformed)?;
        self.hashed(&[body])
            .verify_truncated_left(code)
            .map_err(|_| Malformed)?;
        Ok(body)
    }

    /// Checks the code at the end of a fragment of a suite without a tag; returns what is before it.
    pub fn checked_fragment<'a>(
        &self,
        manifest: &SignedManifest,
        index: FragmentIndex,
        bytes: &'a mut [u8],
    ) -> Result<&'a mut [u8], Malformed> {
        let (body, code) = bytes.split_last_chunk_mut::<4>().ok_or(Malformed)?;
        self.hashed(&[
            &[FRAGMENT],
            manifest.digest(),
            &index.0.to_le_bytes(),
            &*body,
        ])
        .verify_truncated_left(code)
        .map_err(|_| Malformed)?;
        Ok(body)
    }

    fn code<const BYTES: usize>(&self, parts: &[&[u8]]) -> [u8; BYTES] {
        let whole = self.hashed(parts).finalize().into_bytes();
        let mut code = [0; BYTES];
        code.copy_from_slice(&whole[..BYTES]);
        code
    }

    #[inline(never)]
    fn hashed(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        // As long as a block of the hash: what HMAC would make of the key itself.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        for part in parts {
            mac.update(part);
        }
        mac
    }
}
