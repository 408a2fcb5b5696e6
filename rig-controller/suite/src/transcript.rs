//! The words of a program, in the order in which they came: text, and defmt frames decoded.

use std::fmt;
use std::time::Duration;

use defmt_decoder::{DecodeError, StreamDecoder, Table};

/// A line of text, or a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// When it came, in the board's time since its reset.
    pub at: Duration,
    /// The level of a frame that has one.
    pub level: Option<String>,
    /// The words.
    pub text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(level) = &self.level {
            write!(f, "{level} ")?;
        }
        f.write_str(&self.text)
    }
}

/// One way by which bytes come.
enum Stream<'a> {
    /// Lines; the one that has not ended yet.
    Text(Vec<u8>),
    Frames(Box<dyn StreamDecoder + Send + Sync + 'a>),
}

impl<'a> Stream<'a> {
    fn new(table: Option<&'a Table>) -> Self {
        match table {
            Some(table) => Self::Frames(table.new_stream_decoder()),
            None => Self::Text(Vec::new()),
        }
    }

    fn receive(&mut self, bytes: &[u8], at: Duration, messages: &mut Vec<Message>) {
        match self {
            Self::Text(line) => {
                for byte in bytes {
                    if *byte == b'\n' {
                        messages.push(text(&std::mem::take(line), at));
                    } else {
                        line.push(*byte);
                    }
                }
            }
            Self::Frames(decoder) => {
                decoder.received(bytes);
                decode(decoder.as_mut(), at, messages);
            }
        }
    }

    fn end(&mut self, at: Duration, messages: &mut Vec<Message>) {
        if let Self::Text(line) = self
            && !line.is_empty()
        {
            messages.push(text(&std::mem::take(line), at));
        }
    }
}

fn text(line: &[u8], at: Duration) -> Message {
    Message {
        at,
        level: None,
        text: String::from_utf8_lossy(line).into_owned(),
    }
}

fn decode(decoder: &mut dyn StreamDecoder, at: Duration, messages: &mut Vec<Message>) {
    loop {
        match decoder.decode() {
            Ok(frame) => messages.push(Message {
                at,
                level: frame.level().map(|level| level.as_str().to_uppercase()),
                text: frame.display_message().to_string(),
            }),
            Err(DecodeError::UnexpectedEof) => return,
            Err(DecodeError::Malformed) => messages.push(Message {
                at,
                level: None,
                text: "(a malformed defmt frame: bytes were lost)".to_owned(),
            }),
        }
    }
}

/// The words of one run, in the order in which they came; bytes go in as they come.
pub struct Transcript<'a> {
    messages: Vec<Message>,
    semihosting: Stream<'a>,
    rtt: Stream<'a>,
    now: Duration,
}

impl<'a> Transcript<'a> {
    /// Where a program has RTT, its defmt frames come there and its semihosting is text; else they come by semihosting.
    pub(crate) fn new(table: Option<&'a Table>, has_rtt: bool) -> Self {
        Self {
            messages: Vec::new(),
            semihosting: Stream::new(table.filter(|_| !has_rtt)),
            rtt: Stream::new(table.filter(|_| has_rtt)),
            now: Duration::ZERO,
        }
    }

    /// Bytes have come by semihosting.
    pub fn semihosting(&mut self, bytes: &[u8], at: Duration) {
        self.semihosting.receive(bytes, at, &mut self.messages);
    }

    /// Bytes have come by RTT.
    pub fn rtt(&mut self, bytes: &[u8], at: Duration) {
        self.rtt.receive(bytes, at, &mut self.messages);
    }

    /// Nothing more comes.
    pub fn end(&mut self, at: Duration) {
        self.now = at;
        self.semihosting.end(at, &mut self.messages);
        self.rtt.end(at, &mut self.messages);
    }

    /// All that was said, in order.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// When it ended, in the board's time since its reset.
    pub fn ended_at(&self) -> Duration {
        self.now
    }

    /// The same as lines.
    pub fn lines(&self) -> Vec<String> {
        self.messages.iter().map(ToString::to_string).collect()
    }

    #[cfg(test)]
    pub(crate) fn of_messages(messages: &[&str]) -> Self {
        let mut transcript = Self::new(None, false);
        for message in messages {
            transcript.semihosting(message.as_bytes(), Duration::ZERO);
            transcript.semihosting(b"\n", Duration::ZERO);
        }
        transcript
    }
}
