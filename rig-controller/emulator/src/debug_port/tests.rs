use super::*;
use crate::world::Alone;
use crate::{FLASH_BYTES, Timing};

const PROGRAM: u32 = 0x100;
const FAULT_HANDLER: u32 = 0x200;
const ENABLED_AND_HALTED: u32 = DEBUG_KEY | DEBUG_ENABLE | HALT;

/// A chip whose program is this, its debug port enabled and the core halted before the first instruction.
fn halted_before(program: &[u16]) -> (Machine, DebugPort) {
    let mut flash = vec![0xFF; FLASH_BYTES];
    for (word, vector) in
        flash
            .chunks_exact_mut(4)
            .zip([0x2000_4000, PROGRAM | 1, 0, FAULT_HANDLER | 1])
    {
        word.copy_from_slice(&vector.to_le_bytes());
    }
    let places = flash[PROGRAM as usize..].chunks_exact_mut(2);
    for (place, halfword) in places.zip(program) {
        place.copy_from_slice(&halfword.to_le_bytes());
    }
    let mut machine = Machine::new(Timing::Instant);
    machine.load_flash(&flash);
    machine.power_on(0);
    let mut port = DebugPort::new();
    write(&mut port, &mut machine, HALTING_CONTROL, ENABLED_AND_HALTED);
    assert!(port.is_halted());
    (machine, port)
}

fn write(port: &mut DebugPort, machine: &mut Machine, address: u32, value: u32) {
    port.write(machine, &mut Alone, address, value, Width::Word)
        .unwrap();
}

fn read(port: &mut DebugPort, machine: &mut Machine, address: u32) -> u32 {
    port.read(machine, &mut Alone, address, Width::Word)
        .unwrap()
}

/// A register of the core, through the data register.
fn register(port: &mut DebugPort, machine: &mut Machine, number: u32) -> u32 {
    write(port, machine, REGISTER_SELECTOR, number);
    read(port, machine, REGISTER_DATA)
}

fn go(port: &mut DebugPort, machine: &mut Machine) {
    write(port, machine, HALTING_CONTROL, DEBUG_KEY | DEBUG_ENABLE);
    let until = machine.now() + 1000;
    port.run(machine, &mut Alone, until);
}

/// movs r0, #1; adds r0, #1; adds r0, #1; b .
const COUNTS: [u16; 4] = [0x2001, 0x1C40, 0x1C40, 0xE7FE];

#[test]
fn a_step_executes_one_instruction_and_halts_again() {
    let (mut machine, mut port) = halted_before(&COUNTS);
    for (pc, r0) in [(2, 1), (4, 2), (6, 3), (6, 3)] {
        let step = DEBUG_KEY | DEBUG_ENABLE | STEP;
        write(&mut port, &mut machine, HALTING_CONTROL, step);
        assert!(port.is_halted());
        assert_eq!(register(&mut port, &mut machine, 15), PROGRAM + pc);
        assert_eq!(register(&mut port, &mut machine, 0), r0);
    }
    assert_eq!(
        read(&mut port, &mut machine, DEBUG_FAULT_STATUS),
        BY_REQUEST
    );
}

#[test]
fn the_core_stands_still_while_halted_and_goes_on_when_released() {
    let (mut machine, mut port) = halted_before(&COUNTS);
    port.run(&mut machine, &mut Alone, 1000);
    assert_eq!((machine.now(), machine.instructions()), (0, 0));
    go(&mut port, &mut machine);
    assert!(machine.now() >= 1000);
    assert_eq!(machine.registers()[0], 3);
    let status = read(&mut port, &mut machine, HALTING_CONTROL);
    assert_eq!(status & (HALTED | RETIRED), RETIRED);
}

#[test]
fn registers_are_written_through_the_data_register() {
    let (mut machine, mut port) = halted_before(&COUNTS);
    for number in [0, 7, 12, 14, 17, 18] {
        write(
            &mut port,
            &mut machine,
            REGISTER_DATA,
            0x2000_1000 + number * 4,
        );
        write(&mut port, &mut machine, REGISTER_SELECTOR, WRITE | number);
    }
    for number in [0, 7, 12, 14, 17, 18] {
        let found = register(&mut port, &mut machine, number);
        assert_eq!(found, 0x2000_1000 + number * 4, "register {number}");
    }
    write(&mut port, &mut machine, REGISTER_DATA, 2 << 24 | 1);
    write(&mut port, &mut machine, REGISTER_SELECTOR, WRITE + 20);
    assert_eq!(register(&mut port, &mut machine, 20), 2 << 24 | 1);
    // The process stack is in use now.
    assert_eq!(register(&mut port, &mut machine, 13), 0x2000_1000 + 18 * 4);
}

#[test]
fn a_comparator_halts_before_either_halfword_and_the_instruction_comes_back() {
    for (matched, pc) in [(1 << 30, 4), (2 << 30, 6), (3 << 30, 4)] {
        let (mut machine, mut port) = halted_before(&COUNTS);
        write(
            &mut port,
            &mut machine,
            BREAKPOINT_CONTROL,
            UNIT_KEY | UNIT_ENABLE,
        );
        let comparator = COMPARATORS.start + 8;
        write(
            &mut port,
            &mut machine,
            comparator,
            matched | (PROGRAM + 4) | 1,
        );
        go(&mut port, &mut machine);
        assert!(port.is_halted());
        assert_eq!(register(&mut port, &mut machine, 15), PROGRAM + pc);
        assert_eq!(
            read(&mut port, &mut machine, DEBUG_FAULT_STATUS),
            BY_REQUEST | BY_BREAKPOINT
        );
        write(&mut port, &mut machine, comparator, 0);
        go(&mut port, &mut machine);
        assert!(!port.is_halted());
        assert_eq!(machine.registers()[0], 3);
    }
}

#[test]
fn a_breakpoint_instruction_halts_with_a_debugger_and_faults_without() {
    let program = [0xBEAB, 0xE7FE];
    let (mut machine, mut port) = halted_before(&program);
    go(&mut port, &mut machine);
    assert!(port.is_halted());
    assert_eq!(register(&mut port, &mut machine, 15), PROGRAM);
    let (mut machine, mut port) = halted_before(&program);
    write(&mut port, &mut machine, HALTING_CONTROL, DEBUG_KEY);
    port.run(&mut machine, &mut Alone, 100);
    assert_eq!(machine.xpsr() & 63, 3);
}

#[test]
fn a_hard_fault_is_caught_before_its_handler_with_the_registers_stacked() {
    let undefined = 0xDE00;
    let (mut machine, mut port) = halted_before(&[0x2001, undefined]);
    write(&mut port, &mut machine, EXCEPTION_CONTROL, CATCH_HARD_FAULT);
    go(&mut port, &mut machine);
    assert!(port.is_halted());
    assert_eq!(register(&mut port, &mut machine, 15), FAULT_HANDLER);
    assert_eq!(register(&mut port, &mut machine, 16) & 63, 3);
    let frame = register(&mut port, &mut machine, 17);
    assert_eq!(read(&mut port, &mut machine, frame + 24), PROGRAM + 2);
    let by = read(&mut port, &mut machine, DEBUG_FAULT_STATUS);
    assert_eq!(by & BY_CATCH, BY_CATCH);
}

#[test]
fn a_reset_is_told_once_and_caught_before_the_first_instruction() {
    let (mut machine, mut port) = halted_before(&COUNTS);
    write(&mut port, &mut machine, EXCEPTION_CONTROL, CATCH_RESET);
    go(&mut port, &mut machine);
    let system_reset = 0x05FA_0004;
    write(&mut port, &mut machine, 0xE000_ED0C, system_reset);
    assert!(port.is_halted());
    assert_eq!(register(&mut port, &mut machine, 15), PROGRAM);
    assert_eq!(register(&mut port, &mut machine, 0), 0);
    let told = [0, 1].map(|_| read(&mut port, &mut machine, HALTING_CONTROL) & WAS_RESET);
    assert_eq!(told, [WAS_RESET, 0]);
    write(&mut port, &mut machine, EXCEPTION_CONTROL, 0);
    write(&mut port, &mut machine, 0xE000_ED0C, system_reset);
    assert!(!port.is_halted());
}

#[test]
fn a_locked_up_core_says_so_and_can_be_halted() {
    let mut machine = Machine::new(Timing::Instant);
    machine.power_on(0);
    let mut port = DebugPort::new();
    let mut enable = |value| write(&mut port, &mut machine, HALTING_CONTROL, value);
    enable(DEBUG_KEY | DEBUG_ENABLE);
    port.run(&mut machine, &mut Alone, 1000);
    let status = read(&mut port, &mut machine, HALTING_CONTROL);
    assert_eq!(status & (LOCKED_UP | HALTED), LOCKED_UP);
    assert!(machine.now() >= 1000);
    write(&mut port, &mut machine, HALTING_CONTROL, ENABLED_AND_HALTED);
    let status = read(&mut port, &mut machine, HALTING_CONTROL);
    assert_eq!(status & (LOCKED_UP | HALTED), HALTED);
}

#[test]
fn a_core_that_sleeps_says_so_and_wakes_when_halted() {
    let wait_for_interrupt = 0xBF30;
    let (mut machine, mut port) = halted_before(&[wait_for_interrupt, 0xE7FE]);
    go(&mut port, &mut machine);
    let status = read(&mut port, &mut machine, HALTING_CONTROL);
    assert_eq!(status & (ASLEEP | HALTED), ASLEEP);
    write(&mut port, &mut machine, HALTING_CONTROL, ENABLED_AND_HALTED);
    assert!(!machine.is_asleep());
    assert_eq!(register(&mut port, &mut machine, 15), PROGRAM + 2);
}

#[test]
fn the_tables_lead_from_the_chip_to_the_core_and_its_units() {
    let (mut machine, mut port) = halted_before(&COUNTS);
    let mut read = |address| read(&mut port, &mut machine, address);
    let core = super::ROM_TABLE.wrapping_add(read(super::ROM_TABLE) & !3);
    assert_eq!(read(core + 0xFE0), 0x71);
    let units: Vec<u32> = (0..3)
        .map(|entry| core.wrapping_add(read(core + 4 * entry) & !3))
        .collect();
    assert_eq!(units, [0xE000_E000, 0xE000_1000, 0xE000_2000]);
    assert_eq!(read(core + 12), 0);
}
