//! A modem for tests, in virtual time: one socket, whatever mood it starts in, and as slow or as talkative as asked for.

extern crate std;
use std::{borrow::ToOwned, collections::VecDeque, format, string::String, vec::Vec};

/// What the modem takes the next byte for.
enum Mode {
    Command,
    Payload { missing: usize, bytes: Vec<u8> },
}

/// What happens later.
enum Later {
    Say(Vec<u8>),
    /// The socket asked for opens, and `+QIOPEN` says so.
    Open,
}

/// What `+CEREG?` is answered with once the modem is registered, and its other habits.
pub(crate) struct Habits {
    /// How long an answer takes: by the start of its command, `>` and `SEND OK` by themselves, `+QIOPEN` the URC.
    pub(crate) slow: Vec<(&'static str, u64)>,
    /// What it is sent while it is at work it does afterwards; otherwise it is deaf.
    pub(crate) keeps_input: bool,
    pub(crate) registration: String,
    /// Says `OK` to `ATE0` and echoes on.
    pub(crate) always_echoes: bool,
    /// Opens no socket before `AT+QIACT=1`.
    pub(crate) needs_context: bool,
    /// Said before every answer's last line.
    pub(crate) chatter: &'static str,
    /// Answered with this error instead, once each: by the start of the command.
    pub(crate) errors: Vec<(&'static str, &'static str)>,
    /// What announces a datagram.
    pub(crate) recv: &'static str,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            slow: Vec::new(),
            keeps_input: false,
            registration: "+CEREG: 0,1".to_owned(),
            always_echoes: false,
            needs_context: false,
            chatter: "",
            errors: Vec::new(),
            recv: "+QIURC: \"recv\",0",
        }
    }
}

pub(crate) struct SimulatedModem {
    pub(crate) habits: Habits,
    mode: Mode,
    line: Vec<u8>,
    echo: bool,
    open: bool,
    opening: bool,
    context: bool,
    /// The network took it away: it has to be deactivated before it can be activated.
    stuck: bool,
    /// Registration questions still answered with "searching".
    searching: usize,
    announces: bool,
    inbox: VecDeque<Vec<u8>>,
    later: Vec<(u64, Later)>,
    busy_until: u64,
    kept: VecDeque<u8>,
    pub(crate) commands: Vec<String>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) output: VecDeque<u8>,
}

impl SimulatedModem {
    /// Fresh from power-on. `announces` says whether unsolicited result codes get through.
    pub(crate) fn new(searching: usize, announces: bool) -> Self {
        Self {
            habits: Habits::default(),
            mode: Mode::Command,
            line: Vec::new(),
            echo: true,
            open: false,
            opening: false,
            context: false,
            stuck: false,
            searching,
            announces,
            inbox: VecDeque::new(),
            later: Vec::new(),
            busy_until: 0,
            kept: VecDeque::new(),
            commands: Vec::new(),
            sent: Vec::new(),
            output: VecDeque::new(),
        }
    }

    pub(crate) fn with(habits: Habits) -> Self {
        Self {
            habits,
            ..Self::new(0, true)
        }
    }

    /// Still waits for the rest of a datagram an earlier life of the board began.
    pub(crate) fn left_in_payload(mut self, missing: usize) -> Self {
        self.open = true;
        self.echo = false;
        self.mode = Mode::Payload {
            missing,
            bytes: Vec::new(),
        };
        self
    }

    /// A datagram arrives from the network.
    pub(crate) fn deliver(&mut self, datagram: &[u8]) {
        self.inbox.push_back(datagram.to_vec());
        self.announce(self.habits.recv);
    }

    /// The network takes the socket away without a word.
    pub(crate) fn lose_socket(&mut self) {
        self.open = false;
    }

    /// The network takes the context away, and the socket with it.
    pub(crate) fn lose_context(&mut self) {
        (self.open, self.context, self.stuck) = (false, false, true);
        self.announce("+QIURC: \"pdpdeact\",1");
    }

    /// Power on again.
    pub(crate) fn restart(&mut self) {
        (self.open, self.context, self.stuck) = (false, false, false);
        self.echo = true;
        self.mode = Mode::Command;
        self.inbox.clear();
        self.later.clear();
        self.busy_until = 0;
        self.say("\r\nRDY\r\n");
    }

    /// Says something unasked.
    pub(crate) fn announce(&mut self, text: &str) {
        if self.announces {
            self.say(&format!("\r\n{text}\r\n"));
        }
    }

    fn say(&mut self, text: &str) {
        self.output.extend(text.as_bytes());
    }

    /// When it does something by itself next.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.later.iter().map(|(at, _)| *at).min()
    }

    /// Does what is due, and what it was told meanwhile.
    pub(crate) fn tick(&mut self, now: u64) {
        while let Some(first) = (0..self.later.len())
            .filter(|&n| self.later[n].0 <= now)
            .min_by_key(|&n| self.later[n].0)
        {
            match self.later.remove(first).1 {
                Later::Say(bytes) => self.output.extend(bytes),
                Later::Open if self.opening => {
                    (self.open, self.opening) = (true, false);
                    self.announce("+QIOPEN: 0,0");
                }
                Later::Open => {}
            }
        }
        while now >= self.busy_until
            && let Some(byte) = self.kept.pop_front()
        {
            self.take(byte, now);
        }
    }

    pub(crate) fn hear(&mut self, byte: u8, now: u64) {
        if now >= self.busy_until && self.kept.is_empty() {
            self.take(byte, now);
        } else if self.habits.keeps_input {
            self.kept.push_back(byte);
        }
    }

    fn take(&mut self, byte: u8, now: u64) {
        match &mut self.mode {
            Mode::Payload { missing, bytes } => {
                bytes.push(byte);
                *missing -= 1;
                if *missing == 0 {
                    let bytes = core::mem::take(bytes);
                    self.sent.push(bytes);
                    self.mode = Mode::Command;
                    self.answer("SEND OK", b"\r\nSEND OK\r\n", now);
                }
            }
            Mode::Command => {
                if self.echo {
                    self.output.push_back(byte);
                }
                if byte != b'\r' {
                    self.line.push(byte);
                } else if !self.line.is_empty() {
                    let line = String::from_utf8_lossy(&self.line).into_owned();
                    self.line.clear();
                    self.obey(&line, now);
                    self.commands.push(line);
                }
            }
        }
    }

    fn takes(&self, what: &str) -> u64 {
        let slow = self.habits.slow.iter();
        slow.filter(|(key, _)| what.starts_with(key) && (*key != "AT" || what == "AT"))
            .map(|(_, ms)| *ms)
            .max()
            .unwrap_or(0)
    }

    /// Says this once `command` is done.
    fn answer(&mut self, command: &str, bytes: &[u8], now: u64) {
        let at = now + self.takes(command);
        self.busy_until = at;
        self.later.push((at, Later::Say(bytes.to_vec())));
        if at == now {
            self.tick(now);
        }
    }

    fn done(&mut self, command: &str, information: &str, now: u64) {
        let chatter = self.habits.chatter;
        self.answer(
            command,
            format!("{information}{chatter}\r\nOK\r\n").as_bytes(),
            now,
        );
    }

    fn obey(&mut self, command: &str, now: u64) {
        let errors = &mut self.habits.errors;
        if let Some(due) = errors.iter().position(|(key, _)| command.starts_with(key)) {
            let (_, error) = errors.remove(due);
            return self.answer(command, format!("\r\n{error}\r\n").as_bytes(), now);
        }
        // A line spoilt by earlier noise ends in the first command the client sends.
        match command {
            "AT" => self.done(command, "", now),
            "ATE0" => {
                self.echo = self.habits.always_echoes;
                self.done(command, "", now);
            }
            "AT+CEREG?" => {
                let line = if self.searching == 0 {
                    self.habits.registration.clone()
                } else {
                    "+CEREG: 0,2".to_owned()
                };
                self.searching = self.searching.saturating_sub(1);
                self.done(command, &format!("\r\n{line}\r\n"), now);
            }
            "AT+QIDEACT=1" => {
                (self.open, self.context, self.stuck) = (false, false, false);
                self.done(command, "", now);
            }
            "AT+QIACT=1" if !self.stuck && !self.context => {
                self.context = true;
                self.done(command, "", now);
            }
            "AT+QICLOSE=0" => {
                (self.open, self.opening) = (false, false);
                self.done(command, "", now);
            }
            "AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",4000,0,0" => {
                self.done(command, "", now);
                let at = self.busy_until + self.takes("+QIOPEN");
                if self.stuck || self.habits.needs_context && !self.context {
                    let urc = b"\r\n+QIOPEN: 0,561\r\n".to_vec();
                    self.later.push((at, Later::Say(urc)));
                } else {
                    self.opening = true;
                    self.later.push((at, Later::Open));
                }
                self.tick(now);
            }
            "AT+QIRD=0,1500" if self.open => {
                let datagram = self.inbox.pop_front().unwrap_or_default();
                let mut bytes = format!("\r\n+QIRD: {}\r\n", datagram.len()).into_bytes();
                bytes.extend(&datagram);
                bytes.extend(format!("\r\n{}\r\nOK\r\n", self.habits.chatter).as_bytes());
                self.answer(command, &bytes, now);
            }
            _ => match command.strip_prefix("AT+QISEND=0,").map(str::parse) {
                Some(Ok(missing)) if self.open && missing > 0 => {
                    self.answer(">", b"\r\n> ", now);
                    self.mode = Mode::Payload {
                        missing,
                        bytes: Vec::new(),
                    };
                }
                _ => self.answer(command, b"\r\nERROR\r\n", now),
            },
        }
    }
}
