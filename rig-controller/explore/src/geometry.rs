//! The flash parts that are explored: page and unit sizes, and whether a unit may be programmed twice.
use std::fmt;
use std::str::FromStr;

use powercut_upgrade::slots::{AddressSpace, Layout, Region};

/// A kind of flash, modelled on the part it is named after: on what the part's manual says about pages, units and
/// repeated programs, not on its times or on where its pages lie. A part with pages of several sizes is taken as if all
/// were of one.
///
/// Units that may be programmed once are collected to a page in RAM, so there the agent needs a buffer of one page;
/// [`Agent::start`](powercut_upgrade::agent::Agent::start) does not compile with less. Units that may be programmed
/// twice need none, however large the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Geometry {
    /// 256-byte pages, 4-byte units, programmed twice: no part is like this; the smallest that takes every path.
    Tiny,
    /// 256-byte pages, 8-byte units, programmed once.
    TinyOnce,
    /// 1 KB pages, 4-byte units, programmed twice. nRF51 Series Reference Manual, chapter NVMC: a word may be written
    /// twice between erases.
    Nrf51,
    /// 4 KB pages, 4-byte units, programmed twice. nRF52840 Product Specification, chapter NVMC: nWRITE is 2.
    Nrf52,
    /// 2 KB pages, 8-byte units, programmed once. RM0351, chapter on flash: a double word carries 8 bits of ECC, so it
    /// takes no second program but one to all zeros.
    Stm32l4,
    /// 8 KB pages, 16-byte units, programmed once. RM0456, chapter on flash: the same with a quad-word and 9 bits.
    Stm32u5,
    /// 16 KB pages, 4-byte units, programmed twice: the first sectors of an STM32F4. RM0090, chapter on flash,
    /// "Programming": no ECC, and a unit may be programmed again as long as bits only go from 1 to 0. More than twice
    /// would do as well; the core does not ask for it.
    Stm32f4,
    /// 128 KB pages, else the same: the later sectors of an STM32F4, larger than the RAM of many a part.
    Stm32f4Large,
}

impl Geometry {
    /// All.
    pub const ALL: [Self; 8] = [
        Self::Tiny,
        Self::TinyOnce,
        Self::Nrf51,
        Self::Nrf52,
        Self::Stm32l4,
        Self::Stm32u5,
        Self::Stm32f4,
        Self::Stm32f4Large,
    ];

    /// Bytes in an erase page.
    pub const fn page_bytes(self) -> u32 {
        match self {
            Self::Tiny | Self::TinyOnce => 256,
            Self::Nrf51 => 1024,
            Self::Nrf52 => 4096,
            Self::Stm32l4 => 2048,
            Self::Stm32u5 => 8192,
            Self::Stm32f4 => 16 * 1024,
            Self::Stm32f4Large => 128 * 1024,
        }
    }

    /// Whether a unit may be programmed twice between erases.
    pub const fn programs_twice(self) -> bool {
        !matches!(self, Self::TinyOnce | Self::Stm32l4 | Self::Stm32u5)
    }

    /// RAM is that of the smallest part of each family; where programs think flash is, is the family's.
    const fn addresses(self) -> AddressSpace {
        let flash_base = match self {
            Self::Stm32l4 | Self::Stm32u5 | Self::Stm32f4 | Self::Stm32f4Large => 0x0800_0000,
            Self::Tiny | Self::TinyOnce | Self::Nrf51 | Self::Nrf52 => 0,
        };
        AddressSpace {
            flash_base,
            ..AddressSpace::NRF51
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::TinyOnce => "tiny-once",
            Self::Nrf51 => "nrf51",
            Self::Nrf52 => "nrf52",
            Self::Stm32l4 => "stm32l4",
            Self::Stm32u5 => "stm32u5",
            Self::Stm32f4 => "stm32f4",
            Self::Stm32f4Large => "stm32f4-large",
        }
    }

    /// Slots for images of up to `image_pages` pages: FACTORY, four pages of IDENTIFICATION, ACTIVE, STAGING.
    pub fn layout(self, image_pages: u16) -> Layout {
        let page_bytes = self.page_bytes();
        let region = |first: u32, pages: u16| Region {
            start: first * page_bytes,
            pages,
        };
        let slot = image_pages + 1;
        Layout {
            page_bytes,
            boot: region(0, 0),
            factory: region(0, 1),
            identification: region(1, 4),
            active: region(5, slot),
            staging: region(5 + u32::from(slot), slot + 1),
            addresses: self.addresses(),
        }
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No geometry has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no geometry is called `{}`; there are {}", .0.escape_debug(), Geometry::ALL.map(Geometry::name).join(", "))]
pub struct UnknownGeometryError(String);

impl FromStr for Geometry {
    type Err = UnknownGeometryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|geometry| geometry.name() == text)
            .ok_or_else(|| UnknownGeometryError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layout_is_sound_and_every_name_reads_back() {
        for geometry in Geometry::ALL {
            assert!(geometry.layout(9).is_sound());
            assert_eq!(geometry.to_string().parse(), Ok(geometry));
        }
    }
}
