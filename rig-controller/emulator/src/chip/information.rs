//! Facts about the chip: FICR, written in the factory, and UICR, one page of flash for the customer's facts.

use crate::{FLASH_BYTES, PAGE_BYTES};

/// The address of the factory's facts.
pub(crate) const FICR: u32 = 0x1000_0000;
/// The address of the customer's facts.
pub(crate) const UICR: u32 = 0x1000_1000;
const UICR_WORDS: usize = PAGE_BYTES / 4;

/// An nRF51822 QFAA, build code H0, whose firmware identification is blank.
const CONFIG_ID: u32 = 0xFFFF_0072;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Information {
    device_id: u64,
    uicr: Box<[u32; UICR_WORDS]>,
}

impl Information {
    pub(crate) fn new() -> Self {
        Self {
            device_id: 0,
            uicr: Box::new([u32::MAX; UICR_WORDS]),
        }
    }

    pub(crate) fn set_device_id(&mut self, device_id: u64) {
        self.device_id = device_id;
    }

    /// The word of FICR at this offset; those of which nothing is written are blank.
    pub(crate) fn ficr(&self, offset: u32) -> u32 {
        match offset {
            // CODEPAGESIZE, CODESIZE
            0x010 => PAGE_BYTES as u32,
            0x014 => (FLASH_BYTES / PAGE_BYTES) as u32,
            // NUMRAMBLOCK, SIZERAMBLOCKS
            0x034 => 2,
            0x038 => 0x2000,
            0x05C => CONFIG_ID,
            // DEVICEID
            0x060 => self.device_id as u32,
            0x064 => (self.device_id >> 32) as u32,
            _ => u32::MAX,
        }
    }

    /// The word of UICR at this offset.
    pub(crate) fn uicr(&self, offset: u32) -> u32 {
        self.uicr
            .get((offset / 4) as usize)
            .copied()
            .unwrap_or(u32::MAX)
    }

    pub(crate) fn program_uicr(&mut self, offset: u32, value: u32) {
        if let Some(word) = self.uicr.get_mut((offset / 4) as usize) {
            *word &= value;
        }
    }

    pub(crate) fn erase_uicr(&mut self) {
        self.uicr.fill(u32::MAX);
    }
}
