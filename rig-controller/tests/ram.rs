//! Firmware that takes the content of RAM for its own fails where a cut leaves RAM as it was, and there alone.
mod common;
#[path = "common/program.rs"]
mod program;

use common::Inputs;
use program::{SOURCES, rig};

/// Inputs whose bootloader keeps a mark in RAM, programs a word and hangs. If it finds the mark, it takes that for a state of its
/// own that cannot be, and faults.
fn trusts_ram() -> Inputs {
    let inputs = Inputs::new("plan: p\ntimeout_s: 2\nupgrade: { from: 1.0.0, to: 1.1.0 }\n");
    inputs.write(
        "bench.yaml",
        "bench: b\nboards: [{ name: mb-1, virtual: microbit }]\n",
    );
    let halfwords: [u16; 26] = [
        0x4000, 0x2000, 0x0009, 0x0000, // stack pointer, reset vector
        0x4806, // 08: ldr  r0, =0x20000100
        0x4907, // 0a: ldr  r1, =mark
        0x6802, // 0c: ldr  r2, [r0]
        0x428A, // 0e: cmp  r2, r1
        0xD006, // 10: beq  20
        0x6001, // 12: str  r1, [r0]
        0x4B05, // 14: ldr  r3, =NVMC.CONFIG
        0x2401, // 16: movs r4, #1
        0x601C, // 18: str  r4, [r3]
        0x4D05, // 1a: ldr  r5, =0x3F000
        0x602C, // 1c: str  r4, [r5]
        0xE7FE, // 1e: b    .
        0xDE00, // 20: udf
        0xBF00, 0x0100, 0x2000, 0xCAFE, 0x600D, 0xE504, 0x4001, 0xF000, 0x0003,
    ];
    let code: Vec<u8> = halfwords.iter().flat_map(|it| it.to_le_bytes()).collect();
    inputs.write("firmware/boot.bin", code);
    inputs
}

#[test]
fn firmware_that_trusts_ram_fails_where_a_cut_leaves_it_and_there_alone() {
    let inputs = trusts_ram();
    for (cut, locks_up) in [
        ("op1", false),
        ("op1/ram-kept", true),
        ("op1/ram-decayed:60", false),
        ("op1/brown-out", true),
        ("op1/half/brown-out", true),
        ("boot1/5000us", false),
        ("boot1/5000us/ram-kept", true),
        ("boot1/5000us/brown-out", true),
    ] {
        let line = format!("p:1:mb-1:seed=1:cuts={cut}");
        let arguments = [&["replay", &line][..], &SOURCES].concat();
        let (code, said, complaint) = rig(&inputs.path("."), &arguments);
        assert_eq!(code, 1, "{cut}: {said}{complaint}");
        let invariant = if locks_up { "(S1)" } else { "(L2)" };
        assert!(said.contains(invariant), "{cut}: {said}");
        assert_eq!(said.contains("locked up"), locks_up, "{cut}: {said}");
    }
}
