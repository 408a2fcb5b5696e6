//! L4: whether what the device reports to the platform is true.
use powercut_upgrade::image::Location;
use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Status};

use super::{Invariant, Oracle};
use crate::flash_view;

impl Oracle {
    /// The device reports to the platform.
    pub fn on_status(&mut self, status: &Status, flash: &[u8], state: Option<&State>) {
        if state.is_some() {
            self.look_at(Invariant::L4);
        }
        if let Some(lie) = self.lie(status, flash, state) {
            self.report(Invariant::L4, format!("the device reports {lie}"));
        }
    }

    fn lie(&self, status: &Status, flash: &[u8], state: Option<&State>) -> Option<String> {
        let active = flash_view::manifest(flash, self.geometry, &self.layout, Location::ACTIVE)?;
        let state = state?;
        let new = self.images.new.signed().image_id();
        if status.running != active.image_id() || status.version != active.manifest().version {
            return Some(format!(
                "version {}, but ACTIVE holds {}",
                status.version,
                active.manifest().version
            ));
        }
        let in_force = self.in_force.max(state.security_counter);
        if status.security_counter < in_force {
            return Some(format!(
                "security counter {}, but {} is in force",
                status.security_counter.0, in_force.0
            ));
        }
        if status.activity == Activity::Ready && state.phase != JournalPhase::Ready {
            return Some("that the image is ready, but its journal does not say so".to_owned());
        }
        if status.activity == Activity::Idle && matches!(state.phase, JournalPhase::Trial { .. }) {
            return Some("that it has nothing to do, but its image is on trial".to_owned());
        }
        if status.result_image == new {
            let confirmed = state.phase == JournalPhase::Confirmed && active.image_id() == new;
            if status.result == ResultCode::Ok && !confirmed {
                return Some("success, but the image is not confirmed".to_owned());
            }
            if status.result == ResultCode::InstallFailed && active.image_id() == new {
                return Some("a failed installation, but the new image is in ACTIVE".to_owned());
            }
        }
        None
    }
}
