//! Host side of Powercut: plans become cases, cases run on boards whose power is cut, the oracle judges
//! the flash that is found, and reports say so.
//!
//! Dependencies point one way: `cli -> run -> case -> bench, platform, explore, report -> oracle -> package -> upgrade`.

// Results go out through `cli::say`, which outlives a reader that went away; `println!` would panic.
#![cfg_attr(not(test), warn(clippy::print_stdout, clippy::print_stderr))]
pub mod case;
pub mod cli;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod plan;
pub mod report;
pub mod run;
