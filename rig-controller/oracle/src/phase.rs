//! Where an upgrade stands, judged by the device's flash and by what it does.
use std::fmt;

use powercut_upgrade::journal::{Phase as JournalPhase, State};

/// A stage of the upgrade, in the order in which an upgrade meets them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Fragments arrive and are written to staging.
    Download,
    /// The staged image is checked against its manifest.
    Verify,
    /// The bootloader exchanges the two images.
    Swap,
    /// The new image runs unconfirmed.
    Trial,
    /// The new image is made permanent.
    Confirm,
    /// The old image is put back.
    Revert,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 6] = [
        Self::Download,
        Self::Verify,
        Self::Swap,
        Self::Trial,
        Self::Confirm,
        Self::Revert,
    ];

    /// Its name in plans and cut texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Verify => "verify",
            Self::Swap => "swap",
            Self::Trial => "trial",
            Self::Confirm => "confirm",
            Self::Revert => "revert",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The phase of an operation that comes while the journal says `state`. `application` tells whether the application
/// runs or still the bootloader.
pub fn phase_of(state: &State, image_bytes: u32, application: bool) -> Phase {
    match state.phase {
        JournalPhase::Idle | JournalPhase::Accepted => Phase::Download,
        JournalPhase::Downloading { committed, .. } if committed < image_bytes => Phase::Download,
        JournalPhase::Downloading { .. } | JournalPhase::Rejected => Phase::Verify,
        JournalPhase::Ready => Phase::Swap,
        JournalPhase::Swapping { copies } if copies < state.chain.copies() => Phase::Swap,
        JournalPhase::Trial { .. } if application => Phase::Confirm,
        JournalPhase::Swapping { .. } | JournalPhase::Trial { .. } => Phase::Trial,
        JournalPhase::Confirmed => Phase::Confirm,
        JournalPhase::Reverting { .. } | JournalPhase::Reverted => Phase::Revert,
    }
}
