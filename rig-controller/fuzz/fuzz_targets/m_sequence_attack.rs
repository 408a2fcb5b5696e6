//! The attack on the suite m-sequence: what it says was broken encrypts to the file it was given.
#![no_main]
use libfuzzer_sys::fuzz_target;
use powercut_package::m_sequence::apply;
use powercut_attack::recover;

fuzz_target!(|bytes: &[u8]| {
    match recover(bytes) {
        Ok(broken) => {
            let mut file = broken.plaintext;
            let fragment_bytes = broken.fragment_bytes.unwrap_or(1024);
            if let Ok(fragment_bytes) = u16::try_from(fragment_bytes) {
                apply(&broken.configuration, fragment_bytes, &mut file);
                assert!(file == bytes);
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
