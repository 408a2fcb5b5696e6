//! The core against QEMU's, register by register: the state before each instruction of random programs, of programs full
//! of faults and interrupts, and of the bootloader that ships.
//!
//! Where QEMU 7.2 is laxer than silicon, or times are its host's, nothing is compared, and no program here goes there:
//! - encodings that ARMv6-M leaves undefined or unpredictable, of which QEMU executes some as a Cortex-M3 would (IT, CBZ,
//!   CBNZ, MRS of numbers that are not there), and narrow transfers of the core's registers;
//! - VTOR, `SysTick`, the flag Q and ICSR.RETTOBASE, which QEMU's core has; WFE and events, which it takes for a hint; what a timer has counted;
//! - the flags after a reset, which are unknown: the comparison begins with QEMU's;
//! - a lock-up, at which QEMU ends;
//! - peripherals that QEMU does not have (watchdog, power, clocks), and offsets that a peripheral does not have.

#[path = "../common/mod.rs"]
mod common;
mod compare;
#[path = "../common/firmware.rs"]
mod firmware;
mod programs;
mod trace;

use std::path::{Path, PathBuf};

use compare::{Ending, compare};
use powercut_package::{BuildOptions, build};

/// Compares so many programs of a kind.
fn programs(kind: fn(u64) -> common::Image, seeds: std::ops::Range<u64>) -> u64 {
    seeds
        .map(|seed| {
            let compared = compare(&kind(seed).0, Ending::Loop);
            compared.unwrap_or_else(|difference| panic!("seed {seed}: {difference}"))
        })
        .sum()
}

#[test]
fn random_instructions_leave_the_same_registers() {
    let compared = programs(programs::instructions, 0..5);
    assert!(compared > 5 * 10_000, "{compared}");
}

#[test]
fn faults_stack_the_same_frames() {
    let compared = programs(programs::faults, 0..5);
    assert!(compared > 5 * 3_000, "{compared}");
}

#[test]
fn interrupts_nest_the_same_way() {
    let compared = programs(programs::interrupts, 0..5);
    assert!(compared > 5 * 3_000, "{compared}");
}

#[test]
fn the_bootloader_boots_the_same_way() {
    let compared = compare(&shipped(), Ending::After(300_000));
    assert_eq!(compared, Ok(300_000));
}

#[test]
#[ignore = "takes minutes"]
fn many_random_programs_leave_the_same_registers() {
    programs(programs::instructions, 1000..1100);
    programs(programs::faults, 1000..1100);
    programs(programs::interrupts, 1000..1100);
}

#[test]
#[ignore = "takes minutes"]
fn the_bootloader_verifies_the_application_and_starts_it_the_same_way() {
    let compared = compare(&shipped(), Ending::Sleep).unwrap();
    assert!(compared > 9_000_000, "{compared}");
}

/// Flash of a board as it leaves the factory, with the firmware of this checkout.
fn shipped() -> Vec<u8> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("firmware");
    build(&BuildOptions {
        source: repository.join("target-firmware/device"),
        keys: repository.join("fixtures/keys"),
        m_sequence: repository.join("fixtures/m-sequence/device.yaml"),
        out: out.clone(),
        only: vec!["1.0.0".to_owned()],
        seeded_bug: None,
    })
    .unwrap_or_else(|error| panic!("{error}"));
    firmware::provisioned(&out)
}
