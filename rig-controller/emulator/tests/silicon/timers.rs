//! TIMER0 to TIMER2, the watchdog and the clocks.

use powercut_emulator::{CLOCK_HZ, Cycles, Machine, ResetCause, Stop, Timing};

use crate::common::asm::*;
use crate::common::{Image, Notes, run, to_breakpoint};

const TIMER0: u32 = 0x4000_8000;
const TIMER1: u32 = 0x4000_9000;
const WATCHDOG: u32 = 0x4001_0000;

/// Burns four cycles a round.
fn burn(rounds: u32) -> Vec<u16> {
    [constant(0, rounds), vec![subs(0, 1), skip_if(1, 0xFE)]].concat()
}

/// Captures the counter into register 1 and loads it.
fn capture(rd: u16, timer: u32) -> Vec<u16> {
    [poke(timer + 0x044, 1), peek(rd, timer + 0x544)].concat()
}

#[test]
fn a_timer_counts_microseconds_and_stops_and_goes_on() {
    let code = [
        poke(TIMER0 + 0x508, 3),
        poke(TIMER0 + 0x510, 4),
        poke(TIMER0, 1),
        burn(4000),
        capture(1, TIMER0),
        poke(TIMER0 + 0x004, 1),
        capture(2, TIMER0),
        burn(4000),
        capture(3, TIMER0),
        poke(TIMER0, 1),
        burn(4000),
        capture(4, TIMER0),
        poke(TIMER0 + 0x00C, 1),
        capture(5, TIMER0),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    let r = machine.registers();
    assert!((1000..1010).contains(&r[1]), "{}", r[1]);
    assert!(r[2] - r[1] < 5);
    assert_eq!(r[3], r[2], "stopped");
    assert!((1000..1010).contains(&(r[4] - r[3])), "{} {}", r[3], r[4]);
    assert!(r[5] < 5);
}

#[test]
fn the_prescaler_halves_the_rate_and_fractions_are_not_lost() {
    let ticks = |prescaler: u32| {
        // A hundred captures between, each of which brings the timer up to date.
        let code = [
            poke(TIMER0 + 0x508, 3),
            poke(TIMER0 + 0x510, prescaler),
            poke(TIMER0, 1),
            constant(7, TIMER0 + 0x044),
            vec![
                movs(6, 1),
                movs(0, 100),
                str(6, 7, 0),
                subs(0, 1),
                skip_if(1, 0xFD),
            ],
            capture(1, TIMER0),
            vec![bkpt(0)],
        ]
        .concat();
        run(&code).0.registers()[1]
    };
    let finest = ticks(0);
    assert!((600..700).contains(&finest), "{finest}");
    for prescaler in 1..=9 {
        assert_eq!(ticks(prescaler), finest >> prescaler, "{prescaler}");
    }
}

#[test]
fn counters_wrap_at_their_width_and_timer_1_has_16_bits() {
    let wrapped = |timer: u32, bits: u32, rounds: u32| {
        let code = [
            poke(timer + 0x508, bits),
            poke(timer + 0x510, 0),
            poke(timer, 1),
            burn(rounds),
            capture(1, timer),
            vec![bkpt(0)],
        ]
        .concat();
        run(&code).0.registers()[1]
    };
    let elapsed = wrapped(TIMER0, 3, 30_000);
    assert!(elapsed > 120_000);
    assert_eq!(wrapped(TIMER0, 2, 30_000), elapsed);
    assert_eq!(wrapped(TIMER0, 0, 30_000), elapsed & 0xFFFF);
    assert_eq!(wrapped(TIMER0, 1, 30_000), elapsed & 0xFF);
    assert_eq!(wrapped(TIMER1, 3, 30_000), elapsed & 0xFFFF);
}

/// Starts TIMER0 with these compare registers and shorts, sleeps for so many ticks, and returns events and counter.
fn after_ticks(cc: [u32; 3], shorts: u32, bits: u32, ticks: u32) -> ([u32; 3], u32) {
    let code = [
        poke(TIMER0 + 0x508, bits),
        poke(TIMER0 + 0x510, 0),
        poke(TIMER0 + 0x540, cc[0]),
        poke(TIMER0 + 0x544, cc[1]),
        poke(TIMER0 + 0x548, cc[2]),
        poke(TIMER0 + 0x200, shorts),
        vec![bkpt(1)],
        poke(TIMER0 + 0x04C, 1),
        peek(0, TIMER0 + 0x140),
        peek(1, TIMER0 + 0x144),
        peek(2, TIMER0 + 0x148),
        peek(3, TIMER0 + 0x54C),
        vec![bkpt(2)],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 1);
    let word = powercut_emulator::Width::Word;
    machine.bus_write(&mut notes, TIMER0, 1, word).unwrap();
    let started = machine.now();
    // The chip sleeps, and the capture is the first to look at the timer.
    machine.set_register(15, machine.registers()[15] + 2);
    let store = 14 + 2;
    sleep(&mut machine, started + Cycles::from(ticks) - store);
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 2);
    let r = machine.registers();
    ([r[0], r[1], r[2]], r[3])
}

/// The machine sleeps up to a time, and goes on where it is.
fn sleep(machine: &mut Machine, until: Cycles) {
    let back = machine.registers()[15];
    let routine = 0x2000_0000;
    machine.ram_mut()[..2].copy_from_slice(&WFI.to_le_bytes());
    machine.set_register(15, routine);
    let mut notes = Notes::with_bytes([(until, 0)]);
    assert_eq!(machine.step(&mut notes), None);
    assert_eq!(machine.run(&mut notes, until), Stop::Budget);
    assert_eq!(machine.now(), until);
    machine.set_register(15, back);
}

#[test]
fn compare_registers_are_reached_in_passing() {
    let far = 1 << 30;
    assert_eq!(after_ticks([100, 5000, far], 0, 3, 1000), ([1, 0, 0], 1000));
    assert_eq!(after_ticks([100, 5000, far], 0, 3, 5000), ([1, 1, 0], 5000));
    assert_eq!(
        after_ticks([1100, 1000, 999], 0, 3, 1000),
        ([0, 1, 1], 1000)
    );
    // An 8-bit counter passes zero and small numbers again and again.
    assert_eq!(
        after_ticks([0, 255, 7], 0, 1, 10_000),
        ([1, 1, 1], 0x2710 & 0xFF)
    );
}

#[test]
fn a_short_clears_or_stops_the_counter() {
    let far = 1 << 30;
    // Cleared at 300: 1000 ticks are three rounds and 100.
    assert_eq!(after_ticks([300, far, 299], 1, 3, 1000), ([1, 0, 1], 100));
    assert_eq!(after_ticks([300, 301, 100], 1, 3, 300), ([1, 0, 1], 0));
    // Cleared by the nearer of two.
    assert_eq!(after_ticks([300, 200, 250], 3, 3, 1000), ([0, 1, 0], 0));
    // Stopped at 400, by the first or the second register.
    assert_eq!(
        after_ticks([400, far, far], 0x100, 3, 1000),
        ([1, 0, 0], 400)
    );
    assert_eq!(
        after_ticks([100, 400, far], 0x200, 3, 1000),
        ([1, 1, 0], 400)
    );
    // Cleared and stopped.
    assert_eq!(after_ticks([400, far, far], 0x101, 3, 1000), ([1, 0, 0], 0));
}

#[test]
fn a_fast_clearing_timer_is_worked_out_and_not_counted() {
    // 60 s at a round of three cycles.
    let ticks = 60 * CLOCK_HZ as u32;
    let ([reached, ..], counter) = after_ticks([3, 1 << 30, 1 << 30], 1, 3, ticks);
    assert_eq!((reached, counter), (1, ticks % 3));
}

#[test]
fn a_counter_counts_tasks_and_not_time() {
    let code = [
        poke(TIMER0 + 0x504, 1),
        poke(TIMER0 + 0x540, 2),
        poke(TIMER0, 1),
        poke(TIMER0 + 0x008, 1),
        burn(100),
        peek(1, TIMER0 + 0x140),
        poke(TIMER0 + 0x008, 1),
        peek(2, TIMER0 + 0x140),
        poke(TIMER0 + 0x04C, 1),
        peek(3, TIMER0 + 0x54C),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[1..4], [0, 1, 2]);
}

/// Starts the watchdog with a second to go.
fn watchdog() -> Vec<u16> {
    [
        poke(WATCHDOG + 0x504, 32_767),
        poke(WATCHDOG + 0x508, 1),
        poke(WATCHDOG, 1),
    ]
    .concat()
}

fn bites(code: &[u16], timing: Timing, until: Cycles) -> (Machine, Notes) {
    let mut machine = Image::new(code).machine(timing);
    let mut notes = Notes::default();
    machine.run(&mut notes, until);
    (machine, notes)
}

#[test]
fn a_watchdog_that_is_not_fed_resets_the_chip_and_says_so() {
    // After the reset the firmware reads the reason and stops.
    let code = [
        peek(1, 0x4000_0400),
        peek(2, WATCHDOG + 0x400),
        vec![cmp(1, 0), skip_if(0, 1), bkpt(1)],
        watchdog(),
        vec![FOREVER],
    ]
    .concat();
    let (machine, notes) = bites(&code, Timing::Silicon, 2 * CLOCK_HZ);
    let [(at, ResetCause::Watchdog)] = notes.resets[..] else {
        panic!("{:?}", notes.resets);
    };
    assert!((CLOCK_HZ..CLOCK_HZ + 200).contains(&at), "{at}");
    assert_eq!(
        machine.registers()[1..3],
        [2, 0],
        "reason, and it has stopped"
    );
    assert!(!machine.watchdog_runs());
}

#[test]
fn feeding_grants_another_period_and_nothing_else_does() {
    let feed = |key: u32| {
        let code = [
            watchdog(),
            burn(2_000_000),
            poke(WATCHDOG + 0x600, key),
            vec![FOREVER],
        ]
        .concat();
        bites(&code, Timing::Silicon, CLOCK_HZ + 1000)
            .1
            .resets
            .len()
    };
    assert_eq!(feed(0x6E52_4635), 0);
    assert_eq!(feed(0x6E52_4634), 1);
    // Settings cannot be changed after the start.
    let code = [watchdog(), poke(WATCHDOG + 0x504, u32::MAX), vec![FOREVER]].concat();
    assert_eq!(
        bites(&code, Timing::Silicon, 2 * CLOCK_HZ).1.resets.len(),
        1
    );
}

#[test]
fn all_reload_registers_that_are_enabled_have_to_be_written() {
    let feed = |registers: &[u32]| {
        let mut code = [
            poke(WATCHDOG + 0x504, 32_767),
            poke(WATCHDOG + 0x508, 5),
            poke(WATCHDOG, 1),
        ]
        .concat();
        code.extend(burn(2_000_000));
        for register in registers {
            code.extend(poke(WATCHDOG + 0x600 + 4 * register, 0x6E52_4635));
        }
        code.extend([peek(1, WATCHDOG + 0x404), vec![FOREVER]].concat());
        let (machine, notes) = bites(&code, Timing::Silicon, CLOCK_HZ + 1000);
        (notes.resets.len(), machine.registers()[1])
    };
    assert_eq!(feed(&[0, 2]), (0, 5));
    assert_eq!(feed(&[2]), (1, 0));
    assert_eq!(feed(&[0, 1]), (1, 0));
}

#[test]
fn the_watchdog_outlives_a_software_reset() {
    let code = [
        peek(1, WATCHDOG + 0x400),
        peek(2, 0x4000_0400),
        vec![cmp(1, 0), skip_if(0, 1), FOREVER],
        watchdog(),
        poke(0xE000_ED0C, 0x05FA_0004),
    ]
    .concat();
    let (machine, notes) = bites(&code, Timing::Silicon, CLOCK_HZ / 2);
    assert_eq!(notes.resets.len(), 1);
    assert_eq!(machine.registers()[1..3], [1, 4]);
    assert!(machine.watchdog_runs());
    let (_, notes) = bites(&code, Timing::Silicon, CLOCK_HZ + 1000);
    assert_eq!(notes.resets[1].1, ResetCause::Watchdog);
}

#[test]
fn the_watchdog_ends_a_sleep_unless_it_pauses_in_it() {
    let sleeps = |config: u32| {
        let code = [
            vec![CPSID],
            poke(WATCHDOG + 0x50C, config),
            watchdog(),
            vec![WFI],
        ]
        .concat();
        let mut machine = Image::new(&code).machine(Timing::Silicon);
        let mut notes = Notes::default();
        (machine.run(&mut notes, 3 * CLOCK_HZ), notes.resets.len())
    };
    let (stop, resets) = sleeps(1);
    assert_eq!((stop, resets), (Stop::Budget, 2));
    assert_eq!(sleeps(0), (Stop::Asleep, 0));
}

#[test]
fn an_interrupt_of_the_watchdog_comes_two_ticks_before_the_reset() {
    let code = [
        poke(WATCHDOG + 0x304, 1),
        poke(0xE000_E100, 1 << 16),
        watchdog(),
        vec![FOREVER],
    ]
    .concat();
    let mut machine = Image::new(&code)
        .handler(32, &[bkpt(3), FOREVER])
        .machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 3);
    let warned = machine.now();
    machine.set_register(15, machine.registers()[15] + 2);
    while notes.resets.is_empty() {
        assert_eq!(machine.step(&mut notes), None);
        assert!(machine.now() < warned + 2000);
    }
    let grace = notes.resets[0].0 - warned;
    assert!((940..980).contains(&grace), "{grace}");
}

#[test]
fn a_watchdog_bites_in_the_middle_of_long_work_on_flash() {
    // Ten page erases take 223 ms, the watchdog has 100.
    let code = [
        peek(1, 0x4000_0400),
        vec![cmp(1, 0), skip_if(0, 1), bkpt(1)],
        poke(WATCHDOG + 0x504, 3277),
        poke(WATCHDOG, 1),
        poke(0x4001_E504, 2),
        constant(6, 0x3_0000),
        constant(7, 0x4001_E508),
        vec![
            movs(0, 10),
            str(6, 7, 0),
            subs(0, 1),
            skip_if(1, 0xFD),
            bkpt(2),
        ],
    ]
    .concat();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    let mut notes = Notes::default();
    assert_eq!(to_breakpoint(&mut machine, &mut notes), 1);
    assert_eq!(
        notes.operations.len(),
        5,
        "the fifth is under way when it bites"
    );
    assert_eq!(notes.done.len(), 5);
}

#[test]
fn crystals_take_their_time_and_events_stay() {
    let code = [
        poke(0x4000_0000, 1),
        peek(1, 0x4000_0100),
        peek(2, 0x4000_040C),
        burn(5000),
        peek(3, 0x4000_0100),
        peek(4, 0x4000_040C),
        vec![bkpt(0)],
    ]
    .concat();
    let (machine, _) = run(&code);
    assert_eq!(machine.registers()[1..5], [0, 0x1_0000, 1, 0x1_0001]);
    let mut machine = Image::new(&code).machine(Timing::Instant);
    to_breakpoint(&mut machine, &mut Notes::default());
    assert_eq!(machine.registers()[1], 1);
}
