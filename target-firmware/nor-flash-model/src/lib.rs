//! A NOR flash in memory that behaves like the real thing where it hurts: it counts programs of every unit and
//! refuses more than the part allows, refuses what is not aligned, logs every operation, and loses power before,
//! after or in the middle of any operation.
//!
//! One *operation* is the program of one write unit or the erase of one page; operations are numbered from 1 over
//! the life of the model. Once power is lost every call fails with [`ModelError::PowerLost`] until
//! [`NorFlashModel::power_on`].
//!
//! ```
//! use embedded_storage::nor_flash::NorFlash;
//! use nor_flash_model::{Cut, CutEffect, ModelError, NorFlashModel};
//!
//! // 4-byte units, 1 KiB pages, two programs per unit (as on nRF51).
//! let mut flash = NorFlashModel::<4, 1024, 2>::new(8);
//! flash.cut_at(Cut { operation: 2, effect: CutEffect::Before });
//! assert_eq!(flash.write(0, &[0; 8]), Err(ModelError::PowerLost));
//! flash.power_on();
//! assert_eq!(flash.bytes()[..8], [0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
//! ```
use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// What an operation did, or was about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The unit at this byte address was programmed.
    Program {
        /// Byte address of the unit.
        address: u32,
    },
    /// The page at this byte address was erased.
    Erase {
        /// Byte address of the page.
        address: u32,
    },
}

/// What a cut leaves of the operation it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutEffect {
    /// Nothing of it.
    Before,
    /// All of it.
    After,
    /// Program: the first half of the unit's bytes. Erase: the first half of the page.
    TornFirstHalf,
    /// Program: the second half of the unit's bytes. Erase: the second half of the page.
    TornSecondHalf,
    /// Of the bits that were to change, those that this seed picks (each with one half).
    TornBits(u64),
}

/// One planned loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Number of the operation it hits, from 1.
    pub operation: u64,
    /// What is left of that operation.
    pub effect: CutEffect,
}

/// Why the model refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelError {
    /// Power is gone; the caller stops here as silicon would.
    PowerLost,
    /// Address or length is not a multiple of the unit or the page.
    NotAligned,
    /// Beyond the end.
    OutOfBounds,
    /// A unit would be programmed more often than the part allows; its byte address.
    ProgrammedTooOften(u32),
}

impl NorFlashError for ModelError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::PowerLost | Self::ProgrammedTooOften(_) => NorFlashErrorKind::Other,
        }
    }
}

/// The model: `UNIT` bytes a program, `PAGE` bytes an erase, `PROGRAMS` programs of a unit between erases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NorFlashModel<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    bytes: Vec<u8>,
    programs: Vec<u8>,
    erases: Vec<u32>,
    operations: u64,
    cut: Option<Cut>,
    powered: bool,
    violations: Vec<u32>,
    log: Option<Vec<Operation>>,
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> NorFlashModel<UNIT, PAGE, PROGRAMS> {
    /// Erased flash of this many pages, powered.
    pub fn new(pages: usize) -> Self {
        const {
            assert!(UNIT > 0 && PAGE.is_multiple_of(UNIT) && PROGRAMS > 0);
        }
        Self {
            bytes: vec![0xFF; pages * PAGE],
            programs: vec![0; pages * PAGE / UNIT],
            erases: vec![0; pages],
            operations: 0,
            cut: None,
            powered: true,
            violations: Vec::new(),
            log: None,
        }
    }

    /// Start to record operations, or start the record anew.
    pub fn start_log(&mut self) {
        self.log = Some(Vec::new());
    }

    /// Operations since [`NorFlashModel::start_log`].
    pub fn log(&self) -> &[Operation] {
        self.log.as_deref().unwrap_or_default()
    }

    /// Content, power or not.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Erases of each page so far.
    pub fn erases(&self) -> &[u32] {
        &self.erases
    }

    /// Byte addresses of units somebody tried to program too often. The attempt was refused.
    pub fn violations(&self) -> &[u32] {
        &self.violations
    }

    /// Plan the next loss of power; replaces what was planned.
    pub fn cut_at(&mut self, cut: Cut) {
        self.cut = Some(cut);
    }

    /// Whether power is on.
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Give power again.
    pub fn power_on(&mut self) {
        self.powered = true;
    }

    /// Take power between operations.
    pub fn power_off(&mut self) {
        self.powered = false;
    }

    fn check(&self, address: u32, length: usize, align: usize) -> Result<(), ModelError> {
        if !self.powered {
            return Err(ModelError::PowerLost);
        }
        if !(address as usize).is_multiple_of(align) || !length.is_multiple_of(align) {
            return Err(ModelError::NotAligned);
        }
        if (address as usize).saturating_add(length) > self.bytes.len() {
            return Err(ModelError::OutOfBounds);
        }
        Ok(())
    }

    /// Runs one operation that turns `target` at `at` into `wanted`, or what a cut leaves of it.
    fn operate(
        &mut self,
        operation: Operation,
        at: usize,
        wanted: &[u8],
    ) -> Result<(), ModelError> {
        self.operations += 1;
        let effect = self
            .cut
            .take_if(|cut| cut.operation == self.operations)
            .map(|cut| cut.effect);
        if effect != Some(CutEffect::Before) {
            match operation {
                Operation::Program { address } => self.programs[address as usize / UNIT] += 1,
                Operation::Erase { address } => {
                    let page = address as usize / PAGE;
                    self.erases[page] += 1;
                    self.programs[page * PAGE / UNIT..(page + 1) * PAGE / UNIT].fill(0);
                }
            }
            if let Some(log) = &mut self.log {
                log.push(operation);
            }
        }
        let target = &mut self.bytes[at..at + wanted.len()];
        let half = wanted.len() / 2;
        match effect {
            Some(CutEffect::Before) => {}
            None | Some(CutEffect::After) => target.copy_from_slice(wanted),
            Some(CutEffect::TornFirstHalf) => target[..half].copy_from_slice(&wanted[..half]),
            Some(CutEffect::TornSecondHalf) => target[half..].copy_from_slice(&wanted[half..]),
            Some(CutEffect::TornBits(seed)) => {
                let mut random = seed;
                for (byte, wanted) in target.iter_mut().zip(wanted) {
                    let mask = split_mix(&mut random).to_le_bytes()[0];
                    *byte = (*byte & !mask) | (wanted & mask);
                }
            }
        }
        if effect.is_some() {
            self.powered = false;
            return Err(ModelError::PowerLost);
        }
        Ok(())
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ErrorType
    for NorFlashModel<UNIT, PAGE, PROGRAMS>
{
    type Error = ModelError;
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> ReadNorFlash
    for NorFlashModel<UNIT, PAGE, PROGRAMS>
{
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), ModelError> {
        self.check(offset, bytes.len(), 1)?;
        bytes.copy_from_slice(&self.bytes[offset as usize..offset as usize + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> NorFlash
    for NorFlashModel<UNIT, PAGE, PROGRAMS>
{
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), ModelError> {
        self.check(from, to.saturating_sub(from) as usize, PAGE)?;
        for address in (from..to).step_by(PAGE) {
            self.operate(
                Operation::Erase { address },
                address as usize,
                &[0xFF; PAGE],
            )?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        self.check(offset, bytes.len(), UNIT)?;
        for (index, wanted) in bytes.chunks_exact(UNIT).enumerate() {
            let at = offset as usize + index * UNIT;
            let address = at as u32;
            if self.programs[at / UNIT] >= PROGRAMS {
                self.violations.push(address);
                return Err(ModelError::ProgrammedTooOften(address));
            }
            let mut programmed = [0; UNIT];
            for (programmed, (old, new)) in programmed
                .iter_mut()
                .zip(self.bytes[at..].iter().zip(wanted))
            {
                *programmed = old & new;
            }
            self.operate(Operation::Program { address }, at, &programmed)?;
        }
        Ok(())
    }
}

impl<const UNIT: usize, const PAGE: usize> MultiwriteNorFlash for NorFlashModel<UNIT, PAGE, 2> {}

#[cfg(test)]
mod tests {
    use super::*;

    type Nrf51 = NorFlashModel<4, 1024, 2>;

    #[test]
    fn a_program_only_clears_bits_and_the_third_of_a_unit_is_refused() {
        let mut flash = Nrf51::new(2);
        flash.write(4, &[0xF0; 4]).unwrap();
        flash.write(4, &[0x3F; 4]).unwrap();
        assert_eq!(flash.bytes()[4..8], [0x30; 4]);
        assert_eq!(
            flash.write(4, &[0; 4]),
            Err(ModelError::ProgrammedTooOften(4))
        );
        assert_eq!(flash.violations(), [4]);
        flash.erase(0, 1024).unwrap();
        assert_eq!(flash.bytes()[4..8], [0xFF; 4]);
        flash.write(4, &[0; 4]).unwrap();
        assert_eq!(flash.erases(), [1, 0]);
    }

    #[test]
    fn a_write_once_part_refuses_the_second_program() {
        let mut flash = NorFlashModel::<8, 2048, 1>::new(1);
        flash.write(0, &[1; 8]).unwrap();
        assert_eq!(
            flash.write(0, &[1; 8]),
            Err(ModelError::ProgrammedTooOften(0))
        );
    }

    #[test]
    fn a_torn_operation_leaves_part_of_itself_and_nothing_works_until_power_is_back() {
        let mut flash = Nrf51::new(1);
        flash.cut_at(Cut {
            operation: 1,
            effect: CutEffect::TornFirstHalf,
        });
        assert_eq!(flash.write(0, &[0; 8]), Err(ModelError::PowerLost));
        assert_eq!(
            flash.bytes()[..8],
            [0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]
        );
        assert_eq!(flash.read(0, &mut [0; 4]), Err(ModelError::PowerLost));
        flash.power_on();
        flash.cut_at(Cut {
            operation: 2,
            effect: CutEffect::TornSecondHalf,
        });
        assert_eq!(flash.erase(0, 1024), Err(ModelError::PowerLost));
        assert_eq!(
            flash.bytes()[..4],
            [0, 0, 0xFF, 0xFF],
            "only the page's second half was erased"
        );
    }

    #[test]
    fn torn_bits_lie_between_old_and_new_and_depend_on_the_seed_alone() {
        let torn = |seed| {
            let mut flash = Nrf51::new(1);
            flash.cut_at(Cut {
                operation: 1,
                effect: CutEffect::TornBits(seed),
            });
            let _ = flash.write(0, &[0; 4]);
            u32::from_le_bytes(flash.bytes()[..4].try_into().unwrap())
        };
        assert_eq!(torn(7), torn(7));
        assert_ne!(torn(7), torn(8));
        assert!(torn(7) != 0 && torn(7) != u32::MAX);
    }

    #[test]
    fn unaligned_and_out_of_range_accesses_are_refused() {
        let mut flash = Nrf51::new(1);
        assert_eq!(flash.write(2, &[0; 4]), Err(ModelError::NotAligned));
        assert_eq!(flash.write(0, &[0; 3]), Err(ModelError::NotAligned));
        assert_eq!(flash.erase(0, 512), Err(ModelError::NotAligned));
        assert_eq!(flash.write(1024, &[0; 4]), Err(ModelError::OutOfBounds));
        assert_eq!(flash.operations(), 0);
    }
}
