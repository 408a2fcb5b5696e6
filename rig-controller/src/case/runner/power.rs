//! Power in a case: on, off, cut, and what is read of flash around it.
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Run, Snapshot, Taken};
use crate::case::judge::CaseError;
use crate::plan::{Outage, Ram, Supply};
use powercut_bench::board::{Composed, Hold, Stopped};
use powercut_bench::feed::Order;
use powercut_bench::witness::Proof;
use powercut_oracle::seen::{Source, What};
use powercut_oracle::sight::FlashSight;

impl Run<'_> {
    /// Gives power. Where the board can be held, what flash holds then is the finding after a cut.
    pub(super) fn power_on(&mut self, on: &mut Composed) -> Result<(), CaseError> {
        // What an earlier boot sent must not count as said by this one.
        self.setup.platform.settle()?;
        self.told.store(false, Ordering::SeqCst);
        self.power_ons += 1;
        on.relay.on()?;
        let flash = match on.board.hold()? {
            Hold::Held => self.read_flash(on)?,
            Hold::Running => None,
        };
        if let (Some(taken), Some(after)) = (self.unread_cut.take(), &flash) {
            let after = after.clone();
            self.snapshots.push(Snapshot { taken, after });
        }
        let (by, what) = (Source::Rig, What::PowerOn);
        self.feed.tell(by, what, flash.as_deref());
        Ok(on.board.release()?)
    }

    fn read_flash(&self, on: &mut Composed) -> Result<Option<Vec<u8>>, CaseError> {
        if self.facts.sight.flash == FlashSight::Never {
            return Ok(None);
        }
        Ok(on.board.read_flash()?)
    }

    /// Takes power, or makes sure that it is gone after `cut`: by the relay, and by the witness if there is one.
    pub(super) fn power_off(
        &self,
        on: &mut Composed,
        cut: Option<&str>,
        outage: Outage,
    ) -> Result<(), CaseError> {
        match outage.supply {
            Supply::Off => on.relay.off()?,
            Supply::BrownOut => on.relay.sag()?,
        }
        if let Some(witness) = &mut on.witness
            && let Proof::StillOn(how) = witness.look()
        {
            return Err(CaseError::StillOn {
                board: on.board.name().to_owned(),
                relay: on.relay.name().to_owned(),
                witness: witness.name().to_owned(),
                how,
            });
        }
        if outage.ram != Ram::Lost && !on.board.keep_ram(outage.ram) {
            return Err(CaseError::RamNotKept {
                board: on.board.name().to_owned(),
            });
        }
        let (by, what) = (Source::Rig, What::PowerOff { cut, outage });
        self.feed.tell(by, what, None);
        Ok(())
    }

    /// The moment has come at which power is to go; it goes at once if the trigger says so.
    pub(super) fn cut_at_due(&self, on: &mut Composed) -> Result<Stopped, CaseError> {
        let flash = self.read_flash(on)?;
        let (by, what) = (Source::Rig, What::Due);
        Ok(match self.feed.tell(by, what, flash.as_deref()) {
            Order::GoOn => Stopped::TimedOut,
            Order::Cut { .. } | Order::CutAfter => Stopped::Cut,
        })
    }

    /// Power has gone, or goes now, in the cut that has fired last; the way in which it does.
    pub(super) fn after_cut(&mut self, on: &mut Composed) -> Result<Outage, CaseError> {
        let (before, fired) = {
            let mut monitor = self.monitor();
            let before = monitor.flash_before_cut.take();
            (before, monitor.trigger.fired().last().cloned())
        };
        let cut = fired.as_ref().map(|fired| fired.planned.to_string());
        let outage = fired.as_ref().map(|fired| fired.planned.outage);
        let outage = outage.unwrap_or_default();
        self.power_off(on, Some(cut.as_deref().unwrap_or_default()), outage)?;
        self.unread_cut = Some(Taken::AfterCut(before));
        if let Some(fired) = &fired {
            (self.setup.on_cut)(fired);
        }
        Ok(outage)
    }

    /// The off time is part of the case; it ends early only when the run is cancelled.
    pub(super) fn wait_off_time(&self, on: &mut Composed) {
        if on.board.rest(self.setup.case.off_time) {
            return;
        }
        let end = Instant::now() + self.setup.case.off_time;
        while Instant::now() < end && !self.setup.cancel.is_cancelled() {
            std::thread::sleep(Duration::from_millis(20).min(end - Instant::now()));
        }
    }

    /// Flash of a board that was switched off: read as it is, or once more held.
    pub(super) fn flash_at_rest(&self, on: &mut Composed) -> Result<Option<Vec<u8>>, CaseError> {
        match self.facts.sight.flash {
            FlashSight::Never => Ok(None),
            FlashSight::Always => Ok(on.board.read_flash()?),
            FlashSight::Held => {
                on.relay.on()?;
                let flash = match on.board.hold()? {
                    Hold::Held => on.board.read_flash()?,
                    Hold::Running => None,
                };
                on.relay.off()?;
                Ok(flash)
            }
        }
    }
}
