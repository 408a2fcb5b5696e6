//! The conversation: brings the modem up, sends and reads datagrams, and starts over when lost.

use core::fmt::Write;
use core::net::SocketAddrV4;

use heapless::{String, Vec};
use thiserror::Error;

use crate::answer::{self, Answer};
use crate::receiver::{Heard, Receiver};

/// The longest datagram that can be sent.
pub const MAX_SEND_BYTES: usize = 160;

/// Carriage returns mean nothing to a modem in command mode, and fill up the longest datagram that
/// an earlier life of this board may have announced and never finished.
const RESYNCHRONISE: [u8; MAX_SEND_BYTES + 3] = {
    let mut bytes = [b'\r'; MAX_SEND_BYTES + 3];
    bytes[MAX_SEND_BYTES] = b'A';
    bytes[MAX_SEND_BYTES + 1] = b'T';
    bytes
};

/// The longest command there is; also how much of a hexadecimal payload is transmitted at a time.
const COMMAND_BYTES: usize = 56;

const SYNC_RETRY_MS: u64 = 250;
/// After a resynchronisation, late answers to earlier questions must have passed by.
const SETTLE_SILENCE_MS: u64 = 20;
/// A modem that chatters on is not waited for any longer.
const SETTLE_AT_MOST_MS: u64 = 300;
const COMMAND_TIMEOUT_MS: u64 = 5_000;
/// Within counted data bytes follow each other at line speed.
const DATA_SILENCE_MS: u64 = 500;
const REGISTRATION_RETRY_MS: u64 = 250;
/// After this the socket is asked instead of waited for.
const OPEN_HINT_MS: u64 = 500;
const OPEN_RETRY_MS: u64 = 500;
/// Reading starts at this pace after traffic, and slows down to the other while none comes.
const READ_FAST_MS: u64 = 100;
const READ_SLOW_MS: u64 = 1_600;

/// What the caller is to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// Write all of these bytes to the modem, then poll again.
    Transmit(&'a [u8]),
    /// A datagram arrived. The caller may change it, to decrypt in place; the next call takes it back.
    Received(&'a mut [u8]),
    /// The socket is open, or open again: datagrams sent before may be lost.
    Up,
    /// Nothing to do until a byte arrives or this time comes.
    Idle {
        /// In the milliseconds of the `now_ms` passed in; never in the past.
        until_ms: u64,
    },
}

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// Bring-up is not finished.
    #[error("sending a datagram: the modem has no open socket yet; wait for Event::Up")]
    Down,
    /// The datagram before is not sent yet.
    #[error("sending a datagram: the one before is still being sent; poll on and try again")]
    Busy,
    /// It would not fit the transmit buffer.
    #[error("sending a datagram: {0} bytes are more than the {MAX_SEND_BYTES} there is room for")]
    TooLong(usize),
}

/// Where the conversation stands. Each state but the pauses waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `AT`, with filling before it.
    Synchronising,
    /// Lets late answers pass.
    Settling {
        at_most_until: u64,
    },
    /// `ATE0`
    EchoOff,
    /// `AT+QICFG`
    Configuring,
    /// `AT+CEREG?`
    Registering {
        registered: bool,
    },
    RegistrationPause,
    /// `AT+QICLOSE=0`
    Closing,
    /// `AT+QIOPEN`
    Opening,
    /// For `+QIOPEN: 0,0`.
    OpenHint,
    OpenPause,
    Online,
    /// `AT+QIRD`, for its header.
    Reading,
    /// `AT+QIRD`, for its data and `OK`.
    ReadingData {
        announced: usize,
    },
    /// `AT+QISEND`, for the prompt.
    SendPrompt,
    /// `AT+QISEND`, for `SEND OK`.
    SendResult,
}

/// What [`AtClient::poll`] hands out next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Nothing,
    Resynchronise,
    Command,
    /// From this byte of it on.
    Datagram(usize),
}

/// One UDP socket on one modem. `RX` is the longest datagram that can be received. With `HEX` the modem takes and gives
/// payloads as hexadecimal text, as some do by default and serial lines that are not clean to eight bits need; it is
/// part of the type so that firmware without it does not carry it.
pub struct AtClient<const RX: usize, const HEX: bool = false> {
    remote: SocketAddrV4,
    state: State,
    /// When `state` has lasted too long.
    deadline: u64,
    pending: Pending,
    command: String<COMMAND_BYTES>,
    datagram: Vec<u8, MAX_SEND_BYTES>,
    receiver: Receiver<RX, HEX>,
    received: bool,
    up: bool,
    up_announced: bool,
    read_due: u64,
    read_pace: u64,
}

impl<const RX: usize, const HEX: bool> AtClient<RX, HEX> {
    /// A client that will exchange datagrams with `remote`.
    pub const fn new(remote: SocketAddrV4) -> Self {
        Self {
            remote,
            state: State::Synchronising,
            // Already over: the first poll transmits.
            deadline: 0,
            pending: Pending::Nothing,
            command: String::new(),
            datagram: Vec::new(),
            receiver: Receiver::new(),
            received: false,
            up: false,
            up_announced: false,
            read_due: 0,
            read_pace: READ_FAST_MS,
        }
    }

    /// Whether the socket is open, as far as is known.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Whether a datagram would go out at once: the socket is open and no command is outstanding. The caller may stop
    /// listening then, for flash work say, and lose hints only.
    pub fn can_send(&self) -> bool {
        self.up
            && self.datagram.is_empty()
            && self.state == State::Online
            && self.pending == Pending::Nothing
    }

    /// Takes a datagram for sending. Poll afterwards.
    ///
    /// # Errors
    /// When there is no open socket, the datagram before is not sent yet, or this one is too long.
    pub fn send(&mut self, datagram: &[u8]) -> Result<(), SendError> {
        if datagram.len() > MAX_SEND_BYTES {
            return Err(SendError::TooLong(datagram.len()));
        }
        if !self.up {
            return Err(SendError::Down);
        }
        if !self.datagram.is_empty() {
            return Err(SendError::Busy);
        }
        self.datagram
            .extend_from_slice(datagram)
            .map_err(|_| SendError::TooLong(datagram.len()))
    }

    /// Begins to read the next datagram before the caller has worked on the last one, of which it has made a copy:
    /// transmit all of what this returns. For a caller whose UART goes on listening while flash is written, by DMA with
    /// room for a whole answer: line and flash then work at the same time. `None` while there is something else to do.
    pub fn read_ahead(&mut self, now_ms: u64) -> Option<&[u8]> {
        if self.received || !self.can_send() || now_ms < self.read_due {
            return None;
        }
        self.read(now_ms);
        self.pending = Pending::Nothing;
        Some(self.command.as_bytes())
    }

    /// Takes one byte from the modem.
    pub fn feed(&mut self, byte: u8, now_ms: u64) {
        if let State::Settling { at_most_until } = self.state {
            self.deadline = at_most_until.min(now_ms + SETTLE_SILENCE_MS);
        }
        if matches!(self.state, State::ReadingData { .. }) {
            self.deadline = now_ms + DATA_SILENCE_MS;
        }
        match self.receiver.push(byte) {
            None | Some(Heard::Data) => {}
            Some(Heard::Line(line)) => {
                let answer = answer::parse(line);
                self.take(answer, now_ms);
            }
            Some(Heard::Prompt) => {
                if self.state == State::SendPrompt {
                    self.pending = Pending::Datagram(0);
                    self.enter(State::SendResult, now_ms + COMMAND_TIMEOUT_MS);
                }
            }
        }
    }

    /// Says what to do next. Call it after feeding bytes, after sending, and when the deadline of
    /// [`Event::Idle`] has come; call it again until it answers [`Event::Idle`].
    pub fn poll(&mut self, now_ms: u64) -> Event<'_> {
        if core::mem::take(&mut self.received) {
            return Event::Received(self.receiver.data().unwrap_or_default());
        }
        if self.up && !core::mem::replace(&mut self.up_announced, true) {
            return Event::Up;
        }
        if self.pending == Pending::Nothing && now_ms >= self.deadline {
            self.time_out(now_ms);
        }
        if self.state == State::Online && self.pending == Pending::Nothing {
            self.next_online(now_ms);
        }
        match core::mem::replace(&mut self.pending, Pending::Nothing) {
            Pending::Nothing => Event::Idle {
                until_ms: self.deadline.max(now_ms),
            },
            Pending::Resynchronise => Event::Transmit(&RESYNCHRONISE),
            Pending::Command => Event::Transmit(self.command.as_bytes()),
            Pending::Datagram(_) if !HEX => Event::Transmit(&self.datagram),
            Pending::Datagram(from) => {
                let end = self.datagram.len().min(from + COMMAND_BYTES / 2);
                self.command.clear();
                for byte in &self.datagram[from..end] {
                    // Two digits for each of half as many bytes as there is room for.
                    let _ = write!(self.command, "{byte:02X}");
                }
                if end < self.datagram.len() {
                    self.pending = Pending::Datagram(end);
                }
                Event::Transmit(self.command.as_bytes())
            }
        }
    }

    /// While online, either a datagram goes out, or a read is due, or there is time to sleep.
    fn next_online(&mut self, now: u64) {
        if !self.datagram.is_empty() {
            let length = self.datagram.len();
            self.ask(
                State::SendPrompt,
                now,
                format_args!("AT+QISEND=0,{length}\r"),
            );
            self.receiver.expect_prompt();
        } else if now >= self.read_due {
            self.read(now);
        } else {
            self.deadline = self.read_due;
        }
    }

    /// Acts on one line. Lines no one waits for change nothing.
    fn take(&mut self, answer: Answer, now: u64) {
        match (self.state, answer) {
            (_, Answer::Restarted) => self.resynchronise(now),
            (_, Answer::SocketNews) => {
                self.read_due = now;
                if self.state == State::Online {
                    self.deadline = now;
                }
            }
            (State::Synchronising, Answer::Ok) => {
                let at_most_until = now + SETTLE_AT_MOST_MS;
                self.enter(State::Settling { at_most_until }, now + SETTLE_SILENCE_MS);
            }
            (State::EchoOff, Answer::Ok | Answer::Error) if HEX => self.ask(
                State::Configuring,
                now,
                format_args!("AT+QICFG=\"dataformat\",1,1\r"),
            ),
            (State::EchoOff, Answer::Ok | Answer::Error) | (State::Configuring, Answer::Ok) => {
                self.ask_registration(now);
            }
            (State::Registering { .. }, Answer::Registration { registered }) => {
                self.state = State::Registering { registered };
            }
            (State::Registering { registered: true }, Answer::Ok) => self.close(now),
            (State::Registering { .. }, Answer::Ok | Answer::Error) => {
                self.enter(State::RegistrationPause, now + REGISTRATION_RETRY_MS);
            }
            // An error means there was nothing to close.
            (State::Closing, Answer::Ok | Answer::Error) => {
                let remote = self.remote;
                self.ask(
                    State::Opening,
                    now,
                    format_args!(
                        "AT+QIOPEN=1,0,\"UDP\",\"{}\",{},0,0\r",
                        remote.ip(),
                        remote.port()
                    ),
                );
            }
            (State::Opening, Answer::Ok) => self.enter(State::OpenHint, now + OPEN_HINT_MS),
            // Only a hint; reading tells whether it is true.
            (State::OpenHint, Answer::Opened { success: true }) => self.read(now),
            (State::OpenHint, Answer::Opened { success: false })
            | (State::Opening, Answer::Error) => {
                self.enter(State::OpenPause, now + OPEN_RETRY_MS);
            }
            (State::Reading, Answer::Data(announced)) => {
                self.receiver.expect_data(announced);
                self.enter(State::ReadingData { announced }, now + DATA_SILENCE_MS);
            }
            (State::ReadingData { announced }, Answer::Ok) => self.read_done(announced, now),
            (State::SendResult, Answer::SendOk | Answer::SendFail) => {
                self.datagram.clear();
                self.read_pace = READ_FAST_MS;
                self.read_due = self.read_due.min(now + READ_FAST_MS);
                self.go_online();
            }
            // The socket is gone, or never opened.
            (
                State::Reading | State::ReadingData { .. } | State::SendPrompt | State::SendResult,
                Answer::Error,
            ) => self.reopen(now),
            _ => {}
        }
    }

    /// The present state has lasted until its deadline.
    fn time_out(&mut self, now: u64) {
        match self.state {
            State::Settling { .. } => self.ask(State::EchoOff, now, format_args!("ATE0\r")),
            State::RegistrationPause => self.ask_registration(now),
            State::OpenPause => self.close(now),
            State::OpenHint => self.read(now),
            State::Online => {}
            State::Synchronising
            | State::EchoOff
            | State::Configuring
            | State::Registering { .. }
            | State::Closing
            | State::Opening
            | State::Reading
            | State::ReadingData { .. }
            | State::SendPrompt
            | State::SendResult => self.resynchronise(now),
        }
    }

    fn ask_registration(&mut self, now: u64) {
        let state = State::Registering { registered: false };
        self.ask(state, now, format_args!("AT+CEREG?\r"));
    }

    fn close(&mut self, now: u64) {
        self.ask(State::Closing, now, format_args!("AT+QICLOSE=0\r"));
    }

    fn read(&mut self, now: u64) {
        let most = answer::MAX_READ_BYTES;
        self.ask(State::Reading, now, format_args!("AT+QIRD=0,{most}\r"));
        // A hint that comes while the answer does asks for another read.
        self.read_due = u64::MAX;
    }

    fn read_done(&mut self, announced: usize, now: u64) {
        let hinted = self.read_due != u64::MAX;
        if announced > 0 {
            self.received = self.receiver.holds_data();
            self.read_pace = READ_FAST_MS;
            // A second one may wait behind it, announced by no result code.
            self.read_due = now;
        } else {
            self.read_due = now + self.read_pace;
            self.read_pace = (self.read_pace * 2).min(READ_SLOW_MS);
        }
        if hinted {
            self.read_due = now;
        }
        self.up = true;
        self.go_online();
    }

    fn go_online(&mut self) {
        self.enter(State::Online, self.read_due);
    }

    /// Gives up the socket and opens another.
    fn reopen(&mut self, now: u64) {
        self.lose_socket();
        self.enter(State::OpenPause, now + OPEN_RETRY_MS);
    }

    /// Starts over with a modem in an unknown state.
    fn resynchronise(&mut self, now: u64) {
        self.lose_socket();
        self.enter(State::Synchronising, now + SYNC_RETRY_MS);
        self.pending = Pending::Resynchronise;
    }

    fn lose_socket(&mut self) {
        self.receiver.abandon();
        self.received = false;
        self.datagram.clear();
        self.up = false;
        self.up_announced = false;
        self.read_pace = READ_FAST_MS;
    }

    fn ask(&mut self, state: State, now: u64, command: core::fmt::Arguments<'_>) {
        self.command.clear();
        // The longest command, QIOPEN with the longest address, fits; a test says so.
        let _ = self.command.write_fmt(command);
        self.pending = Pending::Command;
        self.enter(state, now + COMMAND_TIMEOUT_MS);
    }

    fn enter(&mut self, state: State, deadline: u64) {
        self.state = state;
        self.deadline = deadline;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{AtClient, Event, SendError};
    use core::net::{Ipv4Addr, SocketAddrV4};

    fn client() -> AtClient<32> {
        AtClient::new(SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX))
    }

    fn say(client: &mut AtClient<32>, text: &[u8], now: u64) {
        for &byte in text {
            client.feed(byte, now);
        }
    }

    fn sent(client: &mut AtClient<32>, now: u64, expected: &[u8]) {
        assert_eq!(client.poll(now), Event::Transmit(expected));
    }

    fn online() -> AtClient<32> {
        let mut client = client();
        assert!(matches!(client.poll(0), Event::Transmit(filled) if filled.ends_with(b"\rAT\r")));
        say(&mut client, b"AT\r\r\nOK\r\n", 1);
        assert_eq!(client.poll(2), Event::Idle { until_ms: 21 });
        sent(&mut client, 21, b"ATE0\r");
        say(&mut client, b"ATE0\r\r\nOK\r\n", 22);
        sent(&mut client, 22, b"AT+CEREG?\r");
        say(&mut client, b"\r\n+CEREG: 0,1\r\n\r\nOK\r\n", 23);
        sent(&mut client, 23, b"AT+QICLOSE=0\r");
        say(&mut client, b"\r\nERROR\r\n", 24);
        sent(
            &mut client,
            24,
            b"AT+QIOPEN=1,0,\"UDP\",\"255.255.255.255\",65535,0,0\r",
        );
        say(&mut client, b"\r\nOK\r\n\r\n+QIOPEN: 0,0\r\n", 25);
        sent(&mut client, 25, b"AT+QIRD=0,1500\r");
        assert_eq!(client.send(b"early"), Err(SendError::Down));
        say(&mut client, b"\r\n+QIRD: 0\r\n\r\n\r\nOK\r\n", 26);
        assert_eq!(client.poll(26), Event::Up);
        assert_eq!(client.poll(26), Event::Idle { until_ms: 126 });
        client
    }

    #[test]
    fn comes_up_and_sleeps_until_the_next_read() {
        online();
    }

    #[test]
    fn a_datagram_waits_for_the_prompt_and_blocks_the_next_until_send_ok() {
        let mut client = online();
        client.send(b"\r\nOK\r\n").unwrap();
        assert_eq!(client.send(b"second"), Err(SendError::Busy));
        assert_eq!(client.send(&[0; 161]), Err(SendError::TooLong(161)));
        sent(&mut client, 30, b"AT+QISEND=0,6\r");
        assert!(matches!(client.poll(30), Event::Idle { .. }));
        say(&mut client, b"\r\n+QIURC: \"recv\",0\r\n\r\n> ", 31);
        sent(&mut client, 31, b"\r\nOK\r\n");
        say(&mut client, b"\r\nSEND OK\r\n", 32);
        // The hint that came in between is followed up.
        sent(&mut client, 32, b"AT+QIRD=0,1500\r");
        assert_eq!(client.send(b"second"), Ok(()));
    }

    #[test]
    fn nobody_is_told_to_send_while_an_answer_is_on_its_way() {
        let mut client = online();
        assert!(client.can_send());
        sent(&mut client, 126, b"AT+QIRD=0,1500\r");
        assert!(!client.can_send());
        say(&mut client, b"\r\n+QIRD: 0\r\n\r\nO", 127);
        assert!(!client.can_send());
        say(&mut client, b"K\r\n", 128);
        assert!(client.can_send());
    }

    #[test]
    fn a_datagram_is_handed_over_only_once_its_answer_is_complete() {
        let mut client = online();
        sent(&mut client, 126, b"AT+QIRD=0,1500\r");
        say(&mut client, b"\r\n+QIRD: 8\r\n\r\nOK\r\n\0>", 127);
        assert!(matches!(client.poll(127), Event::Idle { .. }));
        say(&mut client, b"\r\n\r\nOK\r\n", 128);
        assert_eq!(
            client.poll(128),
            Event::Received(&mut b"\r\nOK\r\n\0>".to_vec())
        );
        // Another one may wait behind it.
        sent(&mut client, 128, b"AT+QIRD=0,1500\r");
    }

    #[test]
    fn a_caller_that_listens_during_flash_work_reads_ahead() {
        let mut client = online();
        assert_eq!(
            client.read_ahead(27),
            None,
            "nothing says that there is any"
        );
        sent(&mut client, 126, b"AT+QIRD=0,1500\r");
        assert_eq!(client.read_ahead(126), None, "an answer is on its way");
        say(&mut client, b"\r\n+QIRD: 2\r\nab\r\n\r\nOK\r\n", 127);
        assert_eq!(client.poll(127), Event::Received(&mut b"ab".to_vec()));
        assert_eq!(client.read_ahead(127), Some(&b"AT+QIRD=0,1500\r"[..]));
        assert_eq!(client.read_ahead(127), None);
        assert!(!client.can_send());
        // The caller is back from its flash, and finds what came meanwhile.
        say(&mut client, b"\r\n+QIRD: 1\r\nc\r\n\r\nOK\r\n", 227);
        assert_eq!(client.poll(227), Event::Received(&mut b"c".to_vec()));
        client.send(b"x").unwrap();
        assert_eq!(
            client.read_ahead(227),
            None,
            "what is to be sent goes first"
        );
        sent(&mut client, 227, b"AT+QISEND=0,1\r");
    }

    #[test]
    fn payloads_go_and_come_as_hexadecimal_text_when_asked_for() {
        let mut client =
            AtClient::<32, true>::new(SocketAddrV4::new(Ipv4Addr::BROADCAST, u16::MAX));
        let say = |client: &mut AtClient<32, true>, text: &[u8], now| {
            for &byte in text {
                client.feed(byte, now);
            }
        };
        let sent = |client: &mut AtClient<32, true>, now, expected: &[u8]| {
            assert_eq!(client.poll(now), Event::Transmit(expected));
        };
        client.poll(0);
        say(&mut client, b"OK\r\n", 1);
        sent(&mut client, 21, b"ATE0\r");
        say(&mut client, b"OK\r\n", 22);
        sent(&mut client, 22, b"AT+QICFG=\"dataformat\",1,1\r");
        say(&mut client, b"OK\r\n", 22);
        sent(&mut client, 22, b"AT+CEREG?\r");
        say(&mut client, b"+CEREG: 0,1\r\nOK\r\n", 23);
        sent(&mut client, 23, b"AT+QICLOSE=0\r");
        say(&mut client, b"OK\r\n", 24);
        assert!(matches!(client.poll(24), Event::Transmit(_)));
        say(&mut client, b"OK\r\n+QIOPEN: 0,0\r\n", 25);
        sent(&mut client, 25, b"AT+QIRD=0,1500\r");
        say(&mut client, b"+QIRD: 2\r\n0AfF\r\n\r\nOK\r\n", 26);
        assert_eq!(client.poll(26), Event::Received(&mut [0x0A, 0xFF]));
        assert_eq!(client.poll(26), Event::Up);
        client.send(&[0xA5; 30]).unwrap();
        sent(&mut client, 27, b"AT+QISEND=0,30\r");
        say(&mut client, b"\r\n> ", 28);
        sent(&mut client, 28, &b"A5".repeat(28));
        sent(&mut client, 28, b"A5A5");
        assert!(matches!(client.poll(28), Event::Idle { .. }));
    }

    #[test]
    fn reads_slow_down_while_nothing_comes() {
        let mut client = online();
        let mut now = 126;
        for pause in [200, 400, 800, 1600, 1600] {
            sent(&mut client, now, b"AT+QIRD=0,1500\r");
            say(&mut client, b"+QIRD: 0\r\n\r\nOK\r\n", now);
            now += pause;
            assert_eq!(client.poll(now - 1), Event::Idle { until_ms: now });
        }
    }

    #[test]
    fn data_cut_short_is_never_handed_over_and_leads_to_a_new_start() {
        let mut client = online();
        sent(&mut client, 126, b"AT+QIRD=0,1500\r");
        say(&mut client, b"\r\n+QIRD: 20\r\nshort\r\n\r\nOK\r\n", 130);
        assert_eq!(client.poll(131), Event::Idle { until_ms: 630 });
        assert!(matches!(client.poll(630), Event::Transmit(filled) if filled.ends_with(b"AT\r")));
        assert!(!client.is_up());
    }

    #[test]
    fn a_restarted_modem_is_brought_up_again() {
        let mut client = online();
        say(&mut client, b"\r\nRDY\r\n", 50);
        assert!(matches!(client.poll(50), Event::Transmit(filled) if filled.ends_with(b"AT\r")));
        assert_eq!(client.send(b"x"), Err(SendError::Down));
    }

    #[test]
    fn an_error_on_sending_opens_the_socket_anew() {
        let mut client = online();
        client.send(b"x").unwrap();
        sent(&mut client, 30, b"AT+QISEND=0,1\r");
        say(&mut client, b"\r\nERROR\r\n", 31);
        assert_eq!(client.poll(31), Event::Idle { until_ms: 531 });
        sent(&mut client, 531, b"AT+QICLOSE=0\r");
    }
}
