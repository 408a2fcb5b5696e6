use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::modem::AnswerTimes;
use crate::modem::habits::Asked;
use powercut_link::{LinkProfile, WayProfile};

/// Far longer than anything here takes: a test that gets this far has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A device that hears everything that is sent to it.
struct Ear(Sender<Vec<u8>>);

impl UartToDevice for Ear {
    fn send(&self, bytes: &[u8]) {
        // The test may have ended already.
        let _ = self.0.send(bytes.to_vec());
    }
}

struct Table {
    impairment: Impairment,
    modem: VirtualModem,
    heard: Receiver<Vec<u8>>,
    platform: UdpSocket,
}

impl Table {
    fn new(power: ModemPower) -> Self {
        Self::with_link(power, &LinkProfile::ideal())
    }

    fn with_link(power: ModemPower, profile: &LinkProfile) -> Self {
        Self::with_habits(power, profile, ModemHabits::default())
    }

    fn with_habits(power: ModemPower, profile: &LinkProfile, habits: ModemHabits) -> Self {
        let (sender, heard) = channel();
        let platform = UdpSocket::bind("127.0.0.1:0").unwrap();
        platform.set_read_timeout(Some(PATIENCE)).unwrap();
        let impairment = Impairment::new(profile, 1);
        let modem = VirtualModem::new(
            VirtualModemConfig {
                power,
                searching_answers: 0,
                fault: None,
                habits,
                link: profile.clone(),
                impairment: impairment.clone(),
                time_scale: TimeScale::new(100.0).unwrap(),
                route: None,
            },
            Arc::new(Ear(sender)),
        );
        let mut table = Self {
            impairment,
            modem,
            heard,
            platform,
        };
        table.say("ATE0\r");
        table.until("OK\r\n");
        table
    }

    fn say(&mut self, text: &str) {
        for byte in text.bytes() {
            self.modem.from_device(byte);
        }
    }

    /// What the device hears until `end` was in it; a URC that was due may stand behind.
    fn until(&self, end: &str) -> String {
        let mut text = String::new();
        while !text.contains(end) {
            let bytes = self
                .heard
                .recv_timeout(PATIENCE)
                .unwrap_or_else(|_| panic!("never heard {end:?}, only {text:?}"));
            text.push_str(&String::from_utf8_lossy(&bytes));
        }
        text
    }

    fn open(&mut self) {
        let port = self.platform.local_addr().unwrap().port();
        self.say(&format!("AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",{port},0,0\r"));
        self.until("+QIOPEN: 0,0\r\n");
    }

    /// The next datagram at the platform, and where an answer goes.
    fn arrives(&self) -> (Vec<u8>, std::net::SocketAddr) {
        let mut buffer = [0; 2048];
        let (length, from) = self.platform.recv_from(&mut buffer).unwrap();
        (buffer[..length].to_vec(), from)
    }

    fn send(&mut self, payload: &str) {
        self.say(&format!("AT+QISEND=0,{}\r", payload.len()));
        self.until("> ");
        self.say(payload);
        self.until("SEND OK\r\n");
    }
}

#[test]
fn datagrams_go_to_the_platform_and_come_back() {
    let mut table = Table::new(ModemPower::Stays);
    table.open();
    table.send("hello");
    let (datagram, from) = table.arrives();
    assert_eq!(datagram, b"hello");
    table.platform.send_to(b"welcome", from).unwrap();
    table.until("+QIURC: \"recv\",0\r\n");
    table.say("AT+QIRD=0,1500\r");
    assert_eq!(
        table.until("OK\r\n"),
        "\r\n+QIRD: 7\r\nwelcome\r\n\r\nOK\r\n"
    );
}

#[test]
fn a_modem_that_stays_powered_sends_a_half_payload_completed_by_the_next_boot() {
    let mut table = Table::new(ModemPower::Stays);
    table.open();
    table.say("AT+QISEND=0,8\r");
    table.until("> ");
    table.say("half");
    table.modem.board_power_lost();
    table.modem.board_power_restored();
    table.say("AT\r");
    assert_eq!(table.heard.try_recv().ok(), None);
    table.say("AT\r");
    assert_eq!(table.arrives().0, b"halfAT\rA");
    // What is left of the second line is `T`, and that is no command.
    assert_eq!(table.until("ERROR\r\n"), "\r\nSEND OK\r\n\r\nERROR\r\n");
}

#[test]
fn a_modem_that_stays_powered_keeps_what_came_while_the_board_was_off() {
    let mut table = Table::new(ModemPower::Stays);
    table.open();
    table.send("x");
    let (_, from) = table.arrives();
    table.modem.board_power_lost();
    table.platform.send_to(b"while off", from).unwrap();
    // The reader works on its own; a second datagram whose arrival shows proves that the first was queued.
    table.modem.board_power_restored();
    table.platform.send_to(b"after", from).unwrap();
    let mut got = String::new();
    while !got.contains("after") {
        table.say("AT+QIRD=0,1500\r");
        got.push_str(&table.until("OK\r\n"));
    }
    let first = got.find("while off").expect("kept");
    assert!(first < got.find("after").unwrap());
    assert!(!got.contains("RDY"));
}

#[test]
fn a_modem_that_goes_down_with_the_board_starts_anew() {
    let mut table = Table::new(ModemPower::WithBoard);
    table.open();
    table.say("AT+QISEND=0,8\rhalf");
    table.until("> ");
    table.modem.board_power_lost();
    table.modem.board_power_restored();
    table.say("AT\r");
    assert_eq!(table.until("OK\r\n"), "\r\nRDY\r\nAT\r\r\nOK\r\n");
    table.say("ATE0\r");
    table.until("OK\r\n");
    table.say("AT+QISEND=0,1\r");
    assert_eq!(table.until("\r\n"), "\r\nERROR\r\n");
    table.open();
}

#[test]
fn nothing_reaches_a_board_that_is_off() {
    let mut table = Table::new(ModemPower::Stays);
    table.modem.board_power_lost();
    table.say("AT\r");
    assert_eq!(table.heard.try_recv().ok(), None);
}

#[test]
fn datagrams_for_a_socket_opened_before_do_not_reach_its_successor() {
    let mut table = Table::new(ModemPower::Stays);
    table.open();
    table.send("x");
    let (_, old) = table.arrives();
    table.say("AT+QICLOSE=0\r");
    table.until("OK\r\n");
    table.open();
    table.send("y");
    let (_, new) = table.arrives();
    table.platform.send_to(b"stale", old).unwrap();
    table.platform.send_to(b"fresh", new).unwrap();
    table.until("+QIURC: \"recv\",0\r\n");
    table.say("AT+QIRD=0,1500\r");
    assert!(table.until("OK\r\n").contains("fresh"));
}

#[test]
fn nobody_at_the_other_end_is_silence() {
    let mut table = Table::new(ModemPower::Stays);
    table.open();
    table.platform = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        table.send("is anybody there?");
    }
    table.say("AT+QIRD=0,1500\r");
    assert_eq!(table.until("OK\r\n"), "\r\n+QIRD: 0\r\n\r\nOK\r\n");
}

#[test]
fn the_link_s_losses_and_doubles_are_the_modem_s() {
    let way = |drop_percent, duplicate_percent| WayProfile {
        drop_percent,
        duplicate_percent,
        rate_bps: None,
    };
    let profile = LinkProfile {
        to_platform: way(0.0, 100.0),
        to_device: way(100.0, 0.0),
        ..LinkProfile::ideal()
    };
    let mut table = Table::with_link(ModemPower::Stays, &profile);
    table.open();
    table.send("twice");
    let (first, from) = table.arrives();
    assert_eq!(
        (first, table.arrives().0),
        (b"twice".to_vec(), b"twice".to_vec())
    );
    table.platform.send_to(b"never", from).unwrap();
    while table.impairment.counters().to_device.dropped == 0 {
        std::thread::yield_now();
    }
    table.say("AT+QIRD=0,1500\r");
    assert_eq!(table.until("OK\r\n"), "\r\n+QIRD: 0\r\n\r\nOK\r\n");
    assert_eq!(table.impairment.counters().to_platform.duplicated, 1);
}

#[test]
fn a_modem_that_is_shut_down_leaves_no_reader_behind() {
    let mut table = Table::new(ModemPower::Stays);
    table.open();
    let address = table.platform.local_addr().unwrap();
    table.say(&format!(
        "AT+QIOPEN=1,11,\"UDP\",\"127.0.0.1\",{},0,0\r",
        address.port()
    ));
    table.until("+QIOPEN: 11,0\r\n");
    table.modem.shut_down();
    // Readers hold a share of the board's side; `shut_down` has joined them.
    assert_eq!(Arc::strong_count(&table.modem.board_side), 1);
    assert!(table.modem.take_failure().is_none());
}

#[test]
fn a_link_that_takes_time_delays_datagrams_both_ways_and_the_bytes_of_the_line() {
    let profile = LinkProfile {
        round_trip: Some(powercut_link::RoundTrip {
            median: Duration::from_secs(10),
            sigma: 0.0,
        }),
        first_contact: Duration::from_secs(20),
        modem: powercut_link::ModemProfile {
            baud: Some(300),
            ..powercut_link::ModemProfile::default()
        },
        ..LinkProfile::ideal()
    };
    let clock = LinkClock::start(TimeScale::new(100.0).unwrap());
    let mut table = Table::with_link(ModemPower::Stays, &profile);
    table.open();
    let line = clock.now();
    // Up to here ATE0 with its echo, the command to open and two answers have passed: 13 bytes and more at 30 a second.
    assert!(line > Duration::from_secs(2), "{line:?}");
    table.send("hello");
    let sent = clock.now();
    let (_, from) = table.arrives();
    let there = clock.now();
    table.platform.send_to(b"welcome", from).unwrap();
    table.until("+QIURC: \"recv\",0\r\n");
    let back = clock.now();
    // The line may say that all is sent when the datagram is on the air already, so there is a little less left than the
    // contact and half a round trip; never less on the way back.
    assert!(there > sent + Duration::from_secs(20), "{sent:?} {there:?}");
    assert!(back > there + Duration::from_secs(5), "{there:?} {back:?}");
}

#[test]
fn what_is_on_the_line_when_power_goes_never_arrives() {
    let profile = LinkProfile {
        modem: powercut_link::ModemProfile {
            baud: Some(300),
            ..powercut_link::ModemProfile::default()
        },
        ..LinkProfile::ideal()
    };
    let mut table = Table::with_link(ModemPower::Stays, &profile);
    table.say("ATI\r");
    table.modem.board_power_lost();
    table.modem.board_power_restored();
    table.say("AT\r");
    assert_eq!(table.until("OK\r\n"), "\r\nOK\r\n");
}

#[test]
fn slow_answers_come_when_they_are_due_and_a_datagram_is_read_when_its_answer_is_out() {
    let times = AnswerTimes::default()
        .with(Asked::Open, Duration::from_secs(20))
        .with(Asked::Read, Duration::from_secs(10));
    let habits = ModemHabits {
        answers: times,
        ..ModemHabits::default()
    };
    let clock = LinkClock::start(TimeScale::new(100.0).unwrap());
    let mut table = Table::with_habits(ModemPower::Stays, &LinkProfile::ideal(), habits);
    let asked = clock.now();
    table.open();
    let open = clock.now();
    assert!(open >= asked + times.of(Asked::Open), "{asked:?} {open:?}");
    table.send("hello");
    let (_, from) = table.arrives();
    table.platform.send_to(b"welcome", from).unwrap();
    table.until("+QIURC: \"recv\",0\r\n");
    let asked = clock.now();
    let early: Vec<ModemEvent> = b"AT+QIRD=0,1500\rAT\r"
        .iter()
        .filter_map(|byte| table.modem.from_device(*byte))
        .collect();
    assert_eq!(early, []);
    let heard = table.until("OK\r\n");
    assert!(clock.now() >= asked + times.of(Asked::Read));
    assert_eq!(heard, "\r\n+QIRD: 7\r\nwelcome\r\n\r\nOK\r\n");
    let read = ModemEvent::DatagramRead(b"welcome".to_vec());
    assert_eq!(table.modem.from_device(b'A'), Some(read));
}

#[test]
fn a_slow_answer_to_a_board_that_lost_power_is_no_datagram_read() {
    let habits = ModemHabits {
        answers: AnswerTimes::default().with(Asked::Read, Duration::from_secs(10)),
        ..ModemHabits::default()
    };
    let mut table = Table::with_habits(ModemPower::Stays, &LinkProfile::ideal(), habits);
    table.open();
    table.send("hello");
    let (_, from) = table.arrives();
    table.platform.send_to(b"welcome", from).unwrap();
    table.until("+QIURC: \"recv\",0\r\n");
    table.say("AT+QIRD=0,1500\r");
    table.modem.board_power_lost();
    table.modem.board_power_restored();
    // The next boot hears the answer it never asked for.
    table.until("OK\r\n");
    assert_eq!(table.modem.from_device(b'A'), None);
}
