//! Runs one case: provision, power, publish; cut where the plan says; power again, until the device has come to its
//! end and rests. Then `judge` judges it.
//!
//! The board is off when this returns, whatever happened; if it cannot be said to be off, the case is a bench error.
mod power;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::Counts;
use super::judge::{CaseError, End};
use super::monitor::{Monitor, Watched};
pub use super::snapshot::{Snapshot, Taken};
use super::trigger::FiredCut;
use crate::plan::schedule::ReferenceProfile;
use crate::plan::{Case, Cut, Outage, Supply};
use powercut_bench::board::{Composed, Facts, Stopped};
use powercut_bench::cancel::Cancel;
use powercut_bench::feed::{Feed, Sink};
use powercut_bench::link::LinkSetup;
use powercut_link::{Impairment, LinkCounters, LinkProfile, TimeScale};
use powercut_oracle::ending::is_final;
use powercut_oracle::oracle::{Images, Oracle, Violation};
use powercut_oracle::rulings::Rulings;
use powercut_oracle::seen::{Clock, Source, What};
use powercut_oracle::verdict::{Invariant, Verdict};
use powercut_package::BoardFacts;
use powercut_platform::{Platform, PlatformEvent, PlatformEventKind, Watching};

/// Everything a case needs.
pub struct CaseSetup<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its cuts, resolved.
    pub cuts: &'a [Cut],
    /// Flash, layout, marker pin and built-in platform of the board's firmware.
    pub board: BoardFacts,
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
    /// Where packages come from.
    pub platform: &'a dyn Platform,
    /// Tells when to stop.
    pub cancel: &'a Cancel,
    /// Told of every cut as soon as it has happened.
    pub on_cut: &'a dyn Fn(&FiredCut),
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
    /// The rulings on each invariant.
    pub rulings: Rulings,
    /// What random cuts are drawn from.
    pub profile: ReferenceProfile,
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
            rulings: Rulings::none("the case was not run"),
            profile: ReferenceProfile {
                operations: std::collections::BTreeMap::new(),
                trial_attempts: 0,
                fragments: 0,
            },
            timeline: String::new(),
            duration: Duration::ZERO,
        }
    }
}

/// Takes power when it goes out of scope, also when the rig panics.
struct OffAtTheEnd<'a>(&'a mut Composed);

impl Drop for OffAtTheEnd<'_> {
    fn drop(&mut self) {
        // Whoever could still be told has been told: `run` does the same, and reports it.
        let _ = self.0.relay.off();
    }
}

/// Runs the case on a composed board.
pub fn run(setup: &CaseSetup<'_>, on: &mut Composed) -> CaseReport {
    let start = Instant::now();
    let powered = OffAtTheEnd(on);
    let on = &mut *powered.0;
    let facts = on.facts();
    let oracle = Oracle::new(
        setup.board.geometry,
        &setup.board.layout,
        setup.images.clone(),
        setup.case.expect.refetch_fragments_per_cut,
        facts.sight,
        setup.flash,
    );
    let time = on.board.time();
    let clock = time.clone().map_or_else(Clock::start, Clock::start_in);
    let impairment = match &time {
        None => Impairment::new(setup.link, setup.case.seed),
        // Datagrams come in the same order whenever the case is run; some of them hold random numbers.
        Some(_) => Impairment::by_order(setup.link, setup.case.seed),
    };
    let link = on.link.open(
        &LinkSetup {
            profile: setup.link,
            impairment: impairment.clone(),
            habits: &setup.case.modem,
            modem_power: setup.case.modem_power,
            time_scale: setup.time_scale,
            time,
            baud: on.board.line_baud(),
            server: setup.platform.server(),
            platform: setup.platform.local_addr(),
            advertised: setup.board.platform,
        },
        on.board.uart(),
    );
    on.board.connect(link.far_end());
    let watched = Watched {
        board: &setup.board,
        images: &setup.images,
        sight: facts.sight,
        flash: setup.flash,
        cuts: setup.cuts,
    };
    let monitor = Monitor::new(&watched, oracle, link, on.board.waker());
    let monitor = Arc::new(Mutex::new(monitor));
    let sink = Arc::clone(&monitor) as Arc<Mutex<dyn Sink>>;
    let mut run = Run {
        setup,
        monitor,
        feed: Feed::new(sink, clock.clone()),
        clock,
        facts,
        told: Arc::new(AtomicBool::new(false)),
        unread_cut: None,
        snapshots: Vec::new(),
        power_ons: 0,
        stack_bytes: None,
        start,
    };
    let watching = run.watch_platform(on);
    let ended = run.until_the_end(on);
    // Whatever went wrong: power first.
    let off = on.relay.off();
    let ended = ended.and_then(|end| Ok(off.map(|()| end)?));
    run.report(ended, &impairment.counters(), watching)
}

pub(super) struct Run<'a> {
    pub(super) setup: &'a CaseSetup<'a>,
    monitor: Arc<Mutex<Monitor>>,
    feed: Feed,
    pub(super) clock: Clock,
    pub(super) facts: Facts,
    /// The platform has heard how the upgrade ended, in this boot.
    told: Arc<AtomicBool>,
    /// The cut whose finding has not been read yet.
    unread_cut: Option<Taken>,
    pub(super) snapshots: Vec<Snapshot>,
    power_ons: u64,
    stack_bytes: Option<u32>,
    start: Instant,
}

impl Run<'_> {
    pub(super) fn monitor(&self) -> MutexGuard<'_, Monitor> {
        self.monitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn until_the_end(&mut self, on: &mut Composed) -> Result<End, CaseError> {
        let setup = self.setup;
        let package = Arc::new(setup.images.new.clone());
        let device = setup.device.0;
        setup.platform.publish(device, package, setup.case.window)?;
        on.board.provision(setup.flash, setup.case.seed)?;
        on.board.watch(self.feed.clone());
        let deadline = setup.case.timeout;
        let mut resting = false;
        self.power_on(on)?;
        loop {
            let now = self.clock.now();
            let due = self.monitor().trigger.due();
            let until = due.map_or(deadline, |due| due.min(deadline));
            let mut stopped = on.board.wait(until.saturating_sub(now))?;
            if stopped == Stopped::TimedOut && due.is_some_and(|due| self.clock.now() >= due) {
                stopped = self.cut_at_due(on)?;
            }
            if setup.cancel.is_cancelled() {
                return Ok(End::Cancelled);
            }
            if let Some(failure) = self.monitor().link_failure() {
                return Err(CaseError::Modem(failure));
            }
            if stopped == Stopped::Cut {
                resting = false;
                let outage = self.after_cut(on)?;
                if outage.supply == Supply::Off {
                    self.wait_off_time(on);
                }
                self.power_on(on)?;
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
                    self.finish(on)?;
                    return Ok(End::Rested);
                }
                // It says it is done: see that it stays so over one more boot.
                resting = true;
                self.look_at_stack(on)?;
                self.power_off(on, None, Outage::default())?;
                self.power_on(on)?;
                continue;
            }
            if self.clock.now() >= deadline {
                // A silence is held against the firmware only if it is the board's.
                on.board.check()?;
                return Ok(if setup.cancel.is_cancelled() {
                    End::Cancelled
                } else {
                    End::TimedOut
                });
            }
        }
    }

    /// Makes the device known to the platform, and follows what the platform sees of it while the result lives.
    fn watch_platform(&self, on: &Composed) -> Watching {
        let (device, key) = self.setup.device.clone();
        self.setup.platform.register_device(device, key);
        let (told, waker, images) = (
            Arc::clone(&self.told),
            on.board.waker(),
            self.setup.images.clone(),
        );
        let (feed, clock) = (self.feed.clone(), self.clock.clone());
        let watcher = move |event: &PlatformEvent| {
            feed.tell_at(
                clock.at(event.at),
                Source::Platform,
                What::Platform(&event.kind),
            );
            if let PlatformEventKind::Hello { status, .. } = &event.kind
                && is_final(status, &images)
            {
                told.store(true, Ordering::SeqCst);
                waker.wake();
            }
        };
        self.setup.platform.watch(device, Arc::new(watcher))
    }

    /// The deepest stack of all boots that were not cut.
    fn look_at_stack(&mut self, on: &mut Composed) -> Result<(), CaseError> {
        let bytes = on.board.stack_high_water_bytes()?;
        self.stack_bytes = self.stack_bytes.max(bytes);
        Ok(())
    }

    /// The device rests: switch it off and read what it leaves.
    fn finish(&mut self, on: &mut Composed) -> Result<(), CaseError> {
        self.look_at_stack(on)?;
        on.board.verify_record()?;
        self.power_off(on, None, Outage::default())?;
        if let Some(after) = self.flash_at_rest(on)? {
            self.snapshots.push(Snapshot {
                taken: Taken::AtTheEnd,
                after,
            });
        }
        Ok(())
    }

    fn report(
        self,
        ended: Result<End, CaseError>,
        link: &LinkCounters,
        watching: Watching,
    ) -> CaseReport {
        self.monitor().shut_down_link();
        let ended = ended.and_then(|end| {
            self.setup.platform.settle()?;
            Ok(end)
        });
        drop(watching);
        let state = self
            .setup
            .platform
            .device_state(self.setup.device.0)
            .unwrap_or_default();
        let verdict = match ended {
            Ok(End::Cancelled) => None,
            Ok(end) => Some(self.judge(end, &state)),
            Err(error) => {
                let verdict = error.verdict();
                if let Verdict::FirmwareFailure { invariant, reason } = &verdict {
                    self.monitor().oracle.report(*invariant, reason.clone());
                }
                Some(verdict)
            }
        };
        let monitor = self.monitor();
        let profile = ReferenceProfile {
            operations: monitor.view.operations_in().clone(),
            trial_attempts: self.setup.images.new.manifest().trial_attempts,
            fragments: self.setup.images.new.manifest().fragments(),
        };
        let seen = monitor.view.operations();
        let counts = Counts {
            boots: self.power_ons,
            resets: monitor.view.resets(),
            flash_operations: seen,
            erases: seen.map(|_| monitor.oracle.erases()),
            fragments: u64::from(profile.fragments),
            fetched_again: seen
                .filter(|_| self.facts.sight.datagrams)
                .map(|_| monitor.oracle.fetched_again()),
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
            rulings: super::judge::rulings(&monitor.oracle, verdict.as_ref()),
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
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
