//! A well-behaved modem for tests: answers every command, one socket, and whatever mood it starts in.

extern crate std;
use std::{collections::VecDeque, format, string::String, vec::Vec};

/// What the modem takes the next byte for.
enum Mode {
    Command,
    Payload { missing: usize, bytes: Vec<u8> },
}

pub(crate) struct SimulatedModem {
    mode: Mode,
    line: Vec<u8>,
    echo: bool,
    open: bool,
    /// Registration questions still answered with "searching".
    searching: usize,
    announces: bool,
    inbox: VecDeque<Vec<u8>>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) output: VecDeque<u8>,
}

impl SimulatedModem {
    /// Fresh from power-on. `announces` says whether unsolicited result codes get through.
    pub(crate) fn new(searching: usize, announces: bool) -> Self {
        Self {
            mode: Mode::Command,
            line: Vec::new(),
            echo: true,
            open: false,
            searching,
            announces,
            inbox: VecDeque::new(),
            sent: Vec::new(),
            output: VecDeque::new(),
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
        self.announce("+QIURC: \"recv\",0");
    }

    /// The network takes the socket away without a word.
    pub(crate) fn lose_socket(&mut self) {
        self.open = false;
    }

    fn announce(&mut self, text: &str) {
        if self.announces {
            self.say(&format!("\r\n{text}\r\n"));
        }
    }

    fn say(&mut self, text: &str) {
        self.output.extend(text.as_bytes());
    }

    pub(crate) fn hear(&mut self, byte: u8) {
        match &mut self.mode {
            Mode::Payload { missing, bytes } => {
                bytes.push(byte);
                *missing -= 1;
                if *missing == 0 {
                    let bytes = core::mem::take(bytes);
                    self.sent.push(bytes);
                    self.mode = Mode::Command;
                    self.say("\r\nSEND OK\r\n");
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
                    self.obey(&line);
                }
            }
        }
    }

    fn obey(&mut self, command: &str) {
        // A line spoilt by earlier noise ends in the first command the client sends.
        match command {
            "AT" => self.say("\r\nOK\r\n"),
            "ATE0" => {
                self.echo = false;
                self.say("\r\nOK\r\n");
            }
            "AT+CEREG?" => {
                let state = if self.searching == 0 { 1 } else { 2 };
                self.searching = self.searching.saturating_sub(1);
                self.say(&format!("\r\n+CEREG: 0,{state}\r\n\r\nOK\r\n"));
            }
            "AT+QICLOSE=0" => {
                self.open = false;
                self.say("\r\nOK\r\n");
            }
            "AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",4000,0,0" => {
                self.open = true;
                self.say("\r\nOK\r\n");
                self.announce("+QIOPEN: 0,0");
            }
            "AT+QIRD=0,1500" if self.open => {
                let datagram = self.inbox.pop_front().unwrap_or_default();
                self.say(&format!("\r\n+QIRD: {}\r\n", datagram.len()));
                self.output.extend(&datagram);
                self.say("\r\n\r\nOK\r\n");
            }
            _ => match command.strip_prefix("AT+QISEND=0,").map(str::parse) {
                Some(Ok(missing)) if self.open && missing > 0 => {
                    self.say("\r\n> ");
                    self.mode = Mode::Payload {
                        missing,
                        bytes: Vec::new(),
                    };
                }
                _ => self.say("\r\nERROR\r\n"),
            },
        }
    }
}
