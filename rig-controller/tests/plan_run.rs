//! A plan's cases on two boards that do nothing: what is run once, what is run at all, and what is left behind.
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use common::Inputs as Folder;
use nor_flash_model::Geometry;
use powercut_bench::board::{Board, BoardError, Composed, Facts, Hold, Stopped, Waker};
use powercut_bench::cancel::Cancel;
use powercut_bench::entry::BoardEntry;
use powercut_bench::feed::Feed;
use powercut_bench::link::Play;
use powercut_bench::relay::{Power, Relay, RelayError};
use powercut_bench::uart::UartToDevice;
use powercut_oracle::sight::Sight;
use powercut_oracle::verdict::VerdictClass;
use powercut_package::BoardFacts;
use powercut_package::hardware::MICROBIT;
use rig_controller::run::{Inputs, Keep, Options, Progress, Sources, evidence, run_plan};

/// What happened to all boards of a test.
#[derive(Default)]
struct Log {
    made: AtomicUsize,
    power_ons: AtomicUsize,
    powered: AtomicUsize,
}

/// A board that takes power and then does nothing.
struct DeadBoard {
    name: String,
    geometry: Geometry,
    flash: Vec<u8>,
    woken: Arc<(Mutex<bool>, Condvar)>,
}

/// Its relay, which counts.
struct CountingRelay {
    powered: bool,
    log: Arc<Log>,
}

impl Relay for CountingRelay {
    fn name(&self) -> &'static str {
        "relay"
    }
    fn on(&mut self) -> Result<(), RelayError> {
        self.powered = true;
        self.log.power_ons.fetch_add(1, Ordering::SeqCst);
        self.log.powered.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    fn off(&mut self) -> Result<(), RelayError> {
        if std::mem::take(&mut self.powered) {
            self.log.powered.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }
    fn power(&self) -> Power {
        if self.powered { Power::On } else { Power::Off }
    }
}

struct Nowhere;

impl UartToDevice for Nowhere {
    fn send(&self, _: &[u8]) {}
}

impl Board for DeadBoard {
    fn name(&self) -> &str {
        &self.name
    }
    fn facts(&self) -> Facts {
        Facts {
            geometry: self.geometry,
            sight: Sight::EVERYTHING,
            silence: None,
        }
    }
    fn provision(&mut self, flash: &[u8], _seed: u64) -> Result<(), BoardError> {
        self.flash = flash.to_vec();
        Ok(())
    }
    fn watch(&mut self, _: Feed) {}
    fn hold(&mut self) -> Result<Hold, BoardError> {
        Ok(Hold::Held)
    }
    fn release(&mut self) -> Result<(), BoardError> {
        Ok(())
    }
    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError> {
        let (woken, changed) = &*self.woken;
        let (mut woken, _) = changed
            .wait_timeout_while(woken.lock().unwrap(), timeout, |woken| !*woken)
            .unwrap();
        *woken = false;
        Ok(Stopped::TimedOut)
    }
    fn waker(&self) -> Waker {
        let shared = Arc::clone(&self.woken);
        Waker(Arc::new(move || {
            *shared.0.lock().unwrap() = true;
            shared.1.notify_all();
        }))
    }
    fn uart(&self) -> Arc<dyn UartToDevice> {
        Arc::new(Nowhere)
    }
    fn read_flash(&mut self) -> Result<Option<Vec<u8>>, BoardError> {
        Ok(Some(self.flash.clone()))
    }
}

fn dead_boards(log: &Arc<Log>) -> impl Fn(&BoardEntry) -> Option<Composed> {
    let microbit = BoardFacts::of(MICROBIT).unwrap();
    dead_boards_with(microbit.geometry, log)
}

fn dead_boards_with(
    geometry: Geometry,
    log: &Arc<Log>,
) -> impl Fn(&BoardEntry) -> Option<Composed> {
    let log = Arc::clone(log);
    move |entry| {
        log.made.fetch_add(1, Ordering::SeqCst);
        Some(Composed {
            board: Box::new(DeadBoard {
                name: entry.name.clone(),
                geometry,
                flash: Vec::new(),
                woken: Arc::default(),
            }),
            relay: Box::new(CountingRelay {
                powered: false,
                log: Arc::clone(&log),
            }),
            witness: None,
            link: Box::new(Play {
                power: entry.modem.power,
                fault: entry.modem.fault,
            }),
            shows: entry.shows,
        })
    }
}

fn inputs(folder: &Folder) -> Inputs {
    Inputs::load(Sources::in_evidence(&folder.path(".")), None).unwrap()
}

fn options(folder: &Folder) -> Options {
    Options {
        out: folder.path("out"),
        junit: folder.path("out/junit.xml"),
        jobs: None,
        keep: Keep::Failing,
    }
}

#[test]
fn cases_that_differ_only_in_their_cuts_share_one_reference_run_and_fail_with_it() {
    let folder = Folder::new(
        "plan: p\ntimeout_s: 1\nrepeat: 4\nupgrade: { from: 1.0.0, to: 1.1.0 }\ncuts: [ random: { count: 2, during: [swap] } ]\n",
    );
    let board = |name| {
        format!("  - {{ name: {name}, virtual: microbit, modem: {{ fault: never-registers }} }}\n")
    };
    folder.write(
        "bench.yaml",
        format!("bench: b\nboards:\n{}{}", board("mb-1"), board("mb-2")),
    );
    let inputs = inputs(&folder);
    let log = Arc::default();
    let summary = run_plan(
        &inputs,
        &options(&folder),
        &dead_boards(&log),
        &Cancel::default(),
        &|_| (),
    )
    .unwrap();
    assert_eq!(log.made.load(Ordering::SeqCst), 2, "each board once");
    assert_eq!(log.power_ons.load(Ordering::SeqCst), 1);
    assert_eq!(log.powered.load(Ordering::SeqCst), 0);
    assert_eq!(summary.count(VerdictClass::BenchError), 4);
    let numbers: Vec<usize> = summary.results.iter().map(|result| result.case).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for result in &summary.results {
        let reason = result.reason.as_deref().unwrap();
        assert!(reason.starts_with("the uncut reference run"), "{reason}");
        assert!(reason.contains("never registered"), "{reason}");
        let (line, kept) = evidence::read(result.evidence.as_ref().unwrap()).unwrap();
        assert_eq!(line.to_string(), result.case_line);
        assert_eq!(&kept, result);
    }
}

#[test]
fn a_cancelled_run_switches_boards_off_and_reports_what_did_not_run_as_an_error() {
    let folder = Folder::new("plan: p\nrepeat: 5\nupgrade: { from: 1.0.0, to: 1.1.0 }\n");
    let inputs = inputs(&folder);
    let (log, cancel) = (Arc::default(), Cancel::default());
    let started = AtomicUsize::new(0);
    let summary = run_plan(
        &inputs,
        &options(&folder),
        &dead_boards(&log),
        &cancel,
        &|progress| {
            // When both boards are at work.
            if matches!(progress, Progress::Started { .. })
                && started.fetch_add(1, Ordering::SeqCst) == 1
            {
                cancel.cancel();
            }
        },
    )
    .unwrap();
    assert_eq!((summary.results.len(), summary.skipped), (0, 5));
    assert_eq!(started.load(Ordering::SeqCst), 2);
    assert_eq!(log.powered.load(Ordering::SeqCst), 0);
    let junit = std::fs::read_to_string(folder.path("out/junit.xml")).unwrap();
    assert_eq!(junit.matches("type=\"not run\"").count(), 5, "{junit}");
}

#[test]
fn no_more_boards_work_than_jobs_are_allowed() {
    let folder =
        Folder::new("plan: p\ntimeout_s: 1\nrepeat: 2\nupgrade: { from: 1.0.0, to: 1.1.0 }\n");
    let inputs = inputs(&folder);
    let options = Options {
        jobs: Some(1),
        ..options(&folder)
    };
    let log = Arc::default();
    let cancel = Cancel::default();
    let summary = run_plan(&inputs, &options, &dead_boards(&log), &cancel, &|_| ()).unwrap();
    assert!(summary.results.iter().all(|result| result.board == "mb-1"));
    assert_eq!(summary.power_cycles, 2);
    assert_eq!(log.power_ons.load(Ordering::SeqCst), 2);
}

#[test]
fn a_set_for_other_flash_than_the_boards_have_is_a_bench_error_and_no_board_gets_power() {
    let folder = Folder::new("plan: p\nupgrade: { from: 1.0.0, to: 1.1.0 }\n");
    let inputs = inputs(&folder);
    let log = Arc::default();
    let write_once = Geometry::new(8, 2048, 1, 128).unwrap();
    let summary = run_plan(
        &inputs,
        &options(&folder),
        &dead_boards_with(write_once, &log),
        &Cancel::default(),
        &|_| (),
    )
    .unwrap();
    assert_eq!(summary.count(VerdictClass::BenchError), 1);
    assert_eq!(log.power_ons.load(Ordering::SeqCst), 0);
    let reason = summary.results[0].reason.as_deref().unwrap();
    assert!(
        reason.contains("256 pages of 1024 bytes, units of 4 bytes")
            && reason.contains("has 128 pages of 2048 bytes, units of 8 bytes"),
        "{reason}"
    );
}
