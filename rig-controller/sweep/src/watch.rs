//! The oracle over a course of events, and what it has looked at.
use std::ops::Range;
use std::time::Duration;

use nor_flash_model::{CutEffect, fold};
use powercut_bench::board::kind_of;
use powercut_emulator::{Machine, Operation, PAGE_BYTES};
use powercut_oracle::ending::Ending;
use powercut_oracle::oracle::{Oracle, Violation};
use powercut_oracle::outage::Outage;
use powercut_oracle::seen::{Seen, Source, What};
use powercut_oracle::sight::Sight;
use powercut_oracle::verdict::{Invariant, Outcome};
use powercut_oracle::view::{Effect, View};
use powercut_oracle::{FlashOp, flash_view};
use powercut_upgrade::wire::ResultCode;

use crate::upgrade::Upgrade;

/// See the module's text. A clone goes its own way from there.
#[derive(Clone)]
pub(crate) struct Watch {
    oracle: Oracle,
    view: View,
    /// Flash operations since provisioning.
    pub(crate) operations: u64,
    /// Cuts so far.
    cuts: u32,
    /// The application has shown itself in this boot.
    application: bool,
    /// Somebody wants to know which bytes of flash the oracle reads.
    pub(crate) is_noting: bool,
    /// Those that nobody has heard of yet.
    reads: Vec<Range<u32>>,
}

impl Watch {
    /// Over a device fresh from the factory.
    pub(crate) fn new(upgrade: &Upgrade) -> Self {
        let (geometry, layout) = (upgrade.board.geometry, &upgrade.board.layout);
        Self {
            oracle: Oracle::new(
                geometry,
                layout,
                upgrade.images.clone(),
                upgrade.refetch_fragments_per_cut,
                Sight::EVERYTHING,
                &upgrade.flash,
            ),
            view: View::new(
                geometry,
                layout,
                &upgrade.images,
                Sight::EVERYTHING,
                upgrade.board.marker_pin.mask(),
                &upgrade.flash,
            ),
            operations: 0,
            cuts: 0,
            application: false,
            is_noting: false,
            reads: Vec::new(),
        }
    }

    /// All that judges the future but for the programs of units and the records of the journal, as a number; `cuts_to_come`
    /// is whether power may be cut again.
    pub(crate) fn memory(&self, cuts_to_come: bool) -> u64 {
        fold(self.oracle.memory(cuts_to_come), self.view.memory())
    }

    /// Changes of the journal that were enough up to now.
    pub(crate) fn records_needed(&self) -> u64 {
        self.oracle.journal_records_needed()
    }

    /// Changes of the journal so far.
    pub(crate) fn records(&self) -> u64 {
        self.oracle.journal_records()
    }

    /// Programs of each unit since its page was erased.
    pub(crate) fn programs(&self) -> &[u8] {
        self.oracle.programs()
    }

    /// Whether the upgrade is still on its way into STAGING.
    pub(crate) fn is_downloading(&self) -> bool {
        use powercut_oracle::phase::Phase;
        matches!(self.view.phase(), Some(Phase::Download | Phase::Verify))
    }

    /// The first thing that did not hold.
    pub(crate) fn violation(&self) -> Option<&Violation> {
        self.oracle.violations().first()
    }

    /// Somebody else has found a fault.
    pub(crate) fn report(&mut self, invariant: Invariant, reason: String) {
        self.oracle.report(invariant, reason);
    }

    /// Has `note` hear of all bytes of flash that were read since this was last asked.
    pub(crate) fn tell_reads(&mut self, note: &mut dyn FnMut(Range<u32>)) {
        for bytes in self.reads.drain(..) {
            note(bytes);
        }
    }

    /// The same for the footprint of a machine that does not run now.
    pub(crate) fn note_reads(&mut self, machine: &mut Machine) {
        if let Some(footprint) = machine.footprint_mut() {
            self.tell_reads(&mut |bytes| footprint.read_flash(bytes));
        }
    }

    /// The oracle hears of an event, at which flash is like this.
    pub(crate) fn read(&mut self, what: What<'_>, flash: Option<&[u8]>) {
        self.read_with(what, flash, Effect::Full);
    }

    fn read_with(&mut self, what: What<'_>, flash: Option<&[u8]>, effect: Effect) {
        let (at, by) = (Duration::ZERO, Source::Board);
        let seen = Seen { at, by, what };
        let (view, oracle) = (&mut self.view, &mut self.oracle);
        let mut judge = || {
            let moment = view.look(&seen, flash);
            oracle.read(&moment, effect);
            view.settle(&moment, effect);
        };
        if self.is_noting {
            let ((), reads) = flash_view::noting_reads(judge);
            self.reads.extend(reads);
        } else {
            judge();
        }
    }

    /// An operation has this effect on `flash`, which it has not changed yet.
    pub(crate) fn operate(&mut self, operation: Operation, effect: CutEffect, flash: &[u8]) {
        self.operations += 1;
        let effect = match effect {
            CutEffect::Before => Effect::Nothing,
            CutEffect::After => Effect::Full,
            _ => Effect::Torn,
        };
        let (number, kind) = (self.operations, kind_of(operation));
        let what = What::Operation(FlashOp { number, kind });
        self.read_with(what, Some(flash), effect);
    }

    /// The device has done something that shows that its application runs, if `is_sign`.
    pub(crate) fn sign(&mut self, what: What<'_>, is_sign: bool, flash: &[u8]) {
        if is_sign && !std::mem::replace(&mut self.application, true) {
            self.read(what, Some(flash));
        }
    }

    /// The device has reset itself, or has got power.
    pub(crate) fn boot(&mut self, what: What<'_>, flash: &[u8]) {
        self.application = false;
        self.read(what, Some(flash));
    }

    /// Power has gone, by a cut or because the device rests.
    pub(crate) fn power_off(&mut self, cut: bool) {
        self.cuts += u32::from(cut);
        let cut = cut.then_some("");
        let outage = Outage::default();
        self.read(What::PowerOff { cut, outage }, None);
    }

    /// The device rests with this flash, and has reported `result` last: the right image, the right outcome, and no more
    /// erases than needed.
    pub(crate) fn at_rest(&mut self, upgrade: &Upgrade, flash: &[u8], result: Option<ResultCode>) {
        let (geometry, layout) = (upgrade.board.geometry, &upgrade.board.layout);
        let trials = self.oracle.trials();
        let look = || Ending::of(flash, (geometry, layout), &upgrade.images, result, trials);
        let (ending, reads) = flash_view::noting_reads(look);
        if self.is_noting {
            self.reads.extend(reads);
        }
        self.oracle.at_end(ending.is_new);
        // Cuts may use up the attempts of the trial.
        let attempts = u32::from(upgrade.images.new.manifest().trial_attempts);
        let is_used_up = self.cuts >= attempts && upgrade.outcome == Outcome::Confirmed;
        let is_expected = ending.outcome == Some(upgrade.outcome)
            || (is_used_up && ending.outcome == Some(Outcome::Reverted));
        if !is_expected {
            let reason = format!(
                "the upgrade should end {}; it ended {}",
                upgrade.outcome,
                ending.in_words()
            );
            self.report(Invariant::Expectation, reason);
        }
    }
}

/// The page that an operation changes.
pub(crate) fn page_of(operation: Operation) -> usize {
    let (Operation::Program { address, .. } | Operation::Erase { address }) = operation;
    address as usize / PAGE_BYTES
}
