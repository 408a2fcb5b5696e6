//! WFI, WFE, events, and how time goes on meanwhile.

use powercut_emulator::{Cycles, Stop, Timing};

use crate::common::asm::*;
use crate::common::{Image, Notes, to_breakpoint};

const ENABLE: u32 = 0xE000_E100;
const PEND: u32 = 0xE000_E200;
const SYSTEM_CONTROL: u32 = 0xE000_ED10;
const TIMER0: u32 = 0x4000_8000;

/// TIMER0 from now on, at the rate of the core; its event pends interrupt 8 after so many cycles.
fn alarm(cycles: u32) -> Vec<u16> {
    [
        poke(TIMER0 + 0x508, 3),
        poke(TIMER0 + 0x510, 0),
        poke(TIMER0 + 0x540, cycles),
        poke(TIMER0 + 0x304, 1 << 16),
        poke(TIMER0, 1),
    ]
    .concat()
}

/// Runs to a breakpoint; the time then.
fn awake_at(code: &[u16]) -> Result<Cycles, Stop> {
    let mut machine = Image::new(code).machine(Timing::Silicon);
    match machine.run(&mut Notes::default(), Cycles::MAX) {
        Stop::Breakpoint { .. } => Ok(machine.now()),
        stop => Err(stop),
    }
}

#[test]
fn a_masked_interrupt_ends_a_wait_for_interrupts_and_is_not_taken() {
    let code = [
        vec![CPSID],
        alarm(100_000),
        poke(ENABLE, 1 << 8),
        vec![WFI, bkpt(0)],
    ]
    .concat();
    let at = awake_at(&code).unwrap();
    assert!((100_000..100_300).contains(&at), "{at}");
}

#[test]
fn an_interrupt_that_is_not_enabled_does_not() {
    let code = [vec![CPSID], alarm(1000), vec![WFI, bkpt(0)]].concat();
    assert_eq!(awake_at(&code), Err(Stop::Asleep));
}

#[test]
fn a_pending_interrupt_ends_the_wait_before_it_begins() {
    let code = [
        vec![CPSID],
        poke(ENABLE, 1),
        poke(PEND, 1),
        vec![WFI, bkpt(0)],
    ]
    .concat();
    assert!(awake_at(&code).unwrap() < 100);
}

#[test]
fn a_wait_for_events_needs_an_event_when_interrupts_are_masked() {
    let waits = [
        vec![CPSID],
        alarm(1000),
        poke(ENABLE, 1 << 8),
        vec![WFE, bkpt(0)],
    ]
    .concat();
    assert_eq!(awake_at(&waits), Err(Stop::Asleep));
    let sent = [SEV, WFE, bkpt(0)];
    assert!(awake_at(&sent).unwrap() < 10);
    // One event ends one wait.
    let twice = [SEV, WFE, WFE, bkpt(0)];
    assert_eq!(awake_at(&twice), Err(Stop::Asleep));
}

#[test]
fn something_pending_is_an_event_when_the_core_was_told_so() {
    // The interrupt is neither enabled nor taken.
    let code = [
        vec![CPSID],
        poke(SYSTEM_CONTROL, 1 << 4),
        alarm(50_000),
        vec![WFE, bkpt(0)],
    ]
    .concat();
    let at = awake_at(&code).unwrap();
    assert!((50_000..50_300).contains(&at), "{at}");
    // An interrupt that pends already is no event again.
    let code = [
        vec![CPSID],
        poke(PEND, 1),
        poke(SYSTEM_CONTROL, 1 << 4),
        poke(PEND, 1),
        vec![WFE, bkpt(0)],
    ]
    .concat();
    assert_eq!(awake_at(&code), Err(Stop::Asleep));
}

#[test]
fn a_wait_for_events_ends_with_an_interrupt_that_is_taken() {
    let code = [alarm(1000), poke(ENABLE, 1 << 8), vec![WFE, bkpt(1)]].concat();
    let handler = [
        constant(0, 1 << 8),
        constant(1, 0xE000_E180),
        vec![str(0, 1, 0), BX_LR],
    ]
    .concat();
    let mut machine = Image::new(&code)
        .handler(24, &handler)
        .machine(Timing::Silicon);
    assert_eq!(to_breakpoint(&mut machine, &mut Notes::default()), 1);
}

#[test]
fn the_core_sleeps_again_after_a_handler_when_it_was_told_so() {
    let code = [
        poke(SYSTEM_CONTROL, 1 << 1),
        vec![movs(0, 0), mov(8, 0)],
        alarm(1000),
        // The counter begins anew each time it is reached.
        poke(TIMER0 + 0x200, 1),
        poke(ENABLE, 1 << 8),
        vec![WFI, bkpt(1)],
    ]
    .concat();
    let handler = [
        poke(TIMER0 + 0x140, 0),
        vec![
            mov(0, 8),
            adds(0, 1),
            mov(8, 0),
            cmp(0, 3),
            skip_if(1, 1),
            bkpt(3),
            BX_LR,
        ],
    ]
    .concat();
    let mut machine = Image::new(&code)
        .handler(24, &handler)
        .machine(Timing::Silicon);
    assert_eq!(
        to_breakpoint(&mut machine, &mut Notes::default()),
        3,
        "the thread never goes on"
    );
    assert!((3000..3400).contains(&machine.now()), "{}", machine.now());
}

#[test]
fn a_sleep_ends_at_the_budget_and_goes_on_in_the_next_run() {
    let code = [
        vec![CPSID],
        alarm(10_000),
        poke(ENABLE, 1 << 8),
        vec![WFI, bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(machine.run(&mut notes, 5000), Stop::Budget);
    assert_eq!(machine.now(), 5000);
    assert_eq!(machine.run(&mut notes, 6000), Stop::Budget);
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 0);
    assert!(machine.now() > 10_000);
}

#[test]
fn a_step_out_of_a_sleep_executes_the_instruction_behind_it() {
    let code = [
        vec![CPSID],
        alarm(10_000),
        poke(ENABLE, 1 << 8),
        vec![WFI, movs(5, 5), bkpt(0)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    while machine.registers()[5] != 5 {
        assert_eq!(machine.step(&mut notes), None);
    }
    assert!(machine.now() > 10_000);
}

#[test]
fn the_world_is_called_at_its_own_times() {
    let mut machine = Image::new(&[FOREVER]).machine(Timing::Silicon);
    let mut notes = Notes::with_bytes([(1000, 1), (1000, 2), (2000, 3)]);
    assert_eq!(machine.run(&mut notes, 5000), Stop::Budget);
    assert_eq!(notes.turned, [1000, 2000]);
    // In sleep, too.
    let mut machine = Image::new(&[WFI]).machine(Timing::Silicon);
    let mut notes = Notes::with_bytes([(7000, 1)]);
    assert_eq!(machine.run(&mut notes, 50_000), Stop::Asleep);
    assert_eq!((notes.turned, machine.now()), (vec![7000], 7000));
}

#[test]
fn a_chip_that_is_off_stays_so() {
    let code = [poke(0x4000_0500, 1), vec![bkpt(0)]].concat();
    assert_eq!(awake_at(&code), Err(Stop::Asleep));
}
