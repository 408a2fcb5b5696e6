//! The virtual board's power: closing the relay starts an emulator from the recorded flash, opening it kills the
//! emulator. Shared by the board and its relay, and usable from any thread while another one waits.
use std::fmt;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;

use super::channels::{ChannelFault, Channels, PATIENCE, UartLine};
use super::process::Process;
use super::shadow::FlashShadow;
use super::status::{End, Question, Status};
use crate::board::{BoardError, QemuConfig, nrf51};
use crate::feed::Feed;
use crate::relay::{Power, Switched};
use crate::witness::{Emulated, Proof};
use powercut_oracle::seen::{ResetCause, Source, What};

/// Long enough for an emulator whose channels closed to finish dying.
pub(super) const DYING: Duration = Duration::from_secs(2);

/// What board and relay share.
pub(super) struct Supply {
    config: QemuConfig,
    machine: Mutex<Machine>,
    pub(super) status: Arc<Status>,
    pub(super) line: Arc<UartLine>,
    pub(super) shadow: Arc<Mutex<FlashShadow>>,
}

pub(super) struct Machine {
    feed: Option<Feed>,
    pub(super) running: Option<Running>,
    /// The process of the latest power-on.
    latest: Option<Arc<Process>>,
    /// Seed of everything random in the emulator: RNG and the garbage in RAM at power-on.
    seed: u64,
    /// Power-ons since provisioning: RAM and the random generator differ from boot to boot, as on silicon.
    boots: u64,
}

/// One power-on.
pub(super) struct Running {
    pub(super) process: Arc<Process>,
    pub(super) channels: Channels,
    pub(super) reader: JoinHandle<()>,
    pub(super) ask: UnixStream,
    pub(super) garbage: Vec<u8>,
    /// The core has been let run.
    pub(super) is_released: bool,
}

impl Supply {
    pub(super) fn new(config: QemuConfig) -> Self {
        Self {
            config,
            machine: Mutex::new(Machine {
                feed: None,
                running: None,
                latest: None,
                seed: 0,
                boots: 0,
            }),
            status: Arc::new(Status::new()),
            line: Arc::default(),
            shadow: Arc::new(Mutex::new(FlashShadow::erased())),
        }
    }

    pub(super) fn config(&self) -> &QemuConfig {
        &self.config
    }

    /// Where power-ons from here on tell what is seen.
    pub(super) fn attach(&self, feed: Feed) {
        self.machine().feed = Some(feed);
    }

    /// Replace the flash of a board that is off.
    pub(super) fn provision(&self, image: &[u8], seed: u64) -> Result<(), BoardError> {
        let mut machine = self.machine();
        nrf51::check_provision(&self.config.name, machine.running.is_some(), image)?;
        machine.boots = 0;
        machine.seed = seed;
        self.shadow().provision(image);
        Ok(())
    }

    /// The record of flash.
    pub(super) fn shadow(&self) -> MutexGuard<'_, FlashShadow> {
        self.shadow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn channel(&self, doing: &str, reason: impl fmt::Display) -> BoardError {
        BoardError::channel(&self.config.name, doing, reason)
    }

    /// Give power; nothing happens if it is there. The core is held before its first instruction.
    pub(super) fn power_on(&self) -> Result<(), BoardError> {
        let mut machine = self.machine();
        if machine.running.is_some() {
            if self.status.lock().end.is_none() {
                return Ok(());
            }
            self.release(&mut machine);
        }
        self.bring_to_life(&mut machine)
    }

    /// Let the core of a powered board run; nothing happens if it runs.
    pub(super) fn run_core(&self) -> Result<(), BoardError> {
        self.run_core_of(&mut self.machine())
    }

    fn run_core_of(&self, machine: &mut Machine) -> Result<(), BoardError> {
        let doing = "letting the core run";
        let Some(running) = machine.running.as_mut() else {
            return Err(nrf51::off(&self.config.name));
        };
        if std::mem::replace(&mut running.is_released, true) {
            return Ok(());
        }
        self.status.lock().last_activity = Instant::now();
        match running.channels.qmp.execute("cont", &json!({})) {
            Ok(()) => Ok(()),
            // The core may run, and be cut, before the emulator has answered that it let it run.
            Err(ChannelFault::Closed) if self.was_cut() => Ok(()),
            Err(fault) => Err(self.fail(machine, doing, &fault)),
        }
    }

    /// The watchdog resets a core that locked up: the next emulator starts from flash as it is.
    pub(super) fn reset_locked_up(&self) -> Result<(), BoardError> {
        let mut machine = self.machine();
        // Somebody may have switched the board off meanwhile.
        if self.status.lock().end != Some(End::LockedUp) {
            return Ok(());
        }
        if let Some(feed) = &machine.feed {
            let shadow = self.shadow();
            let reset = What::Reset(ResetCause::Watchdog);
            feed.tell(Source::Board, reset, Some(shadow.content()));
        }
        self.bring_to_life(&mut machine)?;
        self.run_core_of(&mut machine)
    }

    fn bring_to_life(&self, machine: &mut Machine) -> Result<(), BoardError> {
        let Some(feed) = machine.feed.clone() else {
            return Err(nrf51::unwatched(&self.config.name));
        };
        machine.boots += 1;
        self.status.begin();
        let result = self
            .start(feed, machine.seed, machine.boots)
            .and_then(|mut running| {
                machine.latest = Some(Arc::clone(&running.process));
                match self.bring_up(&mut running) {
                    Ok(()) => Ok(running),
                    Err(fault) => Err(self.fault("starting the emulator", running, &fault)),
                }
            });
        match result {
            Ok(running) => {
                machine.running = Some(running);
                Ok(())
            }
            Err(error) => {
                self.status
                    .update(|state| state.end = Some(End::PoweredOff));
                Err(error)
            }
        }
    }

    /// Take power; nothing happens if it is gone. What the device did until then is reported to the end.
    pub(super) fn power_off(&self) {
        let mut machine = self.machine();
        if machine.running.is_some() {
            self.status.lock().opening = true;
            self.release(&mut machine);
        }
        self.status.update(|state| {
            if state.end != Some(End::Cut) {
                state.end = Some(End::PoweredOff);
            }
        });
    }

    /// Kill the emulator, if any, and wait for its threads, which end when it does.
    pub(super) fn release(&self, machine: &mut Machine) {
        if let Some(running) = machine.running.take() {
            self.end(running);
        }
    }

    /// The emulator's last words.
    pub(super) fn end(&self, mut running: Running) -> String {
        self.line.disconnect();
        running.process.kill();
        if !running.channels.wait_for_end(DYING) {
            // Something outside the process group holds them: an emulator that a script has put into another session.
            running.channels.qmp.quit();
            if !running.channels.wait_for_end(DYING) {
                self.status.lock().abandoned = true;
                // Wakes the reader.
                let _ = running.ask.shutdown(Shutdown::Both);
            }
        }
        // A reader that panicked has said so on stderr and has marked the end.
        let _ = running.reader.join();
        running.channels.into_last_words()
    }

    /// Clear away an emulator whose trace has ended, unless somebody has started the next one.
    pub(super) fn take_ended(&self) -> Option<Running> {
        let mut machine = self.machine();
        let ended = self.status.lock().end.is_some();
        machine.running.take_if(|_| ended)
    }

    /// Whether the trace comes to its end soon, as it must once another channel has closed.
    pub(super) fn end_is_near(&self) -> bool {
        let until = Instant::now() + DYING;
        let mut state = self.status.lock();
        while state.end.is_none() && Instant::now() < until {
            state = self.status.sleep(state, until);
        }
        state.end.is_some()
    }

    /// Whether another channel closed because a cut was ordered.
    pub(super) fn was_cut(&self) -> bool {
        self.end_is_near() && self.status.lock().end == Some(End::Cut)
    }

    /// Put a question to the trace reader. The core must be stopped.
    pub(super) fn ask(
        &self,
        running: &mut Running,
        question: Question,
    ) -> Result<bool, ChannelFault> {
        {
            let mut state = self.status.lock();
            state.question = Some(question);
            state.answer = None;
        }
        running.ask.write_all(&[1])?;
        let until = Instant::now() + PATIENCE;
        let mut state = self.status.lock();
        loop {
            if let Some(answer) = state.answer.take() {
                return Ok(answer);
            }
            if state.end.is_some() {
                return Err(ChannelFault::Closed);
            }
            if Instant::now() >= until {
                return Err(ChannelFault::NoAnswer);
            }
            state = self.status.sleep(state, until);
        }
    }

    /// Give up on the running emulator: switch it off and say what happened.
    pub(super) fn fail(
        &self,
        machine: &mut Machine,
        doing: &str,
        fault: &ChannelFault,
    ) -> BoardError {
        self.status.lock().opening = true;
        match machine.running.take() {
            Some(running) => self.fault(doing, running, fault),
            None => self.channel(doing, fault),
        }
    }

    pub(super) fn fault(&self, doing: &str, running: Running, fault: &ChannelFault) -> BoardError {
        if matches!(fault, ChannelFault::Closed) {
            return self.emulator_died(doing, running);
        }
        self.end(running);
        self.channel(doing, fault)
    }

    pub(super) fn emulator_died(&self, doing: &str, running: Running) -> BoardError {
        if !running.channels.wait_for_end(DYING) && !running.process.has_ended() {
            let closed = self.status.lock().closed;
            let which = closed.map_or("trace", |(_, which)| which);
            let words = self.end(running);
            self.status
                .update(|state| state.end = Some(End::PoweredOff));
            return self.channel(
                doing,
                format!(
                    "the emulator closed its {which} but did not end, so nothing is known about the firmware; check the program that `qemu` names in the bench; its last words: {words}"
                ),
            );
        }
        let status = running.process.ended_how();
        let stderr = self.end(running);
        self.status
            .update(|state| state.end = Some(End::PoweredOff));
        if self.status.lock().locked_up {
            return BoardError::LockedUp {
                board: self.config.name.clone(),
            };
        }
        BoardError::EmulatorDied {
            board: self.config.name.clone(),
            status,
            doing: doing.to_owned(),
            stderr,
        }
    }

    /// Process id of the running emulator.
    #[cfg(test)]
    pub(super) fn emulator_pid(&self) -> Option<u32> {
        self.machine().running.as_ref().map(|r| r.process.id())
    }
}

impl Switched for Supply {
    fn close(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.power_on()?)
    }

    fn open(&self) {
        self.power_off();
    }

    fn power(&self) -> Power {
        match self.status.lock().end {
            None | Some(End::LockedUp) => Power::On,
            Some(_) => Power::Off,
        }
    }
}

impl Emulated for Supply {
    fn name(&self) -> &'static str {
        "the emulator's process"
    }

    fn look(&self) -> Proof {
        let machine = self.machine();
        let latest = machine.latest.as_ref();
        match latest.filter(|process| !process.has_ended()) {
            None => Proof::Off("the emulator's process is gone".to_owned()),
            Some(process) => {
                let id = process.id();
                Proof::StillOn(format!("process {id} of the emulator lives"))
            }
        }
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.power_off();
    }
}
