//! Link profiles: every text is a profile or refused with a reason.
#![no_main]
libfuzzer_sys::fuzz_target!(|text: &str| rig_controller::fuzzing::link_profile(text));
