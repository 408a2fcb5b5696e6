//! UART0: one byte on the line in each direction, and six that were received.

use super::{INTERRUPT_CLEAR, INTERRUPT_SET, SHORTS, write_mask};
use crate::Cycles;
use crate::world::Timing;

const START_RX: u32 = 0x000;
const STOP_RX: u32 = 0x004;
const START_TX: u32 = 0x008;
const STOP_TX: u32 = 0x00C;
const SUSPEND: u32 = 0x01C;
const CLEAR_TO_SEND: u32 = 0x100;
const NOT_CLEAR_TO_SEND: u32 = 0x104;
const RX_READY: u32 = 0x108;
const TX_READY: u32 = 0x11C;
const ERROR: u32 = 0x124;
const RX_TIMEOUT: u32 = 0x144;
const INTERRUPT: u32 = 0x300;
const ERROR_SOURCE: u32 = 0x480;
const ENABLE: u32 = 0x500;
const SELECT_RTS: u32 = 0x508;
const SELECT_TXD: u32 = 0x50C;
const SELECT_CTS: u32 = 0x510;
const SELECT_RXD: u32 = 0x514;
const RXD: u32 = 0x518;
const TXD: u32 = 0x51C;
const BAUD_RATE: u32 = 0x524;
const CONFIG: u32 = 0x56C;

const ENABLED: u32 = 4;
const NOT_CONNECTED: u32 = u32::MAX;
const OVERRUN: u32 = 1;
const PARITY: u32 = 7 << 1;
const BAUD_250000: u32 = 0x0400_0000;

/// Bytes the receiver holds.
pub(crate) const FIFO_BYTES: usize = 6;

/// The fate of a byte that the firmware writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It has left.
    Sent,
    /// It is on the line, or lost.
    NotYet,
}

/// The fate of a byte that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The firmware can take it.
    Held,
    /// The receiver listens and is full: it is lost.
    Overrun,
    /// The receiver does not listen.
    Unheard,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uart {
    timing: Timing,
    enable: u32,
    receiving: bool,
    sending: bool,
    rx_ready: bool,
    tx_ready: bool,
    error: bool,
    rx_timeout: bool,
    shorts: u32,
    interrupts: u32,
    error_source: u32,
    rts: u32,
    txd: u32,
    cts: u32,
    rxd: u32,
    baud_rate: u32,
    config: u32,
    fifo: [u8; FIFO_BYTES],
    held: usize,
    /// The byte on the line, and when it has left.
    line: Option<(u8, Cycles)>,
}

impl Uart {
    pub(crate) fn new(timing: Timing) -> Self {
        Self {
            timing,
            enable: 0,
            receiving: false,
            sending: false,
            rx_ready: false,
            tx_ready: false,
            error: false,
            rx_timeout: false,
            shorts: 0,
            interrupts: 0,
            error_source: 0,
            rts: NOT_CONNECTED,
            txd: NOT_CONNECTED,
            cts: NOT_CONNECTED,
            rxd: NOT_CONNECTED,
            baud_rate: BAUD_250000,
            config: 0,
            fifo: [0; FIFO_BYTES],
            held: 0,
            line: None,
        }
    }

    /// How long a byte is on the line: start bit, eight bits, parity if any, stop bit.
    pub(crate) fn byte_cycles(&self) -> Cycles {
        let bits = if self.config & PARITY == 0 { 10 } else { 11 };
        // The register is the rate as a fraction of the core clock, times 2^32.
        (bits << 32) / u64::from(self.baud_rate.max(1 << 12))
    }

    /// When the byte on the line has left.
    pub(crate) fn sent_at(&self) -> Option<Cycles> {
        self.line.map(|(_, at)| at)
    }

    /// The byte on the line leaves; `None` if no pin shows it.
    pub(crate) fn sent(&mut self) -> Option<u8> {
        let (byte, _) = self.line.take()?;
        self.tx_ready = true;
        (self.txd != NOT_CONNECTED).then_some(byte)
    }

    /// Whether the receiver takes another byte: with [`Timing::Instant`] bytes wait outside otherwise.
    pub(crate) fn takes_byte(&self) -> bool {
        match self.timing {
            Timing::Silicon => true,
            Timing::Instant => self.receives() && self.held < FIFO_BYTES,
        }
    }

    fn receives(&self) -> bool {
        self.enable == ENABLED && self.receiving
    }

    /// A byte has arrived.
    pub(crate) fn receive(&mut self, byte: u8) -> Received {
        let connected = self.timing == Timing::Instant || self.rxd != NOT_CONNECTED;
        if !self.receives() || !connected {
            return Received::Unheard;
        }
        if self.held == FIFO_BYTES {
            self.error = true;
            self.error_source |= OVERRUN;
            return Received::Overrun;
        }
        // On the chip the event says that a byte has come up to be read; QEMU says it of each that arrives.
        self.rx_ready |= self.held == 0 || self.timing == Timing::Instant;
        self.fifo[self.held] = byte;
        self.held += 1;
        Received::Held
    }

    /// The firmware takes the oldest byte, and the next comes up.
    fn take_received(&mut self) -> u8 {
        let byte = self.fifo[0];
        if self.held > 0 {
            self.held -= 1;
            self.fifo.copy_within(1.., 0);
            self.rx_ready |= self.held > 0;
        }
        byte
    }

    /// The firmware writes a byte to be sent.
    pub(crate) fn transmit(&mut self, byte: u8, now: Cycles) -> Written {
        // A byte that is written while another is on the line is lost.
        if self.enable != ENABLED || !self.sending || self.line.is_some() {
            return Written::NotYet;
        }
        match self.timing {
            Timing::Silicon => {
                self.line = Some((byte, now + self.byte_cycles()));
                Written::NotYet
            }
            Timing::Instant => {
                self.tx_ready = true;
                Written::Sent
            }
        }
    }

    pub(crate) fn interrupt(&self) -> bool {
        let events = u32::from(self.rx_ready) << 2
            | u32::from(self.tx_ready) << 7
            | u32::from(self.error) << 9
            | u32::from(self.rx_timeout) << 17;
        events & self.interrupts != 0
    }

    pub(crate) fn read(&mut self, offset: u32) -> Option<u32> {
        Some(match offset {
            START_RX | STOP_RX | START_TX | STOP_TX | SUSPEND | TXD | CLEAR_TO_SEND
            | NOT_CLEAR_TO_SEND => 0,
            RX_READY => self.rx_ready.into(),
            TX_READY => self.tx_ready.into(),
            ERROR => self.error.into(),
            RX_TIMEOUT => self.rx_timeout.into(),
            SHORTS => self.shorts,
            INTERRUPT | INTERRUPT_SET | INTERRUPT_CLEAR => self.interrupts,
            ERROR_SOURCE => self.error_source,
            ENABLE => self.enable,
            SELECT_RTS => self.rts,
            SELECT_TXD => self.txd,
            SELECT_CTS => self.cts,
            SELECT_RXD => self.rxd,
            RXD => self.take_received().into(),
            BAUD_RATE => self.baud_rate,
            CONFIG => self.config,
            _ => return None,
        })
    }

    /// A write to any register but TXD.
    pub(crate) fn write(&mut self, offset: u32, value: u32) -> bool {
        let triggered = value & 1 == 1;
        match offset {
            START_RX if triggered => self.receiving = true,
            STOP_RX if triggered => {
                self.receiving = false;
                self.rx_timeout = true;
            }
            START_TX if triggered => self.sending = true,
            // The byte on the line still leaves.
            STOP_TX if triggered => self.sending = false,
            SUSPEND if triggered => {
                self.receiving = false;
                self.sending = false;
            }
            START_RX | STOP_RX | START_TX | STOP_TX | SUSPEND | RXD | CLEAR_TO_SEND
            | NOT_CLEAR_TO_SEND => {}
            RX_READY => self.rx_ready = triggered,
            TX_READY => self.tx_ready = triggered,
            ERROR => self.error = triggered,
            RX_TIMEOUT => self.rx_timeout = triggered,
            SHORTS => self.shorts = value,
            INTERRUPT => self.interrupts = value,
            INTERRUPT_SET | INTERRUPT_CLEAR => write_mask(&mut self.interrupts, offset, value),
            ERROR_SOURCE => self.error_source &= !value,
            ENABLE => self.enable(value),
            SELECT_RTS => self.rts = value,
            SELECT_TXD => self.txd = value,
            SELECT_CTS => self.cts = value,
            SELECT_RXD => self.rxd = value,
            BAUD_RATE => self.baud_rate = value,
            CONFIG => self.config = value,
            _ => return false,
        }
        true
    }

    fn enable(&mut self, value: u32) {
        self.enable = value & 7;
        if self.enable != ENABLED {
            self.receiving = false;
            self.sending = false;
            self.held = 0;
            self.line = None;
        }
    }

    /// Whether this register gives bytes that were received.
    pub(crate) fn is_rxd(offset: u32) -> bool {
        offset == RXD
    }

    /// Whether this register takes bytes to send.
    pub(crate) fn is_txd(offset: u32) -> bool {
        offset == TXD
    }
}
