//! The exploration of the firmware itself: which upgrades of a plan it is of, and how its schedules are run again and made
//! small.
mod common;
#[path = "common/program.rs"]
mod program;

use common::Inputs;
use powercut_explore::CaseName;
use program::SOURCES;
use rig_controller::run::{InputError, Inputs as Loaded, Sources, all_swept};

const PLAN: &str = "plan: p\nupgrade: { from: 1.0.0, to: 1.1.0 }\n";

fn rig(inputs: &Inputs, verb: &str, line: &str, more: &[&str]) -> (i32, String, String) {
    let start = [&[verb, line], &SOURCES[..], more].concat();
    program::rig(&inputs.path("."), &start)
}

/// Inputs whose bootloader programs one word at every boot, and then sleeps for ever.
fn sleeping(plan: &str) -> Inputs {
    let inputs = Inputs::new(plan);
    let halfwords: [u16; 16] = [
        0x4000, 0x2000, 0x0009, 0x0000, // stack pointer, reset vector
        0x4803, // 08: ldr  r0, =NVMC.CONFIG
        0x2101, // 0a: movs r1, #1
        0x6001, // 0c: str  r1, [r0]
        0x4A03, // 0e: ldr  r2, =0x3F000
        0x6011, // 10: str  r1, [r2]
        0xBF30, // 12: wfi
        0xE7FD, // 14: b    12
        0xBF00, 0xE504, 0x4001, 0xF000, 0x0003,
    ];
    let code: Vec<u8> = halfwords.iter().flat_map(|it| it.to_le_bytes()).collect();
    inputs.write("firmware/boot.bin", code);
    inputs
}

fn explored(inputs: &Inputs, chosen: &[usize]) -> Result<Vec<usize>, InputError> {
    let at = |name: &str| inputs.path(name);
    let sources = Sources {
        plan: at("plan.yaml"),
        bench: at("bench.yaml"),
        firmware: at("firmware"),
        links: at("links"),
    };
    let loaded = Loaded::load(sources, None)?;
    let upgrades = all_swept(&loaded, chosen)?;
    let index = |name: &CaseName| name.index;
    Ok(upgrades
        .iter()
        .map(|upgrade| index(&upgrade.name))
        .collect())
}

#[test]
fn cases_that_differ_in_anything_but_cuts_and_repetition_are_explored_each() {
    let inputs = Inputs::new(
        "plan: p
upgrade: { from: 1.0.0, to: 1.1.0 }
repeat: 2
groups:
  - { name: plain }
  - { name: cut, cuts: [{ at: { operation: 3 } }] }
  - { name: window, window: 4 }
  - { name: modem, modem: { answers_ms: { open: 2000 } } }
  - { name: modem-power, modem_power: with_board }
  - { name: power-off, off_ms: 1234 }
  - { name: refetch, expect: { final: to, refetch_fragments_per_cut: 2 } }
  - { name: outcome, expect: { final: from, outcome: reverted } }
  - { name: link, link: slow }
  - { name: size, matrix: { fragment_bytes: [500] } }
  - { name: dialect, dialect: pcp }
",
    );
    inputs.write(
        "links/slow.yaml",
        "description: slow\nround_trip: { median_ms: 900, sigma: 0.2 }\n",
    );
    let all = explored(&inputs, &[]).unwrap();
    assert_eq!(all, [1, 5, 7, 9, 11, 13, 15, 17, 19, 21]);
    assert_eq!(explored(&inputs, &[4, 12]).unwrap(), [1, 11]);
    assert!(matches!(
        explored(&inputs, &[23]),
        Err(InputError::NoCase { asked: 23, .. })
    ));
}

#[test]
fn options_of_a_board_are_refused_where_no_board_runs() {
    let inputs = Inputs::new(PLAN);
    let elf = "elf:p:1:mb-1:seed=3:cuts=op1/before";
    let planned = "core:p:1:mb-1:seed=3:cuts=op1/before";
    let made_up = "core:tiny:longer:seed=1:cuts=op1/before";
    for (line, option, said) in [
        (elf, &["--on-board"][..], "write `core:` in place of `elf:`"),
        (elf, &["--gdb"], "--gdb needs a board"),
        (elf, &["--out", "out"], "--out needs a board"),
        (elf, &["--trust"], "--trust needs a board"),
        (planned, &["--gdb"], "add --on-board"),
        (planned, &["--out", "out"], "add --on-board"),
        (made_up, &["--gdb"], "--gdb needs a board"),
        (made_up, &["--out", "out"], "--out needs a board"),
    ] {
        let (code, _, complaint) = rig(&inputs, "replay", line, option);
        assert_eq!(code, 2, "{line} {option:?}: {complaint}");
        assert!(complaint.contains(said), "{line} {option:?}: {complaint}");
        assert!(!inputs.path("out").exists());
    }
}

#[test]
fn firmware_that_fails_without_a_cut_is_said_to_with_a_line_that_replays_it() {
    let inputs = sleeping(PLAN);
    let start = ["explore", "plan.yaml", "--board", "virtual"];
    for more in [&[][..], &["--compare-core", "2"]] {
        let options = [&start, &SOURCES[2..], more].concat();
        let (code, said, complaint) = program::rig(&inputs.path("."), &options);
        assert_eq!(code, 1, "{said}{complaint}");
        assert!(said.contains("FAILED L2"), "{said}");
        assert!(said.contains("rig replay elf:p:1:mb-1:seed="), "{said}");
    }
}

#[test]
fn failing_schedules_of_firmware_and_core_shrink_to_lines_that_replay_alike() {
    let inputs = sleeping(PLAN);
    for (line, code, small) in [
        (
            "elf:p:1:mb-1:seed=3:cuts=op1/bits5eed,op2/before",
            1,
            "elf:p:1:mb-1:seed=3:cuts=none",
        ),
        (
            "core:tiny:longer:seed=1:cuts=op700/weak-boots6,op999999/before",
            3,
            "core:tiny:longer:seed=1:cuts=op",
        ),
    ] {
        let (found, said, complaint) = rig(&inputs, "shrink", line, &[]);
        assert_eq!(found, code, "{said}{complaint}");
        let shrunk = said
            .lines()
            .find_map(|line| line.split_once("rig replay "))
            .unwrap_or_else(|| panic!("{said}"))
            .1;
        assert!(shrunk.starts_with(small), "{said}");
        assert!(!shrunk.contains(','), "one cut is enough: {said}");
        let line = shrunk.split(' ').next().unwrap();
        let (found, said, _) = rig(&inputs, "replay", line, &["--times", "2"]);
        assert_eq!(found, code, "{said}");
        assert!(said.contains("2 of 2 runs identical"), "{said}");
    }
}

#[test]
fn a_case_shrinks_on_the_bench() {
    let inputs = sleeping(&format!("{PLAN}timeout_s: 5\n"));
    inputs.write(
        "bench.yaml",
        "bench: b\nboards: [{ name: mb-1, virtual: microbit }]\n",
    );
    let (code, said, complaint) = rig(
        &inputs,
        "shrink",
        "p:1:mb-1:seed=1:cuts=op1/half,op2/before",
        &[],
    );
    assert_eq!(code, 1, "{said}{complaint}");
    assert!(
        said.contains("rig replay p:1:mb-1:seed=1:cuts=none"),
        "{said}"
    );
}

#[test]
fn what_does_not_fail_or_has_no_cuts_yet_is_not_shrunk() {
    let inputs = Inputs::new(PLAN);
    let line = "core:tiny:longer:seed=1:cuts=op700/before";
    let (code, said, _) = rig(&inputs, "shrink", line, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("there is nothing to shrink"), "{said}");
    let line = "p:1:mb-1:seed=1:cuts=as-planned";
    let (code, _, complaint) = rig(&inputs, "shrink", line, &[]);
    assert_eq!(code, 2, "{complaint}");
    assert!(
        complaint.contains("before its cuts were drawn"),
        "{complaint}"
    );
}
