//! The server as gdb talks to it: packets of the remote protocol, as they are on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use powercut_emulator::{FLASH_BYTES, Timing};

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

/// gdb's end.
struct Gdb {
    stream: TcpStream,
    told: mpsc::Receiver<Told>,
    board: JoinHandle<()>,
    cancel: Cancel,
}

impl Gdb {
    /// Connected to a board that is at a cut before the first of these instructions.
    fn at_cut(program: &[u16]) -> Self {
        let cancel = Cancel::default();
        let (tell, told) = mpsc::channel();
        let server = GdbServer::bind("127.0.0.1:0".parse().unwrap(), &cancel, move |what| {
            tell.send(what).unwrap();
        })
        .unwrap();
        let before = chip(program);
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
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self {
            stream,
            told,
            board,
            cancel,
        }
    }

    fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}").unwrap();
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// The next packet, its runs of equal characters written out.
    fn receive(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut packet = Vec::new();
        loop {
            match self.byte() {
                b'#' => break,
                b'*' => {
                    let times = self.byte() - 29;
                    let last = *packet.last().unwrap();
                    packet.extend(vec![last; times.into()]);
                }
                byte => packet.push(byte),
            }
        }
        self.byte();
        self.byte();
        self.stream.write_all(b"+").unwrap();
        String::from_utf8(packet).unwrap()
    }

    fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.receive()
    }

    /// The registers in gdb's order.
    fn registers(&mut self) -> Vec<u32> {
        let bytes = hex::decode(self.ask("g")).unwrap();
        let (words, rest) = bytes.as_chunks::<4>();
        assert!(rest.is_empty());
        words.iter().map(|word| u32::from_le_bytes(*word)).collect()
    }

    fn pc(&mut self) -> u32 {
        self.registers()[15]
    }

    /// The texts that a monitor command brings.
    fn monitor(&mut self, command: &str) -> String {
        self.send(&format!("qRcmd,{}", hex::encode(command)));
        let mut said = String::new();
        loop {
            match self.receive().as_str() {
                "OK" => return said,
                text => {
                    let bytes = hex::decode(text.strip_prefix('O').unwrap()).unwrap();
                    said += &String::from_utf8(bytes).unwrap();
                }
            }
        }
    }

    /// Leaves; the last word of the server.
    fn leave(mut self) -> Told {
        assert_eq!(self.ask("D"), "OK");
        drop(self.stream);
        self.board.join().unwrap();
        self.told.recv_timeout(LONG).unwrap()
    }
}

/// movs r0, #1; adds r0, #1; adds r0, #1; b .
const COUNTS: [u16; 4] = [0x2001, 0x1C40, 0x1C40, 0xE7FE];

#[test]
fn gdb_sees_the_core_as_the_cut_finds_it_and_steps_it() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    gdb.ask("qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+");
    let description = gdb.ask("qXfer:features:read:target.xml:0,fff");
    assert!(description.contains("org.gnu.gdb.arm.m-profile"));
    assert_eq!(description.matches("<reg ").count(), gdb.registers().len());
    assert_eq!(gdb.pc(), PROGRAM);
    assert_eq!(gdb.registers()[13], 0x2000_4000);
    for (pc, r0) in [(2, 1), (4, 2), (6, 3)] {
        let stopped = gdb.ask("vCont;s:p1.1");
        assert!(
            stopped.starts_with("S05") || stopped.starts_with("T05"),
            "{stopped}"
        );
        let registers = gdb.registers();
        assert_eq!((registers[15], registers[0]), (PROGRAM + pc, r0));
    }
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn a_breakpoint_stops_the_copy_as_often_as_it_comes_there() {
    // loop: adds r0, #1; b loop
    let mut gdb = Gdb::at_cut(&[0x1C40, 0xE7FD]);
    assert_eq!(gdb.ask("Z1,102,2"), "OK");
    for round in 1..=3 {
        let stopped = gdb.ask("c");
        assert!(stopped.starts_with("T05"), "{stopped}");
        let registers = gdb.registers();
        assert_eq!((registers[15], registers[0]), (PROGRAM + 2, round));
    }
    assert_eq!(gdb.ask("z1,102,2"), "OK");
    gdb.send("c");
    // Ctrl-C
    gdb.stream.write_all(&[3]).unwrap();
    assert!(gdb.receive().contains("02"));
    assert!(gdb.registers()[0] > 3);
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn memory_and_registers_are_read_and_written_flash_too() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    assert_eq!(
        gdb.ask("m100,8"),
        "01 20 40 1c 40 1c fe e7".replace(' ', "")
    );
    assert_eq!(gdb.ask("M20000010,4:01020304"), "OK");
    assert_eq!(gdb.ask("m20000010,4"), "01020304");
    // movs r0, #7 in place of movs r0, #1
    assert_eq!(gdb.ask("M100,2:0720"), "OK");
    let mut registers = gdb.registers();
    registers[4] = 0x1234_5678;
    let text: String = registers
        .iter()
        .map(|register| hex::encode(register.to_le_bytes()))
        .collect();
    assert_eq!(gdb.ask(&format!("G{text}")), "OK");
    gdb.ask("s");
    let registers = gdb.registers();
    assert_eq!((registers[0], registers[4]), (7, 0x1234_5678));
    assert!(gdb.ask("m60000000,4").starts_with('E'));
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn a_fault_stops_the_copy_in_the_handler() {
    let undefined = 0xDE00;
    let mut gdb = Gdb::at_cut(&[0x2001, undefined]);
    let stopped = gdb.ask("c");
    assert!(stopped.contains("0b"), "SIGSEGV, not {stopped}");
    assert_eq!(gdb.pc(), 0x200);
    assert_eq!(gdb.leave(), Told::Left);
    // Also if it is the instruction that a breakpoint is on.
    let mut gdb = Gdb::at_cut(&[undefined]);
    assert_eq!(gdb.ask("Z1,100,2"), "OK");
    assert!(gdb.ask("c").contains("0b"));
    assert_eq!(gdb.pc(), 0x200);
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn the_monitor_lets_the_cut_take_effect_on_the_copy() {
    let mut gdb = Gdb::at_cut(&COUNTS);
    gdb.ask("s");
    assert!(gdb.monitor("time").contains("1 instructions"));
    assert!(gdb.monitor("cut").contains("next boot"));
    assert_eq!(gdb.pc(), PROGRAM);
    assert_eq!(gdb.ask("m100,2"), "fee7");
    assert!(gdb.monitor("cut").contains("already"));
    assert!(gdb.monitor("help").contains("monitor cut"));
    assert_eq!(gdb.leave(), Told::Left);
}

#[test]
fn a_gdb_that_vanishes_and_a_case_that_is_cancelled_end_the_session() {
    let gdb = Gdb::at_cut(&COUNTS);
    drop(gdb.stream);
    gdb.board.join().unwrap();
    assert_eq!(gdb.told.recv_timeout(LONG).unwrap(), Told::Left);

    let mut gdb = Gdb::at_cut(&COUNTS);
    gdb.send("c");
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
