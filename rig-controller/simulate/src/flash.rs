//! Flash that takes time: the model, with the times of a part, and power that may go in the middle of an operation.
use std::hash::Hash;
use std::time::Duration;

use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use nor_flash_model::{Cut, CutEffect, ModelError, NorFlashModel};
use powercut_upgrade::watched::WatchedFlash;

use super::clock::Clock;
use super::simulated_part::SimulatedPart;

/// The device's flash and the run's clock.
pub(super) struct TimedFlash<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    pub(super) model: NorFlashModel<UNIT, PAGE, PROGRAMS>,
    pub(super) clock: Clock,
    part: SimulatedPart,
    /// Power goes when this much time was spent with it, and an operation that is under way then is left like this.
    pub(super) cut_at: Option<(Duration, CutEffect)>,
    /// Somebody looks who is not the device: it takes no time.
    pub(super) for_free: bool,
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> TimedFlash<UNIT, PAGE, PROGRAMS> {
    pub(super) fn new(model: NorFlashModel<UNIT, PAGE, PROGRAMS>, part: SimulatedPart) -> Self {
        Self {
            model,
            clock: Clock::new(),
            part,
            cut_at: None,
            for_free: false,
        }
    }

    /// Spends time on something that power may go in; `false` without power.
    pub(super) fn spend(&mut self, time: Duration) -> bool {
        if self.for_free || !self.model.is_powered() {
            return self.model.is_powered();
        }
        if let Some((at, _)) = self.cut_at
            && self.clock.powered() + time >= at
        {
            self.clock.pass(at.saturating_sub(self.clock.powered()));
            self.cut_at = None;
            self.model.power_off();
            return false;
        }
        self.clock.pass(time);
        true
    }

    /// Spends the time of one operation; if power goes meanwhile, the model is told what is left of it.
    fn operate(&mut self, time: Duration) {
        if self.for_free || !self.model.is_powered() {
            return;
        }
        if let Some((at, effect)) = self.cut_at
            && self.clock.powered() + time >= at
        {
            self.clock.pass(at.saturating_sub(self.clock.powered()));
            self.cut_at = None;
            let operation = self.model.operations() + 1;
            self.model.cut_at(Cut { operation, effect });
        } else {
            self.clock.pass(time);
        }
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ErrorType
    for TimedFlash<UNIT, PAGE, PROGRAMS>
{
    type Error = ModelError;
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ReadNorFlash
    for TimedFlash<UNIT, PAGE, PROGRAMS>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        self.spend(self.part.hash_a_byte * bytes.len() as u32);
        self.model.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.model.capacity()
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> NorFlash
    for TimedFlash<UNIT, PAGE, PROGRAMS>
{
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        for address in (from..to).step_by(PAGE) {
            self.operate(self.part.erase);
            self.model.erase(address, address + PAGE as u32)?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        if !bytes.len().is_multiple_of(UNIT) {
            return self.model.write(offset, bytes);
        }
        for (address, unit) in (offset..).step_by(UNIT).zip(bytes.chunks_exact(UNIT)) {
            self.operate(self.part.program);
            self.model.write(address, unit)?;
        }
        Ok(())
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> WatchedFlash
    for TimedFlash<UNIT, PAGE, PROGRAMS>
{
    const PROGRAMS_PER_UNIT: u8 = PROGRAMS;

    fn work_out(&mut self, _input: &impl Hash, work: impl FnOnce() -> bool) -> bool {
        // The one thing the core works out that takes long is a signature.
        self.spend(self.part.signature) && work()
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::SimulatedStage;
    use nor_flash_model::TornShape;

    use super::*;

    fn flash() -> TimedFlash<4, 1024, 2> {
        let [nrf51, ..] = SimulatedPart::ALL;
        let mut flash = TimedFlash::new(NorFlashModel::new(4), nrf51);
        flash.clock.enter(SimulatedStage::Download, 0);
        flash
    }

    #[test]
    fn operations_take_the_part_s_time() {
        let mut flash = flash();
        flash.erase(0, 2048).unwrap();
        flash.write(0, &[0; 40]).unwrap();
        let expected = Duration::from_micros(2 * 22_300 + 463);
        assert_eq!(flash.clock.now(), expected);
        flash.read(0, &mut [0; 100]).unwrap();
        assert_eq!(flash.clock.now(), expected + Duration::from_micros(400));
    }

    #[test]
    fn power_that_goes_in_the_middle_of_an_operation_tears_it() {
        let mut flash = flash();
        flash.cut_at = Some((
            Duration::from_micros(100),
            CutEffect::Torn(TornShape::Prefix(2)),
        ));
        assert_eq!(flash.write(0, &[0; 40]), Err(ModelError::PowerLost));
        assert_eq!(flash.clock.now(), Duration::from_micros(100));
        let written: Vec<u8> = flash.model.bytes()[..12].to_vec();
        assert_eq!(written, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]);
    }

    #[test]
    fn power_that_goes_while_the_cpu_works_leaves_flash_alone() {
        let mut flash = flash();
        flash.cut_at = Some((Duration::from_millis(20), CutEffect::Torn(TornShape::Half)));
        assert!(flash.spend(Duration::from_millis(19)));
        assert!(!flash.spend(Duration::from_millis(19)));
        assert_eq!(flash.clock.now(), Duration::from_millis(20));
        assert_eq!(flash.read(0, &mut [0; 4]), Err(ModelError::PowerLost));
        assert_eq!(flash.model.operations(), 0);
    }
}
