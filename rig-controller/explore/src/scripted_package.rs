//! Images as a scripted platform sends them: made up for exploration, signed and sealed with keys that exist only here,
//! or of a firmware set.
use ed25519_dalek::{Signer, SigningKey};
use powercut_upgrade::cipher::overhead_bytes;
use powercut_upgrade::cipher::{FragmentCipher, NotConfigured};
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::m_sequence::Configuration;
use powercut_upgrade::manifest::{
    FragmentIndex, KeyId, Manifest, SecurityCounter, SignedManifest, Suite, TrustedKeys, Version,
};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::Dialect;
use powercut_upgrade::wire::lean::{Handle, LeanKey};
use sha2::{Digest, Sha256};

use powercut_package::put_vectors;

const HARDWARE: u16 = 0x51;
const DEVICE_KEY: [u8; 32] = [0x42; 32];
const TRUSTED: [u8; 32] = [7; 32];
const STRANGER: [u8; 32] = [9; 32];
/// Bytes at each end of a page that hold something where the rest is blank.
const PAGE_END_BYTES: usize = 256;
/// Boots a made-up image gets to confirm itself.
const TRIAL_ATTEMPTS: u8 = 3;

/// A signed image, and its fragments as the platform would send them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScriptedPackage {
    pub(super) signed: SignedManifest,
    /// What was signed.
    pub(super) image: Vec<u8>,
    /// Of the device it is encrypted for.
    key: DeviceKey,
    /// What it is encrypted with in the suite `m-sequence`.
    m_sequence: Option<Configuration>,
    /// What authenticates messages to and from that device.
    pub(super) lean_key: LeanKey,
    /// Names its download of this image.
    pub(super) handle: Handle,
    /// What is sent, as it was before it was encrypted.
    pub(super) sent: Vec<u8>,
    /// What is sent.
    pub(super) sealed: Vec<Vec<u8>>,
    /// What a platform sends that took another image for this one.
    pub(super) swapped: Vec<Vec<u8>>,
}

/// What is special about an image.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Minor version.
    pub minor: u8,
    /// Where it is to run.
    pub layout: Layout,
    /// Its security counter.
    pub security_counter: u32,
    /// Bytes of the image.
    pub size_bytes: usize,
    /// Bytes in a fragment.
    pub fragment_bytes: u16,
    /// `Some(bytes)`: of pages of this size, and of the image, only the ends hold something. What is blank is received,
    /// recorded and verified like all else, but not programmed, so a large page costs few operations.
    pub blank_inside_pages_of: Option<usize>,
    /// Signed by a key the device does not trust.
    pub by_a_stranger: bool,
    /// What is sent differs from what was signed.
    pub corrupt: bool,
    /// Its vectors are those of no program for this chip.
    pub unbootable: bool,
}

impl ScriptedPackage {
    pub(super) fn new(recipe: Recipe) -> Self {
        let (signed, image) = signed_image(recipe, Suite::ChaCha20Poly1305);
        let mut sent = image.clone();
        if recipe.corrupt {
            sent[recipe.size_bytes / 2] ^= 1;
        }
        Self::sealed(DeviceKey(DEVICE_KEY), None, signed, image, sent)
            .unwrap_or_else(|_| unreachable!("chacha20-poly1305 needs no register"))
    }

    /// A package of a firmware set, as the platform serves it to the device with this key.
    ///
    /// # Errors
    /// When it is of the suite `m-sequence` and has no register.
    pub(super) fn served(
        package: &powercut_package::Package,
        key: DeviceKey,
    ) -> Result<Self, NotConfigured> {
        let image = package.image().to_vec();
        let (signed, m_sequence) = (*package.signed(), package.m_sequence());
        Self::sealed(key, m_sequence, signed, image.clone(), image)
    }

    fn sealed(
        key: DeviceKey,
        m_sequence: Option<Configuration>,
        signed: SignedManifest,
        image: Vec<u8>,
        sent: Vec<u8>,
    ) -> Result<Self, NotConfigured> {
        let cipher = FragmentCipher::new(&key, m_sequence, &signed)?;
        let lean_key = LeanKey::of(&key);
        let has_tag = overhead_bytes(signed.manifest().suite) > 0;
        let seal = |sent: &[u8]| {
            sent.chunks(usize::from(signed.manifest().fragment_bytes))
                .enumerate()
                .map(|(index, fragment)| {
                    let mut sealed = fragment.to_vec();
                    let index = FragmentIndex(index as u16);
                    let tag = cipher.seal(index, &mut sealed);
                    sealed.extend(tag.into_iter().flatten());
                    if !has_tag {
                        sealed.extend(lean_key.fragment_code(&signed, index, &sealed));
                    }
                    sealed
                })
                .collect()
        };
        let swapped: Vec<u8> = sent.iter().map(|byte| !byte).collect();
        Ok(Self {
            signed,
            handle: lean_key.handle(&signed),
            sealed: seal(&sent),
            swapped: seal(&swapped),
            sent,
            image,
            key,
            m_sequence,
            lean_key,
        })
    }

    /// Whether the device takes `sealed` for fragment `index` of this image.
    pub(super) fn opens(&self, index: FragmentIndex, sealed: &[u8]) -> bool {
        let mut opened = sealed.to_vec();
        FragmentCipher::new(&self.key, self.m_sequence, &self.signed)
            .is_ok_and(|cipher| cipher.open(index, &mut opened).is_ok())
    }

    /// Boots this image gets to confirm itself.
    pub(super) fn trial_attempts(&self) -> u8 {
        self.signed.manifest().trial_attempts
    }
}

/// The image of a recipe, made up, and its manifest, signed.
pub fn signed_image(recipe: Recipe, suite: Suite) -> (SignedManifest, Vec<u8>) {
    let Recipe {
        minor, size_bytes, ..
    } = recipe;
    let is_blank = |at: usize| {
        recipe.blank_inside_pages_of.is_some_and(|page| {
            (PAGE_END_BYTES..page - PAGE_END_BYTES).contains(&(at % page))
                && at + PAGE_END_BYTES < size_bytes
        })
    };
    // Differs from an image of another minor version in every byte that is not blank, and repeats nowhere within a
    // page.
    let mut image: Vec<u8> = (0..size_bytes)
        .map(|at| {
            if is_blank(at) {
                return 0xFF;
            }
            (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ minor.wrapping_mul(85)
        })
        .collect();
    put_vectors(&mut image, &recipe.layout, minor);
    if recipe.unbootable {
        // An entry without the Thumb bit is the least that can be wrong.
        image[4] &= !1;
    }
    let manifest = Manifest {
        suite,
        key_id: KeyId(1),
        trial_attempts: TRIAL_ATTEMPTS,
        version: Version {
            major: 1,
            minor,
            patch: 0,
        },
        size_bytes: size_bytes as u32,
        fragment_bytes: recipe.fragment_bytes,
        hardware: HARDWARE,
        security_counter: SecurityCounter(recipe.security_counter),
        image_digest: Sha256::digest(&image).into(),
    };
    let key = SigningKey::from_bytes(if recipe.by_a_stranger {
        &STRANGER
    } else {
        &TRUSTED
    });
    let signature = key.sign(&manifest.encode()).to_bytes();
    let signed = SignedManifest::new(manifest, signature);
    (signed, image)
}

/// The identity of the explored device.
pub fn factory() -> Factory {
    let trusted = SigningKey::from_bytes(&TRUSTED).verifying_key().to_bytes();
    Factory {
        hardware: HARDWARE,
        dialect: Dialect::Lean,
        device_id: DeviceId(*b"explored"),
        device_key: DeviceKey(DEVICE_KEY),
        trusted_keys: TrustedKeys([Some((KeyId(1), trusted)), None]),
        minimum_security_counter: SecurityCounter(1),
    }
}
