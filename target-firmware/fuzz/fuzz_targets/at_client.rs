//! The AT client against a modem that says anything: it never panics, never has the caller spin, and never hands over more
//! than its buffer holds. Byte 0xFF of the input lets time pass, 0xFE has the device send, from
//! 0xFD on it reads ahead, everything else is the modem's.
#![no_main]
use core::net::{Ipv4Addr, SocketAddrV4};

use libfuzzer_sys::fuzz_target;
use powercut_at_client::{AtClient, Event, MAX_SEND_BYTES};

const RX: usize = 64;
/// Answers and deadlines a single byte can lead to.
const STEPS_A_BYTE: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    hears::<false>(bytes);
    hears::<true>(bytes);
});

/// With payloads as they are, or as hexadecimal text.
fn hears<const HEX: bool>(bytes: &[u8]) {
    let mut client = AtClient::<RX, HEX>::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000));
    let mut now = 0;
    let mut reads_ahead = false;
    for byte in bytes {
        match byte {
            0xFD => reads_ahead = true,
            0xFF => now += 1_700,
            0xFE => {
                let _ = client.send(&[0x02; MAX_SEND_BYTES]);
            }
            _ => client.feed(*byte, now),
        }
        let mut steps = 0;
        loop {
            match client.poll(now) {
                Event::Idle { until_ms } => {
                    assert!(until_ms >= now, "a deadline in the past");
                    break;
                }
                Event::Transmit(bytes) => assert!(!bytes.is_empty()),
                Event::Received(datagram) => {
                    assert!(datagram.len() <= RX);
                    if reads_ahead && let Some(command) = client.read_ahead(now) {
                        assert!(command.ends_with(b"\r"));
                    }
                }
                Event::Up => {}
            }
            steps += 1;
            assert!(steps < STEPS_A_BYTE, "the caller would spin");
        }
    }
}
