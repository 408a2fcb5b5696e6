//! The modem in explicit time: AT engine, both directions of the serial line and the air, without thread, socket or clock.
//! The simulation drives it; every call says what time it is, and times never go back.
//!
//! What comes out to the device are single bytes, each with the time at which it is through; what comes out to the
//! platform are datagrams, each with the time at which it arrives and the way back for its answers.
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddrV4;
use std::time::Duration;

use super::at_command::{SOCKETS, SocketId};
use super::at_engine::{Network, Wish};
use super::paced_engine::PacedEngine;
use super::{ModemError, ModemEvent, ModemFault, ModemHabits, ModemPower};
use powercut_link::{Agenda, Air, Direction, Impairment, LinkProfile, ModemProfile, SerialLine};

/// Where answers to a datagram go: a socket of the modem, as it was opened then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayBack {
    socket: SocketId,
    opening: u64,
}

impl WayBack {
    /// Which opening of a socket of this modem it is, counted from 1.
    pub fn opening(self) -> u64 {
        self.opening
    }
}

/// How a modem in explicit time behaves.
#[derive(Debug, Clone)]
pub struct TimedModemConfig {
    /// Whether it keeps power in a cut.
    pub power: ModemPower,
    /// The fault that it has on purpose.
    pub fault: Option<ModemFault>,
    /// How it answers, and what it needs.
    pub habits: ModemHabits,
    /// The only address that its network knows; any if `None`.
    pub platform: Option<SocketAddrV4>,
    /// A modem with a supply of its own has been up for long when the case begins, and its banner is history.
    pub is_long_up: bool,
}

/// A datagram that has come to the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtPlatform {
    /// When it arrived.
    pub at: Duration,
    /// Its payload.
    pub datagram: Vec<u8>,
    /// Where its answers go.
    pub way_back: WayBack,
    /// Times the board had lost power when it was sent.
    pub power_cuts: u32,
}

#[derive(Clone)]
enum Due {
    ToPlatform {
        datagram: Vec<u8>,
        way_back: WayBack,
        power_cuts: u32,
    },
    FromPlatform {
        datagram: Vec<u8>,
        way_back: WayBack,
    },
}

/// Datagrams handed to the air one way, lost ones included, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many there were.
    pub datagrams: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// How many of them were lost.
    pub lost: u64,
}

impl Traffic {
    fn count(&mut self, datagram: &[u8], copies: usize) {
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
        self.lost += u64::from(copies == 0);
    }
}

/// See the module's text.
pub struct TimedModem {
    profile: ModemProfile,
    config: TimedModemConfig,
    failure: Option<ModemError>,
    engine: PacedEngine,
    air: Air,
    line: SerialLine,
    /// On their way to the device.
    bytes: VecDeque<(Duration, u8)>,
    agenda: Agenda<Due>,
    present: [Option<u64>; SOCKETS],
    openings: u64,
    board_has_power: bool,
    power_cuts: u32,
    up: Traffic,
    down: Traffic,
    bytes_from_device: u64,
    bytes_to_device: u64,
}

impl TimedModem {
    /// A modem with power, at the end of a link that loses and delays what `seed` says.
    pub fn simple(link: &LinkProfile, seed: u64, power: ModemPower) -> Self {
        Self::with_habits(link, seed, power, ModemHabits::default())
    }

    /// A modem with power and with habits of its own.
    pub fn with_habits(
        link: &LinkProfile,
        seed: u64,
        power: ModemPower,
        habits: ModemHabits,
    ) -> Self {
        let config = TimedModemConfig {
            power,
            fault: None,
            habits,
            platform: None,
            is_long_up: false,
        };
        Self::new(link, Impairment::by_order(link, seed), config)
    }

    /// A modem as `config` says, at the end of a link that loses and delays as `impairment`, which was made from `link`, says.
    pub fn new(link: &LinkProfile, impairment: Impairment, config: TimedModemConfig) -> Self {
        let engine = fresh_engine(&link.modem, &config);
        let has_banner_behind_it = config.is_long_up && config.power == ModemPower::Stays;
        Self {
            profile: link.modem,
            engine: if has_banner_behind_it {
                engine.already_up()
            } else {
                engine
            },
            config,
            failure: None,
            air: Air::new(link, impairment),
            line: SerialLine::new(link.modem.baud),
            bytes: VecDeque::new(),
            agenda: Agenda::default(),
            present: [None; SOCKETS],
            openings: 0,
            board_has_power: true,
            power_cuts: 0,
            up: Traffic::default(),
            down: Traffic::default(),
            bytes_from_device: 0,
            bytes_to_device: 0,
        }
    }

    /// The same modem for a course of events that parts from this one here. A failure stays with this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            profile: self.profile,
            config: self.config.clone(),
            failure: None,
            engine: self.engine.clone(),
            air: self.air.fork(),
            line: self.line.clone(),
            bytes: self.bytes.clone(),
            agenda: self.agenda.clone(),
            present: self.present,
            openings: self.openings,
            board_has_power: self.board_has_power,
            power_cuts: self.power_cuts,
            up: self.up,
            down: self.down,
            bytes_from_device: self.bytes_from_device,
            bytes_to_device: self.bytes_to_device,
        }
    }

    /// Datagrams from the device and to it so far.
    pub fn traffic(&self) -> (Traffic, Traffic) {
        (self.up, self.down)
    }

    /// Bytes on the serial line so far, from the device and to it.
    pub fn line_bytes(&self) -> (u64, u64) {
        (self.bytes_from_device, self.bytes_to_device)
    }

    /// Whether it has found the network.
    pub fn registered(&self) -> bool {
        self.engine.registered()
    }

    /// Its failure since this was last asked, if there was one.
    pub fn take_failure(&mut self) -> Option<ModemError> {
        self.failure.take()
    }

    /// A number for all that the modem does from `now` on: equal for modems that go on alike. Counts of what has been are no
    /// part of it, nor is the time. `None` while something is under way, and on links where chance goes by what has been.
    pub fn state(&self, now: Duration) -> Option<u64> {
        let is_settled = self.agenda.next_at().is_none()
            && self.bytes.is_empty()
            && self.line.busy_until() <= now
            && self.failure.is_none()
            && self.air.is_settled(now)
            && self.engine.is_settled(now);
        if !is_settled {
            return None;
        }
        let mut state = DefaultHasher::new();
        self.engine.add_to(&mut state);
        self.air.is_in_contact().hash(&mut state);
        (self.present, self.openings, self.board_has_power).hash(&mut state);
        Some(state.finish())
    }

    /// A byte from the device is through.
    pub fn device_byte(&mut self, byte: u8, now: Duration) -> Option<ModemEvent> {
        self.bytes_from_device += 1;
        let step = self.engine.device_byte(byte, now);
        self.say(&step.output, now);
        match step.wish {
            Some(Wish::Open { socket, remote }) => {
                if let Some(advertised) = self.config.platform
                    && advertised != remote
                {
                    self.failure = Some(ModemError::Elsewhere {
                        addressed: remote,
                        advertised,
                    });
                }
                self.openings += 1;
                self.present[socket.index()] = Some(self.openings);
                let output = self.engine.socket_opened(socket, true, now);
                self.say(&output, now);
            }
            Some(Wish::Close(socket)) => self.present[socket.index()] = None,
            Some(Wish::Send { socket, datagram }) => self.send(socket, &datagram, now),
            None => {}
        }
        step.event
    }

    fn send(&mut self, socket: SocketId, datagram: &[u8], now: Duration) {
        let Some(opening) = self.present[socket.index()] else {
            return;
        };
        let way_back = WayBack { socket, opening };
        let transit = self.air.carry(Direction::ToPlatform, datagram, now);
        self.up.count(datagram, transit.copies);
        for _ in 0..transit.copies {
            self.agenda.put(
                transit.arrives,
                Due::ToPlatform {
                    datagram: datagram.to_vec(),
                    way_back,
                    power_cuts: self.power_cuts,
                },
            );
        }
    }

    /// The platform answers.
    pub fn answer(&mut self, way_back: WayBack, datagram: &[u8], now: Duration) {
        let transit = self.air.carry(Direction::ToDevice, datagram, now);
        self.down.count(datagram, transit.copies);
        for _ in 0..transit.copies {
            let datagram = datagram.to_vec();
            self.agenda
                .put(transit.arrives, Due::FromPlatform { datagram, way_back });
        }
    }

    /// When something happens on the air, or in the modem, next.
    pub fn next_at(&self) -> Option<Duration> {
        let times = [self.agenda.next_at(), self.engine.next_at()];
        times.into_iter().flatten().min()
    }

    /// Let the next thing happen that is due by `now`; a datagram for the platform comes out.
    pub fn happen(&mut self, now: Duration) -> Option<AtPlatform> {
        if let Some(at) = self.engine.next_at()
            && at <= now
            && self.agenda.next_at().is_none_or(|air| at <= air)
        {
            let output = self.engine.due(at);
            self.say(&output, at);
            return None;
        }
        let (at, due) = self.agenda.take(now)?;
        match due {
            Due::ToPlatform {
                datagram,
                way_back,
                power_cuts,
            } => Some(AtPlatform {
                at,
                datagram,
                way_back,
                power_cuts,
            }),
            Due::FromPlatform { datagram, way_back } => {
                if self.present[way_back.socket.index()] == Some(way_back.opening) {
                    let output = self.engine.network_datagram(way_back.socket, &datagram);
                    self.say(&output, at);
                }
                None
            }
        }
    }

    fn say(&mut self, bytes: &[u8], now: Duration) {
        if !self.board_has_power {
            return;
        }
        for byte in bytes {
            let through = self.line.pass(now, 1);
            self.bytes.push_back((through, *byte));
        }
        self.bytes_to_device += bytes.len() as u64;
    }

    /// When the next byte for the device is through.
    pub fn byte_at(&self) -> Option<Duration> {
        self.bytes.front().map(|(at, _)| *at)
    }

    /// The next byte for the device, if it is through by `now`.
    pub fn take_byte(&mut self, now: Duration) -> Option<u8> {
        if self.byte_at()? > now {
            return None;
        }
        self.bytes.pop_front().map(|(_, byte)| byte)
    }

    /// The board lost power; the modem with it, or not.
    pub fn board_power_lost(&mut self) {
        self.board_has_power = false;
        self.power_cuts += 1;
        self.bytes.clear();
        self.line.clear();
        if self.config.power == ModemPower::WithBoard {
            self.engine = fresh_engine(&self.profile, &self.config);
            self.present = [None; SOCKETS];
            self.air.lose_contact();
        } else {
            self.engine.board_power_lost();
        }
    }

    /// The board has power again.
    pub fn board_power_restored(&mut self) {
        self.board_has_power = true;
    }
}

fn fresh_engine(profile: &ModemProfile, config: &TimedModemConfig) -> PacedEngine {
    let network = match config.fault {
        Some(ModemFault::NeverRegisters) => Network::NeverRegisters,
        None => Network::RegistersAfter(0),
    };
    PacedEngine::new(network, profile, &config.habits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn link() -> LinkProfile {
        let links = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/links");
        let mut link = LinkProfile::load(&links, "nb-iot-ce0").unwrap();
        link.modem.baud = Some(10_000);
        link.to_platform.drop_percent = 0.0;
        link.to_device.drop_percent = 0.0;
        link
    }

    /// Says `text` from `now` on, a byte each millisecond; when it is through.
    fn say(modem: &mut TimedModem, text: &[u8], now: Duration) -> Duration {
        let mut through = now;
        for byte in text {
            through += ms(1);
            modem.device_byte(*byte, through);
        }
        through
    }

    fn hear(modem: &mut TimedModem, now: Duration) -> String {
        std::iter::from_fn(|| modem.take_byte(now))
            .map(char::from)
            .collect()
    }

    #[test]
    fn bytes_and_datagrams_take_the_time_of_line_and_air() {
        let mut modem = TimedModem::simple(&link(), 1, ModemPower::WithBoard);
        let now = say(&mut modem, b"ATE0\r", ms(0));
        hear(&mut modem, ms(500));
        let now = say(
            &mut modem,
            b"AT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",4000,0,0\r",
            now.max(ms(500)),
        );
        assert_eq!(modem.byte_at(), Some(now + ms(1)));
        assert!(hear(&mut modem, now + ms(100)).contains("+QIOPEN: 0,0"));
        let sent = say(&mut modem, b"AT+QISEND=0,3\rabc", ms(1_000));
        assert_eq!(modem.next_at(), modem.agenda.next_at());
        let arrives = modem.next_at().unwrap();
        assert!(arrives > sent + ms(2_000), "first contact");
        assert_eq!(modem.happen(sent), None);
        let there = modem.happen(arrives).unwrap();
        assert_eq!(
            (there.at, there.datagram.as_slice()),
            (arrives, &b"abc"[..])
        );
        hear(&mut modem, arrives);
        modem.answer(there.way_back, b"defg", arrives);
        let back = modem.next_at().unwrap();
        assert_eq!(modem.happen(back), None);
        assert!(hear(&mut modem, back + ms(100)).contains("+QIURC: \"recv\",0"));
        let (up, down) = modem.traffic();
        assert_eq!((up.bytes, down.bytes), (3, 4));
    }

    #[test]
    fn answers_to_a_modem_that_lost_power_meanwhile_reach_nobody() {
        for (power, expected) in [(ModemPower::Stays, "recv"), (ModemPower::WithBoard, "")] {
            let mut modem = TimedModem::simple(&link(), 1, power);
            say(
                &mut modem,
                b"ATE0\rAT+QIOPEN=1,0,\"UDP\",\"127.0.0.1\",4000,0,0\rAT+QISEND=0,1\rx",
                ms(0),
            );
            let there = modem.happen(ms(60_000)).unwrap();
            modem.board_power_lost();
            modem.board_power_restored();
            modem.answer(there.way_back, b"late", there.at);
            modem.happen(ms(60_000));
            let heard = hear(&mut modem, ms(120_000));
            assert_eq!(heard.contains("recv"), !expected.is_empty(), "{heard}");
        }
    }
}
