//! Runs one case: provision, power, publish; cut where the plan says; power again, until the device has come to its
//! end and rests; then judge.
//!
//! The board is off when this returns, whatever happened.
use powercut_oracle::verdict::Outcome;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::journal::Phase as JournalPhase;
use powercut_upgrade::slots::{Placement, Slot};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Status};
use sha2::{Digest, Sha256};

use super::monitor::Monitor;
use super::timeline::Happening;
use super::trigger::FiredCut;
use crate::plan::schedule::Profile;
use crate::plan::{Case, Cut, FinalImage, Phase};
use crate::report::Counts;
use powercut_bench::board::{Board, BoardError, SharedObserver, Stopped};
use powercut_bench::cancel::Cancel;
use powercut_bench::modem::{ModemFault, ModemPower, VirtualModem, VirtualModemConfig};
use powercut_link::{Impairment, LinkCounters, LinkProfile, TimeScale};
use powercut_oracle::flash_view;
use powercut_oracle::oracle::{Images, Oracle, Violation};
use powercut_oracle::verdict::{Invariant, Verdict};
use powercut_package::BoardFacts;
use powercut_package::words::Words;
use powercut_platform::{DeviceState, Platform, PlatformEvent, PlatformEventKind};

/// A board without a sign of life for this long, or for a quarter of a short case's time, is not on its way any more.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Everything a case needs.
pub struct CaseSetup<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its cuts, resolved.
    pub cuts: &'a [Cut],
    /// Flash, layout, marker pin and built-in platform of the board's firmware.
    pub facts: BoardFacts,
    /// What the board's flash holds at first, whole.
    pub flash: &'a [u8],
    /// Old and new image.
    pub images: Images,
    /// Who the device is.
    pub device: (DeviceId, DeviceKey),
    /// What becomes of datagrams.
    pub link: &'a LinkProfile,
    /// How much faster than real the link is.
    pub time_scale: TimeScale,
    /// Whether the modem keeps power in a cut.
    pub modem_power: ModemPower,
    /// What is wrong with the modem on purpose.
    pub modem_fault: Option<ModemFault>,
    /// Where packages come from.
    pub platform: &'a dyn Platform,
    /// Tells when to stop.
    pub cancel: &'a Cancel,
    /// Told of every cut as soon as it has happened.
    pub on_cut: &'a dyn Fn(&FiredCut),
}

/// Flash around one cut, or at the end.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Content when the cut was decided; `None` at the end of the case.
    pub before: Option<Vec<u8>>,
    /// Content that was left.
    pub after: Vec<u8>,
}

impl Snapshot {
    /// SHA-256 of what was left, in hex.
    pub fn digest(&self) -> String {
        hex::encode(Sha256::digest(&self.after))
    }
}

/// What a case left behind.
#[derive(Debug)]
pub struct CaseReport {
    /// The judgement; `None` if the run was cancelled before the case ended.
    pub verdict: Option<Verdict>,
    /// Everything that did not hold; the first decides the verdict.
    pub violations: Vec<Violation>,
    /// Cuts that happened.
    pub fired: Vec<FiredCut>,
    /// Flash around each cut, and at the end.
    pub snapshots: Vec<Snapshot>,
    /// What was counted.
    pub counts: Counts,
    /// What random cuts are drawn from.
    pub profile: Profile,
    /// What happened, as text.
    pub timeline: String,
    /// Host time.
    pub duration: Duration,
}

impl CaseReport {
    /// Of a case that could not be begun.
    pub fn not_run(verdict: Verdict) -> Self {
        Self {
            verdict: Some(verdict),
            violations: Vec::new(),
            fired: Vec::new(),
            snapshots: Vec::new(),
            counts: Counts::default(),
            profile: Profile {
                operations: std::collections::BTreeMap::new(),
                trial_attempts: 0,
                fragments: 0,
            },
            timeline: String::new(),
            duration: Duration::ZERO,
        }
    }
}

/// Runs the case on `board`.
pub fn run(setup: &CaseSetup<'_>, board: &mut dyn Board) -> CaseReport {
    let start = Instant::now();
    let oracle = Oracle::new(
        setup.facts.geometry,
        &setup.facts.layout,
        setup.images.clone(),
        setup.case.expect.refetch_fragments_per_cut,
        setup.flash,
    );
    let impairment = Impairment::new(setup.link, setup.case.seed);
    let modem = VirtualModem::new(
        VirtualModemConfig {
            power: setup.modem_power,
            searching_answers: 0,
            fault: setup.modem_fault,
            habits: setup.case.modem.clone(),
            link: setup.link.clone(),
            impairment: impairment.clone(),
            time_scale: setup.time_scale,
            route: route(setup.facts.platform, setup.platform.local_addr()),
        },
        board.uart(),
    );
    let monitor = Arc::new(Mutex::new(Monitor::new(
        &setup.facts,
        &setup.images,
        setup.cuts,
        oracle,
        Box::new(modem),
        board.waker(),
        setup.flash,
    )));
    let mut run = Run {
        setup,
        monitor,
        told: Arc::new(AtomicBool::new(false)),
        snapshots: Vec::new(),
        power_ons: 0,
        stack_bytes: None,
        start,
    };
    let ended = run.until_the_end(board);
    // Whatever went wrong: power first.
    let off = board.power_off();
    setup.platform.watch(setup.device.0, None);
    run.report(
        ended.and_then(|end| Ok(off.map(|()| end)?)),
        &impairment.counters(),
    )
}

/// From where images believe that the platform is to where it is.
fn route(built_in: SocketAddrV4, platform: SocketAddr) -> Option<(SocketAddrV4, SocketAddrV4)> {
    match platform {
        SocketAddr::V4(actual) => Some((built_in, actual)),
        SocketAddr::V6(_) => None,
    }
}

/// How the part that needs the board ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The device told the platform how the upgrade ended, and told it again after one more boot.
    Rested,
    /// The case's time is up.
    TimedOut,
    /// The oracle has seen enough.
    Violated,
    /// The run is cancelled.
    Cancelled,
}

struct Run<'a> {
    setup: &'a CaseSetup<'a>,
    monitor: Arc<Mutex<Monitor>>,
    /// The platform has heard how the upgrade ended, in this boot.
    told: Arc<AtomicBool>,
    snapshots: Vec<Snapshot>,
    power_ons: u64,
    stack_bytes: Option<u32>,
    start: Instant,
}

/// Whether the device has nothing more to do about `images.new`.
fn is_final(status: &Status, images: &Images) -> bool {
    let new = images.new.signed().image_id();
    status.activity == Activity::Idle && (status.result_image == new || status.running == new)
}

impl Run<'_> {
    fn monitor(&self) -> MutexGuard<'_, Monitor> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until_the_end(&mut self, board: &mut dyn Board) -> Result<End, CaseError> {
        let setup = self.setup;
        let (device, key) = setup.device.clone();
        setup.platform.register_device(device, key);
        let package = Arc::new(setup.images.new.clone());
        setup.platform.publish(device, package, setup.case.window)?;
        self.watch_platform(board);
        setup.cancel.also_wake(board.waker());
        board.provision(setup.flash)?;
        let deadline = self.start + setup.case.timeout;
        let mut resting = false;
        self.power_on(board)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let stopped = board.wait(left)?;
            if setup.cancel.is_cancelled() {
                return Ok(End::Cancelled);
            }
            if let Some(failure) = self.monitor().modem_failure() {
                return Err(CaseError::Modem(failure));
            }
            if stopped == Stopped::Cut {
                resting = false;
                self.after_cut(board)?;
                self.wait_off_time();
                self.power_on(board)?;
                continue;
            }
            let too_many_boots = self
                .monitor()
                .oracle
                .violations()
                .iter()
                .any(|violation| violation.invariant == Invariant::L2);
            if too_many_boots {
                return Ok(End::Violated);
            }
            if self.told.load(Ordering::SeqCst) {
                if resting {
                    self.finish(board)?;
                    return Ok(End::Rested);
                }
                // It says it is done: see that it stays so over one more boot.
                resting = true;
                self.look_at_stack(board)?;
                board.power_off()?;
                let flash = board.read_flash()?;
                self.monitor().power_lost(false, &flash);
                self.power_on(board)?;
                continue;
            }
            if Instant::now() >= deadline {
                // A silence is held against the firmware only if it is the board's.
                board.check()?;
                return Ok(if setup.cancel.is_cancelled() {
                    End::Cancelled
                } else {
                    End::TimedOut
                });
            }
        }
    }

    fn watch_platform(&self, board: &dyn Board) {
        let (told, waker, images) = (
            Arc::clone(&self.told),
            board.waker(),
            self.setup.images.clone(),
        );
        let watcher = move |event: &PlatformEvent| {
            if let PlatformEventKind::Hello { status, .. } = &event.kind
                && is_final(status, &images)
            {
                told.store(true, Ordering::SeqCst);
                waker.wake();
            }
        };
        self.setup
            .platform
            .watch(self.setup.device.0, Some(Arc::new(watcher)));
    }

    fn power_on(&mut self, board: &mut dyn Board) -> Result<(), CaseError> {
        let flash = board.read_flash()?;
        // What an earlier boot sent must not count as said by this one.
        self.setup.platform.settle()?;
        self.told.store(false, Ordering::SeqCst);
        self.power_ons += 1;
        self.monitor().power_restored(&flash);
        let observer: SharedObserver = Arc::clone(&self.monitor) as SharedObserver;
        board.power_on(observer)?;
        Ok(())
    }

    fn after_cut(&mut self, board: &mut dyn Board) -> Result<(), CaseError> {
        let after = board.read_flash()?;
        let mut monitor = self.monitor();
        monitor.power_lost(true, &after);
        let before = monitor.flash_before_cut.take();
        let fired = monitor.trigger.fired().last().cloned();
        drop(monitor);
        if let Some(fired) = &fired {
            (self.setup.on_cut)(fired);
        }
        self.snapshots.push(Snapshot { before, after });
        Ok(())
    }

    /// The off time is part of the case; it ends early only when the run is cancelled.
    fn wait_off_time(&self) {
        let end = Instant::now() + self.setup.case.off_time;
        while Instant::now() < end && !self.setup.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(20).min(end - Instant::now()));
        }
    }

    /// The deepest stack of all boots that were not cut.
    fn look_at_stack(&mut self, board: &mut dyn Board) -> Result<(), CaseError> {
        let bytes = board.stack_high_water_bytes()?;
        self.stack_bytes = self.stack_bytes.max(bytes);
        Ok(())
    }

    fn finish(&mut self, board: &mut dyn Board) -> Result<(), CaseError> {
        self.look_at_stack(board)?;
        board.verify_record()?;
        let after = board.read_flash()?;
        self.monitor().power_lost(false, &after);
        self.snapshots.push(Snapshot {
            before: None,
            after,
        });
        Ok(())
    }

    fn report(self, ended: Result<End, CaseError>, link: &LinkCounters) -> CaseReport {
        self.monitor().shut_down_modem();
        let ended = ended.and_then(|end| {
            self.setup.platform.settle()?;
            Ok(end)
        });
        let state = self
            .setup
            .platform
            .device_state(self.setup.device.0)
            .unwrap_or_default();
        self.add_platform_events();
        let verdict = match ended {
            Ok(End::Cancelled) => None,
            Ok(end) => Some(self.judge(end, &state)),
            Err(error) => Some(error.verdict()),
        };
        let monitor = self.monitor();
        let profile = Profile {
            operations: monitor.operations_in.clone(),
            trial_attempts: self.setup.images.new.manifest().trial_attempts,
            fragments: self.setup.images.new.manifest().fragments(),
        };
        let counts = Counts {
            boots: self.power_ons,
            resets: u64::from(monitor.resets),
            flash_operations: monitor.operations,
            erases: monitor.oracle.erases(),
            fragments: u64::from(profile.fragments),
            fetched_again: monitor.oracle.fetched_again(),
            retransmissions: monitor.oracle.repeated_requests()
                + link.to_platform.dropped
                + link.to_device.dropped,
            duplicates: link.to_platform.duplicated + link.to_device.duplicated,
            bytes_up: state.bytes_up,
            bytes_down: state.bytes_down,
            image_bytes: u64::from(self.setup.images.new.manifest().size_bytes),
            stack_bytes: self.stack_bytes.map(u64::from),
        };
        let report = CaseReport {
            verdict,
            violations: monitor.oracle.violations().to_vec(),
            fired: monitor.trigger.fired().to_vec(),
            counts,
            profile,
            timeline: monitor.timeline.to_text(),
            duration: self.start.elapsed(),
            snapshots: Vec::new(),
        };
        drop(monitor);
        CaseReport {
            snapshots: self.snapshots,
            ..report
        }
    }

    fn add_platform_events(&self) {
        let mut monitor = self.monitor();
        for event in self.setup.platform.events(self.setup.device.0) {
            let text = event.kind.to_string();
            let phase = Phase::Download;
            monitor
                .timeline
                .add_at(event.at, phase, Happening::Platform(text));
        }
    }

    fn judge(&self, end: End, state: &DeviceState) -> Verdict {
        let mut monitor = self.monitor();
        let registered = monitor.modem_registered();
        if end == End::TimedOut {
            if !registered && monitor.oracle.violations().is_empty() {
                return Verdict::BenchError {
                    reason: "the modem never registered with the network; check its SIM, antenna and `modem` in the bench file".to_owned(),
                };
            }
            let silent = monitor.last_sign_of_life.elapsed();
            if monitor.oracle.violations().is_empty()
                && silent < SIGN_OF_LIFE.min(self.setup.case.timeout / 4)
            {
                return Verdict::Inconclusive {
                    reason: format!(
                        "the device was still working when the case's time ({} s) was up; raise timeout_s",
                        self.setup.case.timeout.as_secs()
                    ),
                };
            }
            let reason = format!(
                "power was on and a valid image was there, but the device has been silent for {} s without coming to its end",
                silent.as_secs()
            );
            monitor.oracle.report(Invariant::L2, reason);
        }
        for reuse in self.setup.platform.ledger().violations() {
            monitor.oracle.report(Invariant::S5, reuse.to_string());
        }
        if end == End::Rested {
            self.check_end(&mut monitor, state);
        }
        if let Some(violation) = monitor.oracle.violations().first() {
            return Verdict::FirmwareFailure {
                invariant: violation.invariant,
                reason: violation.reason.clone(),
            };
        }
        let missed: Vec<String> = monitor.trigger.waiting().map(Cut::to_string).collect();
        if !missed.is_empty() {
            return Verdict::Inconclusive {
                reason: format!(
                    "T1: planned cuts never came about: {}; the run did not reach them",
                    missed.join(", ")
                ),
            };
        }
        Verdict::Pass
    }

    /// The end: the right image, the right outcome, and no more erases than needed.
    fn check_end(&self, monitor: &mut Monitor, state: &DeviceState) {
        let Some(end) = self.snapshots.last() else {
            return;
        };
        let (layout, images, expect) = (
            &self.setup.facts.layout,
            &self.setup.images,
            self.setup.case.expect,
        );
        let active_is = |image: &[u8]| {
            flash_view::first_difference(&end.after, layout, Slot::Active, Placement::Plain, image)
                .is_none()
        };
        let (is_old, is_new) = (active_is(images.old.image()), active_is(images.new.image()));
        monitor.oracle.at_end(is_new);
        let journal = flash_view::journal_state(&end.after, self.setup.facts.geometry, layout);
        let phase = journal.map(|journal| journal.phase);
        let outcome = match (phase, state.last_report.map(|status| status.result)) {
            (Some(JournalPhase::Confirmed), _) if is_new => Some(Outcome::Confirmed),
            (Some(JournalPhase::Reverted), Some(ResultCode::InstallFailed)) if is_old => {
                Some(Outcome::Reverted)
            }
            (_, Some(result))
                if is_old && result != ResultCode::Ok && monitor.oracle.trials() == 0 =>
            {
                Some(Outcome::Refused)
            }
            _ => None,
        };
        let wanted = match expect.final_image {
            FinalImage::From => is_old,
            FinalImage::To => is_new,
        };
        if !wanted || outcome != Some(expect.outcome) {
            let reason = format!(
                "the plan expects the upgrade {} and the {} image running; it ended {}, with {} (journal: {})",
                expect.outcome,
                expect.final_image,
                outcome.map_or("in between".to_owned(), |outcome| outcome.to_string()),
                match (is_old, is_new) {
                    (true, _) => "the old image",
                    (_, true) => "the new image",
                    _ => "neither image",
                },
                phase.map_or("unreadable".to_owned(), |phase| Words(phase).to_string()),
            );
            monitor.oracle.report(Invariant::Expectation, reason);
        }
    }
}

/// The bench could not do its part.
#[derive(Debug, thiserror::Error)]
enum CaseError {
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(transparent)]
    Platform(#[from] powercut_platform::PlatformError),
    #[error(transparent)]
    Modem(powercut_bench::modem::ModemError),
}

impl CaseError {
    fn verdict(&self) -> Verdict {
        match self {
            // A core that faults while it handles a fault stops for good: the firmware's doing, not the bench's.
            Self::Board(error @ BoardError::LockedUp { .. }) => Verdict::FirmwareFailure {
                invariant: Invariant::S1,
                reason: error.to_string(),
            },
            _ => Verdict::BenchError {
                reason: self.to_string(),
            },
        }
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
