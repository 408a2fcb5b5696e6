//! Benches: every text is a bench with boards or refused with a reason.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use powercut_bench::inventory::Bench;

fuzz_target!(|text: &str| {
    match Bench::parse(Path::new("b.yaml"), text) {
        Ok(bench) => assert!(!bench.boards.is_empty()),
        Err(error) => assert!(error.to_string().starts_with("b.yaml"), "{error}"),
    }
});
