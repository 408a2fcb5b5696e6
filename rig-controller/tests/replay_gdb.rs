//! `rig replay --gdb`: a case that stands at its cut, looked at by packets of gdb's protocol as they are on the wire.
mod common;
#[path = "../bench/src/debugger/gdb_client.rs"]
mod gdb_client;
#[path = "common/program.rs"]
mod program;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use common::Inputs;
use gdb_client::GdbClient;
use program::{SOURCES, rig};

const PLAN: &str = "plan: p\ntimeout_s: 60\nupgrade: { from: 1.0.0, to: 1.1.0 }\n";
const LINE: &str = "p:1:mb-1:seed=1:cuts=op1/before";
/// The word that the bootloader programs.
const WORD: &str = "m3f000,4";

/// Inputs whose bootloader programs one word at every boot, and then does nothing for ever.
fn inputs() -> Inputs {
    let inputs = Inputs::new(PLAN);
    inputs.write(
        "bench.yaml",
        "bench: b\nboards: [{ name: mb-1, virtual: microbit }]\n",
    );
    let halfwords: [u16; 16] = [
        0x4000, 0x2000, 0x0009, 0x0000, // stack pointer, reset vector
        0x4803, // 08: ldr  r0, =NVMC.CONFIG
        0x2101, // 0a: movs r1, #1
        0x6001, // 0c: str  r1, [r0]
        0x4A03, // 0e: ldr  r2, =0x3F000
        0x6011, // 10: str  r1, [r2]
        0xE7FE, // 12: b    .
        0xBF00, 0xBF00, 0xE504, 0x4001, 0xF000, 0x0003,
    ];
    let code: Vec<u8> = halfwords.iter().flat_map(|it| it.to_le_bytes()).collect();
    inputs.write("firmware/boot.bin", code);
    inputs
}

fn replay(folder: &Path, more: &[&str]) -> (i32, String, String) {
    rig(folder, &[&["replay", LINE], &SOURCES[..], more].concat())
}

/// A `rig` that serves gdb, and the lines that it says.
struct Serving {
    rig: Child,
    said: BufReader<ChildStdout>,
}

impl Serving {
    fn start(inputs: &Inputs) -> Self {
        let mut rig = Command::new(env!("CARGO_BIN_EXE_rig"))
            .current_dir(inputs.path(""))
            .args(["replay", LINE])
            .args(SOURCES)
            .args(["--gdb", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(rig.stdout.take().unwrap());
        Self { rig, said }
    }

    /// The connection that it says how to make.
    fn attach(&mut self) -> GdbClient {
        let mut line = String::new();
        while !line.contains("target remote ") {
            line.clear();
            let read = self.said.read_line(&mut line).unwrap();
            if read == 0 {
                let mut complaint = String::new();
                let mut stderr = self.rig.stderr.take().unwrap();
                stderr.read_to_string(&mut complaint).unwrap();
                panic!("it ended without serving gdb: {complaint}");
            }
        }
        let address = line.split("target remote ").nth(1).unwrap();
        GdbClient::connect(address.split('\'').next().unwrap())
    }

    /// The rest of its output, and its exit code.
    fn end(mut self) -> (String, i32) {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        (rest, self.rig.wait().unwrap().code().unwrap())
    }
}

#[test]
fn gdb_looks_at_the_cut_and_changes_nothing_in_the_case() {
    let inputs = inputs();
    let (code, alone, _) = replay(&inputs.path(""), &[]);
    let mut serving = Serving::start(&inputs);
    let mut gdb = serving.attach();
    // Before the store that begins the operation.
    assert_eq!(gdb.pc(), 0x10);
    assert_eq!(gdb.ask(WORD), "ffffffff");
    assert!(gdb.ask("s").contains("05"));
    assert_eq!(gdb.pc(), 0x12);
    assert_eq!(gdb.ask(WORD), "01000000");
    // The next boot, as the cut leaves it: the operation has not happened.
    assert!(gdb.monitor("cut").contains("next boot"));
    assert_eq!(gdb.pc(), 8);
    assert_eq!(gdb.ask(WORD), "ffffffff");
    assert_eq!(gdb.ask("Z0,12,2"), "OK");
    assert!(gdb.ask("c").contains("05"));
    assert_eq!(gdb.pc(), 0x12);
    gdb.detach();
    let (rest, looked_at) = serving.end();
    assert!(rest.contains("gdb has left"), "{rest}");
    assert_eq!(looked_at, code);
    let digests = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("flash "));
        lines.map(str::to_owned).collect()
    };
    assert!(!digests(&alone).is_empty(), "{alone}");
    assert_eq!(digests(&rest), digests(&alone));
}

#[test]
fn boards_and_cases_that_gdb_cannot_look_at_are_refused_with_the_reason() {
    let inputs = inputs();
    let (code, _, complaint) = rig(
        &inputs.path(""),
        &["replay", "core:tiny:longer:seed=1:cuts=op7/before", "--gdb"],
    );
    assert_eq!(code, 2);
    assert!(complaint.contains("runs on none"), "{complaint}");
    let (code, _, complaint) = replay(&inputs.path(""), &["--gdb", "0.0.0.0:3333"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("no password"), "{complaint}");
    inputs.write(
        "bench.yaml",
        "bench: b\nengine: qemu\nboards: [{ name: mb-1, virtual: microbit }]\n",
    );
    let (code, _, complaint) = replay(&inputs.path(""), &["--gdb", "127.0.0.1:0"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("engine: process"), "{complaint}");
}
