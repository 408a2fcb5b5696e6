//! One device from power-on to the end of its upgrade: the real bootloader logic and the real session over its AT client,
//! with the modem, the air and the platform around them, in virtual time.
//!
//! The device is the only one that does things on its own; everything else answers it or arrives. So time advances as the
//! device spends it, and before it hears or says anything, what is due by then happens, in order.
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use nor_flash_model::{Cut, NorFlashModel};
use powercut_session::{Line, Next, OverModem, Probation, Session, Transmission};
use powercut_upgrade::agent::Agent;
use powercut_upgrade::boot::{self, Outcome};
use powercut_upgrade::flash::FlashError;
use powercut_upgrade::journal::{Journal, Phase};
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::lean::{Activity, Status};

use super::clock::SimulatedStage;
use super::flash::TimedFlash;
use super::fragments::Fragments;
use super::power::{CutMoment, PlannedCut};
use super::simulated_part::SimulatedPart;
use super::upgrade::SimulationError;
use powercut_bench::modem::{TimedModem, Traffic};
use powercut_link::{PayloadFormat, byte_time};
use powercut_package::words::Words;
use powercut_platform::{InProcessPlatform, Peer, PlatformEventKind};

/// Where the device believes the platform to be. No datagram leaves this process.
const PLATFORM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 47110);
/// Datagrams that a part that reads ahead has begun to read when it takes one.
const READ_AHEAD: u8 = 1;
/// As in the firmware.
const PROBATION: Probation = Probation {
    limit_ms: 3 * 60 * 1000,
    confirms: true,
};
/// No upgrade takes longer: a run that does has gone wrong.
const LONGEST: Duration = Duration::from_hours(30 * 24);
const MOST_BOOTS: u32 = 1_000;

/// RAM for fragments that come before their turn.
type Held = Vec<u8>;

/// How the device's software ended a boot.
enum Ended {
    PowerLost,
    Restart,
    /// The platform knows that the new image is confirmed.
    Done,
}

/// A device, its surroundings and what is counted.
pub(super) struct Device<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    pub(super) flash: TimedFlash<UNIT, PAGE, PROGRAMS>,
    pub(super) modem: TimedModem,
    pub(super) platform: InProcessPlatform,
    pub(super) fragments: Fragments,
    pub(super) layout: Layout,
    pub(super) part: SimulatedPart,
    held_bytes: usize,
    pub(super) payload: PayloadFormat,
    pub(super) byte_time: Duration,
    pub(super) new_image: ImageId,
    pub(super) image_bytes: u32,
    pub(super) cuts: VecDeque<PlannedCut>,
    pub(super) off: Duration,
    /// What the identification area held at first, if progress does not outlive a cut.
    pub(super) forgets_to: Option<Vec<u8>>,
    pub(super) boots: u32,
    pub(super) cuts_done: u32,
    /// Bytes that came while nobody could take them.
    pub(super) overruns: u64,
    /// Operations that put back the identification area of a device that forgets: not the device's.
    pub(super) restoring: u64,
    /// How often that was done.
    pub(super) times_forgotten: u32,
    /// Which fragment a datagram brings.
    served: HashMap<Vec<u8>, u16>,
    /// Traffic during the download.
    pub(super) download: (Traffic, Traffic),
    done: bool,
}

/// What does not change while a device lives.
pub(super) struct Setting {
    pub(super) layout: Layout,
    pub(super) part: SimulatedPart,
    /// RAM for fragments that come before their turn.
    pub(super) held_bytes: usize,
    pub(super) payload: PayloadFormat,
    pub(super) baud: Option<u32>,
    pub(super) new_image: ImageId,
    pub(super) image_bytes: u32,
    pub(super) fragments: u16,
    pub(super) off: Duration,
    pub(super) resumes: bool,
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> Device<UNIT, PAGE, PROGRAMS> {
    pub(super) fn new(
        model: NorFlashModel<UNIT, PAGE, PROGRAMS>,
        modem: TimedModem,
        platform: InProcessPlatform,
        setting: &Setting,
        cuts: &[PlannedCut],
    ) -> Self {
        let identification = setting.layout.identification;
        let (from, pages) = (
            identification.start as usize,
            usize::from(identification.pages),
        );
        let forgets_to =
            (!setting.resumes).then(|| model.bytes()[from..from + pages * PAGE].to_vec());
        Self {
            flash: TimedFlash::new(model, setting.part),
            modem,
            platform,
            fragments: Fragments::new(setting.fragments),
            layout: setting.layout,
            part: setting.part,
            held_bytes: setting.held_bytes,
            payload: setting.payload,
            byte_time: byte_time(setting.baud),
            new_image: setting.new_image,
            image_bytes: setting.image_bytes,
            cuts: cuts.iter().copied().collect(),
            off: setting.off,
            forgets_to,
            boots: 0,
            cuts_done: 0,
            overruns: 0,
            restoring: 0,
            times_forgotten: 0,
            served: HashMap::new(),
            download: (Traffic::default(), Traffic::default()),
            done: false,
        }
    }

    /// Lives until the platform knows that the new image is confirmed.
    pub(super) fn live<const BUFFER: usize>(&mut self) -> Result<(), SimulationError> {
        self.arm();
        loop {
            self.boots += 1;
            if self.boots > MOST_BOOTS || self.flash.clock.now() > LONGEST {
                return Err(SimulationError::Endless {
                    boots: self.boots,
                    time: self.flash.clock.now(),
                });
            }
            match self.boot::<BUFFER>()? {
                Ended::Done => return Ok(()),
                Ended::Restart => {}
                Ended::PowerLost => self.lose_power(),
            }
        }
    }

    /// Plans the next cut.
    fn arm(&mut self) {
        let Some(cut) = self.cuts.pop_front() else {
            return;
        };
        match cut.moment {
            CutMoment::Operation(operation) => {
                let next = self.flash.model.operations() + 1;
                self.flash.model.cut_at(Cut {
                    operation: (operation + self.restoring).max(next),
                    effect: cut.effect,
                });
            }
            CutMoment::Powered(at) => self.flash.cut_at = Some((at, cut.effect)),
        }
    }

    fn lose_power(&mut self) {
        self.cuts_done += 1;
        self.fragments.cut(self.flash.clock.now());
        self.modem.board_power_lost();
        self.enter(SimulatedStage::Off);
        let until = self.flash.clock.now() + self.off;
        while let Some(at) = self.modem.next_at().filter(|at| *at <= until) {
            self.flash.clock.pass_until(at);
            self.happen(at);
        }
        self.flash.clock.pass_until(until);
        self.flash.model.power_on();
        self.modem.board_power_restored();
        self.forget();
        self.arm();
    }

    /// A device without resume begins again: its identification area is as it was.
    fn forget(&mut self) {
        let Some(content) = &self.forgets_to else {
            return;
        };
        let content = content.clone();
        self.flash.for_free = true;
        let phase = Journal::recover(&mut self.flash, &self.layout)
            .state()
            .phase;
        self.flash.for_free = false;
        if !matches!(phase, Phase::Accepted | Phase::Downloading { .. }) {
            return;
        }
        let before = self.flash.model.operations();
        let model = &mut self.flash.model;
        let start = self.layout.identification.start;
        let restore = |model: &mut NorFlashModel<UNIT, PAGE, PROGRAMS>| {
            use embedded_storage::nor_flash::NorFlash;
            model.erase(start, start + content.len() as u32)?;
            for (address, unit) in (start..).step_by(UNIT).zip(content.chunks(UNIT)) {
                if unit.iter().any(|byte| *byte != 0xFF) {
                    model.write(address, unit)?;
                }
            }
            Ok::<(), nor_flash_model::ModelError>(())
        };
        // Power is on, the pages were just erased, and no cut is planned yet: the model has no reason to refuse.
        if let Err(error) = restore(model) {
            tracing::error!(%error, "the identification area could not be put back");
        }
        self.restoring += self.flash.model.operations() - before;
        self.times_forgotten += 1;
    }

    fn enter(&mut self, stage: SimulatedStage) {
        let clock = &self.flash.clock;
        if clock.stage() == stage {
            return;
        }
        let (up, down) = self.modem.traffic();
        let share = |total: &mut Traffic, now: Traffic, sign: fn(u64, u64) -> u64| {
            total.datagrams = sign(total.datagrams, now.datagrams);
            total.bytes = sign(total.bytes, now.bytes);
        };
        // What the download added is the difference between the totals at its end and at its begin.
        if stage == SimulatedStage::Download {
            share(&mut self.download.0, up, u64::wrapping_sub);
            share(&mut self.download.1, down, u64::wrapping_sub);
        } else if clock.stage() == SimulatedStage::Download {
            share(&mut self.download.0, up, u64::wrapping_add);
            share(&mut self.download.1, down, u64::wrapping_add);
        }
        let operations = self.flash.model.operations() - self.restoring;
        self.flash.clock.enter(stage, operations);
    }

    fn boot<const BUFFER: usize>(&mut self) -> Result<Ended, SimulationError> {
        self.flash.for_free = true;
        let phase = Journal::recover(&mut self.flash, &self.layout)
            .state()
            .phase;
        self.flash.for_free = false;
        self.enter(match phase {
            Phase::Ready | Phase::Swapping { .. } | Phase::Reverting { .. } => SimulatedStage::Swap,
            Phase::Trial { .. } => SimulatedStage::Trial,
            _ => SimulatedStage::Boot,
        });
        if !self.flash.spend(self.part.boot) {
            return Ok(Ended::PowerLost);
        }
        let layout = self.layout;
        let outcome = boot::boot(&mut self.flash, &layout, &mut || {});
        if !self.flash.model.is_powered() {
            return Ok(Ended::PowerLost);
        }
        // What came while the bootloader ran found nobody.
        let now = self.flash.clock.now();
        self.catch_up(now);
        while self.modem.take_byte(now).is_some() {
            self.overruns += 1;
        }
        if let Outcome::Stay(reason) = outcome {
            return Err(SimulationError::Stays(Words(reason).to_string()));
        }
        let held = vec![0; self.held_bytes];
        let agent = Agent::<BUFFER, Held>::start(&mut self.flash, &layout, held);
        if !self.flash.model.is_powered() {
            return Ok(Ended::PowerLost);
        }
        let mut agent = agent.map_err(|error| SimulationError::Stays(Words(error).to_string()))?;
        if self.part.reads_ahead() {
            agent.ask_ahead(READ_AHEAD);
        }
        let session = Session::new(agent, 0, PROBATION);
        let ended = match self.payload {
            PayloadFormat::Binary => self.application::<BUFFER, false>(session),
            PayloadFormat::Hex => self.application::<BUFFER, true>(session),
        };
        match ended {
            Ok(ended) => Ok(ended),
            Err(FlashError(_)) if !self.flash.model.is_powered() => Ok(Ended::PowerLost),
            Err(FlashError(kind)) => Err(SimulationError::Flash(kind)),
        }
    }

    fn application<const BUFFER: usize, const HEX: bool>(
        &mut self,
        session: Session<BUFFER, Held>,
    ) -> Result<Ended, FlashError> {
        let began = self.flash.clock.now();
        let mut app = OverModem::<BUFFER, Held, HEX>::new(session, PLATFORM);
        loop {
            if self.done {
                return Ok(Ended::Done);
            }
            if !self.flash.spend(Duration::ZERO) {
                return Ok(Ended::PowerLost);
            }
            if self.flash.clock.now() > LONGEST {
                return Ok(Ended::Restart);
            }
            self.enter(self.stage(app.session().agent(), app.is_up()));
            let now = self.flash.clock.now();
            let mut now_ms = now.saturating_sub(began).as_millis() as u64;
            self.catch_up(now);
            let mut heard = self.receive(now);
            let line_until_ms = match app.line(now_ms, || heard.pop_front()) {
                Line::Transmit(out) => {
                    if !self.transmit(out) {
                        return Ok(Ended::PowerLost);
                    }
                    continue;
                }
                Line::Received(datagram) => {
                    let mut datagram = datagram.bytes().to_vec();
                    let index = self.served.get(&datagram).copied();
                    if let Some(index) = index {
                        self.fragments.received(index, now);
                    }
                    if self.part.reads_ahead()
                        && let Some(out) = app.read_ahead(now_ms)
                        && !self.transmit(out)
                    {
                        return Ok(Ended::PowerLost);
                    }
                    app.on_datagram(&mut self.flash, now_ms, &mut datagram)?;
                    if let Some(index) = index {
                        let is_kept = app.session().agent().has_fragment(FragmentIndex(index));
                        self.fragments.taken(index, is_kept, now);
                    }
                    now_ms = self.flash.clock.now().saturating_sub(began).as_millis() as u64;
                    now_ms
                }
                Line::Up => {
                    self.fragments.up(now);
                    continue;
                }
                Line::Idle { until_ms } => until_ms,
            };
            match app.poll(&mut self.flash, now_ms, line_until_ms)? {
                Next::Continue | Next::Confirmed => {}
                Next::Restart(_) => return Ok(Ended::Restart),
                Next::Wait { until_ms } => {
                    let until = began + Duration::from_millis(until_ms);
                    self.sleep(until.max(now + Duration::from_micros(1)));
                }
            }
        }
    }

    fn stage<const BUFFER: usize>(
        &self,
        agent: &Agent<BUFFER, Held>,
        is_up: bool,
    ) -> SimulatedStage {
        match agent.state().phase {
            Phase::Trial { .. } => SimulatedStage::Trial,
            Phase::Confirmed if agent.state().image == self.new_image => SimulatedStage::Trial,
            Phase::Ready => SimulatedStage::Verify,
            Phase::Downloading { committed, .. } if committed == self.image_bytes => {
                SimulatedStage::Verify
            }
            _ if !is_up => SimulatedStage::Connect,
            Phase::Accepted | Phase::Downloading { .. } if agent.heard_platform() => {
                SimulatedStage::Download
            }
            _ => SimulatedStage::Offer,
        }
    }

    /// Puts bytes on the line; `false` if power goes meanwhile.
    fn transmit(&mut self, Transmission { bytes, overheard }: Transmission<'_>) -> bool {
        for &byte in bytes {
            if !self.flash.spend(self.byte_time) {
                return false;
            }
            let now = self.flash.clock.now();
            self.catch_up(now);
            self.modem.device_byte(byte, now);
            while let Some(byte) = self.modem.take_byte(now) {
                if !overheard.push(byte) {
                    self.overruns += 1;
                }
            }
        }
        true
    }

    /// Takes what the UART has kept.
    fn receive(&mut self, now: Duration) -> VecDeque<u8> {
        let mut heard = VecDeque::new();
        while let Some(byte) = self.modem.take_byte(now) {
            if heard.len() < self.part.uart_bytes {
                heard.push_back(byte);
            } else {
                self.overruns += 1;
            }
        }
        heard
    }

    /// Sleeps until `until`, until a byte comes, or until power goes.
    fn sleep(&mut self, until: Duration) {
        loop {
            let wake = self.modem.byte_at().map_or(until, |at| at.min(until));
            let next = self.modem.next_at().filter(|at| *at < wake);
            let target = next.unwrap_or(wake);
            let time = target.saturating_sub(self.flash.clock.now());
            if !self.flash.spend(time) || next.is_none() || self.done {
                return;
            }
            self.catch_up(target);
        }
    }

    /// Lets everything happen that is due by `now`.
    fn catch_up(&mut self, now: Duration) {
        while self.modem.next_at().is_some_and(|at| at <= now) {
            self.happen(now);
        }
    }

    /// Lets the next thing happen.
    fn happen(&mut self, now: Duration) {
        let Some(arrived) = self.modem.happen(now) else {
            return;
        };
        let handled = self
            .platform
            .handle(&arrived.datagram, Peer::Udp(SocketAddr::V4(PLATFORM)));
        let mut served = Vec::new();
        for event in &handled.events {
            match event {
                PlatformEventKind::FragmentRequested { index } => {
                    self.fragments.asked(index.0, arrived.power_cuts);
                }
                PlatformEventKind::FragmentServed { index, .. } => served.push(index.0),
                PlatformEventKind::Hello { status, .. } => self.done |= self.is_confirmed(status),
                _ => {}
            }
        }
        // Fragments are answered in the order of their events, one datagram each.
        for (index, answer) in served.into_iter().zip(&handled.answers) {
            self.fragments.served();
            self.served.insert(answer.clone(), index);
        }
        for answer in handled.answers {
            self.modem.answer(arrived.way_back, &answer, arrived.at);
        }
    }

    fn is_confirmed(&self, status: &Status) -> bool {
        status.running == self.new_image && status.activity == Activity::Idle
    }
}
