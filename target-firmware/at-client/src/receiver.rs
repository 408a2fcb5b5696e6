//! Splits what the modem says into lines, prompts and counted data.
//!
//! Owns the receive buffers. Any byte sequence is safe: of overlong lines the fields that fit are kept, data
//! longer than the buffer is counted off and dropped, carriage returns and NULs never take room.

use heapless::Vec;

/// No answer the client acts on has what it acts on further behind.
const LINE_BYTES: usize = 48;

/// The piece of text that one more byte completed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// A line without its line ending; never empty. Of one that does not fit, the whole fields at its head.
    Line(&'a [u8]),
    /// The modem waits for the bytes of a datagram.
    Prompt,
    /// The last of the announced data bytes arrived.
    Data,
}

/// How the next byte is to be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Belongs to the line in the buffer.
    Line,
    /// Belongs to a line whose head is all that matters.
    OverlongLine,
    /// Starts a new line; the buffer still holds the one handed out.
    LineStart,
    /// Is data.
    Data { missing: usize },
}

/// With `HEX`, data comes as two hexadecimal digits a byte.
pub(crate) struct Receiver<const RX: usize, const HEX: bool = false> {
    mode: Mode,
    /// A `>` at the start of a line is a prompt only while one is expected.
    prompt_expected: bool,
    line: Vec<u8, LINE_BYTES>,
    data: Vec<u8, RX>,
    /// It does not fit, or is not the text it should be.
    data_spoilt: bool,
    /// The first of two digits.
    digit: Option<u8>,
}

impl<const RX: usize, const HEX: bool> Receiver<RX, HEX> {
    pub(crate) const fn new() -> Self {
        Self {
            mode: Mode::LineStart,
            prompt_expected: false,
            line: Vec::new(),
            data: Vec::new(),
            data_spoilt: false,
            digit: None,
        }
    }

    /// Forgets whatever was half received.
    pub(crate) fn abandon(&mut self) {
        self.mode = Mode::LineStart;
        self.prompt_expected = false;
        self.data.clear();
        self.data_spoilt = false;
    }

    /// Takes a `>` at the start of a line to come as a prompt.
    pub(crate) fn expect_prompt(&mut self) {
        self.prompt_expected = true;
    }

    /// Takes what comes next as `announced` bytes of data, whatever they are.
    pub(crate) fn expect_data(&mut self, announced: usize) {
        self.data.clear();
        self.digit = None;
        self.data_spoilt = announced > RX;
        if announced > 0 {
            let missing = announced * if HEX { 2 } else { 1 };
            self.mode = Mode::Data { missing };
        }
    }

    /// Whether the data received last is all there: it was not longer than the buffer, and text where it should be.
    pub(crate) fn holds_data(&self) -> bool {
        !self.data_spoilt
    }

    /// The data received last, or `None` when it is not all there.
    pub(crate) fn data(&mut self) -> Option<&mut [u8]> {
        (!self.data_spoilt).then_some(self.data.as_mut_slice())
    }

    /// Takes one byte; says what it completed.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Heard<'_>> {
        match (self.mode, byte) {
            (Mode::Data { missing }, _) => {
                self.take_data(byte);
                if missing > 1 {
                    self.mode = Mode::Data {
                        missing: missing - 1,
                    };
                    return None;
                }
                self.mode = Mode::LineStart;
                Some(Heard::Data)
            }
            (Mode::Line | Mode::OverlongLine, b'\n') if !self.line.is_empty() => {
                self.mode = Mode::LineStart;
                Some(Heard::Line(&self.line))
            }
            (_, b'\n') => {
                self.mode = Mode::LineStart;
                None
            }
            // The blank follows a prompt, late or not at all.
            (_, b'\r' | 0) | (Mode::LineStart, b' ') | (Mode::OverlongLine, _) => None,
            (Mode::LineStart, b'>') if self.prompt_expected => {
                self.prompt_expected = false;
                Some(Heard::Prompt)
            }
            (Mode::LineStart, _) => {
                self.line.clear();
                self.append(byte);
                None
            }
            (Mode::Line, _) => {
                self.append(byte);
                None
            }
        }
    }

    fn take_data(&mut self, byte: u8) {
        let value = if HEX {
            let Some(value) = char::from(byte).to_digit(16) else {
                self.data_spoilt = true;
                return;
            };
            match self.digit.take() {
                None => {
                    self.digit = Some(value as u8);
                    return;
                }
                Some(high) => high << 4 | value as u8,
            }
        } else {
            byte
        };
        // Refused by a full buffer when the data is overlong: then it is only counted.
        let _ = self.data.push(value);
    }

    fn append(&mut self, byte: u8) {
        self.mode = if self.line.push(byte).is_ok() {
            Mode::Line
        } else {
            // The last field may go on: half a number must not be taken for one.
            let whole = self.line.iter().rposition(|&byte| byte == b',');
            self.line.truncate(whole.unwrap_or(0));
            Mode::OverlongLine
        };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Heard, Receiver};
    use std::{string::String, vec::Vec};

    fn lines(receiver: &mut Receiver<8>, bytes: &[u8]) -> Vec<String> {
        let mut heard = Vec::new();
        for &byte in bytes {
            match receiver.push(byte) {
                Some(Heard::Line(line)) => {
                    heard.push(String::from_utf8_lossy(line).into_owned());
                }
                Some(other) => panic!("unexpected {other:?}"),
                None => {}
            }
        }
        heard
    }

    #[test]
    fn lines_come_without_their_endings_and_blank_ones_not_at_all() {
        let mut receiver = Receiver::new();
        assert_eq!(
            lines(&mut receiver, b"AT\r\r\nOK\r\n\r\n\0+X: 1\r\n"),
            ["AT", "OK", "+X: 1"]
        );
    }

    #[test]
    fn an_overlong_line_is_dropped_and_the_next_one_heard() {
        let mut receiver = Receiver::new();
        let mut bytes = Vec::from([b'x'; 1000]);
        bytes.extend(b"OK\r\nOK\r\n");
        assert_eq!(lines(&mut receiver, &bytes), ["OK"]);
    }

    #[test]
    fn of_an_overlong_line_the_whole_fields_at_its_head_are_heard() {
        let mut receiver = Receiver::new();
        let mut bytes = Vec::from(b"+QIRD: 12,\"a\",");
        bytes.extend([b'7'; 60]);
        bytes.extend(b",1\r\nOK\r\n");
        assert_eq!(
            lines(&mut receiver, &bytes),
            ["+QIRD: 12,\"a\"", "OK"],
            "the field that was cut is not among them"
        );
    }

    #[test]
    fn data_is_taken_by_length_whatever_it_holds() {
        let mut receiver = Receiver::<8>::new();
        receiver.expect_data(6);
        let heard: Vec<bool> = b"\r\nOK\r\n"
            .iter()
            .map(|&byte| receiver.push(byte) == Some(Heard::Data))
            .collect();
        assert_eq!(heard, [false, false, false, false, false, true]);
        assert_eq!(receiver.data().unwrap(), b"\r\nOK\r\n");
        assert_eq!(lines(&mut receiver, b"\r\n\r\nOK\r\n"), ["OK"]);
    }

    #[test]
    fn data_longer_than_the_buffer_is_counted_off_and_withheld() {
        let mut receiver = Receiver::<8>::new();
        receiver.expect_data(9);
        for _ in 0..8 {
            assert_eq!(receiver.push(b'z'), None);
        }
        assert_eq!(receiver.push(b'z'), Some(Heard::Data));
        assert!(receiver.data().is_none());
        assert_eq!(lines(&mut receiver, b"\r\nOK\r\n"), ["OK"]);
    }

    #[test]
    fn hexadecimal_data_is_put_together_and_withheld_when_it_is_none() {
        let mut receiver = Receiver::<4, true>::new();
        receiver.expect_data(3);
        for byte in b"0aFf3B" {
            receiver.push(*byte);
        }
        assert_eq!(receiver.data().unwrap(), [0x0A, 0xFF, 0x3B]);
        assert_eq!(lines(&mut Receiver::new(), b"\r\nOK\r\n"), ["OK"]);
        receiver.expect_data(2);
        for byte in b"00x0" {
            receiver.push(*byte);
        }
        assert!(receiver.data().is_none());
    }

    #[test]
    fn a_prompt_is_one_only_at_the_start_of_a_line_and_when_expected() {
        let mut receiver = Receiver::<8>::new();
        assert_eq!(lines(&mut receiver, b"> no\r\n"), ["> no"]);
        receiver.expect_prompt();
        assert_eq!(lines(&mut receiver, b"a>b\r\n\r\n"), ["a>b"]);
        assert_eq!(receiver.push(b'>'), Some(Heard::Prompt));
        assert_eq!(lines(&mut receiver, b" \r\nSEND OK\r\n"), ["SEND OK"]);
    }
}
