//! A signed manifest, as it travels and as it lies in flash: what decodes encodes to the same bytes, its fragments cover the
//! image exactly, and nobody but the holder of the key signs.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::{new_image, old_image, trusted};
use powercut_upgrade::manifest::{FragmentIndex, SIGNED_MANIFEST_BYTES, SignedManifest};

fuzz_target!(|bytes: &[u8]| {
    let Some(bytes) = bytes.first_chunk::<SIGNED_MANIFEST_BYTES>() else {
        return;
    };
    let Ok(signed) = SignedManifest::decode(bytes) else {
        return;
    };
    assert_eq!(signed.encode(), *bytes);
    let manifest = signed.manifest();
    let last = manifest.fragments() - 1;
    let end = manifest.fragment_offset(FragmentIndex(last)) as usize
        + manifest.fragment_len(FragmentIndex(last));
    assert_eq!(end, manifest.size_bytes as usize);
    assert_ne!(manifest.fragment_len(FragmentIndex(last)), 0);
    if signed.verify(&trusted()).is_ok() {
        let known = [old_image().signed, new_image().signed];
        assert!(known.contains(&signed), "a forgery");
    }
});
