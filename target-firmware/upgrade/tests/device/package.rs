//! Images made up for tests, signed and sealed, and a device that takes them.
use ed25519_dalek::{Signer, SigningKey};
use powercut_upgrade::bootable::VECTOR_BYTES;
use powercut_upgrade::cipher::FragmentCipher;
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::UpgradeFlash;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::m_sequence::{Configuration, FACTORY_OFFSET};
use powercut_upgrade::manifest::{
    FragmentIndex, KeyId, Manifest, SecurityCounter, SignedManifest, Suite, TrustedKeys, Version,
};
use powercut_upgrade::slots::{AddressSpace, Layout, Placement, Region, Slot};
use powercut_upgrade::wire::lean::{Challenge, Downlink, LeanKey, WIRE_VERSION};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES};
use sha2::{Digest, Sha256};

const HARDWARE: u16 = 0x51;
const DEVICE_KEY: [u8; 32] = [0x42; 32];

/// What an image does when it runs on probation; the byte at [`BEHAVIOUR_AT`] says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Good = 1,
    NeverConfirms = 2,
    /// Does not begin like a program: nothing may ever jump to it.
    NoProgram = 3,
}

/// A signed image.
#[derive(Debug, Clone)]
pub struct Package {
    pub signed: SignedManifest,
    pub image: Vec<u8>,
    pub m_sequence: Option<Configuration>,
}

/// The byte of an image that says how it behaves.
pub const BEHAVIOUR_AT: usize = VECTOR_BYTES;
/// Where images run in [`small_layout`] with pages of 256 bytes.
const ACTIVE_START: u32 = 5 * 256;
const RAM_END: u32 = AddressSpace::NRF51.ram.1;

pub struct Recipe {
    pub minor: u8,
    pub counter: u32,
    pub size: usize,
    pub fragment_bytes: u16,
    pub behaviour: Behaviour,
    pub signed_by: u8,
    /// The platform encrypts with this register, in the suite `m-sequence`.
    pub m_sequence: Option<Configuration>,
}

pub fn package(recipe: &Recipe) -> Package {
    let mut image: Vec<u8> = (0..recipe.size)
        .map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ recipe.minor.wrapping_mul(85))
        .collect();
    let (stack, entry) = match recipe.behaviour {
        Behaviour::NoProgram => (0, 0),
        Behaviour::Good | Behaviour::NeverConfirms => {
            (RAM_END - 8 * u32::from(recipe.minor), ACTIVE_START + 9)
        }
    };
    image[..4].copy_from_slice(&u32::to_le_bytes(stack));
    image[4..VECTOR_BYTES].copy_from_slice(&u32::to_le_bytes(entry));
    image[BEHAVIOUR_AT] = recipe.behaviour as u8;
    let manifest = Manifest {
        suite: match recipe.m_sequence {
            None => Suite::ChaCha20Poly1305,
            Some(_) => Suite::MSequence,
        },
        key_id: KeyId(1),
        trial_attempts: 3,
        version: Version {
            major: 1,
            minor: recipe.minor,
            patch: 0,
        },
        size_bytes: image.len() as u32,
        fragment_bytes: recipe.fragment_bytes,
        hardware: HARDWARE,
        security_counter: SecurityCounter(recipe.counter),
        image_digest: Sha256::digest(&image).into(),
    };
    let key = SigningKey::from_bytes(&[recipe.signed_by; 32]);
    let signature = key.sign(&manifest.encode()).to_bytes();
    Package {
        signed: SignedManifest::new(manifest, signature),
        image,
        m_sequence: recipe.m_sequence,
    }
}

pub const SIGNER: u8 = 7;

pub const fn small_layout(page_bytes: u32) -> Layout {
    const fn region(first: u32, pages: u16, page_bytes: u32) -> Region {
        Region {
            start: first * page_bytes,
            pages,
        }
    }
    let layout = Layout {
        page_bytes,
        boot: region(0, 0, page_bytes),
        factory: region(0, 1, page_bytes),
        identification: region(1, 4, page_bytes),
        active: region(5, 6, page_bytes),
        staging: region(11, 7, page_bytes),
        addresses: AddressSpace::NRF51,
    };
    assert!(layout.is_sound());
    layout
}
pub const SMALL_PAGES: usize = 18;

/// A device fresh from the factory, running `package`, with the register that came in; it speaks lean.
pub fn provision<F: UpgradeFlash>(flash: &mut F, layout: &Layout, package: &Package) {
    provision_for(Dialect::Lean, flash, layout, package);
}

/// The same for a device that speaks this dialect.
pub fn provision_for<F: UpgradeFlash>(
    dialect: Dialect,
    flash: &mut F,
    layout: &Layout,
    package: &Package,
) {
    let key = SigningKey::from_bytes(&[SIGNER; 32])
        .verifying_key()
        .to_bytes();
    let factory = Factory {
        hardware: HARDWARE,
        dialect,
        device_id: DeviceId(*b"device01"),
        device_key: DeviceKey(DEVICE_KEY),
        trusted_keys: TrustedKeys([Some((KeyId(1), key)), None]),
        minimum_security_counter: SecurityCounter(1),
    };
    write(flash, layout.factory.start, &factory.encode());
    if let Some(configuration) = package.m_sequence {
        let at = layout.factory.start + FACTORY_OFFSET;
        write(flash, at, &configuration.encode());
    }
    write(flash, layout.active.start, &package.image);
    let manifest = layout.manifest(Slot::Active, Placement::Plain);
    write(flash, manifest, &package.signed.encode());
    Journal::provision(
        flash,
        layout,
        package.signed.image_id(),
        package.signed.manifest().security_counter,
    )
    .unwrap();
}

fn write<F: UpgradeFlash>(flash: &mut F, at: u32, bytes: &[u8]) {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(F::WRITE_SIZE), 0xFF);
    flash.write(at, &padded).unwrap();
}

/// A fragment as the platform sends it, tag or code included.
pub fn seal(offered: &Package, index: FragmentIndex) -> Vec<u8> {
    let manifest = offered.signed.manifest();
    let start = manifest.fragment_offset(index) as usize;
    let mut fragment = offered.image[start..start + manifest.fragment_len(index)].to_vec();
    let key = DeviceKey(DEVICE_KEY);
    let cipher = FragmentCipher::new(&key, offered.m_sequence, &offered.signed).unwrap();
    match cipher.seal(index, &mut fragment) {
        Some(tag) => fragment.extend(tag),
        None => fragment.extend(lean_key().fragment_code(&offered.signed, index, &fragment)),
    }
    fragment
}

/// What authenticates the messages of the one device there is.
pub fn lean_key() -> LeanKey {
    LeanKey::of(&DeviceKey(DEVICE_KEY))
}

/// A message of the platform to it.
pub fn encoded(message: &Downlink<'_>) -> Vec<u8> {
    let mut bytes = vec![0; MAX_DOWNLINK_BYTES];
    let length = message
        .encode(&lean_key(), &mut bytes)
        .expect("it is the longest there is");
    bytes.truncate(length);
    bytes
}

/// An offer of this image, with so many fragments outstanding at a time.
pub fn offer(package: &Package, window: u8) -> Vec<u8> {
    encoded(&Downlink::Offer {
        wire_version: WIRE_VERSION,
        window,
        challenge: Challenge(1),
        manifest: &package.signed.encode(),
    })
}

/// That there is nothing to do.
pub fn nothing() -> Vec<u8> {
    encoded(&Downlink::Nothing {
        retry_after_s: 60,
        challenge: Challenge(1),
    })
}

/// A fragment as it travels.
pub fn fragment(index: FragmentIndex, sealed: &[u8]) -> Vec<u8> {
    encoded(&Downlink::Fragment {
        index: index.0 as u8,
        body: &mut sealed.to_vec(),
    })
}
