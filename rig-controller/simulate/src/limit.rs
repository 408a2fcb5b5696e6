//! The least time a download could take: what has to pass, over the slower of serial line and air.
//!
//! What has to pass: the UDP payload that went either way, and for each datagram the AT text that any driver of the modem has
//! to exchange for it (`AT+QISEND`, prompt, `SEND OK`; `AT+QIRD`, its header and `OK`). Asking in vain, waiting and flash
//! are no part of it, nor is the radio's first contact. On the serial line both directions count together, for AT is a
//! dialogue: one side speaks at a time. On the air each way counts for itself.
use std::time::Duration;

use powercut_bench::modem::Traffic;
use powercut_link::{LinkProfile, PayloadFormat, byte_time};

/// The two stages and the slower of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What the serial line takes.
    pub line: Duration,
    /// What the slower way of the air takes.
    pub air: Duration,
}

impl Limit {
    /// For this traffic from the device (`up`) and to it.
    pub(crate) fn of(link: &LinkProfile, up: Traffic, down: Traffic) -> Self {
        let text = match link.modem.payload {
            PayloadFormat::Binary => 1,
            PayloadFormat::Hex => 2,
        };
        let payload = (up.bytes + down.bytes) * text;
        let framing = up.datagrams * sending_bytes() + down.datagrams * reading_bytes();
        let line = byte_time(link.modem.baud).mul_f64((payload + framing) as f64);
        let way = |traffic: Traffic, rate: Option<f64>| {
            rate.map_or(Duration::ZERO, |rate| {
                Duration::from_secs_f64(traffic.bytes as f64 * 8.0 / rate)
            })
        };
        let air = way(up, link.to_platform.rate_bps).max(way(down, link.to_device.rate_bps));
        Self { line, air }
    }

    /// The least time.
    pub fn time(self) -> Duration {
        self.line.max(self.air)
    }
}

/// AT text for a datagram of two digits' length from the device.
const fn sending_bytes() -> u64 {
    ("AT+QISEND=0,19\r".len() + "\r\n> ".len() + "\r\nSEND OK\r\n".len()) as u64
}

/// AT text for a datagram of three digits' length to the device.
const fn reading_bytes() -> u64 {
    ("AT+QIRD=0,1500\r".len() + "\r\n+QIRD: 183\r\n".len() + "\r\n\r\nOK\r\n".len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_stage_sets_the_limit() {
        let mut link = LinkProfile::ideal();
        link.modem.baud = Some(10_000);
        link.to_device.rate_bps = Some(8_000.0);
        let traffic = |datagrams, bytes| Traffic {
            datagrams,
            bytes,
            lost: 0,
        };
        let limit = Limit::of(&link, traffic(10, 190), traffic(10, 1_830));
        assert_eq!(
            limit.line,
            Duration::from_millis(190 + 1_830 + 10 * 30 + 10 * 37)
        );
        assert_eq!(limit.air, Duration::from_millis(1_830));
        assert_eq!(limit.time(), limit.line);
        link.modem.payload = PayloadFormat::Hex;
        let hex = Limit::of(&link, traffic(10, 190), traffic(10, 1_830));
        assert_eq!(hex.line, limit.line + Duration::from_millis(190 + 1_830));
    }
}
