//! The emulator's channels besides the trace: the serial line, QMP (life cycle) and qtest (memory). One thread
//! drains all of them at all times: a channel nobody reads can stop the emulator while it holds its big lock, and
//! with it every other channel. The serial line is only drained: what the device *sent* is known from the trace.
mod drain;
mod qmp;
mod qtest;
mod uart_line;

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::status::Status;
use drain::{Drain, LineSource};
use uart_line::Outgoing;

pub(super) use qmp::Qmp;
pub(super) use qtest::{Prod, Qtest};
pub(super) use uart_line::UartLine;

/// How long the emulator may take to answer; generous, for hosts that do other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Why an exchange with the emulator failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelFault {
    /// The other end is closed.
    #[error("the channel is closed; the emulator has ended")]
    Closed,
    /// No answer.
    #[error("no answer within {} s; check the load of this computer, and that nothing has stopped the emulator", PATIENCE.as_secs())]
    NoAnswer,
    /// The emulator said no.
    #[error("the emulator answered {0}; check its version (7.2 is known to work)")]
    Refused(String),
}

impl From<RecvTimeoutError> for ChannelFault {
    fn from(e: RecvTimeoutError) -> Self {
        match e {
            RecvTimeoutError::Timeout => Self::NoAnswer,
            RecvTimeoutError::Disconnected => Self::Closed,
        }
    }
}

impl From<io::Error> for ChannelFault {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::NoAnswer,
            _ => Self::Closed,
        }
    }
}

/// The rig's ends of everything.
pub(super) struct Ends {
    /// Serial line.
    pub(super) serial: UnixStream,
    /// Machine protocol.
    pub(super) qmp: UnixStream,
    /// Memory access.
    pub(super) qtest: UnixStream,
    /// Error output.
    pub(super) stderr: Option<ChildStderr>,
}

/// The open channels of one emulator.
pub(super) struct Channels {
    pub(super) qmp: Qmp,
    pub(super) qtest: Qtest,
    drain: JoinHandle<()>,
    drained: Receiver<Infallible>,
    outgoing: Arc<Outgoing>,
    last_words: Arc<Mutex<Vec<u8>>>,
}

impl Channels {
    /// Wait until the emulator has closed its channels, as it does when it ends, at most for `patience`; whether it has.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        // Nothing is ever sent: the sender's end is the event.
        self.drained.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }

    /// End of its error output. The emulator must have been reaped and its end waited for; what it has started and the rig
    /// could not kill may hold the channels open still.
    pub(super) fn into_last_words(self) -> String {
        if !self.wait_for_end(Duration::ZERO) {
            self.outgoing.abandoned.store(true, Ordering::SeqCst);
            let _ = (&self.outgoing.wake).write(&[1]);
        }
        let _ = self.drain.join();
        let words = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match String::from_utf8_lossy(&words).trim() {
            "" => "(none)".to_owned(),
            // They go to a terminal, which must not take orders from them.
            words => words
                .chars()
                .map(|c| {
                    if c.is_control() && c != '\n' {
                        '\u{FFFD}'
                    } else {
                        c
                    }
                })
                .collect(),
        }
    }
}

/// Start draining. `line` sends into this emulator from here on; `status` hears of its heartbeats and of channels that close.
pub(super) fn open(
    ends: Ends,
    line: &UartLine,
    status: &Arc<Status>,
) -> io::Result<(Channels, Prod)> {
    let (wake, woken) = UnixStream::pair()?;
    for nonblocking in [&ends.serial, &wake, &woken] {
        nonblocking.set_nonblocking(true)?;
    }
    let outgoing = Arc::new(Outgoing {
        queue: Mutex::default(),
        wake,
        abandoned: AtomicBool::new(false),
    });
    let (qmp_lines, from_qmp) = channel();
    let (qtest_lines, from_qtest) = channel();
    let qmp_writer = ends.qmp.try_clone()?;
    let qtest_writer = ends.qtest.try_clone()?;
    let prod_writer = ends.qtest.try_clone()?;
    qmp_writer.set_write_timeout(Some(PATIENCE))?;
    qtest_writer.set_write_timeout(Some(PATIENCE))?;
    let outstanding = Arc::new(AtomicU32::new(0));
    let last_words = Arc::new(Mutex::new(Vec::new()));
    let (ended, drained) = channel();
    let drain = Drain {
        serial: Some(ends.serial),
        qmp: Some(LineSource::new(ends.qmp)),
        qmp_lines,
        qtest: Some(LineSource::new(ends.qtest)),
        qtest_lines,
        stderr: ends.stderr,
        woken,
        outgoing: Arc::clone(&outgoing),
        outstanding: Arc::clone(&outstanding),
        last_words: Arc::clone(&last_words),
        status: Arc::clone(status),
    };
    let drain = std::thread::Builder::new()
        .name("emulator-channels".to_owned())
        .spawn(move || {
            let _at_the_end = ended;
            drain.run();
        })?;
    *line.lock() = Some(Arc::clone(&outgoing));
    let channels = Channels {
        qmp: Qmp::open(qmp_writer, from_qmp),
        qtest: Qtest {
            stream: qtest_writer,
            lines: from_qtest,
        },
        drain,
        drained,
        outgoing,
        last_words,
    };
    let prod = Prod {
        stream: prod_writer,
        outstanding,
    };
    Ok((channels, prod))
}
