//! Ways into decoders that nothing outside this crate calls, for the fuzz targets in `fuzz/`; only with the feature
//! `fuzzing`. Each takes anything and panics where the decoder breaks a promise.
pub use powercut_bench::board::fuzz_trace as emulator_trace;
pub use powercut_bench::modem::fuzzing::at_engine;
pub use powercut_link::fuzz_profile as link_profile;
pub use powercut_package::fuzzing::{firmware_set, package};
