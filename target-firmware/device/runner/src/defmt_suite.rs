//! Suites of the `defmt-test` crate: one program runs all tests in order and tells by defmt frames, sent through
//! semihosting, which it has come to.

use std::path::Path;

use defmt_decoder::{DecodeError, Table};
use thiserror::Error;

use crate::qemu::{self, End};
use crate::report::Report;

/// The suite could not be read or run.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(
        "reading the suite's defmt table: {0}; defmt and defmt-decoder must agree in their major version"
    )]
    Table(String),
    #[error(
        "the suite has no defmt table, so its frames cannot be decoded; link it with -Tdefmt.x"
    )]
    NoTable,
    #[error("the suite sent a malformed defmt frame after {after} good ones")]
    Frame { after: usize },
    #[error("running the suite: {0}")]
    Run(#[from] qemu::Error),
}

pub(crate) fn run(path: &Path, elf: &[u8]) -> Result<Report, Error> {
    let table = Table::parse(elf)
        .map_err(|error| Error::Table(format!("{error:#}")))?
        .ok_or(Error::NoTable)?;
    let outcome = qemu::run(path, &[])?;
    let messages = decode(&table, &outcome.output)?;
    Ok(judge(&messages, outcome.end))
}

fn decode(table: &Table, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let mut decoder = table.new_stream_decoder();
    decoder.received(bytes);
    let mut messages = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => messages.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return Ok(messages),
            Err(DecodeError::Malformed) => {
                return Err(Error::Frame {
                    after: messages.len(),
                });
            }
        }
    }
}

/// What a message of defmt-test announces.
enum Announcement<'a> {
    Running(&'a str),
    Ignoring(&'a str),
    AllPassed,
}

fn announcement(message: &str) -> Option<Announcement<'_>> {
    if message == "all tests passed!" {
        return Some(Announcement::AllPassed);
    }
    let (_, action) = message.strip_prefix('(')?.split_once(") ")?;
    let (verb, name) = action.strip_suffix("`...")?.split_once(" `")?;
    match verb {
        "running" => Some(Announcement::Running(name)),
        "ignoring" => Some(Announcement::Ignoring(name)),
        _ => None,
    }
}

/// A test passed when the next one is announced. Whatever is said in between belongs to the test.
fn judge(messages: &[String], end: End) -> Report {
    let mut report = Report::default();
    let mut running: Option<&str> = None;
    let mut said = String::new();
    let mut complete = false;
    for message in messages {
        let Some(announcement) = announcement(message) else {
            said.push_str(message);
            said.push('\n');
            continue;
        };
        if let Some(name) = running.take() {
            report.passed(name);
        }
        said.clear();
        match announcement {
            Announcement::Running(name) => running = Some(name),
            Announcement::Ignoring(name) => report.ignored(name),
            Announcement::AllPassed => complete = true,
        }
    }
    if !complete || end != End::Returned {
        let reason = match end {
            End::Returned => "the suite ended early\n",
            End::Aborted => "",
            End::OutOfTime => "ran out of time\n",
        };
        report.failed_because(
            running.unwrap_or("the suite itself"),
            &(reason.to_owned() + &said),
        );
    }
    report
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::qemu::End;

    fn summary(messages: &[&str], end: End) -> String {
        let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
        judge(&messages, end).summary()
    }

    #[test]
    fn a_suite_that_comes_to_its_end_has_passed_what_it_announced() {
        let messages = [
            "(1/3) running `a`...",
            "chatter",
            "(2/3) ignoring `b`...",
            "(3/3) running `c`...",
            "all tests passed!",
        ];
        assert!(summary(&messages, End::Returned).contains("ok. 2 passed; 0 failed; 1 ignored"));
    }

    #[test]
    fn a_suite_that_stops_has_failed_in_the_test_it_was_in() {
        let messages = ["(1/2) running `a`...", "(2/2) running `b`...", "panicked"];
        for end in [End::Aborted, End::OutOfTime, End::Returned] {
            assert!(summary(&messages, end).contains("FAILED. 1 passed; 1 failed;"));
        }
        assert!(summary(&[], End::Returned).contains("0 passed; 1 failed;"));
    }
}
