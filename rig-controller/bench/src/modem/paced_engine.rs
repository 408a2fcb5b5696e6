//! The AT engine in explicit time: a modem whose answers take what [`ModemHabits`] says, without thread or clock.
//!
//! Every call says what time it is; [`PacedEngine::next_at`] says when [`PacedEngine::due`] has something to say by itself.
//! While an answer is due the modem is deaf, as modems are that are at work, but announces what comes from the network.
//! What a command does it does when it is given; only its answer waits. A datagram counts as read when its answer is out.
use std::hash::Hasher;
use std::time::Duration;

use super::ModemEvent;
use super::at_command::SocketId;
use super::at_engine::{AtEngine, Network, Step, Wish};
use super::habits::{AnswerTimes, Asked, ModemHabits};
use powercut_link::{Agenda, ModemProfile};

#[derive(Clone)]
enum Later {
    Say {
        bytes: Vec<u8>,
        /// What the rig is told once the device can know it.
        event: Option<ModemEvent>,
        power_cuts: u32,
    },
    /// `AT+QIOPEN` comes to its end.
    Opened {
        socket: SocketId,
        opened: bool,
    },
    Refused {
        socket: SocketId,
        code: u16,
    },
}

/// See the module's text.
#[derive(Clone)]
pub(super) struct PacedEngine {
    engine: AtEngine,
    times: AnswerTimes,
    agenda: Agenda<Later>,
    busy_until: Duration,
    /// Waits for the next byte from the device.
    event: Option<ModemEvent>,
    /// Times the board lost power: what an earlier boot asked is not read by this one.
    power_cuts: u32,
}

impl PacedEngine {
    /// A modem that has just got power.
    pub(super) fn new(network: Network, profile: &ModemProfile, habits: &ModemHabits) -> Self {
        Self {
            engine: AtEngine::new(network)
                .with_receive_buffer(profile)
                .with_habits(habits),
            times: habits.answers,
            agenda: Agenda::default(),
            busy_until: Duration::ZERO,
            event: None,
            power_cuts: 0,
        }
    }

    /// The modem was powered long before the device: its banner is history.
    pub(super) fn already_up(mut self) -> Self {
        self.engine = self.engine.already_up();
        self
    }

    /// Whether the modem has found the network.
    pub(super) fn registered(&self) -> bool {
        self.engine.registered()
    }

    /// Take one byte from the device.
    pub(super) fn device_byte(&mut self, byte: u8, now: Duration) -> Step {
        if now < self.busy_until {
            return Step::default();
        }
        let mut step = self.engine.device_byte(byte);
        if let Some((socket, code)) = step.refused {
            let refused = Later::Refused { socket, code };
            self.agenda.put(now + self.times.of(Asked::Open), refused);
            step.output.extend(self.due(now));
        }
        if let Some(Wish::Close(closed)) = step.wish {
            self.agenda.retain(
                |later| !matches!(later, Later::Opened { socket, .. } if *socket == closed),
            );
        }
        if let Some((asked, from)) = step.answer
            && asked != Asked::Open
            && !self.times.of(asked).is_zero()
        {
            self.busy_until = now + self.times.of(asked);
            let later = Later::Say {
                bytes: step.output.split_off(from),
                event: step
                    .event
                    .take_if(|event| matches!(event, ModemEvent::DatagramRead(_))),
                power_cuts: self.power_cuts,
            };
            self.agenda.put(self.busy_until, later);
        }
        if step.event.is_none() {
            step.event = self.event.take();
        }
        step
    }

    /// The outside opened the socket, or could not: what the device hears of it now.
    pub(super) fn socket_opened(
        &mut self,
        socket: SocketId,
        opened: bool,
        now: Duration,
    ) -> Vec<u8> {
        let at = now + self.times.of(Asked::Open);
        self.agenda.put(at, Later::Opened { socket, opened });
        self.due(now)
    }

    /// A datagram came from the network for this socket.
    pub(super) fn network_datagram(&mut self, socket: SocketId, datagram: &[u8]) -> Vec<u8> {
        self.engine.network_datagram(socket, datagram)
    }

    /// When there is something to say next.
    pub(super) fn next_at(&self) -> Option<Duration> {
        self.agenda.next_at()
    }

    /// What the device hears of all that is due by now.
    pub(super) fn due(&mut self, now: Duration) -> Vec<u8> {
        let mut output = Vec::new();
        while let Some((_, later)) = self.agenda.take(now) {
            match later {
                Later::Say {
                    bytes,
                    event,
                    power_cuts,
                } => {
                    output.extend(bytes);
                    if power_cuts == self.power_cuts {
                        self.event = event.or(self.event.take());
                    }
                }
                Later::Opened { socket, opened } => {
                    output.extend(self.engine.socket_opened(socket, opened));
                }
                Later::Refused { socket, code } => {
                    output.extend(self.engine.open_refused(socket, code));
                }
            }
        }
        output
    }

    /// Whether nothing is under way at `now`.
    pub(super) fn is_settled(&self, now: Duration) -> bool {
        self.agenda.next_at().is_none() && self.busy_until <= now && self.event.is_none()
    }

    /// Adds all that it does from now on to `state`, provided that it is settled.
    pub(super) fn add_to(&self, state: &mut impl Hasher) {
        self.engine.add_to(state);
    }

    /// The board lost power, and this modem did not.
    pub(super) fn board_power_lost(&mut self) {
        self.power_cuts += 1;
        self.event = None;
    }
}
