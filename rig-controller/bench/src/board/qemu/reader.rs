//! The trace reader: one thread per power-on that follows the trace, lets the decoder tell what it says, and
//! takes power exactly where the answer says so. It never waits for another channel of the emulator: while it
//! does not read, the core stands still with the emulator's big lock held.
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::channels::Prod;
use super::decode::{Decoder, Step};
use super::process::Process;
use super::shadow::FlashShadow;
use super::status::{End, Question, Status};
use super::trace::{Lines, parse};
use crate::feed::Feed;

/// Everything the reader works on.
pub(super) struct Reader {
    pub(super) trace: File,
    /// Becomes readable when a question was put into `status`.
    pub(super) asked: UnixStream,
    pub(super) prod: Prod,
    pub(super) process: Arc<Process>,
    pub(super) feed: Feed,
    pub(super) shadow: Arc<Mutex<FlashShadow>>,
    pub(super) status: Arc<Status>,
}

impl Reader {
    /// Follow the trace to its end.
    pub(super) fn run(mut self) {
        // A sink that panics takes this thread with it; whoever waits must still learn of the end.
        let _ends = EndsAnyway(Arc::clone(&self.status), Arc::clone(&self.process));
        let mut decoder = Decoder::default();
        let end = self.follow(&mut decoder);
        // Gone before anybody hears of it: what follows a cut may start the next emulator at once.
        // One that ended by itself is left to be reaped by whoever asks how it ended.
        if end == End::Cut {
            self.process.kill();
        }
        self.status.update(|state| {
            state.end = Some(match end {
                End::Died if state.opening => End::PoweredOff,
                end => end,
            });
        });
    }

    fn follow(&mut self, decoder: &mut Decoder) -> End {
        let mut lines = Lines::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let Some((trace, asked)) = self.poll() else {
                return End::Died;
            };
            if self.status.lock().abandoned {
                return End::Died;
            }
            // The trace first: a question is answered only when nothing is left to read.
            if trace {
                match self.trace.read(&mut buffer) {
                    Ok(0) => return End::Died,
                    Ok(n) => {
                        if self.batch(&buffer[..n], &mut lines, decoder) {
                            return End::Cut;
                        }
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return End::Died,
                }
            } else if asked {
                let _ = self.asked.read(&mut [0; 16]);
                self.answer(decoder);
            }
        }
    }

    /// Whether the trace, and whether a question, is there.
    fn poll(&self) -> Option<(bool, bool)> {
        let mut fds = [
            PollFd::new(self.trace.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.asked.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => Some((fds[0].any()?, fds[1].any()?)),
            Err(nix::errno::Errno::EINTR) => Some((false, false)),
            Err(_) => None,
        }
    }

    /// Decode what was read; true if power is to go. Locks are taken once for all of it.
    fn batch(&mut self, bytes: &[u8], lines: &mut Lines, decoder: &mut Decoder) -> bool {
        let mut shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        let mut feed = self.feed.open();
        let mut cut = false;
        lines.push(bytes, |line| {
            let Some(event) = parse(line) else {
                return true;
            };
            match decoder.event(event, &mut shadow, &mut feed) {
                Step::GoOn => {}
                Step::WakeReceiver => self.prod.prod(),
                Step::Cut => cut = true,
            }
            !cut
        });
        drop(feed);
        drop(shadow);
        let mut state = self.status.lock();
        state.last_activity = Instant::now();
        let started = decoder.watchdog_running() && !state.watchdog_running;
        state.watchdog_running = decoder.watchdog_running();
        state.locked_up = decoder.locked_up();
        drop(state);
        if started {
            // Whoever waits must now also watch the time.
            self.status.update(|_| {});
        }
        cut
    }

    fn answer(&self, decoder: &mut Decoder) {
        let (question, silence) = {
            let mut state = self.status.lock();
            (state.question.take(), state.last_activity.elapsed())
        };
        let yes = match question {
            None => return,
            Some(Question::CaughtUp) => true,
            Some(Question::WatchdogBites { after }) => {
                let bites = decoder.watchdog_running() && silence >= after;
                if bites {
                    let mut shadow = self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
                    decoder.watchdog_reset(&mut shadow, &mut self.feed.open());
                }
                bites
            }
        };
        self.status.update(|state| {
            state.watchdog_running = decoder.watchdog_running();
            state.answer = Some(yes);
        });
    }
}

/// Marks the end even when the reader did not come to it.
struct EndsAnyway(Arc<Status>, Arc<Process>);

impl Drop for EndsAnyway {
    fn drop(&mut self) {
        if self.0.lock().end.is_none() {
            self.1.kill();
            self.0.update(|state| state.end = Some(End::Died));
        }
    }
}
