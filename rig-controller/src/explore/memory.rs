//! What has to be remembered of the past to judge the future: everything the oracle knows beyond flash. It takes part
//! in the merge key, so it is small and forgets what no check needs any more.
use nor_flash_model::fold;

/// Counted over a whole schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Memory {
    /// Fragments the device has received, all up to this one.
    pub(super) received: u16,
    /// The same at the last cut, until two more came: one that comes after a cut need not be recorded when the next cut
    /// comes, the second proves that it is.
    pub(super) received_at_cut: Option<u16>,
    /// Fragments that may be asked for again, by the cuts since a new one was asked for.
    pub(super) may_fetch_again: u16,
    /// Boots since the last cut.
    pub(super) boots: u8,
    /// Boots in a row that ended with nothing left to do.
    pub(super) rests: u8,
    /// Those among them, but for the first, that wrote to flash.
    pub(super) restless: u8,
    /// Cuts so far.
    pub(super) cuts: u8,
    /// Cuts in a fragment that was cut before.
    pub(super) double_cuts: u8,
    /// Erases of pages of ACTIVE and STAGING.
    pub(super) slot_erases: u16,
    /// Erases of journal pages.
    pub(super) journal_erases: u16,
}

impl Memory {
    /// Power was lost. That may cost `unit` fragments, or `page` if no progress was recorded since the last cut: the
    /// fragment received last need not be.
    pub(super) fn cut(&mut self, unit: u16, page: u16) {
        let twice = self.received_at_cut.is_some();
        self.may_fetch_again += if twice { page.max(unit) } else { unit };
        self.double_cuts += u8::from(twice);
        self.received_at_cut = Some(self.received);
        self.boots = 0;
        self.rests = 0;
        self.restless = 0;
        self.cuts = self.cuts.saturating_add(1);
    }

    /// Fragment `index` is asked for and will be received.
    pub(super) fn asked(&mut self, index: u16) {
        if index < self.received {
            return;
        }
        self.received = index + 1;
        self.may_fetch_again = 0;
        self.received_at_cut = self
            .received_at_cut
            .filter(|at_cut| self.received <= at_cut + 1);
    }

    /// A page was erased, wholly or in part.
    pub(super) fn erased(&mut self, of_a_slot: bool) {
        if of_a_slot {
            self.slot_erases = self.slot_erases.saturating_add(1);
        } else {
            self.journal_erases = self.journal_erases.saturating_add(1);
        }
    }

    pub(super) fn hash(&self) -> u64 {
        let counts = u64::from(self.received)
            | u64::from(self.received_at_cut.unwrap_or(u16::MAX)) << 16
            | u64::from(self.may_fetch_again) << 32
            | u64::from(self.boots) << 48
            | u64::from(self.rests) << 56;
        let erases = u64::from(self.slot_erases)
            | u64::from(self.journal_erases) << 16
            | u64::from(self.cuts) << 32
            | u64::from(self.double_cuts) << 40
            | u64::from(self.restless) << 48;
        fold(fold(1, counts), erases)
    }
}
