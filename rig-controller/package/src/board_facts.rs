//! A firmware set is built for boards of one kind: how flash is divided, where regions lie, which pin shows a running
//! application, and which address of the platform images have built in. `set.yaml` says it; where it does not, the hardware's
//! number does (see [`hardware`](crate::hardware)).
use std::net::SocketAddrV4;

use nor_flash_model::{Geometry, GeometryError};
use powercut_upgrade::slots::{AddressSpace, Layout, Region};
use serde::{Deserialize, Serialize};

/// Everything a rig has to know of the boards of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoardFacts {
    /// How flash is divided.
    pub geometry: Geometry,
    /// Where slots and journal lie.
    pub layout: Layout,
    /// The pin that only a running application drives.
    pub marker_pin: Pin,
    /// Where images believe that the platform is.
    pub platform: SocketAddrV4,
}

/// An output of the device, by its number in its port of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pin(u8);

impl Pin {
    /// The pin with this number; `None` from 32 on.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 32 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number in its port.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its bit in the port's registers.
    pub const fn mask(self) -> u32 {
        1 << self.0
    }
}

/// `flash:` in `set.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlashDescription {
    unit_bytes: u32,
    page_bytes: u32,
    programs_per_unit: u8,
    pages: u32,
}

impl FlashDescription {
    /// As `set.yaml` has it.
    pub(super) fn of(geometry: Geometry) -> Self {
        Self {
            unit_bytes: geometry.unit_bytes(),
            page_bytes: geometry.page_bytes(),
            programs_per_unit: geometry.programs_per_unit(),
            pages: geometry.pages(),
        }
    }

    /// The geometry.
    ///
    /// # Errors
    /// When the rig has no code for such flash.
    pub(super) fn geometry(&self) -> Result<Geometry, GeometryError> {
        let Self {
            unit_bytes,
            page_bytes,
            programs_per_unit,
            pages,
        } = *self;
        Geometry::new(unit_bytes, page_bytes, programs_per_unit, pages)
    }
}

/// `layout:` in `set.yaml`: regions as pages of flash, and where the device's programs see flash and RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LayoutDescription {
    boot: RegionDescription,
    factory: RegionDescription,
    identification: RegionDescription,
    active: RegionDescription,
    staging: RegionDescription,
    flash_base: u32,
    ram: RamDescription,
}

/// Bytes from the start of flash, and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionDescription {
    start: u32,
    pages: u16,
}

/// The first address, and the one behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RamDescription {
    start: u32,
    end: u32,
}

/// Regions and flash do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LayoutError {
    #[error(
        "`{region}` starts at {start:#x}, in the middle of a page of {page_bytes} bytes; let it start with a page"
    )]
    InsidePage {
        region: &'static str,
        start: u32,
        page_bytes: u32,
    },
    #[error(
        "`{region}` ends behind the end of flash at {size_bytes:#x}; give it fewer pages, or `flash` more"
    )]
    BeyondFlash {
        region: &'static str,
        size_bytes: u32,
    },
    #[error(
        "the regions do not follow each other as boot, factory, identification (4 to 64 pages), active (2 or more) and staging (one page more than active) without overlap; correct `start` and `pages`"
    )]
    Unsound,
    #[error(
        "`ram` ends at {end:#x}, not behind its start at {start:#x}; correct the two addresses"
    )]
    Ram { start: u32, end: u32 },
    #[error(
        "`flash_base` {flash_base:#x} leaves no addresses for {size_bytes} bytes of flash; correct it"
    )]
    FlashBase { flash_base: u32, size_bytes: u32 },
}

impl LayoutDescription {
    /// As `set.yaml` has it.
    pub(super) fn of(layout: &Layout) -> Self {
        let region = |Region { start, pages }| RegionDescription { start, pages };
        Self {
            boot: region(layout.boot),
            factory: region(layout.factory),
            identification: region(layout.identification),
            active: region(layout.active),
            staging: region(layout.staging),
            flash_base: layout.addresses.flash_base,
            ram: RamDescription {
                start: layout.addresses.ram.0,
                end: layout.addresses.ram.1,
            },
        }
    }

    /// The layout on flash of this geometry.
    ///
    /// # Errors
    /// The first region or address that does not go with the others.
    pub(super) fn on(&self, geometry: Geometry) -> Result<Layout, LayoutError> {
        let (page_bytes, size_bytes) = (geometry.page_bytes(), geometry.size_bytes());
        for (region, RegionDescription { start, pages }) in [
            ("boot", self.boot),
            ("factory", self.factory),
            ("identification", self.identification),
            ("active", self.active),
            ("staging", self.staging),
        ] {
            if !start.is_multiple_of(page_bytes) {
                return Err(LayoutError::InsidePage {
                    region,
                    start,
                    page_bytes,
                });
            }
            let end = u64::from(start) + u64::from(pages) * u64::from(page_bytes);
            if end > u64::from(size_bytes) {
                return Err(LayoutError::BeyondFlash { region, size_bytes });
            }
        }
        let RamDescription { start, end } = self.ram;
        if start >= end {
            return Err(LayoutError::Ram { start, end });
        }
        if self.flash_base.checked_add(size_bytes).is_none() {
            return Err(LayoutError::FlashBase {
                flash_base: self.flash_base,
                size_bytes,
            });
        }
        let region = |RegionDescription { start, pages }| Region { start, pages };
        let layout = Layout {
            page_bytes,
            boot: region(self.boot),
            factory: region(self.factory),
            identification: region(self.identification),
            active: region(self.active),
            staging: region(self.staging),
            addresses: AddressSpace {
                flash_base: self.flash_base,
                ram: (start, end),
            },
        };
        if layout.is_sound() {
            Ok(layout)
        } else {
            Err(LayoutError::Unsound)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::MICROBIT;

    fn microbit() -> BoardFacts {
        BoardFacts::of(MICROBIT).unwrap()
    }

    #[test]
    fn a_layout_reads_back_from_what_is_written_of_it() {
        let BoardFacts {
            geometry, layout, ..
        } = microbit();
        assert_eq!(LayoutDescription::of(&layout).on(geometry), Ok(layout));
    }

    #[test]
    fn each_fault_of_a_layout_is_told_with_its_region() {
        let BoardFacts {
            geometry, layout, ..
        } = microbit();
        let sound = LayoutDescription::of(&layout);
        let wrong = |change: fn(&mut LayoutDescription)| {
            let mut layout = sound;
            change(&mut layout);
            layout.on(geometry).unwrap_err().to_string()
        };
        for (said, change) in [
            (
                "`active` starts at 0x9c04",
                (|layout| layout.active.start += 4) as fn(&mut LayoutDescription),
            ),
            (
                "`staging` ends behind the end of flash at 0x40000",
                |layout| {
                    layout.staging.pages += 1;
                },
            ),
            ("do not follow each other", |layout| {
                layout.active.pages += 1;
            }),
            ("`ram` ends at 0x20000000", |layout| {
                layout.ram.end = layout.ram.start;
            }),
            ("`flash_base` 0xffffffff", |layout| {
                layout.flash_base = u32::MAX;
            }),
        ] {
            let error = wrong(change);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_port_has_32_pins() {
        assert_eq!(Pin::new(31).map(Pin::mask), Some(1 << 31));
        assert_eq!(Pin::new(32), None);
    }
}
