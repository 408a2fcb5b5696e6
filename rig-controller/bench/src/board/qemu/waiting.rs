//! Waiting for a powered board: until the trace ends, the time is up or somebody wakes the waiter. Meanwhile the board's
//! watchdog is played, and an emulator whose device is silent is asked for a sign of life: a device that does nothing is the
//! firmware's doing, an emulator that does nothing is the bench's.
use std::time::{Duration, Instant};

use serde_json::json;

use super::channels::{ChannelFault, PATIENCE};
use super::status::{End, Question, State};
use super::supply::{DYING, Running, Supply};
use crate::board::{BoardError, Stopped};

/// Silence of the device after which the emulator is asked for a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(1);

const RUNNING: &str = "running the firmware";

/// What is wrong with the emulator.
enum Trouble {
    /// It was asked for a sign of life and gave none.
    Silent,
    /// It says that the core does not run.
    Halted(String),
    /// It closed a channel and goes on without.
    Closed,
}

impl Supply {
    /// Until something ends the power-on, `timeout` passes, or somebody wakes us. Plays the watchdog meanwhile.
    pub(super) fn wait(&self, timeout: Duration) -> Result<Stopped, BoardError> {
        let deadline = Instant::now() + timeout;
        let mut state = self.status.lock();
        loop {
            match state.end {
                Some(End::Cut) => {
                    drop(state);
                    self.take_ended().map(|running| self.end(running));
                    return Ok(Stopped::Cut);
                }
                Some(End::PoweredOff) => return Ok(Stopped::PoweredOff),
                None | Some(End::LockedUp) => {}
                Some(End::Died) => {
                    let is_watched = state.watchdog_running;
                    drop(state);
                    self.after_death(is_watched)?;
                    state = self.status.lock();
                    continue;
                }
            }
            let now = Instant::now();
            if std::mem::take(&mut state.woken) || now >= deadline {
                return Ok(Stopped::TimedOut);
            }
            let mut until = deadline;
            if state.end == Some(End::LockedUp) {
                let bite = state.last_activity + self.config().watchdog;
                if now >= bite {
                    drop(state);
                    self.reset_locked_up()?;
                    state = self.status.lock();
                } else {
                    state = self.status.sleep(state, until.min(bite));
                }
                continue;
            }
            if state.watchdog_running {
                let bite = state.last_activity + self.config().watchdog;
                if now >= bite {
                    drop(state);
                    self.watchdog()?;
                    state = self.status.lock();
                    continue;
                }
                until = until.min(bite);
            }
            let next = match trouble(&state, now) {
                Ok(next) => next,
                Err(trouble) => {
                    drop(state);
                    return Err(self.give_up(trouble));
                }
            };
            if state.beat_asked.is_none() {
                let due = state.last_activity.max(state.beat_answered) + HEARTBEAT;
                if now >= due {
                    state.beat_asked = Some(now);
                    drop(state);
                    self.ask_for_heartbeat()?;
                    state = self.status.lock();
                    continue;
                }
                until = until.min(due);
            }
            state = self
                .status
                .sleep(state, next.map_or(until, |next| until.min(next)));
        }
    }

    /// An emulator has ended by itself. If that is because the core locked up, and a watchdog runs, the board only stands
    /// still until that bites.
    fn after_death(&self, is_watched: bool) -> Result<(), BoardError> {
        let Some(running) = self.take_ended() else {
            return Err(self.channel(RUNNING, "the emulator had ended"));
        };
        match self.emulator_died(RUNNING, running) {
            BoardError::LockedUp { .. } if is_watched => {
                self.status.update(|state| state.end = Some(End::LockedUp));
                Ok(())
            }
            error => Err(error),
        }
    }

    /// Make sure that the emulator of a powered board still does its part; returns at once if somebody wakes us.
    pub(super) fn check(&self) -> Result<(), BoardError> {
        let began = Instant::now();
        let mut state = self.status.lock();
        if state.end.is_none() && state.beat_asked.is_none() {
            state.beat_asked = Some(began);
            drop(state);
            self.ask_for_heartbeat()?;
            state = self.status.lock();
        }
        loop {
            let answered = state.beat_answered >= began && state.halted.is_none();
            // An end is what the next wait is about.
            if answered || state.woken || state.end.is_some() {
                return Ok(());
            }
            match trouble(&state, Instant::now()) {
                Ok(next) => {
                    let until = next.unwrap_or_else(|| Instant::now() + PATIENCE);
                    state = self.status.sleep(state, until);
                }
                Err(trouble) => {
                    drop(state);
                    return Err(self.give_up(trouble));
                }
            }
        }
    }

    fn ask_for_heartbeat(&self) -> Result<(), BoardError> {
        let mut machine = self.machine();
        let Some(running) = machine.running.as_mut() else {
            return Ok(());
        };
        match running.channels.qmp.ask_for_heartbeat() {
            Ok(()) => Ok(()),
            // Cut or dead meanwhile: the wait finds out which.
            Err(ChannelFault::Closed) if self.end_is_near() => Ok(()),
            Err(fault) => Err(self.fail(&mut machine, RUNNING, &fault)),
        }
    }

    /// Switch off an emulator that does not do its part, and say so.
    fn give_up(&self, trouble: Trouble) -> BoardError {
        let mut machine = self.machine();
        self.status.lock().opening = true;
        let Some(running) = machine.running.take() else {
            return self.channel(RUNNING, "the board was switched off meanwhile");
        };
        match trouble {
            Trouble::Closed => self.emulator_died(RUNNING, running),
            Trouble::Silent => {
                let (process, doing) = (running.process.id(), running.process.doing());
                self.end(running);
                BoardError::EmulatorSilent {
                    board: self.config().name.clone(),
                    seconds: PATIENCE.as_secs(),
                    process,
                    doing,
                }
            }
            Trouble::Halted(status) => {
                self.end(running);
                self.channel(
                    RUNNING,
                    format!("the emulator says that it has stopped the board (`{status}`), so nothing is known about the firmware; see that nothing else controls it, and run the case again"),
                )
            }
        }
    }

    /// The device has been silent for long: with the core stopped, see whether it still is, and if so reset it.
    fn watchdog(&self) -> Result<(), BoardError> {
        let mut machine = self.machine();
        let Some(running) = machine.running.as_mut() else {
            return Ok(());
        };
        match self.bite(running) {
            Ok(()) => Ok(()),
            // Cut or dead meanwhile: the wait finds out which.
            Err(ChannelFault::Closed) if self.end_is_near() => Ok(()),
            Err(fault) => {
                Err(self.fail(&mut machine, "resetting the board by its watchdog", &fault))
            }
        }
    }

    fn bite(&self, running: &mut Running) -> Result<(), ChannelFault> {
        let after = self.config().watchdog;
        running.channels.qmp.execute("stop", &json!({}))?;
        if self.ask(running, Question::WatchdogBites { after })? {
            running.channels.qmp.system_reset()?;
            self.status.lock().last_activity = Instant::now();
        }
        running.channels.qmp.execute("cont", &json!({}))
    }
}

/// What is wrong with the emulator by `now`, or when it may turn out to be.
fn trouble(state: &State, now: Instant) -> Result<Option<Instant>, Trouble> {
    if let Some(status) = &state.halted {
        return Err(Trouble::Halted(status.clone()));
    }
    let mut next = None;
    if let Some(asked) = state.beat_asked {
        // A device that does something is sign enough.
        let silent = asked.max(state.last_activity) + PATIENCE;
        if now >= silent {
            return Err(Trouble::Silent);
        }
        next = Some(silent);
    }
    if let Some((closed, _)) = state.closed {
        let ended = closed + DYING;
        if now >= ended {
            return Err(Trouble::Closed);
        }
        next = Some(next.map_or(ended, |next| ended.min(next)));
    }
    Ok(next)
}
