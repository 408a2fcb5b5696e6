//! The server as gdb talks to it: packets of the remote protocol, as they are on the wire.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use powercut_emulator::{Cycles, FLASH_BYTES, Machine, Timing, Width, World};

use super::gdb_client::GdbClient;
use super::*;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);
const PROGRAM: u32 = 0x100;

/// A chip before the first of these instructions.
fn chip(program: &[u16]) -> Machine {
    let mut flash = vec![0xFF; FLASH_BYTES];
    let vectors = [0x2000_4000, PROGRAM | 1, 0, 0x201];
    for (word, vector) in flash.chunks_exact_mut(4).zip(vectors) {
        word.copy_from_slice(&vector.to_le_bytes());
    }
    let places = flash[PROGRAM as usize..].chunks_exact_mut(2);
    for (place, halfword) in places.zip(program) {
        place.copy_from_slice(&halfword.to_le_bytes());
    }
    let mut machine = Machine::new(Timing::Silicon);
    machine.load_flash(&flash);
    machine.power_on(0);
    machine
}

/// gdb, and the board that it looks at.
struct Gdb {
    client: GdbClient,
    told: mpsc::Receiver<Told>,
    board: JoinHandle<()>,
    cancel: Cancel,
}

impl Gdb {
    /// Connected to a board that is at a cut before the first of these instructions.
    fn at_cut(program: &[u16]) -> Self {
        Self::at(chip(program))
    }

    /// Connected to a board that is at a cut like this.
    fn at(before: Machine) -> Self {
        let cancel = Cancel::default();
        let (tell, told) = mpsc::channel();
        let server = GdbServer::bind("127.0.0.1:0".parse().unwrap(), &cancel, move |what| {
            tell.send(what).unwrap();
        })
        .unwrap();
        let at = AtCut {
            board: "mb-1".to_owned(),
            after: chip(&[0xE7FE]),
            before,
        };
        let board = std::thread::spawn(move || server.at_cut(at));
        let Told::Waiting { pc, address, .. } = told.recv_timeout(LONG).unwrap() else {
            panic!("the server must say first that it waits");
        };
        assert_eq!(pc, PROGRAM);
        Self {
            client: GdbClient::connect(address),
            told,
            board,
            cancel,
        }
    }

    /// Leaves; the last word of the server.
    fn leave(self) -> Told {
        self.client.detach();
        self.board.join().unwrap();
        self.told.recv_timeout(LONG).unwrap()
    }
}

/// movs r0, #1; adds r0, #1; adds r0, #1; b .
const COUNTS: [u16; 4] = [0x2001, 0x1C40, 0x1C40, 0xE7FE];

#[test]
fn gdb_sees_the_core_as_the_cut_finds_it_and_steps_it() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    gdb.client
        .ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+");
    let description = gdb.client.ask("qXfer:features:read:target.xml:0,fff");
    assert!(description.contains("org.gnu.gdb.arm.m-profile"));
    assert_eq!(
        description.matches("<reg ").count(),
        gdb.client.registers().len()
    );
    assert_eq!(gdb.client.pc(), PROGRAM);
    assert_eq!(gdb.client.registers()[13], 0x2000_4000);
    for (pc, r0) in [(2, 1), (4, 2), (6, 3)] {
        let stopped = gdb.client.ask("vCont;s:p1.1");
        assert!(
            stopped.starts_with("S05") || stopped.starts_with("T05"),
            "{stopped}"
        );
        let registers = gdb.client.registers();
        assert_eq!((registers[15], registers[0]), (PROGRAM + pc, r0));
    }
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn a_breakpoint_stops_the_copy_as_often_as_it_comes_there() {
    // loop: adds r0, #1; b loop
    let mut gdb = Gdb::at_cut(&[0x1C40, 0xE7FD]);
    assert_eq!(gdb.client.ask("Z1,102,2"), "OK");
    for round in 1..=3 {
        let stopped = gdb.client.ask("c");
        assert!(stopped.starts_with("T05"), "{stopped}");
        let registers = gdb.client.registers();
        assert_eq!((registers[15], registers[0]), (PROGRAM + 2, round));
    }
    assert_eq!(gdb.client.ask("z1,102,2"), "OK");
    gdb.client.send("c");
    // Ctrl-C
    gdb.client.interrupt();
    assert!(gdb.client.receive().contains("02"));
    assert!(gdb.client.registers()[0] > 3);
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn memory_and_registers_are_read_and_written_flash_too() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    assert_eq!(
        gdb.client.ask("m100,8"),
        "01 20 40 1c 40 1c fe e7".replace(' ', "")
    );
    assert_eq!(gdb.client.ask("M20000010,4:01020304"), "OK");
    assert_eq!(gdb.client.ask("m20000010,4"), "01020304");
    // movs r0, #7 in place of movs r0, #1
    assert_eq!(gdb.client.ask("M100,2:0720"), "OK");
    let mut registers = gdb.client.registers();
    registers[4] = 0x1234_5678;
    let text: String = registers
        .iter()
        .map(|register| hex::encode(register.to_le_bytes()))
        .collect();
    assert_eq!(gdb.client.ask(&format!("G{text}")), "OK");
    gdb.client.ask("s");
    let registers = gdb.client.registers();
    assert_eq!((registers[0], registers[4]), (7, 0x1234_5678));
    assert!(gdb.client.ask("m60000000,4").starts_with('E'));
    assert_eq!(gdb.leave(), Told::Left);
}

/// A line on which bytes have arrived.
struct Arrived(Vec<u8>);

impl World for Arrived {
    fn next_at(&self) -> Option<Cycles> {
        (!self.0.is_empty()).then_some(0)
    }

    fn next_byte(&mut self, _: Cycles) -> Option<u8> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
}

#[test]
fn a_register_is_read_once_and_as_a_word() {
    let mut before = chip(&COUNTS);
    let mut line = Arrived(vec![0x41, 0x42]);
    // A pin for the receiver, the UART on, the receiver started.
    for (register, value) in [(0x4000_2514, 25), (0x4000_2500, 4), (0x4000_2000, 1)] {
        before
            .bus_write(&mut line, register, value, Width::Word)
            .unwrap();
    }
    before.settle(&mut line);
    let mut gdb = Gdb::at(before);
    // RXDRDY, then the receiver's bytes, each of which a read takes.
    assert_eq!(gdb.client.ask("m40002108,4"), "01000000");
    assert_eq!(gdb.client.ask("m40002518,4"), "41000000");
    assert_eq!(gdb.client.ask("m40002518,4"), "42000000");
    // CPUID: the core's registers answer words alone.
    assert_eq!(gdb.client.ask("me000ed00,4"), "00c20c41");
    assert!(gdb.client.ask("me000ed00,1").starts_with('E'));
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn the_end_of_the_address_space_is_no_end_of_the_server() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    for request in [
        "mffffffff,1",
        "mfffffffe,4",
        "Mffffffff,1:00",
        "Mfffffffe,4:00000000",
    ] {
        assert!(gdb.client.ask(request).starts_with('E'), "{request}");
    }
    assert_eq!(gdb.client.pc(), PROGRAM);
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn breakpoints_outlast_a_write_to_the_registers_of_the_debug_port() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    assert_eq!(gdb.client.ask("Z1,104,2"), "OK");
    // DEMCR: a debugger's habit, and a script's of OpenOCD.
    gdb.client.ask("Me000edfc,4:01000000");
    let stopped = gdb.client.ask("c");
    assert!(stopped.starts_with("T05"), "{stopped}");
    assert_eq!(gdb.client.pc(), PROGRAM + 4);
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn a_fault_stops_the_copy_in_the_handler() {
    let undefined = 0xDE00;
    let mut gdb = Gdb::at_cut(&[0x2001, undefined]);
    let stopped = gdb.client.ask("c");
    assert!(stopped.contains("0b"), "SIGSEGV, not {stopped}");
    assert_eq!(gdb.client.pc(), 0x200);
    assert_eq!(gdb.leave(), Told::Left);
    // Also if it is the instruction that a breakpoint is on.
    let mut gdb = Gdb::at_cut(&[undefined]);
    assert_eq!(gdb.client.ask("Z1,100,2"), "OK");
    assert!(gdb.client.ask("c").contains("0b"));
    assert_eq!(gdb.client.pc(), 0x200);
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn the_monitor_lets_the_cut_take_effect_on_the_copy() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    gdb.client.ask("s");
    assert!(gdb.client.monitor("time").contains("1 instructions"));
    assert!(gdb.client.monitor("cut").contains("next boot"));
    assert_eq!(gdb.client.pc(), PROGRAM);
    assert_eq!(gdb.client.ask("m100,2"), "fee7");
    assert!(gdb.client.monitor("cut").contains("already"));
    assert!(gdb.client.monitor("brown-out").contains("already"));
    assert!(gdb.client.monitor("help").contains("monitor cut"));
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn the_monitor_lets_the_supply_sag_on_the_copy_whose_ram_is_then_as_the_cut_found_it() {
    for (order, expected) in [("cut", "00000000"), ("brown-out", "01020304")] {
        let mut before = chip(&COUNTS);
        before.ram_mut()[0x10..0x14].copy_from_slice(&[1, 2, 3, 4]);
        let mut gdb = Gdb::at(before);
        assert_eq!(gdb.client.ask("M20000010,4:05060708"), "OK");
        assert!(gdb.client.monitor(order).contains("next boot"));
        assert_eq!(gdb.client.ask("m20000010,4"), expected, "{order}");
        assert_eq!(gdb.leave(), Told::Left);
    }
}

#[test]
fn a_gdb_that_vanishes_and_a_case_that_is_cancelled_end_the_session() {
    let gdb = Gdb::at_cut(&COUNTS);
    drop(gdb.client);
    gdb.board.join().unwrap();
    assert_eq!(gdb.told.recv_timeout(LONG).unwrap(), Told::Left);

    let mut gdb = Gdb::at_cut(&COUNTS);
    gdb.client.send("c");
    gdb.cancel.cancel();
    gdb.board.join().unwrap();
    assert_eq!(gdb.told.recv_timeout(LONG).unwrap(), Told::Left);

    let cancel = Cancel::default();
    let (tell, told) = mpsc::channel();
    let server = GdbServer::bind("127.0.0.1:0".parse().unwrap(), &cancel, move |what| {
        tell.send(what).unwrap();
    });
    cancel.cancel();
    server.unwrap().at_cut(AtCut {
        board: "mb-1".to_owned(),
        before: chip(&COUNTS),
        after: chip(&COUNTS),
    });
    told.recv_timeout(LONG).unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), Told::Left);
}
