//! Looks at the image in a slot: its manifest, its digest, and whether it may run.
use core::ops::Range;

use sha2::{Digest, Sha256};

use crate::bootable::{self, VECTOR_BYTES};
use crate::factory::Factory;
use crate::flash::{self, MAX_UNIT_BYTES};
use crate::manifest::{Manifest, SIGNED_MANIFEST_BYTES, SecurityCounter, SignedManifest};
use crate::seeded::{Bug, is_planted};
use crate::slots::{Layout, Placement, Slot};
use crate::watched::WatchedFlash;
use embedded_storage::nor_flash::NorFlash;

/// Bytes hashed at a time.
pub(crate) const HASH_CHUNK_BYTES: usize = 128;

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    /// In which slot.
    pub slot: Slot,
    /// How it lies there.
    pub placement: Placement,
}

impl Location {
    /// The slot that runs.
    pub const ACTIVE: Self = Self {
        slot: Slot::Active,
        placement: Placement::Plain,
    };

    /// What a download leaves.
    pub const STAGING: Self = Self {
        slot: Slot::Staging,
        placement: Placement::Plain,
    };
}

/// Reads the manifest at `location`; `None` if there is none that decodes and fits the slot.
pub fn read_manifest<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    location: Location,
) -> Option<SignedManifest> {
    let mut bytes = [0; SIGNED_MANIFEST_BYTES];
    let address = layout.manifest(location.slot, location.placement);
    if !flash::read(flash, address, &mut bytes) {
        return None;
    }
    SignedManifest::decode(&bytes)
        .ok()
        .filter(|signed| signed.manifest().size_bytes <= layout.image_capacity_bytes())
}

/// Hashes an image piece by piece, so that the caller can do other things in between.
#[derive(Debug, Clone)]
pub(crate) struct Hashing {
    hasher: Sha256,
    location: Location,
    offset: u32,
    size_bytes: u32,
}

impl core::hash::Hash for Hashing {
    fn hash<H: core::hash::Hasher>(&self, hasher: &mut H) {
        self.hasher.clone().finalize().hash(hasher);
        self.offset.hash(hasher);
    }
}

impl Hashing {
    pub(crate) fn new(location: Location, size_bytes: u32) -> Self {
        Self {
            hasher: Sha256::new(),
            location,
            offset: 0,
            size_bytes,
        }
    }

    /// Hashes up to the end of the current page; `Some` is the digest of the whole image.
    pub(crate) fn next_page<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
    ) -> Option<[u8; 32]> {
        let length = layout.page_bytes.min(self.size_bytes - self.offset);
        let first = layout.image_byte(self.location.slot, self.location.placement, self.offset);
        let addresses = first..first + length;
        flash.work_out_from(addresses.clone(), self, |flash, hashing| {
            hashing.hash_bytes_at(flash, addresses);
        });
        (self.offset >= self.size_bytes).then(|| self.hasher.clone().finalize().into())
    }

    /// Hashes what stands at `addresses`, in one page.
    fn hash_bytes_at<F: NorFlash>(&mut self, flash: &mut F, addresses: Range<u32>) {
        let mut chunk = [0; HASH_CHUNK_BYTES];
        let mut address = addresses.start;
        while address < addresses.end {
            let length = ((addresses.end - address) as usize).min(HASH_CHUNK_BYTES);
            let readable = length.next_multiple_of(F::READ_SIZE);
            flash::read(flash, address, &mut chunk[..readable]);
            self.hasher.update(&chunk[..length]);
            address += length as u32;
        }
        self.offset += addresses.end - addresses.start;
    }
}

/// Whether the image at `location` has the digest its manifest names. `alive` is called once a page.
pub(crate) fn digest_matches<F: WatchedFlash>(
    flash: &mut F,
    layout: &Layout,
    location: Location,
    signed: &SignedManifest,
    alive: &mut dyn FnMut(),
) -> bool {
    if is_planted(Bug::DigestNotChecked) {
        return true;
    }
    let Manifest {
        size_bytes,
        image_digest,
        ..
    } = *signed.manifest();
    let pages = (0..size_bytes)
        .step_by(layout.page_bytes as usize)
        .map(|offset| layout.image_byte(location.slot, location.placement, offset));
    flash.ask_about(pages, &(location, size_bytes, image_digest), |flash| {
        let mut hashing = Hashing::new(location, size_bytes);
        loop {
            alive();
            if let Some(digest) = hashing.next_page(flash, layout) {
                return digest == image_digest;
            }
        }
    })
}

/// Whether the image at `location`, of `size_bytes`, begins like a program that can run from ACTIVE.
pub(crate) fn is_bootable<F: NorFlash>(
    flash: &mut F,
    layout: &Layout,
    location: Location,
    size_bytes: u32,
) -> bool {
    const { assert!(F::READ_SIZE <= MAX_UNIT_BYTES && VECTOR_BYTES <= MAX_UNIT_BYTES) }
    let mut bytes = [0; MAX_UNIT_BYTES];
    let readable = VECTOR_BYTES.next_multiple_of(F::READ_SIZE);
    let first = layout.image_byte(location.slot, location.placement, 0);
    flash::read(flash, first, &mut bytes[..readable])
        && bytes.first_chunk().is_some_and(|vectors| {
            bootable::check(vectors, &layout.program_bounds(size_bytes)).is_ok()
        })
}

/// The manifest of the image at `location` if it is whole and not below `minimum`; its signature is not looked at.
#[inline(never)]
pub fn runnable<F: WatchedFlash>(
    flash: &mut F,
    layout: &Layout,
    location: Location,
    minimum: SecurityCounter,
    alive: &mut dyn FnMut(),
) -> Option<SignedManifest> {
    let signed = read_manifest(flash, layout, location)?;
    (signed.manifest().security_counter >= minimum
        && digest_matches(flash, layout, location, &signed, alive))
    .then_some(signed)
}

/// The manifest of the image at `location` if this device may install it: signed, whole, for this hardware and not
/// below `minimum`.
#[inline(never)]
pub fn installable<F: WatchedFlash>(
    flash: &mut F,
    layout: &Layout,
    location: Location,
    factory: &Factory,
    minimum: SecurityCounter,
    alive: &mut dyn FnMut(),
) -> Option<SignedManifest> {
    let signed = runnable(flash, layout, location, minimum, alive)?;
    (signed.manifest().hardware == factory.hardware
        && flash.work_out(&(signed.encode(), factory.trusted_keys), || {
            signed.verify(&factory.trusted_keys).is_ok()
        }))
    .then_some(signed)
}
