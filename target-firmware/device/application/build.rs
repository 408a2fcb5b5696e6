//! Turns the build's environment into an image that is like no other: its version, its behaviour in a trial, and a
//! block of filling behind the vector table that shifts all code, so that two versions differ in every page.
//!
//! - `POWERCUT_VERSION`: `major.minor.patch`, for the log and the filling; default 1.0.0
//! - `POWERCUT_FILL_WORDS`: words of filling; default 64
//! - `POWERCUT_BEHAVIOUR`: `good` (default), `panics`, `hangs`, `never-confirms`
//! - `POWERCUT_PLATFORM`: `address:port` (IPv4) for boards provisioned without one; default 127.0.0.1:47110

use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What the ACTIVE slot can hold, less its manifest page.
const IMAGE_KILOBYTES: u32 = 107;

fn main() {
    let version = setting("POWERCUT_VERSION", "1.0.0");
    assert!(
        version.split('.').count() == 3
            && version.split('.').all(|part| part.parse::<u16>().is_ok()),
        "POWERCUT_VERSION={version}: expected major.minor.patch, e.g. 1.1.0"
    );
    let words = setting("POWERCUT_FILL_WORDS", "64");
    let words: u32 = words
        .parse()
        .ok()
        .filter(|words| *words <= 16 * 1024)
        .unwrap_or_else(|| {
            panic!("POWERCUT_FILL_WORDS={words}: expected a number of 4-byte words up to 16384")
        });
    let platform = setting("POWERCUT_PLATFORM", "127.0.0.1:47110");
    let platform: SocketAddrV4 = platform.parse().unwrap_or_else(|error| {
        panic!("POWERCUT_PLATFORM={platform}: {error}; expected an IPv4 address and a port")
    });
    let behaviour = match setting("POWERCUT_BEHAVIOUR", "good").as_str() {
        "good" => "Good",
        "panics" => "Panics",
        "hangs" => "Hangs",
        "never-confirms" => "NeverConfirms",
        other => {
            panic!("POWERCUT_BEHAVIOUR={other}: expected good, panics, hangs or never-confirms")
        }
    };

    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    write(
        &out.join("image.rs"),
        &format!(
            "/// What this image calls itself.\n\
             pub(crate) const VERSION: &str = {version:?};\n\
             /// What it does while on probation.\n\
             pub(crate) const BEHAVIOUR: Behaviour = Behaviour::{behaviour};\n\
             /// Where the platform is, unless the FACTORY page says otherwise.\n\
             pub(crate) const DEFAULT_PLATFORM: SocketAddrV4 =\n\
                 SocketAddrV4::new(Ipv4Addr::from_octets({ip:?}), {port});\n",
            ip = platform.ip().octets(),
            port = platform.port()
        ),
    );
    write(&out.join("memory.x"), &memory(&version, words));
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tdefmt.x");
    println!("cargo::rerun-if-changed=build.rs");
}

/// The linker script: where ACTIVE is, and the filling.
fn memory(version: &str, words: u32) -> String {
    let mut script = format!(
        "/* ACTIVE of the flash map, without its manifest page. */\n\
         MEMORY\n{{\n    \
             FLASH : ORIGIN = 0x00009C00, LENGTH = {IMAGE_KILOBYTES}K\n    \
             RAM   : ORIGIN = 0x20000000, LENGTH = 16K\n}}\n\
         SECTIONS\n{{\n    .filling :\n    {{\n"
    );
    let mut state = seed(version);
    for _ in 0..words {
        state = xorshift(state);
        writeln!(script, "        LONG({state:#010x})").expect("a String takes what it is given");
    }
    script.push_str(
        "    } > FLASH\n} INSERT AFTER .vector_table;\n\
         /* The code follows the filling. */\n\
         _stext = ADDR(.filling) + SIZEOF(.filling);\n",
    );
    script
}

/// FNV-1a of the version; never zero, which xorshift would stick to.
fn seed(version: &str) -> u32 {
    version
        .bytes()
        .fold(0x811C_9DC5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
        .max(1)
}

fn xorshift(mut state: u32) -> u32 {
    state ^= state << 13;
    state ^= state >> 17;
    state ^ state << 5
}

fn setting(name: &str, default: &str) -> String {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("writing {}: {error}", path.display()));
}
