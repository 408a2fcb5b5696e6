//! The flash parts that are explored, by name: how their flash is divided, and where slots lie in it.
use std::fmt;
use std::str::FromStr;

use nor_flash_model::Geometry;
use powercut_upgrade::slots::{AddressSpace, Layout, Region};

/// A kind of flash, modelled on the part it is named after: on what the part's manual says about pages, units and
/// repeated programs, not on its times or on where its pages lie. A part with pages of several sizes is taken as if all
/// were of one.
///
/// Units that may be programmed once are collected to a page in RAM, so there the agent needs a buffer of one page;
/// [`Agent::start`](powercut_upgrade::agent::Agent::start) does not compile with less. Units that may be programmed
/// twice need none, however large the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlashPart {
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

impl FlashPart {
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

    /// How its flash is divided. Explorations and simulations take as many pages as their images need, whatever the part has.
    pub const fn facts(self) -> Geometry {
        const fn of(unit_bytes: u32, page_bytes: u32, programs: u8, pages: u32) -> Geometry {
            match Geometry::new(unit_bytes, page_bytes, programs, pages) {
                Ok(geometry) => geometry,
                Err(_) => panic!("the flash of a part is one of those that the rig knows"),
            }
        }
        const FACTS: [Geometry; 8] = [
            of(4, 256, 2, 64),
            of(8, 256, 1, 64),
            of(4, 1024, 2, 256),
            of(4, 4096, 2, 256),
            of(8, 2048, 1, 512),
            of(16, 8192, 1, 256),
            of(4, 16 * 1024, 2, 4),
            of(4, 128 * 1024, 2, 7),
        ];
        FACTS[self as usize]
    }

    /// The part whose flash is divided like this, however many pages there are.
    pub fn divided_like(geometry: Geometry) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|part| part.facts().is_divided_like(geometry))
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
        let page_bytes = self.facts().page_bytes();
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

impl fmt::Display for FlashPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No geometry has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no geometry is called `{}`; there are {}", .0.escape_debug(), FlashPart::ALL.map(FlashPart::name).join(", "))]
pub struct UnknownGeometryError(String);

impl FromStr for FlashPart {
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
        for geometry in FlashPart::ALL {
            assert!(geometry.layout(9).is_sound());
            assert_eq!(FlashPart::divided_like(geometry.facts()), Some(geometry));
            assert_eq!(geometry.to_string().parse(), Ok(geometry));
        }
    }
}
