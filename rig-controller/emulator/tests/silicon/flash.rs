//! Flash, its controller, and code in flash and RAM that changes.

use powercut_emulator::{Go, Machine, Operation, PAGE_BYTES, ResetCause, Stop, Timing};

use crate::common::asm::*;
use crate::common::{HANDLER, Image, Notes, START, ram_word, run, to_breakpoint};

const CONFIG: u32 = 0x4001_E504;
const ERASE_PAGE: u32 = 0x4001_E508;
const ERASE_ALL: u32 = 0x4001_E50C;
const TARGET: u32 = 0x0003_0000;

fn program(address: u32, value: u32) -> Operation {
    Operation::Program {
        address,
        before: u32::MAX,
        value,
    }
}

fn word(machine: &Machine, address: u32) -> u32 {
    let start = address as usize;
    u32::from_le_bytes(machine.flash()[start..start + 4].try_into().unwrap())
}

#[test]
fn a_word_is_programmed_in_46_us_and_only_loses_bits() {
    let code = [
        poke(CONFIG, 1),
        poke(TARGET, 0xFFFF_00FF),
        poke(TARGET, 0x0F0F_FFFF),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, notes) = run(&code);
    let second = Operation::Program {
        address: TARGET,
        before: 0xFFFF_00FF,
        value: 0x0F0F_FFFF,
    };
    let operations: Vec<_> = notes
        .operations
        .iter()
        .map(|(_, operation)| *operation)
        .collect();
    assert_eq!(operations, [program(TARGET, 0xFFFF_00FF), second]);
    assert_eq!(word(&machine, TARGET), 0x0F0F_00FF);
    for ((begun, _), done) in notes.operations.iter().zip(&notes.done) {
        assert_eq!(done - begun, 741);
    }
    assert_eq!(notes.pcs[0], START + 2 * 29, "the store itself");
}

#[test]
fn a_page_is_erased_in_22_ms() {
    let code = [
        poke(CONFIG, 2),
        poke(ERASE_PAGE, TARGET + 0x404),
        vec![bkpt(0)],
    ]
    .concat();
    let image = Image::new(&code)
        .word(TARGET, 0)
        .word(TARGET + 0x400, 0)
        .word(TARGET + 0x7FC, 0);
    let mut machine = image.word(TARGET + 0x800, 0).machine(Timing::Silicon);
    let mut notes = Notes::default();
    to_breakpoint(&mut machine, &mut notes);
    assert_eq!(
        notes.operations[0].1,
        Operation::Erase {
            address: TARGET + 0x400
        }
    );
    assert_eq!(notes.done[0] - notes.operations[0].0, 356_800);
    let words = [0, 0x400, 0x7FC, 0x800].map(|offset| word(&machine, TARGET + offset));
    assert_eq!(words, [0, u32::MAX, u32::MAX, 0]);
}

#[test]
fn flash_takes_no_time_when_timing_is_instant() {
    let code = [
        poke(CONFIG, 1),
        poke(TARGET, 0),
        poke(CONFIG, 2),
        poke(ERASE_PAGE, TARGET),
        vec![bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Instant);
    let mut notes = Notes::default();
    to_breakpoint(&mut machine, &mut notes);
    assert_eq!(notes.operations.len(), 2);
    assert!(machine.now() < 200);
}

#[test]
fn everything_is_erased_page_by_page_at_once() {
    let code = [poke(CONFIG, 2), poke(ERASE_ALL, 1), vec![bkpt(0)]].concat();
    let mut machine = Image::new(&code)
        .word(0x1000, 0)
        .word(TARGET, 0)
        .machine(Timing::Silicon);
    let mut notes = Notes::default();
    // The program and its vectors are gone.
    let stop = machine.run(&mut notes, 1_000_000);
    assert!(matches!(stop, Stop::LockUp { .. }), "{stop:?}");
    assert_eq!(notes.operations.len(), 256);
    assert!(machine.flash().iter().all(|byte| *byte == 0xFF));
    assert!((356_800..357_000).contains(&machine.now()));
}

#[test]
fn a_closed_controller_lets_nothing_through_and_the_world_knows() {
    let code = [
        poke(TARGET, 0),
        poke(0x1000_1080, 0),
        poke(ERASE_PAGE, TARGET),
        poke(CONFIG, 1),
        poke(ERASE_PAGE, TARGET),
        poke(CONFIG, 2),
        poke(TARGET, 0),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, notes) = run(&code);
    assert_eq!(notes.operations, []);
    assert_eq!(
        notes.not_written,
        [TARGET, 0x1000_1080, ERASE_PAGE, ERASE_PAGE, TARGET]
    );
    assert_eq!(word(&machine, TARGET), u32::MAX);
}

#[test]
fn narrow_writes_to_flash_fault() {
    for instruction in [strb(6, 7, 0), strh(6, 7, 0)] {
        let code = [
            poke(CONFIG, 1),
            constant(7, TARGET),
            vec![instruction, bkpt(1)],
        ]
        .concat();
        let mut machine = Image::new(&code)
            .code(HANDLER, &[bkpt(2)])
            .machine(Timing::Silicon);
        let mut notes = Notes::default();
        assert_eq!(to_breakpoint(&mut machine, &mut notes), 2);
        assert_eq!(notes.operations, []);
    }
}

#[test]
fn the_world_may_stop_before_and_after_an_operation() {
    let code = [
        poke(CONFIG, 1),
        poke(TARGET, 1),
        poke(TARGET + 4, 2),
        vec![bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes {
        answer: Some((1, Go::StopBefore)),
        ..Notes::default()
    };
    assert_eq!(machine.run(&mut notes, 1_000_000), Stop::World);
    assert_eq!(
        (word(&machine, TARGET), word(&machine, TARGET + 4)),
        (1, u32::MAX)
    );
    let (before, instructions) = (machine.now(), machine.instructions());
    // The store is executed when the machine runs on.
    assert_eq!(machine.registers()[15], START + 2 * 44);
    notes.answer = Some((2, Go::StopAfter));
    assert_eq!(machine.run(&mut notes, 1_000_000), Stop::World);
    assert_eq!(word(&machine, TARGET + 4), 2);
    assert_eq!(machine.now() - before, 741 + 2);
    assert_eq!(machine.instructions() - instructions, 1);
    assert_eq!(machine.registers()[15], START + 2 * 45);
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 0);
    assert_eq!(notes.done.len(), 2);
}

#[test]
fn code_that_is_erased_under_the_core_is_not_executed_any_more() {
    // The program at START erases the page of a routine that it has called before.
    let routine = 0x8000;
    let code = [
        constant(4, routine | 1),
        vec![blx(4)],
        poke(CONFIG, 2),
        poke(ERASE_PAGE, routine),
        vec![blx(4), bkpt(1)],
    ]
    .concat();
    let image = Image::new(&code)
        .code(routine, &[movs(5, 9), BX_LR])
        .code(HANDLER, &[bkpt(2)]);
    let mut machine = image.machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 2);
    assert_eq!(machine.registers()[5], 9);
    let stacked = ram_word(&machine, machine.registers()[13] + 24);
    assert_eq!(stacked, routine);
}

#[test]
fn code_that_is_programmed_is_executed_as_it_is_now() {
    // MOVS R5 #3 becomes MOVS R5 #1 by clearing a bit.
    let routine = 0x8000;
    let words = |immediate| u32::from(movs(5, immediate)) | u32::from(BX_LR) << 16;
    let code = [
        constant(4, routine | 1),
        vec![blx(4), mov(8, 5)],
        poke(CONFIG, 1),
        poke(routine, words(1)),
        vec![blx(4), bkpt(1)],
    ]
    .concat();
    let mut machine = Image::new(&code)
        .word(routine, words(3))
        .machine(Timing::Silicon);
    to_breakpoint(&mut machine, &mut Notes::default());
    assert_eq!((machine.registers()[8], machine.registers()[5]), (3, 1));
}

#[test]
fn an_instruction_of_32_bits_is_forgotten_with_its_second_half() {
    // BL across the border of two pages, to 0x8500; its second half is changed to go to 0x8504.
    let branch = 0x83FE;
    let halves = |target: u32| {
        let offset = target - branch - 4;
        [
            0xF000 | (offset >> 12) as u16,
            0xF800 | (offset >> 1 & 0x7FF) as u16,
        ]
    };
    let image = Image::new(&[bx(4)])
        .code(branch, &halves(0x8500))
        .code(0x8500, &[bkpt(1), NOP, bkpt(2)]);
    let mut machine = image.machine(Timing::Silicon);
    let run = |machine: &mut Machine| {
        machine.set_register(15, branch);
        to_breakpoint(machine, &mut Notes::default())
    };
    assert_eq!(run(&mut machine), 1);
    let changed = image.clone().code(branch, &halves(0x8504));
    let page: [u8; PAGE_BYTES] = changed.0[0x8400..0x8800].try_into().unwrap();
    machine.set_page(0x8400, &page);
    assert_eq!(run(&mut machine), 2);
    machine.set_word(0x8400, word(&image.machine(Timing::Silicon), 0x8400));
    assert_eq!(run(&mut machine), 1);
    machine.load_flash(&changed.0);
    assert_eq!(run(&mut machine), 2);
}

#[test]
fn code_runs_in_ram_and_is_seen_to_change() {
    let routine = 0x2000_0200;
    let words = |immediate| u32::from(movs(5, immediate)) | u32::from(BX_LR) << 16;
    let code = [
        poke(routine, words(3)),
        constant(4, routine | 1),
        vec![blx(4), mov(8, 5)],
        poke(routine, words(4)),
        vec![blx(4), bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!((machine.registers()[8], machine.registers()[5]), (3, 4));
}

#[test]
fn code_in_ram_erases_flash() {
    // STR R6, [R7]; BX LR from RAM: the flash that called it is read again afterwards.
    let routine = 0x2000_0200;
    let code = [
        poke(routine, u32::from(str(6, 7, 0)) | u32::from(BX_LR) << 16),
        poke(CONFIG, 2),
        constant(4, routine | 1),
        constant(7, ERASE_PAGE),
        constant(6, TARGET),
        vec![blx(4), bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).word(TARGET, 0).machine(Timing::Silicon);
    let mut notes = Notes::default();
    to_breakpoint(&mut machine, &mut notes);
    assert_eq!(word(&machine, TARGET), u32::MAX);
    assert_eq!(notes.pcs, [routine]);
}

#[test]
fn flash_and_ram_survive_reset_and_power() {
    let code = [
        // After the first start the word in RAM is there.
        peek(0, 0x2000_0100),
        vec![cmp(0, 7), skip_if(1, 1), bkpt(1)],
        poke(0x2000_0100, 7),
        poke(CONFIG, 1),
        poke(TARGET, 0x55),
        poke(0xE000_ED0C, 0x05FA_0004),
        vec![bkpt(2)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 1);
    assert_eq!(notes.resets.len(), 1);
    assert_eq!(notes.resets[0].1, ResetCause::Software);
    assert_eq!(word(&machine, TARGET), 0x55);
    machine.power_on(5_000_000);
    assert_eq!(machine.now(), 5_000_000);
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 1);
    // The controller is closed again after each.
    let config = machine.bus_read(&mut notes, CONFIG, powercut_emulator::Width::Word);
    assert_eq!(config, Ok(0));
}
