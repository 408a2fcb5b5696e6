//! Rounds over a modem that says what each test has it say.
use std::net::Ipv4Addr;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{collections::VecDeque, vec};

use ed25519_dalek::{Signer, SigningKey};
use embedded_storage::nor_flash::NorFlash;
use nor_flash_model::NorFlashModel;
use powercut_upgrade::agent::Agent;
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::manifest::{
    KeyId, Manifest, SecurityCounter, SignedManifest, Suite, TrustedKeys, Version,
};
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::wire::lean::{Challenge, Downlink, LeanKey, WIRE_VERSION};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES};

use super::*;

type Flash = TwiceProgrammable<NorFlashModel<4, 1024, 2>>;

const LAYOUT: Layout = Layout::MICROBIT;
const PLATFORM: core::net::SocketAddrV4 = core::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 47110);

const NOTHING_TO_READ: &str = "\r\n+QIRD: 0\r\n\r\nOK\r\n";
const DEVICE_KEY: DeviceKey = DeviceKey([0x42; 32]);

fn signer() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The offer of such an image.
fn signed(minor: u8) -> SignedManifest {
    let manifest = Manifest {
        suite: Suite::ChaCha20Poly1305,
        key_id: KeyId(1),
        trial_attempts: 3,
        version: Version {
            major: 1,
            minor,
            patch: 0,
        },
        size_bytes: 1000,
        fragment_bytes: 160,
        hardware: 0x51,
        security_counter: SecurityCounter(1),
        image_digest: [minor; 32],
    };
    let signature = signer().sign(&manifest.encode()).to_bytes();
    SignedManifest::new(manifest, signature)
}

/// The platform's offer of a newer image.
fn offer() -> Vec<u8> {
    let mut bytes = vec![0; MAX_DOWNLINK_BYTES];
    let offer = Downlink::Offer {
        wire_version: WIRE_VERSION,
        window: 1,
        challenge: Challenge(1),
        manifest: &signed(1).encode(),
    };
    let length = offer.encode(&LeanKey::of(&DEVICE_KEY), &mut bytes).unwrap();
    bytes.truncate(length);
    bytes
}

/// A device that runs an image for good, as far as its agent looks.
fn provisioned() -> Flash {
    let running = signed(0);
    let factory = Factory {
        hardware: 0x51,
        dialect: Dialect::Lean,
        device_id: DeviceId(*b"device01"),
        device_key: DEVICE_KEY,
        trusted_keys: TrustedKeys([Some((KeyId(1), signer().verifying_key().to_bytes())), None]),
        minimum_security_counter: SecurityCounter(1),
    };
    let mut flash = TwiceProgrammable(NorFlashModel::new(256));
    let manifest_at = LAYOUT.manifest(Slot::Active, Placement::Plain);
    flash
        .write(LAYOUT.factory.start, &factory.encode())
        .unwrap();
    flash.write(manifest_at, &running.encode()).unwrap();
    Journal::provision(&mut flash, &LAYOUT, running.image_id(), SecurityCounter(1)).unwrap();
    flash
}

/// The device and the bytes that wait in its UART.
struct Bench {
    flash: Flash,
    app: OverModem<0, [u8; 0]>,
    uart: VecDeque<u8>,
    now_ms: u64,
}

/// The outcome of a round.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    Transmitted(String),
    Received(Vec<u8>),
    Up,
    Waits { until_ms: u64 },
}

impl Bench {
    fn new() -> Self {
        let mut flash = provisioned();
        let agent = Agent::start(&mut flash, &LAYOUT, []).unwrap();
        let session = Session::new(agent, 0, Probation::UNLIMITED);
        Self {
            flash,
            app: OverModem::new(session, PLATFORM),
            uart: VecDeque::new(),
            now_ms: 0,
        }
    }

    fn says(&mut self, text: &str) {
        self.uart.extend(text.as_bytes());
    }

    /// One line of the owner's loop, with `overheard` said by the modem while it is sent to.
    fn line(&mut self, overheard: &str) -> Round {
        match self.app.line(self.now_ms, || self.uart.pop_front()) {
            Line::Transmit(out) => {
                for byte in overheard.bytes() {
                    assert!(out.overheard.push(byte), "there is room");
                }
                let text = String::from_utf8_lossy(out.bytes);
                Round::Transmitted(text.trim_matches('\r').to_string())
            }
            Line::Received(datagram) => {
                let bytes = datagram.bytes().to_vec();
                datagram.take(&mut self.flash, self.now_ms).unwrap();
                Round::Received(bytes)
            }
            Line::Up => Round::Up,
            Line::Idle { until_ms } => Round::Waits { until_ms },
        }
    }

    fn poll(&mut self, line_until_ms: u64) -> Next {
        self.app
            .poll(&mut self.flash, self.now_ms, line_until_ms)
            .unwrap()
    }

    /// Brings the line up: the modem agrees to everything.
    fn up() -> Self {
        let mut bench = Self::new();
        for _ in 0..50 {
            match bench.line("") {
                Round::Transmitted(command) => bench.says(match &*command {
                    "AT+CEREG?" => "+CEREG: 0,1\r\nOK\r\n",
                    command if command.starts_with("AT+QIRD") => NOTHING_TO_READ,
                    command if command.starts_with("AT+QIOPEN") => "OK\r\n+QIOPEN: 0,0\r\n",
                    _ => "OK\r\n",
                }),
                Round::Waits { until_ms } => bench.now_ms = until_ms,
                Round::Up => return bench,
                Round::Received(bytes) => panic!("nobody sent {bytes:?}"),
            }
        }
        panic!("the line does not come up");
    }

    /// Up, and the first message has been sent; this is said by the modem while it goes out, and after that.
    fn sent(overheard: &str, later: &str) -> Self {
        let mut bench = Self::up();
        assert_eq!(bench.poll(u64::MAX), Next::Continue);
        let length = announced(&bench.line(""));
        bench.says("\r\n> ");
        let Line::Transmit(out) = bench.app.line(bench.now_ms, || bench.uart.pop_front()) else {
            panic!("the modem asks for the datagram");
        };
        assert_eq!(out.bytes.len(), length);
        for byte in overheard.bytes() {
            assert!(out.overheard.push(byte), "there is room");
        }
        bench.says(later);
        bench.answers();
        bench
    }

    /// Answers the question whether there is anything to read, if that is due, until there is time.
    fn answers(&mut self) {
        while let Round::Transmitted(command) = self.line("") {
            assert!(command.starts_with("AT+QIRD=0,"), "{command}");
            self.says(NOTHING_TO_READ);
        }
    }

    /// Receives this datagram.
    fn hears(&mut self, datagram: &[u8]) {
        self.says("\r\n+QIURC: \"recv\",0\r\n");
        assert!(
            matches!(self.line(""), Round::Transmitted(command) if command.starts_with("AT+QIRD=0,"))
        );
        self.says(&std::format!("\r\n+QIRD: {}\r\n", datagram.len()));
        self.uart.extend(datagram);
        self.says("\r\n\r\nOK\r\n");
        assert_eq!(self.line(""), Round::Received(datagram.to_vec()));
    }
}

/// Bytes of the datagram that a command announces.
fn announced(round: &Round) -> usize {
    let Round::Transmitted(command) = round else {
        panic!("a datagram is due: {round:?}");
    };
    let length = command.strip_prefix("AT+QISEND=0,");
    length.expect("it is sent at once").parse().unwrap()
}

#[test]
fn the_agent_is_asked_once_a_datagram_can_be_sent_and_not_before() {
    let mut bench = Bench::new();
    assert_eq!(bench.poll(77), Next::Wait { until_ms: 77 });
    let mut bench = Bench::up();
    assert_eq!(bench.poll(u64::MAX), Next::Continue, "it announces itself");
    assert!(announced(&bench.line("")) > 0);
    // Now the modem is at work, and the agent has to wait for its turn.
    assert_eq!(bench.poll(u64::MAX), Next::Wait { until_ms: u64::MAX });
}

#[test]
fn what_was_overheard_is_heard_before_what_came_later() {
    let mut bench = Bench::sent("\r\nSEND", " OK\r\n");
    assert_eq!(bench.uart.len(), 0);
    // It was understood: the agent is asked, and waits for its answer.
    let Next::Wait { until_ms } = bench.poll(u64::MAX) else {
        panic!("it was told and asked everything");
    };
    assert!(until_ms < u64::MAX);
}

#[test]
fn what_a_datagram_makes_the_agent_ask_goes_before_reading_on() {
    let mut bench = Bench::sent("", "\r\nSEND OK\r\n");
    bench.hears(&offer());
    // There is more to read.
    bench.says("\r\n+QIURC: \"recv\",0\r\n");
    assert_eq!(bench.poll(bench.now_ms), Next::Continue, "a request");
    assert!(announced(&bench.line("")) > 0);
}

#[test]
fn who_reads_ahead_has_the_next_datagram_read_while_the_last_one_is_worked_on() {
    let mut bench = Bench::sent("", "\r\nSEND OK\r\n");
    bench.hears(b"nobody understands this");
    let out = bench
        .app
        .read_ahead(bench.now_ms)
        .expect("nothing else is due");
    assert!(out.bytes.starts_with(b"AT+QIRD=0,"));
}

#[test]
fn a_full_store_says_that_a_byte_is_lost_and_keeps_those_before_it_in_order() {
    let mut overheard = Overheard::new();
    let kept: Vec<u8> = (0..u8::MAX)
        .take_while(|byte| overheard.push(*byte))
        .collect();
    assert_eq!(kept.len(), 64);
    let popped: Vec<u8> = std::iter::from_fn(|| overheard.pop()).collect();
    assert_eq!(popped, kept);
}
