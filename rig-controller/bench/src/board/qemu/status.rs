//! What the trace reader, the thread that waits and the relay tell each other about one board.
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why the trace has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// A cut was ordered.
    Cut,
    /// The relay opened.
    PoweredOff,
    /// The emulator ended by itself.
    Died,
    /// The core locked up, which QEMU does not survive, while the watchdog ran: the board is powered and stands still until
    /// the watchdog resets it.
    LockedUp,
}

/// A question to the trace reader. Asked only while the core is stopped, so that what is in the trace is all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Has everything been read?
    CaughtUp,
    /// Has the device been silent so long that the watchdog bites? If so it is reported as reset.
    WatchdogBites {
        /// The silence it takes.
        after: Duration,
    },
}

#[derive(Debug)]
pub(super) struct State {
    /// Set when the trace ended; stays until the next power-on. A board never powered is off.
    pub(super) end: Option<End>,
    /// The relay is opening: an end of the trace is no surprise.
    pub(super) opening: bool,
    /// Somebody wants the next wait to return.
    pub(super) woken: bool,
    /// When the device last did something observable.
    pub(super) last_activity: Instant,
    /// The firmware has started the watchdog.
    pub(super) watchdog_running: bool,
    /// The core faulted while it handled a fault: it has locked up.
    pub(super) locked_up: bool,
    pub(super) question: Option<Question>,
    pub(super) answer: Option<bool>,
    /// When the emulator, of whose device nothing is heard, was asked for a sign of life it has not given yet.
    pub(super) beat_asked: Option<Instant>,
    /// When the emulator last gave one.
    pub(super) beat_answered: Instant,
    /// What the emulator then said of itself, if the core does not run.
    pub(super) halted: Option<String>,
    /// When and which channel the emulator closed.
    pub(super) closed: Option<(Instant, &'static str)>,
    /// Nobody waits for the end of the trace any more: something the rig cannot kill holds its other end.
    pub(super) abandoned: bool,
}

/// The shared state and its bell.
#[derive(Debug)]
pub(super) struct Status {
    state: Mutex<State>,
    changed: Condvar,
}

impl Status {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                end: Some(End::PoweredOff),
                opening: false,
                woken: false,
                last_activity: Instant::now(),
                watchdog_running: false,
                locked_up: false,
                question: None,
                answer: None,
                beat_asked: None,
                beat_answered: Instant::now(),
                halted: None,
                closed: None,
                abandoned: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// A new power-on begins.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.end = None;
        state.opening = false;
        state.watchdog_running = false;
        state.locked_up = false;
        state.last_activity = Instant::now();
        state.question = None;
        state.answer = None;
        state.beat_asked = None;
        state.beat_answered = Instant::now();
        state.halted = None;
        state.closed = None;
        state.abandoned = false;
    }

    /// Look, or change something nobody waits for.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change something and ring.
    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// Sleep until something changes or `until` has come.
    pub(super) fn sleep<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        until: Instant,
    ) -> MutexGuard<'a, State> {
        let left = until.saturating_duration_since(Instant::now());
        self.changed
            .wait_timeout(state, left)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}
