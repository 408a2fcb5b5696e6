//! How fast the core is: boots the firmware that ships up to the application's first sign of life, again and again, and
//! prints millions of instructions a second.
//!
//! `cargo run -p powercut-emulator --example mips [FIRMWARE FOLDER]`; the folder is one that `rig firmware build` makes.

#[path = "../tests/common/firmware.rs"]
mod firmware;

use std::path::PathBuf;
use std::time::Instant;

use powercut_emulator::{CLOCK_HZ, Go, Machine, Stop, Timing, View, World};

/// The pin that toggles while the application is alive.
const HEARTBEAT: u32 = 13;

/// A world in which nothing happens; it stops the machine when the application shows its first sign of life.
struct Silence;

impl World for Silence {
    fn pins(&mut self, _: u32, outputs: u32, _: &View<'_>) -> Go {
        if outputs >> HEARTBEAT & 1 == 1 {
            Go::StopAfter
        } else {
            Go::On
        }
    }
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/firmware/default"), PathBuf::from);
    let mut machine = Machine::new(Timing::Silicon);
    machine.load_flash(&firmware::provisioned(&folder));
    for _ in 0..10 {
        machine.power_on(machine.now());
        let (begun, before) = (Instant::now(), machine.instructions());
        let stop = machine.run(&mut Silence, machine.now() + 10 * CLOCK_HZ);
        let seconds = begun.elapsed().as_secs_f64();
        assert_eq!(stop, Stop::World, "the application did not start");
        let millions = (machine.instructions() - before) as f64 / 1e6;
        println!(
            "{millions:.1} M instructions in {:.1} ms, {:.0} MIPS",
            seconds * 1e3,
            millions / seconds
        );
    }
}
