//! Instructions between registers: results and flags.

use powercut_emulator::{Machine, Stop, Timing};

use crate::common::asm::*;
use crate::common::{Image, Notes, START, run};

const N: u32 = 8;
const Z: u32 = 4;
const C: u32 = 2;
const V: u32 = 1;

/// Executes one instruction with these values in R0 and R1 and these flags; R0 and the flags afterwards.
fn execute(instruction: u16, r0: u32, r1: u32, flags: u32) -> (u32, u32) {
    let mut machine = Image::new(&[instruction]).machine(Timing::Silicon);
    machine.set_register(0, r0);
    machine.set_register(1, r1);
    machine.set_xpsr(flags << 28 | 1 << 24);
    assert_eq!(machine.step(&mut Notes::default()), None);
    (machine.registers()[0], machine.xpsr() >> 28)
}

/// Rows of instruction, R0, R1, flags, and R0 and flags afterwards.
fn check(rows: &[(u16, u32, u32, u32, u32, u32)]) {
    for &(instruction, r0, r1, flags, result, flags_after) in rows {
        assert_eq!(
            execute(instruction, r0, r1, flags),
            (result, flags_after),
            "{instruction:#06x} with {r0:#x}, {r1:#x} and flags {flags:#06b}"
        );
    }
}

#[test]
fn additions_set_carry_and_overflow() {
    let sum = add3(0, 0, 1);
    check(&[
        (sum, 1, 2, 0, 3, 0),
        (sum, u32::MAX, 1, 0, 0, Z | C),
        (sum, 0x7FFF_FFFF, 1, 0, 0x8000_0000, N | V),
        (sum, 0x8000_0000, 0x8000_0000, 0, 0, Z | C | V),
        (adds(0, 255), 0xFFFF_FF01, 0, 0, 0, Z | C),
        // ADDS with a constant of three bits.
        (0x1DC0, 0x7FFF_FFFC, 0, 0, 0x8000_0003, N | V),
        (data(CMN, 0, 1), u32::MAX, 1, 0, u32::MAX, Z | C),
    ]);
}

#[test]
fn subtractions_set_carry_when_they_do_not_borrow() {
    let difference = sub3(0, 0, 1);
    check(&[
        (difference, 3, 2, 0, 1, C),
        (difference, 2, 3, 0, u32::MAX, N),
        (difference, 5, 5, V, 0, Z | C),
        (difference, 0x8000_0000, 1, 0, 0x7FFF_FFFF, C | V),
        (subs(0, 1), 0, 0, 0, u32::MAX, N),
        // SUBS with a constant of three bits.
        (0x1FC0, 7, 0, 0, 0, Z | C),
        (cmp(0, 1), 0, 0, C, 0, N),
        (
            data(CMP, 0, 1),
            0x7FFF_FFFF,
            u32::MAX,
            0,
            0x7FFF_FFFF,
            N | V,
        ),
        (data(RSB, 0, 1), 7, 0, 0, 0, Z | C),
        (data(RSB, 0, 1), 7, 0x8000_0000, 0, 0x8000_0000, N | V),
        (data(RSB, 0, 1), 7, 1, 0, u32::MAX, N),
    ]);
}

#[test]
fn sums_of_several_words_take_the_carry_along() {
    check(&[
        (data(ADC, 0, 1), 1, 2, 0, 3, 0),
        (data(ADC, 0, 1), 1, 2, C, 4, 0),
        (data(ADC, 0, 1), u32::MAX, 0, C, 0, Z | C),
        (data(ADC, 0, 1), u32::MAX, u32::MAX, C, u32::MAX, N | C),
        (data(ADC, 0, 1), 0x7FFF_FFFF, 0, C, 0x8000_0000, N | V),
        (data(SBC, 0, 1), 5, 2, C, 3, C),
        (data(SBC, 0, 1), 5, 2, 0, 2, C),
        (data(SBC, 0, 1), 2, 2, 0, u32::MAX, N),
        (data(SBC, 0, 1), 0x8000_0000, 0, 0, 0x7FFF_FFFF, C | V),
    ]);
}

#[test]
fn logic_and_products_leave_carry_and_overflow() {
    check(&[
        (data(AND, 0, 1), 0xF0, 0x3C, C | V, 0x30, C | V),
        (data(AND, 0, 1), 0xF0, 0x0F, 0, 0, Z),
        (data(EOR, 0, 1), 0x8000_0001, 1, C, 0x8000_0000, N | C),
        (data(ORR, 0, 1), 0xF0, 0x0F, N | Z, 0xFF, 0),
        (data(BIC, 0, 1), 0xFF, 0x0F, V, 0xF0, V),
        (data(MVN, 0, 1), 0, 0, 0, u32::MAX, N),
        (data(TST, 0, 1), 0xF0, 0x0F, C, 0xF0, Z | C),
        (data(MUL, 0, 1), 0x1_0001, 0x1_0000, C | V, 0x1_0000, C | V),
        (data(MUL, 0, 1), 0x1_0000, 0x1_0000, 0, 0, Z),
        (data(MUL, 0, 1), u32::MAX, 3, 0, 0xFFFF_FFFD, N),
        (movs(0, 0), 5, 0, N | C | V, 0, Z | C | V),
        (lsls(0, 1, 0), 5, 0x8000_0000, C, 0x8000_0000, N | C),
    ]);
}

#[test]
fn shifts_by_a_constant_give_the_last_bit_that_leaves_to_the_carry() {
    check(&[
        (lsls(0, 1, 1), 0, 0x8000_0001, 0, 2, C),
        (lsls(0, 1, 31), 0, 3, 0, 0x8000_0000, N | C),
        (lsrs(0, 1, 1), 0, 3, 0, 1, C),
        (lsrs(0, 1, 31), 0, 0x8000_0000, C, 1, 0),
        (lsrs(0, 1, 32), 0, 0x8000_0000, 0, 0, Z | C),
        (lsrs(0, 1, 32), 0, 0x7FFF_FFFF, C, 0, Z),
        (asrs(0, 1, 1), 0, 0x8000_0001, 0, 0xC000_0000, N | C),
        (asrs(0, 1, 32), 0, 0x8000_0000, 0, u32::MAX, N | C),
        (asrs(0, 1, 32), 0, 0x7FFF_FFFF, C, 0, Z),
    ]);
}

#[test]
fn shifts_by_a_register_take_its_lowest_byte() {
    let x = 0x8000_0001;
    check(&[
        (data(LSL, 0, 1), x, 0, C, x, N | C),
        (data(LSL, 0, 1), x, 0x100, C, x, N | C),
        (data(LSL, 0, 1), x, 1, 0, 2, C),
        (data(LSL, 0, 1), x, 31, C, 0x8000_0000, N),
        (data(LSL, 0, 1), x, 32, 0, 0, Z | C),
        (data(LSL, 0, 1), 2, 32, C, 0, Z),
        (data(LSL, 0, 1), x, 33, C, 0, Z),
        (data(LSL, 0, 1), x, 255, C, 0, Z),
        (data(LSR, 0, 1), x, 0, 0, x, N),
        (data(LSR, 0, 1), x, 1, 0, 0x4000_0000, C),
        (data(LSR, 0, 1), x, 32, 0, 0, Z | C),
        (data(LSR, 0, 1), 1, 32, C, 0, Z),
        (data(LSR, 0, 1), x, 33, C, 0, Z),
        (data(LSR, 0, 1), x, 255, C, 0, Z),
        (data(ASR, 0, 1), x, 0, C, x, N | C),
        (data(ASR, 0, 1), x, 1, 0, 0xC000_0000, N | C),
        (data(ASR, 0, 1), x, 31, C, u32::MAX, N),
        (data(ASR, 0, 1), x, 32, 0, u32::MAX, N | C),
        (data(ASR, 0, 1), x, 200, 0, u32::MAX, N | C),
        (data(ASR, 0, 1), 0x7FFF_FFFF, 32, C, 0, Z),
        (data(ROR, 0, 1), x, 0, 0, x, N),
        (data(ROR, 0, 1), x, 0, C, x, N | C),
        (data(ROR, 0, 1), x, 1, 0, 0xC000_0000, N | C),
        (data(ROR, 0, 1), x, 32, 0, x, N | C),
        (data(ROR, 0, 1), 1, 64, C, 1, 0),
        (data(ROR, 0, 1), 2, 33, C, 1, 0),
        (data(ROR, 0, 1), x, 255, 0, 3, 0),
    ]);
}

#[test]
fn bytes_and_halfwords_are_extended_and_reversed() {
    let flags = N | C | V;
    check(&[
        (0xB208, 0, 0x1234_8001, flags, 0xFFFF_8001, flags),
        (0xB208, 0, 0x1234_7001, flags, 0x7001, flags),
        (0xB248, 0, 0x1234_5680, flags, 0xFFFF_FF80, flags),
        (0xB288, 0, 0x1234_8001, flags, 0x8001, flags),
        (0xB2C8, 0, 0x1234_5680, flags, 0x80, flags),
        (0xBA08, 0, 0x1234_5678, flags, 0x7856_3412, flags),
        (0xBA48, 0, 0x1234_5678, flags, 0x3412_7856, flags),
        (0xBAC8, 0, 0x1234_5680, flags, 0xFFFF_8056, flags),
    ]);
}

#[test]
fn branches_follow_the_flags() {
    /// For each condition the flags under which it holds, a bit for each of the sixteen combinations.
    const HOLDS: [u16; 14] = [
        0xF0F0, 0x0F0F, 0xCCCC, 0x3333, 0xFF00, 0x00FF, 0xAAAA, 0x5555, 0x0C0C, 0xF3F3, 0xAA55,
        0x55AA, 0x0A05, 0xF5FA,
    ];
    for (condition, holds) in (0..).zip(HOLDS) {
        for flags in 0..16 {
            let mut machine = Image::new(&[skip_if(condition, 1)]).machine(Timing::Silicon);
            machine.set_xpsr(flags << 28 | 1 << 24);
            machine.step(&mut Notes::default());
            let taken = holds >> flags & 1 == 1;
            let (pc, cycles) = if taken {
                (START + 4, 3)
            } else {
                (START + 2, 1)
            };
            assert_eq!(
                (machine.registers()[15], machine.now()),
                (pc, cycles),
                "condition {condition} with flags {flags:#06b}"
            );
        }
    }
}

#[test]
fn branches_reach_forwards_and_backwards() {
    let pc_after = |code: &[u16]| {
        let mut machine = Image::new(code).machine(Timing::Silicon);
        machine.step(&mut Notes::default());
        machine.registers()[15]
    };
    assert_eq!(pc_after(&[branch(1023)]), START + 2046);
    assert_eq!(pc_after(&[branch(-200)]), START - 400);
    // BL by 0x1000 and by -4.
    assert_eq!(pc_after(&[0xF001, 0xF800]), START + 4 + 0x1000);
    assert_eq!(pc_after(&[0xF7FF, 0xFFFC]), START - 4);
}

#[test]
fn calls_leave_the_address_behind_them_in_lr() {
    let (machine, _) = run(&[0xF000, 0xF801, bkpt(0), bkpt(1)]);
    assert_eq!(machine.registers()[14], (START + 4) | 1);
    assert_eq!(machine.registers()[15], START + 6);
    let code = [
        constant(0, (START + 18) | 1),
        vec![blx(0), bkpt(0), bkpt(1)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[14], (START + 16) | 1);
    assert_eq!(machine.registers()[15], START + 18);
}

#[test]
fn high_registers_are_moved_and_added_without_flags() {
    let mut machine = Image::new(&[mov(8, 0), add(8, 1), mov(2, 8), mov(13, 0), add(13, 1)])
        .machine(Timing::Silicon);
    machine.set_register(0, 0x2000_1007);
    machine.set_register(1, 6);
    machine.set_xpsr(0xF << 28 | 1 << 24);
    steps(&mut machine, 5);
    assert_eq!(machine.registers()[2], 0x2000_100D);
    // The two lowest bits of the stack pointer are always zero.
    assert_eq!(machine.registers()[13], 0x2000_1008);
    assert_eq!(machine.xpsr() >> 28, 0xF);
}

#[test]
fn pc_reads_as_the_instruction_after_next() {
    let mut machine =
        Image::new(&[NOP, mov(0, 15), add(1, 15), 0xA201, 0xA201]).machine(Timing::Silicon);
    machine.set_register(1, 0x1000);
    steps(&mut machine, 5);
    let r = machine.registers();
    assert_eq!(r[0], START + 2 + 4);
    assert_eq!(r[1], 0x1000 + START + 4 + 4);
    // ADR counts from a word: both give the same.
    assert_eq!(r[2], START + 8 + 4 + 4);
}

#[test]
fn a_jump_by_mov_or_add_keeps_the_thumb_state() {
    let mut machine = Image::new(&[mov(15, 0)]).machine(Timing::Silicon);
    machine.set_register(0, 0x500);
    steps(&mut machine, 1);
    assert_eq!((machine.registers()[15], machine.now()), (0x500, 3));
    let mut machine = Image::new(&[add(15, 0)]).machine(Timing::Silicon);
    machine.set_register(0, 0x101);
    steps(&mut machine, 1);
    assert_eq!(machine.registers()[15], START + 4 + 0x100);
    assert_eq!(machine.xpsr() >> 24 & 1, 1);
}

#[test]
fn cycles_are_those_of_a_cortex_m0() {
    let cycles = |instruction: u16| {
        let mut machine = Image::new(&[instruction, 0x8F5F]).machine(Timing::Silicon);
        machine.set_register(0, 0x2000_0000);
        machine.set_register(1, START | 1);
        steps(&mut machine, 1);
        machine.now()
    };
    let mul = data(MUL, 2, 3);
    for (instruction, expected) in [
        (movs(2, 1), 1),
        (mul, 1),
        (ldr(2, 0, 0), 2),
        (strb(2, 0, 0), 2),
        (push(0x0F), 5),
        (pop(0x0F), 5),
        (stm(0, 0x06), 3),
        (ldm(0, 0x0E), 4),
        (branch(5), 3),
        (bx(1), 3),
        (blx(1), 3),
        (0xF3BF, 4),
        (SEV, 1),
        (NOP, 1),
        (CPSID, 1),
    ] {
        assert_eq!(cycles(instruction), expected, "{instruction:#06x}");
    }
}

fn steps(machine: &mut Machine, count: usize) {
    for _ in 0..count {
        let stop: Option<Stop> = machine.step(&mut Notes::default());
        assert_eq!(stop, None);
    }
}
