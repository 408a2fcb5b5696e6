//! Machines with and without memory of calls do the same, to the cycle.
use super::*;
use crate::world::{Go, Stop, Timing, View};
use crate::{CLOCK_HZ, RAM_BYTES};

/// A world in which nothing happens by itself.
#[derive(Default)]
struct Quiet {
    /// Time and registers at each write of the pins.
    seen: Vec<(Cycles, [u32; 16])>,
}

impl World for Quiet {
    fn pins(&mut self, _: u32, _: u32, view: &View<'_>) -> Go {
        self.seen.push((view.now, *view.registers));
        if self.seen.len() == 60 {
            Go::StopAfter
        } else {
            Go::On
        }
    }
}

/// Flash that holds these halfwords at these addresses.
fn flash_with(code: &[(usize, &[u16])]) -> Vec<u8> {
    let mut flash = vec![0xFF; crate::FLASH_BYTES];
    for (at, halfwords) in code {
        for (n, halfword) in halfwords.iter().enumerate() {
            flash[at + 2 * n..at + 2 * n + 2].copy_from_slice(&halfword.to_le_bytes());
        }
    }
    flash
}

/// Code at 0x100 that calls the function at 0x200 for ever, with R0 counting 0 to 3, and writes the pins after each call.
/// The function sums R0 + 1 a thousand times into R0, with a word of its caller's stack and one of flash.
fn program() -> Vec<u8> {
    flash_with(&[
        (0, &[0x4000, 0x2000, 0x0101, 0]),
        (
            0x100,
            &[
                0x2500, // movs r5, #0
                0x4E05, // ldr r6, [pc, #20] (0x118)
                0x2003, // movs r0, #3
                0x4028, // ands r0, r5
                0xB401, // push {r0}
                0xF000, 0xF879, // bl 0x200
                0x9000, // str r0, [sp, #0]
                0xBC02, // pop {r1}
                0x6035, // str r5, [r6] (pins)
                0x3501, // adds r5, #1
                0xE7F5, // b 0x104
            ],
        ),
        (0x118, &[0x0504, 0x5000]),
        (
            0x200,
            &[
                0xB570, // push {r4-r6, lr}
                0x24FF, // movs r4, #255
                0x9D04, // ldr r5, [sp, #16]
                0x4E03, // ldr r6, [pc, #12] (0x214)
                0x1940, // adds r0, r0, r5
                0x1980, // adds r0, r0, r6
                0x3C01, // subs r4, #1
                0xD1FB, // bne 0x208
                0xBD70, // pop {r4-r6, pc}
            ],
        ),
        (0x214, &[0x0007, 0x0000]),
    ])
}

/// Code at 0x100 that calls the function at 0x200 for ever, and hands it a number that counts up. The function does nothing
/// with the number but to copy it to another word of its caller's stack; the caller writes that to the pins.
fn copying_program() -> Vec<u8> {
    flash_with(&[
        (0, &[0x4000, 0x2000, 0x0101, 0]),
        (
            0x100,
            &[
                0x2500, // movs r5, #0
                0x4E05, // ldr r6, [pc, #20] (0x118)
                0x3501, // adds r5, #1
                0xB420, // push {r5}
                0xB081, // sub sp, #4
                0xF000, 0xF879, // bl 0x200
                0xBC02, // pop {r1}
                0xBC04, // pop {r2}
                0x6031, // str r1, [r6] (pins)
                0xE7F6, // b 0x104
            ],
        ),
        (0x118, &[0x0504, 0x5000]),
        (
            0x200,
            &[
                0xB510, // push {r4, lr}
                0x9C03, // ldr r4, [sp, #12]
                0x9402, // str r4, [sp, #8]
                0x23FF, // movs r3, #255
                0xBF00, // nop
                0x3B01, // subs r3, #1
                0xD1FC, // bne 0x208
                0xBD10, // pop {r4, pc}
            ],
        ),
    ])
}

fn machine(program: &[u8], remembers: bool) -> Machine {
    let mut machine = Machine::new(Timing::Silicon);
    machine.load_flash(program);
    machine.ram_mut().copy_from_slice(&[0x5A; RAM_BYTES]);
    machine.power_on(0);
    if remembers {
        machine.remember_calls(MemoOptions::default());
    }
    machine
}

#[test]
fn a_machine_that_remembers_does_the_same_to_the_cycle() {
    let (mut with, mut without) = (machine(&program(), true), machine(&program(), false));
    let mut worlds = [Quiet::default(), Quiet::default()];
    assert_eq!(with.run(&mut worlds[0], CLOCK_HZ), Stop::World);
    assert_eq!(without.run(&mut worlds[1], CLOCK_HZ), Stop::World);
    assert_eq!(worlds[0].seen, worlds[1].seen);
    assert_eq!(with.ram(), without.ram());
    assert_eq!(with.instructions(), without.instructions());
    let figures = with.memo_figures();
    assert!(figures.recalled >= 40, "{figures:?}");
    assert!(figures.skipped > 40 * 1000, "{figures:?}");
}

#[test]
fn a_word_that_the_call_reads_and_code_that_it_runs_are_part_of_its_input() {
    let (mut with, mut without) = (machine(&program(), true), machine(&program(), false));
    let mut worlds = [Quiet::default(), Quiet::default()];
    for (machine, world) in [&mut with, &mut without].into_iter().zip(&mut worlds) {
        machine.run(world, 60_000);
        // Another addend, then another instruction: subtract the word of flash.
        machine.set_word(0x214, 9);
        machine.run(world, 120_000);
        machine.set_word(0x208, 0x1B80_1940);
        machine.run(world, 180_000);
    }
    assert!(with.memo_figures().recalled > 0);
    assert!(worlds[0].seen.len() > 20);
    assert_eq!(worlds[0].seen, worlds[1].seen);
    assert_eq!(with.ram(), without.ram());
}

#[test]
fn a_call_is_not_recalled_across_the_moment_at_which_the_machine_is_to_stop() {
    let (mut with, mut without) = (machine(&program(), true), machine(&program(), false));
    let mut worlds = [Quiet::default(), Quiet::default()];
    for until in (1_000..80_000).step_by(997) {
        assert_eq!(with.run(&mut worlds[0], until), Stop::Budget);
        assert_eq!(without.run(&mut worlds[1], until), Stop::Budget);
        assert_eq!(with.registers(), without.registers(), "at {until}");
        assert_eq!(with.now(), without.now());
    }
}

#[test]
fn a_word_that_the_call_only_copies_is_no_input_and_is_copied_when_the_call_is_recalled() {
    let program = copying_program();
    let (mut with, mut without) = (machine(&program, true), machine(&program, false));
    let mut worlds = [Quiet::default(), Quiet::default()];
    with.run(&mut worlds[0], CLOCK_HZ);
    without.run(&mut worlds[1], CLOCK_HZ);
    let copies: Vec<u32> = worlds[0]
        .seen
        .iter()
        .map(|(_, registers)| registers[1])
        .collect();
    assert_eq!(copies, (1..=60).collect::<Vec<u32>>());
    assert_eq!(worlds[0].seen, worlds[1].seen);
    assert_eq!(with.ram(), without.ram());
    assert!(
        with.memo_figures().recalled >= 40,
        "{:?}",
        with.memo_figures()
    );
}
