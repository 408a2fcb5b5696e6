//! The virtual board's power: closing the relay starts an emulator from the recorded flash, opening it kills the
//! emulator. Shared by the board and its relay, and usable from any thread while another one waits.
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::json;

use super::channels::{self, ChannelFault, Channels, Ends, PATIENCE, SerialLine};
use super::memory_map as map;
use super::process::Process;
use super::reader::Reader;
use super::shadow::FlashShadow;
use super::status::{End, Question, Status};
use crate::board::{BoardError, ResetCause, SharedObserver, VirtualBoardConfig};
use crate::relay::Switched;

/// Long enough for an emulator whose channels closed to finish dying.
pub(super) const DYING: Duration = Duration::from_secs(2);
/// What QEMU says before it aborts because the core faulted while handling a fault (target/arm, `armv7m_exception`).
const LOCKUP: &str = "Lockup: can't escalate";

/// What board and relay share.
pub(super) struct Supply {
    config: VirtualBoardConfig,
    machine: Mutex<Machine>,
    pub(super) status: Arc<Status>,
    pub(super) line: Arc<SerialLine>,
    pub(super) shadow: Arc<Mutex<FlashShadow>>,
}

pub(super) struct Machine {
    observer: Option<SharedObserver>,
    pub(super) running: Option<Running>,
    /// Power-ons since provisioning: RAM and the random generator differ from boot to boot, as on silicon.
    boots: u64,
}

/// One power-on.
pub(super) struct Running {
    pub(super) process: Arc<Process>,
    pub(super) channels: Channels,
    reader: JoinHandle<()>,
    ask: UnixStream,
    garbage: Vec<u8>,
}

impl Supply {
    pub(super) fn new(config: VirtualBoardConfig) -> Self {
        Self {
            config,
            machine: Mutex::new(Machine {
                observer: None,
                running: None,
                boots: 0,
            }),
            status: Arc::new(Status::new()),
            line: Arc::default(),
            shadow: Arc::new(Mutex::new(FlashShadow::erased())),
        }
    }

    pub(super) fn config(&self) -> &VirtualBoardConfig {
        &self.config
    }

    /// Whom power-ons from here on report to.
    pub(super) fn attach(&self, observer: SharedObserver) {
        self.machine().observer = Some(observer);
    }

    /// Replace the flash of a board that is off.
    pub(super) fn provision(&self, image: &[u8]) -> Result<(), BoardError> {
        let doing = "writing the board's flash";
        let mut machine = self.machine();
        if machine.running.is_some() {
            return Err(self.channel(doing, "the board is powered; switch it off first"));
        }
        if image.len() != map::FLASH_BYTES {
            let reason = format!(
                "the image has {} bytes, the board's flash {}; pad it with 0xFF",
                image.len(),
                map::FLASH_BYTES
            );
            return Err(self.channel(doing, reason));
        }
        machine.boots = 0;
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
        BoardError::Channel {
            board: self.config.name.clone(),
            doing: doing.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Give power; nothing happens if it is there.
    pub(super) fn power_on(&self) -> Result<(), BoardError> {
        let mut machine = self.machine();
        if machine.running.is_some() {
            if self.status.lock().end.is_none() {
                return Ok(());
            }
            self.release(&mut machine);
        }
        let Some(observer) = machine.observer.clone() else {
            return Err(self.channel(
                "switching power on",
                "nobody watches the board yet; power it on through the board once",
            ));
        };
        self.bring_to_life(&mut machine, observer)
    }

    /// The watchdog resets a core that locked up: the next emulator starts from flash as it is.
    pub(super) fn reset_locked_up(&self) -> Result<(), BoardError> {
        let mut machine = self.machine();
        // Somebody may have switched the board off meanwhile.
        if self.status.lock().end != Some(End::LockedUp) {
            return Ok(());
        }
        let Some(observer) = machine.observer.clone() else {
            return Ok(());
        };
        {
            let shadow = self.shadow();
            let mut to = observer.lock().unwrap_or_else(PoisonError::into_inner);
            to.device_reset(ResetCause::Watchdog, shadow.content());
        }
        self.bring_to_life(&mut machine, observer)
    }

    fn bring_to_life(
        &self,
        machine: &mut Machine,
        observer: SharedObserver,
    ) -> Result<(), BoardError> {
        machine.boots += 1;
        self.status.begin();
        let result = self.start(observer, machine.boots).and_then(|mut running| {
            match self.bring_up(&mut running) {
                Ok(()) => Ok(running),
                // The core may run, and be cut, before the emulator has answered that it let it run.
                Err(ChannelFault::Closed) if self.was_cut() => Ok(running),
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
    fn release(&self, machine: &mut Machine) {
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

    /// Whether another channel closed because the observer cut power.
    fn was_cut(&self) -> bool {
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

    /// Compare the record with the flash of the running board, then switch it off.
    pub(super) fn verify_record(&self) -> Result<(), BoardError> {
        let doing = "comparing flash with the rig's record";
        let mut machine = self.machine();
        let Some(running) = machine.running.as_mut() else {
            return Err(self.channel(doing, "the board is off; compare before switching it off"));
        };
        let found = match self.stopped_flash(running) {
            Ok(found) => found,
            Err(ChannelFault::Closed) if self.was_cut() => {
                self.release(&mut machine);
                return Err(self.channel(doing, "the observer cut power before it could be done"));
            }
            Err(fault) => return Err(self.fail(&mut machine, doing, &fault)),
        };
        drop(machine);
        let difference = {
            let shadow = self.shadow();
            shadow
                .content()
                .iter()
                .zip(&found)
                .position(|(recorded, found)| recorded != found)
                .map(|at| (at, shadow.content()[at], found[at]))
        };
        self.power_off();
        match difference {
            None => Ok(()),
            Some((address, recorded, found)) => Err(BoardError::ShadowMismatch {
                board: self.config.name.clone(),
                address: address as u32,
                recorded,
                found,
            }),
        }
    }

    fn stopped_flash(&self, running: &mut Running) -> Result<Vec<u8>, ChannelFault> {
        running.channels.qmp.execute("stop", &json!({}))?;
        self.ask(running, Question::CaughtUp)?;
        read_memory(running, 0, map::FLASH_BYTES)
    }

    /// End of the longest stretch of RAM that still holds what it held at power-on; `None` when off.
    pub(super) fn lowest_stack_address(&self) -> Result<Option<u32>, BoardError> {
        let mut machine = self.machine();
        let Some(running) = machine.running.as_mut() else {
            return Ok(None);
        };
        match read_memory(running, map::RAM_START, map::RAM_BYTES) {
            Ok(ram) => Ok(Some(
                map::RAM_START + end_of_longest_equal_run(&ram, &running.garbage) as u32,
            )),
            Err(fault) => Err(self.fail(&mut machine, "reading the board's RAM", &fault)),
        }
    }

    /// Start the process and its threads; the core does not run yet.
    fn start(&self, observer: SharedObserver, boot: u64) -> Result<Running, BoardError> {
        let io = |e: std::io::Error| self.channel("opening the emulator's channels", e);
        let (serial, serial_there) = UnixStream::pair().map_err(io)?;
        let (qmp, qmp_there) = UnixStream::pair().map_err(io)?;
        let (qtest, qtest_there) = UnixStream::pair().map_err(io)?;
        let (trace, trace_there) = std::io::pipe().map_err(io)?;
        let (ask, asked) = UnixStream::pair().map_err(io)?;
        let mut random = ChaCha8Rng::seed_from_u64(self.config.seed);
        random.set_stream(boot);
        let fds: [OwnedFd; 4] = [
            serial_there.into(),
            qmp_there.into(),
            qtest_there.into(),
            trace_there.into(),
        ];
        let (process, stderr) = Process::start(self.command(random.next_u64()), fds.into())
            .map_err(|source| BoardError::NoEmulator {
                program: self.config.qemu.display().to_string(),
                source,
            })?;
        let process = Arc::new(process);
        let ends = Ends {
            serial,
            qmp,
            qtest,
            stderr,
        };
        let (channels, prod) = channels::open(ends, &self.line, &self.status).map_err(io)?;
        let reader = Reader {
            trace: File::from(OwnedFd::from(trace)),
            asked,
            prod,
            process: Arc::clone(&process),
            observer,
            shadow: Arc::clone(&self.shadow),
            status: Arc::clone(&self.status),
        };
        self.shadow().reset_controller();
        let reader = std::thread::Builder::new()
            .name(format!("trace-{}", self.config.name))
            .spawn(move || reader.run())
            .map_err(io)?;
        let mut garbage = vec![0; map::RAM_BYTES];
        random.fill_bytes(&mut garbage);
        Ok(Running {
            process,
            channels,
            reader,
            ask,
            garbage,
        })
    }

    /// QEMU's micro:bit on the descriptors 3 (serial), 4 (QMP), 5 (qtest) and 6 (trace).
    fn command(&self, seed: u64) -> Command {
        let mut command = Command::new(&self.config.qemu);
        command
            .args(["-M", "microbit", "-accel", "tcg", "-S"])
            .args(["-nodefaults", "-display", "none", "-monitor", "none"])
            .args(["-chardev", "socket,id=serial,fd=3"])
            .args(["-serial", "chardev:serial"])
            .args(["-chardev", "socket,id=qmp,fd=4"])
            .args(["-mon", "chardev=qmp,mode=control"])
            .args(["-chardev", "socket,id=qtest,fd=5"])
            .args(["-qtest", "chardev:qtest", "-qtest-log", "/dev/null"])
            .args(["-D", "/dev/fd/6", "-seed", &seed.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Fill flash and RAM untraced, then trace and let the core run from its reset vector.
    fn bring_up(&self, running: &mut Running) -> Result<(), ChannelFault> {
        let Channels { qmp, qtest, .. } = &mut running.channels;
        qmp.negotiate()?;
        let config = map::NVMC_CONFIG;
        qtest.command(&format!("writel {config} 2"))?;
        qtest.command(&format!("writel {} 1", map::NVMC_ERASEALL))?;
        qtest.command(&format!("writel {config} 1"))?;
        let image = self.shadow().content().to_vec();
        for (start, bytes) in programmed_stretches(&image) {
            let encoded = BASE64.encode(bytes);
            qtest.command(&format!("b64write {start} {} {encoded}", bytes.len()))?;
        }
        qtest.command(&format!("writel {config} 0"))?;
        let encoded = BASE64.encode(&running.garbage);
        let (start, length) = (map::RAM_START, map::RAM_BYTES);
        qtest.command(&format!("b64write {start} {length} {encoded}"))?;
        // The core latched its reset vector when flash was still empty.
        qmp.system_reset()?;
        for event in ["memory_region_ops_write", "resettable_reset"] {
            let arguments = json!({ "name": event, "enable": true });
            qmp.execute("trace-event-set-state", &arguments)?;
        }
        self.status.lock().last_activity = Instant::now();
        qmp.execute("cont", &json!({}))
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
        if stderr.contains(LOCKUP) {
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
    fn close(&self) -> Result<(), String> {
        self.power_on().map_err(|e| e.to_string())
    }

    fn open(&self) -> Result<(), String> {
        self.power_off();
        Ok(())
    }

    fn is_powered(&self) -> bool {
        matches!(self.status.lock().end, None | Some(End::LockedUp))
    }
}

impl Drop for Supply {
    fn drop(&mut self) {
        self.power_off();
    }
}

fn read_memory(running: &mut Running, start: u32, length: usize) -> Result<Vec<u8>, ChannelFault> {
    let answer = running
        .channels
        .qtest
        .command(&format!("b64read {start} {length}"))?;
    BASE64
        .decode(&answer)
        .ok()
        .filter(|bytes| bytes.len() == length)
        .ok_or_else(|| {
            ChannelFault::Refused("something that is not the memory asked for".to_owned())
        })
}

/// Stretches of whole pages that are not blank: what has to be written over an erased flash.
fn programmed_stretches(image: &[u8]) -> Vec<(usize, &[u8])> {
    let blank = |page: &[u8]| page.iter().all(|&b| b == 0xFF);
    let pages: Vec<&[u8]> = image.chunks(map::PAGE_BYTES).collect();
    let mut start = 0;
    pages
        .chunk_by(|a, b| blank(a) == blank(b))
        .filter_map(|stretch| {
            let length = stretch.iter().map(|page| page.len()).sum::<usize>();
            let at = start;
            start += length;
            (!blank(stretch[0])).then(|| (at, &image[at..at + length]))
        })
        .collect()
}

/// Index after the longest stretch in which both are equal.
fn end_of_longest_equal_run(now: &[u8], before: &[u8]) -> usize {
    let (mut longest, mut end, mut run) = (0, 0, 0);
    for (at, (a, b)) in now.iter().zip(before).enumerate() {
        run = if a == b { run + 1 } else { 0 };
        if run > longest {
            (longest, end) = (run, at + 1);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_are_not_blank_are_written() {
        let mut image = vec![0xFF; 6 * map::PAGE_BYTES];
        image[0] = 0;
        image[2 * map::PAGE_BYTES + 5] = 1;
        image[4 * map::PAGE_BYTES - 1] = 2;
        let found: Vec<_> = programmed_stretches(&image)
            .iter()
            .map(|(at, bytes)| (at / map::PAGE_BYTES, bytes.len() / map::PAGE_BYTES))
            .collect();
        assert_eq!(found, [(0, 1), (2, 2)]);
        assert!(programmed_stretches(&[0xFF; 4096]).is_empty());
    }

    #[test]
    fn the_stack_begins_where_the_longest_untouched_stretch_ends() {
        let before = [7; 100];
        let mut now = before;
        now[..10].fill(0);
        now[20] = 0;
        now[80..].fill(0);
        assert_eq!(end_of_longest_equal_run(&now, &before), 80);
        assert_eq!(end_of_longest_equal_run(&[1; 4], &[2; 4]), 0);
    }
}
