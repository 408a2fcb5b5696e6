//! Pins, random numbers, facts about the chip, and what is not there.

use powercut_emulator::{Machine, Timing, Width};

use crate::common::asm::*;
use crate::common::{Image, Notes, run, to_breakpoint};

const GPIO: u32 = 0x5000_0000;
const RNG: u32 = 0x4000_D000;

#[test]
fn the_world_sees_every_write_of_output_levels() {
    let code = [
        poke(GPIO + 0x504, 0xF0),
        poke(GPIO + 0x508, 0x01),
        poke(GPIO + 0x50C, 0x90),
        poke(GPIO + 0x518, 0xFF),
        peek(0, GPIO + 0x504),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, notes) = run(&code);
    let levels: Vec<u32> = notes.pins.iter().map(|(_, levels)| *levels).collect();
    assert_eq!(levels, [0xF0, 0xF1, 0x61]);
    assert_eq!((machine.registers()[0], machine.outputs()), (0x61, 0x61));
}

#[test]
fn inputs_read_what_drives_them_then_their_pull_if_they_are_connected() {
    // Pins 0 to 3: pulled up, pulled down, pulled up but disconnected, an output that can be read.
    let code = [
        poke(GPIO + 0x700, 0xC),
        poke(GPIO + 0x704, 0x4),
        poke(GPIO + 0x708, 0xE),
        poke(GPIO + 0x70C, 0x1),
        poke(GPIO + 0x508, 1 << 3),
        peek(0, GPIO + 0x510),
        peek(1, GPIO + 0x514),
        peek(2, GPIO + 0x70C),
        vec![bkpt(0)],
        peek(3, GPIO + 0x510),
        vec![bkpt(1)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    to_breakpoint(&mut machine, &mut notes);
    assert_eq!(machine.registers()[..3], [0b1001, 0b1000, 1]);
    machine.drive_pins(0b0111, 0b0110);
    machine.set_register(15, machine.registers()[15] + 2);
    to_breakpoint(&mut machine, &mut notes);
    assert_eq!(machine.registers()[3], 0b1010);
}

/// Eight random bytes, and the time they took.
fn random(seed: u64, config: u32) -> (Vec<u8>, u64) {
    let code = [
        constant(4, 0x2000_0100),
        poke(RNG + 0x504, config),
        poke(RNG, 1),
        constant(7, RNG + 0x100),
        constant(6, RNG + 0x508),
        vec![movs(3, 0), movs(5, 8)],
        // Waits for a byte, eight times.
        vec![
            ldr(0, 7, 0),
            cmp(0, 0),
            skip_if(0, 0xFD),
            str(3, 7, 0),
            ldr(0, 6, 0),
            strb(0, 4, 0),
        ],
        vec![adds(4, 1), subs(5, 1), skip_if(1, 0xF7), bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    machine.set_seed(seed);
    to_breakpoint(&mut machine, &mut Notes::default());
    (machine.ram()[0x100..0x108].to_vec(), machine.now())
}

#[test]
fn random_numbers_follow_from_the_seed_and_take_their_time() {
    let (bytes, time) = random(1, 0);
    assert_eq!(random(1, 0), (bytes.clone(), time));
    assert_ne!(random(2, 0).0, bytes);
    assert!((8 * 2672..8 * 2672 + 200).contains(&time), "{time}");
    let (corrected, time) = random(1, 1);
    assert_eq!(corrected, bytes);
    assert!((8 * 10_832..8 * 10_832 + 200).contains(&time), "{time}");
}

#[test]
fn the_random_number_generator_stops_after_a_byte_when_it_was_told_so() {
    let code = [
        vec![CPSID],
        poke(RNG + 0x200, 1),
        poke(RNG + 0x304, 1),
        poke(0xE000_E100, 1 << 13),
        poke(RNG, 1),
        vec![WFI],
        peek(1, RNG + 0x508),
        poke(RNG + 0x100, 0),
        constant(0, 20_000),
        vec![subs(0, 1), skip_if(1, 0xFE)],
        peek(2, RNG + 0x100),
        peek(3, RNG + 0x508),
        vec![bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    machine.set_seed(77);
    to_breakpoint(&mut machine, &mut Notes::default());
    let r = machine.registers();
    assert_eq!((r[2], r[3]), (0, r[1]));
}

#[test]
fn the_chip_knows_its_sizes_and_who_it_is() {
    let code = [
        peek(0, 0x1000_0010),
        peek(1, 0x1000_0014),
        peek(2, 0x1000_0060),
        peek(3, 0x1000_0064),
        peek(4, 0x1000_0000),
        vec![bkpt(0)],
    ]
    .concat();
    let identity = |seed| {
        let mut machine = Image::new(&code).machine(Timing::Silicon);
        machine.set_seed(seed);
        to_breakpoint(&mut machine, &mut Notes::default());
        assert_eq!(machine.registers()[..2], [1024, 256]);
        assert_eq!(machine.registers()[4], u32::MAX);
        [machine.registers()[2], machine.registers()[3]]
    };
    assert_eq!(identity(5), identity(5));
    assert_ne!(identity(5), identity(6));
}

#[test]
fn the_customers_page_is_programmed_and_erased_by_the_controller() {
    let code = [
        poke(0x4001_E504, 1),
        poke(0x1000_1080, 0xFFFF_0000),
        poke(0x1000_1080, 0x1234_5678),
        peek(1, 0x1000_1080),
        poke(0x4001_E504, 2),
        poke(0x4001_E514, 1),
        peek(2, 0x1000_1080),
        vec![bkpt(0)],
    ]
    .concat();
    let (_, notes) = run(&code);
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[1..3], [0x1234_0000, u32::MAX]);
    assert_eq!(notes.operations, [], "it is not code flash");
    assert!(machine.now() > 2 * 741 + 356_800);
}

#[test]
fn reasons_of_resets_add_up_until_they_are_cleared() {
    // Resets itself twice, clearing the reason in between.
    let code = [
        peek(0, 0x4000_051C),
        peek(1, 0x4000_0400),
        vec![cmp(0, 2), skip_if(1, 1), bkpt(0)],
        poke(0x4000_0400, 0xFF),
        peek(2, 0x4000_0400),
        vec![adds(0, 1)],
        constant(7, 0x4000_051C),
        vec![str(0, 7, 0)],
        poke(0xE000_ED0C, 0x05FA_0004),
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    to_breakpoint(&mut machine, &mut notes);
    assert_eq!(notes.resets.len(), 2);
    assert_eq!(machine.registers()[..3], [2, 4, 0]);
    // Power takes both away.
    machine.power_on(machine.now());
    let mut read = |address| machine.bus_read(&mut notes, address, Width::Word);
    assert_eq!((read(0x4000_0400), read(0x4000_051C)), (Ok(0), Ok(0)));
}

#[test]
fn peripherals_that_are_not_emulated_read_as_zero_and_are_told() {
    let code = [
        vec![movs(0, 9)],
        peek(0, 0x4000_1000),
        poke(0x4000_B000, 1),
        poke(0x4000_2FFC, 1),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, notes) = run(&code);
    assert_eq!(machine.registers()[0], 0);
    assert_eq!(notes.not_emulated, [0x4000_1000, 0x4000_B000, 0x4000_2FFC]);
}

#[test]
fn registers_that_the_core_lacks_read_as_zero_and_are_told() {
    // DHCSR, which belongs to the debug port; MPU_TYPE; SHCSR. CPUID and an enable register are there.
    let code = [
        vec![movs(0, 9)],
        peek(0, 0xE000_EDF0),
        poke(0xE000_ED90, 1),
        poke(0xE000_ED24, 1),
        peek(1, 0xE000_ED00),
        poke(0xE000_E100, 1),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, notes) = run(&code);
    assert_eq!(machine.registers()[..2], [0, 0x410C_C200]);
    assert_eq!(notes.not_emulated, [0xE000_EDF0, 0xE000_ED90, 0xE000_ED24]);
}

#[test]
fn a_clone_goes_the_same_way() {
    let code = [
        poke(RNG, 1),
        constant(0, 5000),
        vec![subs(0, 1), skip_if(1, 0xFE)],
        peek(1, RNG + 0x508),
        vec![bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    machine.set_seed(3);
    let mut notes = Notes::default();
    machine.run(&mut notes, 10_000);
    let mut clone: Machine = machine.clone();
    to_breakpoint(&mut machine, &mut notes);
    to_breakpoint(&mut clone, &mut notes);
    assert_eq!(machine.registers(), clone.registers());
    assert_eq!(
        (machine.now(), machine.instructions()),
        (clone.now(), clone.instructions())
    );
}
