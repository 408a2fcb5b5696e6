//! The line to the modem: UART and AT client, put together.

use core::net::SocketAddrV4;

use heapless::Deque;
use microbit::Uart;
use powercut_at_client::{AtClient, Event};
use powercut_upgrade::wire::{MAX_DOWNLINK_BYTES, MAX_UPLINK_BYTES};

/// What the modem can say while something is sent to it: an echo, a result code.
const OVERHEARD_BYTES: usize = 64;

const _: () = assert!(
    MAX_UPLINK_BYTES <= powercut_at_client::MAX_SEND_BYTES,
    "the AT client takes every datagram the agent sends"
);

/// A datagram line through the modem.
pub(crate) struct Line {
    uart: Uart,
    client: AtClient<MAX_DOWNLINK_BYTES>,
    overheard: Deque<u8, OVERHEARD_BYTES>,
}

/// What the line has for its owner.
pub(crate) enum Progress<'a> {
    /// Something was done; there may be more.
    Continue,
    /// A datagram, to be taken before the line goes on. Until then no command to the modem is outstanding: flash may
    /// be written.
    Received(&'a mut [u8]),
    /// Nothing to do before this time, unless bytes arrive.
    Idle {
        /// In the clock's milliseconds.
        until_ms: u64,
    },
}

impl Line {
    pub(crate) fn new(uart: Uart, platform: SocketAddrV4) -> Self {
        Self {
            uart,
            client: AtClient::new(platform),
            overheard: Deque::new(),
        }
    }

    /// Whether a datagram would be taken now.
    pub(crate) fn can_send(&self) -> bool {
        self.client.can_send()
    }

    /// Sends a datagram, as reliably as datagrams go.
    pub(crate) fn send(&mut self, datagram: &[u8]) {
        if let Err(error) = self.client.send(datagram) {
            defmt::warn!("{}", defmt::Display2Format(&error));
        }
    }

    /// Takes what came in and does one step.
    pub(crate) fn advance(&mut self, now_ms: u64) -> Progress<'_> {
        while let Some(byte) = self.overheard.pop_front().or_else(|| self.uart.receive()) {
            self.client.feed(byte, now_ms);
        }
        match self.client.poll(now_ms) {
            Event::Transmit(bytes) => {
                for &byte in bytes {
                    self.uart.transmit(byte, |overheard| {
                        // Full: lost like in a full FIFO, and noticed by the client's timeouts.
                        let _ = self.overheard.push_back(overheard);
                    });
                }
                Progress::Continue
            }
            Event::Received(datagram) => Progress::Received(datagram),
            Event::Up => {
                defmt::info!("the line to the platform is open");
                Progress::Continue
            }
            Event::Idle { until_ms } => Progress::Idle { until_ms },
        }
    }
}
