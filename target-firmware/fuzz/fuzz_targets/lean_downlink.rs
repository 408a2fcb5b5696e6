//! What the platform sends in the lean dialect: what decodes encodes to the same bytes.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::with_check;
use powercut_upgrade::wire::lean::{Downlink, MAX_DOWNLINK_BYTES};

fuzz_target!(|bytes: &[u8]| {
    for bytes in [bytes.to_vec(), with_check(bytes)] {
        let mut received = bytes.clone();
        if let Ok(message) = Downlink::decode(&mut received) {
            let mut out = [0; MAX_DOWNLINK_BYTES];
            let length = message.encode(&mut out).expect("the longest message fits");
            assert_eq!(&out[..length], &bytes[..]);
        }
    }
});
