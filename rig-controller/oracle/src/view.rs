//! The view of a device at each event: where its upgrade stands, what its journal says, and whose turn it is.
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use nor_flash_model::Geometry;
use powercut_upgrade::journal::{Phase as JournalPhase, State};
use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::slots::Layout;

use crate::FlashOp;
use crate::flash_view;
use crate::oracle::Images;
use crate::phase::{Phase, phase_of};
use crate::seen::{Seen, What};
use crate::sight::{FlashSight, Sight};

/// The effect of a flash operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It takes full effect. Events that are no operations have happened in full.
    Full,
    /// A cut leaves part of it.
    Torn,
    /// A cut leaves nothing of it.
    Nothing,
}

/// An event and what was known when it was seen.
#[derive(Debug, Clone)]
pub struct Moment<'a> {
    /// The event.
    pub seen: &'a Seen<'a>,
    /// Flash, if it can be read now; before the operation, if the event is one.
    pub flash: Option<&'a [u8]>,
    /// Where the upgrade stands; `None` where flash cannot be read while the firmware runs.
    pub phase: Option<Phase>,
    /// The journal's state.
    pub journal: Option<State>,
    /// The journal's state once the operation has taken full effect.
    pub after: Option<State>,
    /// Operations so far, this one included; `None` where they cannot be seen.
    pub operations: Option<u64>,
    /// The operation's number in its phase over the whole case, from 1.
    pub number_in_phase: u64,
    /// The event is the application's first sign in this boot.
    pub starts_application: bool,
    /// The fragment of the new image that the device has to store next, going by the journal.
    pub turn: Option<FragmentIndex>,
}

/// Follows the device from event to event. A clone goes its own way from there.
#[derive(Debug, Clone)]
pub struct View {
    geometry: Geometry,
    layout: Layout,
    image_bytes: u32,
    fragment_bytes: u16,
    image: ImageId,
    marker_pin: u32,
    journal: Option<State>,
    /// Flash is shown with every event: the journal is known at all times.
    follows_flash: bool,
    /// Every operation is shown: the journal has to be read again only when one has changed it.
    follows_operations: bool,
    application: bool,
    operations: u64,
    operations_in: BTreeMap<Phase, u64>,
    resets: u64,
}

impl View {
    /// Of a device that was just provisioned with `flash`; `marker_pin` is the pin (a bit) that only an application drives.
    pub fn new(
        geometry: Geometry,
        layout: &Layout,
        images: &Images,
        sight: Sight,
        marker_pin: u32,
        flash: &[u8],
    ) -> Self {
        let new = images.new.manifest();
        Self {
            geometry,
            layout: *layout,
            image_bytes: new.size_bytes,
            fragment_bytes: new.fragment_bytes,
            image: images.new.signed().image_id(),
            marker_pin,
            journal: flash_view::journal_state(flash, geometry, layout),
            follows_flash: sight.flash == FlashSight::Always,
            follows_operations: sight.operations,
            application: false,
            operations: 0,
            operations_in: BTreeMap::new(),
            resets: 0,
        }
    }

    /// What the view remembers that decides about later moments, as a number: the journal and whose turn it is.
    pub fn memory(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.journal.hash(&mut hasher);
        self.application.hash(&mut hasher);
        hasher.finish()
    }

    /// Where the upgrade stands; `None` where that cannot be seen.
    pub fn phase(&self) -> Option<Phase> {
        self.follows_flash.then(|| self.phase_by_journal())
    }

    fn phase_by_journal(&self) -> Phase {
        let journal = self.journal.as_ref().unwrap_or(&State::EMPTY);
        phase_of(journal, self.image_bytes, self.application)
    }

    /// Flash operations so far, where they can be seen.
    pub fn operations(&self) -> Option<u64> {
        self.follows_operations.then_some(self.operations)
    }

    /// Flash operations in each phase so far.
    pub fn operations_in(&self) -> &BTreeMap<Phase, u64> {
        &self.operations_in
    }

    /// Resets without loss of power so far.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// The view at this event. Once its effect is decided, [`View::settle`] must hear of it.
    pub fn look<'a>(&mut self, seen: &'a Seen<'a>, flash: Option<&'a [u8]>) -> Moment<'a> {
        let mut number_in_phase = 0;
        let mut starts_application = false;
        // Bytes and pins tell of a boot's application only once.
        let is_asked_for = match seen.what {
            What::Byte(_) | What::Pins(_) => !self.application,
            What::Sent(_) | What::Delivered(_) => true,
            _ => false,
        };
        if !self.follows_operations
            && is_asked_for
            && let Some(flash) = flash
        {
            self.journal = flash_view::journal_state(flash, self.geometry, &self.layout);
        }
        let mut phase = self.phase();
        let mut after = self.journal;
        match &seen.what {
            What::Operation(op) => {
                self.operations = op.number;
                if let Some(phase) = phase {
                    let number = self.operations_in.entry(phase).or_default();
                    *number += 1;
                    number_in_phase = *number;
                }
                if let Some(flash) = flash
                    && self.is_journal(op)
                {
                    after = flash_view::journal_state_after(flash, self.geometry, &self.layout, op);
                }
            }
            What::Byte(_) => starts_application = self.application_runs(),
            What::Pins(pins) if pins & self.marker_pin != 0 => {
                starts_application = self.application_runs();
            }
            What::Reset(_) | What::PowerOn => {
                self.resets += u64::from(matches!(seen.what, What::Reset(_)));
                self.application = false;
                self.journal = flash.and_then(|flash| {
                    flash_view::journal_state(flash, self.geometry, &self.layout)
                });
                after = self.journal;
                phase = flash.map(|_| self.phase_by_journal());
            }
            _ => {}
        }
        if starts_application {
            phase = self.phase();
        }
        Moment {
            seen,
            flash,
            phase,
            journal: self.journal,
            after,
            operations: self.operations(),
            number_in_phase,
            starts_application,
            turn: self.turn(),
        }
    }

    /// The event of `moment` had this effect.
    pub fn settle(&mut self, moment: &Moment<'_>, effect: Effect) {
        match moment.seen.what {
            // The journal is read again when power is back.
            What::Operation(_) if effect != Effect::Full => {}
            What::Operation(_) => self.journal = moment.after,
            _ => {}
        }
    }

    fn application_runs(&mut self) -> bool {
        !std::mem::replace(&mut self.application, true)
    }

    fn is_journal(&self, op: &FlashOp) -> bool {
        (self.layout.identification.start..self.layout.active.start).contains(&op.kind.address())
    }

    fn turn(&self) -> Option<FragmentIndex> {
        let journal = self.journal.as_ref().filter(|_| self.follows_flash)?;
        let JournalPhase::Downloading { committed, .. } = journal.phase else {
            return None;
        };
        (journal.image == self.image)
            .then(|| FragmentIndex((committed / u32::from(self.fragment_bytes)) as u16))
    }
}
