//! The oracle: the invariants, checked against flash as it is and against what passed on the link, in every case.
//!
//! It keeps every violation it finds; the first one in the order of time decides the verdict, the others stand beside
//! it. It never asks the device. Of each invariant it rules at the end whether it held, was broken, or was not observed:
//! only the code that makes a check notes that it was made.
mod fetching;
mod images;
mod reading;
mod status;
mod wear;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use nor_flash_model::Geometry;
use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::manifest::{FragmentIndex, SecurityCounter};
use powercut_upgrade::slots::Layout;

use crate::FlashOp;
use crate::flash_view;
use crate::rulings::{Ruling, Rulings};
use crate::sight::Sight;
use crate::verdict::Invariant;
use powercut_package::Package;

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

/// Watches one case. A clone goes its own way from there.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing seen or not, whatever the others are"
)]
pub struct Oracle {
    geometry: Geometry,
    layout: Layout,
    images: Arc<Images>,
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
    sight: Sight,
    /// Invariants that were checked at least once.
    looked_at: BTreeSet<Invariant>,
    /// Invariants that mean nothing in this case, and why.
    excused: BTreeMap<Invariant, String>,
    /// Power was cut, and what that left has not been seen yet.
    was_cut: bool,
}

impl Oracle {
    /// Begins to watch a device that was just provisioned with `flash`, which is divided as `geometry` says and has
    /// `images.old` in ACTIVE; `sight` is what the board shows.
    pub fn new(
        geometry: Geometry,
        layout: &Layout,
        images: Images,
        allowed_fetched_again: u32,
        sight: Sight,
        flash: &[u8],
    ) -> Self {
        let in_force = images.old.manifest().security_counter;
        Self {
            geometry,
            layout: *layout,
            images: Arc::new(images),
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
            sight,
            looked_at: BTreeSet::new(),
            excused: BTreeMap::new(),
            was_cut: false,
        }
    }

    /// Programs of each unit since its page was erased, as far as seen.
    pub fn programs(&self) -> &[u8] {
        &self.programs
    }

    /// Changes of the journal so far: the more, the more erases of it are allowed.
    pub fn journal_records(&self) -> u64 {
        self.journal_records
    }

    /// What the oracle remembers and judges the future by, as a number: all but the [programs of units](Self::programs), of
    /// which fewer never break an invariant that more do not, and the [records](Self::journal_records), of which
    /// [so many](Self::journal_records_needed) are enough.
    /// `cuts_to_come` is whether power may be cut again.
    pub fn memory(&self, cuts_to_come: bool) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.erases.hash(&mut hasher);
        self.delivered.hash(&mut hasher);
        self.early.hash(&mut hasher);
        self.violations.len().hash(&mut hasher);
        (self.boots, self.boots_since_cut).hash(&mut hasher);
        (self.cuts, self.reverted, self.in_force.0, self.trials).hash(&mut hasher);
        (self.new_confirmed, self.was_cut, self.page_allowed).hash(&mut hasher);
        (self.first_request_of_boot, self.first_request_since_cut).hash(&mut hasher);
        self.repeated_requests.hash(&mut hasher);
        if cuts_to_come {
            self.committed_at_last_cut.hash(&mut hasher);
        }
        hasher.finish()
    }

    /// A check of `invariant` was made, here or by whoever calls.
    pub fn look_at(&mut self, invariant: Invariant) {
        self.looked_at.insert(invariant);
    }

    /// `invariant` means nothing in this case.
    pub fn excuse(&mut self, invariant: Invariant, why: &str) {
        self.excused.insert(invariant, why.to_owned());
    }

    /// The ruling on each invariant; `unjudged` is the reason if the case did not come to an end that can be judged.
    pub fn rulings(&self, unjudged: Option<&str>) -> Rulings {
        Rulings::of(|invariant| {
            let broken = self
                .violations
                .iter()
                .find(|found| found.invariant == invariant);
            if let Some(violation) = broken {
                return Ruling::Broken(violation.reason.clone());
            }
            if let Some(why) = unjudged {
                return Ruling::NotObserved(why.to_owned());
            }
            if let Some(why) = self.excused.get(&invariant) {
                return Ruling::NotObserved(why.clone());
            }
            match self.sight.lacks(invariant.needs()) {
                Some(need) => Ruling::NotObserved(format!("this board cannot show {need}")),
                None if self.looked_at.contains(&invariant) => Ruling::Held,
                None => {
                    Ruling::NotObserved(match self.sight.lacks(invariant.needs_at_all_times()) {
                        Some(need) => format!(
                            "this board cannot show {need}, and nothing else gave an occasion"
                        ),
                        None => "the case gave no occasion to check it".to_owned(),
                    })
                }
            }
        })
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
        self.look_at(Invariant::L2);
        // From here on every operation is seen: what none of them breaks has held.
        for watched in [Invariant::S2, Invariant::S3, Invariant::L1] {
            if self.sight.operations && self.sight.lacks(watched.needs_at_all_times()).is_none() {
                self.look_at(watched);
            }
        }
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

    /// Power was cut, and nothing shows what is left.
    fn after_cut_unseen(&mut self) {
        self.cuts += 1;
        self.boots_since_cut = 0;
        self.first_request_since_cut = true;
    }

    /// Power was cut; `flash` is what is left.
    pub fn after_cut(&mut self, flash: &[u8]) {
        self.after_cut_unseen();
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
}

#[cfg(test)]
mod tests;
