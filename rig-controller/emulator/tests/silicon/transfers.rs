//! Loads and stores.

use powercut_emulator::{Machine, Timing};

use crate::common::asm::*;
use crate::common::{Image, Notes, START, ram_word, run};

const DATA: u32 = 0x2000_0100;

/// Executes `code` with [`DATA`] in R0 and `0x8182_8384`, `0x1122_3344` in memory there.
fn after(code: &[u16], registers: &[(usize, u32)]) -> Machine {
    let mut machine = Image::new(code).machine(Timing::Silicon);
    machine.ram_mut()[0x100..0x108]
        .copy_from_slice(&[0x84, 0x83, 0x82, 0x81, 0x44, 0x33, 0x22, 0x11]);
    machine.set_register(0, DATA);
    for &(register, value) in registers {
        machine.set_register(register, value);
    }
    for _ in code {
        assert_eq!(machine.step(&mut Notes::default()), None);
    }
    machine
}

#[test]
fn loads_take_bytes_halfwords_and_words_with_and_without_sign() {
    let by_register = |operation: u16| 0x5000 | operation << 9 | 1 << 6 | 2;
    let loaded = |instruction: u16| after(&[instruction], &[(1, 2)]).registers()[2];
    assert_eq!(loaded(ldr(2, 0, 4)), 0x1122_3344);
    assert_eq!(loaded(ldrh(2, 0, 2)), 0x8182);
    assert_eq!(loaded(ldrb(2, 0, 3)), 0x81);
    assert_eq!(loaded(by_register(5)), 0x8182);
    assert_eq!(loaded(by_register(6)), 0x82);
    assert_eq!(loaded(by_register(3)), 0xFFFF_FF82);
    assert_eq!(loaded(by_register(7)), 0xFFFF_8182);
    let word = after(&[by_register(4)], &[(1, 4)]);
    assert_eq!(word.registers()[2], 0x1122_3344);
}

#[test]
fn stores_change_as_many_bytes_as_they_are_wide() {
    let value = [(2, 0xAABB_CCDD), (1, 4)];
    let stored = |instruction: u16| {
        let machine = after(&[instruction], &value);
        (ram_word(&machine, DATA), ram_word(&machine, DATA + 4))
    };
    assert_eq!(stored(str(2, 0, 0)), (0xAABB_CCDD, 0x1122_3344));
    assert_eq!(stored(strh(2, 0, 2)), (0xCCDD_8384, 0x1122_3344));
    assert_eq!(stored(strb(2, 0, 1)), (0x8182_DD84, 0x1122_3344));
    assert_eq!(stored(0x5042), (0x8182_8384, 0xAABB_CCDD));
    assert_eq!(stored(0x5242), (0x8182_8384, 0x1122_CCDD));
    assert_eq!(stored(0x5442), (0x8182_8384, 0x1122_33DD));
}

#[test]
fn loads_reach_flash_and_the_stack() {
    let image = Image::new(&[0x4900, 0x0000]).word(START + 4, 0x0102_0304);
    let mut machine = image.machine(Timing::Silicon);
    machine.step(&mut Notes::default());
    assert_eq!(machine.registers()[1], 0x0102_0304);
    let machine = after(&[str_sp(0, 8), ldr_sp(3, 8)], &[(13, DATA)]);
    assert_eq!(machine.registers()[3], DATA);
    assert_eq!(ram_word(&machine, DATA + 8), DATA);
}

#[test]
fn lists_are_stored_and_loaded_upwards() {
    let machine = after(&[stm(0, 0b0110)], &[(1, 11), (2, 22)]);
    assert_eq!(
        (ram_word(&machine, DATA), ram_word(&machine, DATA + 4)),
        (11, 22)
    );
    assert_eq!(machine.registers()[0], DATA + 8);
    let machine = after(&[ldm(0, 0b0110)], &[]);
    assert_eq!(
        machine.registers()[..3],
        [DATA + 8, 0x8182_8384, 0x1122_3344]
    );
    // A base that is loaded is not moved on.
    let machine = after(&[ldm(0, 0b0011)], &[]);
    assert_eq!(machine.registers()[..2], [0x8182_8384, 0x1122_3344]);
}

#[test]
fn a_push_and_a_pop_are_each_others_reverse() {
    let machine = after(&[push(LINK | 0b11)], &[(1, 11), (13, DATA), (14, 99)]);
    assert_eq!(machine.registers()[13], DATA - 12);
    assert_eq!(ram_word(&machine, DATA - 12), DATA);
    assert_eq!(ram_word(&machine, DATA - 8), 11);
    assert_eq!(ram_word(&machine, DATA - 4), 99);
    let machine = after(&[push(0b11), pop(0b1100)], &[(1, 11), (13, DATA)]);
    assert_eq!(machine.registers()[2..4], [DATA, 11]);
    assert_eq!(machine.registers()[13], DATA);
}

#[test]
fn a_pop_of_pc_jumps() {
    let code = [
        constant(0, (START + 21) | 1),
        vec![push(1), pop(LINK), bkpt(0), bkpt(1), bkpt(2)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[15], START + 20);
}

#[test]
fn the_stack_pointer_moves_by_words() {
    let machine = after(&[0xB082, 0xB001], &[(13, DATA)]);
    assert_eq!(machine.registers()[13], DATA - 4);
    let machine = after(&[0xA902], &[(13, DATA)]);
    assert_eq!(machine.registers()[1], DATA + 8);
}

#[test]
fn peripherals_answer_to_narrow_transfers_with_lanes_of_their_words() {
    let code = [
        poke(0x4000_8540, 0x1234_5678),
        constant(7, 0x4000_8540),
        vec![
            ldrb(0, 7, 1),
            ldrh(1, 7, 2),
            movs(2, 0xAB),
            strb(2, 7, 0),
            ldr(3, 7, 0),
            bkpt(0),
        ],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[..4], [0x56, 0x1234, 0xAB, 0xABAB_ABAB]);
}
