//! Benches that show less than an emulator could: what their plans may ask for, and what their results say was checked.
mod common;
#[path = "common/program.rs"]
mod program;

use std::fs;

use common::Inputs;
use program::{rig, run_plan};
use serde_json::Value;

const UPGRADE: &str = "plan: p\ntimeout_s: 2\nupgrade: { from: 1.0.0, to: 1.1.0 }\n";
/// A plan on a bench whose board hides these things; its bootloader faults at once.
fn hiding(hides: &str, cuts: &str) -> Inputs {
    let inputs = Inputs::new(&format!("{UPGRADE}{cuts}"));
    inputs.write(
        "bench.yaml",
        format!("bench: b\nboards: [{{ name: mb-1, virtual: microbit, hides: [{hides}] }}]\n"),
    );
    inputs
}

fn run(inputs: &Inputs) -> (i32, String, String) {
    run_plan(&inputs.path("."))
}

#[test]
fn a_cut_that_waits_for_what_is_hidden_is_refused_at_its_place_before_anything_has_power() {
    for (hides, cuts, expected) in [
        (
            "operations",
            "cuts: [{ at: { fragment: 17, phase: after-data } }]\n",
            "plan.yaml:4:8: the cut f17/after-data cannot happen on board `mb-1`, which cannot show single flash operations; hang the cut on what the device sends",
        ),
        (
            "running-flash",
            "cuts: [{ random: { count: 2, during: [swap] } }]\n",
            "the cut 2 random in swap cannot happen on board `mb-1`, which cannot show what flash holds while the firmware runs",
        ),
        (
            "datagrams",
            "cuts: [{ at: { request: 3, byte: 5 } }]\n",
            "the cut request3/5 cannot happen on board `mb-1`, which cannot show the datagrams of the device",
        ),
        (
            "flash",
            "",
            "plan.yaml: case 1: how the upgrade ends cannot be checked on board `mb-1`, which cannot show what flash holds",
        ),
    ] {
        let inputs = hiding(hides, cuts);
        let (code, _, complaint) = run(&inputs);
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
        assert!(!inputs.path("out/results.jsonl").exists(), "{hides}");
    }
}

#[test]
fn a_brown_out_and_ram_that_is_kept_are_refused_on_a_board_that_cannot_when_the_plan_is_checked() {
    for cut in [
        "at: { operation: 3, supply: brown-out }",
        "at: { operation: 3, ram: kept }",
        "random: { count: 2, during: [swap], ram: { decayed: 10 } }",
    ] {
        let inputs = Inputs::new(&format!("{UPGRADE}cuts: [{{ {cut} }}]\n"));
        let check = |engine: &str| {
            let board = format!("{{ name: mb-1, virtual: microbit, engine: {engine} }}");
            inputs.write("bench.yaml", format!("bench: b\nboards: [{board}]\n"));
            let arguments = ["plan", "check", "plan.yaml", "--bench", "bench.yaml"];
            rig(&inputs.path("."), &arguments)
        };
        let (code, out, complaint) = check("qemu");
        assert_eq!((code, &*out), (2, ""), "{complaint}");
        let expected = "on board `mb-1`, which cannot show a brown-out, or RAM that outlasts a cut";
        assert!(complaint.contains("plan.yaml:4:8: "), "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
        assert!(
            complaint.contains("leave `supply` and `ram` out"),
            "{complaint}"
        );
        let (code, out, complaint) = check("process");
        assert_eq!(code, 0, "{complaint}");
        assert!(out.contains("with 1 cases"), "{out}");
    }
}

#[test]
fn a_result_lists_as_checked_only_what_its_bench_shows() {
    let inputs = hiding("operations, running-flash, marker", "");
    let (code, _, complaint) = run(&inputs);
    assert_eq!(code, 1, "{complaint}");
    let line = fs::read_to_string(inputs.path("out/results.jsonl")).unwrap();
    let result: Value = serde_json::from_str(&line).unwrap();
    let checked: Vec<&str> = result["checked"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    for hidden in ["S3", "L1", "L3", "L4"] {
        assert!(!checked.contains(&hidden), "{checked:?}");
        let why = result["not_observed"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["invariant"] == hidden)
            .unwrap();
        let why = why["why"].as_str().unwrap();
        assert!(why.starts_with("this board cannot show"), "{why}");
    }
}

#[test]
fn what_cannot_be_hidden_is_refused_with_what_can() {
    let (code, _, complaint) = run(&hiding("everything", ""));
    assert_eq!(code, 2);
    assert!(
        complaint.contains("cannot be `everything`; valid are: operations, running-flash, flash, datagrams, marker, witness"),
        "{complaint}"
    );
}
