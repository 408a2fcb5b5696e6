//! The flash an explored device sees: the model, with everything read written down, and an explorer that is told of
//! each operation before it happens.
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use nor_flash_model::{ModelError, NorFlashModel, fold};
use powercut_upgrade::flash::UpgradeFlash;

use super::explorer::Explorer;
use super::fault::Fault;
use super::memory::Memory;
use super::merge::Observations;
use super::scene::Scene;

/// A flash operation that is about to happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pending<'a> {
    Program { address: u32, bytes: &'a [u8] },
    Erase { address: u32 },
}

/// `UNIT`, `PAGE`, `PROGRAMS` as in the model; `BUFFER` is the agent's page buffer.
pub(super) struct Bench<
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
    explorer: Option<&'e mut Explorer<'s, UNIT, PAGE, PROGRAMS, BUFFER>>,
    merged: bool,
    /// Faults to come.
    pub(super) faults: std::vec::IntoIter<Fault>,
}

impl<'e, 's, const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>
    Bench<'e, 's, UNIT, PAGE, PROGRAMS, BUFFER>
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
            explorer,
            merged: false,
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
                Fault::Silent { operation } => {
                    self.flash.fail_silently_at(operation);
                    let fragments = &self.scene.fragments;
                    self.memory.failed_silently = true;
                    self.memory.may_rewind_to = Some(fragments.first_of_page(self.memory.expected));
                }
                Fault::Rot { address, bit, .. } => {
                    self.flash.rot(address, 1 << bit);
                    let all_is_there = self.memory.expected >= self.scene.fragments.count;
                    self.memory.is_rotten = true;
                    self.memory.rotted_late |= all_is_there;
                }
            }
        }
    }

    /// Whether the run stopped because its state was explored before.
    pub(super) fn is_merged(&self) -> bool {
        self.merged
    }

    /// A reset, power lost or not: nothing was read yet.
    pub(super) fn reset(&mut self) {
        self.observations = Observations::NONE;
        self.merge_if_known();
    }

    fn merge_if_known(&mut self) {
        if let Some(explorer) = self.explorer.as_deref_mut() {
            let key = fold(self.flash.fingerprint(), self.observations.0);
            if !explorer.is_new(fold(key, self.memory.hash())) {
                self.merged = true;
                // The device stops as if power were gone.
                self.flash.power_off();
            }
        }
    }

    fn about_to(&mut self, pending: Pending<'_>) {
        if !self.flash.is_powered() {
            return;
        }
        self.fail();
        if let Some(explorer) = self.explorer.as_deref_mut() {
            explorer.cut_here(&self.flash, &self.memory, pending);
        }
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> ErrorType
    for Bench<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    type Error = ModelError;
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> ReadNorFlash
    for Bench<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        let done = self.flash.read(offset, bytes);
        if self.explorer.is_some() {
            self.observations
                .add(if done.is_ok() { bytes } else { b"unreadable" });
        }
        done
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> NorFlash
    for Bench<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
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
            self.merge_if_known();
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
        }
        Ok(())
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize> UpgradeFlash
    for Bench<'_, '_, UNIT, PAGE, PROGRAMS, BUFFER>
{
    const PROGRAMS_PER_UNIT: u8 = PROGRAMS;
}
