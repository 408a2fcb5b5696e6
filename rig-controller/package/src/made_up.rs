//! Images and packages that are made up, for tests and loads: the vectors without which no device jumps to an image, and
//! packages that are served but never installed.
use powercut_upgrade::bootable::VECTOR_BYTES;
use powercut_upgrade::manifest::{
    KeyId, Manifest, SecurityCounter, SignedManifest, Suite, Version,
};
use powercut_upgrade::slots::Layout;
use sha2::{Digest, Sha256};

use crate::Package;

/// Puts the vectors of a program for `layout` at the start of `image`: its entry follows them, its stack ends `variant`
/// times 8 bytes below the end of RAM, so that two variants differ in their first byte.
///
/// # Panics
/// When the image has no room for them.
pub fn put_vectors(image: &mut [u8], layout: &Layout, variant: u8) {
    let bounds = layout.program_bounds(image.len() as u32);
    let stack = bounds.ram.1 - 8 * u32::from(variant);
    let entry = bounds.image.0 + VECTOR_BYTES as u32 + 1;
    image[..4].copy_from_slice(&stack.to_le_bytes());
    image[4..VECTOR_BYTES].copy_from_slice(&entry.to_le_bytes());
}

/// A package whose image is `fill` all over; the signature is nothing a device would take.
///
/// # Panics
/// When the image is too long for fragments of that size.
pub fn package(fill: u8, size_bytes: u32, fragment_bytes: u16) -> Package {
    let image = vec![fill; size_bytes as usize];
    let signed = SignedManifest::new(manifest(&image, fragment_bytes), [0; 64]);
    Package::new(signed, image).expect("the manifest is of this image")
}

/// The manifest of version 1.1.0, of this image.
pub(crate) fn manifest(image: &[u8], fragment_bytes: u16) -> Manifest {
    Manifest {
        suite: Suite::ChaCha20Poly1305,
        key_id: KeyId(1),
        trial_attempts: 3,
        version: Version {
            major: 1,
            minor: 1,
            patch: 0,
        },
        size_bytes: image.len() as u32,
        fragment_bytes,
        hardware: 0x51,
        security_counter: SecurityCounter(2),
        image_digest: Sha256::digest(image).into(),
    }
}
