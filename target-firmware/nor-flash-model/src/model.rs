//! The model itself: pages, power, and the operations that change them.
use std::ops::Range;
use std::sync::Arc;

use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::cut::{Cut, CutEffect};
use crate::flicker::{Flicker, Noise};
use crate::mix::fold;
use crate::page::{Page, UnitPlace};

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

/// Why the model refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Power is gone; the caller stops here as silicon would.
    #[error("power is gone; give it back with power_on")]
    PowerLost,
    /// Address or length is not a multiple of the unit or the page.
    #[error(
        "address or length is not a multiple of the unit (to program) or of the page (to erase)"
    )]
    NotAligned,
    /// Beyond the end.
    #[error("beyond the end of flash")]
    OutOfBounds,
    /// A unit would be programmed more often than the part allows; its byte address.
    #[error("the unit at {0:#x} was programmed as often as the part allows; erase its page first")]
    ProgrammedTooOften(u32),
    /// The unit at this byte address fails to read (ECC) until it is erased.
    #[error("the unit at {0:#x} cannot be read: it was torn; erase its page first")]
    Unreadable(u32),
}

impl NorFlashError for ModelError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::PowerLost | Self::ProgrammedTooOften(_) | Self::Unreadable(_) => {
                NorFlashErrorKind::Other
            }
        }
    }
}

/// The model: `UNIT` bytes a program (at most 16), `PAGE` bytes an erase, `PROGRAMS` programs of a unit between
/// erases.
#[derive(Debug, Clone)]
pub struct NorFlashModel<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> {
    pages: Vec<Arc<Page<UNIT, PAGE>>>,
    /// What every erased page is.
    erased: Arc<Page<UNIT, PAGE>>,
    erases: Vec<u32>,
    operations: u64,
    cut: Option<Cut>,
    silent: Option<u64>,
    powered: bool,
    violations: Vec<u32>,
    log: Option<Vec<Operation>>,
    flicker: Flicker,
    /// Power-ons since the last cut, the first one 0, and looks at weak bits since then.
    boot: u32,
    look: u32,
    /// What weak bits read as, whatever the script says.
    weak_as: Option<bool>,
    /// Looks at weak bits, ever.
    weak_looks: u64,
}

impl<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8> NorFlashModel<UNIT, PAGE, PROGRAMS> {
    /// Erased flash of this many pages, powered.
    pub fn new(pages: usize) -> Self {
        const {
            assert!(UNIT > 0 && UNIT <= 16 && PAGE.is_multiple_of(UNIT) && PROGRAMS > 0);
        }
        let erased = Arc::new(Page::erased());
        Self {
            pages: vec![Arc::clone(&erased); pages],
            erased,
            erases: vec![0; pages],
            operations: 0,
            cut: None,
            silent: None,
            powered: true,
            violations: Vec::new(),
            log: None,
            flicker: Flicker::Boots(0),
            boot: 0,
            look: 0,
            weak_as: None,
            weak_looks: 0,
        }
    }

    /// Start to record operations, or start the record anew.
    pub fn start_log(&mut self) {
        self.log = Some(Vec::new());
    }

    /// Operations since [`NorFlashModel::start_log`], every one that has a number: also those that a cut or a fault
    /// kept from happening.
    pub fn log(&self) -> &[Operation] {
        self.log.as_deref().unwrap_or_default()
    }

    /// A copy of the content, power or not; weak bits are zeros in it.
    pub fn bytes(&self) -> Vec<u8> {
        self.pages
            .iter()
            .flat_map(|page| page.bytes())
            .flatten()
            .copied()
            .collect()
    }

    /// Whether flash holds exactly `bytes` from `address` on, for good: no weak bit, nothing unreadable. Power or not.
    pub fn holds(&self, address: u32, bytes: &[u8]) -> bool {
        let mut at = address as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(page) = self.pages.get(at / PAGE) else {
                return false;
            };
            let (now, later) = rest.split_at(rest.len().min(PAGE - at % PAGE));
            if !page.holds(at % PAGE, now) {
                return false;
            }
            at += now.len();
            rest = later;
        }
        true
    }

    /// What was done so far was done before the life of the device: operations and erases count from here on.
    pub fn count_anew(&mut self) {
        self.operations = 0;
        self.erases.fill(0);
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

    /// A number that says what the page with this index holds and which of its bits are weak: equal for equal content,
    /// different for different content but for one pair in 2^64, and 0 for a page that reads erased for good. It is kept
    /// up to date at each operation and costs nothing to read. It is the sum of [`NorFlashModel::unit_sum`] over its units.
    pub fn page_sum(&self, page: usize) -> u64 {
        self.pages[page].sum()
    }

    /// What the unit with this index (its address divided by `UNIT`) adds to the sum of its page.
    pub fn unit_sum(&self, unit: usize) -> u64 {
        let place = Self::place(unit);
        self.pages[place.page].unit_hash(place)
    }

    /// What these units, all in one page, add to the sum of their page. Of units that make up most of a stretch of 1 KB it
    /// costs as much as the rest of that stretch.
    pub fn units_sum(&self, units: Range<usize>) -> u64 {
        let place = Self::place(units.start);
        self.pages[place.page].sum_of(place, units.len())
    }

    /// Whether every look at these bytes, all in one page, sees the same: no bit is weak. Units may fail to read.
    pub fn is_steady_in(&self, bytes: Range<u32>) -> bool {
        let from = bytes.start as usize;
        !self.pages[from / PAGE].is_weak(from % PAGE, bytes.len())
    }

    /// How often the unit with this index was programmed since its page was erased.
    pub fn programs(&self, unit: usize) -> u8 {
        let place = Self::place(unit);
        self.pages[place.page].programs(place.unit)
    }

    /// Whether no unit of the page with this index was programmed since it was erased.
    pub fn is_untouched(&self, page: usize) -> bool {
        self.pages[page].is_untouched()
    }

    /// Whether programming the unit with this index with `bytes` would leave exactly those, for good. Whether the unit
    /// may be programmed once more is another question.
    pub fn would_hold(&self, unit: usize, bytes: &[u8]) -> bool {
        let place = Self::place(unit);
        self.pages[place.page].would_hold(place.unit, bytes)
    }

    /// Whether no bit of the page with this index is weak and no unit of it unreadable.
    pub fn is_settled(&self, page: usize) -> bool {
        self.pages[page].is_settled()
    }

    /// Whether every look at the page with this index sees the same: no bit is weak. Units may fail to read.
    pub fn is_steady(&self, page: usize) -> bool {
        self.pages[page].is_steady()
    }

    /// Whether all weak bits that one look meets read alike, zeros or ones.
    pub fn reads_weak_bits_alike(&self) -> bool {
        !matches!(self.flicker, Flicker::Random(_))
    }

    /// From now on weak bits read as ones or as zeros, whatever their script says, which stays where it is; `None`: by
    /// the script again.
    pub fn read_weak_bits_as(&mut self, ones: Option<bool>) {
        self.weak_as = ones;
    }

    /// Looks that met weak bits so far.
    pub fn weak_looks(&self) -> u64 {
        self.weak_looks
    }

    /// A number that says how weak bits will read from now on, as far as [`NorFlashModel::page_sum`] does not.
    pub fn flicker_sum(&self) -> u64 {
        self.flicker
            .parts(self.boot, self.look)
            .into_iter()
            .fold(0, fold)
    }

    const fn place(unit: usize) -> UnitPlace {
        UnitPlace {
            page: unit * UNIT / PAGE,
            unit: unit % (PAGE / UNIT),
        }
    }

    /// Plan the next loss of power; replaces what was planned.
    pub fn cut_at(&mut self, cut: Cut) {
        self.cut = Some(cut);
    }

    /// The loss of power that is planned and has not come yet.
    pub fn planned_cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Plan a fault: operation number `operation`, if it is a program, changes no bit and reports success. The unit counts
    /// as programmed once more.
    pub fn fail_silently_at(&mut self, operation: u64) {
        self.silent = Some(operation);
    }

    /// A fault: the bits of `mask` in the byte at `address` turn over, as flash loses charge with age.
    pub fn rot(&mut self, address: u32, mask: u8) {
        let (page, within) = (address as usize / PAGE, address as usize % PAGE);
        if let Some(page_of) = self.pages.get_mut(page) {
            Arc::make_mut(page_of).flip(page, within, mask);
        }
    }

    /// Whether power is on.
    pub fn is_powered(&self) -> bool {
        self.powered
    }

    /// Give power again.
    pub fn power_on(&mut self) {
        if !self.powered {
            self.boot = self.boot.wrapping_add(1);
        }
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
        if (address as usize).saturating_add(length) > self.pages.len() * PAGE {
            return Err(ModelError::OutOfBounds);
        }
        Ok(())
    }

    /// Counts an operation and does it, or what a planned cut leaves of it, through `change`.
    fn operate(
        &mut self,
        operation: Operation,
        change: impl FnOnce(&mut Arc<Page<UNIT, PAGE>>, usize, Option<CutEffect>),
    ) -> Result<(), ModelError> {
        self.operations += 1;
        if let Some(log) = &mut self.log {
            log.push(operation);
        }
        let effect = self
            .cut
            .take_if(|cut| cut.operation == self.operations)
            .map(|cut| cut.effect);
        if effect != Some(CutEffect::Before) {
            let (Operation::Program { address } | Operation::Erase { address }) = operation;
            let page = address as usize / PAGE;
            if matches!(operation, Operation::Erase { .. }) {
                self.erases[page] += 1;
            }
            change(&mut self.pages[page], page, effect);
        }
        let Some(effect) = effect else {
            return Ok(());
        };
        if let CutEffect::Weak(flicker)
        | CutEffect::HalfWeak(flicker)
        | CutEffect::Uneven(_, flicker) = effect
        {
            self.flicker = flicker;
            self.look = 0;
            // The next power-on is the script's first.
            self.boot = u32::MAX;
        }
        self.powered = false;
        Err(ModelError::PowerLost)
    }
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
        let mut at = offset as usize;
        let mut rest = bytes;
        let mut noise = None;
        while !rest.is_empty() {
            let (page, from) = (&self.pages[at / PAGE], at % PAGE);
            let (now, later) = rest.split_at_mut(rest.len().min(PAGE - from).min(rest.len()));
            if let Some(unit) = page.unreadable(from, now.len()) {
                return Err(ModelError::Unreadable((at - from + unit * UNIT) as u32));
            }
            if noise.is_none() && page.is_weak(from, now.len()) {
                self.weak_looks += 1;
                noise = Some(match self.weak_as {
                    Some(true) => Noise::Ones,
                    Some(false) => Noise::Zeros,
                    None => {
                        let noise = self.flicker.noise(self.boot, self.look);
                        self.look = self.look.wrapping_add(1);
                        noise
                    }
                });
            }
            page.read(from, now, noise);
            at += now.len();
            rest = later;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.pages.len() * PAGE
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
            let erased = Arc::clone(&self.erased);
            self.operate(
                Operation::Erase { address },
                |target, page, effect| match effect {
                    None | Some(CutEffect::After) => *target = erased,
                    Some(effect) => {
                        Arc::make_mut(target).tear_erase(page, effect, PROGRAMS, &erased);
                    }
                },
            )?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), ModelError> {
        self.check(offset, bytes.len(), UNIT)?;
        for (index, wanted) in bytes.as_chunks().0.iter().enumerate() {
            let address = offset + (index * UNIT) as u32;
            let unit = address as usize % PAGE / UNIT;
            if self.pages[address as usize / PAGE].programs(unit) >= PROGRAMS {
                self.violations.push(address);
                return Err(ModelError::ProgrammedTooOften(address));
            }
            let next = self.operations + 1;
            let fails = self.silent.take_if(|at| *at == next).is_some();
            self.operate(Operation::Program { address }, |target, page, effect| {
                let place = UnitPlace { page, unit };
                let target = Arc::make_mut(target);
                if fails {
                    target.fail_to_program(place);
                } else {
                    target.program(place, wanted, effect);
                }
            })?;
        }
        Ok(())
    }
}

impl<const UNIT: usize, const PAGE: usize> MultiwriteNorFlash for NorFlashModel<UNIT, PAGE, 2> {}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
