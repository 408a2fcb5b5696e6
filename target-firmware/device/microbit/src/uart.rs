//! The serial line to the modem: UART0, 115200 baud 8N1, on the pins of the USB serial bridge.
//!
//! The receiver has six bytes of FIFO and no more: while flash is written, what comes in is lost.

use crate::register::Register;
use crate::sleep::NVIC_CLEAR_PENDING;

const TRANSMIT_PIN: u32 = 24;
const RECEIVE_PIN: u32 = 25;

const GPIO: u32 = 0x5000_0000;
const OUT_SET: Register = Register::at(GPIO, 0x508);
const TRANSMIT_PIN_CONFIG: Register = Register::at(GPIO, 0x700 + 4 * TRANSMIT_PIN);
const RECEIVE_PIN_CONFIG: Register = Register::at(GPIO, 0x700 + 4 * RECEIVE_PIN);
const OUTPUT: u32 = 1 | 1 << 1;
/// An idle line is high, also while no modem is there to drive it.
const INPUT_PULLED_UP: u32 = 3 << 2;

const UART0: u32 = 0x4000_2000;
const START_RX: Register = Register::at(UART0, 0x000);
const START_TX: Register = Register::at(UART0, 0x008);
const RX_READY: Register = Register::at(UART0, 0x108);
const TX_READY: Register = Register::at(UART0, 0x11C);
const ERROR: Register = Register::at(UART0, 0x124);
const INTERRUPT_SET: Register = Register::at(UART0, 0x304);
const INTERRUPT_CLEAR: Register = Register::at(UART0, 0x308);
const ERROR_SOURCE: Register = Register::at(UART0, 0x480);
const ENABLE: Register = Register::at(UART0, 0x500);
const SELECT_RTS: Register = Register::at(UART0, 0x508);
const SELECT_TXD: Register = Register::at(UART0, 0x50C);
const SELECT_CTS: Register = Register::at(UART0, 0x510);
const SELECT_RXD: Register = Register::at(UART0, 0x514);
const RXD: Register = Register::at(UART0, 0x518);
const TXD: Register = Register::at(UART0, 0x51C);
const BAUD_RATE: Register = Register::at(UART0, 0x524);
const CONFIG: Register = Register::at(UART0, 0x56C);

const DISABLED: u32 = 0;
const ENABLED: u32 = 4;
const BAUD_115200: u32 = 0x01D7_E000;
const NO_PARITY_NO_FLOW_CONTROL: u32 = 0;
const NOT_CONNECTED: u32 = u32::MAX;
const INTERRUPT_ON_RX_READY: u32 = 1 << 2;
const INTERRUPT_ON_TX_READY: u32 = 1 << 7;

/// The NVIC's number for UART0.
pub(crate) const INTERRUPT: u32 = 2;

/// The line to the modem.
pub struct Uart(());

impl Uart {
    pub(crate) fn start() -> Self {
        ENABLE.write(DISABLED);
        INTERRUPT_CLEAR.write(u32::MAX);
        OUT_SET.write(1 << TRANSMIT_PIN);
        TRANSMIT_PIN_CONFIG.write(OUTPUT);
        RECEIVE_PIN_CONFIG.write(INPUT_PULLED_UP);
        SELECT_TXD.write(TRANSMIT_PIN);
        SELECT_RXD.write(RECEIVE_PIN);
        SELECT_RTS.write(NOT_CONNECTED);
        SELECT_CTS.write(NOT_CONNECTED);
        BAUD_RATE.write(BAUD_115200);
        CONFIG.write(NO_PARITY_NO_FLOW_CONTROL);
        RX_READY.write(0);
        TX_READY.write(0);
        ERROR.write(0);
        ENABLE.write(ENABLED);
        START_TX.trigger();
        START_RX.trigger();
        INTERRUPT_SET.write(INTERRUPT_ON_RX_READY | INTERRUPT_ON_TX_READY);
        Self(())
    }

    /// The next received byte, if there is one.
    pub fn receive(&mut self) -> Option<u8> {
        if !RX_READY.is_set() {
            return None;
        }
        // In this order: reading RXD brings up the next byte of the FIFO, and with it the next event.
        RX_READY.write(0);
        let byte = RXD.read() as u8;
        if ERROR.is_set() {
            // Overrun, framing: the receiver goes on by itself, and lost bytes are the client's to notice.
            ERROR.write(0);
            ERROR_SOURCE.write(u32::MAX);
        }
        Some(byte)
    }

    /// Sends one byte and sleeps until it has left, 87 us. Bytes received meanwhile go to `overheard`, for the FIFO
    /// would not hold them.
    pub fn transmit(&mut self, byte: u8, mut overheard: impl FnMut(u8)) {
        TXD.write(u32::from(byte));
        loop {
            // Cleared first: what comes after this pends again, and what came before is seen below.
            NVIC_CLEAR_PENDING.write(1 << INTERRUPT);
            if TX_READY.is_set() {
                break;
            }
            match self.receive() {
                Some(byte) => overheard(byte),
                None => cortex_m::asm::wfi(),
            }
        }
        // An event that stays would end every other sleep.
        TX_READY.write(0);
    }
}

/// Whether a byte is there to receive.
pub(crate) fn has_received() -> bool {
    RX_READY.is_set()
}
