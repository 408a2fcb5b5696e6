//! How far the device's bytes have come: a command line, or the payload that a command announced.
use crate::modem::at_command::SocketId;

#[derive(Debug, Clone, Hash)]
pub(super) enum Input {
    /// A command line, as far as it has come. `overlong` forgets it and waits for the CR.
    Line { text: Vec<u8>, overlong: bool },
    /// A payload, as far as it has come.
    Payload {
        socket: SocketId,
        length: usize,
        bytes: Vec<u8>,
        /// The first of two hexadecimal digits; the payload is spoilt by what is none.
        digit: Option<u8>,
        spoilt: bool,
    },
}

impl Input {
    pub(super) fn empty_line() -> Self {
        Input::Line {
            text: Vec::new(),
            overlong: false,
        }
    }
}
