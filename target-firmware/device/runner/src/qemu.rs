//! One run of QEMU's micro:bit with semihosting, bounded in time.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use powercut_suite::{End, TIME_LIMIT, TestFailure};
use thiserror::Error;

/// The exit code of a semihosting abort: what a panicking test ends with.
const ABORTED: i32 = 134;

/// QEMU could not run the suite.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("starting qemu-system-arm: {0}; install it, e.g. apt-get install qemu-system-arm")]
    Start(io::Error),
    #[error("waiting for qemu-system-arm: {0}")]
    Wait(io::Error),
    #[error("qemu-system-arm ended with {status} instead of a test's verdict:\n{messages}")]
    Unexpected {
        status: ExitStatus,
        messages: String,
    },
}

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// What the program wrote by semihosting.
    pub(crate) output: Vec<u8>,
    /// In the time of this computer.
    pub(crate) took: Duration,
}

/// Runs `elf` from a reset until it exits, with `arguments` as its semihosting command line.
pub(crate) fn run(elf: &Path, arguments: &[String]) -> Result<Outcome, Error> {
    let mut semihosting = String::from("enable=on,target=native");
    for argument in arguments {
        semihosting.push_str(",arg=");
        semihosting.push_str(argument);
    }
    let child = Command::new("qemu-system-arm")
        .args(["-M", "microbit", "-display", "none", "-monitor", "none"])
        .args(["-serial", "null", "-semihosting-config", &semihosting])
        .arg("-kernel")
        .arg(elf)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::Start)?;
    wait(child)
}

fn wait(mut child: Child) -> Result<Outcome, Error> {
    let begun = Instant::now();
    let output = read_to_end(child.stdout.take());
    let messages = read_to_end(child.stderr.take());
    // The pipe closes when QEMU ends, for whatever reason.
    let (output, in_time) = if let Ok(output) = output.recv_timeout(TIME_LIMIT) {
        (output, true)
    } else {
        child.kill().map_err(Error::Wait)?;
        (output.recv().unwrap_or_default(), false)
    };
    let status = child.wait().map_err(Error::Wait)?;
    let end = match status.code() {
        _ if !in_time => End::Failed(TestFailure::OutOfTime {
            limit: TIME_LIMIT,
            pc: None,
        }),
        Some(0) => End::Returned,
        Some(ABORTED) => End::Failed(TestFailure::Aborted),
        _ => {
            let messages = messages.recv().unwrap_or_default();
            return Err(Error::Unexpected {
                status,
                messages: String::from_utf8_lossy(&messages).into_owned(),
            });
        }
    };
    Ok(Outcome {
        end,
        output,
        took: begun.elapsed(),
    })
}

/// Everything a pipe brings until it closes, read on a thread of its own so that no pipe fills up.
fn read_to_end(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth having.
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}
