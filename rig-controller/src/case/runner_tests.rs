//! Whole cases without an emulator: the real boot code and session in this process, or a board that does one
//! thing wrong, against the real virtual modem and a real platform.
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use nor_flash_model::Geometry;
use powercut_session::{Line, Next, OverModem, Probation, Session};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot;
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;

use super::*;
use crate::plan::Expect;
use powercut_bench::board::{
    BoardObserver, Decision, Observability, ResetCause, UartToDevice, Waker,
};
use powercut_bench::modem::ModemHabits;
use powercut_oracle::fixture::{
    self, DEVICE, DEVICE_KEY, DeviceFlash, FLASH_BYTES, Fate, GEOMETRY, LAYOUT,
};
use powercut_package::hardware::MICROBIT;
use powercut_platform::UdpPlatform;

/// The device is a micro:bit.
const FACTS: BoardFacts = BoardFacts::of(MICROBIT).unwrap();

/// What runs on the board, or what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Firmware {
    /// The real thing.
    Sound,
    /// Boots and then confirms nothing, for ever restarting.
    NeverConfirms,
    /// Does nothing at all.
    Silent,
    /// Sends, and gets nowhere.
    Chatters,
    /// Jumps to ACTIVE whatever is there.
    JumpsBlindly,
    /// The board cannot be provisioned.
    NoProvisioning,
    /// The board does not start.
    NoStart,
    /// As silent, but it is the bench that does nothing.
    StopsAnswering,
    /// The bench fails while the firmware runs.
    NoWait,
    /// The board's record of flash turns out to be wrong.
    WrongRecord,
    /// The core locks up.
    LocksUp,
}

enum Incoming {
    Bytes(Vec<u8>),
    Wake,
}

struct Uart(Sender<Incoming>);

impl UartToDevice for Uart {
    fn send(&self, bytes: &[u8]) {
        // A board that is gone loses them.
        let _ = self.0.send(Incoming::Bytes(bytes.to_vec()));
    }
}

/// What the device does while it has power.
enum Device {
    Off,
    InBootloader,
    Application(Box<Application>),
    /// Nothing will happen any more.
    Stuck,
}

struct Application {
    session: OverModem<0, [u8; 1600]>,
    heard: VecDeque<u8>,
    start: Instant,
}

/// A board in this process. The device runs on the caller's thread, in [`Board::wait`].
struct FakeBoard {
    firmware: Firmware,
    flash: TwiceProgrammable<DeviceFlash>,
    observer: Option<SharedObserver>,
    device: Device,
    incoming: Receiver<Incoming>,
    to_device: Sender<Incoming>,
}

impl FakeBoard {
    fn with(firmware: Firmware) -> Self {
        let (to_device, incoming) = channel();
        Self {
            firmware,
            flash: TwiceProgrammable(DeviceFlash::new(vec![0xFF; FLASH_BYTES])),
            observer: None,
            device: Device::Off,
            incoming,
            to_device,
        }
    }

    fn is_off(&self) -> bool {
        matches!(self.device, Device::Off)
    }

    fn failure(doing: &str) -> BoardError {
        BoardError::Channel {
            board: "fake".to_owned(),
            doing: doing.to_owned(),
            reason: "on purpose".to_owned(),
        }
    }

    /// Tells the observer of something; `true` if power goes.
    fn tell(&mut self, what: impl FnOnce(&mut dyn BoardObserver, &[u8]) -> Decision) -> bool {
        let observer = self.observer.clone().expect("power is on");
        let decision = what(&mut *observer.lock().unwrap(), &self.flash.0.bytes);
        self.flash.0.lost |= decision != Decision::Continue;
        self.flash.0.lost
    }

    fn application(&mut self) -> Application {
        let probation = match self.firmware {
            // It has no time to hear anybody.
            Firmware::NeverConfirms => Probation {
                limit_ms: 0,
                confirms: false,
            },
            _ => Probation::UNLIMITED,
        };
        let agent = Agent::start(&mut self.flash, &LAYOUT, [0; 1600]).unwrap();
        Application {
            session: OverModem::new(Session::new(agent, 0, probation), FACTS.platform),
            heard: VecDeque::new(),
            start: Instant::now(),
        }
    }

    fn boot(&mut self) {
        self.device = match self.firmware {
            Firmware::Silent | Firmware::StopsAnswering | Firmware::NoWait | Firmware::LocksUp => {
                Device::Stuck
            }
            Firmware::Chatters | Firmware::JumpsBlindly => {
                self.tell(|observer, flash| observer.uart_byte(b'A', flash));
                Device::Stuck
            }
            _ => match boot::boot(&mut self.flash, &LAYOUT, &mut || {}) {
                boot::Outcome::Run { .. } => Device::Application(Box::new(self.application())),
                boot::Outcome::Stay(_) => Device::Stuck,
            },
        };
    }

    fn reset(&mut self) {
        self.tell(|observer, flash| {
            observer.device_reset(ResetCause::Software, flash);
            Decision::Continue
        });
        self.device = Device::InBootloader;
    }

    /// One round of the application's loop; how long it may sleep.
    fn round(&mut self, mut app: Box<Application>) -> Duration {
        let sleep = self.round_of(&mut app);
        match sleep {
            Some(sleep) => {
                self.device = Device::Application(app);
                sleep
            }
            None if self.flash.0.lost => Duration::ZERO,
            None => {
                self.reset();
                Duration::ZERO
            }
        }
    }

    /// `None`: it restarts, or power is gone.
    fn round_of(&mut self, app: &mut Application) -> Option<Duration> {
        let now = app.start.elapsed().as_millis() as u64;
        let line_until = match app.session.line(now, || app.heard.pop_front()) {
            Line::Transmit(out) => {
                for &byte in out.bytes {
                    if self.tell(|observer, flash| observer.uart_byte(byte, flash)) {
                        return None;
                    }
                }
                return Some(Duration::ZERO);
            }
            Line::Received(datagram) => {
                datagram.take(&mut self.flash, now).ok()?;
                now
            }
            Line::Up => return Some(Duration::ZERO),
            Line::Idle { until_ms } => until_ms,
        };
        match app.session.poll(&mut self.flash, now, line_until).ok()? {
            Next::Continue | Next::Confirmed => Some(Duration::ZERO),
            Next::Wait { until_ms } => Some(Duration::from_millis(until_ms.saturating_sub(now))),
            Next::Restart(_) => None,
        }
    }
}

impl Board for FakeBoard {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn geometry(&self) -> Geometry {
        GEOMETRY
    }

    fn observability(&self) -> Observability {
        Observability {
            flash_operations: true,
            flash_content: true,
        }
    }

    fn provision(&mut self, flash: &[u8]) -> Result<(), BoardError> {
        if self.firmware == Firmware::NoProvisioning {
            return Err(Self::failure("provisioning"));
        }
        self.flash = TwiceProgrammable(DeviceFlash::new(flash.to_vec()));
        Ok(())
    }

    fn power_on(&mut self, observer: SharedObserver) -> Result<(), BoardError> {
        if self.firmware == Firmware::NoStart {
            return Err(Self::failure("starting"));
        }
        // Bytes for the boot before are lost; a wake is for the next wait, whenever that comes.
        let wakes = self
            .incoming
            .try_iter()
            .filter(|incoming| matches!(incoming, Incoming::Wake));
        if wakes.count() > 0 {
            self.waker().wake();
        }
        self.observer = Some(Arc::clone(&observer));
        self.flash.0.watcher = Some(Box::new(move |op, flash| {
            match observer.lock().unwrap().flash_op(op, flash) {
                Decision::Continue => Fate::Happens,
                Decision::CutAfter => Fate::HappensLast,
                Decision::Cut { torn } => {
                    if let Some(shape) = torn {
                        op.kind.tear(flash, shape, GEOMETRY.page_bytes());
                    }
                    Fate::Lost
                }
            }
        }));
        self.flash.0.lost = false;
        self.device = Device::InBootloader;
        Ok(())
    }

    fn power_off(&mut self) -> Result<(), BoardError> {
        self.device = Device::Off;
        self.observer = None;
        self.flash.0.watcher = None;
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError> {
        let deadline = Instant::now() + timeout;
        loop {
            let sleep = match std::mem::replace(&mut self.device, Device::Stuck) {
                Device::Off => {
                    self.device = Device::Off;
                    return Ok(Stopped::PoweredOff);
                }
                Device::InBootloader => {
                    self.boot();
                    Duration::ZERO
                }
                Device::Application(app) => self.round(app),
                Device::Stuck => match self.firmware {
                    Firmware::NoWait => return Err(Self::failure("waiting")),
                    Firmware::LocksUp => {
                        return Err(BoardError::LockedUp {
                            board: "fake".to_owned(),
                        });
                    }
                    Firmware::Chatters => {
                        self.tell(|observer, flash| observer.uart_byte(b'A', flash));
                        Duration::from_millis(5)
                    }
                    _ => timeout,
                },
            };
            if self.flash.0.lost {
                self.power_off()?;
                return Ok(Stopped::Cut);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Stopped::TimedOut);
            }
            match self.incoming.recv_timeout(sleep.min(left)) {
                Ok(Incoming::Bytes(bytes)) => {
                    if let Device::Application(app) = &mut self.device {
                        app.heard.extend(bytes);
                    }
                }
                Ok(Incoming::Wake) => return Ok(Stopped::TimedOut),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
    }

    fn waker(&self) -> Waker {
        let to_device = self.to_device.clone();
        Waker(Arc::new(move || {
            let _ = to_device.send(Incoming::Wake);
        }))
    }

    fn uart(&self) -> Arc<dyn UartToDevice> {
        Arc::new(Uart(self.to_device.clone()))
    }

    fn read_flash(&mut self) -> Result<Vec<u8>, BoardError> {
        Ok(self.flash.0.bytes.clone())
    }

    fn check(&mut self) -> Result<(), BoardError> {
        if self.firmware == Firmware::StopsAnswering {
            return Err(Self::failure("answering"));
        }
        Ok(())
    }

    fn verify_record(&mut self) -> Result<(), BoardError> {
        if self.firmware == Firmware::WrongRecord {
            return Err(BoardError::ShadowMismatch {
                board: "fake".to_owned(),
                address: 0,
                recorded: 0,
                found: 1,
            });
        }
        self.power_off()
    }

    fn stack_high_water_bytes(&mut self) -> Result<Option<u32>, BoardError> {
        Ok(None)
    }
}

/// A case about the small images of the fixture.
struct Table {
    cuts: Vec<Cut>,
    flash: Vec<u8>,
    modem_power: ModemPower,
    modem_fault: Option<ModemFault>,
    timeout: Duration,
    expect: Expect,
    cancel: Cancel,
}

impl Table {
    /// A case that has time enough to end by itself.
    fn with_cuts(cuts: &[&str]) -> Self {
        Self {
            cuts: cuts.iter().map(|cut| cut.parse().unwrap()).collect(),
            flash: fixture::provisioned(),
            modem_power: ModemPower::Stays,
            modem_fault: None,
            timeout: Duration::from_mins(1),
            expect: Expect {
                final_image: FinalImage::To,
                outcome: Outcome::Confirmed,
                refetch_fragments_per_cut: 1,
            },
            cancel: Cancel::default(),
        }
    }

    /// A case that ends because its time is up.
    fn short() -> Self {
        Self {
            timeout: Duration::from_millis(200),
            ..Self::with_cuts(&[])
        }
    }

    fn run(&self, board: &mut FakeBoard) -> CaseReport {
        self.run_and_tell(board, &|_| {})
    }

    fn run_and_tell(&self, board: &mut FakeBoard, on_cut: &dyn Fn(&FiredCut)) -> CaseReport {
        let case = Case {
            plan: "test".to_owned(),
            plan_seed: 1,
            index: 1,
            group: "all".to_owned(),
            from: "1.0.0".parse().unwrap(),
            to: "1.1.0".parse().unwrap(),
            link: "ideal".to_owned(),
            suite: Suite::ChaCha20Poly1305,
            fragment_bytes: 160,
            dialect: Dialect::Lean,
            window: 32,
            repetition: 1,
            seed: 1,
            cuts: Vec::new(),
            cut_places: Vec::new(),
            modem: ModemHabits::default(),
            modem_power: self.modem_power,
            off_time: Duration::ZERO,
            timeout: self.timeout,
            expect: self.expect,
        };
        let platform = UdpPlatform::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let setup = CaseSetup {
            case: &case,
            cuts: &self.cuts,
            facts: FACTS,
            flash: &self.flash,
            images: fixture::images(),
            device: (DEVICE, DEVICE_KEY),
            link: &LinkProfile::ideal(),
            time_scale: TimeScale::REAL,
            modem_power: self.modem_power,
            modem_fault: self.modem_fault,
            platform: &platform,
            cancel: &self.cancel,
            on_cut,
        };
        let report = run(&setup, board);
        assert!(board.is_off(), "the board is on after the case");
        report
    }
}

fn ran(table: &Table, firmware: Firmware) -> CaseReport {
    table.run(&mut FakeBoard::with(firmware))
}

/// Class and text of the verdict.
fn verdict(report: &CaseReport) -> String {
    report.verdict.as_ref().unwrap().to_string()
}

#[test]
fn sound_firmware_passes_uncut() {
    let report = ran(&Table::with_cuts(&[]), Firmware::Sound);
    assert_eq!(
        report.verdict,
        Some(Verdict::Pass),
        "{}\n{:?}",
        report.timeline,
        report.violations
    );
    assert_eq!(report.counts.fetched_again, 0);
    assert_eq!(report.counts.fragments, 20);
    assert_eq!(
        report.snapshots.len(),
        1,
        "flash at the end, and nothing else"
    );
}

#[test]
fn sound_firmware_passes_cut_in_each_way_and_each_cut_is_told_of_with_flash_before_and_after() {
    for modem_power in [ModemPower::Stays, ModemPower::WithBoard] {
        let cuts = [
            "status1/20",
            "f3/after-data/half",
            "request3/5",
            "f3/after-data/half",
            "f12/after-record",
            "verify+1/other-half",
            "swap+100/half",
            "trial+1/before",
            "confirm+1/bits:7",
        ];
        let table = Table {
            modem_power,
            ..Table::with_cuts(&cuts)
        };
        let told = std::cell::RefCell::new(Vec::new());
        let report = table.run_and_tell(&mut FakeBoard::with(Firmware::Sound), &|cut| {
            told.borrow_mut().push(cut.clone());
        });
        assert_eq!(
            report.verdict,
            Some(Verdict::Pass),
            "{}\n{:?}",
            report.timeline,
            report.violations
        );
        let fired: Vec<String> = report
            .fired
            .iter()
            .map(|cut| cut.planned.to_string())
            .collect();
        assert_eq!(fired, cuts);
        assert_eq!(told.take(), report.fired);
        let with_before = report
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.before.is_some());
        assert_eq!(with_before.count(), cuts.len());
        assert_eq!(report.snapshots.len(), cuts.len() + 1);
    }
}

#[test]
fn firmware_that_never_confirms_is_reverted_and_the_plan_decides_whether_that_is_right() {
    let mut table = Table::with_cuts(&[]);
    let report = ran(&table, Firmware::NeverConfirms);
    assert!(
        verdict(&report)
            .starts_with("firmware failure (Expectation): the plan expects the upgrade confirmed and the new image running; it ended reverted, with the old image (journal: reverted)"),
        "{}",
        verdict(&report)
    );
    table.expect.final_image = FinalImage::From;
    table.expect.outcome = Outcome::Reverted;
    let report = ran(&table, Firmware::NeverConfirms);
    assert_eq!(
        report.verdict,
        Some(Verdict::Pass),
        "{:?}",
        report.violations
    );
}

#[test]
fn a_cut_that_is_never_reached_makes_a_case_inconclusive_and_not_a_pass() {
    let report = ran(&Table::with_cuts(&["op1", "op999999"]), Firmware::Sound);
    assert_eq!(report.fired.len(), 1);
    assert_eq!(
        verdict(&report),
        "inconclusive: T1: planned cuts never came about: op999999; the run did not reach them"
    );
}

#[test]
fn a_silence_is_the_benchs_failure_if_the_bench_does_not_answer_either() {
    let report = ran(&Table::short(), Firmware::StopsAnswering);
    let text = verdict(&report);
    assert!(
        text.starts_with("bench error: ") && text.contains("answering failed"),
        "{text}"
    );
}

#[test]
fn a_board_that_stays_silent_with_power_and_a_network_is_the_firmwares_failure() {
    let report = ran(&Table::short(), Firmware::Silent);
    assert_eq!(
        report.verdict.unwrap().invariant(),
        Some(Invariant::L2),
        "{}",
        report.timeline
    );
}

#[test]
fn a_modem_that_never_registers_is_an_error_of_the_bench() {
    let table = Table {
        modem_fault: Some(ModemFault::NeverRegisters),
        ..Table::short()
    };
    for firmware in [Firmware::Silent, Firmware::Sound] {
        let report = ran(&table, firmware);
        assert!(
            verdict(&report).starts_with("bench error: the modem never registered"),
            "{}",
            verdict(&report)
        );
    }
}

#[test]
fn a_board_still_at_work_when_time_is_up_proves_nothing() {
    let report = ran(&Table::short(), Firmware::Chatters);
    assert!(
        verdict(&report).starts_with("inconclusive: the device was still working"),
        "{}",
        verdict(&report)
    );
}

#[test]
fn an_application_that_runs_on_a_damaged_image_is_the_firmwares_failure_whatever_else_the_bench_lacks()
 {
    let mut table = Table {
        modem_fault: Some(ModemFault::NeverRegisters),
        ..Table::short()
    };
    table.flash[LAYOUT.active.start as usize + 500] ^= 1;
    let report = ran(&table, Firmware::JumpsBlindly);
    assert_eq!(report.verdict.unwrap().invariant(), Some(Invariant::S1));
}

#[test]
fn a_core_that_locks_up_is_the_firmwares_failure() {
    let report = ran(&Table::short(), Firmware::LocksUp);
    assert_eq!(report.verdict.unwrap().invariant(), Some(Invariant::S1));
}

#[test]
fn whatever_the_board_cannot_do_is_an_error_of_the_bench_and_says_what() {
    for (firmware, doing) in [
        (Firmware::NoProvisioning, "provisioning failed: on purpose"),
        (Firmware::NoStart, "starting failed: on purpose"),
        (Firmware::NoWait, "waiting failed: on purpose"),
        (Firmware::WrongRecord, "this is a fault of the bench"),
    ] {
        let report = ran(&Table::with_cuts(&[]), firmware);
        let text = verdict(&report);
        assert!(
            text.starts_with("bench error: ") && text.contains(doing),
            "{text}"
        );
    }
}

#[test]
fn a_cancelled_case_has_no_verdict() {
    let before = Table::with_cuts(&[]);
    before.cancel.cancel();
    assert_eq!(ran(&before, Firmware::Silent).verdict, None);

    let during = Table::with_cuts(&["f5/after-data"]);
    let report = during.run_and_tell(&mut FakeBoard::with(Firmware::Sound), &|_| {
        during.cancel.cancel();
    });
    assert_eq!(report.verdict, None);
    assert_eq!(report.fired.len(), 1, "what happened is still told");
}
