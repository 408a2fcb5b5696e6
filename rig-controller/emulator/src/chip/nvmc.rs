//! The controller of the non-volatile memory: who may write flash, and the erases.

use crate::{Cycles, FLASH_BYTES, PAGE_BYTES};

/// A word program takes 46.3 us.
pub(crate) const PROGRAM_CYCLES: Cycles = 741;
/// An erase takes 22.3 ms, of one page as of all.
pub(crate) const ERASE_CYCLES: Cycles = 356_800;

const READY: u32 = 0x400;
const CONFIG: u32 = 0x504;
/// Also called ERASEPCR1; ERASEPCR0 does the same on a chip without a protected region.
const ERASE_PAGE: u32 = 0x508;
const ERASE_ALL: u32 = 0x50C;
const ERASE_PAGE_OF_REGION_0: u32 = 0x510;
const ERASE_UICR: u32 = 0x514;

const WRITE_ENABLED: u32 = 1;
const ERASE_ENABLED: u32 = 2;

/// An erase that the firmware asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Erase {
    /// The page at this address.
    Page(u32),
    /// Code flash and UICR.
    All,
    /// UICR.
    Uicr,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nvmc {
    config: u32,
}

impl Nvmc {
    pub(crate) fn new() -> Self {
        Self { config: 0 }
    }

    /// Whether a word written to flash is programmed.
    pub(crate) fn write_enabled(&self) -> bool {
        self.config & WRITE_ENABLED != 0
    }

    /// Whether a write to this register asks for an erase.
    pub(crate) fn is_erase(offset: u32) -> bool {
        matches!(
            offset,
            ERASE_PAGE | ERASE_ALL | ERASE_PAGE_OF_REGION_0 | ERASE_UICR
        )
    }

    /// The erase that writing `value` to this register starts, if it does.
    pub(crate) fn erase(&self, offset: u32, value: u32) -> Option<Erase> {
        if self.config != ERASE_ENABLED {
            return None;
        }
        match offset {
            ERASE_PAGE | ERASE_PAGE_OF_REGION_0 if (value as usize) < FLASH_BYTES => {
                Some(Erase::Page(value & !(PAGE_BYTES as u32 - 1)))
            }
            ERASE_ALL if value & 1 == 1 => Some(Erase::All),
            ERASE_UICR if value & 1 == 1 => Some(Erase::Uicr),
            _ => None,
        }
    }

    pub(crate) fn read(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            // The CPU stands still while the controller is busy, so it never sees that.
            READY => 1,
            CONFIG => self.config,
            offset if Self::is_erase(offset) => 0,
            _ => return None,
        })
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            CONFIG => self.config = value & 3,
            READY => {}
            _ => return false,
        }
        true
    }
}
