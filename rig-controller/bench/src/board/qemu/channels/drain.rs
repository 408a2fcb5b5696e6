//! The one thread that reads every channel of an emulator for as long as the emulator has them open. It waits for nothing
//! but the channels: lines and bytes go to queues without bound or are dropped, so that no reader can hold it up.
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Status;
use super::qmp::heard_heartbeat;
use super::qtest::PROD_ANSWER;
use super::uart_line::Outgoing;

const STDERR_TAIL_BYTES: usize = 2048;

/// A stream of text lines.
pub(super) struct LineSource {
    stream: UnixStream,
    partial: Vec<u8>,
}

impl LineSource {
    pub(super) fn new(stream: UnixStream) -> Self {
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

pub(super) struct Drain {
    pub(super) serial: Option<UnixStream>,
    pub(super) qmp: Option<LineSource>,
    pub(super) qmp_lines: Sender<String>,
    pub(super) qtest: Option<LineSource>,
    pub(super) qtest_lines: Sender<String>,
    pub(super) stderr: Option<ChildStderr>,
    pub(super) woken: UnixStream,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) outstanding: Arc<AtomicU32>,
    pub(super) last_words: Arc<Mutex<Vec<u8>>>,
    pub(super) status: Arc<Status>,
}

impl Drain {
    pub(super) fn run(mut self) {
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
