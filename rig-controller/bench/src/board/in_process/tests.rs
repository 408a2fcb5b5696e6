//! RAM and peripherals after a cut, as firmware sees them that takes RAM at its word.
use powercut_emulator::FLASH_BYTES;
use powercut_oracle::seen::{Clock, Seen, What};

use super::*;
use crate::feed::{Order, Sink};
use crate::relay::{self, Relay};
use crate::witness::{self, Proof};
use nor_flash_model::TornShape;

const CODE: usize = 0x100;
const LITERALS: usize = 0x180;
/// The word that the firmware programs.
const DATA: u32 = 0x3_0000;
const UART_ENABLE: u32 = 0x4000_2500;
const RESET_REASONS: u32 = 0x4000_0400;
const UNTIL_IT_HANGS: Duration = Duration::from_millis(10);

/// The whole flash with firmware that counts boots in RAM and never asks whether RAM was kept: it shows the count on its pins,
/// then the state of UART and reset reasons as it finds them, switches the UART on, programs a word and hangs.
fn trusts_ram() -> Vec<u8> {
    let literals = [
        0x2000_0100,
        0x600D_CAFE,
        0x5000_0504,
        UART_ENABLE,
        RESET_REASONS,
        0x4001_E504,
        DATA,
    ];
    program(
        &literals,
        &[
            load(0, 0, 0),  //        ldr  r0, =counter
            load(1, 2, 1),  //        ldr  r2, =magic
            load(2, 4, 2),  //        ldr  r4, =pins
            load(3, 5, 3),  //        ldr  r5, =UART enable
            load(4, 6, 4),  //        ldr  r6, =reset reasons
            0x6801,         //        ldr  r1, [r0]
            0x4291,         //        cmp  r1, r2
            0xD101,         //        bne  cold
            0x6843,         //        ldr  r3, [r0, #4]
            0xE000,         //        b    count
            0x2300,         // cold:  movs r3, #0
            0x3301,         // count: adds r3, #1
            0x6002,         //        str  r2, [r0]
            0x6043,         //        str  r3, [r0, #4]
            0x6023,         //        str  r3, [r4]
            0x6829,         //        ldr  r1, [r5]
            0x6837,         //        ldr  r7, [r6]
            0x023F,         //        lsls r7, r7, #8
            0x4339,         //        orrs r1, r7
            0x6021,         //        str  r1, [r4]
            0x2104,         //        movs r1, #4
            0x6029,         //        str  r1, [r5]
            load(22, 6, 5), //       ldr  r6, =NVMC config
            0x2101,         //        movs r1, #1
            0x6031,         //        str  r1, [r6]
            load(25, 6, 6), //       ldr  r6, =DATA
            0x2100,         //        movs r1, #0
            0x6031,         //        str  r1, [r6]
            0xE7FE,         // hang:  b    hang
        ],
    )
}

/// The whole flash with this program, which begins at power-on.
fn program(literals: &[u32], code: &[u16]) -> Vec<u8> {
    let mut flash = vec![0xFF; FLASH_BYTES];
    words(&mut flash, 0, &[0x2000_4000, CODE as u32 | 1]);
    words(&mut flash, LITERALS, literals);
    for (place, halfword) in flash[CODE..].chunks_exact_mut(2).zip(code) {
        place.copy_from_slice(&halfword.to_le_bytes());
    }
    flash
}

/// `ldr r<register>, [pc, ...]` as halfword `at` of the code, loading literal number `literal`.
fn load(at: usize, register: u16, literal: usize) -> u16 {
    let pc = (CODE + 2 * at + 4) & !3;
    0x4800 | register << 8 | ((LITERALS + 4 * literal - pc) / 4) as u16
}

fn words(flash: &mut [u8], at: usize, words: &[u32]) {
    for (place, word) in flash[at..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
}

/// Writes down what the pins show, and answers each flash operation alike.
struct Listener {
    pins: Vec<u32>,
    shortcomings: Vec<String>,
    at_operation: Order,
}

impl Sink for Listener {
    fn seen(&mut self, seen: &Seen<'_>, _: Option<&[u8]>) -> Order {
        match seen.what {
            What::Pins(pins) => self.pins.push(pins),
            What::Operation(_) => return self.at_operation,
            What::NotEmulated(_) | What::Overrun => {
                self.shortcomings.push(format!("{:?}", seen.what));
            }
            _ => {}
        }
        Order::GoOn
    }
}

/// A board with its relay.
struct Table {
    board: InProcessBoard,
    relay: Box<dyn Relay>,
    /// Told in the latest boot.
    shortcomings: Vec<String>,
}

impl Table {
    fn with(flash: &[u8]) -> Self {
        let timing = Timing::Silicon;
        let mut board = InProcessBoard {
            supply: Arc::new(Supply::new("mb-test".to_owned(), timing)),
            name: "mb-test".to_owned(),
            silence: None,
            timing,
        };
        board.provision(flash, 7).unwrap();
        let relay = (relay::KINDS[0].wire)(&board).unwrap();
        Self {
            board,
            relay,
            shortcomings: Vec::new(),
        }
    }

    /// Gives power and lets the core run; what hears of it.
    fn begin(&mut self, at_operation: Order) -> Arc<Mutex<Listener>> {
        let listener = Arc::new(Mutex::new(Listener {
            pins: Vec::new(),
            shortcomings: Vec::new(),
            at_operation,
        }));
        self.board.watch(Feed::new(
            Arc::clone(&listener) as Arc<Mutex<dyn Sink>>,
            Clock::start_in(self.board.time().unwrap()),
        ));
        self.relay.on().unwrap();
        assert_eq!(self.board.hold().unwrap(), Hold::Held);
        self.board.release().unwrap();
        listener
    }

    /// One boot, until it is cut at its flash operation or hangs; what the pins showed.
    fn boot(&mut self, at_operation: Order) -> Vec<u32> {
        let listener = self.begin(at_operation);
        let stopped = self.board.wait(UNTIL_IT_HANGS).unwrap();
        let is_cut = at_operation != Order::GoOn;
        let expected = if is_cut {
            Stopped::Cut
        } else {
            Stopped::TimedOut
        };
        assert_eq!(stopped, expected);
        let mut heard = listener.lock().unwrap();
        self.shortcomings = std::mem::take(&mut heard.shortcomings);
        heard.pins.clone()
    }

    fn off_keeping(&mut self, ram: Ram) {
        self.relay.off().unwrap();
        assert!(self.board.keep_ram(ram));
        self.board.rest(Duration::from_millis(20));
    }
}

#[test]
fn firmware_that_trusts_ram_counts_on_when_ram_outlasts_the_cut_and_begins_anew_when_it_does_not() {
    let mut table = Table::with(&trusts_ram());
    assert_eq!(table.boot(Order::CutAfter), [1, 0]);
    table.relay.off().unwrap();
    assert_eq!(table.boot(Order::CutAfter), [1, 0], "RAM is lost");
    table.relay.sag().unwrap();
    assert_eq!(table.boot(Order::GoOn), [2, 0], "a brown-out keeps RAM");
    table.relay.sag().unwrap();
    assert_eq!(table.boot(Order::GoOn), [3, 0], "also between operations");
    table.off_keeping(Ram::Kept);
    assert_eq!(table.boot(Order::GoOn), [4, 0], "a short cut keeps RAM");
    table.off_keeping(Ram::Decayed { percent: 60 });
    assert_eq!(
        table.boot(Order::GoOn),
        [1, 0],
        "the magic word has decayed"
    );
    table.off_keeping(Ram::Kept);
    table.relay.on().unwrap();
    table.relay.off().unwrap();
    let pins = table.boot(Order::GoOn);
    assert_eq!(pins, [1, 0], "a word on RAM holds for one power-on");
}

#[test]
fn a_brown_out_takes_the_state_of_peripherals_and_leaves_no_reset_reason() {
    let mut table = Table::with(&trusts_ram());
    table.boot(Order::GoOn);
    table.relay.sag().unwrap();
    let mut witness = (witness::KINDS[0].wire)(&table.board).unwrap();
    assert!(matches!(witness.look(), Proof::Off(_)));
    assert_eq!(table.relay.power(), relay::Power::Off);
    // The UART was switched on in the boot before, and neither a watchdog nor the firmware has reset the chip.
    assert_eq!(table.boot(Order::GoOn)[1], 0);
    assert!(matches!(witness.look(), Proof::StillOn(_)));
}

#[test]
fn a_brown_out_tears_the_flash_operation_that_is_under_way() {
    let mut table = Table::with(&trusts_ram());
    let torn = Some(TornShape::Half);
    table.boot(Order::Cut { torn });
    table.relay.sag().unwrap();
    let flash = table.board.read_flash().unwrap().unwrap();
    assert_eq!(flash[DATA as usize..][..4], [0, 0, 0xFF, 0xFF]);
    assert_eq!(table.boot(Order::GoOn)[0], 2);
}

#[test]
fn the_depth_of_the_stack_is_not_told_where_ram_was_kept() {
    let mut table = Table::with(&trusts_ram());
    table.boot(Order::GoOn);
    assert!(table.board.stack_high_water_bytes().unwrap().is_some());
    table.relay.sag().unwrap();
    table.boot(Order::GoOn);
    assert_eq!(table.board.stack_high_water_bytes().unwrap(), None);
}

#[test]
fn a_register_that_is_not_emulated_is_told_once_a_case() {
    let flash = program(
        &[0x4000_1000],
        &[load(0, 0, 0), 0x6801, 0x6801, 0xE7FE], // ldr r0, =RADIO; ldr r1, [r0]; ldr r1, [r0]; b .
    );
    let mut table = Table::with(&flash);
    table.boot(Order::GoOn);
    assert_eq!(table.shortcomings, ["NotEmulated(1073745920)"]);
    table.relay.off().unwrap();
    table.boot(Order::GoOn);
    assert!(table.shortcomings.is_empty());
    table.relay.off().unwrap();
    table.board.provision(&flash, 7).unwrap();
    table.boot(Order::GoOn);
    assert_eq!(table.shortcomings.len(), 1);
}

#[test]
fn a_receiver_that_overruns_is_told_once_a_boot() {
    let stores = [(0x4000_2514, 25), (UART_ENABLE, 4), (0x4000_2000, 1)];
    let literals: Vec<u32> = stores
        .iter()
        .flat_map(|(at, value)| [*at, *value])
        .collect();
    let mut code = Vec::new();
    for store in 0..stores.len() {
        let at = code.len();
        // ldr r0, =register; ldr r1, =value; str r1, [r0]
        code.extend([
            load(at, 0, 2 * store),
            load(at + 1, 1, 2 * store + 1),
            0x6001,
        ]);
    }
    code.push(0xE7FE);
    let mut table = Table::with(&program(&literals, &code));
    for _ in 0..2 {
        let listener = table.begin(Order::GoOn);
        table.board.wait(UNTIL_IT_HANGS).unwrap();
        // They are there at once: six are held, and three are lost.
        table.board.uart().send(b"+CSCON: 1");
        table.board.wait(UNTIL_IT_HANGS).unwrap();
        assert_eq!(listener.lock().unwrap().shortcomings, ["Overrun"]);
        table.relay.off().unwrap();
    }
}
