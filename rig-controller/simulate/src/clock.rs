//! Virtual time, and what it was spent on.
use std::fmt;
use std::time::Duration;

/// What a device is doing, as far as time goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SimulatedStage {
    /// It has no power.
    Off,
    /// Reset and bootloader, unless that installs.
    Boot,
    /// The modem is brought up.
    Connect,
    /// The device announces itself and hears what there is for it; the radio's first contact is part of this.
    Offer,
    /// Fragments are fetched.
    Download,
    /// All of them are there; the image is checked and the device restarts.
    Verify,
    /// The bootloader checks and exchanges the images.
    Swap,
    /// The new image runs, until the platform knows that it has confirmed itself.
    Trial,
}

impl SimulatedStage {
    /// All, in order.
    pub const ALL: [Self; 8] = [
        Self::Off,
        Self::Boot,
        Self::Connect,
        Self::Offer,
        Self::Download,
        Self::Verify,
        Self::Swap,
        Self::Trial,
    ];

    /// Its name in plans and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Boot => "boot",
            Self::Connect => "connect",
            Self::Offer => "offer",
            Self::Download => "download",
            Self::Verify => "verify",
            Self::Swap => "swap",
            Self::Trial => "trial",
        }
    }
}

impl fmt::Display for SimulatedStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A stretch of a run in one stage: from which flash operation and which powered time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) stage: SimulatedStage,
    pub(super) operations: u64,
    pub(super) powered: Duration,
}

/// The time of one run.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    now: Duration,
    powered: Duration,
    stage: SimulatedStage,
    spent: [Duration; SimulatedStage::ALL.len()],
    spans: Vec<Span>,
}

impl Clock {
    /// Begins at zero, off.
    pub(super) fn new() -> Self {
        Self {
            now: Duration::ZERO,
            powered: Duration::ZERO,
            stage: SimulatedStage::Off,
            spent: [Duration::ZERO; SimulatedStage::ALL.len()],
            spans: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Time with power so far.
    pub(super) fn powered(&self) -> Duration {
        self.powered
    }

    pub(super) fn stage(&self) -> SimulatedStage {
        self.stage
    }

    pub(super) fn spent(&self, stage: SimulatedStage) -> Duration {
        self.spent[stage as usize]
    }

    /// Everything the run went through, in order.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// From here on time is spent on `stage`; so many flash operations came before.
    pub(super) fn enter(&mut self, stage: SimulatedStage, operations: u64) {
        if self.spans.is_empty() || self.stage != stage {
            self.stage = stage;
            self.spans.push(Span {
                stage,
                operations,
                powered: self.powered,
            });
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.spent[self.stage as usize] += time;
        if self.stage != SimulatedStage::Off {
            self.powered += time;
        }
    }

    /// Lets time pass until `at`, if that is to come.
    pub(super) fn pass_until(&mut self, at: Duration) {
        self.pass(at.saturating_sub(self.now));
    }
}
