//! What has to be remembered of the past to judge the future: everything the oracle knows beyond flash. It takes part
//! in the merge key, so it is small and forgets what no check needs any more.
use nor_flash_model::fold;

use super::scene::FragmentLayout;

/// How sure it is that the device fetches its image anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Restart {
    /// It is under way for good, or was never begun.
    #[default]
    Settled,
    /// It was counted when its first fragment was asked for, which the device has not dealt with yet.
    Asked,
    /// Power was lost before that: the state the device asked from may have been torn and may be gone. It is not counted.
    Doubtful,
}

/// Counted over a whole schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Memory {
    /// The first fragment that may be asked for next: what is before it is in flash for good.
    pub(super) expected: u16,
    /// It was sent, and the device has not dealt with it yet.
    pub(super) in_flight: bool,
    /// The device has dealt with a fragment since the last cut: how often its units were programmed is known again.
    pub(super) progressed: bool,
    /// The fragment in flight at the last cut, or earlier if none was dealt with in between.
    pub(super) cut_in: u16,
    /// Where a silent failure may make the device go back to, once.
    pub(super) may_rewind_to: Option<u16>,
    /// The last fragment was sent.
    pub(super) all_sent: bool,
    /// Times the whole image was fetched anew.
    pub(super) restarts: u8,
    /// The first fragment of such a restart is in flight.
    pub(super) restart: Restart,
    /// The platform's first task is over.
    pub(super) is_superseded: bool,
    /// A program failed silently.
    pub(super) failed_silently: bool,
    /// A bit turned over.
    pub(super) is_rotten: bool,
    /// A bit turned over after the last fragment was received.
    pub(super) rotted_late: bool,
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
    /// Power was lost. That may cost the fragment in flight, or the fragments of its page if that one was cut before
    /// or the page is collected in RAM.
    pub(super) fn cut(&mut self, fragments: &FragmentLayout) {
        if self.restart == Restart::Asked {
            self.restart = Restart::Doubtful;
            self.restarts -= 1;
        }
        if self.in_flight {
            let again = self.cuts > 0 && !self.progressed;
            self.cut_in = if again {
                self.cut_in.min(self.expected)
            } else {
                self.expected
            };
            self.double_cuts += u8::from(again);
            if again || !fragments.are_written_through {
                self.expected = fragments.first_of_page(self.cut_in);
            }
            self.progressed = false;
        } else if !fragments.are_written_through && self.expected < fragments.count {
            self.expected = fragments.first_of_page(self.expected);
        }
        self.in_flight = false;
        self.boots = 0;
        self.rests = 0;
        self.restless = 0;
        self.cuts = self.cuts.saturating_add(1);
    }

    /// The image is fetched anew, from its first fragment on.
    pub(super) fn restarted(&mut self) {
        self.all_sent = false;
        self.restarts += 1;
        self.restart = Restart::Asked;
    }

    /// Fragment `index` of `count` is sent.
    pub(super) fn sent(&mut self, index: u16, count: u16) {
        self.all_sent |= index + 1 == count;
        self.expected = index;
        self.in_flight = true;
    }

    /// The device has dealt with the fragment in flight.
    pub(super) fn dealt_with(&mut self) {
        if self.in_flight {
            self.in_flight = false;
            self.restart = Restart::Settled;
            self.progressed = true;
            self.expected += 1;
        }
    }

    /// The platform has another task now.
    pub(super) fn supersede(&mut self) {
        self.is_superseded = true;
        self.expected = 0;
        self.in_flight = false;
        self.progressed = true;
        self.all_sent = false;
        self.restarts = 0;
        self.restart = Restart::Settled;
    }

    /// A page was erased, wholly or in part.
    pub(super) fn erased(&mut self, of_a_slot: bool) {
        if of_a_slot {
            self.slot_erases = self.slot_erases.saturating_add(1);
        } else {
            self.journal_erases = self.journal_erases.saturating_add(1);
        }
    }

    /// Pages erased so far.
    pub(super) fn erases(&self) -> u32 {
        u32::from(self.slot_erases) + u32::from(self.journal_erases)
    }

    pub(super) fn hash(&self) -> u64 {
        // The next cut looks at it only if no fragment was dealt with since the last one.
        let cut_in = if self.progressed { 0 } else { self.cut_in };
        let fragments = u64::from(self.expected)
            | u64::from(cut_in) << 16
            | u64::from(self.may_rewind_to.unwrap_or(u16::MAX)) << 32
            | u64::from(self.boots) << 48
            | u64::from(self.rests) << 56;
        let erases = u64::from(self.slot_erases)
            | u64::from(self.journal_erases) << 16
            | u64::from(self.cuts) << 32
            | u64::from(self.double_cuts) << 40
            | u64::from(self.restless) << 48
            | u64::from(self.restarts) << 56;
        let flags = [
            self.in_flight,
            self.all_sent,
            self.progressed,
            self.is_superseded,
            self.failed_silently,
            self.is_rotten,
            self.rotted_late,
        ];
        let flags = flags
            .into_iter()
            .fold(1, |bits, flag| bits << 1 | u64::from(flag));
        fold(fold(flags << 2 | self.restart as u64, fragments), erases)
    }
}
