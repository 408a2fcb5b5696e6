//! The chip's own flash behind `embedded_storage`, through the non-volatile memory controller.
//!
//! Pages of 1 KB, words of 4 bytes, each programmable twice between erases (a program can only clear bits). Words
//! are programmed one by one in address order, so that a power cut falls between two. The CPU stops meanwhile:
//! about 46 us a word, 22 ms a page.

use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use crate::register::Register;
use crate::seeded::{self, Bug};

const NVMC: u32 = 0x4001_E000;
const READY: Register = Register::at(NVMC, 0x400);
const CONFIG: Register = Register::at(NVMC, 0x504);
const ERASE_PAGE: Register = Register::at(NVMC, 0x508);

const READ_ONLY: u32 = 0;
const WRITE_ENABLED: u32 = 1;
const ERASE_ENABLED: u32 = 2;

const CAPACITY_BYTES: u32 = 256 * 1024;
const WORD_BYTES: u32 = 4;

/// Bytes in one erase page.
pub const PAGE_BYTES: u32 = 1024;

/// The whole code memory; offset 0 is address 0.
pub struct Flash(());

/// A request the flash cannot carry out; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// Not on a whole word or page.
    NotAligned,
    /// Beyond the end, or backwards.
    OutOfBounds,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
        }
    }
}

impl Flash {
    pub(crate) const fn new() -> Self {
        Self(())
    }

    /// Checks that `from..to` is in flash and whole `unit`s, each of a power of two bytes. The driver does so for every word that
    /// is programmed, and a remainder takes 180 instructions on a chip without a divider.
    fn check(from: u32, to: u32, unit: u32) -> Result<(), FlashError> {
        if from > to || to > CAPACITY_BYTES {
            return Err(FlashError::OutOfBounds);
        }
        if (from | to) & (unit - 1) != 0 {
            return Err(FlashError::NotAligned);
        }
        Ok(())
    }

    /// The end of `length` bytes from `offset`; beyond any flash when that overflows.
    fn end(offset: u32, length: usize) -> u32 {
        u32::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length))
            .unwrap_or(u32::MAX)
    }
}

/// Programs an aligned word inside flash.
fn program(address: u32, word: u32) {
    // SAFETY: an aligned word inside flash, as the caller has checked, with programming enabled. What is programmed is the
    // choice of the caller of `NorFlash::write`; no Rust object lives in flash that it may change.
    unsafe { (address as *mut u32).write_volatile(word) };
    wait_until_ready();
}

/// Whether an aligned word inside flash reads so. Only bugs ask.
fn reads(address: u32, word: u32) -> bool {
    // SAFETY: inside flash, as the caller has checked, which is always readable.
    unsafe { (address as *const u32).read_volatile() == word }
}

fn wait_until_ready() {
    while !READY.is_set() {}
}

impl ErrorType for Flash {
    type Error = FlashError;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), FlashError> {
        Self::check(offset, Self::end(offset, bytes.len()), 1)?;
        for (address, byte) in (offset..).zip(bytes) {
            // SAFETY: `check` has found the address inside the chip's flash, which is always readable. Volatile,
            // because programs and erases change it behind the compiler's back, and because address 0 is valid.
            *byte = unsafe { (address as *const u8).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        CAPACITY_BYTES as usize
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD_BYTES as usize;
    const ERASE_SIZE: usize = PAGE_BYTES as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        Self::check(from, to, PAGE_BYTES)?;
        CONFIG.write(ERASE_ENABLED);
        wait_until_ready();
        for page in (from..to).step_by(PAGE_BYTES as usize) {
            ERASE_PAGE.write(page);
            wait_until_ready();
        }
        CONFIG.write(READ_ONLY);
        wait_until_ready();
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), FlashError> {
        Self::check(offset, Self::end(offset, bytes.len()), WORD_BYTES)?;
        let (words, _) = bytes.as_chunks::<4>();
        CONFIG.write(WRITE_ENABLED);
        wait_until_ready();
        for (address, word) in (offset..).step_by(4).zip(words) {
            let word = u32::from_le_bytes(*word);
            if seeded::is_planted(Bug::ProgramIfDifferent) && reads(address, word) {
                continue;
            }
            if seeded::is_planted(Bug::ProgramInHalves) {
                program(address, word | 0xFFFF_0000);
            }
            program(address, word);
        }
        CONFIG.write(READ_ONLY);
        wait_until_ready();
        Ok(())
    }
}

impl MultiwriteNorFlash for Flash {}
