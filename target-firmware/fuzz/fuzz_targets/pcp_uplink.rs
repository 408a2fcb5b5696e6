//! What a device sends in PCP, as it is and with a check that holds: what decodes encodes to a frame that says the same, and to the
//! same bytes where the high nibble of the version, which nobody looks at, is 0.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::as_pcp_frame;
use powercut_upgrade::wire::{MAX_UPLINK_BYTES, pcp::Uplink};

fuzz_target!(|bytes: &[u8]| {
    for frame in [bytes.to_vec(), as_pcp_frame(bytes)] {
        let Ok(message) = Uplink::decode(&frame) else {
            continue;
        };
        let mut out = [0; MAX_UPLINK_BYTES];
        let length = message.encode(&mut out);
        assert_eq!(Uplink::decode(&out[..length]), Ok(message));
        if frame[2] >> 4 == 0 {
            assert_eq!(&out[..length], &frame[..]);
        }
    }
});
