//! The bus past the core, and registers from outside.

use powercut_emulator::{BusError, Go, Operation, Stop, Timing, Width};

use crate::common::asm::*;
use crate::common::{Image, Notes, START, handler, to_breakpoint};

#[test]
fn memory_and_registers_are_read_and_written_past_the_core() {
    let mut machine = Image::new(&[NOP]).machine(Timing::Silicon);
    let mut notes = Notes::default();
    let registers = *machine.registers();
    machine
        .bus_write(&mut notes, 0x2000_0001, 0xAB, Width::Byte)
        .unwrap();
    machine
        .bus_write(&mut notes, 0x2000_0002, 0x1234, Width::Halfword)
        .unwrap();
    assert_eq!(
        machine.bus_read(&mut notes, 0x2000_0000, Width::Word),
        Ok(0x1234_AB00)
    );
    assert_eq!(
        machine.bus_read(&mut notes, START, Width::Halfword),
        Ok(NOP.into())
    );
    machine
        .bus_write(&mut notes, 0x5000_0508, 1 << 13, Width::Word)
        .unwrap();
    assert_eq!(notes.pins.len(), 1);
    assert_eq!(machine.registers(), &registers);
}

#[test]
fn flash_is_programmed_through_its_controller() {
    let mut machine = Image::new(&[NOP]).machine(Timing::Silicon);
    let mut notes = Notes::default();
    machine
        .bus_write(&mut notes, 0x3_0000, 7, Width::Word)
        .unwrap();
    assert_eq!((notes.operations.len(), notes.not_written.len()), (0, 1));
    machine
        .bus_write(&mut notes, 0x4001_E504, 1, Width::Word)
        .unwrap();
    notes.answer = Some((1, Go::StopBefore));
    machine
        .bus_write(&mut notes, 0x3_0000, 7, Width::Word)
        .unwrap();
    let stopped = machine.bus_write(&mut notes, 0x3_0004, 7, Width::Word);
    assert_eq!(stopped, Err(BusError::Stopped { address: 0x3_0004 }));
    assert_eq!(machine.bus_read(&mut notes, 0x3_0000, Width::Word), Ok(7));
    let operations: Vec<_> = notes
        .operations
        .iter()
        .map(|(_, operation)| *operation)
        .collect();
    let before = u32::MAX;
    assert_eq!(
        operations,
        [0x3_0000, 0x3_0004].map(|address| Operation::Program {
            address,
            before,
            value: 7
        })
    );
    assert_eq!(machine.run(&mut notes, 100), Stop::World);
}

#[test]
fn transfers_that_nothing_answers_are_errors() {
    let mut machine = Image::new(&[NOP]).machine(Timing::Silicon);
    let mut notes = Notes::default();
    let (address, width) = (0x6000_0000, Width::Word);
    assert_eq!(
        machine.bus_read(&mut notes, address, width),
        Err(BusError::NoAnswer { address, width })
    );
    assert_eq!(
        machine.bus_write(&mut notes, address, 0, width),
        Err(BusError::NoAnswer { address, width })
    );
    let address = 0x2000_0002;
    let error = machine.bus_read(&mut notes, address, width).unwrap_err();
    assert_eq!(error, BusError::NotAligned { address, width });
    assert_eq!(
        error.to_string(),
        "0x20000002 is not a multiple of the 4 bytes of the transfer"
    );
}

#[test]
fn a_debugger_goes_past_a_breakpoint_by_setting_pc() {
    let mut machine = Image::new(&[bkpt(1), bkpt(2)]).machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 1);
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 1);
    machine.set_register(15, START + 2);
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 2);
}

#[test]
fn flags_masks_and_stacks_are_set_from_outside() {
    let mut machine = Image::new(&[NOP]).machine(Timing::Silicon);
    machine.set_xpsr(0xA100_0000);
    assert_eq!(machine.xpsr(), 0xA100_0000);
    machine.set_primask(true);
    assert!(machine.primask());
    machine.set_register(13, 0x2000_0FFF);
    assert_eq!(
        (machine.registers()[13], machine.main_sp()),
        (0x2000_0FFC, 0x2000_0FFC)
    );
}

#[test]
fn settling_enters_an_exception_and_executes_nothing() {
    let code = [poke(0xE000_E100, 1), poke(0xE000_E200, 1), vec![bkpt(0)]].concat();
    let mut machine = Image::new(&code)
        .handler(16, &[bkpt(1)])
        .machine(Timing::Silicon);
    let mut notes = Notes::default();
    for _ in 0..30 {
        machine.step(&mut notes);
    }
    let instructions = machine.instructions();
    assert_eq!(machine.registers()[15], START + 60);
    machine.settle(&mut notes);
    assert_eq!(machine.registers()[15], handler(16));
    assert_eq!(machine.instructions(), instructions);
}
