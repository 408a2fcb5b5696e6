//! Captures of real links, as `rig link fit` reads them: a CSV file with a line for each datagram at the device's end.
//!
//! ```text
//! # anything
//! time_s,direction,bytes,id
//! 12.031,up,19,1
//! 12.455,down,183,1
//! 12.456,up,19,2
//! ```
//! `time_s`: seconds since any start, when a datagram was sent (`up`) or had come in whole (`down`); lines are in order of
//! time. `bytes`: its UDP payload. `id`: any text without a comma; an answer carries that of its question, a repeated
//! question gets one of its own. A question without an answer counts as lost, its own or the answer's datagram.
use std::collections::HashMap;
use std::path::Path;

use powercut_document::input_file::{self, ReadFileError};
use powercut_document::{Fault, Place};

/// Files larger than this are not read: 64 MB are two million datagrams.
const LARGEST_BYTES: u64 = 64 << 20;
const HEADER: &str = "time_s,direction,bytes,id";

/// A question and what came back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CapturedExchange {
    /// When the question was sent, in seconds.
    pub sent_s: f64,
    /// UDP payload bytes of the question.
    pub up_bytes: f64,
    /// When the answer had come, in seconds, and its UDP payload bytes.
    pub answer: Option<(f64, f64)>,
    /// Further copies of the answer.
    pub copies: u64,
}

/// Everything in a capture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Capture {
    /// In order of the questions.
    pub exchanges: Vec<CapturedExchange>,
}

impl Capture {
    /// Read a file.
    ///
    /// # Errors
    /// When it cannot be read or a line of it is not as described above; the line is named.
    pub fn load(path: &Path) -> Result<Self, Fault> {
        let unreadable = |source: std::io::Error| {
            Fault::new(
                format!("cannot read the capture: {source}"),
                "check the path, and that it is a CSV text",
            )
            .at(Place::whole(path))
        };
        let text = input_file::read_text(path, LARGEST_BYTES).map_err(|error| match error {
            ReadFileError::TooLong { most_bytes } => Fault::new(
                format!("the capture has more than {most_bytes} bytes"),
                "cut it into shorter ones",
            )
            .at(Place::whole(path)),
            other => unreadable(other.into()),
        })?;
        Self::parse(path, &text)
    }

    /// Read a text; `file` is only the name used in complaints.
    ///
    /// # Errors
    /// When a line is not as described above.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Fault> {
        let mut lines = (1..)
            .zip(text.lines().map(str::trim))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let at = |line: u64| Place {
            file: file.to_owned(),
            line,
            column: 1,
        };
        match lines.next() {
            Some((_, HEADER)) => {}
            other => {
                let line = other.map_or(1, |(line, _)| line);
                return Err(Fault::new(
                    "the capture does not begin with the names of its columns",
                    format!("write `{HEADER}` as its first line"),
                )
                .at(at(line)));
            }
        }
        let mut capture = Self::default();
        let mut by_id: HashMap<&str, usize> = HashMap::new();
        let mut latest = f64::NEG_INFINITY;
        for (number, line) in lines {
            let fault = |message: String, remedy: &str| Fault::new(message, remedy).at(at(number));
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [time, direction, bytes, id] = fields[..] else {
                return Err(fault(
                    format!("{} columns", fields.len()),
                    "a line has four: time_s,direction,bytes,id",
                ));
            };
            let time_s = time
                .parse::<f64>()
                .ok()
                .filter(|time| time.is_finite() && *time >= latest)
                .ok_or_else(|| {
                    fault(
                        format!("the time is `{}`", time.escape_debug()),
                        "write seconds, not before those of the line above",
                    )
                })?;
            latest = time_s;
            let bytes = bytes
                .parse::<u32>()
                .ok()
                .filter(|bytes| (1..=65_507).contains(bytes))
                .map(f64::from)
                .ok_or_else(|| {
                    fault(
                        format!("the length is `{}`", bytes.escape_debug()),
                        "write the bytes of UDP payload, 1 to 65507",
                    )
                })?;
            match direction {
                "up" => {
                    let place = capture.exchanges.len();
                    if by_id.insert(id, place).is_some() {
                        return Err(fault(
                            format!("a second question `{}`", id.escape_debug()),
                            "give each datagram sent an id of its own, repeated ones too",
                        ));
                    }
                    capture.exchanges.push(CapturedExchange {
                        sent_s: time_s,
                        up_bytes: bytes,
                        answer: None,
                        copies: 0,
                    });
                }
                "down" => {
                    let exchange = by_id
                        .get(id)
                        .and_then(|place| capture.exchanges.get_mut(*place))
                        .ok_or_else(|| {
                            fault(
                                format!("an answer to `{}`, which nobody asked", id.escape_debug()),
                                "leave out datagrams that answer nothing",
                            )
                        })?;
                    if exchange.answer.is_some() {
                        exchange.copies += 1;
                    } else {
                        exchange.answer = Some((time_s, bytes));
                    }
                }
                other => {
                    return Err(fault(
                        format!("the direction is `{}`", other.escape_debug()),
                        "write up (from the device) or down (to the device)",
                    ));
                }
            }
        }
        Ok(capture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Capture, Fault> {
        Capture::parse(Path::new("c.csv"), text)
    }

    #[test]
    fn answers_find_their_questions_in_any_order() {
        let capture = parse(
            "# site 3\ntime_s,direction,bytes,id\n1.0,up,19,a\n1.5,up,20,b\n2,down,100,b\n3,down,90,a\n3,down,90,a\n4,up,9,c\n",
        )
        .unwrap();
        let answers: Vec<Option<(f64, f64)>> = capture
            .exchanges
            .iter()
            .map(|exchange| exchange.answer)
            .collect();
        assert_eq!(answers, [Some((3.0, 90.0)), Some((2.0, 100.0)), None]);
        assert_eq!(capture.exchanges[0].copies, 1);
    }

    #[test]
    fn every_bad_line_is_named_with_what_to_write() {
        for (line, expected) in [
            ("1,up,19", "c.csv:2:1: 3 columns; a line has four"),
            ("x,up,19,a", "the time is `x`"),
            ("nan,up,19,a", "the time is `nan`"),
            ("1,across,19,a", "write up (from the device)"),
            ("1,up,0,a", "the length is `0`"),
            ("1,down,19,a", "which nobody asked"),
            ("1,up,19,a\n2,up,19,a", "c.csv:3:1: a second question `a`"),
            ("2,up,19,a\n1,down,19,a", "c.csv:3:1: the time is `1`"),
        ] {
            let message = parse(&format!("{HEADER}\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = parse("1,up,19,a\n").unwrap_err().to_string();
        assert!(message.contains("write `time_s,direction,bytes,id`"));
    }
}
