//! Cellular modems, as the rig sees them: AT text on one side, datagrams on the other.
//!
//! [`VirtualModem`] speaks the Quectel UDP dialect (`at_engine`, `at_command`) and bridges
//! its sockets to real UDP sockets on this host. [`ModemHabits`] makes it slow, wordy or needy, as real ones are.
mod at_command;
mod at_engine;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod habits;
mod paced_engine;
#[cfg(test)]
mod slow_modem_tests;
mod timed_modem;
mod virtual_modem;

pub use habits::{AnswerTimes, ModemHabits, RegistrationForm};
pub use timed_modem::{AtPlatform, TimedModem, TimedModemConfig, Traffic, WayBack};
pub use virtual_modem::{VirtualModem, VirtualModemConfig};

/// What the modem saw because of one byte from the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModemEvent {
    /// A byte of a payload the device is sending (`AT+QISEND`): `index` of `length`, counted from 0. The last byte
    /// is reported as [`ModemEvent::DatagramSent`] instead.
    PayloadByte {
        /// Position in the payload.
        index: usize,
        /// Payload bytes announced.
        length: usize,
        /// The payload as far as it has come, this byte included.
        so_far: Vec<u8>,
    },
    /// A whole payload was taken from the device; it goes to the network after impairment.
    DatagramSent(Vec<u8>),
    /// The last byte of a datagram was handed to the device in answer to `AT+QIRD`; this is the whole datagram.
    DatagramRead(Vec<u8>),
    /// The device asked whether the network is there; `registered` is what it was told.
    RegistrationAsked {
        /// The answer given.
        registered: bool,
    },
}

/// Whether the modem keeps power when the board is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModemPower {
    /// It has its own supply: sockets, queued messages and a half-sent payload survive the cut.
    Stays,
    /// It goes down with the board.
    WithBoard,
}

/// Something a bench may have the modem do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModemFault {
    /// It searches for a network for ever.
    NeverRegisters,
}

/// The modem could not do its part: always a *bench error*.
#[derive(Debug, thiserror::Error)]
pub enum ModemError {
    /// No host socket for the modem's own.
    #[error(
        "the virtual modem cannot open a UDP socket to {remote}: {source}; check the limits on open files, threads and local ports"
    )]
    Socket {
        /// Where the device wanted to send.
        remote: std::net::SocketAddrV4,
        /// What the host said.
        source: std::io::Error,
    },
    /// The firmware has another address of the platform built in than its set says.
    #[error(
        "the device opened a socket to {addressed}, but its firmware set says that the platform is at {advertised}; correct `platform` in set.yaml, or build the set anew with `rig firmware build`"
    )]
    Elsewhere {
        /// Where the device wanted to send.
        addressed: std::net::SocketAddrV4,
        /// Where the set says that it sends.
        advertised: std::net::SocketAddrV4,
    },
    /// No thread for a link that takes time.
    #[error(
        "the virtual modem cannot start the thread of its link: {0}; check the limit on threads"
    )]
    Thread(#[source] std::io::Error),
}
