//! Descriptions of firmware sets, the register of the suite m-sequence among them: what is read is written and read again.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rig_controller::fuzzing::firmware_set(text));
