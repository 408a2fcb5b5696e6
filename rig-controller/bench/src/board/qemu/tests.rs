//! The virtual board against the real emulator, with firmware assembled in [`super::toy_firmware`].
mod emulator_tests;

use std::sync::Mutex;
use std::time::Instant;

use super::memory_map::{
    GPIO_OUT, NVMC_CONFIG, SCB_AIRCR, SCB_VTOR, SYST_CSR, UART_STARTRX, UART_TXD, WDT_START,
};
use super::toy_firmware::{DATA, MARKER, Store, Then, erase, firmware, transmitter};
use super::*;
use crate::feed::{Order, Sink};
use crate::relay::{self, Power, Relay};
use crate::witness::{self, Proof, Witness};
use nor_flash_model::{TornShape, Unit};
use powercut_oracle::FlashOpKind;
use powercut_oracle::seen::{Clock, ResetCause, Seen, What};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// Written to the GPIO outputs by firmware that has done all it does.
const FINISHED: Store = (GPIO_OUT, 0xF1F1);

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Op(u64, FlashOpKind),
    Byte(u8),
    Pins(u32),
    Reset(ResetCause),
    NotOnSilicon(String),
}

type Decide = Box<dyn FnMut(&Event) -> Order + Send>;

/// Writes down what it hears, decides by a function, wakes the board when the firmware has finished.
struct Listener {
    events: Vec<Event>,
    decide: Decide,
    waker: Waker,
}

impl Sink for Listener {
    fn seen(&mut self, seen: &Seen<'_>, _: Option<&[u8]>) -> Order {
        let event = match &seen.what {
            What::Operation(op) => Event::Op(op.number, op.kind),
            What::Byte(byte) => Event::Byte(*byte),
            What::Pins(pins) => Event::Pins(*pins),
            What::Reset(cause) => Event::Reset(*cause),
            What::NotOnSilicon(what) => Event::NotOnSilicon((*what).to_owned()),
            other => panic!("a board does not tell of {other:?}"),
        };
        let order = (self.decide)(&event);
        if event == Event::Pins(FINISHED.1) {
            self.waker.wake();
        }
        self.events.push(event);
        order
    }
}

fn config() -> QemuConfig {
    QemuConfig {
        name: "mb-test".to_owned(),
        qemu: "qemu-system-arm".into(),
        watchdog: Duration::from_millis(300),
        silence: None,
    }
}

fn board_with(image: &[u8]) -> QemuBoard {
    let mut board = QemuBoard::new(config());
    board.provision(image, 7).unwrap();
    board
}

fn listener(
    board: &QemuBoard,
    decide: impl FnMut(&Event) -> Order + Send + 'static,
) -> Arc<Mutex<Listener>> {
    Arc::new(Mutex::new(Listener {
        events: Vec::new(),
        decide: Box::new(decide),
        waker: board.waker(),
    }))
}

/// Gives power and lets the core run.
fn power_on(board: &mut QemuBoard, sink: Arc<Mutex<dyn Sink>>) -> Result<(), BoardError> {
    board.watch(Feed::new(sink, Clock::start()));
    board.supply.power_on()?;
    assert_eq!(board.hold()?, Hold::Held);
    board.release()
}

fn relay(board: &QemuBoard) -> Box<dyn Relay> {
    (relay::KINDS[0].wire)(board).unwrap()
}

fn witness(board: &QemuBoard) -> Box<dyn Witness> {
    (witness::KINDS[0].wire)(board).unwrap()
}

fn power_off(board: &QemuBoard) {
    relay(board).off().unwrap();
}

fn flash_of(board: &mut QemuBoard) -> Vec<u8> {
    board.read_flash().unwrap().unwrap()
}

/// One power-on until the board is cut or the firmware has finished; what was heard.
fn boot(
    board: &mut QemuBoard,
    decide: impl FnMut(&Event) -> Order + Send + 'static,
) -> (Stopped, Vec<Event>) {
    let listener = listener(board, decide);
    power_on(board, listener.clone()).unwrap();
    let stopped = board.wait(LONG).unwrap();
    let events = listener.lock().unwrap().events.clone();
    (stopped, events)
}

fn go_on(_: &Event) -> Order {
    Order::GoOn
}

/// Decides for operation `number`, goes on with everything else.
fn at_op(number: u64, decision: Order) -> impl FnMut(&Event) -> Order + Send {
    move |event| match event {
        Event::Op(n, _) if *n == number => decision,
        _ => Order::GoOn,
    }
}

/// Erases a page and programs eight words into it: nine operations, then "finished".
fn nine_operations() -> Vec<u8> {
    let mut stores = erase(DATA).to_vec();
    stores.extend((0..8).map(|n| (DATA + 4 * n, 0x1111_1111 * n)));
    stores.push(FINISHED);
    let mut image = firmware(&stores, &[], &Then::Hang);
    image[DATA as usize..][..1024].fill(0x0F);
    image
}

fn data_word(flash: &[u8], index: usize) -> u32 {
    let at = DATA as usize + 4 * index;
    u32::from_le_bytes(flash[at..at + 4].try_into().unwrap())
}

#[test]
fn a_cut_after_operation_n_keeps_exactly_n_operations() {
    for n in 1..=9 {
        let mut board = board_with(&nine_operations());
        let (stopped, events) = boot(&mut board, at_op(n, Order::CutAfter));
        assert_eq!(stopped, Stopped::Cut);
        assert!(matches!(events.last(), Some(Event::Op(last, _)) if *last == n));
        let flash = flash_of(&mut board);
        for word in 0..8 {
            let programmed = (word as u64) < n - 1;
            let expected = if programmed {
                0x1111_1111 * word as u32
            } else {
                u32::MAX
            };
            assert_eq!(data_word(&flash, word), expected, "word {word} after {n}");
        }
    }
}

#[test]
fn a_cut_at_an_operation_leaves_nothing_of_it_and_the_next_boot_goes_on_from_there() {
    let mut board = board_with(&nine_operations());
    let (stopped, events) = boot(&mut board, at_op(1, Order::Cut { torn: None }));
    assert_eq!((stopped, events.len()), (Stopped::Cut, 1));
    assert_eq!(
        witness(&board).look(),
        Proof::Off("the emulator's process is gone".to_owned())
    );
    assert_eq!(data_word(&flash_of(&mut board), 0), 0x0F0F_0F0F);

    let (stopped, events) = boot(&mut board, go_on);
    assert_eq!(stopped, Stopped::TimedOut);
    assert_eq!(
        events[0],
        Event::Op(2, FlashOpKind::Erase { address: DATA })
    );
    board.verify_record().unwrap();
    assert_eq!(data_word(&flash_of(&mut board), 7), 0x7777_7777);
}

#[test]
fn a_torn_operation_leaves_the_part_its_shape_says() {
    let torn = |n, shape| {
        let mut board = board_with(&nine_operations());
        let decision = Order::Cut { torn: Some(shape) };
        let (stopped, events) = boot(&mut board, at_op(n, decision));
        assert_eq!(stopped, Stopped::Cut);
        assert!(matches!(events.last(), Some(Event::Op(last, _)) if *last == n));
        flash_of(&mut board)
    };
    let erased = torn(1, TornShape::Half);
    assert_eq!(data_word(&erased, 127), u32::MAX);
    assert_eq!(data_word(&erased, 128), 0x0F0F_0F0F);
    let programmed = torn(3, TornShape::OtherHalf);
    assert_eq!(data_word(&programmed, 1), 0x1111_FFFF);
    let bits = TornShape::Bits(99);
    assert_eq!(torn(1, bits), torn(1, bits));
}

#[test]
fn a_board_that_is_held_has_run_nothing_and_shows_what_flash_holds() {
    let mut board = board_with(&nine_operations());
    let listener = listener(&board, go_on);
    board.watch(Feed::new(listener.clone(), Clock::start()));
    relay(&board).on().unwrap();
    assert_eq!(board.hold().unwrap(), Hold::Held);
    assert_eq!(flash_of(&mut board), nine_operations());
    assert_eq!(
        board.wait(Duration::from_millis(200)).unwrap(),
        Stopped::TimedOut
    );
    assert_eq!(listener.lock().unwrap().events, []);
    board.release().unwrap();
    assert_eq!(board.wait(LONG).unwrap(), Stopped::TimedOut);
    assert_eq!(listener.lock().unwrap().events.len(), 10);
}

#[test]
fn a_torn_state_is_what_the_next_boot_really_runs_on() {
    let mut board = board_with(&nine_operations());
    let decision = Order::Cut {
        torn: Some(TornShape::Half),
    };
    boot(&mut board, at_op(1, decision));
    let listener = listener(&board, at_op(2, Order::Cut { torn: None }));
    power_on(&mut board, listener).unwrap();
    board.wait(LONG).unwrap();
    // Cut before the second erase: the half-erased page was what this boot started from.
    assert_eq!(data_word(&flash_of(&mut board), 128), 0x0F0F_0F0F);
}

#[test]
fn the_same_run_twice_gives_the_same_flash_and_the_same_events() {
    let mut stores = erase(DATA).to_vec();
    stores.extend(transmitter());
    for n in 0..100 {
        stores.extend([(DATA + 4 * n, n), (UART_TXD, n), (GPIO_OUT, n)]);
    }
    stores.push(FINISHED);
    let image = firmware(&stores, &[], &Then::Hang);
    let run = || {
        let mut board = board_with(&image);
        let torn = Some(TornShape::Bits(3));
        let (_, first) = boot(&mut board, at_op(41, Order::Cut { torn }));
        let cut = flash_of(&mut board);
        let (_, second) = boot(&mut board, go_on);
        board.verify_record().unwrap();
        (first, cut, second, flash_of(&mut board))
    };
    let (one, two) = (run(), run());
    assert!(one.0.len() > 100);
    assert!(one == two, "two runs differ");
}

#[test]
fn nothing_the_device_does_after_a_cut_at_a_byte_is_reported_or_kept() {
    let mut stores = transmitter().to_vec();
    stores.extend(b"ABCDEF".map(|byte| (UART_TXD, u32::from(byte))));
    stores.extend([(NVMC_CONFIG, 1), (DATA, 0), FINISHED]);
    let mut board = board_with(&firmware(&stores, &[], &Then::Hang));
    let cut = Order::Cut { torn: None };
    let (stopped, events) = boot(&mut board, move |event| match event {
        Event::Byte(b'C') => cut,
        _ => Order::GoOn,
    });
    assert_eq!(stopped, Stopped::Cut);
    assert_eq!(events, b"ABC".map(Event::Byte));
    assert_eq!(data_word(&flash_of(&mut board), 0), u32::MAX);
}

#[test]
fn an_echo_comes_back_without_the_receivers_start_stalling_for_a_second() {
    let mut stores = transmitter().to_vec();
    stores.extend([(UART_STARTRX, 1), FINISHED]);
    let mut board = board_with(&firmware(&stores, &[], &Then::Echo));
    let uart = board.uart();
    let begun = Instant::now();
    for _ in 0..6 {
        uart.send(b"lost: the board is off");
        let waker = board.waker();
        let listener = listener(&board, move |event| {
            if *event == Event::Byte(b'!') {
                waker.wake();
            }
            Order::GoOn
        });
        power_on(&mut board, listener.clone()).unwrap();
        uart.send(b"over and out");
        uart.send(b"!");
        for _finished_then_echoed in 0..2 {
            let echoed = |w: &Listener| w.events.contains(&Event::Byte(b'!'));
            if !echoed(&listener.lock().unwrap()) {
                assert_eq!(board.wait(LONG).unwrap(), Stopped::TimedOut);
            }
        }
        power_off(&board);
        let heard: Vec<u8> = listener
            .lock()
            .unwrap()
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Byte(byte) => Some(*byte),
                _ => None,
            })
            .collect();
        assert_eq!(heard, b"over and out!");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_software_reset_is_reported_in_order_and_flash_survives_it() {
    let first = [(NVMC_CONFIG, 1), (MARKER, 0), (SCB_AIRCR, 0x05FA_0004)];
    let second = [(DATA, 0), (NVMC_CONFIG, 1), (DATA + 4, 5), FINISHED];
    let mut board = board_with(&firmware(&first, &second, &Then::Hang));
    let (_, events) = boot(&mut board, go_on);
    let program = |address, value: u32| FlashOpKind::Program {
        address,
        before: Unit::from(u32::MAX),
        value: Unit::from(value),
    };
    assert_eq!(
        events,
        [
            Event::Op(1, program(MARKER, 0)),
            Event::Reset(ResetCause::Software),
            Event::Op(2, program(DATA + 4, 5)),
            Event::Pins(FINISHED.1),
        ]
    );
    board.verify_record().unwrap();
}

#[test]
fn a_watchdog_that_is_started_and_not_fed_resets_the_device_once() {
    let first = [(NVMC_CONFIG, 1), (MARKER, 0), (WDT_START, 1)];
    let mut board = board_with(&firmware(&first, &[FINISHED], &Then::Hang));
    let (stopped, events) = boot(&mut board, go_on);
    assert_eq!(stopped, Stopped::TimedOut);
    assert_eq!(
        events[1..],
        [Event::Reset(ResetCause::Watchdog), Event::Pins(FINISHED.1)]
    );
    // Its own reset has stopped it.
    assert_eq!(
        board.wait(Duration::from_millis(700)).unwrap(),
        Stopped::TimedOut
    );
    board.verify_record().unwrap();
}

#[test]
fn a_device_that_hangs_without_a_watchdog_is_left_alone() {
    let mut board = board_with(&firmware(&[], &[], &Then::Hang));
    let listener = listener(&board, go_on);
    power_on(&mut board, listener.clone()).unwrap();
    let waited = board.wait(Duration::from_millis(700)).unwrap();
    assert_eq!(waited, Stopped::TimedOut);
    assert!(listener.lock().unwrap().events.is_empty());
}

#[test]
fn what_the_silicon_does_not_have_is_reported() {
    let stores = [(SCB_VTOR, 0x400), (SYST_CSR, 0), FINISHED];
    let mut board = board_with(&firmware(&stores, &[], &Then::Hang));
    let (_, events) = boot(&mut board, go_on);
    assert!(matches!(&events[0], Event::NotOnSilicon(what) if what.contains("VTOR")));
    assert!(matches!(&events[1], Event::NotOnSilicon(what) if what.contains("SysTick")));
}

#[test]
fn the_stack_reaches_down_to_where_untouched_ram_ends() {
    let stores = [(0x2000_0010, 0), (0x2000_3F00, 0), FINISHED];
    let mut board = board_with(&firmware(&stores, &[], &Then::Hang));
    assert_eq!(board.stack_high_water_bytes().unwrap(), None);
    boot(&mut board, go_on);
    let used = board.stack_high_water_bytes().unwrap();
    assert_eq!(used, Some(0x100));
}

#[test]
fn a_record_that_differs_from_the_boards_flash_is_a_mismatch() {
    let mut board = board_with(&nine_operations());
    boot(&mut board, go_on);
    let mut wrong = flash_of(&mut board);
    wrong[0x3_8000] = 0x55;
    board.supply.shadow().provision(&wrong);
    match board.verify_record() {
        Err(BoardError::ShadowMismatch {
            address: 0x3_8000,
            recorded: 0x55,
            found: 0xFF,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_board_outlives_the_thread_that_switched_it_on() {
    let mut board = board_with(&nine_operations());
    let mut board = std::thread::spawn(move || {
        boot(&mut board, go_on);
        board
    })
    .join()
    .unwrap();
    let waited = board.wait(Duration::from_millis(200)).unwrap();
    assert_eq!(waited, Stopped::TimedOut);
    board.verify_record().unwrap();
}

#[test]
fn the_relay_ends_a_wait_from_another_thread_and_gives_power_again() {
    let mut board = board_with(&nine_operations());
    let mut relay = relay(&board);
    assert!(relay.on().is_err(), "nobody watches yet");
    boot(&mut board, go_on);
    assert_eq!(relay.power(), Power::On);
    let witness = witness(&board).look();
    assert!(matches!(witness, Proof::StillOn(_)), "{witness:?}");
    let switching = std::thread::spawn(move || {
        relay.off().unwrap();
        relay
    });
    assert_eq!(board.wait(LONG).unwrap(), Stopped::PoweredOff);
    let mut relay = switching.join().unwrap();
    assert_eq!(relay.power(), Power::Off);
    relay.on().unwrap();
    assert_eq!(relay.power(), Power::On);
    board.release().unwrap();
    assert_eq!(board.wait(LONG).unwrap(), Stopped::TimedOut);
    board.verify_record().unwrap();
}

#[test]
fn an_image_of_the_wrong_size_and_a_powered_board_are_not_provisioned() {
    let mut board = QemuBoard::new(config());
    assert!(board.provision(&[0; 100], 7).is_err());
    let image = nine_operations();
    board.provision(&image, 7).unwrap();
    boot(&mut board, go_on);
    assert!(board.provision(&image, 7).is_err());
}
