//! The oracle: the invariants, checked against flash as it is and against what passed on the link, in every case.
//!
//! It keeps every violation it finds; the first one in the order of time decides the verdict, the others stand beside
//! it. It never asks the device.
use std::collections::{BTreeMap, BTreeSet};

use nor_flash_model::Geometry;
use powercut_upgrade::image::Location;
use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::manifest::{FragmentIndex, SecurityCounter};
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Activity, Status};

use super::flash_view;
use crate::verdict::Invariant;
use crate::{FlashOp, FlashOpKind};
use powercut_package::Package;
use powercut_package::words::Words;

/// What a device without a journal has lost.
const FORGOTTEN: &str = "the security counter in force and the way back are forgotten";

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// What was found, where.
    pub reason: String,
}

/// The two images a case is about.
#[derive(Debug, Clone)]
pub struct Images {
    /// What the device runs at first.
    pub old: Package,
    /// What it is offered.
    pub new: Package,
}

/// Watches one case.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing seen or not, whatever the others are"
)]
pub struct Oracle {
    geometry: Geometry,
    layout: Layout,
    images: Images,
    allowed_fetched_again: u32,
    /// Programs of each unit since its page was erased.
    programs: Vec<u8>,
    erases: Vec<u32>,
    journal_records: u64,
    boots: u32,
    boots_since_cut: u32,
    cuts: u32,
    reverted: bool,
    /// Highest security counter the journal ever put in force; what it forgets later is in force all the same.
    in_force: SecurityCounter,
    /// The journal once said that the new image is confirmed.
    new_confirmed: bool,
    /// Boots in which the new image ran before it was confirmed.
    trials: u32,
    /// Fragments the device received in their turn.
    delivered: BTreeSet<FragmentIndex>,
    /// Fragments it received in this boot before their turn; they are in RAM, behind one that was lost.
    early: BTreeSet<FragmentIndex>,
    first_request_of_boot: bool,
    /// Since the last cut the device has not asked for anything: only then may it ask for fragments again.
    first_request_since_cut: bool,
    committed_at_last_cut: Option<u32>,
    page_allowed: bool,
    fetched_again: u64,
    repeated_requests: u64,
    violations: Vec<Violation>,
}

impl Oracle {
    /// Begins to watch a device that was just provisioned with `flash`, which is divided as `geometry` says and has
    /// `images.old` in ACTIVE.
    pub fn new(
        geometry: Geometry,
        layout: &Layout,
        images: Images,
        allowed_fetched_again: u32,
        flash: &[u8],
    ) -> Self {
        let in_force = images.old.manifest().security_counter;
        Self {
            geometry,
            layout: *layout,
            images,
            allowed_fetched_again,
            // What provisioning left in a unit was programmed once.
            programs: flash
                .chunks(geometry.unit_bytes() as usize)
                .map(|unit| u8::from(unit.iter().any(|byte| *byte != 0xFF)))
                .collect(),
            erases: vec![0; flash.len() / geometry.page_bytes() as usize],
            journal_records: 0,
            boots: 0,
            boots_since_cut: 0,
            cuts: 0,
            reverted: false,
            in_force,
            new_confirmed: false,
            trials: 0,
            delivered: BTreeSet::new(),
            early: BTreeSet::new(),
            first_request_of_boot: true,
            first_request_since_cut: false,
            committed_at_last_cut: None,
            page_allowed: false,
            fetched_again: 0,
            repeated_requests: 0,
            violations: Vec::new(),
        }
    }

    /// What did not hold, in the order in which it was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Fragments fully received before a cut and asked for once more after it.
    pub fn fetched_again(&self) -> u64 {
        self.fetched_again
    }

    /// Requests repeated within a boot: for what was lost or late.
    pub fn repeated_requests(&self) -> u64 {
        self.repeated_requests
    }

    /// Boots since provisioning, resets included.
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// Boots since the last cut, that one included.
    pub fn boots_since_cut(&self) -> u32 {
        self.boots_since_cut
    }

    /// Boots in which the new image ran before it was confirmed.
    pub fn trials(&self) -> u32 {
        self.trials
    }

    /// Page erases since provisioning.
    pub fn erases(&self) -> u64 {
        self.erases.iter().map(|count| u64::from(*count)).sum()
    }

    /// Something the oracle does not watch itself broke an invariant.
    pub fn report(&mut self, invariant: Invariant, reason: String) {
        // One page of the same complaint helps nobody.
        let same = self
            .violations
            .iter()
            .filter(|found| found.invariant == invariant)
            .count();
        if same < 5 {
            self.violations.push(Violation { invariant, reason });
        }
    }

    /// The device starts: power came, or it reset itself.
    pub fn on_boot(&mut self) {
        self.boots += 1;
        self.boots_since_cut += 1;
        self.first_request_of_boot = true;
        self.early.clear();
        let limit = self.boots_allowed();
        if self.boots_since_cut == limit + 1 {
            self.report(
                Invariant::L2,
                format!("the device booted more than {limit} times since the last cut and has not come to its end"),
            );
        }
    }

    /// Boots an upgrade may take once cuts stop: resume, install, each attempt of the trial, revert, and one more to
    /// see that it rests.
    fn boots_allowed(&self) -> u32 {
        u32::from(self.images.new.manifest().trial_attempts) + 4
    }

    /// A flash operation is about to happen.
    pub fn on_operation(
        &mut self,
        op: &FlashOp,
        before: Option<&State>,
        after: Option<&State>,
        flash: &[u8],
    ) {
        self.wear(op);
        if before == after {
            return;
        }
        self.journal_records += 1;
        let Some(after) = after else {
            self.report(
                Invariant::S4,
                format!("operation {} leaves no journal: {FORGOTTEN}", op.number),
            );
            return;
        };
        self.in_force = self.in_force.max(after.security_counter);
        match after.phase {
            JournalPhase::Ready => self.check_ready(flash, after),
            JournalPhase::Reverting { .. } => self.reverted = true,
            JournalPhase::Confirmed if after.image == self.images.new.signed().image_id() => {
                self.on_confirmed(flash, before);
            }
            _ => {}
        }
    }

    /// S3, and what a device never writes; counts erases for L3.
    fn wear(&mut self, op: &FlashOp) {
        let address = op.kind.address();
        if address < self.layout.identification.start {
            let reason = format!(
                "operation {} is at {address:#x}, in BOOT or FACTORY, which a device never writes: a cut there leaves nothing that boots",
                op.number
            );
            self.report(Invariant::S1, reason);
        }
        let unit_bytes = self.geometry.unit_bytes() as usize;
        let units = self.geometry.page_bytes() as usize / unit_bytes;
        let allowed = self.geometry.programs_per_unit();
        match op.kind {
            FlashOpKind::Program { .. } => {
                let Some(programs) = self.programs.get_mut(address as usize / unit_bytes) else {
                    return;
                };
                *programs = programs.saturating_add(1);
                if *programs > allowed {
                    let reason = format!(
                        "operation {} programs the unit at {address:#x} for the {}th time since its page was erased; this flash allows {allowed}",
                        op.number, *programs
                    );
                    self.report(Invariant::S3, reason);
                }
            }
            FlashOpKind::Erase { .. } => {
                let page = address as usize / self.geometry.page_bytes() as usize;
                if let Some(erases) = self.erases.get_mut(page) {
                    *erases += 1;
                }
                if let Some(programs) = self.programs.get_mut(page * units..(page + 1) * units) {
                    programs.fill(0);
                }
            }
        }
    }

    /// The journal is about to say that the new image is confirmed: it must have run, and until now the old one could
    /// have been put back.
    fn on_confirmed(&mut self, flash: &[u8], before: Option<&State>) {
        if core::mem::replace(&mut self.new_confirmed, true) {
            return;
        }
        if self.trials == 0 {
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
    fn check_ready(&mut self, flash: &[u8], state: &State) {
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
    fn check_staged(&mut self, flash: &[u8], state: &State, length: usize) {
        if state.image != self.images.new.signed().image_id() {
            return;
        }
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
        if let Some((invariant, reason)) = self.fault_of_running(flash, state) {
            self.report(invariant, reason);
        }
    }

    fn fault_of_running(
        &mut self,
        flash: &[u8],
        state: Option<&State>,
    ) -> Option<(Invariant, String)> {
        let Images { old, new } = &self.images;
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

    /// Power was cut; `flash` is what is left.
    pub fn after_cut(&mut self, flash: &[u8]) {
        self.cuts += 1;
        self.boots_since_cut = 0;
        self.first_request_since_cut = true;
        let Some(state) = flash_view::journal_state(flash, self.geometry, &self.layout) else {
            self.report(
                Invariant::S4,
                format!("the cut leaves no journal: {FORGOTTEN}"),
            );
            return;
        };
        self.in_force = self.in_force.max(state.security_counter);
        match state.phase {
            JournalPhase::Confirmed if state.image == self.images.new.signed().image_id() => {
                self.new_confirmed = true;
            }
            JournalPhase::Ready => self.check_staged(flash, &state, usize::MAX),
            JournalPhase::Downloading { committed, .. } => {
                let size = u32::from(self.images.new.manifest().fragment_bytes);
                self.turn_is(FragmentIndex((committed / size) as u16));
                self.check_staged(flash, &state, committed as usize);
                self.page_allowed = self.committed_at_last_cut == Some(committed);
                self.committed_at_last_cut = Some(committed);
            }
            _ => {}
        }
    }

    /// The modem handed a fragment to the device, whole; `turn` is the one that the device has to store next. One that
    /// comes before its turn counts as received once what was lost before it is stored.
    pub fn on_delivered(&mut self, index: FragmentIndex, turn: FragmentIndex) {
        self.turn_is(turn);
        if index == turn {
            self.delivered.insert(index);
        } else if index > turn {
            self.early.insert(index);
        }
    }

    fn turn_is(&mut self, turn: FragmentIndex) {
        let later = self.early.split_off(&turn);
        self.delivered
            .extend(std::mem::replace(&mut self.early, later));
    }

    /// The device asks for these fragments, in ascending order, and has to store `turn` next.
    pub fn on_request(&mut self, wanted: &[FragmentIndex], turn: FragmentIndex) {
        self.turn_is(turn);
        let held = wanted.iter().filter(|index| self.early.contains(index));
        for _ in 0..held.count() {
            self.on_repeated_request();
        }
        let Some(&index) = wanted.first() else {
            return;
        };
        let again: Vec<FragmentIndex> = self.delivered.range(index..).copied().collect();
        let first_since_cut = core::mem::take(&mut self.first_request_since_cut);
        if !core::mem::take(&mut self.first_request_of_boot) {
            if again == [index] {
                // The one just received: whoever asked for more did not know yet.
                self.on_repeated_request();
                return;
            }
            if again.is_empty() {
                return;
            }
        }
        let allowed = match (first_since_cut, self.boots_since_cut) {
            (true, 1) if self.page_allowed => self
                .layout
                .page_bytes
                .div_ceil(u32::from(self.images.new.manifest().fragment_bytes))
                .saturating_add(1)
                .max(self.allowed_fetched_again),
            (true, 1) => self.allowed_fetched_again,
            _ => 0,
        };
        self.fetched_again += again.len() as u64;
        if again.len() > allowed as usize {
            let reason = format!(
                "{} fragments from {} on are fetched again; {allowed} would do",
                again.len(),
                index.0
            );
            self.report(Invariant::L1, reason);
        }
        for fetched in again {
            self.delivered.remove(&fetched);
        }
    }

    /// A fragment was handed over a moment ago and is asked for again: the request was under way already, or the
    /// device gave up the answer on its own line. Now and then that is fair; as a habit it is a second download.
    fn on_repeated_request(&mut self) {
        self.repeated_requests += 1;
        let fragments = u64::from(self.images.new.manifest().fragments());
        let limit = fragments / 4 + 4 * u64::from(self.boots);
        if self.repeated_requests == limit + 1 {
            let reason = format!(
                "more than {limit} of {fragments} fragments were asked for again right after the device had received them"
            );
            self.report(Invariant::L1, reason);
        }
    }

    /// The device reports to the platform.
    pub fn on_status(&mut self, status: &Status, flash: &[u8], state: Option<&State>) {
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

    /// The case is over: no page was erased more often than the swap, the journal and the cuts account for (L3).
    pub fn at_end(&mut self, installed: bool) {
        let (layout, new) = (self.layout, self.images.new.manifest());
        let pages = u32::from(
            layout.image_pages(new.size_bytes.max(self.images.old.manifest().size_bytes)),
        ) + 1;
        let reverted = u32::from(self.reverted);
        let swapped = u32::from(installed || self.reverted);
        let download = u32::from(layout.image_pages(new.size_bytes)) + 1;
        let bounds = [
            (
                "ACTIVE",
                layout.active,
                pages * (swapped + reverted) + self.cuts,
                swapped + reverted + self.cuts,
            ),
            (
                "STAGING",
                layout.staging,
                download + (pages + 1) * (swapped + reverted) + 2 * self.cuts,
                1 + swapped + reverted + self.cuts,
            ),
        ];
        let mut reasons = Vec::new();
        for (name, region, total_allowed, page_allowed) in bounds {
            let counts = self.counts(region);
            let (total, most) = (
                counts.iter().sum::<u32>(),
                counts.iter().max().copied().unwrap_or(0),
            );
            if total > total_allowed || most > page_allowed {
                reasons.push(format!("{name} was erased {total} times ({most} times the same page); {total_allowed} ({page_allowed}) would do"));
            }
        }
        // Bootloader and application each open a page in a boot; a cut may cost one more in either.
        let capacity = flash_view::journal_page_capacity(self.geometry, &layout);
        let journal: u32 = self.counts(layout.identification).iter().sum();
        let allowed =
            self.journal_records.div_ceil(capacity) as u32 + 2 * self.boots + 2 * self.cuts;
        if journal > allowed {
            reasons.push(format!(
                "the journal was erased {journal} times; {allowed} would do"
            ));
        }
        for reason in reasons {
            self.report(Invariant::L3, reason);
        }
    }

    fn counts(&self, region: powercut_upgrade::slots::Region) -> Vec<u32> {
        let first = (region.start / self.geometry.page_bytes()) as usize;
        self.erases[first..first + usize::from(region.pages)].to_vec()
    }

    /// Erases of each region, by name, for reports.
    pub fn erases_by_region(&self) -> BTreeMap<&'static str, u64> {
        let layout = self.layout;
        [
            ("active", layout.active),
            ("staging", layout.staging),
            ("identification", layout.identification),
        ]
        .into_iter()
        .map(|(name, region)| {
            (
                name,
                self.counts(region)
                    .iter()
                    .map(|count| u64::from(*count))
                    .sum(),
            )
        })
        .collect()
    }
}

#[cfg(test)]
#[path = "oracle_tests.rs"]
mod tests;
