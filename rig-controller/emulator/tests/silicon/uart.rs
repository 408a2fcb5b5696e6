//! UART0 in both timings.

use powercut_emulator::{Cycles, Go, Machine, Stop, Timing};

use crate::common::asm::*;
use crate::common::{Image, Notes, to_breakpoint};

const UART: u32 = 0x4000_2000;
const RX_READY: u16 = 0x108;
const ERROR: u32 = UART + 0x124;
const ERROR_SOURCE: u32 = UART + 0x480;
const RXD: u32 = UART + 0x518;
const TXD: u32 = UART + 0x51C;
/// Start bit, eight bits, stop bit at 115,200 baud.
const BYTE: Cycles = 1388;

fn start() -> Vec<u16> {
    [
        poke(UART + 0x50C, 24),
        poke(UART + 0x514, 25),
        poke(UART + 0x524, 0x01D7_E000),
        poke(UART + 0x500, 4),
        poke(UART + 0x008, 1),
        poke(UART, 1),
    ]
    .concat()
}

fn to_the_end(code: &[u16], timing: Timing, notes: &mut Notes) -> Machine {
    let mut machine = Image::new(code).machine(timing);
    to_breakpoint(&mut machine, notes);
    machine
}

/// Waits for the event at this offset, and clears it.
fn wait_for(offset: u16) -> Vec<u16> {
    [
        constant(7, UART + u32::from(offset)),
        vec![
            ldr(0, 7, 0),
            cmp(0, 0),
            skip_if(0, 0xFD),
            movs(0, 0),
            str(0, 7, 0),
        ],
    ]
    .concat()
}

#[test]
fn a_byte_leaves_after_its_time_on_the_line() {
    let code = [
        start(),
        poke(TXD, 0x41),
        wait_for(0x11C),
        poke(TXD, 0x42),
        wait_for(0x11C),
        vec![bkpt(0)],
    ]
    .concat();
    let mut notes = Notes::default();
    let machine = to_the_end(&code, Timing::Silicon, &mut notes);
    assert_eq!(machine.uart_byte_cycles(), BYTE);
    let [(first, 0x41), (second, 0x42)] = notes.sent[..] else {
        panic!("{:?}", notes.sent);
    };
    assert!(first > BYTE, "{first}");
    assert!(
        (BYTE..BYTE + 50).contains(&(second - first)),
        "{first} {second}"
    );
    let mut notes = Notes::default();
    let machine = to_the_end(&code, Timing::Instant, &mut notes);
    assert_eq!(notes.sent.len(), 2);
    assert!(machine.now() < 400);
}

#[test]
fn a_byte_that_is_written_while_another_is_on_the_line_is_lost() {
    let code = [
        start(),
        poke(TXD, 0x41),
        poke(TXD, 0x42),
        wait_for(0x11C),
        vec![bkpt(0)],
    ]
    .concat();
    let mut notes = Notes::default();
    to_the_end(&code, Timing::Silicon, &mut notes);
    assert_eq!(notes.sent.len(), 1);
    assert_eq!(notes.sent[0].1, 0x41);
}

#[test]
fn nothing_is_sent_while_the_sender_is_stopped() {
    let code = [start(), poke(UART + 0x00C, 1), poke(TXD, 0x41), vec![WFI]].concat();
    let mut notes = Notes::default();
    let mut machine = Image::new(&code).machine(Timing::Silicon);
    assert_eq!(machine.run(&mut notes, 1_000_000), Stop::Asleep);
    assert_eq!(notes.sent, []);
}

#[test]
fn a_byte_on_the_line_is_lost_in_a_reset() {
    let code = [start(), poke(TXD, 0x41), poke(0xE000_ED0C, 0x05FA_0004)].concat();
    // The second time round the firmware finds the reset reason and sleeps.
    let first = [peek(0, 0x4000_0400), vec![cmp(0, 0), skip_if(0, 1), WFI]].concat();
    let mut notes = Notes::default();
    let mut machine = Image::new(&[first, code].concat()).machine(Timing::Silicon);
    assert_eq!(machine.run(&mut notes, 1_000_000), Stop::Asleep);
    assert_eq!((notes.resets.len(), notes.sent.len()), (1, 0));
}

#[test]
fn received_bytes_come_up_one_by_one_each_with_its_event() {
    let code = [
        start(),
        wait_for(RX_READY),
        peek(1, RXD),
        wait_for(RX_READY),
        peek(2, RXD),
        peek(3, UART + u32::from(RX_READY)),
        vec![bkpt(0)],
    ]
    .concat();
    for timing in [Timing::Silicon, Timing::Instant] {
        let mut notes = Notes::with_bytes([(10_000, 0x61), (10_000 + BYTE, 0x62)]);
        let machine = to_the_end(&code, timing, &mut notes);
        assert_eq!(machine.registers()[1..4], [0x61, 0x62, 0]);
        assert!(machine.now() > 10_000 + BYTE);
    }
}

/// Takes all bytes that are held into memory from `0x2000_0100` on, and their number into R5.
fn drain() -> Vec<u16> {
    [
        constant(4, 0x2000_0100),
        vec![movs(5, 0)],
        constant(7, UART + u32::from(RX_READY)),
        constant(6, RXD),
        vec![movs(3, 0)],
        // loop: if no event: done; clear it; take the byte.
        vec![
            ldr(0, 7, 0),
            cmp(0, 0),
            skip_if(0, 6),
            str(3, 7, 0),
            ldr(0, 6, 0),
            strb(0, 4, 0),
            adds(4, 1),
            adds(5, 1),
            branch(-8),
        ],
    ]
    .concat()
}

#[test]
fn a_seventh_byte_is_lost_while_flash_is_erased() {
    // Erases a page, which takes 22 ms; ten bytes come meanwhile.
    let code = [
        start(),
        poke(0x4001_E504, 2),
        poke(0x4001_E508, 0x3_0000),
        drain(),
        peek(1, ERROR),
        peek(2, ERROR_SOURCE),
        poke(ERROR_SOURCE, 1),
        peek(3, ERROR_SOURCE),
        vec![bkpt(0)],
    ]
    .concat();
    let bytes = (0..10).map(|index| (10_000 + index * BYTE, index as u8));
    let mut notes = Notes::with_bytes(bytes.clone());
    let machine = to_the_end(&code, Timing::Silicon, &mut notes);
    assert_eq!(machine.registers()[5], 6);
    assert_eq!(machine.ram()[0x100..0x106], [0, 1, 2, 3, 4, 5]);
    assert_eq!(machine.registers()[1..4], [1, 1, 0]);
    assert_eq!(notes.turned.len(), 10, "each at its time");
    let lost: Vec<u64> = (6..10).map(|index| 10_000 + index * BYTE).collect();
    assert_eq!(notes.overruns, lost);
    // With instant timing none has come yet.
    let mut notes = Notes::with_bytes(bytes);
    let machine = to_the_end(&code, Timing::Instant, &mut notes);
    assert_eq!(machine.registers()[1..4], [0, 0, 0]);
    assert_eq!(notes.overruns, []);
}

#[test]
fn a_driver_that_clears_the_event_behind_the_byte_stalls_as_on_the_chip() {
    // Two bytes are held; the event of the second comes up as the first is read, and is cleared after that.
    let code = [
        start(),
        constant(0, 5000),
        vec![subs(0, 1), skip_if(1, 0xFE)],
        peek(1, RXD),
        poke(UART + u32::from(RX_READY), 0),
        constant(0, 5000),
        vec![subs(0, 1), skip_if(1, 0xFE)],
        peek(2, UART + u32::from(RX_READY)),
        vec![bkpt(0)],
    ]
    .concat();
    let bytes = [(10_000, 1), (11_400, 2), (30_000, 3)];
    let mut notes = Notes::with_bytes(bytes);
    let machine = to_the_end(&code, Timing::Silicon, &mut notes);
    assert_eq!(machine.registers()[1..3], [1, 0]);
    let mut notes = Notes::with_bytes(bytes);
    let machine = to_the_end(&code, Timing::Instant, &mut notes);
    assert_eq!(machine.registers()[1..3], [1, 1]);
}

#[test]
fn bytes_wait_outside_when_timing_is_instant() {
    let wait = [constant(0, 10_000), vec![subs(0, 1), skip_if(1, 0xFE)]].concat();
    let code = [start(), wait, drain(), peek(1, ERROR), vec![bkpt(0)]].concat();
    let mut notes = Notes::with_bytes((0..20).map(|index| (5000, index)));
    let machine = to_the_end(&code, Timing::Instant, &mut notes);
    assert_eq!(machine.registers()[5], 20);
    assert_eq!(machine.ram()[0x100..0x114], (0..20).collect::<Vec<u8>>());
    assert_eq!(machine.registers()[1], 0);
}

#[test]
fn bytes_that_come_before_the_receiver_is_started_are_lost() {
    let code = [
        vec![CPSID],
        constant(0, 5000),
        vec![subs(0, 1), skip_if(1, 0xFE)],
        start(),
        wait_for(RX_READY),
        peek(1, RXD),
        vec![bkpt(0)],
    ]
    .concat();
    let mut notes = Notes::with_bytes([(100, 1), (200, 2), (100_000, 3)]);
    let machine = to_the_end(&code, Timing::Silicon, &mut notes);
    assert_eq!(machine.registers()[1], 3);
    let mut notes = Notes::with_bytes([(100, 1), (200, 2), (100_000, 3)]);
    let machine = to_the_end(&code, Timing::Instant, &mut notes);
    assert_eq!(machine.registers()[1], 1);
}

#[test]
fn a_received_byte_wakes_the_core() {
    let code = [
        vec![CPSID],
        start(),
        poke(UART + 0x304, 1 << 2),
        poke(0xE000_E100, 1 << 2),
        vec![WFI],
        peek(1, RXD),
        vec![bkpt(0)],
    ]
    .concat();
    for timing in [Timing::Silicon, Timing::Instant] {
        let mut notes = Notes::with_bytes([(1_000_000, 0x77)]);
        let machine = to_the_end(&code, timing, &mut notes);
        assert_eq!(machine.registers()[1], 0x77);
        assert!((1_000_000..1_000_050).contains(&machine.now()));
    }
}

#[test]
fn a_pin_that_is_not_connected_shows_nothing() {
    let disconnected = [
        start(),
        poke(UART + 0x50C, u32::MAX),
        poke(UART + 0x514, u32::MAX),
        poke(TXD, 1),
        wait_for(0x11C),
        constant(0, 3000),
        vec![subs(0, 1), skip_if(1, 0xFE)],
        peek(1, UART + u32::from(RX_READY)),
        vec![bkpt(0)],
    ]
    .concat();
    let mut notes = Notes::with_bytes([(3000, 1)]);
    let machine = to_the_end(&disconnected, Timing::Silicon, &mut notes);
    assert_eq!((notes.sent.len(), machine.registers()[1]), (0, 0));
}

#[test]
fn the_world_may_stop_when_a_byte_has_left() {
    let code = [start(), poke(TXD, 0x41), vec![FOREVER]].concat();
    for timing in [Timing::Silicon, Timing::Instant] {
        let mut machine = Image::new(&code).machine(timing);
        let mut notes = Notes {
            answer_to_signs: Some(Go::StopAfter),
            ..Notes::default()
        };
        // The pin of the sender is not written, so the byte is the first sign.
        assert_eq!(machine.run(&mut notes, 1_000_000), Stop::World);
        let [(at, 0x41)] = notes.sent[..] else {
            panic!("{:?}", notes.sent);
        };
        assert!(machine.now() - at < 5);
        assert_eq!(machine.run(&mut notes, 1_000_000), Stop::Budget);
    }
}

#[test]
fn a_core_that_never_reads_sleeps_for_ever_while_bytes_wait() {
    let code = [vec![CPSID], start(), vec![WFI]].concat();
    let mut machine = Image::new(&code).machine(Timing::Instant);
    let mut notes = Notes::with_bytes((0..20).map(|byte| (5000, byte)));
    assert_eq!(machine.run(&mut notes, Cycles::MAX), Stop::Asleep);
    assert_eq!((machine.now(), notes.incoming.len()), (5000, 14));
}

#[test]
fn parity_and_rate_change_the_time_of_a_byte() {
    let byte_cycles = |rate: u32, config: u32| {
        let code = [
            poke(UART + 0x524, rate),
            poke(UART + 0x56C, config),
            vec![bkpt(0)],
        ]
        .concat();
        to_the_end(&code, Timing::Silicon, &mut Notes::default()).uart_byte_cycles()
    };
    // 9600, 1 M, and 115,200 baud with parity.
    assert_eq!(byte_cycles(0x0027_5000, 0), 16_670);
    assert_eq!(byte_cycles(0x1000_0000, 0), 160);
    assert_eq!(byte_cycles(0x01D7_E000, 0xE), 1527);
}
