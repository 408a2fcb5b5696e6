//! Hands the linker its scripts.

use std::env;

fn main() {
    // `memory.x` is beside this file; link.x from cortex-m-rt includes it.
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::rustc-link-search={here}");
    println!("cargo::rerun-if-changed=memory.x");
    println!("cargo::rustc-check-cfg=cfg(rust_analyzer)");
    println!("cargo::rustc-link-arg-tests=-Tlink.x");
    // Each suite needs one of these; the other is without effect there.
    println!("cargo::rustc-link-arg-tests=-Tembedded-test.x");
    println!("cargo::rustc-link-arg-tests=-Tdefmt.x");
}
