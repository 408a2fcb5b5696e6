//! What the fuzz targets of this folder share: images and devices as the tests of the core make them, flash in the states of
//! an upgrade, and a platform that follows a script.
#[path = "../../upgrade/tests/device/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "of the tests' device only a part is of use here"
)]
mod device;
mod peer;

use std::ops::Range;
use std::sync::OnceLock;

use device::{Behaviour, Package, Recipe, SIGNER, SMALL_PAGES};
use embedded_storage::nor_flash::NorFlash;
use nor_flash_model::{Cut, CutEffect, NorFlashModel, TornShape};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::manifest::{KeyId, TrustedKeys};
use powercut_upgrade::slots::{AddressSpace, Layout, Region};
use powercut_upgrade::wire::{Dialect, pcp};

pub use device::package::lean_key;
pub use peer::Peer;

/// Bytes of early fragments a device holds.
pub const HELD: usize = 512;

const PAGE: usize = 256;
/// Bytes of a fragment.
const FRAGMENT_BYTES: u16 = 96;
/// States of an upgrade to begin with.
const STATES: u64 = 32;

/// Flash of the small device.
pub type Flash = TwiceProgrammable<NorFlashModel<4, PAGE, 2>>;

/// Where things are in it.
pub const LAYOUT: Layout = device::small_layout(PAGE as u32);

/// Where things are in flash with room for [`long_image`].
const LONG_LAYOUT: Layout = {
    const fn region(first: u32, pages: u16) -> Region {
        Region {
            start: first * PAGE as u32,
            pages,
        }
    }
    let layout = Layout {
        page_bytes: PAGE as u32,
        boot: region(0, 0),
        factory: region(0, 1),
        identification: region(1, 4),
        active: region(5, 40),
        staging: region(45, 41),
        addresses: AddressSpace::NRF51,
    };
    assert!(layout.is_sound());
    layout
};
const LONG_PAGES: usize = 86;

fn recipe(minor: u8, counter: u32, size: usize, fragment_bytes: u16) -> Package {
    device::package(&Recipe {
        minor,
        counter,
        size,
        fragment_bytes,
        behaviour: Behaviour::Good,
        signed_by: SIGNER,
        m_sequence: None,
    })
}

/// The image a device runs at first.
pub fn old_image() -> &'static Package {
    static IMAGE: OnceLock<Package> = OnceLock::new();
    IMAGE.get_or_init(|| recipe(0, 2, 700, FRAGMENT_BYTES))
}

/// The image it is offered.
pub fn new_image() -> &'static Package {
    static IMAGE: OnceLock<Package> = OnceLock::new();
    IMAGE.get_or_init(|| recipe(1, 3, 1100, FRAGMENT_BYTES))
}

/// Whom it trusts.
pub fn trusted() -> TrustedKeys {
    let key = ed25519_dalek::SigningKey::from_bytes(&[SIGNER; 32]);
    TrustedKeys([Some((KeyId(1), key.verifying_key().to_bytes())), None])
}

/// The same in more fragments than a byte can count.
fn long_image() -> &'static Package {
    static IMAGE: OnceLock<Package> = OnceLock::new();
    IMAGE.get_or_init(|| recipe(1, 3, 9_600, 32))
}

/// A device fresh from the factory, and what it is to become.
pub struct Scene {
    /// Its flash, running [`old_image`].
    pub flash: Flash,
    /// Where things are in it.
    pub layout: &'static Layout,
    /// The image it is offered.
    pub new: &'static Package,
}

impl Scene {
    /// The one this byte names: bit 0 for a device that speaks PCP, bit 1 for an image of many fragments.
    pub fn named(byte: u8) -> Self {
        static FLASH: [OnceLock<Flash>; 4] = [const { OnceLock::new() }; 4];
        let dialect = if byte & 1 == 1 {
            Dialect::Pcp
        } else {
            Dialect::Lean
        };
        let (layout, pages, new) = if byte & 2 == 2 {
            (&LONG_LAYOUT, LONG_PAGES, long_image())
        } else {
            (&LAYOUT, SMALL_PAGES, new_image())
        };
        let flash = FLASH[usize::from(byte & 3)]
            .get_or_init(|| provisioned(dialect, layout, pages))
            .clone();
        Self { flash, layout, new }
    }
}

fn provisioned(dialect: Dialect, layout: &Layout, pages: usize) -> Flash {
    let mut flash = TwiceProgrammable(NorFlashModel::new(pages));
    device::package::provision_for(dialect, &mut flash, layout, old_image());
    flash
}

fn holding(bytes: &[u8]) -> Option<Flash> {
    let mut flash = TwiceProgrammable(NorFlashModel::new(SMALL_PAGES));
    flash.write(0, bytes).ok()?;
    Some(flash)
}

/// Flash as it is when power goes at different times of an upgrade.
fn states() -> &'static [Vec<u8>] {
    static STATES_SEEN: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    STATES_SEEN.get_or_init(|| {
        let fresh = provisioned(Dialect::Lean, &LAYOUT, SMALL_PAGES);
        let mut uncut = fresh.clone();
        let first = uncut.0.operations();
        device::live::<_, 0, HELD>(&mut uncut, &LAYOUT, old_image(), new_image());
        let operations = uncut.0.operations() - first;
        (0..STATES)
            .map(|state| {
                let mut flash = fresh.clone();
                flash.0.cut_at(Cut {
                    operation: first + 1 + operations * state / STATES,
                    effect: CutEffect::Torn(TornShape::Half),
                });
                let mut left = Vec::new();
                device::live_with::<_, 0, HELD>(
                    &mut flash,
                    &LAYOUT,
                    old_image(),
                    new_image(),
                    |flash| {
                        left = flash.0.bytes();
                    },
                );
                left
            })
            .collect()
    })
}

/// Flash in the state that the first byte names, with the bytes changed that follow, each named by four: place (two,
/// little-endian), how many from there on, what they become. And what is left of the input.
pub fn changed_flash(input: &[u8]) -> Option<(Flash, &[u8])> {
    let (state, rest) = input.split_first()?;
    let mut bytes = states()[usize::from(*state) % states().len()].clone();
    let (changes, rest) = rest.as_chunks::<4>();
    for [low, high, count, value] in changes {
        let at = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
        let end = (at + usize::from(*count) + 1).min(bytes.len());
        bytes[at..end].fill(*value);
    }
    Some((holding(&bytes)?, rest))
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg())
        })
    }) ^ !0
}

/// A frame of PCP with these bytes for version, code and data: magic, length and check are as they have to be.
pub fn as_pcp_frame(bytes: &[u8]) -> Vec<u8> {
    let Some(([version, code], data)) = bytes.split_first_chunk() else {
        return Vec::new();
    };
    let length = (data.len() as u16).to_be_bytes();
    let mut frame = vec![0xFF, 0xFE, *version, *code, 0, 0, length[0], length[1]];
    frame.extend(data);
    let check = pcp::check(frame.iter().copied()).to_be_bytes();
    frame[4..6].copy_from_slice(&check);
    frame
}

/// Writes the CRC-32 of a stretch behind it.
pub fn checked_at(page: &mut [u8], stretch: Range<usize>) {
    let check = crc(&page[stretch.clone()]).to_le_bytes();
    page[stretch.end..stretch.end + 4].copy_from_slice(&check);
}
