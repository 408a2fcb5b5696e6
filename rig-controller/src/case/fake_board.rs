//! A board in this process for the tests of the runner: the real boot code and session, or a board that does one thing wrong.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use powercut_session::{Line, Next, OverModem, Probation, Session};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot;
use powercut_upgrade::flash::TwiceProgrammable;

use powercut_bench::board::{Board, BoardError, Composed, Facts, Hold, Stopped, Waker};
use powercut_bench::feed::{Feed, Order};
use powercut_bench::link::Play;
use powercut_bench::relay::{Power, Relay, RelayError, RelayFault};
use powercut_bench::uart::UartToDevice;
use powercut_bench::witness::{Proof, Witness};
use powercut_oracle::fixture::{DeviceFlash, FLASH_BYTES, GEOMETRY, LAYOUT, OperationFate};
use powercut_oracle::outage::Ram;
use powercut_oracle::seen::{ResetCause, Source, What};
use powercut_oracle::sight::Sight;
use powercut_package::BoardFacts;
use powercut_package::hardware::MICROBIT;

/// The device is a micro:bit.
pub(super) const BOARD: BoardFacts = BoardFacts::of(MICROBIT).unwrap();

/// What runs on the board, or what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Firmware {
    /// The real thing.
    Sound,
    /// Boots and then confirms nothing, for ever restarting.
    NeverConfirms,
    /// Does nothing at all.
    Silent,
    /// Does nothing at all, and is known to pause for an hour.
    Pauses,
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
    /// Sound, but the relay's contact sticks once it is closed.
    RelaySticks,
    /// Sound, but the board has power whatever the relay does.
    FedFromElsewhere,
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
    feed: Option<Feed>,
    powered: Arc<AtomicBool>,
    sight: Sight,
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
            feed: None,
            powered: Arc::default(),
            sight: Sight::EVERYTHING,
            device: Device::Stuck,
            incoming,
            to_device,
        }
    }

    fn failure(doing: &str) -> BoardError {
        BoardError::Channel {
            board: "fake".to_owned(),
            doing: doing.to_owned(),
            reason: "on purpose".to_owned(),
        }
    }

    /// Tells of something; `true` if power goes.
    fn tell(&mut self, what: What<'_>) -> bool {
        let feed = self.feed.clone().expect("somebody watches");
        let order = feed.tell(Source::Board, what, Some(&self.flash.0.bytes));
        self.flash.0.lost |= order != Order::GoOn;
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
            session: OverModem::new(Session::new(agent, 0, probation), BOARD.platform),
            heard: VecDeque::new(),
            start: Instant::now(),
        }
    }

    fn boot(&mut self) {
        self.device = match self.firmware {
            Firmware::Silent
            | Firmware::Pauses
            | Firmware::StopsAnswering
            | Firmware::NoWait
            | Firmware::LocksUp => Device::Stuck,
            Firmware::Chatters | Firmware::JumpsBlindly => {
                self.tell(What::Byte(b'A'));
                Device::Stuck
            }
            _ => match boot::boot(&mut self.flash, &LAYOUT, &mut || {}) {
                boot::Outcome::Run { .. } => Device::Application(Box::new(self.application())),
                boot::Outcome::Stay(_) => Device::Stuck,
            },
        };
    }

    fn reset(&mut self) {
        self.tell(What::Reset(ResetCause::Software));
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
                    if self.tell(What::Byte(byte)) {
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

    fn facts(&self) -> Facts {
        Facts {
            geometry: GEOMETRY,
            sight: self.sight,
            silence: (self.firmware == Firmware::Pauses).then_some(Duration::from_hours(1)),
        }
    }

    fn provision(&mut self, flash: &[u8], _seed: u64) -> Result<(), BoardError> {
        if self.firmware == Firmware::NoProvisioning {
            return Err(Self::failure("provisioning"));
        }
        self.flash = TwiceProgrammable(DeviceFlash::new(flash.to_vec()));
        Ok(())
    }

    fn watch(&mut self, feed: Feed) {
        self.feed = Some(feed);
    }

    fn hold(&mut self) -> Result<Hold, BoardError> {
        if self.firmware == Firmware::NoStart {
            return Err(Self::failure("starting"));
        }
        Ok(Hold::Held)
    }

    fn release(&mut self) -> Result<(), BoardError> {
        // Bytes for the boot before are lost; a wake is for the next wait, whenever that comes.
        let wakes = self
            .incoming
            .try_iter()
            .filter(|incoming| matches!(incoming, Incoming::Wake));
        if wakes.count() > 0 {
            self.waker().wake();
        }
        let feed = self.feed.clone().expect("somebody watches");
        self.flash.0.watcher = Some(Box::new(move |op, flash| {
            match feed.tell(Source::Board, What::Operation(*op), Some(flash)) {
                Order::GoOn => OperationFate::Happens,
                Order::CutAfter => OperationFate::HappensLast,
                Order::Cut { torn } => {
                    if let Some(shape) = torn {
                        op.kind.tear(flash, shape, GEOMETRY.page_bytes());
                    }
                    OperationFate::Lost
                }
            }
        }));
        self.flash.0.lost = false;
        self.device = Device::InBootloader;
        Ok(())
    }

    fn wait(&mut self, timeout: Duration) -> Result<Stopped, BoardError> {
        let deadline = Instant::now() + timeout;
        loop {
            if !self.powered.load(Ordering::SeqCst) {
                return Ok(Stopped::PoweredOff);
            }
            let sleep = match std::mem::replace(&mut self.device, Device::Stuck) {
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
                        self.tell(What::Byte(b'A'));
                        Duration::from_millis(5)
                    }
                    _ => timeout,
                },
            };
            if self.flash.0.lost {
                self.powered.store(false, Ordering::SeqCst);
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

    fn keep_ram(&mut self, _: Ram) -> bool {
        assert!(!self.powered.load(Ordering::SeqCst), "it has power");
        self.firmware == Firmware::Sound
    }

    fn read_flash(&mut self) -> Result<Option<Vec<u8>>, BoardError> {
        Ok(Some(self.flash.0.bytes.clone()))
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
        Ok(())
    }
}

/// The relay of a [`FakeBoard`].
struct FakeRelay {
    firmware: Firmware,
    powered: Arc<AtomicBool>,
}

impl Relay for FakeRelay {
    fn name(&self) -> &'static str {
        "relay 3"
    }

    fn on(&mut self) -> Result<(), RelayError> {
        self.powered.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn off(&mut self) -> Result<(), RelayError> {
        if self.firmware == Firmware::RelaySticks {
            return Err(RelayError {
                relay: self.name().to_owned(),
                to: Power::Off,
                fault: RelayFault::Sticks {
                    wanted: Power::Off,
                    found: Power::On,
                },
            });
        }
        self.powered.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn sag(&mut self) -> Result<(), RelayError> {
        if self.firmware == Firmware::RelaySticks {
            return Err(RelayError {
                relay: self.name().to_owned(),
                to: Power::Off,
                fault: RelayFault::CannotSag,
            });
        }
        self.powered.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn power(&self) -> Power {
        if self.powered.load(Ordering::SeqCst) {
            Power::On
        } else {
            Power::Off
        }
    }
}

/// Sees whether a [`FakeBoard`] has power.
struct Voltmeter(Firmware);

impl Witness for Voltmeter {
    fn name(&self) -> &'static str {
        "the voltmeter"
    }

    fn look(&mut self) -> Proof {
        match self.0 {
            Firmware::FedFromElsewhere => Proof::StillOn("3.3 V are there".to_owned()),
            _ => Proof::Off("no voltage".to_owned()),
        }
    }
}

/// A board in this process, with everything that hangs on it.
pub(super) fn board(firmware: Firmware, sight: Sight, link: Play) -> Composed {
    let board = FakeBoard {
        sight,
        ..FakeBoard::with(firmware)
    };
    Composed {
        relay: Box::new(FakeRelay {
            firmware,
            powered: Arc::clone(&board.powered),
        }),
        witness: sight
            .off_proved
            .then(|| Box::new(Voltmeter(firmware)) as Box<dyn Witness>),
        link: Box::new(link),
        shows: Sight::EVERYTHING,
        board: Box::new(board),
    }
}
