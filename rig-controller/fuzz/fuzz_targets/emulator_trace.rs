//! What the emulator says of flash, UART and pins: any bytes, in any pieces.
#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rig_controller::fuzzing::emulator_trace(bytes));
