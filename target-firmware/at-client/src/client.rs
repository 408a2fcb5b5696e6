//! The conversation: brings the modem up, sends and reads datagrams, and starts over when lost.
use core::fmt::Write;
use core::net::SocketAddrV4;

use heapless::{String, Vec};
use thiserror::Error;

use crate::answer::{self, Answer};
use crate::patience::{
    DATA_SILENCE_MS, LONGEST_ANSWER_MS, OPEN_HINT_MS, OPEN_RETRY_MS, PROBE_MS, READ_FAST_MS,
    READ_SLOW_MS, REGISTRATION_RETRY_MS, SETTLE_AT_MOST_MS, SETTLE_SILENCE_MS, SYNC_RETRY_MS,
    before_probing,
};
use crate::receiver::{Heard, Receiver};
use crate::state::{Pending, State, Trouble};

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

/// The next act of the caller.
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

/// One UDP socket on one modem. `RX` is the longest datagram that can be received. With `HEX` the modem takes and gives
/// payloads as hexadecimal text, as some do by default and serial lines that are not clean to eight bits need; it is
/// part of the type so that firmware without it does not carry it.
pub struct AtClient<const RX: usize, const HEX: bool = false> {
    remote: SocketAddrV4,
    state: State,
    /// When `state` has lasted long enough to do something about it.
    deadline: u64,
    /// When the command of `state` has had all the time there is.
    give_up: u64,
    /// `AT` was asked beside that command, so an `OK` may be the answer to either.
    probed: bool,
    /// When the socket asked for should have opened.
    open_until: u64,
    trouble: Trouble,
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
            give_up: 0,
            probed: false,
            open_until: 0,
            trouble: Trouble::None,
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
                    self.await_answer(State::SendResult, now_ms);
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

    /// While online, either a datagram goes out, or a read is due, or there is time to sleep; unless it is known not to be.
    fn next_online(&mut self, now: u64) {
        if self.trouble != Trouble::None {
            self.reopen(now);
        } else if !self.datagram.is_empty() {
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
                self.hurry(now);
            }
            (_, Answer::SocketClosed) => {
                self.note(Trouble::Closed);
                self.hurry(now);
            }
            (_, Answer::ContextLost) => {
                self.note(Trouble::ContextStuck);
                self.hurry(now);
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
            (State::EchoOff | State::Configuring, Answer::Ok | Answer::Error) => {
                self.ask_registration(now);
            }
            (
                State::Registering | State::RegistrationHeard { .. },
                Answer::Registration { registered },
            ) => self.state = State::RegistrationHeard { registered },
            (State::RegistrationHeard { registered: true }, Answer::Ok) => self.connect(now),
            (State::RegistrationHeard { .. }, Answer::Ok)
            | (State::Registering | State::RegistrationHeard { .. }, Answer::Error) => {
                self.enter(State::Pause, now + REGISTRATION_RETRY_MS);
            }
            (State::Registering, Answer::Ok) if self.probed => {
                self.enter(State::Pause, now + REGISTRATION_RETRY_MS);
            }
            (State::Deactivating, Answer::Ok | Answer::Error) => self.activate(now),
            (State::Activating, Answer::Error) if self.trouble == Trouble::ContextDown => {
                self.trouble = Trouble::ContextStuck;
                self.enter(State::Pause, now + OPEN_RETRY_MS);
            }
            // An error even so may mean that this modem needs nothing of the kind; opening tells.
            (State::Activating, Answer::Ok | Answer::Error) => {
                self.trouble = Trouble::Closed;
                self.close(now);
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
            (State::Opening, Answer::Ok) => {
                self.open_until = now + LONGEST_ANSWER_MS;
                self.read_pace = OPEN_HINT_MS;
                self.enter(State::OpenHint, now + OPEN_HINT_MS);
            }
            // Only a hint; reading tells whether it is true.
            (State::Opening | State::OpenHint, Answer::Opened) => self.read(now),
            (State::Opening | State::OpenHint, Answer::NotOpened { .. } | Answer::Error) => {
                self.not_opened(answer, now);
                self.reopen(now);
            }
            (State::Reading, Answer::NotOpened { .. }) if !self.up => self.not_opened(answer, now),
            // Not open yet, or it never will be.
            (State::Reading, Answer::Error) if !self.up && now < self.open_until => {
                let pause = self.read_pace;
                self.read_pace = (pause * 2).min(READ_SLOW_MS);
                self.enter(State::OpenHint, now + pause);
            }
            (State::Reading, Answer::Data(announced)) => {
                self.receiver.expect_data(announced);
                self.enter(State::ReadingData { announced }, now + DATA_SILENCE_MS);
            }
            (State::ReadingData { announced }, Answer::Ok) => self.read_done(announced, now),
            (State::SendResult, Answer::SendOk | Answer::SendFail) => self.sent(now),
            // The modem is done, and its answer was lost; a prompt that was lost took the probe for the datagram.
            (State::Reading, Answer::Ok) if self.probed => self.resynchronise(now),
            (State::SendResult, Answer::Ok) if self.probed => self.sent(now),
            (State::SendPrompt, Answer::Ok) if self.probed => self.go_online(),
            // The socket is gone, or never opened.
            (
                State::Reading | State::ReadingData { .. } | State::SendPrompt | State::SendResult,
                Answer::Error,
            ) => self.reopen(now),
            _ => {}
        }
    }

    /// Has the caller poll at once where there is nothing to wait for first.
    fn hurry(&mut self, now: u64) {
        if self.state == State::Online {
            self.deadline = now;
        }
    }

    fn note(&mut self, trouble: Trouble) {
        self.trouble = self.trouble.max(trouble);
    }

    /// The modem says that the socket did not open: what that says about the context.
    fn not_opened(&mut self, answer: Answer, now: u64) {
        self.open_until = now;
        self.note(match answer {
            Answer::NotOpened { context: false } => Trouble::Closed,
            _ => Trouble::ContextDown,
        });
    }

    /// The present state has lasted until its deadline.
    fn time_out(&mut self, now: u64) {
        match self.state {
            State::Settling { .. } => self.ask(State::EchoOff, now, format_args!("ATE0\r")),
            State::Pause => self.ask_registration(now),
            State::OpenHint => self.read(now),
            State::Online => {}
            State::Synchronising | State::ReadingData { .. } => self.resynchronise(now),
            _ if now < self.give_up => {
                self.pending = Pending::Resynchronise;
                self.probed = true;
                self.deadline = self.give_up.min(now + PROBE_MS);
            }
            _ => self.resynchronise(now),
        }
    }

    fn ask_registration(&mut self, now: u64) {
        self.ask(State::Registering, now, format_args!("AT+CEREG?\r"));
    }

    /// There is a network: what the socket needs, in turn.
    fn connect(&mut self, now: u64) {
        match self.trouble {
            Trouble::ContextStuck => self.ask(
                State::Deactivating,
                now,
                format_args!("AT+QIDEACT={}\r", answer::CONTEXT),
            ),
            Trouble::ContextDown => self.activate(now),
            Trouble::Closed | Trouble::None => self.close(now),
        }
    }

    fn activate(&mut self, now: u64) {
        self.ask(
            State::Activating,
            now,
            format_args!("AT+QIACT={}\r", answer::CONTEXT),
        );
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
        if !self.up {
            self.up = true;
            self.trouble = Trouble::None;
            self.read_pace = READ_FAST_MS;
        }
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
        self.go_online();
    }

    /// The datagram is gone, or lost.
    fn sent(&mut self, now: u64) {
        self.datagram.clear();
        self.read_pace = READ_FAST_MS;
        self.read_due = self.read_due.min(now + READ_FAST_MS);
        self.go_online();
    }

    fn go_online(&mut self) {
        self.enter(State::Online, self.read_due);
    }

    /// Gives up the socket and opens another.
    fn reopen(&mut self, now: u64) {
        self.lose_socket();
        self.enter(State::Pause, now + OPEN_RETRY_MS);
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
        self.await_answer(state, now);
    }

    fn await_answer(&mut self, state: State, now: u64) {
        self.give_up = now + LONGEST_ANSWER_MS;
        self.probed = false;
        self.enter(state, now + before_probing(state));
    }

    fn enter(&mut self, state: State, deadline: u64) {
        self.state = state;
        self.deadline = deadline;
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
