//! The virtual modem's AT side without any socket or clock: bytes and datagrams go in, bytes and wishes come out.
//!
//! Promises the device's driver may rely on: an answer is one block of bytes that nothing interrupts; a URC comes
//! between answers only, never while a command line or a payload is on its way in; the engine's output is a
//! function of the bytes and datagrams it was given, in that order. Time has no part: even registration advances
//! by being asked for, and the `RDY` banner comes before the answer to the first byte after power-on. How long answers
//! take is up to `paced_engine`.
mod input;
mod socket;
mod step;

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::ModemEvent;
use super::at_command::{Command, SOCKETS, SocketId};
use super::habits::{Asked, ModemHabits, RegistrationForm};
use input::Input;
use powercut_link::{ModemProfile, PayloadFormat};
use socket::{Queued, Socket};
use step::{asked, error, information, ok, open_error};

pub(super) use step::{Step, Wish};

/// Longest command line, without its CR.
const MAX_LINE_BYTES: usize = 256;

/// How often a modem that registers for short messages first says so.
const SMS_ONLY_ANSWERS: u32 = 2;

/// What the modem does about the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// Registers once the device has asked this many times in vain.
    RegistersAfter(u32),
    /// Searches for ever.
    NeverRegisters,
}

/// The PDP context, which every socket needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Context {
    Active,
    Inactive,
    /// By the network: it has to be deactivated before it can be activated.
    TakenAway,
}

/// The modem's state between its power-on and its power-off.
#[derive(Debug, Clone)]
pub(super) struct AtEngine {
    network: Network,
    habits: ModemHabits,
    context: Context,
    /// Datagrams sent since it was activated.
    sent: u32,
    asked_in_vain: u32,
    banner_due: bool,
    echo: bool,
    input: Input,
    sockets: [Socket; SOCKETS],
    /// Datagrams and bytes a socket keeps for the device; further ones are lost, as in the modem.
    room: (usize, usize),
    /// How payloads are written: sent by the device, and read by it.
    formats: (PayloadFormat, PayloadFormat),
    /// URCs that wait until no line and no payload is half in.
    held_urcs: Vec<u8>,
}

impl AtEngine {
    /// A modem that has just got power.
    pub(super) fn new(network: Network) -> Self {
        let profile = ModemProfile::default();
        Self {
            network,
            habits: ModemHabits::default(),
            context: Context::Active,
            sent: 0,
            asked_in_vain: 0,
            banner_due: true,
            echo: true,
            input: Input::empty_line(),
            sockets: std::array::from_fn(|_| Socket::default()),
            room: (profile.receive_datagrams, profile.receive_bytes),
            formats: (PayloadFormat::Binary, PayloadFormat::Binary),
            held_urcs: Vec::new(),
        }
    }

    /// The modem was powered long before the device: its banner is history.
    pub(super) fn already_up(mut self) -> Self {
        self.banner_due = false;
        self
    }

    /// With receive buffers as in `profile`.
    pub(super) fn with_receive_buffer(mut self, profile: &ModemProfile) -> Self {
        self.room = (profile.receive_datagrams, profile.receive_bytes);
        self
    }

    /// With its own way of saying things, and its needs.
    pub(super) fn with_habits(mut self, habits: &ModemHabits) -> Self {
        self.habits = habits.clone();
        if habits.needs_activation {
            self.context = Context::Inactive;
        }
        self
    }

    /// Whether the modem has found the network.
    pub(super) fn registered(&self) -> bool {
        let sms_only = match self.habits.registration {
            RegistrationForm::SmsOnlyFirst => SMS_ONLY_ANSWERS,
            _ => 0,
        };
        match self.network {
            Network::RegistersAfter(questions) => self.asked_in_vain >= questions.max(sms_only),
            Network::NeverRegisters => false,
        }
    }

    /// Adds all that it does from now on to `state`.
    pub(super) fn add_to(&self, state: &mut impl Hasher) {
        // How much was sent counts only where the network takes the context away for it.
        let sent = self.habits.context_lost_after.map(|_| self.sent);
        (self.context, sent, self.asked_in_vain, self.banner_due).hash(state);
        (self.echo, &self.input, &self.sockets).hash(state);
        (self.formats, &self.held_urcs).hash(state);
    }

    /// Take one byte from the device.
    pub(super) fn device_byte(&mut self, byte: u8) -> Step {
        let mut step = Step::default();
        if std::mem::take(&mut self.banner_due) {
            step.output.extend_from_slice(b"\r\nRDY\r\n");
        }
        match &mut self.input {
            Input::Payload { .. } => self.payload_byte(byte, &mut step),
            Input::Line { text, overlong } => {
                if self.echo {
                    step.output.push(byte);
                }
                match byte {
                    b'\r' => {
                        let line = std::mem::take(text);
                        let too_long = std::mem::take(overlong);
                        if too_long || !line.trim_ascii().is_empty() {
                            let command = Command::parse(&line).filter(|_| !too_long);
                            let what = command.as_ref().map_or(Asked::Attention, asked);
                            step.answer = Some((what, step.output.len()));
                            match command {
                                Some(command) => self.run(&command, &mut step),
                                None => error(&mut step),
                            }
                        }
                    }
                    b'\n' => {}
                    _ if *overlong => {}
                    _ if text.len() == MAX_LINE_BYTES => {
                        text.clear();
                        *overlong = true;
                    }
                    _ => text.push(byte),
                }
            }
        }
        self.release_urcs(&mut step.output);
        step
    }

    /// The outside opened the socket (`Ok`), or could not.
    pub(super) fn socket_opened(&mut self, socket: SocketId, opened: bool) -> Vec<u8> {
        let code = if opened {
            self.sockets[socket.index()] = Socket::Open {
                queue: VecDeque::new(),
            };
            0
        } else {
            self.sockets[socket.index()] = Socket::Closed;
            open_error::CONNECT_FAILED
        };
        self.urc(&format!("\r\n+QIOPEN: {socket},{code}\r\n"))
    }

    /// Tells the device that the socket did not open.
    pub(super) fn open_refused(&mut self, socket: SocketId, code: u16) -> Vec<u8> {
        self.urc(&format!("\r\n+QIOPEN: {socket},{code}\r\n"))
    }

    /// A datagram came from the network for this socket. Empty ones are lost: `+QIRD: 0` could not tell them apart
    /// from no datagram.
    pub(super) fn network_datagram(&mut self, socket: SocketId, datagram: &[u8]) -> Vec<u8> {
        let Socket::Open { queue } = &mut self.sockets[socket.index()] else {
            return Vec::new();
        };
        let kept: usize = queue.iter().map(|queued| queued.datagram.len()).sum();
        let (datagrams, bytes) = self.room;
        if datagram.is_empty() || queue.len() >= datagrams || kept + datagram.len() > bytes {
            return Vec::new();
        }
        let first = queue.is_empty();
        let length = if self.habits.announces_length {
            format!(",{}", datagram.len())
        } else {
            String::new()
        };
        queue.push_back(Queued {
            datagram: datagram.to_vec(),
            read: 0,
        });
        if first {
            self.urc(&format!("\r\n+QIURC: \"recv\",{socket}{length}\r\n"))
        } else {
            Vec::new()
        }
    }

    fn payload_byte(&mut self, byte: u8, step: &mut Step) {
        let Input::Payload {
            socket,
            length,
            bytes,
            digit,
            spoilt,
        } = &mut self.input
        else {
            return;
        };
        match self.formats.0 {
            PayloadFormat::Binary => bytes.push(byte),
            PayloadFormat::Hex => {
                let value = char::from(byte).to_digit(16);
                *spoilt |= value.is_none();
                let value = value.unwrap_or_default() as u8;
                match digit.take() {
                    None => {
                        *digit = Some(value);
                        return;
                    }
                    Some(high) => bytes.push(high << 4 | value),
                }
            }
        }
        if bytes.len() < *length {
            step.event = Some(ModemEvent::PayloadByte {
                index: bytes.len() - 1,
                length: *length,
                so_far: bytes.clone(),
            });
            return;
        }
        let socket = *socket;
        let datagram = std::mem::take(bytes);
        let spoilt = *spoilt;
        self.input = Input::empty_line();
        step.answer = Some((Asked::Send, step.output.len()));
        if spoilt {
            return error(step);
        }
        step.output.extend_from_slice(b"\r\nSEND OK\r\n");
        self.sent += 1;
        if Some(self.sent) == self.habits.context_lost_after {
            self.drop_context(Context::TakenAway);
            self.held_urcs
                .extend_from_slice(b"\r\n+QIURC: \"pdpdeact\",1\r\n");
        }
        step.event = Some(ModemEvent::DatagramSent(datagram.clone()));
        step.wish = Some(Wish::Send { socket, datagram });
    }

    fn run(&mut self, command: &Command, step: &mut Step) {
        match *command {
            Command::Attention => ok(step),
            Command::Echo(on) => {
                self.echo = on;
                ok(step);
            }
            Command::Identify => information(
                step,
                concat!(
                    "Powercut\r\nVirtual modem\r\nRevision: ",
                    env!("CARGO_PKG_VERSION")
                ),
            ),
            Command::SerialNumber => information(step, "867698040000017"),
            Command::SignalQuality => information(step, "+CSQ: 24,99"),
            Command::Registration => {
                let registered = self.registered();
                if !registered {
                    self.asked_in_vain = self.asked_in_vain.saturating_add(1);
                }
                information(step, self.registration_line(registered));
                step.event = Some(ModemEvent::RegistrationAsked { registered });
            }
            Command::Formats { sent, read } => {
                self.formats = (sent, read);
                ok(step);
            }
            Command::Activate if self.context == Context::Inactive => {
                self.context = Context::Active;
                self.sent = 0;
                ok(step);
            }
            Command::Activate => error(step),
            Command::Deactivate => {
                self.drop_context(Context::Inactive);
                ok(step);
            }
            Command::Open {
                socket,
                address,
                port,
            } => self.open(socket, address, port, step),
            Command::Close(socket) => {
                let was = std::mem::take(&mut self.sockets[socket.index()]);
                if !matches!(was, Socket::Closed) {
                    step.wish = Some(Wish::Close(socket));
                }
                ok(step);
            }
            Command::Send { socket, length } => {
                if matches!(self.sockets[socket.index()], Socket::Open { .. }) {
                    self.input = Input::Payload {
                        socket,
                        length,
                        bytes: Vec::with_capacity(length),
                        digit: None,
                        spoilt: false,
                    };
                    step.output.extend_from_slice(b"\r\n> ");
                } else {
                    error(step);
                }
            }
            Command::Read { socket, most } => self.read(socket, most, step),
        }
    }

    fn open(&mut self, socket: SocketId, address: Option<Ipv4Addr>, port: u16, step: &mut Step) {
        ok(step);
        let refusal = if matches!(self.sockets[socket.index()], Socket::Closed) {
            match address {
                _ if !self.registered() || self.context != Context::Active => {
                    open_error::NO_NETWORK
                }
                None => open_error::UNRESOLVED,
                // Whatever a firmware under test asks for, the rig sends nothing beyond this host.
                Some(address) if !address.is_loopback() => open_error::CONNECT_FAILED,
                Some(address) => {
                    self.sockets[socket.index()] = Socket::Opening;
                    step.wish = Some(Wish::Open {
                        socket,
                        remote: SocketAddrV4::new(address, port),
                    });
                    return;
                }
            }
        } else {
            open_error::SOCKET_IN_USE
        };
        step.refused = Some((socket, refusal));
    }

    /// The context is gone, and all sockets with it.
    fn drop_context(&mut self, to: Context) {
        self.context = to;
        self.sockets = std::array::from_fn(|_| Socket::default());
    }

    fn registration_line(&self, registered: bool) -> &'static str {
        match (self.habits.registration, registered) {
            (RegistrationForm::SmsOnlyFirst, false) => "+CEREG: 0,6",
            (RegistrationForm::Compact, false) => "+CEREG:0,2",
            (_, false) => "+CEREG: 0,2",
            (RegistrationForm::Short | RegistrationForm::SmsOnlyFirst, true) => "+CEREG: 0,1",
            (RegistrationForm::Compact, true) => "+CEREG:0,1",
            (RegistrationForm::Long, true) => {
                "+CEREG: 5,1,\"00A0\",\"0002920C\",9,\"00\",0,0,\"00100010\",\"00010010\""
            }
        }
    }

    fn read(&mut self, socket: SocketId, most: usize, step: &mut Step) {
        let Socket::Open { queue } = &mut self.sockets[socket.index()] else {
            return error(step);
        };
        let Some(first) = queue.front_mut() else {
            return information(step, "+QIRD: 0");
        };
        let end = first.datagram.len().min(first.read + most);
        let part = &first.datagram[first.read..end];
        step.output
            .extend_from_slice(format!("\r\n+QIRD: {}\r\n", part.len()).as_bytes());
        match self.formats.1 {
            PayloadFormat::Binary => step.output.extend_from_slice(part),
            PayloadFormat::Hex => step
                .output
                .extend_from_slice(hex::encode_upper(part).as_bytes()),
        }
        step.output.extend_from_slice(b"\r\n\r\nOK\r\n");
        first.read = end;
        if end == first.datagram.len() {
            step.event = queue
                .pop_front()
                .map(|read| ModemEvent::DatagramRead(read.datagram));
        }
    }

    /// Bytes to send now for this URC: none while it has to wait.
    fn urc(&mut self, text: &str) -> Vec<u8> {
        self.held_urcs.extend_from_slice(text.as_bytes());
        let mut output = Vec::new();
        self.release_urcs(&mut output);
        output
    }

    fn release_urcs(&mut self, output: &mut Vec<u8>) {
        if let Input::Line {
            text,
            overlong: false,
        } = &self.input
            && text.is_empty()
        {
            output.append(&mut self.held_urcs);
        }
    }
}

#[cfg(test)]
mod tests;
