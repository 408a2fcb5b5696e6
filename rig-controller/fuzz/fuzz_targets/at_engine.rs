//! The virtual modem's AT side against a device that sends anything: see `rig_controller::fuzzing::at_engine`.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig_controller::fuzzing::at_engine(bytes));
