//! Plans: every text is a plan or refused with a reason.
#![no_main]
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rig_controller::plan::Plan;

fuzz_target!(|text: &str| {
    match Plan::parse(Path::new("p.yaml"), text) {
        Ok(plan) => assert!(!plan.name().is_empty()),
        Err(error) => assert!(error.to_string().starts_with("p.yaml"), "{error}"),
    }
});
