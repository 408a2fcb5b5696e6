//! What `rig` says and how it exits when something it was given cannot be used, or the bench is not there.
mod common;
#[path = "common/program.rs"]
mod program;

use common::Inputs;
use program::{OPTIONS, SOURCES};

const PLAN: &str = "plan: p\nupgrade: { from: 1.0.0, to: 1.1.0 }\n";

/// Runs `rig` where `inputs` are; exit code, stdout and stderr.
fn rig(inputs: &Inputs, arguments: &[&str]) -> (i32, String, String) {
    program::rig(&inputs.path("."), arguments)
}

/// `rig run` on these inputs.
fn run(inputs: &Inputs) -> (i32, String, String) {
    program::run_plan(&inputs.path("."))
}

/// Asserts that `rig run` refuses, saying `expected`, and has started nothing.
fn refuses(inputs: &Inputs, expected: &str) {
    let (code, _, complaint) = run(inputs);
    assert_eq!(code, 2, "{complaint}");
    assert!(complaint.contains(expected), "{complaint}\n{expected}");
    assert!(!inputs.path("out").exists(), "something was begun");
}

#[test]
fn a_plan_with_an_unknown_key_is_refused_with_file_line_and_the_right_key() {
    refuses(
        &Inputs::new(&format!("{PLAN}repaet: 3\n")),
        "plan.yaml:3:1: `repaet` is not a key of a plan; did you mean `repeat`?",
    );
}

#[test]
fn an_image_or_a_link_that_is_not_there_is_found_before_anything_starts() {
    refuses(
        &Inputs::new("plan: p\nupgrade: { from: 1.0.0, to: 1.2.0 }\n"),
        "plan.yaml: case 1: the firmware set in firmware has no image `1.2.0`; it has 1.0.0, 1.1.0",
    );
    refuses(
        &Inputs::new(&format!("{PLAN}link: lossy\n")),
        "plan.yaml: case 1: there is no link profile `lossy` in links; there is: ideal",
    );
}

#[test]
fn a_missing_or_broken_bench_and_firmware_set_are_refused_with_a_remedy() {
    let inputs = Inputs::new(PLAN);
    inputs.write("bench.yaml", "bench: b\nboards: []\n");
    refuses(&inputs, "bench.yaml:2:9: the bench has no boards");
    std::fs::remove_file(inputs.path("bench.yaml")).unwrap();
    refuses(&inputs, "bench.yaml: cannot read the bench");

    let inputs = Inputs::new(PLAN);
    inputs.write("firmware/a.key", "12 34\n");
    refuses(&inputs, "firmware/a.key:1: the key ends after 4 of 64");
    std::fs::remove_file(inputs.path("firmware/set.yaml")).unwrap();
    refuses(&inputs, "build one with `rig firmware build`");
}

#[test]
fn a_case_number_the_plan_does_not_have_is_refused() {
    let inputs = Inputs::new(PLAN);
    let (code, _, complaint) = rig(
        &inputs,
        &[&["run", "plan.yaml"], &OPTIONS[..], &["--only", "1,7"]].concat(),
    );
    assert_eq!(code, 2);
    assert!(
        complaint.contains("there is no case 7; the plan has cases 1 to 1"),
        "{complaint}"
    );
}

#[test]
fn without_an_emulator_every_case_is_a_bench_error_and_the_reports_say_so() {
    let inputs = Inputs::new(PLAN);
    let (code, out, complaint) = run(&inputs);
    assert_eq!(code, 3, "{out}{complaint}");
    assert!(out.contains("1 case: 1 bench error"), "{out}");
    assert!(
        out.ends_with("JUnit: out/junit.xml\nEvidence: out\n"),
        "{out}"
    );
    let junit = std::fs::read_to_string(inputs.path("out/junit.xml")).unwrap();
    assert!(
        junit.contains("cannot start the emulator `/nonexistent/qemu`"),
        "{junit}"
    );
    assert!(junit.contains("apt-get install qemu-system-arm"), "{junit}");
    let lines = std::fs::read_to_string(inputs.path("out/results.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.contains("\"verdict\":\"bench_error\""), "{lines}");
}

#[test]
fn a_port_in_use_is_a_bench_error_of_every_case() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let inputs = Inputs::new(PLAN);
    inputs.write(
        "bench.yaml",
        format!("bench: b\nplatform: {{ port: {port} }}\nboards: [{{ name: mb-1, virtual: microbit }}]\n"),
    );
    let (code, out, _) = run(&inputs);
    assert_eq!(code, 3);
    assert!(out.contains("the port is in use"), "{out}");
}

#[test]
fn the_evidence_of_a_case_is_all_that_is_needed_to_replay_it() {
    let inputs = Inputs::new(PLAN);
    run(&inputs);
    let elsewhere = Inputs::new("not: a plan\n");
    let folder = inputs.path("out/cases/001-mb-1");
    let (code, out, complaint) = rig(
        &elsewhere,
        &[
            "replay",
            folder.to_str().unwrap(),
            "--times",
            "2",
            "--trust",
        ],
    );
    assert_eq!(code, 3, "{complaint}");
    assert!(out.contains("bench error: cannot start"), "{out}");
    assert!(out.contains("2 of 2 runs identical\n"), "{out}");
    assert!(out.contains("identical to the recorded run: "), "{out}");
}

#[test]
fn what_is_no_case_or_is_of_another_bench_or_plan_is_not_replayed() {
    let inputs = Inputs::new(PLAN);
    for (case, expected) in [
        ("p:1:mb-1", "`p:1:mb-1` is not a case"),
        (
            "p:1:mb-9:seed=1:cuts=none",
            "bench.yaml: there is no board `mb-9`; it has mb-1, mb-2",
        ),
        (
            "q:1:mb-1:seed=1:cuts=none",
            "plan.yaml: the case is of plan `q`, this plan is `p`",
        ),
        ("links", "links: cannot read result.json"),
    ] {
        let (code, _, complaint) = rig(&inputs, &[&["replay", case][..], &SOURCES].concat());
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
    }
}

#[test]
fn an_image_is_packed_and_what_is_wrong_with_image_or_key_is_said_with_its_line() {
    let inputs = Inputs::new(PLAN);
    let pack = |image: &str, key: &str| {
        let arguments = [
            "pack",
            image,
            "--version",
            "1.1.0",
            "--key",
            key,
            "-o",
            "a.pcpk",
        ];
        rig(&inputs, &arguments)
    };
    inputs.write("bad.hex", ":019C0000550E\n:019C0100FF00\n:00000001FF\n");
    let (code, _, complaint) = pack("bad.hex", "firmware/a.key");
    assert_eq!(code, 2);
    assert!(complaint.contains("bad.hex:2:"), "{complaint}");
    inputs.write("bad.key", "# a key\nxyz\n");
    let (code, _, complaint) = pack("firmware/new.bin", "bad.key");
    assert_eq!(code, 2);
    assert!(complaint.contains("bad.key:2:"), "{complaint}");
    assert!(!inputs.path("a.pcpk").exists());
    let (code, out, complaint) = pack("firmware/new.bin", "firmware/a.key");
    assert_eq!(code, 0, "{complaint}");
    assert!(out.contains("4000 bytes in 25 fragments of 160"), "{out}");
    assert!(inputs.path("a.pcpk").exists());
}

#[test]
fn a_plan_is_checked_and_listed_without_firmware_or_bench() {
    let inputs = Inputs::new(&format!("{PLAN}repeat: 2\n"));
    let (code, out, _) = rig(&inputs, &["plan", "check", "plan.yaml"]);
    assert_eq!(code, 0);
    assert_eq!(out.lines().count(), 3);
    assert!(
        out.ends_with("plan.yaml: plan p with 2 cases, seed 1\n"),
        "{out}"
    );
}

#[test]
fn progress_costs_no_more_journal_erases_than_it_may_and_a_limit_that_is_exceeded_is_a_failure() {
    let inputs = Inputs::new(PLAN);
    let (code, out, complaint) = rig(&inputs, &["figures", "progress"]);
    assert_eq!(code, 0, "{out}{complaint}");
    for (flash, erases, limit) in [("nrf51", 7, 8), ("nrf52", 3, 3)] {
        let row: Vec<&str> = out
            .lines()
            .find(|line| line.starts_with(flash))
            .unwrap()
            .split_whitespace()
            .collect();
        let [.., whole, of, instead] = row[..] else {
            panic!("{out}");
        };
        assert_eq!(
            [whole, of, instead],
            [erases.to_string(), limit.to_string(), "410".to_owned()]
        );
    }
    let tight = ["figures", "progress", "--journal-erases", "2"];
    let (code, out, _) = rig(&inputs, &tight);
    assert_eq!(code, 1);
    assert!(
        out.contains("nrf52: 3 journal erases in an upgrade, 2 may be"),
        "{out}"
    );
}

#[test]
fn a_reader_that_went_away_makes_nothing_panic() {
    let inputs = Inputs::new(PLAN);
    for arguments in [&["plan", "check", "plan.yaml"][..], &["run", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_rig"))
            .current_dir(inputs.path("."))
            .args(arguments)
            .stdout(writer)
            .stderr(std::process::Stdio::piped())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_plan_is_explored_in_process_each_upgrade_once_and_its_schedules_are_replayed() {
    let inputs = Inputs::new(&format!(
        "{PLAN}repeat: 2\nmatrix: {{ fragment_bytes: [160, 500] }}\n"
    ));
    let explore = |more: &[&str]| {
        let start = [
            "explore",
            "--in-process",
            "plan.yaml",
            "--partition",
            "0/64",
        ];
        // The plan is named above.
        rig(&inputs, &[&start, &SOURCES[2..], more].concat())
    };
    let (code, said, complaint) = explore(&["--junit", "junit.xml"]);
    assert_eq!(code, 0, "{said}{complaint}");
    for slice in ["/2 p:1:mb-1:seed=", "/2 p:3:mb-1:seed=", " 0 failed"] {
        assert!(said.contains(slice), "{said}");
    }
    let junit = std::fs::read_to_string(inputs.path("junit.xml")).unwrap();
    assert!(junit.contains("classname=\"explore.p\""), "{junit}");

    let (code, said, _) = explore(&["--case", "4", "--random", "1"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1/1 p:3:mb-1:seed="), "{said}");
    let (code, _, complaint) = explore(&["--case", "5"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("there is no case 5"), "{complaint}");

    let replay =
        |line: &str, more: &[&str]| rig(&inputs, &[&["replay", line], &SOURCES[..], more].concat());
    let line = "core:p:1:mb-2:seed=3:cuts=op37/before,op90/weak-boots6";
    let (code, said, complaint) = replay(line, &["--times", "2"]);
    assert_eq!(code, 0, "{complaint}");
    assert!(
        said.contains(&format!("{line}: pass\n2 of 2 runs identical")),
        "{said}"
    );
    let (code, said, _) = replay("core:p:1:mb-1:seed=3:cuts=op999999/before", &[]);
    assert_eq!(code, 3, "a cut that never happens is no pass");
    assert!(said.contains("T1"), "{said}");
}

#[test]
fn a_schedule_that_the_board_cannot_show_is_refused_before_the_board_is_started() {
    let inputs = Inputs::new(PLAN);
    let on_board = |line: &str| {
        let start = ["replay", line, "--on-board", "--plan", "plan.yaml"];
        rig(&inputs, &[&start, &SOURCES[2..]].concat())
    };
    for (line, said) in [
        (
            "core:p:1:mb-1:seed=3:cuts=op37/before,op90/weak-looks6",
            "op90/weak-looks6 leaves weak bits",
        ),
        (
            "core:p:1:mb-1:seed=3:cuts=op37/unreadable",
            "op37/unreadable leaves units that cannot be read",
        ),
        (
            "core:p:1:mb-1:seed=3:cuts=none:faults=silent37",
            "silent37 is a fault of flash",
        ),
        (
            "core:tiny:longer:seed=1:cuts=op37/before",
            "is of images made up for exploration",
        ),
    ] {
        let (code, _, complaint) = on_board(line);
        assert_eq!(code, 2, "{complaint}");
        assert!(complaint.contains(said), "{complaint}");
    }
    // This one it could; the bench of this test has no emulator.
    let (code, said, _) = on_board("core:p:1:mb-1:seed=3:cuts=op37/prefix3");
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("cuts=op37/prefix3: pass"),
        "in process: {said}"
    );
    assert!(
        said.contains("cuts that happened: 1 in process, 0 on the board"),
        "{said}"
    );
}

/// An image that looks like one: a vector table, then code that repeats.
fn image_as_hex(inputs: &Inputs) -> String {
    let mut words = [0x0000_A901_u32; 1000];
    words[0] = 0x2000_4000;
    words[4..11].fill(0);
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    inputs.write("image.bin", bytes.as_slice());
    powercut_package::Image {
        base: 0x9C00,
        bytes,
    }
    .to_hex()
}

#[test]
fn an_upload_in_the_suite_m_sequence_is_broken_from_its_ciphertext_and_packed_with_its_parameters()
{
    let inputs = Inputs::new(PLAN);
    let text = image_as_hex(&inputs);
    inputs.write("image.hex", &text);
    inputs.write(
        "register.yaml",
        "polynomial: [23, 18]\nseed: 0x5A5A5A\nstream: per-fragment\n",
    );
    let encrypt = |file: &str, to: &str| {
        let arguments = [
            "m-sequence",
            "encrypt",
            file,
            "--parameters",
            "register.yaml",
            "-o",
            to,
        ];
        assert_eq!(rig(&inputs, &arguments).0, 0);
    };
    encrypt("image.hex", "upload.hex");
    encrypt("image.bin", "upload.bin");
    let read = |name: &str| std::fs::read(inputs.path(name)).unwrap();
    assert_ne!(read("upload.hex"), text.as_bytes());
    for (upload, plain) in [("upload.hex", "image.hex"), ("upload.bin", "image.bin")] {
        let (code, said, _) = rig(
            &inputs,
            &["attack", "m-sequence", upload, "--out", "broken"],
        );
        assert_eq!(code, 0);
        let register =
            "23 stages, x^23 + x^18 + 1, seed 0x5a5a5a; keystream begins anew every 160 bytes";
        assert!(said.contains(register), "{said}");
        assert!(said.contains("keystream bits needed: 4"), "{said}");
        assert!(read("broken") == read(plain), "{upload}");
    }
    let by_hand = [
        "m-sequence",
        "decrypt",
        "upload.hex",
        "--polynomial",
        "23,18",
        "--seed",
        "0x5A5A5A",
        "--stream",
        "per-fragment",
        "-o",
        "decrypted.hex",
    ];
    assert_eq!(rig(&inputs, &by_hand).0, 0);
    assert_eq!(read("decrypted.hex"), text.as_bytes());

    let pack = |file: &str, more: &[&str]| {
        let mut arguments = vec![
            "pack",
            file,
            "--version",
            "1.0.0",
            "--key",
            "firmware/a.key",
            "-o",
            "p.pcpk",
        ];
        arguments.extend(more);
        let (code, _, complaint) = rig(&inputs, &arguments);
        (code, complaint)
    };
    assert_eq!(pack("image.hex", &[]).0, 0);
    let plain = read("p.pcpk");
    assert_eq!(
        pack("upload.hex", &["--encrypted-with", "register.yaml"]).0,
        0
    );
    assert!(read("p.pcpk") == plain);
    let wrong = [
        "--encrypted-with",
        "register.yaml",
        "--encrypted-fragment-bytes",
        "500",
    ];
    let (code, complaint) = pack("upload.hex", &wrong);
    assert_eq!(code, 2);
    assert!(
        complaint.contains("it was decrypted first: check that register.yaml"),
        "{complaint}"
    );
    let (code, _, complaint) = rig(&inputs, &["attack", "m-sequence", "image.hex"]);
    assert_eq!(code, 2);
    assert!(
        complaint.contains("image.hex: the file is not encrypted"),
        "{complaint}"
    );
}

#[test]
fn a_plan_in_the_suite_m_sequence_needs_a_firmware_set_that_has_it() {
    refuses(
        &Inputs::new(&format!("{PLAN}suite: m-sequence\n")),
        "plan.yaml: case 1: image `1.0.0` is wanted in the suite m-sequence, but the firmware set in firmware has no `m_sequence`",
    );
}
