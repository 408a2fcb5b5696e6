//! The device of the model: the real boot code and the real agent over the flash model, and time that only passes when
//! there is nothing else to do.
use std::hash::{Hash, Hasher};

use embedded_storage::nor_flash::ReadNorFlash;
use nor_flash_model::{NorFlashModel, fold};
use powercut_upgrade::agent::{Agent, Wish};
use powercut_upgrade::boot::{self, Outcome};
use powercut_upgrade::flash::{FlashError, TwiceProgrammable, UpgradeFlash, WriteOnce};
use powercut_upgrade::journal::State;
use powercut_upgrade::slots::Layout;
use powercut_upgrade::wire::MAX_UPLINK_BYTES;

use crate::package::{BEHAVIOUR_AT, Behaviour};

/// Flash that can be compared and looked at.
pub trait ModelFlash: UpgradeFlash + Clone + Send + Sync + 'static {
    fn fingerprint(&self) -> u64;
    fn holds(&self, address: u32, bytes: &[u8]) -> bool;
    fn obeyed(&self) -> bool;
}

macro_rules! model_flash {
    ($wrapper:ident, $programs:literal) => {
        impl<const UNIT: usize, const PAGE: usize> ModelFlash
            for $wrapper<NorFlashModel<UNIT, PAGE, $programs>>
        {
            fn fingerprint(&self) -> u64 {
                let flash = &self.0;
                let pages = flash.capacity() / PAGE;
                let content = (0..pages).fold(0, |hash, page| fold(hash, flash.page_sum(page)));
                let units = (0..pages)
                    .filter(|page| !flash.is_untouched(*page))
                    .flat_map(|page| (page * PAGE / UNIT..(page + 1) * PAGE / UNIT).step_by(8))
                    .fold(content, |hash, first| {
                        let counts = std::array::from_fn(|unit| flash.programs(first + unit));
                        fold(hash, u64::from_le_bytes(counts))
                    });
                if (0..pages).all(|page| flash.is_settled(page)) {
                    units
                } else {
                    fold(units, flash.flicker_sum())
                }
            }
            fn holds(&self, address: u32, bytes: &[u8]) -> bool {
                self.0.holds(address, bytes)
            }
            fn obeyed(&self) -> bool {
                self.0.violations().is_empty()
            }
        }
    };
}
model_flash!(TwiceProgrammable, 2);
model_flash!(WriteOnce, 1);

/// What one step of the device led to.
#[derive(Debug, Default)]
pub struct Stepped {
    /// The datagram it sends.
    pub sent: Option<Vec<u8>>,
    /// Nothing was due: it had to wait until something was.
    pub waited: bool,
}

/// Flash, and what is in RAM while there is power; the agent is gone if nothing boots.
#[derive(Clone)]
pub struct Device<F, const PAGE: usize, const HELD: usize> {
    pub flash: F,
    agent: Option<Agent<PAGE, [u8; HELD]>>,
    behaviour: Behaviour,
    now_ms: u64,
}

impl<F: ModelFlash, const PAGE: usize, const HELD: usize> Device<F, PAGE, HELD> {
    /// Gives power to a device with this content of flash.
    pub fn boot(flash: F, layout: &Layout) -> Self {
        let mut device = Self {
            flash,
            agent: None,
            behaviour: Behaviour::Good,
            now_ms: 0,
        };
        device.restart(layout);
        device
    }

    /// What is in RAM goes; the bootloader runs, then the application.
    pub fn restart(&mut self, layout: &Layout) {
        self.now_ms = 0;
        self.agent = match boot::boot(&mut self.flash, layout, &mut || {}) {
            Outcome::Run { .. } => Agent::start(&mut self.flash, layout, [0; HELD]).ok(),
            Outcome::Stay(_) => None,
        };
        let mut first = [0; BEHAVIOUR_AT + 8];
        let read = self.flash.read(layout.active.start, &mut first);
        let never = read.is_ok() && first[BEHAVIOUR_AT] == Behaviour::NeverConfirms as u8;
        self.behaviour = if never {
            Behaviour::NeverConfirms
        } else {
            Behaviour::Good
        };
    }

    pub fn is_alive(&self) -> bool {
        self.agent.is_some()
    }

    /// What the agent holds for the journal's state.
    pub fn state(&self) -> Option<&State> {
        self.agent.as_ref().map(Agent::state)
    }

    pub fn in_trial(&self) -> bool {
        self.agent.as_ref().is_some_and(Agent::in_trial)
    }

    /// The application's loop, once around. An agent that gives up while there is power is dead.
    pub fn step(&mut self, layout: &Layout) -> Stepped {
        self.try_step(layout).unwrap_or_else(|_| {
            self.agent = None;
            Stepped::default()
        })
    }

    fn try_step(&mut self, layout: &Layout) -> Result<Stepped, FlashError> {
        let mut stepped = Stepped::default();
        let Some(agent) = &mut self.agent else {
            return Ok(stepped);
        };
        if agent.in_trial() && agent.heard_platform() {
            match self.behaviour {
                Behaviour::Good => agent.confirm(&mut self.flash)?,
                Behaviour::NeverConfirms | Behaviour::NoProgram => self.restart(layout),
            }
            return Ok(stepped);
        }
        let mut out = [0; MAX_UPLINK_BYTES];
        let mut wish = agent.poll(&mut self.flash, self.now_ms, &mut out)?;
        if let Wish::Wait { until_ms } = wish {
            stepped.waited = true;
            self.now_ms = until_ms;
            wish = agent.poll(&mut self.flash, self.now_ms, &mut out)?;
        }
        match wish {
            Wish::Send(length) => stepped.sent = Some(out[..length].to_vec()),
            Wish::Restart => self.restart(layout),
            Wish::Continue | Wish::Wait { .. } => {}
        }
        Ok(stepped)
    }

    /// A datagram arrives.
    pub fn take(&mut self, datagram: &[u8]) {
        let mut bytes = datagram.to_vec();
        if let Some(agent) = &mut self.agent {
            let taken = agent.on_datagram(&mut self.flash, self.now_ms, &mut bytes);
            if taken.is_err() {
                self.agent = None;
            }
        }
    }
}

impl<F: ModelFlash, const PAGE: usize, const HELD: usize> Hash for Device<F, PAGE, HELD> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.flash.fingerprint().hash(hasher);
        self.agent.hash(hasher);
    }
}
