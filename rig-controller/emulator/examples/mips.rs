//! How fast the core is: boots the provisioned firmware again and again and prints millions of instructions a second.
//!
//! `cargo run -p powercut-emulator --example mips [FIRMWARE FOLDER]`; the folder is one that `rig firmware build` makes.

use std::path::PathBuf;
use std::time::Instant;

use powercut_emulator::{CLOCK_HZ, Cycles, Go, Machine, Operation, Stop, Timing, View, World};
use powercut_package::{DeviceIdentity, FirmwareSet};
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

/// A world in which nothing happens; it stops the machine when the application shows its first sign of life.
#[derive(Default)]
struct Silence {
    operations: u64,
}

impl World for Silence {
    fn operation(&mut self, _: Operation, _: &View<'_>) -> Go {
        self.operations += 1;
        Go::On
    }

    fn byte_sent(&mut self, _: u8, _: &View<'_>) -> Go {
        Go::On
    }

    fn pins(&mut self, outputs: u32, view: &View<'_>) -> Go {
        println!(
            "pins {outputs:#010x} at {} after {}",
            view.now, view.instructions
        );
        if outputs >> 13 & 1 == 1 {
            Go::StopAfter
        } else {
            Go::On
        }
    }

    fn next_at(&self) -> Option<Cycles> {
        None
    }

    fn turn(&mut self, _: Cycles) {}

    fn next_byte(&mut self, _: Cycles) -> Option<u8> {
        None
    }
}

fn main() {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(|| PathBuf::from("target/firmware/default"), PathBuf::from);
    let flash = provisioned(&folder);
    let mut machine = Machine::new(Timing::Silicon);
    machine.load_flash(&flash);
    let mut world = Silence::default();
    for _ in 0..10 {
        machine.power_on(machine.now());
        let (begun, before) = (Instant::now(), machine.instructions());
        let stop = machine.run(&mut world, machine.now() + 10 * CLOCK_HZ);
        let seconds = begun.elapsed().as_secs_f64();
        let executed = (machine.instructions() - before) as f64 / 1e6;
        assert_eq!(stop, Stop::World, "the application did not start");
        println!(
            "{executed:.1} M instructions, {:.0} MIPS",
            executed / seconds
        );
    }
}

fn provisioned(folder: &std::path::Path) -> Vec<u8> {
    let set = FirmwareSet::load(folder).expect("a firmware set, made by `rig firmware build`");
    let name = "1.0.0".parse().expect("a name");
    let package = set
        .package(&name, Suite::ChaCha20Poly1305, 160)
        .expect("the image 1.0.0");
    let device = DeviceIdentity::for_tests(DeviceId(*b"emulator"), Dialect::Pcp);
    set.provisioned_flash(&package, &device)
        .expect("an image that fits")
}
