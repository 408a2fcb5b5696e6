//! Where a device stands, judged by its flash and by what it does: the phase of every flash operation.
use powercut_upgrade::journal::{Phase as JournalPhase, State};

use crate::plan::Phase;

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
