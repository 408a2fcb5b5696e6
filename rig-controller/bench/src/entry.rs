//! The entry of one board in a bench file, checked.
use std::path::PathBuf;
use std::time::Duration;

use powercut_oracle::sight::{FlashSight, Sight};
use powercut_upgrade::factory::DeviceId;

use crate::modem::{ModemFault, ModemPower};

/// One board of a bench file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardEntry {
    /// Its name.
    pub name: String,
    /// The name of its kind, one of [`KINDS`](crate::board::KINDS).
    pub kind: &'static str,
    /// How it names itself towards the platform.
    pub device_id: DeviceId,
    /// Silence after which its watchdog bites, once the firmware has started it.
    pub watchdog: Duration,
    /// Silence after which a powered board counts as gone; the kind's own if `None`.
    pub silence: Option<Duration>,
    /// The part of its sight that is hidden on purpose.
    pub hides: Hidden,
    /// Its modem.
    pub modem: ModemEntry,
    /// The program that emulates it.
    pub emulator: PathBuf,
}

/// The modem of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModemEntry {
    /// Whether it keeps power in a cut, whatever the plan says; the plan decides if `None`.
    pub power: Option<ModemPower>,
    /// What is wrong with it on purpose.
    pub fault: Option<ModemFault>,
}

/// The part of a board's sight that a bench file hides: an emulated board then shows no more than silicon would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    sight: Sight,
}

impl Hidden {
    /// Nothing.
    pub const NOTHING: Self = Self {
        sight: Sight::EVERYTHING,
    };

    /// Everything that can be hidden, by its name in bench files.
    pub const NAMES: [&'static str; 6] = [
        "operations",
        "running-flash",
        "flash",
        "datagrams",
        "marker",
        "witness",
    ];

    /// Hides one more thing; the name is one of [`Hidden::NAMES`], any other hides nothing.
    pub fn add(&mut self, name: &str) {
        let sight = &mut self.sight;
        match name {
            "operations" => sight.operations = false,
            "running-flash" => sight.flash = sight.flash.min(FlashSight::Held),
            "flash" => sight.flash = FlashSight::Never,
            "datagrams" => sight.datagrams = false,
            "marker" => sight.marker = false,
            "witness" => sight.off_proved = false,
            _ => {}
        }
    }

    /// The sight that is left of a board that shows everything.
    pub fn sight(self) -> Sight {
        self.sight
    }
}
