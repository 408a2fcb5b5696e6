//! Verdicts at the edges: disks that are full, folders that are taken, processes that are killed, evidence from strangers.
mod common;
#[path = "common/program.rs"]
mod program;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use common::Inputs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use program::{OPTIONS, rig, run_plan};

const PLAN: &str = "plan: p\ntimeout_s: 60\nupgrade: { from: 1.0.0, to: 1.1.0 }\n";
/// Inputs whose bootloader faults at once: a firmware failure, in QEMU, as soon as power is on.
fn faulting(plan: &str) -> Inputs {
    let inputs = Inputs::new(plan);
    bench(&inputs, "qemu-system-arm");
    inputs
}

/// Inputs whose bootloader does nothing for ever.
fn hanging(plan: &str) -> Inputs {
    let inputs = faulting(plan);
    let mut code = vec![0x00, 0x40, 0x00, 0x20, 0x09, 0, 0, 0];
    code.extend([0xFE, 0xE7]);
    inputs.write("firmware/boot.bin", code);
    inputs
}

fn bench(inputs: &Inputs, qemu: &str) {
    inputs.write(
        "bench.yaml",
        format!(
            "bench: b\nengine: qemu\nqemu: {qemu}\nboards: [{{ name: mb-1, virtual: microbit }}]\n"
        ),
    );
}

/// A program in place of QEMU that does `first` and starts it without becoming it; its process id goes to `id`.
fn wrapped(inputs: &Inputs, first: &str) {
    let id = inputs.path("id");
    inputs.write(
        "wrapper",
        format!(
            "#!/bin/sh\n{first}\nqemu-system-arm \"$@\" &\necho $! >> {}\nwait\n",
            id.display()
        ),
    );
    let program = inputs.path("wrapper");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    bench(inputs, program.to_str().unwrap());
}

/// Whether every QEMU that the wrapper has started ends.
fn emulators_end(inputs: &Inputs) -> bool {
    let ids = fs::read_to_string(inputs.path("id")).unwrap();
    let runs = |id: &str| {
        fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| {
            let state = stat.rsplit_once(") ").unwrap().1.chars().next();
            !matches!(state, Some('Z' | 'X'))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while ids.lines().any(runs) {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

fn run(inputs: &Inputs) -> (i32, String, String) {
    run_plan(&inputs.path("."))
}

fn read(inputs: &Inputs, name: &str) -> String {
    fs::read_to_string(inputs.path(name)).unwrap()
}

/// A `rig run` that has begun its first case.
struct Begun(Child);

impl Begun {
    fn new(inputs: &Inputs) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rig"))
            .current_dir(inputs.path("."))
            .args(["run", "plan.yaml"])
            .args(OPTIONS)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().starts_with("case 1 on")));
        Self(child)
    }

    /// Waits until the wrapper has started an emulator.
    fn powered(self, inputs: &Inputs) -> Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs::read_to_string(inputs.path("id"))
            .unwrap_or_default()
            .is_empty()
        {
            assert!(Instant::now() < deadline, "no emulator was started");
            std::thread::yield_now();
        }
        self
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    fn end_by(mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.id().cast_signed()), signal).unwrap();
        self.0.wait().unwrap()
    }
}

#[test]
fn evidence_that_cannot_be_kept_costs_neither_verdict_nor_report() {
    let inputs = faulting(PLAN);
    inputs.write("out/cases", "a file where evidence should go");
    let (code, out, complaint) = run(&inputs);
    assert_eq!(code, 1, "{out}{complaint}");
    assert!(
        out.contains("case 1 on mb-1: firmware failure (S1)"),
        "{out}"
    );
    assert!(
        out.contains("firmware failure: rig replay p:1:mb-1"),
        "{out}"
    );
    assert!(
        complaint.contains("cannot write the evidence out/cases/"),
        "{complaint}"
    );
    let junit = read(&inputs, "out/junit.xml");
    assert!(
        junit.contains("tests=\"1\"") && junit.contains("failures=\"1\""),
        "{junit}"
    );
    assert!(!junit.contains("evidence:"), "{junit}");
    let lines = read(&inputs, "out/results.jsonl");
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.contains("\"evidence\":null"), "{lines}");
}

#[test]
fn evidence_that_does_not_fit_leaves_no_half_behind() {
    let inputs = faulting(PLAN);
    let rig = env!("CARGO_BIN_EXE_rig");
    // Files of at most 2 or 4 KiB, as the shell counts: enough for the reports, too little for an image.
    let line = format!(
        "trap '' XFSZ; ulimit -f 4; exec {rig} run plan.yaml {}",
        OPTIONS.join(" ")
    );
    inputs.write("firmware/new.bin", common::image(3, 40_000));
    let output = Command::new("/bin/sh")
        .current_dir(inputs.path("."))
        .args(["-c", &line])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(complaint.contains("File too large"), "{complaint}");
    assert!(read(&inputs, "out/junit.xml").contains("failures=\"1\""));
    assert!(!inputs.path("out/cases/001-mb-1").exists());
}

#[test]
fn a_report_that_cannot_be_written_costs_no_verdict_and_the_firmwares_failure_stays_one() {
    for (inputs, expected) in [(faulting(PLAN), 1), (Inputs::new(PLAN), 3)] {
        fs::create_dir(inputs.path("out")).unwrap();
        symlink("/dev/full", inputs.path("out/results.jsonl")).unwrap();
        let (code, out, complaint) = run(&inputs);
        assert_eq!(code, expected, "{out}{complaint}");
        assert!(out.contains("case 1 on mb-1: "), "{out}");
        assert!(
            complaint.contains("cannot write the report out/results.jsonl"),
            "{complaint}"
        );
        assert!(read(&inputs, "out/junit.xml").contains("tests=\"1\""));
        assert!(inputs.path("out/cases/001-mb-1/case.txt").exists());
    }
}

#[test]
fn a_folder_is_one_runs_at_a_time_and_free_again_when_that_is_killed() {
    let inputs = hanging(&format!("{PLAN}repeat: 3\n"));
    wrapped(&inputs, "");
    let first = Begun::new(&inputs).powered(&inputs);
    let before = read(&inputs, "out/junit.xml");
    let (code, out, complaint) = run(&inputs);
    assert_eq!(code, 3, "{out}{complaint}");
    let holder = format!("out is in use by process {} since ", first.id());
    assert!(complaint.contains(&holder), "{complaint}");
    assert!(
        complaint.contains("run plan.yaml --bench bench.yaml"),
        "{complaint}"
    );
    assert!(
        complaint.contains("choose another folder with --out"),
        "{complaint}"
    );
    assert_eq!(read(&inputs, "out/junit.xml"), before);

    first.end_by(Signal::SIGKILL);
    // Killed as it was, it has left a report in which no case is green, and no emulator.
    let junit = read(&inputs, "out/junit.xml");
    assert!(junit.contains("tests=\"3\" errors=\"3\""), "{junit}");
    assert_eq!(junit.matches("type=\"not run\"").count(), 3, "{junit}");
    assert!(emulators_end(&inputs));

    bench(&inputs, "/nonexistent/qemu");
    let (_, out, complaint) = run(&inputs);
    assert!(out.contains("3 cases: 3 bench error"), "{out}{complaint}");
}

#[test]
fn a_run_that_is_told_to_stop_leaves_reports_and_no_emulator() {
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let inputs = hanging(&format!("{PLAN}repeat: 2\n"));
        wrapped(&inputs, "");
        let status = Begun::new(&inputs).powered(&inputs).end_by(signal);
        assert_eq!(status.code(), Some(code));
        assert!(emulators_end(&inputs));
        let junit = read(&inputs, "out/junit.xml");
        assert!(junit.contains("tests=\"2\" errors=\"2\""), "{junit}");
        assert!(
            junit.contains("the run was cancelled before this case ended"),
            "{junit}"
        );
        assert_eq!(read(&inputs, "out/results.jsonl"), "");
    }
}

#[test]
fn what_failed_before_its_cuts_were_drawn_is_repeated_by_the_line_that_is_printed() {
    for cuts in [
        "cuts: [ at: { fragment: 17, phase: after-data, torn: half } ]\n",
        "cuts: [ random: { count: 2, during: [swap] } ]\n",
    ] {
        let inputs = Inputs::new(&format!("{PLAN}repeat: 2\n{cuts}"));
        let (code, out, _) = run(&inputs);
        assert_eq!(code, 3, "{out}");
        let line = out
            .lines()
            .find(|line| line.starts_with("bench error: rig run"))
            .unwrap();
        let line = line.strip_prefix("bench error: rig ").unwrap();
        assert!(
            line.starts_with("run plan.yaml --only 1 --seed 1 "),
            "{line}"
        );
        let words: Vec<&str> = line.split(' ').chain(["--out", "again"]).collect();
        let (code, again, complaint) = rig(&inputs.path("."), &words);
        assert_eq!(code, 3, "{again}{complaint}");
        assert!(again.contains("case 1 on mb-1: reference run"), "{again}");
        assert!(
            again.contains("the uncut reference run ended badly: cannot start"),
            "{again}"
        );
        let junit = read(&inputs, "out/junit.xml");
        assert!(!junit.contains("planned cuts: none"), "{junit}");
        assert!(
            junit.contains("planned cuts: f17/after-data/half\n")
                || junit.contains("planned cuts: 2 random in swap\n"),
            "{junit}"
        );
        // So does the folder.
        let (code, out, complaint) = rig(
            &inputs.path("."),
            &["replay", "out/cases/001-mb-1", "--trust", "--times", "2"],
        );
        assert_eq!(code, 3, "{out}{complaint}");
        assert_eq!(
            out.matches("reference run without cuts").count(),
            2,
            "{out}"
        );
        assert!(out.contains("identical to the recorded run"), "{out}");
    }
}

/// A folder of evidence whose bench names a program of its own, which says when it is started.
fn evidence_that_names_a_program() -> Inputs {
    let inputs = faulting(PLAN);
    wrapped(&inputs, "");
    assert_eq!(run(&inputs).0, 1);
    fs::remove_file(inputs.path("id")).unwrap();
    inputs
}

const FOLDER: &str = "out/cases/001-mb-1";

#[test]
fn a_folder_of_evidence_starts_no_program_of_its_own_unless_it_is_trusted() {
    let inputs = evidence_that_names_a_program();
    let started = || inputs.path("id").exists();
    let (code, out, complaint) = rig(&inputs.path("."), &["replay", FOLDER]);
    assert_eq!(code, 1, "{out}{complaint}");
    assert!(
        complaint.contains("/wrapper, which is not started: qemu-system-arm is"),
        "{complaint}"
    );
    assert!(out.contains("identical to the recorded run"), "{out}");
    assert!(!started());
    let (code, _, complaint) = rig(&inputs.path("."), &["replay", FOLDER, "--trust"]);
    assert_eq!((code, complaint.as_str()), (1, ""));
    assert!(started());
}

#[test]
fn nothing_in_a_folder_of_evidence_leads_out_of_it() {
    let inputs = evidence_that_names_a_program();
    let refused = |said: &str| {
        let (code, out, complaint) = rig(&inputs.path("."), &["replay", FOLDER]);
        assert_eq!(code, 2, "{out}{complaint}");
        assert!(complaint.contains(said), "{complaint}");
    };
    for name in [
        "plan.yaml",
        "bench.yaml",
        "result.json",
        "links",
        "links/ideal.yaml",
        "firmware",
        "firmware/set.yaml",
        "firmware/bootloader.hex",
        "firmware/trusted.pub",
    ] {
        let (inside, outside) = (inputs.path(FOLDER).join(name), inputs.path("outside"));
        fs::rename(&inside, &outside).unwrap();
        symlink(&outside, &inside).unwrap();
        refused(&format!(
            "{FOLDER}/{name} is a link; evidence is plain files of one folder"
        ));
        fs::remove_file(&inside).unwrap();
        fs::rename(&outside, &inside).unwrap();
    }
    let set = format!("{FOLDER}/firmware/set.yaml");
    let text = read(&inputs, &set);
    inputs.write(
        &set,
        text.replace("bootloader.hex", "../../../../firmware/boot.bin"),
    );
    refused("set.yaml names `../../../../firmware/boot.bin`");
    inputs.write(&set, text.replace("trusted.pub", "/etc/passwd"));
    refused("set.yaml names `/etc/passwd`");
}

#[test]
fn a_replay_may_keep_its_evidence_where_it_found_the_case() {
    let inputs = evidence_that_names_a_program();
    let plan = read(&inputs, &format!("{FOLDER}/plan.yaml"));
    for _ in 0..2 {
        let (code, out, complaint) = rig(&inputs.path("."), &["replay", FOLDER, "--out", FOLDER]);
        assert_eq!(code, 1, "{out}{complaint}");
        assert_eq!(read(&inputs, &format!("{FOLDER}/plan.yaml")), plan);
    }
}

#[test]
fn places_that_cannot_be_written_are_named_before_anything_has_power() {
    let inputs = faulting(PLAN);
    inputs.write("file", "");
    let out_at = |place: &str| {
        rig(
            &inputs.path("."),
            &[&["run", "plan.yaml"], &OPTIONS[..6], &["--out", place]].concat(),
        )
    };
    for (place, said) in [
        (
            "file",
            "file is a file, and results need a folder; choose another with --out",
        ),
        (
            "file/below",
            "cannot make the folder file/below: Not a directory",
        ),
        ("/proc/nowhere", "cannot make the folder /proc/nowhere"),
    ] {
        let (code, out, complaint) = out_at(place);
        assert_eq!(code, 3, "{out}{complaint}");
        assert!(complaint.contains(said), "{complaint}");
        assert!(!out.contains("case 1"), "{out}");
    }
}
