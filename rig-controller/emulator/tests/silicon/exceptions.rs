//! Entry to exceptions and return from them, priorities, nesting, and special registers.

use powercut_emulator::{Machine, Timing};

use crate::common::asm::*;
use crate::common::{Image, Notes, STACK, START, ram_word, run, run_image, to_breakpoint};

const ENABLE: u32 = 0xE000_E100;
const PEND: u32 = 0xE000_E200;
const UNPEND: u32 = 0xE000_E280;
const PRIORITY_0: u32 = 0xE000_E400;
const CONTROL_AND_STATE: u32 = 0xE000_ED04;

/// Appends its number to a list that R5 points to the end of.
fn note(number: u16) -> Vec<u16> {
    vec![movs(4, number), strb(4, 5, 0), adds(5, 1)]
}

/// The numbers that handlers have noted, from `0x2000_0100` on.
fn noted(machine: &Machine) -> &[u8] {
    let end = (machine.registers()[5] - 0x2000_0000) as usize;
    &machine.ram()[0x100..end]
}

fn begin() -> Vec<u16> {
    constant(5, 0x2000_0100)
}

#[test]
fn an_entry_stacks_eight_words_and_a_return_takes_them_back() {
    let code = [
        constant(0, 0x1000_0001),
        vec![
            movs(1, 11),
            movs(2, 22),
            movs(3, 33),
            mov(12, 2),
            mov(14, 3),
        ],
        vec![cmp(1, 11), svc(7), bkpt(0)],
    ]
    .concat();
    let svc_at = START + 2 * 13;
    // The handler changes all that was stacked.
    let handler = [
        vec![mov(8, 14), mov(9, 13)],
        vec![
            movs(0, 0),
            mov(12, 0),
            movs(1, 0),
            movs(2, 0),
            movs(3, 0),
            BX_LR,
        ],
    ]
    .concat();
    let (machine, _) = run_image(&Image::new(&code).handler(11, &handler));
    let r = machine.registers();
    assert_eq!(r[..4], [0x1000_0001, 11, 22, 33]);
    assert_eq!((r[12], r[13], r[14]), (22, STACK, 33));
    assert_eq!(r[8], 0xFFFF_FFF9);
    assert_eq!(r[9], STACK - 32);
    // Z and C, as the comparison left them, and the Thumb bit.
    let frame: Vec<u32> = (0..8)
        .map(|i| ram_word(&machine, STACK - 32 + 4 * i))
        .collect();
    assert_eq!(
        frame,
        [0x1000_0001, 11, 22, 33, 22, 33, svc_at + 2, 0x6100_0000]
    );
    assert_eq!(machine.xpsr(), 0x6100_0000);
}

#[test]
fn a_frame_is_aligned_to_eight_bytes() {
    let code = [0xB081, svc(0), bkpt(0)];
    let handler = [mov(9, 13), BX_LR];
    let (machine, _) = run_image(&Image::new(&code).handler(11, &handler));
    assert_eq!(machine.registers()[9], STACK - 4 - 36);
    assert_eq!(machine.registers()[13], STACK - 4);
    assert_eq!(ram_word(&machine, STACK - 40 + 28) >> 9 & 1, 1);
}

#[test]
fn threads_may_use_a_stack_of_their_own() {
    let code = [
        constant(0, 0x2000_2000),
        msr(PSP, 0).to_vec(),
        vec![movs(1, 2)],
        msr(CONTROL, 1).to_vec(),
        vec![mov(2, 13), svc(0), mov(3, 13), bkpt(0)],
    ]
    .concat();
    let handler = [
        vec![mov(8, 14), mov(9, 13)],
        mrs(7, PSP).to_vec(),
        vec![BX_LR],
    ]
    .concat();
    let (machine, _) = run_image(&Image::new(&code).handler(11, &handler));
    let r = machine.registers();
    assert_eq!((r[2], r[3]), (0x2000_2000, 0x2000_2000));
    assert_eq!(r[8], 0xFFFF_FFFD);
    assert_eq!(r[9], STACK, "a handler has the main stack");
    assert_eq!(r[7], 0x2000_2000 - 32);
    assert_eq!(
        (machine.main_sp(), machine.process_sp()),
        (STACK, 0x2000_2000)
    );
    assert_eq!(machine.control(), 2);
}

#[test]
fn special_registers_are_read_and_written() {
    let code = [
        constant(0, 0xF000_0000),
        msr(XPSR, 0).to_vec(),
        mrs(1, XPSR).to_vec(),
        mrs(2, IPSR).to_vec(),
        vec![movs(0, 1)],
        msr(PRIMASK, 0).to_vec(),
        mrs(3, PRIMASK).to_vec(),
        vec![CPSIE],
        mrs(4, PRIMASK).to_vec(),
        mrs(5, MSP).to_vec(),
        // CONTROL has one bit only: there is no unprivileged mode.
        vec![movs(0, 1)],
        msr(CONTROL, 0).to_vec(),
        mrs(6, CONTROL).to_vec(),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[1..7], [0xF000_0000, 0, 1, 0, STACK, 0]);
}

#[test]
fn handlers_know_their_number_and_cannot_change_stacks() {
    let handler = [
        mrs(2, IPSR).to_vec(),
        vec![movs(0, 2)],
        msr(CONTROL, 0).to_vec(),
        mrs(3, CONTROL).to_vec(),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run_image(&Image::new(&[svc(0)]).handler(11, &handler));
    assert_eq!(machine.registers()[2..4], [11, 0]);
}

#[test]
fn pending_interrupts_are_taken_by_priority_then_by_number() {
    // Interrupts 0 to 3 have priorities 3, 1, 1, 0.
    let code = [
        begin(),
        poke(PRIORITY_0, 0x0040_40C0),
        poke(ENABLE, 0b1111),
        vec![CPSID],
        poke(PEND, 0b1111),
        vec![CPSIE, NOP, bkpt(0)],
    ]
    .concat();
    let mut image = Image::new(&code);
    for number in 0..4 {
        let handler = [note(number), vec![BX_LR]].concat();
        image = image.handler(16 + u32::from(number), &handler);
    }
    let (machine, _) = run_image(&image);
    assert_eq!(noted(&machine), [3, 1, 2, 0]);
}

#[test]
fn a_more_urgent_interrupt_nests_and_an_equal_one_waits() {
    let code = [
        begin(),
        // Interrupts 0 and 1 have priority 2, interrupt 2 has 1.
        poke(PRIORITY_0, 0x0040_8080),
        poke(ENABLE, 0b111),
        poke(PEND, 0b001),
        vec![NOP, bkpt(0)],
    ]
    .concat();
    let first = [
        vec![push(LINK)],
        note(10),
        poke(PEND, 0b110),
        vec![NOP],
        note(11),
        vec![pop(LINK)],
    ]
    .concat();
    let second = [note(20), vec![BX_LR]].concat();
    let third = [
        vec![mov(8, 14)],
        mrs(4, IPSR).to_vec(),
        vec![mov(9, 4)],
        note(30),
        vec![BX_LR],
    ]
    .concat();
    let image = Image::new(&code)
        .handler(16, &first)
        .handler(17, &second)
        .handler(18, &third);
    let (machine, _) = run_image(&image);
    assert_eq!(noted(&machine), [10, 30, 11, 20]);
    assert_eq!(
        machine.registers()[8],
        0xFFFF_FFF1,
        "it returns to a handler"
    );
    assert_eq!(machine.registers()[9], 18);
    assert_eq!(machine.registers()[13], STACK);
}

#[test]
fn a_handler_that_follows_another_finds_its_registers_and_the_first_ones_frame() {
    let code = [
        begin(),
        poke(ENABLE, 0b11),
        vec![CPSID],
        poke(PEND, 0b11),
        vec![movs(0, 1), CPSIE, NOP, bkpt(0)],
    ]
    .concat();
    let first = [vec![movs(0, 77), mov(8, 13)], note(1), vec![BX_LR]].concat();
    let second = [
        vec![mov(9, 0), mov(10, 13), mov(11, 14)],
        note(2),
        vec![BX_LR],
    ]
    .concat();
    let (machine, _) = run_image(&Image::new(&code).handler(16, &first).handler(17, &second));
    let r = machine.registers();
    assert_eq!(noted(&machine), [1, 2]);
    assert_eq!((r[9], r[10], r[11]), (77, r[8], 0xFFFF_FFF9));
    assert_eq!((r[0], r[13]), (1, STACK));
}

#[test]
fn masked_interrupts_wait_and_unpended_ones_are_forgotten() {
    let code = [
        begin(),
        vec![CPSID],
        poke(ENABLE, 0b11),
        poke(PEND, 0b11),
        peek(0, PEND),
        poke(UNPEND, 0b01),
        peek(1, PEND),
        // Highest pending exception: interrupt 1.
        peek(2, CONTROL_AND_STATE),
        note(1),
        vec![CPSIE, NOP],
        note(2),
        vec![bkpt(0)],
    ]
    .concat();
    let handler = [note(9), vec![BX_LR]].concat();
    let (machine, _) = run_image(&Image::new(&code).handler(17, &handler));
    assert_eq!(machine.registers()[..3], [0b11, 0b10, 1 << 22 | 17 << 12]);
    assert_eq!(noted(&machine), [1, 9, 2]);
}

#[test]
fn an_interrupt_that_is_not_enabled_stays_pending() {
    let code = [
        poke(PEND, 1),
        vec![NOP],
        peek(0, PEND),
        peek(1, ENABLE),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[..2], [1, 0]);
}

#[test]
fn a_call_of_the_supervisor_that_cannot_be_taken_faults() {
    let masked = Image::new(&[CPSID, svc(0), bkpt(1)]).handler(3, &[bkpt(2)]);
    let mut machine = masked.machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    // From its own handler, which it cannot interrupt.
    let nested = Image::new(&[svc(0), bkpt(1)])
        .handler(11, &[svc(1)])
        .handler(3, &[bkpt(2)]);
    let mut machine = nested.machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    assert_eq!(machine.registers()[14], 0xFFFF_FFF1);
}

#[test]
fn nmi_interrupts_even_the_masked_and_pend_sv_waits_for_all() {
    let code = [
        begin(),
        // PendSV has the least urgent priority, interrupt 0 the most urgent.
        poke(0xE000_ED20, 0x00C0_0000),
        poke(ENABLE, 1),
        vec![CPSID],
        poke(CONTROL_AND_STATE, 1 << 28),
        poke(PEND, 1),
        note(1),
        poke(CONTROL_AND_STATE, 1 << 31),
        vec![NOP],
        note(2),
        vec![CPSIE, NOP],
        note(3),
        // Pended and unpended again.
        vec![CPSID],
        poke(CONTROL_AND_STATE, 1 << 28),
        poke(CONTROL_AND_STATE, 1 << 27),
        vec![CPSIE, NOP, bkpt(0)],
    ]
    .concat();
    let handler = |number| [note(number), vec![BX_LR]].concat();
    let image = Image::new(&code)
        .handler(2, &handler(20))
        .handler(14, &handler(14))
        .handler(16, &handler(16));
    let (machine, _) = run_image(&image);
    assert_eq!(noted(&machine), [1, 20, 2, 16, 14, 3]);
}

#[test]
fn priorities_have_two_bits() {
    let code = [
        poke(PRIORITY_0 + 4, u32::MAX),
        peek(0, PRIORITY_0 + 4),
        poke(0xE000_ED1C, u32::MAX),
        peek(1, 0xE000_ED1C),
        poke(0xE000_ED20, u32::MAX),
        peek(2, 0xE000_ED20),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(
        machine.registers()[..3],
        [0xC0C0_C0C0, 0xC000_0000, 0x00C0_0000]
    );
}

#[test]
fn an_interrupt_of_a_peripheral_comes_again_while_its_event_stands() {
    // TIMER0 reaches its compare register once; the handler clears the event the second time only.
    let code = [
        begin(),
        poke(0x4000_8540, 10),
        poke(0x4000_8304, 1 << 16),
        poke(0x4000_8000, 1),
        poke(ENABLE, 1 << 8),
        vec![movs(3, 0), mov(8, 3), WFI, NOP, NOP, bkpt(0)],
    ]
    .concat();
    // R3 is stacked, so the handler counts in R8.
    let handler = [
        note(1),
        vec![mov(3, 8), adds(3, 1), mov(8, 3), cmp(3, 2), skip_if(1, 15)],
        poke(0x4000_8140, 0),
        vec![BX_LR],
    ]
    .concat();
    let mut machine = Image::new(&code)
        .handler(24, &handler)
        .machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 0);
    assert_eq!(noted(&machine), [1, 1]);
}

#[test]
fn the_identification_and_fixed_registers_are_a_cortex_m0s() {
    let code = [
        peek(0, 0xE000_ED00),
        peek(1, 0xE000_ED14),
        peek(2, 0xE000_ED0C),
        poke(0xE000_ED10, u32::MAX),
        peek(3, 0xE000_ED10),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(
        machine.registers()[..4],
        [0x410C_C200, 0x208, 0xFA05_0000, 0x16]
    );
}

#[test]
fn neither_vector_table_offset_nor_systick_is_there() {
    let code = [
        poke(0xE000_ED08, 0x8000),
        peek(0, 0xE000_ED08),
        poke(0xE000_E010, 7),
        peek(1, 0xE000_E018),
        vec![svc(0)],
    ]
    .concat();
    let mut machine = Image::new(&code)
        .handler(11, &[bkpt(5)])
        .machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 5);
    assert_eq!(notes.absent, ["VTOR", "VTOR", "SysTick", "SysTick"]);
    assert_eq!(machine.registers()[..2], [0, 0]);
}
