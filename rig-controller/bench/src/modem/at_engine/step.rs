//! Everything one byte from the device led to: bytes for the device, an event, and a wish for something outside. The
//! engine's answers are written here, each as one block of bytes.
use std::net::SocketAddrV4;

use crate::modem::ModemEvent;
use crate::modem::at_command::{Command, SocketId};
use crate::modem::habits::Asked;

/// Result codes of `+QIOPEN`, from the modem's manual.
pub(super) mod open_error {
    pub(in crate::modem::at_engine) const NO_NETWORK: u16 = 561;
    pub(in crate::modem::at_engine) const SOCKET_IN_USE: u16 = 563;
    pub(in crate::modem::at_engine) const UNRESOLVED: u16 = 565;
    pub(in crate::modem::at_engine) const CONNECT_FAILED: u16 = 566;
}

/// What the engine wants done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::modem) enum Wish {
    /// Open a UDP socket to `remote` and tell by [`socket_opened`](super::AtEngine::socket_opened).
    Open {
        socket: SocketId,
        remote: SocketAddrV4,
    },
    /// Close it.
    Close(SocketId),
    /// Send one datagram.
    Send { socket: SocketId, datagram: Vec<u8> },
}

/// Everything one byte from the device led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::modem) struct Step {
    /// Bytes for the device.
    pub(in crate::modem) output: Vec<u8>,
    /// What the rig may want to know.
    pub(in crate::modem) event: Option<ModemEvent>,
    /// What must be done outside, before the next byte.
    pub(in crate::modem) wish: Option<Wish>,
    /// What was asked, and where in `output` its answer begins.
    pub(in crate::modem) answer: Option<(Asked, usize)>,
    /// The socket asked for will not open, and why: for [`open_refused`](super::AtEngine::open_refused).
    pub(in crate::modem) refused: Option<(SocketId, u16)>,
}

pub(super) fn asked(command: &Command) -> Asked {
    match command {
        Command::Registration => Asked::Registration,
        Command::Activate => Asked::Activate,
        Command::Deactivate => Asked::Deactivate,
        Command::Open { .. } => Asked::Open,
        Command::Close(_) => Asked::Close,
        Command::Send { .. } => Asked::Prompt,
        Command::Read { .. } => Asked::Read,
        Command::Attention
        | Command::Echo(_)
        | Command::Identify
        | Command::SerialNumber
        | Command::SignalQuality
        | Command::Formats { .. } => Asked::Attention,
    }
}

pub(super) fn ok(step: &mut Step) {
    step.output.extend_from_slice(b"\r\nOK\r\n");
}

pub(super) fn error(step: &mut Step) {
    step.output.extend_from_slice(b"\r\nERROR\r\n");
}

pub(super) fn information(step: &mut Step, text: &str) {
    step.output
        .extend_from_slice(format!("\r\n{text}\r\n\r\nOK\r\n").as_bytes());
}
