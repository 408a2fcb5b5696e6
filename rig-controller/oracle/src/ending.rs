//! How an upgrade has ended, judged by what flash holds at rest and what the device has reported last.
use nor_flash_model::Geometry;
use powercut_package::words::Words;
use powercut_upgrade::journal::Phase;
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Status};

use crate::flash_view;
use crate::oracle::Images;
use crate::verdict::Outcome;

/// Whether a device that reports `status` has nothing more to do about the new image.
pub fn is_final(status: &Status, images: &Images) -> bool {
    let new = images.new.signed().image_id();
    status.activity == Activity::Idle && (status.result_image == new || status.running == new)
}

/// The end of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// ACTIVE holds the old image.
    pub is_old: bool,
    /// ACTIVE holds the new image.
    pub is_new: bool,
    /// How the upgrade ended; `None` if it is in between.
    pub outcome: Option<Outcome>,
    phase: Option<Phase>,
}

impl Ending {
    /// The end of a device whose `flash` is divided as `geometry` and `layout` say, which reported `result` last, if it
    /// reported anything, and ran the new image unconfirmed in so many `trials`.
    pub fn of(
        flash: &[u8],
        (geometry, layout): (Geometry, &Layout),
        images: &Images,
        result: Option<ResultCode>,
        trials: u32,
    ) -> Self {
        let active_is = |image: &[u8]| {
            flash_view::first_difference(flash, layout, Slot::Active, Placement::Plain, image)
                .is_none()
        };
        let (is_old, is_new) = (active_is(images.old.image()), active_is(images.new.image()));
        let journal = flash_view::journal_state(flash, geometry, layout);
        let phase = journal.map(|journal| journal.phase);
        let outcome = match (phase, result) {
            (Some(Phase::Confirmed), _) if is_new => Some(Outcome::Confirmed),
            (Some(Phase::Reverted), Some(ResultCode::InstallFailed)) if is_old => {
                Some(Outcome::Reverted)
            }
            (_, Some(result)) if is_old && result != ResultCode::Ok && trials == 0 => {
                Some(Outcome::Refused)
            }
            _ => None,
        };
        Self {
            is_old,
            is_new,
            outcome,
            phase,
        }
    }

    /// Completes "it ended ..".
    pub fn in_words(&self) -> String {
        format!(
            "{}, with {} (journal: {})",
            self.outcome
                .map_or("in between".to_owned(), |outcome| outcome.to_string()),
            match (self.is_old, self.is_new) {
                (true, _) => "the old image",
                (_, true) => "the new image",
                _ => "neither image",
            },
            self.phase
                .map_or("unreadable".to_owned(), |phase| Words(phase).to_string()),
        )
    }
}
