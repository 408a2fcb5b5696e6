//! What the platform sends in PCP, as it is and with a check that holds: what decodes encodes to a frame that says the same, and to the
//! same bytes where the high nibble of the version, which nobody looks at, is 0.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_core_fuzz::as_pcp_frame;
use powercut_upgrade::wire::pcp::Downlink;

fuzz_target!(|bytes: &[u8]| {
    for frame in [bytes.to_vec(), as_pcp_frame(bytes)] {
        let mut received = frame.clone();
        let Ok(message) = Downlink::decode(&mut received) else {
            continue;
        };
        let mut out = vec![0; frame.len()];
        let length = message.encode(&mut out).expect("it is as long as before");
        assert_eq!(length, frame.len());
        let mut again = out.clone();
        assert_eq!(Downlink::decode(&mut again).as_ref(), Ok(&message));
        if frame[2] >> 4 == 0 {
            assert_eq!(out, frame);
        }
    }
});
