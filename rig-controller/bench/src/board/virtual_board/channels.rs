//! The emulator's channels besides the trace: the serial line, QMP (life cycle) and qtest (memory). One thread
//! drains all of them at all times: a channel nobody reads can stop the emulator while it holds its big lock, and
//! with it every other channel. The serial line is only drained: what the device *sent* is known from the trace.
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

use super::status::Status;
use crate::uart::UartToDevice;

/// How long the emulator may take to answer; generous, for hosts that do other things.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// Prods whose answers have not come back; more than these cannot wake the main loop any better.
const MAX_PRODS: u32 = 100;
/// Bytes for the device it has not taken; a device that never reads loses what exceeds this.
const MAX_QUEUED_BYTES: usize = 1 << 20;
const STDERR_TAIL_BYTES: usize = 2048;
/// qtest's answer to `endianness`, the question the prod asks; nothing else is answered like this.
const PROD_ANSWER: &str = "OK little";
/// What a question for a sign of life is marked with, and its answer too.
const HEARTBEAT: &str = "heartbeat";

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

/// QEMU's machine protocol: one command at a time.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: UnixStream,
    lines: Receiver<String>,
    /// Events that came while an answer was awaited.
    events: VecDeque<Value>,
}

impl Qmp {
    fn open(stream: UnixStream, lines: Receiver<String>) -> Self {
        Self {
            stream,
            lines,
            events: VecDeque::new(),
        }
    }

    /// Leave the negotiation the protocol starts in.
    pub(super) fn negotiate(&mut self) -> Result<(), ChannelFault> {
        self.execute("qmp_capabilities", &json!({}))
    }

    /// Run `command` and wait until it is done.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<(), ChannelFault> {
        let text = json!({ "execute": command, "arguments": arguments }).to_string();
        self.stream.write_all(text.as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.next(deadline)?;
            if message.get("return").is_some() {
                return Ok(());
            } else if let Some(error) = message.get("error") {
                return Err(ChannelFault::Refused(error.to_string()));
            } else if message.get("event").is_some() {
                self.events.push_back(message);
            }
        }
    }

    /// Reset the machine and wait until that is done, so that nothing runs from before it.
    pub(super) fn system_reset(&mut self) -> Result<(), ChannelFault> {
        self.events.clear();
        self.execute("system_reset", &json!({}))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let event = match self.events.pop_front() {
                Some(event) => event,
                None => self.next(deadline)?,
            };
            // The firmware may have asked for a reset of its own just before.
            if event["event"] == "RESET" && event["data"]["guest"] == false {
                return Ok(());
            }
        }
    }

    /// Ask for a sign of life; the answer goes to the board's status.
    pub(super) fn ask_for_heartbeat(&mut self) -> Result<(), ChannelFault> {
        let question = json!({ "execute": "query-status", "id": HEARTBEAT }).to_string();
        Ok(self.stream.write_all(question.as_bytes())?)
    }

    /// Ask the emulator to end, for one that cannot be killed.
    pub(super) fn quit(&mut self) {
        let question = json!({ "execute": "quit" }).to_string();
        // What does not listen either is left alone.
        let _ = self.stream.write_all(question.as_bytes());
    }

    fn next(&mut self, deadline: Instant) -> Result<Value, ChannelFault> {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = self.lines.recv_timeout(left)?;
        serde_json::from_str(&line).map_err(|_| ChannelFault::Refused(line))
    }
}

/// Memory access beside the running core.
#[derive(Debug)]
pub(super) struct Qtest {
    stream: UnixStream,
    lines: Receiver<String>,
}

impl Qtest {
    /// Send one command; the answer's text after `OK`.
    pub(super) fn command(&mut self, command: &str) -> Result<String, ChannelFault> {
        self.stream.write_all(command.as_bytes())?;
        self.stream.write_all(b"\n")?;
        let line = self.lines.recv_timeout(PATIENCE)?;
        match line.strip_prefix("OK") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(ChannelFault::Refused(line)),
        }
    }
}

/// Wakes the emulator's main loop, from the trace reader: sends a question and never waits for the answer.
#[derive(Debug)]
pub(super) struct Prod {
    stream: UnixStream,
    outstanding: Arc<AtomicU32>,
}

impl Prod {
    pub(super) fn prod(&mut self) {
        if self.outstanding.fetch_add(1, Ordering::Relaxed) >= MAX_PRODS {
            self.outstanding.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // A dead emulator needs no prod, and its end is noticed on the trace.
        let _ = self.stream.write_all(b"endianness\n");
    }
}

/// Bytes on their way to the device, and the way to say that there are some.
#[derive(Debug)]
struct Outgoing {
    queue: Mutex<VecDeque<u8>>,
    wake: UnixStream,
    /// Nobody listens any more.
    abandoned: AtomicBool,
}

/// The board's side of the serial line; lasts over power cycles.
#[derive(Debug, Default)]
pub(super) struct SerialLine {
    powered: Mutex<Option<Arc<Outgoing>>>,
}

impl SerialLine {
    /// The board is off: bytes are lost from here on.
    pub(super) fn disconnect(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Outgoing>>> {
        self.powered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UartToDevice for SerialLine {
    fn send(&self, bytes: &[u8]) {
        let Some(outgoing) = self.lock().clone() else {
            return;
        };
        let mut queue = outgoing.lock();
        let room = MAX_QUEUED_BYTES.saturating_sub(queue.len());
        queue.extend(&bytes[..bytes.len().min(room)]);
        drop(queue);
        // A full wake channel already wakes.
        let _ = (&outgoing.wake).write(&[1]);
    }
}

impl Outgoing {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
    line: &SerialLine,
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

/// A stream of text lines.
struct LineSource {
    stream: UnixStream,
    partial: Vec<u8>,
}

impl LineSource {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
        }
    }

    /// Take what is there; false at the end of the stream.
    fn take(&mut self, buffer: &mut [u8], mut line: impl FnMut(String)) -> bool {
        let Some(n) = read_some(&mut self.stream, buffer) else {
            return false;
        };
        for piece in buffer[..n].split_inclusive(|&b| b == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                line(String::from_utf8_lossy(&self.partial).trim_end().to_owned());
                self.partial.clear();
            }
        }
        true
    }
}

/// How many bytes were read (0 if there are none just now); `None` at the end.
fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> Option<usize> {
    match from.read(buffer) {
        Ok(0) => None,
        Ok(n) => Some(n),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ) =>
        {
            Some(0)
        }
        Err(_) => None,
    }
}

/// Whether `line` answers a question for a sign of life; then `status` knows.
fn heard_heartbeat(status: &Status, line: &str) -> bool {
    if !line.contains(HEARTBEAT) {
        return false;
    }
    let Ok(answer) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    if answer["id"] != HEARTBEAT {
        return false;
    }
    let said = &answer["return"];
    let halted = (said["running"] != true)
        .then(|| said["status"].as_str().unwrap_or("not running").to_owned());
    status.update(|state| {
        state.beat_asked = None;
        state.beat_answered = Instant::now();
        state.halted = halted;
    });
    true
}

struct Drain {
    serial: Option<UnixStream>,
    qmp: Option<LineSource>,
    qmp_lines: Sender<String>,
    qtest: Option<LineSource>,
    qtest_lines: Sender<String>,
    stderr: Option<ChildStderr>,
    woken: UnixStream,
    outgoing: Arc<Outgoing>,
    outstanding: Arc<AtomicU32>,
    last_words: Arc<Mutex<Vec<u8>>>,
    status: Arc<Status>,
}

impl Drain {
    fn run(mut self) {
        let mut buffer = vec![0; 64 * 1024];
        while self.serial.is_some()
            || self.qmp.is_some()
            || self.qtest.is_some()
            || self.stderr.is_some()
        {
            let Some([serial, qmp, qtest, stderr, woken]) = self.poll() else {
                return;
            };
            if woken {
                let _ = read_some(&mut self.woken, &mut buffer);
                if self.outgoing.abandoned.load(Ordering::SeqCst) {
                    return;
                }
            }
            if serial && !self.serve_serial(&mut buffer) {
                self.serial = None;
                self.closed("serial line");
            }
            if qmp
                && let Some(source) = &mut self.qmp
                && !source.take(&mut buffer, |line| {
                    if !heard_heartbeat(&self.status, &line) {
                        // Nobody asks any more once the board's channels are dropped.
                        let _ = self.qmp_lines.send(line);
                    }
                })
            {
                self.qmp = None;
                self.closed("machine protocol");
            }
            if qtest
                && let Some(source) = &mut self.qtest
                && !source.take(&mut buffer, |line| {
                    if line == PROD_ANSWER {
                        self.outstanding.fetch_sub(1, Ordering::Relaxed);
                    } else {
                        let _ = self.qtest_lines.send(line);
                    }
                })
            {
                self.qtest = None;
                self.closed("access to memory");
            }
            if stderr && !self.take_last_words(&mut buffer) {
                self.stderr = None;
            }
        }
    }

    /// Have it known that the emulator closed this channel, as it does when it ends.
    fn closed(&self, which: &'static str) {
        self.status.update(|state| {
            state.closed.get_or_insert((Instant::now(), which));
        });
    }

    /// Wait until something is to be done; which of serial, QMP, qtest, stderr, wake it is.
    fn poll(&self) -> Option<[bool; 5]> {
        let serial_flags = if self.outgoing.lock().is_empty() {
            PollFlags::POLLIN
        } else {
            PollFlags::POLLIN | PollFlags::POLLOUT
        };
        let all = [
            self.serial.as_ref().map(|s| (s.as_fd(), serial_flags)),
            self.qmp
                .as_ref()
                .map(|s| (s.stream.as_fd(), PollFlags::POLLIN)),
            self.qtest
                .as_ref()
                .map(|s| (s.stream.as_fd(), PollFlags::POLLIN)),
            self.stderr.as_ref().map(|s| (s.as_fd(), PollFlags::POLLIN)),
            Some((self.woken.as_fd(), PollFlags::POLLIN)),
        ];
        let mut fds: Vec<PollFd> = all
            .iter()
            .flatten()
            .map(|(fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return None,
        }
        let mut polled = fds.iter();
        Some(all.map(|open| open.is_some() && polled.next().and_then(PollFd::any).unwrap_or(false)))
    }

    fn serve_serial(&mut self, buffer: &mut [u8]) -> bool {
        let Some(serial) = &mut self.serial else {
            return false;
        };
        let mut queue = self.outgoing.lock();
        if !queue.is_empty() {
            let (bytes, _) = queue.as_slices();
            match serial.write(bytes) {
                Ok(n) => {
                    queue.drain(..n);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
        drop(queue);
        read_some(serial, buffer).is_some()
    }

    fn take_last_words(&mut self, buffer: &mut [u8]) -> bool {
        let Some(n) = self
            .stderr
            .as_mut()
            .and_then(|stderr| read_some(stderr, buffer))
        else {
            return false;
        };
        let mut words = self
            .last_words
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&buffer[..n]);
        let excess = words.len().saturating_sub(STDERR_TAIL_BYTES);
        words.drain(..excess);
        true
    }
}
