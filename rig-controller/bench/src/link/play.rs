//! The link *play*: the rig is the modem on the device's UART, and sends its datagrams to the platform itself.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::timed_play::TimedPlay;
use super::{Kind, Link, LinkKind, LinkSetup};
use crate::modem::{
    ModemError, ModemEvent, ModemFault, ModemPower, VirtualModem, VirtualModemConfig,
};
use crate::uart::UartToDevice;

/// `link: play`.
pub(super) const KIND: Kind = Kind {
    name: "play",
    make: |entry| {
        Box::new(Play {
            power: entry.modem.power,
            fault: entry.modem.fault,
        })
    },
};

/// Plays a modem for one board.
#[derive(Debug, Clone, Copy)]
pub struct Play {
    /// Whether the modem keeps power in a cut; the case decides if `None`.
    pub power: Option<ModemPower>,
    /// What is wrong with it on purpose.
    pub fault: Option<ModemFault>,
}

impl LinkKind for Play {
    fn open(&self, setup: &LinkSetup<'_>, uart: Arc<dyn UartToDevice>) -> Box<dyn Link> {
        if let Some(time) = &setup.time {
            return Box::new(TimedPlay::open(*self, setup, time.clone()));
        }
        let route = match setup.platform {
            SocketAddr::V4(actual) => Some((setup.advertised, actual)),
            SocketAddr::V6(_) => None,
        };
        let modem = VirtualModem::new(
            VirtualModemConfig {
                power: self.power.unwrap_or(setup.modem_power),
                searching_answers: 0,
                fault: self.fault,
                habits: setup.habits.clone(),
                link: setup.profile.clone(),
                impairment: setup.impairment.clone(),
                time_scale: setup.time_scale,
                route,
            },
            uart,
        );
        Box::new(Played {
            modem,
            silence: setup
                .habits
                .answers
                .longest()
                .div_f64(setup.time_scale.times()),
        })
    }
}

/// The modem that is played, as a link.
struct Played {
    modem: VirtualModem,
    silence: Duration,
}

impl Link for Played {
    fn from_device(&mut self, byte: u8) -> Option<ModemEvent> {
        self.modem.from_device(byte)
    }

    fn board_power_lost(&mut self) {
        self.modem.board_power_lost();
    }

    fn board_power_restored(&mut self) {
        self.modem.board_power_restored();
    }

    fn registered(&self) -> bool {
        self.modem.registered()
    }

    fn take_failure(&mut self) -> Option<ModemError> {
        self.modem.take_failure()
    }

    fn silence(&self) -> Duration {
        self.silence
    }

    fn shut_down(&mut self) {
        self.modem.shut_down();
    }
}
