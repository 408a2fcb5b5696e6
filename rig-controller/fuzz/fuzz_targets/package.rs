//! Packages: what is read is written as the same bytes.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig_controller::fuzzing::package(bytes));
