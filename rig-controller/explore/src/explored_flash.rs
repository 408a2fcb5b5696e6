//! The flash an explored device sees: the model, with everything read written down, and an explorer that is told of
//! each operation before it happens.
use std::hash::Hash;
use std::ops::Range;
use std::rc::Rc;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use nor_flash_model::{CutEffect, ModelError, NorFlashModel, fold};
use powercut_upgrade::slots::Region;
use powercut_upgrade::watched::{PageQuestion, WatchedFlash};

use super::explorer::Explorer;
use super::flash_fault::FlashFault;
use super::footprint::{Footprint, Last, Segment};
use super::memory::Memory;
use super::merge::{Known, Observations, hash_of};
use super::recall;
use super::scene::Scene;

/// Records of a page are worked out in pieces of so many bytes, as large as what the model has sums of. Smaller pages are
/// worked out at once, every time.
const PIECE_BYTES: u32 = 1024;
/// The same where the page is not full yet: the next record makes another piece of the last one.
const LAST_PIECE_BYTES: u32 = 128;

/// A flash operation that is about to happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pending<'a> {
    Program { address: u32, bytes: &'a [u8] },
    Erase { address: u32 },
}

impl Pending<'_> {
    /// What is left of it for good after a cut with this effect: see [`Segment::branched_off`].
    pub(super) fn after<const UNIT: usize, const PAGE: usize>(
        &self,
        effect: CutEffect,
    ) -> Last<'_> {
        match (effect, *self) {
            (CutEffect::Before, _) => Last::Nothing,
            (_, Pending::Program { address, bytes }) => Last::Program {
                unit: address / UNIT as u32,
                bytes,
                whole: effect == CutEffect::After,
            },
            (CutEffect::After, Pending::Erase { address }) => Last::Erase {
                page: (address / PAGE as u32) as u16,
            },
            (_, Pending::Erase { address }) => Last::TornErase {
                page: (address / PAGE as u32) as u16,
            },
        }
    }
}

/// A point where runs may meet, and what this one did from there on.
struct Meeting<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    place: u64,
    flash: NorFlashModel<UNIT, PAGE, PROGRAMS>,
    /// Schedules judged before.
    schedules: u64,
    segment: Segment,
}

/// `UNIT`, `PAGE`, `PROGRAMS` as in the model; `BUFFER` is the agent's page buffer.
pub(super) struct ExploredFlash<
    'e,
    's,
    const UNIT: usize,
    const PAGE: usize,
    const PROGRAMS: u8,
    const BUFFER: usize,
> {
    pub(super) scene: &'s Scene,
    pub(super) flash: NorFlashModel<UNIT, PAGE, PROGRAMS>,
    pub(super) memory: Memory,
    observations: Observations,
    /// A page is being asked: what is read is no observation, the answer will be.
    asking: bool,
    /// What the FACTORY page held at the reset.
    identity: u64,
    /// Operations before the reset.
    pub(super) begun: u64,
    explorer: Option<&'e mut Explorer<'s, UNIT, PAGE, PROGRAMS, BUFFER>>,
    meetings: Vec<Meeting<UNIT, PAGE, PROGRAMS>>,
    merged: Option<Known>,
    /// Faults to come.
    pub(super) faults: std::vec::IntoIter<FlashFault>,
}

impl<'e, 's, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>
    ExploredFlash<'e, 's, UNIT, PAGE, PROGRAMS, BUFFER>
{
    pub(super) fn new(
        scene: &'s Scene,
        flash: NorFlashModel<UNIT, PAGE, PROGRAMS>,
        memory: Memory,
        explorer: Option<&'e mut Explorer<'s, UNIT, PAGE, PROGRAMS, BUFFER>>,
    ) -> Self {
        Self {
            scene,
            flash,
            memory,
            observations: Observations::NONE,
            asking: false,
            identity: 0,
            begun: 0,
            explorer,
            meetings: Vec::new(),
            merged: None,
            faults: Vec::new().into_iter(),
        }
    }

    /// The faults that come with the operation about to happen.
    fn fail(&mut self) {
        let operation = self.flash.operations() + 1;
        while let Some(fault) = self.faults.as_slice().first().copied()
            && fault.operation() <= operation
        {
            self.faults.next();
            match fault {
                FlashFault::Silent { operation } => {
                    self.flash.fail_silently_at(operation);
                    let fragments = &self.scene.fragments;
                    self.memory.failed_silently = true;
                    self.memory.may_rewind_to = Some(fragments.first_of_page(self.memory.expected));
                }
                FlashFault::Rot { address, bit, .. } => {
                    self.flash.rot(address, 1 << bit);
                    let all_is_there = self.memory.expected >= self.scene.fragments.count;
                    self.memory.is_rotten = true;
                    self.memory.rotted_late |= all_is_there;
                }
            }
        }
    }

    /// Who is told of each operation.
    pub(super) fn explorer(&mut self) -> Option<&mut Explorer<'s, UNIT, PAGE, PROGRAMS, BUFFER>> {
        self.explorer.as_deref_mut()
    }

    /// Schedules in the future that the run stopped at because it was explored before.
    pub(super) fn merged(&self) -> Option<u64> {
        self.merged.as_ref().map(|known| known.schedules)
    }

    /// A reset, power lost or not: nothing was read yet.
    pub(super) fn reset(&mut self) {
        self.observations = Observations::NONE;
        let factory = self.scene.layout.factory;
        let page = factory.start / PAGE as u32;
        self.identity = self.flash.page_sum(page as usize);
        self.begun = self.flash.operations();
        self.meet(None);
    }

    /// Device and platform go on with `state`; of what was read before, nothing else matters.
    pub(super) fn stands_at(&mut self, state: &impl Hash) {
        if self
            .explorer
            .as_ref()
            .is_none_or(|explorer| !explorer.merges())
        {
            return;
        }
        // Who the device is was read too. It stays as it was read, even where a bug writes over it. Whether the boot
        // has written anything decides whether it counts as quiet.
        let is_quiet = self.flash.operations() == self.begun;
        let state = fold(hash_of(state), self.identity ^ u64::from(is_quiet));
        self.observations = Observations::since(state);
        self.meet(None);
    }

    /// The answer of a page with weak bits, if it is the same however they read.
    fn ask_either_way<R: Hash>(&mut self, ask: impl Fn(&mut Self) -> R) -> Option<R> {
        let answers = [false, true].map(|ones| {
            self.flash.read_weak_bits_as(Some(ones));
            let looks = self.flash.weak_looks();
            let answer = ask(self);
            // Two looks may differ from each other: more than these two ways.
            (answer, self.flash.weak_looks() - looks <= 1)
        });
        self.flash.read_weak_bits_as(None);
        let is_one = answers.iter().all(|(_, alike)| *alike)
            && hash_of(&answers[0].0) == hash_of(&answers[1].0);
        let [(answer, _), _] = answers;
        is_one.then_some(answer)
    }

    /// The oracle looked at all pages of this region.
    pub(super) fn looked_at(&mut self, region: Region) {
        if let Some(meeting) = self.meetings.last_mut() {
            let first = (region.start / PAGE as u32) as u16;
            meeting.segment.read_pages(first, first + region.pages);
        }
    }

    /// The oracle looked at so many bytes from `address` on, and at nothing else.
    pub(super) fn looked_at_bytes(&mut self, address: u32, length: u32) {
        if let Some(meeting) = self.meetings.last_mut() {
            let unit = UNIT as u32;
            let end = (address + length).min(self.flash.capacity() as u32);
            meeting.segment.read(address / unit, end.div_ceil(unit));
        }
    }

    /// Stops if this future was explored; `fresh` is the page that was erased just now.
    fn meet(&mut self, fresh: Option<u16>) {
        let Some(explorer) = self
            .explorer
            .as_deref_mut()
            .filter(|explorer| explorer.merges())
        else {
            return;
        };
        let place = fold(self.observations.0, self.memory.hash());
        if let Some(known) = explorer.known(place, &self.flash) {
            self.merged = Some(known);
            // The device stops as if power were gone.
            self.flash.power_off();
            return;
        }
        let pages = self.flash.capacity() / PAGE;
        self.meetings.push(Meeting {
            place,
            flash: self.flash.clone(),
            schedules: explorer.counts.schedules,
            segment: Segment::new(pages, PAGE / UNIT, fresh),
        });
    }

    fn about_to(&mut self, pending: Pending<'_>) {
        if !self.flash.is_powered() {
            return;
        }
        self.fail();
        if let Some(explorer) = self.explorer.as_deref_mut() {
            let segment = self.meetings.last_mut().map(|meeting| &mut meeting.segment);
            explorer.cut_here(&self.flash, &self.memory, pending, segment);
        }
    }

    /// The run is over and was judged: what comes of it is learnt. The footprint from its first meeting on.
    pub(super) fn conclude(mut self) -> Rc<Footprint> {
        let Some(explorer) = self.explorer else {
            return Rc::new(Footprint::empty());
        };
        if let Some(known) = &self.merged {
            // Most runs do nothing before they meet another one.
            while let Some(meeting) = self.meetings.pop_if(|meeting| {
                meeting.flash.operations() == self.flash.operations()
                    && meeting.flash.weak_looks() == self.flash.weak_looks()
                    && meeting.segment.is_part_of(&known.footprint)
            }) {
                explorer.learn_also(meeting.place, known, meeting.schedules);
            }
        }
        let mut later = self
            .merged
            .map_or_else(|| Rc::new(Footprint::empty()), |known| known.footprint);
        for meeting in self.meetings.into_iter().rev() {
            let footprint = meeting.segment.footprint(&later);
            later = explorer.learn(meeting.place, &meeting.flash, footprint, meeting.schedules);
        }
        later
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> ErrorType
    for ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    type Error = ModelError;
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> ReadNorFlash
    for ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        let done = self.flash.read(offset, bytes);
        if self.explorer.is_some() && !self.asking && self.flash.is_powered() {
            self.observations
                .add(if done.is_ok() { bytes } else { b"unreadable" });
            if let Some(meeting) = self.meetings.last_mut() {
                // Beyond the end there is nothing to depend on: such a read always fails.
                let end = offset.saturating_add(bytes.len() as u32);
                let end = end.min(self.flash.capacity() as u32);
                let unit = UNIT as u32;
                meeting.segment.read(offset / unit, end.div_ceil(unit));
            }
        }
        done
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> NorFlash
    for ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        for address in (from..to).step_by(PAGE) {
            self.about_to(Pending::Erase { address });
            let before = self.flash.erases().iter().sum::<u32>();
            let done = self.flash.erase(address, address + PAGE as u32);
            if self.flash.erases().iter().sum::<u32>() > before {
                self.memory
                    .erased(address >= self.scene.layout.active.start);
            }
            done?;
            let page = (address / PAGE as u32) as u16;
            if let Some(meeting) = self.meetings.last_mut() {
                meeting.segment.erase(page);
            }
            self.observations.add_erase(page);
            self.meet(Some(page));
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        let is_watched = self.explorer.is_some() || self.faults.len() > 0;
        if !is_watched || !bytes.len().is_multiple_of(UNIT) {
            return self.flash.write(offset, bytes);
        }
        for (index, bytes) in bytes.chunks_exact(UNIT).enumerate() {
            let address = offset + (index * UNIT) as u32;
            self.about_to(Pending::Program { address, bytes });
            self.flash.write(address, bytes)?;
            if let Some(meeting) = self.meetings.last_mut() {
                meeting.segment.program(address / UNIT as u32, bytes);
            }
        }
        Ok(())
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> WatchedFlash
    for ExploredFlash<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    const PROGRAMS_PER_UNIT: u8 = PROGRAMS;

    fn goes_on_with(&mut self, state: &impl Hash) {
        self.stands_at(state);
    }

    fn ask<R: Hash>(
        &mut self,
        page: u32,
        question: PageQuestion,
        ask: impl Fn(&mut Self) -> R,
    ) -> R {
        let index = page as usize / PAGE;
        if !self.flash.is_powered() {
            return ask(self);
        }
        let is_steady = self.flash.is_steady(index);
        if !is_steady && !self.flash.reads_weak_bits_alike() {
            return ask(self);
        }
        self.asking = true;
        let answer = if is_steady {
            Some(ask(self))
        } else {
            self.ask_either_way(&ask)
        };
        self.asking = false;
        let Some(answer) = answer else {
            return ask(self);
        };
        if let Some(explorer) = self.explorer.as_deref_mut() {
            let hash = hash_of(&answer);
            self.observations.add_answer(question as u64, hash);
            if let Some(answers) = explorer.answers() {
                answers.learn(question, index as u16, self.flash.page_sum(index), hash);
            }
            if let Some(meeting) = self.meetings.last_mut() {
                meeting.segment.ask(index as u16, question);
            }
        }
        answer
    }

    fn ask_about(
        &mut self,
        pages: impl Iterator<Item = u32> + Clone,
        asked: &impl Hash,
        look: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let pages = pages.map(|address| address as usize / PAGE);
        let is_settled = || pages.clone().all(|page| self.flash.is_settled(page));
        if !recall::remembers() || !self.flash.is_powered() || !is_settled() {
            return look(self);
        }
        let asked = hash_of(asked);
        let content = pages
            .clone()
            .map(|page| self.flash.page_sum(page))
            .fold(asked, fold);
        self.asking = true;
        let answer = recall::recall(content, || look(self));
        self.asking = false;
        self.observations.add_answer(asked, u64::from(answer));
        if let Some(meeting) = self.meetings.last_mut() {
            for page in pages {
                meeting.segment.read_pages(page as u16, page as u16 + 1);
            }
        }
        answer
    }

    fn work_out(&mut self, input: &impl Hash, work: impl FnOnce() -> bool) -> bool {
        if !recall::remembers() {
            return work();
        }
        recall::recall(hash_of(input), work)
    }

    fn work_out_from<S: Hash + Clone + 'static>(
        &mut self,
        addresses: Range<u32>,
        state: &mut S,
        work: impl FnOnce(&mut Self, &mut S),
    ) {
        if PAGE <= PIECE_BYTES as usize
            || !recall::remembers()
            || !self.flash.is_powered()
            || !self.flash.is_steady_in(addresses.clone())
        {
            work(self, state);
            return;
        }
        let unit = UNIT as u32;
        let units = addresses.start / unit..addresses.end.div_ceil(unit);
        let content = self
            .flash
            .units_sum(units.start as usize..units.end as usize);
        // Blank units add nothing to the sum: which bytes they are counts too.
        let which = u64::from(addresses.start) << 32 | u64::from(addresses.end);
        let key = fold(fold(hash_of(state), which), content);
        let was_asking = std::mem::replace(&mut self.asking, true);
        *state = recall::recall_piece(key, || {
            let mut state = state.clone();
            work(self, &mut state);
            state
        });
        self.asking = was_asking;
        if self.explorer.is_some() && !was_asking {
            self.observations.add_answer(key, hash_of(state));
            if let Some(meeting) = self.meetings.last_mut() {
                meeting.segment.read(units.start, units.end);
            }
        }
    }

    fn piece_end(&self, address: u32) -> Option<u32> {
        if PAGE <= PIECE_BYTES as usize {
            return None;
        }
        let end = (address / PIECE_BYTES + 1) * PIECE_BYTES;
        let is_full = self.flash.unit_sum(end as usize / UNIT - 1) != 0;
        if is_full && self.flash.is_steady_in(address..end) {
            return Some(end);
        }
        Some((address / LAST_PIECE_BYTES + 1) * LAST_PIECE_BYTES)
    }
}
