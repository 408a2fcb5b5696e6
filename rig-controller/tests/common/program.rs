//! `rig` as a program.
use std::path::Path;
use std::process::Command;

/// The options of `rig run` for the inputs in a folder, after `run plan.yaml`; the last two say where results go.
#[allow(dead_code, reason = "not every test runs plans")]
pub const OPTIONS: [&str; 8] = [
    "--bench",
    "bench.yaml",
    "--firmware",
    "firmware",
    "--links",
    "links",
    "--out",
    "out",
];

/// The options of verbs that take a line, such as `rig replay`, for the inputs in a folder.
#[allow(dead_code, reason = "not every test takes a line")]
pub const SOURCES: [&str; 8] = [
    "--plan",
    "plan.yaml",
    "--bench",
    "bench.yaml",
    "--firmware",
    "firmware",
    "--links",
    "links",
];

/// Runs the plan in `folder`; exit code, stdout and stderr.
#[allow(dead_code, reason = "not every test runs plans")]
pub fn run_plan(folder: &Path) -> (i32, String, String) {
    rig(folder, &[&["run", "plan.yaml"], &OPTIONS[..]].concat())
}

/// Runs `rig` in `folder`; exit code, stdout and stderr.
pub fn rig(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rig"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}
