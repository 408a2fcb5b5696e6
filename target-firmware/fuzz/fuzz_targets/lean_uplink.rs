//! What a device sends in the lean dialect: what decodes encodes to the same bytes.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::with_check;
use powercut_upgrade::wire::lean::{MAX_UPLINK_BYTES, Uplink};

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), with_check(bytes)] {
        if let Ok(message) = Uplink::decode(&bytes) {
            let mut out = [0; MAX_UPLINK_BYTES];
            let length = message.encode(&mut out);
            assert_eq!(&out[..length], &bytes[..]);
        }
    }
});
