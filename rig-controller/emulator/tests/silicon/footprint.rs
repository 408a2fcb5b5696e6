//! The footprint of a run, flash whose words are unsettled, and time that stands still.

use std::sync::Arc;

use powercut_emulator::{Machine, RAM_START, Stop, Timing, Unsettled};

use crate::common::asm::*;
use crate::common::{HANDLER, Image, Notes, START, ram_word, to_breakpoint};

const CONFIG: u32 = 0x4001_E504;
const ERASE_PAGE: u32 = 0x4001_E508;
/// A page of data.
const DATA: u32 = 0x0003_0000;
const RESULT: u32 = RAM_START + 0x100;

/// Runs `code` with a footprint that has a mark at its beginning.
fn footprint_of(code: &[Vec<u16>]) -> Machine {
    let mut machine = Image::new(&[code.concat(), vec![bkpt(0)]].concat()).machine(Timing::Instant);
    machine.keep_footprint(true);
    machine.footprint_mut().unwrap().mark();
    to_breakpoint(&mut machine, &mut Notes::default());
    machine
}

fn needs_flash(machine: &Machine, address: u32) -> bool {
    machine.footprint().unwrap().needed_flash()[address as usize / 4] == 1
}

fn needs_ram(machine: &Machine, address: u32) -> bool {
    machine.footprint().unwrap().needed_ram()[(address - RAM_START) as usize] == 1
}

#[test]
fn a_run_needs_what_it_reads_before_it_has_written_it() {
    let other = RESULT + 4;
    let machine = footprint_of(&[
        peek(0, DATA),
        poke(RESULT, 1),
        peek(0, RESULT),
        peek(0, other),
    ]);
    assert!(needs_flash(&machine, DATA) && !needs_flash(&machine, DATA + 4));
    assert!(!needs_ram(&machine, RESULT) && needs_ram(&machine, other + 3));
    assert!(needs_flash(&machine, START), "the code");
    assert!(!needs_flash(&machine, HANDLER), "code that did not run");
}

#[test]
fn a_word_that_is_programmed_first_need_only_take_the_value() {
    let machine = footprint_of(&[poke(CONFIG, 1), poke(DATA, 0xFF00), peek(0, DATA)]);
    let footprint = machine.footprint().unwrap();
    let [programmed] = footprint.programmed() else {
        panic!("{:?}", footprint.programmed());
    };
    assert_eq!((programmed.word, programmed.value), (DATA / 4, 0xFF00));
    assert!(!needs_flash(&machine, DATA));
    assert_eq!(footprint.worn()[DATA as usize / 4], 1);
}

#[test]
fn a_word_that_does_not_take_the_value_is_needed() {
    let code = [poke(CONFIG, 1), poke(DATA, 0xFF00), vec![bkpt(0)]].concat();
    let mut machine = Image::new(&code)
        .word(DATA, 0x00FF)
        .machine(Timing::Instant);
    machine.keep_footprint(true);
    machine.footprint_mut().unwrap().mark();
    to_breakpoint(&mut machine, &mut Notes::default());
    assert!(needs_flash(&machine, DATA));
}

#[test]
fn a_page_that_is_erased_first_is_not_needed() {
    let machine = footprint_of(&[
        poke(CONFIG, 2),
        poke(ERASE_PAGE, DATA),
        peek(0, DATA),
        poke(CONFIG, 1),
        poke(DATA, 7),
    ]);
    let footprint = machine.footprint().unwrap();
    assert!(!needs_flash(&machine, DATA));
    assert_eq!(footprint.programmed(), []);
    assert_eq!(footprint.worn()[DATA as usize / 4], 0);
}

#[test]
fn a_mark_behind_a_write_needs_what_was_written() {
    let code = [
        poke(RESULT, 5),
        vec![bkpt(0)],
        peek(0, RESULT),
        vec![bkpt(1)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Instant);
    machine.keep_footprint(true);
    machine.footprint_mut().unwrap().mark();
    to_breakpoint(&mut machine, &mut Notes::default());
    machine.set_register(15, machine.registers()[15] + 2);
    machine.footprint_mut().unwrap().mark();
    to_breakpoint(&mut machine, &mut Notes::default());
    let needed = machine.footprint().unwrap().needed_ram()[(RESULT - RAM_START) as usize];
    assert_eq!(needed, 0b10, "the second mark, not the first");
}

#[test]
fn weak_bits_read_by_the_look_and_a_spoilt_word_faults() {
    let code = [
        peek(0, DATA),
        peek(1, DATA),
        vec![bkpt(0)],
        peek(0, DATA + 4),
        vec![bkpt(1)],
    ]
    .concat();
    let handler = vec![bkpt(7)];
    let mut machine = Image::new(&code)
        .code(HANDLER, &handler)
        .machine(Timing::Instant);
    let mut unsettled = Unsettled::new(Arc::new(|look| if look == 0 { 0 } else { u32::MAX }));
    unsettled.weaken(DATA, 0xF0);
    unsettled.spoil(DATA + 4);
    machine.set_unsettled(Some(unsettled));
    to_breakpoint(&mut machine, &mut Notes::default());
    assert_eq!(machine.registers()[..2], [!0xF0, u32::MAX]);
    machine.set_register(15, machine.registers()[15] + 2);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 7);
}

#[test]
fn time_that_stands_passes_while_the_core_sleeps() {
    let code = [poke(RESULT, 5), vec![bkpt(0)]].concat();
    let mut machine = Image::new(&code).machine(Timing::Instant);
    machine.let_time_stand(true);
    to_breakpoint(&mut machine, &mut Notes::default());
    assert_eq!((machine.now(), ram_word(&machine, RESULT)), (0, 5));
    // WFE twice: the first takes the event of the start, if there is one.
    let mut asleep = Image::new(&[0xBF20, 0xBF20, 0xBF20]).machine(Timing::Instant);
    asleep.let_time_stand(true);
    let mut notes = Notes::with_bytes([(5_000, 1)]);
    assert_eq!(asleep.run(&mut notes, 7_000), Stop::Asleep);
    assert_eq!(asleep.now(), 5_000);
}
