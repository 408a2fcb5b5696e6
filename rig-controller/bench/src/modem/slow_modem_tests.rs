//! The firmware's AT client and the rig's modem in virtual time: whatever its habits, the modem is brought up once, and
//! datagrams go both ways.
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use powercut_at_client::{AtClient, Event};

use super::habits::Asked;
use super::{AnswerTimes, ModemHabits, ModemPower, RegistrationForm, TimedModem};
use powercut_link::LinkProfile;

const TIMES_MS: [u64; 4] = [400, 5_000, 20_000, 149_000];
const HOUR: Duration = Duration::from_hours(1);

/// Device and modem; the platform sends everything back.
struct Bench {
    client: AtClient<64>,
    modem: TimedModem,
    now: Duration,
    came_up: Vec<Duration>,
    received: Vec<Vec<u8>>,
    /// All that was said, by the device and by the modem.
    said: String,
    heard: String,
}

impl Bench {
    fn new(habits: ModemHabits) -> Self {
        Self {
            client: AtClient::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000)),
            modem: TimedModem::with_habits(&LinkProfile::ideal(), 1, ModemPower::Stays, habits),
            now: Duration::ZERO,
            came_up: Vec::new(),
            received: Vec::new(),
            said: String::new(),
            heard: String::new(),
        }
    }

    /// Until `done`, or for an hour.
    fn run(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + HOUR;
        while self.now < end {
            while self.modem.next_at().is_some_and(|at| at <= self.now) {
                if let Some(there) = self.modem.happen(self.now) {
                    self.modem.answer(there.way_back, &there.datagram, there.at);
                }
            }
            let now_ms = self.now.as_millis() as u64;
            while let Some(byte) = self.modem.take_byte(self.now) {
                self.heard.push(char::from(byte));
                self.client.feed(byte, now_ms);
            }
            let until = match self.client.poll(now_ms) {
                Event::Transmit(bytes) => {
                    for byte in bytes {
                        self.said.push(char::from(*byte));
                        self.modem.device_byte(*byte, self.now);
                    }
                    continue;
                }
                Event::Received(datagram) => {
                    self.received.push(datagram.to_vec());
                    continue;
                }
                Event::Up => {
                    self.came_up.push(self.now);
                    continue;
                }
                Event::Idle { until_ms } => Duration::from_millis(until_ms),
            };
            if done(self) {
                return true;
            }
            if self.modem.byte_at().is_none_or(|at| at > self.now) {
                let next = self.modem.next_at().map_or(until, |at| at.min(until));
                self.now = next.max(self.now);
            }
        }
        false
    }

    /// A datagram there and back.
    fn exchanges(&mut self, datagram: &[u8]) -> bool {
        let before = self.received.len();
        if !self.run(|bench| bench.client.can_send()) {
            return false;
        }
        self.client.send(datagram).unwrap();
        self.run(|bench| bench.received.len() > before) && self.received[before] == datagram
    }

    fn times_said(&self, command: &str) -> usize {
        self.said.matches(command).count()
    }
}

fn slow(asked: Asked, ms: u64) -> ModemHabits {
    ModemHabits {
        answers: AnswerTimes::default().with(asked, Duration::from_millis(ms)),
        needs_activation: matches!(asked, Asked::Activate),
        ..ModemHabits::default()
    }
}

#[test]
fn each_answer_may_take_its_time() {
    for ms in TIMES_MS {
        for asked in [
            Asked::Attention,
            Asked::Registration,
            Asked::Activate,
            Asked::Open,
            Asked::Close,
            Asked::Prompt,
            Asked::Send,
            Asked::Read,
        ] {
            let mut bench = Bench::new(slow(asked, ms));
            assert!(bench.exchanges(b"hello"), "{asked:?} {ms}");
            assert_eq!(bench.came_up.len(), 1, "{asked:?} {ms}");
            // Where a context is missing, the first attempt finds that out.
            let opened = 1 + usize::from(asked == Asked::Activate);
            assert_eq!(bench.times_said("+QIOPEN"), opened, "{asked:?} {ms}");
            // And the modem was slow.
            let expected = Duration::from_millis(ms);
            assert!(bench.now >= expected, "{asked:?} {ms}: {:?}", bench.now);
        }
    }
}

#[test]
fn the_modem_hears_nothing_while_it_closes_and_listens_while_it_opens() {
    let mut modem = TimedModem::with_habits(
        &LinkProfile::ideal(),
        1,
        ModemPower::Stays,
        ModemHabits {
            answers: AnswerTimes::default()
                .with(Asked::Close, Duration::from_secs(8))
                .with(Asked::Open, Duration::from_secs(20)),
            ..ModemHabits::default()
        },
    );
    let mut say = |text: &str, seconds: u64| {
        let now = Duration::from_secs(seconds);
        while modem.next_at().is_some_and(|at| at <= now) {
            modem.happen(now);
        }
        for byte in text.bytes() {
            modem.device_byte(byte, now);
        }
        std::iter::from_fn(|| modem.take_byte(now))
            .map(char::from)
            .collect::<String>()
    };
    say("ATE0\r", 0);
    assert_eq!(say("AT+QICLOSE=0\r", 1), "");
    assert_eq!(say("AT\r", 8), "");
    assert_eq!(say("", 9), "\r\nOK\r\n");
    let open = "AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",4000,0,0\r";
    assert_eq!(say(open, 10), "\r\nOK\r\n");
    assert_eq!(say("AT+QIRD=0,1500\r", 20), "\r\nERROR\r\n");
    assert_eq!(say("", 30), "\r\n+QIOPEN: 0,0\r\n");
    // One that is closed while it opens never does.
    say("AT+QICLOSE=0\r", 31);
    say(open, 40);
    say("AT+QICLOSE=0\r", 50);
    assert_eq!(say(open, 59), "\r\nOK\r\n\r\nOK\r\n");
    assert_eq!(say("", 78), "");
    assert_eq!(say("", 79), "\r\n+QIOPEN: 0,0\r\n");
}

#[test]
fn every_form_of_registration_brings_the_modem_up() {
    for (name, registration) in RegistrationForm::NAMES {
        let mut bench = Bench::new(ModemHabits {
            registration,
            ..ModemHabits::default()
        });
        assert!(bench.exchanges(b"hello"), "{name}");
        let line = match registration {
            RegistrationForm::Short => "+CEREG: 0,1\r\n",
            RegistrationForm::Compact => "+CEREG:0,1\r\n",
            RegistrationForm::Long => "\"00010010\"\r\n",
            RegistrationForm::SmsOnlyFirst => "+CEREG: 0,6\r\n",
        };
        assert!(bench.heard.contains(line), "{name}: {}", bench.heard);
    }
}

#[test]
fn a_hint_with_a_length_is_followed_at_once() {
    for announces_length in [false, true] {
        let mut bench = Bench::new(ModemHabits {
            announces_length,
            ..ModemHabits::default()
        });
        assert!(bench.exchanges(b"hello"));
        assert_eq!(bench.now, bench.came_up[0]);
        let form = if announces_length {
            "\"recv\",0,5\r\n"
        } else {
            "\"recv\",0\r\n"
        };
        assert!(bench.heard.contains(form), "{}", bench.heard);
    }
}

#[test]
fn a_context_that_is_lost_again_and_again_is_activated_again_and_again() {
    let mut bench = Bench::new(ModemHabits {
        needs_activation: true,
        context_lost_after: Some(3),
        ..slow(Asked::Deactivate, 700)
    });
    let mut there = 0;
    for n in 0..12_u8 {
        // The third is on its way when the socket goes, and its answer finds nobody.
        if n % 3 == 2 {
            assert!(bench.run(|bench| bench.client.can_send()));
            bench.client.send(&[n]).unwrap();
            let ups = bench.came_up.len();
            assert!(bench.run(|bench| bench.came_up.len() > ups));
        } else {
            assert!(bench.exchanges(&[n]), "{n}");
            there += 1;
        }
    }
    assert_eq!((there, bench.came_up.len()), (8, 5));
    assert_eq!(bench.heard.matches("\"pdpdeact\",1").count(), 4);
    assert_eq!(bench.times_said("AT+QIDEACT=1"), 4);
    assert_eq!(bench.times_said("AT+QIACT=1"), 5);
    let spent = bench.now.as_secs();
    assert!(spent < 15, "each time costs moments: {spent} s");
}

#[test]
fn a_board_that_restarts_hears_what_its_earlier_life_asked_and_comes_up_all_the_same() {
    for (asked, cut_ms) in [
        (Asked::Close, 4_000),
        (Asked::Open, 4_000),
        (Asked::Activate, 4_000),
        (Asked::Read, 4_000),
    ] {
        let mut bench = Bench::new(slow(asked, 8_000));
        assert!(bench.run(|bench| bench.now.as_millis() >= cut_ms));
        bench.modem.board_power_lost();
        bench.modem.board_power_restored();
        bench.client = AtClient::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000));
        assert!(bench.exchanges(b"hello"), "{asked:?}: {}", bench.said);
        assert!(
            bench.now < Duration::from_mins(1),
            "{asked:?} {:?}",
            bench.now
        );
    }
}
