//! The promise of the crate: once the modem behaves, datagrams flow, whatever went before.

extern crate std;
use core::net::{Ipv4Addr, SocketAddrV4};
use std::{vec, vec::Vec};

use proptest::prelude::*;

use crate::simulated_modem::SimulatedModem;
use crate::{AtClient, Event};

const RX: usize = 64;
/// Bring-up, one command timeout, and margin.
const RECOVERY_MS: u64 = 20_000;

pub(crate) struct Bench {
    pub(crate) client: AtClient<RX>,
    pub(crate) modem: SimulatedModem,
    pub(crate) now: u64,
    pub(crate) received: Vec<Vec<u8>>,
    pub(crate) ups: usize,
    /// Host-to-modem transmissions, to notice polling in a loop.
    transmissions: usize,
}

impl Bench {
    pub(crate) fn new(modem: SimulatedModem) -> Self {
        Self {
            client: AtClient::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000)),
            modem,
            now: 0,
            received: Vec::new(),
            ups: 0,
            transmissions: 0,
        }
    }

    /// Runs until `done`, or says that it never came.
    pub(crate) fn run(&mut self, limit_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        let limit = self.now + limit_ms;
        loop {
            let mut wake = self.now;
            self.modem.tick(self.now);
            match self.client.poll(self.now) {
                Event::Transmit(bytes) => {
                    self.transmissions += 1;
                    for &byte in bytes {
                        self.modem.hear(byte, self.now);
                    }
                }
                Event::Received(datagram) => self.received.push(datagram.to_vec()),
                Event::Up => self.ups += 1,
                Event::Idle { until_ms } => wake = until_ms,
            }
            if done(self) {
                return true;
            }
            if wake > self.now && self.modem.output.is_empty() {
                self.now = self
                    .modem
                    .next_at()
                    .map_or(wake, |at| at.min(wake))
                    .max(self.now);
            }
            if self.now >= limit {
                return false;
            }
            if let Some(byte) = self.modem.output.pop_front() {
                self.client.feed(byte, self.now);
            }
        }
    }

    pub(crate) fn comes_up(&mut self) -> bool {
        self.run(RECOVERY_MS, |bench| bench.client.is_up())
    }

    /// One datagram each way, the way up repeated as the protocol above would.
    pub(crate) fn exchanges_datagrams(&mut self) -> bool {
        let up = b"\r\nOK\r\n> up";
        let down = b"+QIRD: 3\r\n\r\nOK\r\nRDY\r\n";
        for _ in 0..3 {
            if !self.comes_up() {
                return false;
            }
            let _ = self.client.send(up);
            if self.run(2_000, |bench| {
                bench.modem.sent.last().is_some_and(|sent| sent == up)
            }) {
                break;
            }
        }
        self.modem.deliver(down);
        self.run(RECOVERY_MS, |bench| {
            bench
                .received
                .last()
                .is_some_and(|received| received == down)
        })
    }
}

#[test]
fn datagrams_flow_in_both_directions() {
    assert!(Bench::new(SimulatedModem::new(3, true)).exchanges_datagrams());
}

#[test]
fn datagrams_flow_when_no_unsolicited_result_code_ever_gets_through() {
    assert!(Bench::new(SimulatedModem::new(0, false)).exchanges_datagrams());
}

#[test]
fn a_datagram_left_half_sent_by_an_earlier_life_is_filled_up_at_the_first_attempt() {
    for missing in [1, 17, crate::MAX_SEND_BYTES] {
        let mut bench = Bench::new(SimulatedModem::new(0, true).left_in_payload(missing));
        assert!(bench.run(200, |bench| bench.client.is_up()), "{missing}");
        assert!(bench.exchanges_datagrams());
    }
}

#[test]
fn even_the_longest_datagram_of_another_program_is_filled_up_in_the_end() {
    let mut bench = Bench::new(SimulatedModem::new(0, true).left_in_payload(1460));
    assert!(bench.exchanges_datagrams());
}

#[test]
fn a_socket_that_vanished_is_opened_again_without_being_told() {
    let mut bench = Bench::new(SimulatedModem::new(0, false));
    assert!(bench.exchanges_datagrams());
    bench.modem.lose_socket();
    assert!(bench.run(RECOVERY_MS, |bench| !bench.client.is_up()));
    assert!(bench.exchanges_datagrams());
}

#[test]
fn a_datagram_too_long_to_keep_is_dropped_and_the_next_one_received() {
    let mut bench = Bench::new(SimulatedModem::new(0, true));
    assert!(bench.comes_up());
    bench.modem.deliver(&[b'\n'; RX + 1]);
    assert!(bench.exchanges_datagrams());
    assert_eq!(bench.received.len(), 1);
    assert_eq!(bench.ups, 1);
}

#[test]
fn an_idle_client_sleeps() {
    let mut bench = Bench::new(SimulatedModem::new(0, true));
    assert!(bench.comes_up());
    bench.transmissions = 0;
    bench.run(60_000, |_| false);
    assert!(bench.transmissions < 45, "{}", bench.transmissions);
}

/// Noise with the words that mean something mixed in.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::sample::select(vec![
            b"\r\nOK\r\n".to_vec(),
            b"\r\nERROR\r\n".to_vec(),
            b"\r\n> ".to_vec(),
            b"\r\n+QIRD: 1500\r\n".to_vec(),
            b"\r\n+QIRD: 3\r\n".to_vec(),
            b"\r\n+CEREG: 0,1\r\n".to_vec(),
            b"\r\n+QIOPEN: 0,0\r\n".to_vec(),
            b"\r\nSEND OK\r\n".to_vec(),
            b"\r\nRDY\r\n".to_vec(),
            b"\r\n+QIURC: \"recv\",0\r\n".to_vec(),
        ]),
    ];
    prop::collection::vec(word, 0..20).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn recovers_from_any_noise_before_and_after_coming_up(
        before in noise(),
        after in noise(),
        pace in 0_u64..400,
        missing in 0_usize..300,
    ) {
        let modem = SimulatedModem::new(1, true);
        let mut bench = Bench::new(if missing == 0 {
            modem
        } else {
            modem.left_in_payload(missing)
        });
        for noise in [before, after] {
            for byte in noise {
                bench.client.feed(byte, bench.now);
                bench.run(pace, |_| true);
                bench.now += pace;
            }
            prop_assert!(bench.exchanges_datagrams());
        }
    }
}
