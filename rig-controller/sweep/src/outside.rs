//! The outside of a device in virtual time: its modem, the air and the platform, without thread, socket or waiting.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nor_flash_model::fold;
use powercut_bench::modem::{ModemError, ModemEvent, TimedModem, TimedModemConfig};
use powercut_link::Impairment;
use powercut_oracle::ending::is_final;
use powercut_platform::{DeviceState, InProcessPlatform, Peer, PlatformError, PlatformEventKind};

use crate::upgrade::Upgrade;

/// The port that the platform sees the device's sockets at, counted from here.
const PORT: u16 = 40_000;

/// Modem, air and platform.
pub(crate) struct Outside {
    modem: TimedModem,
    platform: InProcessPlatform,
    /// Their state when the device last got power, and everything that has happened since, folded: two with the same are in
    /// the same state, but for the time.
    history: u64,
    /// When the device last got power.
    since: Duration,
    /// The platform has heard how the upgrade ended, since the device last got power.
    told: bool,
}

impl Outside {
    /// The outside of a device that has never had power.
    pub(crate) fn new(upgrade: &Upgrade) -> Result<Self, PlatformError> {
        let config = TimedModemConfig {
            power: upgrade.modem_power,
            fault: None,
            habits: upgrade.habits.clone(),
            platform: Some(upgrade.board.platform),
            is_long_up: true,
        };
        let impairment = Impairment::by_order(&upgrade.link, upgrade.seed);
        let platform = InProcessPlatform::seeded(
            upgrade.device.id,
            upgrade.device.key.clone(),
            Arc::clone(&upgrade.package),
            upgrade.window,
            upgrade.seed,
        )?;
        Ok(Self {
            modem: TimedModem::new(&upgrade.link, impairment, config),
            platform,
            history: 0,
            since: Duration::ZERO,
            told: false,
        })
    }

    /// The same outside for a course of events that parts from this one here.
    pub(crate) fn fork(&self) -> Self {
        Self {
            modem: self.modem.fork(),
            platform: self.platform.fork(),
            history: self.history,
            since: self.since,
            told: self.told,
        }
    }

    /// Equal for outsides in the same state.
    pub(crate) fn history(&self) -> u64 {
        self.history
    }

    /// Whether the platform has heard how the upgrade ended, since the device last got power.
    pub(crate) fn told(&self) -> bool {
        self.told
    }

    /// The modem's own trouble since this was last asked, if there was any: no fault of the device.
    pub(crate) fn take_failure(&mut self) -> Option<ModemError> {
        self.modem.take_failure()
    }

    /// The platform's knowledge of the device.
    pub(crate) fn device_state(&self) -> DeviceState {
        self.platform.device_state()
    }

    fn note(&mut self, event: u64, now: Duration) {
        let after = now.saturating_sub(self.since);
        self.history = fold(fold(self.history, event), after.as_nanos() as u64);
    }

    /// The device has sent a byte.
    pub(crate) fn device_byte(&mut self, byte: u8, now: Duration) -> Option<ModemEvent> {
        self.note(u64::from(byte), now);
        self.modem.device_byte(byte, now)
    }

    /// When something happens by itself next, or a byte has come to the device.
    pub(crate) fn next_at(&self) -> Option<Duration> {
        let times = [self.modem.next_at(), self.modem.byte_at()];
        times.into_iter().flatten().min()
    }

    /// Everything happens that is due; `upgrade` is what the platform is told about.
    pub(crate) fn turn(&mut self, upgrade: &Upgrade, now: Duration) {
        while self.modem.next_at().is_some_and(|at| at <= now) {
            self.note(1 << 8, now);
            let Some(there) = self.modem.happen(now) else {
                continue;
            };
            let port = PORT + (there.way_back.opening() % 20_000) as u16;
            let from = Peer::Udp(SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), port)));
            let answered = self.platform.handle(&there.datagram, from);
            self.told |= answered
                .events
                .iter()
                .any(|event| matches!(event, PlatformEventKind::Hello { status, .. } if is_final(status, &upgrade.images)));
            for answer in answered.answers {
                self.modem.answer(there.way_back, &answer, there.at);
            }
        }
    }

    /// The next byte that has come to the device, which takes it.
    pub(crate) fn next_byte(&mut self, now: Duration) -> Option<u8> {
        let byte = self.modem.take_byte(now)?;
        self.note(2 << 8, now);
        Some(byte)
    }

    /// The device loses power at `now`; when it gets it again. Everything has happened up to then.
    pub(crate) fn without_power(&mut self, upgrade: &Upgrade, now: Duration) -> Duration {
        self.note(3 << 8, now);
        self.modem.board_power_lost();
        let back = now + upgrade.off_time;
        self.turn(upgrade, back);
        while self.next_byte(back).is_some() {}
        back
    }

    /// The device has power again.
    pub(crate) fn power_restored(&mut self, now: Duration) {
        match self.modem.state(now) {
            // The way that has led here is of no more interest.
            Some(modem) => self.history = fold(modem, self.platform.state()),
            None => self.note(4 << 8, now),
        }
        self.since = now;
        self.told = false;
        self.modem.board_power_restored();
    }
}
