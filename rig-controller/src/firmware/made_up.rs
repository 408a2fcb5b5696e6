//! The beginning of images that are made up: the vectors without which no device jumps to them.
use powercut_upgrade::bootable::VECTOR_BYTES;
use powercut_upgrade::slots::Layout;

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
