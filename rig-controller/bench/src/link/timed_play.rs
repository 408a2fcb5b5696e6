//! The link *play* in a board's own time: modem, air and platform without thread, socket or waiting. The board asks when
//! something is due, and has it happen; the same case goes the same way every time.
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{FarEnd, Link, LinkSetup, Play, Server};
use crate::modem::{AtPlatform, ModemError, ModemEvent, TimedModem, TimedModemConfig};
use powercut_oracle::seen::VirtualTime;

/// The platform's port as the device's network sees it: of no meaning.
const PORT: u16 = 40_000;

/// Networks that were opened in this process: a platform tells devices apart by their addresses, too.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// An open way.
pub(super) struct TimedPlay {
    network: Arc<Mutex<Network>>,
    time: VirtualTime,
    silence: Duration,
}

/// The modem with the platform behind it.
struct Network {
    modem: TimedModem,
    server: Server,
    /// The device's address, one for each opening of a socket.
    host: Ipv4Addr,
}

impl TimedPlay {
    pub(super) fn open(play: Play, setup: &LinkSetup<'_>, time: VirtualTime) -> Self {
        let config = TimedModemConfig {
            power: play.power.unwrap_or(setup.modem_power),
            fault: play.fault,
            habits: setup.habits.clone(),
            platform: Some(setup.advertised),
            is_long_up: true,
        };
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let mut profile = setup.profile.clone();
        profile.modem.baud = profile.modem.baud.or(setup.baud);
        let network = Network {
            modem: TimedModem::new(&profile, setup.impairment.clone(), config),
            server: Arc::clone(&setup.server),
            host: Ipv4Addr::from_bits(0x0A00_0000 | number & 0x00FF_FFFF),
        };
        Self {
            network: Arc::new(Mutex::new(network)),
            time,
            silence: setup.habits.answers.longest(),
        }
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.network.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network {
    /// The platform takes a datagram; its answers set out at once.
    fn serve(&mut self, there: &AtPlatform) {
        let port = PORT + (there.way_back.opening() % 20_000) as u16;
        let from = SocketAddr::from((self.host, port));
        for answer in (self.server)(&there.datagram, from) {
            self.modem.answer(there.way_back, &answer, there.at);
        }
    }
}

impl FarEnd for Network {
    fn next_at(&self) -> Option<Duration> {
        let times = [self.modem.next_at(), self.modem.byte_at()];
        times.into_iter().flatten().min()
    }

    fn turn(&mut self, now: Duration) {
        while self.modem.next_at().is_some_and(|at| at <= now) {
            if let Some(there) = self.modem.happen(now) {
                self.serve(&there);
            }
        }
    }

    fn next_byte(&mut self, now: Duration) -> Option<u8> {
        self.modem.take_byte(now)
    }
}

impl Link for TimedPlay {
    fn from_device(&mut self, byte: u8) -> Option<ModemEvent> {
        let now = self.time.now();
        self.network().modem.device_byte(byte, now)
    }

    fn board_power_lost(&mut self) {
        self.network().modem.board_power_lost();
    }

    fn board_power_restored(&mut self) {
        self.network().modem.board_power_restored();
    }

    fn registered(&self) -> bool {
        self.network().modem.registered()
    }

    fn take_failure(&mut self) -> Option<ModemError> {
        self.network().modem.take_failure()
    }

    fn silence(&self) -> Duration {
        self.silence
    }

    fn far_end(&self) -> Option<Arc<Mutex<dyn FarEnd>>> {
        Some(Arc::clone(&self.network) as _)
    }

    fn shut_down(&mut self) {}
}
