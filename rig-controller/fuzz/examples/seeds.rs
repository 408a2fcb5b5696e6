//! Writes inputs to begin with, one file each, into the folders of the targets below the folder named on the command line:
//! what the fixtures hold, and firmware made up here.
use std::fs;
use std::path::{Path, PathBuf};

use powercut_package::m_sequence::{apply, primitive_polynomials};
use powercut_package::{Image, PackageFacts, pack, read_signing_key, save_package};
use powercut_upgrade::m_sequence::{Configuration, Stream};
use powercut_upgrade::manifest::{KeyId, SecurityCounter, Suite, Version};

const SENT: &str = "ATE0\rAT\rAT+CEREG?\rAT+CEREG?\rAT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",4000,0,0\r";
const LINES: [&str; 9] = [
    "smoke:6:mb-1:seed=20261122:cuts=f17/before-data/bits:5,f60/after-data/half,op3121/prefix:3",
    "smoke:1:mb-2:seed=1:cuts=download+11849/bits:2244756224,verify+1,verify+2/before,send17/3,status1/20",
    "smoke:1:mb-2:seed=1:cuts=none",
    "core:tiny:longer:seed=1:cuts=op37/before,op41/weak-boots6",
    "core:nrf51:longer:pages=65:seed=1:cuts=op3/first-half,op9/bits5eed:faults=silent37,rot41@0x1f00.3",
    "core:smoke:1:mb-1:seed=20261122:cuts=op37/before,op9000/prefix3,op3/all-but1",
    "f17/after-data/half",
    "1.1.0-never-confirms",
    "swap+45",
];
const TRACE: &str = "\
memory_region_ops_write cpu 0 mr 0x55a4762edfe0 addr 0x30000 value 0x12345678 size 4 name 'nrf51_soc.flash'
memory_region_ops_write cpu 0 mr 0x55a4762ebdc0 addr 0x4000251c value 0x41 size 4 name 'nrf51_soc.uart'
resettable_reset obj=0x55a476325fc0 cold=0
";
const SET: &str = "\
bootloader: bootloader.hex
device: { hardware: 81, minimum_security_counter: 1, trusted_key: a.pub, m_sequence: { polynomial: [7, 6], seed: 0x55, stream: per-fragment } }
flash: { unit_bytes: 4, page_bytes: 1024, programs_per_unit: 2, pages: 256 }
layout:
  boot: { start: 0, pages: 32 }
  factory: { start: 0x8000, pages: 1 }
  identification: { start: 0x8400, pages: 6 }
  active: { start: 0x9C00, pages: 108 }
  staging: { start: 0x24C00, pages: 109 }
  flash_base: 0
  ram: { start: 0x20000000, end: 0x20004000 }
marker_pin: 13
platform: 127.0.0.1:47110
images:
  - { name: 1.0.0, file: 1.0.0.hex, security_counter: 2, trial_attempts: 3, signed_by: a.key }
  - { name: 1.1.0, package: 1.1.0.pcpk }
";

fn main() {
    let Some(corpus) = std::env::args().nth(1) else {
        eprintln!("usage: seeds FOLDER");
        std::process::exit(2);
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let write = |target: &str, name: &str, content: &[u8]| {
        let folder = Path::new(&corpus).join(target);
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join(format!("seed-{name}")), content))
            .unwrap_or_else(|error| panic!("cannot write to {}: {error}", folder.display()));
    };
    for (target, folder) in [
        ("plan_yaml", "test-plans"),
        ("bench_yaml", "fixtures/benches"),
        ("link_yaml", "fixtures/links"),
        ("lines", "fixtures/schedules"),
    ] {
        for file in files(&root.join(folder)) {
            let name = file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            write(target, &name, &fs::read(&file).unwrap_or_default());
        }
    }
    for (number, line) in LINES.iter().enumerate() {
        write("lines", &number.to_string(), line.as_bytes());
    }
    write("firmware_set_yaml", "set", SET.as_bytes());
    write(
        "emulator_trace",
        "trace",
        format!("\u{7}{TRACE}").as_bytes(),
    );
    let mut sent = SENT.as_bytes().to_vec();
    sent.extend(
        b"\xFE\xFFAT+QIRD=0,1500\rAT+QISEND=0,5\rabcdeAT+CSQ\rATI\rAT+CGSN\rAT+QICLOSE=0\r",
    );
    write("at_engine", "session", &sent);

    let image = Image {
        base: 0x9C00,
        bytes: image(600),
    };
    let text = image.to_hex().into_bytes();
    write("firmware_file", "hex", &[b"\0", text.as_slice()].concat());
    write(
        "firmware_file",
        "bin",
        &[b"\x02", image.bytes.as_slice()].concat(),
    );
    write(
        "firmware_file",
        "elf",
        &[b"\x01", elf(&image.bytes).as_slice()].concat(),
    );
    let package = signed(&root, image.bytes.clone());
    write("package", "whole", &package);
    write("package", "without-digest", &package[..package.len() - 32]);
    let polynomials = primitive_polynomials(&root.join("fixtures/m-sequence/polynomials.txt"))
        .unwrap_or_else(|error| panic!("{error}"));
    for polynomial in polynomials.into_iter().step_by(5) {
        let Some(register) = powercut_upgrade::m_sequence::Register::new(polynomial, 0x5A) else {
            continue;
        };
        for (name, stream) in [
            ("anew", Stream::RestartsPerFragment),
            ("on", Stream::Continuous),
        ] {
            for (kind, plaintext) in [("text", &text), ("binary", &image.bytes)] {
                let mut file = plaintext.clone();
                apply(&Configuration { register, stream }, 40, &mut file);
                let name = format!("{kind}-{}-{name}", polynomial.stages());
                write("m_sequence_attack", &name, &file);
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect()
}

/// A vector table and words like a program's.
fn image(bytes: usize) -> Vec<u8> {
    let mut words: Vec<u32> = (0..bytes as u32 / 4).map(|at| 0x9C01 + at * 36).collect();
    words[0] = 0x2000_4000;
    words[4..11].fill(0);
    words[13] = 0;
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// The smallest ELF file for a Cortex-M that loads these bytes.
fn elf(bytes: &[u8]) -> Vec<u8> {
    let mut file = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend([2_u16, 40].into_iter().flat_map(u16::to_le_bytes));
    file.extend(
        [1_u32, 0x9C01, 52, 0, 0x0500_0200]
            .into_iter()
            .flat_map(u32::to_le_bytes),
    );
    file.extend(
        [52_u16, 32, 1, 40, 0, 0]
            .into_iter()
            .flat_map(u16::to_le_bytes),
    );
    let size = bytes.len() as u32;
    let load = [1, 84, 0x9C00, 0x9C00, size, size, 5, 4];
    file.extend(load.into_iter().flat_map(u32::to_le_bytes));
    file.extend(bytes);
    file
}

/// A package of it, as a file.
fn signed(root: &Path, image: Vec<u8>) -> Vec<u8> {
    let facts = PackageFacts {
        version: Version {
            major: 1,
            minor: 1,
            patch: 0,
        },
        suite: Suite::MSequence,
        fragment_bytes: 160,
        key_id: KeyId(1),
        trial_attempts: 3,
        hardware: 0x51,
        security_counter: SecurityCounter(3),
    };
    let path = std::env::temp_dir().join(format!("powercut-fuzz-{}.pcpk", std::process::id()));
    let bytes = read_signing_key(&root.join("fixtures/keys/test-signing.key"))
        .and_then(|key| pack(image, facts, &key))
        .and_then(|package| save_package(&package, &path))
        .map(|()| fs::read(&path).unwrap_or_default());
    let _ = fs::remove_file(&path);
    bytes.unwrap_or_else(|error| panic!("{error}"))
}
