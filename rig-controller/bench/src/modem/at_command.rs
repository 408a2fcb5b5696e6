//! The commands of the Quectel UDP dialect (`BG95`, `BC66`, `EC2x`: the `QI` family, buffer access mode), as text.
//!
//! Parsing is total: every line is a command, nothing, or not understood. Ranges are those of the modem's manual;
//! what is out of range is not understood, as on the modem itself.
use std::net::Ipv4Addr;

use powercut_link::PayloadFormat;

/// Sockets a modem has, numbered from 0.
pub(super) const SOCKETS: usize = 12;
/// Most bytes one `AT+QISEND` takes.
const MAX_SEND_BYTES: usize = 1460;
/// Most bytes one `AT+QIRD` asks for.
const MAX_READ_BYTES: usize = 1500;

/// A socket number below [`SOCKETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SocketId(u8);

impl SocketId {
    /// Every socket of a modem.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..SOCKETS as u8).map(Self)
    }

    /// As an index into a table of [`SOCKETS`] entries.
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let id = number(text).filter(|&n| n < SOCKETS)?;
        Some(Self(u8::try_from(id).ok()?))
    }
}

impl std::fmt::Display for SocketId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One line from the device, understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// `AT`
    Attention,
    /// `ATE0`, `ATE1`
    Echo(bool),
    /// `ATI`
    Identify,
    /// `AT+CGSN`
    SerialNumber,
    /// `AT+CSQ`
    SignalQuality,
    /// `AT+CEREG?`
    Registration,
    /// `AT+QICFG="dataformat",<sent>,<read>`: 0 as it is, 1 as HEX text; lengths count bytes either way.
    Formats {
        sent: PayloadFormat,
        read: PayloadFormat,
    },
    /// `AT+QIACT=1`
    Activate,
    /// `AT+QIDEACT=1`
    Deactivate,
    /// `AT+QIOPEN=1,<socket>,"UDP","<address>",<port>,0,0`
    Open {
        socket: SocketId,
        /// `None` when it is not an IPv4 address: the virtual modem resolves no names.
        address: Option<Ipv4Addr>,
        port: u16,
    },
    /// `AT+QICLOSE=<socket>`, with or without a timeout behind it.
    Close(SocketId),
    /// `AT+QISEND=<socket>,<length>`
    Send { socket: SocketId, length: usize },
    /// `AT+QIRD=<socket>,<most>`
    Read { socket: SocketId, most: usize },
}

impl Command {
    /// Understand one line without its CR; `None` when it is none of these.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?.trim();
        let (at, body) = line.split_at_checked(2)?;
        if !at.eq_ignore_ascii_case("AT") {
            return None;
        }
        let (name, arguments) = match body.split_once('=') {
            Some((name, arguments)) => (name, Some(arguments)),
            None => (body, None),
        };
        let arguments: Vec<&str> = arguments
            .map(|list| list.split(',').map(str::trim).collect())
            .unwrap_or_default();
        match (name.to_ascii_uppercase().as_str(), arguments.as_slice()) {
            ("", []) => Some(Self::Attention),
            ("E0", []) => Some(Self::Echo(false)),
            ("E" | "E1", []) => Some(Self::Echo(true)),
            ("I", []) => Some(Self::Identify),
            ("+CGSN", []) => Some(Self::SerialNumber),
            ("+CSQ", []) => Some(Self::SignalQuality),
            ("+CEREG?", []) => Some(Self::Registration),
            ("+QICFG", [what, sent, read]) if quoted(what)?.eq_ignore_ascii_case("dataformat") => {
                Some(Self::Formats {
                    sent: format(sent)?,
                    read: format(read)?,
                })
            }
            ("+QIACT", ["1"]) => Some(Self::Activate),
            ("+QIDEACT", ["1"]) => Some(Self::Deactivate),
            ("+QIOPEN", ["1", socket, protocol, address, port, rest @ ..])
                if quoted(protocol)?.eq_ignore_ascii_case("UDP")
                    // Local port chosen by the modem and buffer access mode, said or left to the default.
                    && matches!(rest, [] | ["0"] | ["0", "0"]) =>
            {
                Some(Self::Open {
                    socket: SocketId::parse(socket)?,
                    address: quoted(address)?.parse().ok(),
                    port: u16::try_from(number(port)?)
                        .ok()
                        .filter(|&port| port != 0)?,
                })
            }
            ("+QICLOSE", [socket] | [socket, _]) => SocketId::parse(socket).map(Self::Close),
            ("+QISEND", [socket, length]) => Some(Self::Send {
                socket: SocketId::parse(socket)?,
                length: number(length).filter(|n| (1..=MAX_SEND_BYTES).contains(n))?,
            }),
            ("+QIRD", [socket, most]) => Some(Self::Read {
                socket: SocketId::parse(socket)?,
                most: number(most).filter(|n| (1..=MAX_READ_BYTES).contains(n))?,
            }),
            _ => None,
        }
    }
}

fn format(text: &str) -> Option<PayloadFormat> {
    match text {
        "0" => Some(PayloadFormat::Binary),
        "1" => Some(PayloadFormat::Hex),
        _ => None,
    }
}

fn number(text: &str) -> Option<usize> {
    // `usize::from_str` takes a leading `+`, the modem does not.
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Command> {
        Command::parse(line.as_bytes())
    }

    #[test]
    fn commands_are_understood_in_either_case_and_with_spaces_between_arguments() {
        assert_eq!(parse("at"), Some(Command::Attention));
        assert_eq!(parse("AT+cereg?"), Some(Command::Registration));
        assert_eq!(
            parse("AT+QIOPEN=1,11, \"udp\" ,\"127.0.0.1\",65535,0,0"),
            Some(Command::Open {
                socket: SocketId(11),
                address: Some(Ipv4Addr::LOCALHOST),
                port: 65535
            })
        );
    }

    #[test]
    fn a_host_name_is_an_address_the_modem_cannot_resolve() {
        assert!(matches!(
            parse("AT+QIOPEN=1,0,\"UDP\",\"platform.example\",5683"),
            Some(Command::Open { address: None, .. })
        ));
    }

    #[test]
    fn what_is_out_of_range_or_another_mode_is_not_understood() {
        for line in [
            "",
            "A",
            "BT",
            "AT+QICFG=\"dataformat\",1,2",
            "AT+QICFG=\"viewmode\",1,1",
            "AT+QIACT",
            "AT+QIACT=2",
            "AT+QISEND=12,4",
            "AT+QISEND=0,0",
            "AT+QISEND=0,1461",
            "AT+QISEND=0,+4",
            "AT+QISEND=0,",
            "AT+QIRD=0,1501",
            "AT+QIRD=0,99999999999999999999999",
            "AT+QIOPEN=2,0,\"UDP\",\"127.0.0.1\",1,0,0",
            "AT+QIOPEN=1,0,\"TCP\",\"127.0.0.1\",1,0,0",
            "AT+QIOPEN=1,0,UDP,\"127.0.0.1\",1,0,0",
            "AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",0,0,0",
            "AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",65536,0,0",
            "AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",1,0,1",
            "\u{e4}\u{e4}",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
