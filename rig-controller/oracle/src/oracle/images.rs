//! S1, S2 and S4: which image runs, what is staged, and whether the old one could be put back.
use powercut_upgrade::image::Location;
use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::slots::{Placement, Slot};

use super::{Images, Invariant, Oracle};
use crate::flash_view;
use powercut_package::Package;
use powercut_package::words::Words;

impl Oracle {
    /// The journal is about to say that the new image is confirmed: it must have run, and until now the old one could
    /// have been put back.
    pub(super) fn on_confirmed(&mut self, flash: &[u8], before: Option<&State>) {
        if core::mem::replace(&mut self.new_confirmed, true) {
            return;
        }
        let would_have_shown = self.sight.marker || self.sight.datagrams;
        if self.trials == 0 && would_have_shown {
            self.report(
                Invariant::S4,
                "the new image is confirmed without ever having run".to_owned(),
            );
        }
        let trial = before.filter(|before| matches!(before.phase, JournalPhase::Trial { .. }));
        if let Some(fault) = trial.and_then(|trial| self.fault_of_way_back(flash, trial)) {
            self.report(
                Invariant::S4,
                format!("when the new image was confirmed, {fault}"),
            );
        }
    }

    /// S2: the image is ready.
    pub(super) fn check_ready(&mut self, flash: &[u8], state: &State) {
        self.look_at(Invariant::S2);
        if state.image == self.images.new.signed().image_id() {
            self.check_staged(flash, state, usize::MAX);
        } else {
            let reason = format!(
                "the journal says {} is ready, but nobody offered it",
                Words(state.image)
            );
            self.report(Invariant::S2, reason);
        }
    }

    /// S2: what the journal records is in flash.
    pub(super) fn check_staged(&mut self, flash: &[u8], state: &State, length: usize) {
        if state.image != self.images.new.signed().image_id() {
            return;
        }
        self.look_at(Invariant::S2);
        let image = &self.images.new.image()[..length.min(self.images.new.image().len())];
        let difference = self.difference(flash, Slot::Staging, Placement::Plain, image);
        if let Some(offset) = difference {
            let what = if matches!(state.phase, JournalPhase::Ready) {
                "the journal says the image is ready".to_owned()
            } else {
                format!("the journal says {length} bytes are in flash")
            };
            self.report(
                Invariant::S2,
                format!("{what}, but STAGING differs from the signed image at byte {offset}"),
            );
        }
    }

    /// The application begins to run.
    pub fn on_application(&mut self, flash: &[u8], state: Option<&State>) {
        // Where operations are not seen, this is how the oracle learns what they have recorded.
        if let Some(state) = state.filter(|_| !self.sight.operations) {
            self.in_force = self.in_force.max(state.security_counter);
            let is_new = state.image == self.images.new.signed().image_id();
            self.new_confirmed |= is_new && state.phase == JournalPhase::Confirmed;
        }
        if let Some((invariant, reason)) = self.fault_of_running(flash, state) {
            self.report(invariant, reason);
        }
    }

    fn fault_of_running(
        &mut self,
        flash: &[u8],
        state: Option<&State>,
    ) -> Option<(Invariant, String)> {
        self.look_at(Invariant::S1);
        self.look_at(Invariant::S4);
        let Images { old, new } = &*self.images;
        let active = flash_view::manifest(flash, self.geometry, &self.layout, Location::ACTIVE);
        let plain = Placement::Plain;
        let runs = |package: &&Package| {
            active.as_ref() == Some(package.signed())
                && self
                    .difference(flash, Slot::Active, plain, package.image())
                    .is_none()
        };
        let Some(running) = [new, old].into_iter().find(runs) else {
            return Some((
                Invariant::S1,
                "the application runs, but ACTIVE holds neither the old image nor the new one with its manifest".to_owned(),
            ));
        };
        let counter = running.manifest().security_counter;
        let in_force = state.map_or(self.in_force, |state| {
            self.in_force.max(state.security_counter)
        });
        if counter < in_force {
            return Some((
                Invariant::S4,
                format!(
                    "an image with security counter {} runs; {} is in force",
                    counter.0, in_force.0
                ),
            ));
        }
        let trial = state.filter(|state| matches!(state.phase, JournalPhase::Trial { .. }));
        if running.signed() == new.signed() && !self.new_confirmed {
            self.trials += 1;
            let allowed = u32::from(new.manifest().trial_attempts);
            if self.trials == allowed + 1 {
                return Some((
                    Invariant::L2,
                    format!(
                        "the new image runs unconfirmed for the {}th time; it has {allowed} attempts",
                        self.trials
                    ),
                ));
            }
            if trial.is_none() {
                return Some((
                    Invariant::S4,
                    "the new image runs, but the journal has it neither on trial nor confirmed: nothing would put the old one back".to_owned(),
                ));
            }
        }
        let fault = self.fault_of_way_back(flash, trial?)?;
        Some((
            Invariant::S4,
            format!("the new image is on trial, but {fault}"),
        ))
    }

    /// Why the old image could not be put back while the new one is on trial.
    fn fault_of_way_back(&self, flash: &[u8], trial: &State) -> Option<String> {
        let old = &self.images.old;
        let placement = trial.staging_placement();
        if let Some(damaged) = self.difference(flash, Slot::Staging, placement, old.image()) {
            return Some(format!(
                "the old one in STAGING is damaged at byte {damaged}: it could not be put back"
            ));
        }
        let slot = Slot::Staging;
        let manifest = flash_view::manifest(
            flash,
            self.geometry,
            &self.layout,
            Location { slot, placement },
        );
        (manifest.as_ref() != Some(old.signed())).then(|| {
            "the old one in STAGING has lost its manifest: it could not be put back".to_owned()
        })
    }

    fn difference(
        &self,
        flash: &[u8],
        slot: Slot,
        placement: Placement,
        image: &[u8],
    ) -> Option<usize> {
        flash_view::first_difference(flash, &self.layout, slot, placement, image)
    }
}
