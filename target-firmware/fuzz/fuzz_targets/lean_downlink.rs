//! What the platform sends in the lean dialect: what decodes encodes to a message that says the same and proves to be the
//! platform's; what proves to be so encodes to the same bytes.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::lean_key;
use powercut_upgrade::wire::lean::{Downlink, MAX_DOWNLINK_BYTES};

fuzz_target!(|bytes: &[u8]| {
    let key = lean_key();
    let mut received = bytes.to_vec();
    let mut out = [0; MAX_DOWNLINK_BYTES];
    let Ok(message) = Downlink::decode(&mut received) else {
        return;
    };
    let length = message
        .encode(&key, &mut out)
        .expect("the longest message fits");
    let mut again = out[..length].to_vec();
    assert_eq!(Downlink::open(&mut again, &key).as_ref(), Ok(&message));
    if Downlink::open(&mut bytes.to_vec(), &key).is_ok() {
        assert_eq!(&out[..length], bytes);
    }
});
