//! What a device sends in the lean dialect: what decodes encodes to the same bytes but for the code, and what was encoded
//! proves that its sender has the key.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::lean_key;
use powercut_upgrade::wire::lean::{MAX_UPLINK_BYTES, Uplink};

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = Uplink::decode(bytes) else {
        return;
    };
    let key = lean_key();
    let mut out = [0; MAX_UPLINK_BYTES];
    let length = message.encode(&key, &mut out);
    let code = match message {
        Uplink::Status(_) => 8,
        Uplink::Request { .. } => 4,
    };
    assert_eq!(out[..length - code], bytes[..bytes.len() - code]);
    assert_eq!(Uplink::verify(&out[..length], &key), Ok(()));
    if Uplink::verify(bytes, &key).is_ok() {
        assert_eq!(&out[..length], bytes);
    }
});
