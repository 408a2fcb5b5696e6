//! Instructions that cannot be completed, and the lock-up.

use powercut_emulator::{Cycles, Machine, ResetCause, Stop, Timing};

use crate::common::asm::*;
use crate::common::{HANDLER, Image, Notes, START, handler, ram_word, to_breakpoint};

/// Runs `code` with these registers into the handler of faults; the address that was stacked.
fn faults_at(code: &[u16], registers: &[(usize, u32)]) -> Option<u32> {
    let code = [code, &[bkpt(1)]].concat();
    let mut machine = Image::new(&code)
        .code(HANDLER, &[bkpt(2)])
        .machine(Timing::Silicon);
    for &(register, value) in registers {
        machine.set_register(register, value);
    }
    let number = to_breakpoint(&mut machine, &mut Notes::default());
    (number == 2).then(|| {
        assert_eq!(machine.xpsr() & 0x3F, 3, "the handler of faults runs");
        ram_word(&machine, machine.registers()[13] + 24)
    })
}

#[test]
fn transfers_that_are_not_aligned_fault_and_change_nothing() {
    let unaligned = [(0, 0x2000_1001), (1, 7)];
    for instruction in [
        ldr(1, 0, 0),
        ldrh(1, 0, 0),
        str(1, 0, 0),
        strh(1, 0, 0),
        ldm(0, 0b110),
        stm(0, 0b110),
    ] {
        assert_eq!(faults_at(&[NOP, instruction], &unaligned), Some(START + 2));
    }
    assert_eq!(faults_at(&[ldr(1, 0, 0)], &[(0, 0x2000_1002)]), Some(START));
    assert_eq!(faults_at(&[ldrb(1, 0, 0)], &unaligned), None);
}

#[test]
fn transfers_where_nothing_is_fault() {
    for address in [
        0x0004_0000,
        0x0FFF_FFFC,
        0x1000_2000,
        0x1FFF_FFFC,
        0x2000_4000,
        0x4002_0000,
        0x5000_1000,
        0x6000_0000,
        0xE010_0000,
        0xFFFF_FFFC,
    ] {
        assert_eq!(
            faults_at(&[ldr(1, 0, 0)], &[(0, address)]),
            Some(START),
            "{address:#x}"
        );
        assert_eq!(
            faults_at(&[str(1, 0, 0)], &[(0, address)]),
            Some(START),
            "{address:#x}"
        );
    }
    assert_eq!(faults_at(&[ldr(1, 0, 0)], &[(0, 0x2000_3FFC)]), None);
    assert_eq!(faults_at(&[ldr(1, 0, 0)], &[(0, 0x0003_FFFC)]), None);
}

#[test]
fn a_list_that_runs_out_of_memory_faults_with_its_base_as_it_was() {
    let code = [ldm(0, 0b0111), bkpt(1)];
    let mut machine = Image::new(&code)
        .code(HANDLER, &[bkpt(2)])
        .machine(Timing::Silicon);
    machine.set_register(0, 0x2000_3FF8);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    assert_eq!(machine.registers()[0], 0x2000_3FF8);
    let mut machine = Image::new(&[pop(LINK | 1)])
        .code(HANDLER, &[bkpt(2)])
        .machine(Timing::Silicon);
    machine.set_register(13, 0x2000_3FFC);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    assert_eq!(machine.registers()[13], 0x2000_3FFC & (!7 - 32) & !7);
}

#[test]
fn instructions_that_a_cortex_m0_lacks_fault() {
    for code in [
        &[UNDEFINED][..],
        // IT EQ, CBZ, CBNZ.
        &[0xBF08],
        &[0xB100],
        &[0xB900],
        // MOVW, SDIV, LDREX, UDF.W, B.W, TBB.
        &[0xF240, 0x1034],
        &[0xFB90, 0xF0F1],
        &[0xE850, 0x0F00],
        &[0xF7F0, 0xA000],
        &[0xF000, 0xB800],
        &[0xE8D0, 0xF001],
        // CPSIE f, SETEND.
        &[0xB661],
        &[0xB650],
    ] {
        assert_eq!(faults_at(code, &[]), Some(START), "{code:x?}");
    }
}

#[test]
fn unpredictable_instructions_fault() {
    for code in [
        // Empty lists, ADD PC PC, CMP with PC or of two low registers, BX with a bit too many, BLX PC.
        &[0xB400][..],
        &[0xBC00],
        &[0xC000],
        &[0xC800],
        &[0x44FF],
        &[0x4587],
        &[0x4508],
        &[0x4701],
        &[0x47F8],
        // MRS of a register that is not there, into SP; MSR from PC.
        &[0xF3EF, 0x8004],
        &[0xF3EF, 0x8D00],
        &[0xF38F, 0x8808],
    ] {
        assert_eq!(faults_at(code, &[]), Some(START), "{code:x?}");
    }
    // A list that is not empty does not.
    assert_eq!(faults_at(&[0xBD00], &[(13, 0x2000_0100)]), Some(0));
}

#[test]
fn code_without_the_thumb_bit_faults_at_its_target() {
    assert_eq!(faults_at(&[bx(0)], &[(0, 0x500)]), Some(0x500));
    assert_eq!(faults_at(&[blx(0)], &[(0, 0x500)]), Some(0x500));
    // BX PC goes to the next word, which has no Thumb bit.
    assert_eq!(faults_at(&[bx(15)], &[]), Some(START + 4));
}

#[test]
fn code_where_nothing_is_executable_faults_at_its_target() {
    for target in [
        0x0004_0000,
        0x2000_4000,
        0x4000_0000,
        0x1000_0000,
        0xE000_E000,
    ] {
        assert_eq!(faults_at(&[bx(0)], &[(0, target | 1)]), Some(target));
    }
    // Half an instruction at the end of flash.
    let image = Image::new(&[bx(0)])
        .code(0x3FFFE, &[0xF000])
        .code(HANDLER, &[bkpt(2)]);
    let mut machine = image.machine(Timing::Silicon);
    machine.set_register(0, 0x3FFFF);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
}

#[test]
fn a_breakpoint_without_a_debugger_faults() {
    let image = Image::new(&[bkpt(1)]).handler(3, &[WFI, branch(-1)]);
    let mut machine = image.machine(Timing::Silicon);
    machine.attach_debugger(false);
    assert_eq!(machine.run(&mut Notes::default(), 1000), Stop::Asleep);
    assert_eq!(machine.xpsr() & 0x3F, 3);
    let mut machine = image.machine(Timing::Silicon);
    let stop = machine.run(&mut Notes::default(), 1000);
    assert_eq!(
        stop,
        Stop::Breakpoint {
            pc: START,
            number: 1
        }
    );
    assert_eq!(machine.registers()[15], START, "it is not executed");
    assert_eq!((machine.now(), machine.instructions()), (0, 0));
}

#[test]
fn narrow_transfers_of_the_cores_registers_fault() {
    for instruction in [ldrb(1, 0, 0), ldrh(1, 0, 0), strb(1, 0, 0), strh(1, 0, 0)] {
        assert_eq!(faults_at(&[instruction], &[(0, 0xE000_E400)]), Some(START));
    }
}

fn locks_up(image: &Image, prepare: impl Fn(&mut Machine)) -> (Machine, Notes, Stop) {
    let mut machine = image.machine(Timing::Silicon);
    prepare(&mut machine);
    let mut notes = Notes::default();
    let stop = machine.run(&mut notes, 10_000);
    (machine, notes, stop)
}

#[test]
fn a_fault_in_the_handler_of_faults_locks_up() {
    let image = Image::new(&[UNDEFINED]).handler(3, &[NOP, UNDEFINED]);
    let (mut machine, mut notes, stop) = locks_up(&image, |_| ());
    assert_eq!(stop, Stop::LockUp { pc: handler(3) + 2 });
    // It stays so until it is reset.
    assert_eq!(machine.run(&mut notes, Cycles::MAX), stop);
    assert_eq!(machine.step(&mut notes), Some(stop));
    machine.reset(&mut notes, ResetCause::LockUp);
    assert_eq!(machine.registers()[15], START);
    assert_eq!(notes.resets, [(machine.now(), ResetCause::LockUp)]);
    assert_eq!(machine.run(&mut notes, Cycles::MAX), stop);
}

#[test]
fn a_fault_in_the_handler_of_nmi_locks_up() {
    let code = [poke(0xE000_ED04, 1 << 31), vec![NOP, bkpt(1)]].concat();
    let image = Image::new(&code).handler(2, &[UNDEFINED]);
    let (_, _, stop) = locks_up(&image, |_| ());
    assert_eq!(stop, Stop::LockUp { pc: handler(2) });
}

#[test]
fn a_fault_with_its_stack_outside_memory_locks_up() {
    let image = Image::new(&[UNDEFINED]).code(HANDLER, &[bkpt(2)]);
    for stack in [0x2000_0010, 0x1000_0000, 0, 0x2000_4020] {
        let (_, _, stop) = locks_up(&image, |machine| machine.set_register(13, stack));
        assert_eq!(stop, Stop::LockUp { pc: START }, "{stack:#x}");
    }
}

#[test]
fn an_interrupt_with_its_stack_outside_memory_faults() {
    // The handler of faults runs on a stack that it must not use.
    let code = [
        constant(0, 0x2000_0010),
        vec![mov(13, 0), CPSIE, NOP, bkpt(1)],
    ]
    .concat();
    let image = Image::new(
        &[
            vec![CPSID],
            poke(0xE000_E100, 1),
            poke(0xE000_E200, 1),
            code,
        ]
        .concat(),
    )
    .code(HANDLER, &[bkpt(2)])
    .handler(16, &[bkpt(3)]);
    let mut machine = image.machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    assert_eq!(machine.xpsr() & 0x3F, 3);
}

#[test]
fn blank_flash_locks_up_at_the_first_instruction() {
    let mut machine = Machine::new(Timing::Silicon);
    machine.power_on(0);
    assert_eq!(machine.registers()[13], 0xFFFF_FFFC);
    let stop = machine.run(&mut Notes::default(), 1000);
    assert_eq!(stop, Stop::LockUp { pc: 0xFFFF_FFFE });
}

#[test]
fn a_return_to_nowhere_faults() {
    // From the handler of SVC: a word that is no address of a return, and a frame outside memory.
    let code = [vec![mov(4, 13)], vec![svc(0), bkpt(1)]].concat();
    let wrong = [constant(0, 0xFFFF_FFF5), vec![bx(0)]].concat();
    let image = Image::new(&code)
        .handler(11, &wrong)
        .code(HANDLER, &[bkpt(2)]);
    let mut machine = image.machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    let lost = [constant(0, 0x2000_4000), vec![mov(13, 0), BX_LR]].concat();
    let image = Image::new(&code)
        .handler(11, &lost)
        .code(HANDLER, &[bkpt(2)]);
    let mut machine = image.machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
}
