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
    /// The name of what emulates it.
    pub engine: &'static str,
    /// How its emulator takes time, if that is in this process.
    pub timing: BoardTiming,
    /// The name of its relay's kind, one of [`relay::KINDS`](crate::relay::KINDS).
    pub relay: &'static str,
    /// The name of its witness's kind, one of [`witness::KINDS`](crate::witness::KINDS).
    pub witness: &'static str,
    /// The name of its link's kind, one of [`link::KINDS`](crate::link::KINDS).
    pub link: &'static str,
    /// How it names itself towards the platform.
    pub device_id: DeviceId,
    /// Silence after which its watchdog bites, once the firmware has started it: in QEMU, which has none.
    pub watchdog: Duration,
    /// Silence after which a powered board counts as gone; the kind's own if `None`.
    pub silence: Option<Duration>,
    /// The sight that is not hidden on purpose.
    pub shows: Sight,
    /// Its modem.
    pub modem: ModemEntry,
    /// The program that emulates it, if that is QEMU.
    pub emulator: PathBuf,
}

/// The time that things take on a board in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BoardTiming {
    /// Flash operations stop the core for as long as the data sheet says, bytes take their time on the line, and a receiver
    /// that nobody reads overruns.
    #[default]
    Silicon,
    /// Flash operations and bytes take no time, as in QEMU.
    Instant,
}

/// The modem of a board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModemEntry {
    /// Whether it keeps power in a cut, whatever the plan says; the plan decides if `None`.
    pub power: Option<ModemPower>,
    /// What is wrong with it on purpose.
    pub fault: Option<ModemFault>,
}

/// Takes a part of a board's sight away.
pub type Hide = fn(&mut Sight);

/// The parts of a board's sight that a bench file can hide, by their names there: an emulated board then shows no more than
/// silicon would.
pub const HIDEABLE: [(&str, Hide); 6] = [
    ("operations", |sight| sight.operations = false),
    ("running-flash", |sight| {
        sight.flash = sight.flash.min(FlashSight::Held);
    }),
    ("flash", |sight| sight.flash = FlashSight::Never),
    ("datagrams", |sight| sight.datagrams = false),
    ("marker", |sight| sight.marker = false),
    ("witness", |sight| sight.off_proved = false),
];
