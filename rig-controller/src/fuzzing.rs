//! Ways into decoders that nothing outside this crate calls, for the fuzz targets in `fuzz/`; only with the feature
//! `fuzzing`. Each takes anything and panics where the decoder breaks a promise.
pub use crate::board::fuzz_trace as emulator_trace;
pub use crate::link::fuzz_profile as link_profile;
pub use crate::modem::fuzzing::at_engine;
pub use powercut_package::fuzzing::{firmware_set, package};
