//! Programs that make no sense.

use powercut_emulator::{CLOCK_HZ, Timing};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::common::asm::*;
use crate::common::{Image, Notes};

/// Places at which peripherals and the core have registers.
const REGISTERS: [u32; 10] = [
    0x4000_0000,
    0x4000_2000,
    0x4000_8000,
    0x4000_9000,
    0x4000_D000,
    0x4001_0000,
    0x4001_E000,
    0x5000_0000,
    0xE000_E000,
    0x1000_0000,
];

#[test]
fn no_program_breaks_the_machine_and_each_goes_the_same_way_twice() {
    for seed in 0..400 {
        let image = nonsense(seed);
        let timing = [Timing::Silicon, Timing::Instant][seed as usize % 2];
        let run = || {
            let mut machine = image.machine(timing);
            machine.attach_debugger(false);
            machine.set_seed(seed);
            let mut notes =
                Notes::with_bytes((0..50).map(|byte| (1000 + u64::from(byte) * 700, byte)));
            let stop = machine.run(&mut notes, CLOCK_HZ);
            let end = (machine.now(), machine.instructions(), *machine.registers());
            (stop, end, notes.operations, notes.sent, notes.pins)
        };
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// Random writes to registers, and random instructions between, in which handlers and program lie anywhere.
fn nonsense(seed: u64) -> Image {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut code = Vec::new();
    for _ in 0..100 {
        let base = REGISTERS[random.next_u32() as usize % REGISTERS.len()];
        let address = base + (random.next_u32() & 0xFFC);
        let value = random.next_u32() >> (random.next_u32() % 32);
        code.extend(poke(address, value));
        code.push(random.next_u32() as u16);
        code.push([NOP, WFI, WFE, CPSIE, CPSID, SEV][random.next_u32() as usize % 6]);
    }
    code.push(FOREVER);
    let mut image = Image::new(&code);
    for vector in 2..48 {
        let target = 0x400 + (random.next_u32() & 0xFFE);
        image = image.word(4 * vector, target | 1);
    }
    image
}
