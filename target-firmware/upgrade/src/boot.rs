//! The bootloader's side: decides what runs, and does what has to be done in flash before it may.
//!
//! Whatever was read from the journal is stated anew before it is acted on. STAGING is checked for signature, digest
//! and security counter before a swap is sealed; ACTIVE for digest and counter before every jump. If ACTIVE does not
//! pass, the other slot is installed if it does; if neither does, the bootloader stays and says why.
//!
//! An image that is authentic and whole may still be no program for this chip. The bootloader finds that out where it finds
//! out everything else that is wrong with a new image, when the image is to be tried: it does not jump, and puts the old
//! image back. An image that passes and then faults, hangs or restarts uses up the attempt that was recorded before the
//! jump; the watchdog, started before the jump too, ends what would not end by itself.
use crate::factory::Factory;
use crate::flash::FlashError;
use crate::image::{self, Location};
use crate::journal::{Journal, Phase, Record, State};
use crate::manifest::{SecurityCounter, SignedManifest};
use crate::seeded::{self, Bug, is_planted};
use crate::slots::{ChainLength, Layout, Placement, Slot};
use crate::swap::{self, Direction};
use crate::watched::WatchedFlash;

/// What the bootloader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Jump to the image in ACTIVE.
    Run {
        /// It runs on probation: start the watchdog first.
        trial: bool,
    },
    /// There is nothing to jump to.
    Stay(StayReason),
}

/// Why the bootloader stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StayReason {
    /// The FACTORY page is missing or damaged.
    NotProvisioned,
    /// Neither slot holds an image that may and can run.
    NoImage,
    /// Flash does not take what is written.
    Flash(FlashError),
}

/// Does everything between reset and jump. `alive` is called at least once per page read or written, to feed a
/// watchdog that an earlier trial may have left running.
pub fn boot<F: WatchedFlash>(flash: &mut F, layout: &Layout, alive: &mut dyn FnMut()) -> Outcome {
    let Ok(factory) = Factory::load(flash, layout) else {
        return Outcome::Stay(StayReason::NotProvisioned);
    };
    let journal = Journal::recover(flash, layout);
    let mut boot = Boot {
        flash,
        layout,
        factory,
        journal,
        alive,
    };
    boot.run()
        .unwrap_or_else(|error| Outcome::Stay(StayReason::Flash(error)))
}

struct Boot<'a, F> {
    flash: &'a mut F,
    layout: &'a Layout,
    factory: Factory,
    journal: Journal,
    alive: &'a mut dyn FnMut(),
}

impl<F: WatchedFlash> Boot<'_, F> {
    fn run(&mut self) -> Result<Outcome, FlashError> {
        if self.journal.is_empty() {
            return self.run_without_journal();
        }
        if seeded::is_unknown(self.journal.state()) {
            return Ok(Outcome::Stay(StayReason::NoImage));
        }
        match self.journal.state().phase {
            // Only the application acts on these, and states them anew itself.
            Phase::Accepted | Phase::Downloading { .. } => {}
            Phase::Idle | Phase::Confirmed | Phase::Reverted | Phase::Rejected => {
                self.journal.settle(self.flash)?;
            }
            phase @ (Phase::Ready
            | Phase::Swapping { .. }
            | Phase::Trial { .. }
            | Phase::Reverting { .. }) => {
                if seeded::is_reasserted(phase) {
                    self.journal.reassert(self.flash)?;
                }
            }
        }
        let mut rescued = false;
        loop {
            // Besides these there is only who the device is, and that never changes.
            self.flash
                .goes_on_with(&("bootloader", &self.journal, rescued));
            match self.journal.state().phase {
                Phase::Ready => self.begin_swap()?,
                Phase::Swapping { copies } => {
                    let chain = self.journal.state().chain;
                    if copies < chain.copies() {
                        self.copy(Direction::Install, chain, copies)?;
                    } else if let Some(outcome) = self.try_image(0)? {
                        return Ok(outcome);
                    }
                }
                Phase::Trial { attempts } => {
                    if let Some(outcome) = self.try_image(attempts)? {
                        return Ok(outcome);
                    }
                }
                Phase::Reverting { copies } => self.revert_on(copies)?,
                Phase::Idle
                | Phase::Accepted
                | Phase::Downloading { .. }
                | Phase::Confirmed
                | Phase::Reverted
                | Phase::Rejected => {
                    if self.active().is_some() {
                        return Ok(Outcome::Run { trial: false });
                    }
                    if rescued || !self.rescue()? {
                        return Ok(Outcome::Stay(StayReason::NoImage));
                    }
                    rescued = true;
                }
            }
        }
    }

    /// No image below this runs.
    fn minimum(&self) -> SecurityCounter {
        if is_planted(Bug::CounterCheckedAtOfferOnly) {
            return self.factory.minimum_security_counter;
        }
        self.journal
            .state()
            .security_counter
            .max(self.factory.minimum_security_counter)
    }

    /// The image in ACTIVE, if it is whole, allowed, and a program for this chip.
    fn active(&mut self) -> Option<SignedManifest> {
        let minimum = self.minimum();
        image::runnable(
            self.flash,
            self.layout,
            Location::ACTIVE,
            minimum,
            self.alive,
        )
        .filter(|active| {
            seeded::are_vectors_unchecked() || self.is_bootable(Location::ACTIVE, active)
        })
    }

    /// Whether the image at `location` could run once it is in ACTIVE.
    fn is_bootable(&mut self, location: Location, image: &SignedManifest) -> bool {
        let size_bytes = image.manifest().size_bytes;
        image::is_bootable(self.flash, self.layout, location, size_bytes)
    }

    /// The image at `location`, if this device may install it and it could run: something to fall back on.
    fn fallback(&mut self, location: Location) -> Option<SignedManifest> {
        self.installable(location).filter(|found| {
            is_planted(Bug::UnbootableFallback) || self.is_bootable(location, found)
        })
    }

    fn installable(&mut self, location: Location) -> Option<SignedManifest> {
        let minimum = self.minimum();
        image::installable(
            self.flash,
            self.layout,
            location,
            &self.factory,
            minimum,
            self.alive,
        )
    }

    /// An empty or unreadable journal confirms nothing: what runs must verify in full. It gets a journal, so that it
    /// is not verified in full for ever.
    fn run_without_journal(&mut self) -> Result<Outcome, FlashError> {
        if let Some(active) = self.fallback(Location::ACTIVE) {
            let counter = active.manifest().security_counter;
            self.journal
                .open(self.flash, State::confirmed(active.image_id(), counter))?;
            self.journal.append(self.flash, Record::Anchor)?;
            return Ok(Outcome::Run { trial: false });
        }
        if self.rescue()? {
            return self.run();
        }
        Ok(Outcome::Stay(StayReason::NoImage))
    }

    /// ACTIVE does not pass: if STAGING holds an image that does, set out to install it. `false` if it does not.
    fn rescue(&mut self) -> Result<bool, FlashError> {
        let state = *self.journal.state();
        let placement = state.staging_placement();
        let location = Location {
            slot: Slot::Staging,
            placement,
        };
        let Some(found) = self.fallback(location) else {
            return Ok(false);
        };
        let phase = match placement {
            Placement::Shifted(_) => Phase::Reverting { copies: 0 },
            Placement::Plain => Phase::Ready,
        };
        let image = match placement {
            Placement::Shifted(_) => state.image,
            Placement::Plain => found.image_id(),
        };
        let rescue = State {
            image,
            image_counter: found.manifest().security_counter,
            phase,
            ..state
        };
        self.journal.open(self.flash, rescue)?;
        Ok(true)
    }

    fn begin_swap(&mut self) -> Result<(), FlashError> {
        let image = self.journal.state().image;
        let staged = self
            .installable(Location::STAGING)
            .filter(|staged| staged.image_id() == image);
        let Some(staged) = staged else {
            return self.journal.append(self.flash, Record::Rejected);
        };
        let old_bytes = image::read_manifest(self.flash, self.layout, Location::ACTIVE)
            .map_or(0, |old| old.manifest().size_bytes);
        let chain = self
            .layout
            .chain_for(staged.manifest().size_bytes.max(old_bytes));
        if is_planted(Bug::SwapBeginsUnrecorded) {
            return self.begin_swap_unrecorded(chain);
        }
        self.journal.append(self.flash, Record::SwapBegin { chain })
    }

    /// How [`Bug::SwapBeginsUnrecorded`] begins.
    fn begin_swap_unrecorded(&mut self, chain: ChainLength) -> Result<(), FlashError> {
        swap::copy(self.flash, self.layout, Direction::Install, chain, 0)?;
        swap::copy(self.flash, self.layout, Direction::Install, chain, 1)?;
        self.journal
            .append(self.flash, Record::SwapBegin { chain })?;
        self.journal
            .append(self.flash, Record::Step { copies: 1 })?;
        self.journal.append(self.flash, Record::Step { copies: 2 })
    }

    fn revert_on(&mut self, copies: u16) -> Result<(), FlashError> {
        let chain = self.journal.state().chain;
        if copies == chain.copies() {
            return self.journal.append(self.flash, Record::Reverted);
        }
        self.copy(Direction::Revert, chain, copies)
    }

    fn copy(
        &mut self,
        direction: Direction,
        chain: ChainLength,
        copies: u16,
    ) -> Result<(), FlashError> {
        (self.alive)();
        let copy = seeded::copy_after(copies, chain);
        let step = Record::Step { copies: copies + 1 };
        if seeded::is_step_first(copies, chain) {
            self.journal.append(self.flash, step)?;
            return swap::copy(self.flash, self.layout, direction, chain, copy);
        }
        swap::copy(self.flash, self.layout, direction, chain, copy)?;
        self.journal.append(self.flash, step)
    }

    /// Counts one more attempt and runs the image on probation, if it is whole, can run and has attempts left; else sets
    /// out to revert.
    fn try_image(&mut self, used: u8) -> Result<Option<Outcome>, FlashError> {
        let image = self.journal.state().image;
        let active = self.active().filter(|active| active.image_id() == image);
        match active {
            Some(_) if seeded::is_attempt_free(used) => Ok(Some(Outcome::Run { trial: true })),
            Some(active) if used < active.manifest().trial_attempts => {
                self.journal
                    .append(self.flash, Record::Trial { attempts: used + 1 })?;
                Ok(Some(self.run_on_probation(&active)))
            }
            _ => {
                self.journal.append(self.flash, Record::RevertBegin)?;
                Ok(None)
            }
        }
    }

    /// Runs an image that [`Boot::active`] found to be a program.
    fn run_on_probation(&mut self, active: &SignedManifest) -> Outcome {
        if is_planted(Bug::UnbootableStays) && !self.is_bootable(Location::ACTIVE, active) {
            return Outcome::Stay(StayReason::NoImage);
        }
        Outcome::Run { trial: true }
    }
}
