//! Names of cipher suites and dialects, as plans, packages, the platform and reports write them.
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

/// The suites the firmware has.
pub const SUITES: [Suite; 2] = [Suite::ChaCha20Poly1305, Suite::MSequence];

/// A cipher suite's name in plans and reports.
pub fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::ChaCha20Poly1305 => "chacha20-poly1305",
        Suite::MSequence => "m-sequence",
    }
}

/// The dialects a device can speak, by their names in plans and reports.
pub const DIALECTS: [(&str, Dialect); 2] = [("lean", Dialect::Lean), ("pcp", Dialect::Pcp)];
