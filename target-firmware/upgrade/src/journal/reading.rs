//! The records of a journal page, read in order up to the first bytes that are no record, blank or torn. Those end the page,
//! and nothing else is concluded from them.
use embedded_storage::nor_flash::NorFlash;

use super::page;
use super::state::{Phase, Record, SessionId, State};
use crate::flash;
use crate::seeded::{Bug, is_planted};

/// What the records of a page come to.
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Replayed {
    pub(super) state: State,
    pub(super) anchored: bool,
    pub(super) next_slot: Option<u16>,
}

/// The records of a page as far as they were read.
#[derive(Debug, Clone, Hash)]
pub(super) struct Reading {
    pub(super) session: SessionId,
    /// The next.
    pub(super) slot: u16,
    pub(super) replayed: Replayed,
    /// All so far were records.
    pub(super) goes_on: bool,
}

impl Reading {
    /// Reads one more record, if there is one at `address`.
    pub(super) fn read_next<F: NorFlash>(&mut self, flash: &mut F, address: u32) {
        let mut bytes = [0; 8];
        flash::read(flash, address, &mut bytes);
        let record = page::decode_record(self.session, self.slot, bytes);
        let Some(next) = record.and_then(|record| self.replayed.state.after(record)) else {
            self.goes_on = false;
            self.conclude_wrongly(bytes);
            return;
        };
        self.replayed.anchored = self.slot == 0 && record == Some(Record::Anchor);
        self.replayed.state = next;
        self.slot += 1;
    }

    /// The bytes behind the records mean nothing. Planted bugs conclude something from them.
    fn conclude_wrongly(&mut self, bytes: [u8; 8]) {
        let is_blank = bytes == [0xFF; 8];
        if is_planted(Bug::AppendAfterReset) && is_blank {
            self.replayed.next_slot = Some(self.slot);
        }
        if let Phase::Downloading { programs, .. } = self.replayed.state.phase
            && !is_blank
        {
            if is_planted(Bug::SlotErasedOnCrcError) {
                self.replayed.state.phase = Phase::Accepted;
            }
            if is_planted(Bug::TornRecordForgetsProgress) {
                self.replayed.state.phase = Phase::Downloading {
                    committed: 0,
                    programs,
                };
            }
        }
    }
}
