//! Where things are in flash. The only place with address arithmetic: everyone else asks for a page by its meaning.
//!
//! A slot is a run of erase pages whose last page is the manifest of the image before it. STAGING has one page more
//! than ACTIVE, the *spare*, so that the swap can shift by one page and no page is ever the only copy.
//!
//! The swap works on a *chain* of `length` positions: the image pages in use, then the manifest page. In STAGING
//! the chain has one more position, the spare. Position `n` of a chain of length `m` lies on slot page `n` for
//! `n < m - 1`, on the manifest page for `n = m - 1`, and on the spare for `n = m`.

use crate::bootable::Bounds;

/// A run of whole erase pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region {
    /// Byte address of the first page.
    pub start: u32,
    /// Number of pages.
    pub pages: u16,
}

/// Where the CPU of one board sees flash and RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressSpace {
    /// CPU address of the flash byte that the map calls 0.
    pub flash_base: u32,
    /// RAM: CPU addresses of its first byte and of the one behind its last.
    pub ram: (u32, u32),
}

impl AddressSpace {
    /// 16 KB of RAM, flash from address 0: nRF51822 with 16 KB (product specification, memory map).
    pub const NRF51: Self = Self {
        flash_base: 0,
        ram: (0x2000_0000, 0x2000_4000),
    };
}

/// The flash map of one board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Bytes in an erase page, a power of two; equals the driver's `ERASE_SIZE`.
    pub page_bytes: u32,
    /// BOOT: the bootloader.
    pub boot: Region,
    /// FACTORY: what the device is; never written by it.
    pub factory: Region,
    /// IDENTIFICATION: the journal.
    pub identification: Region,
    /// ACTIVE: the running image and its manifest.
    pub active: Region,
    /// STAGING: the downloaded image, its manifest, and the spare page.
    pub staging: Region,
    /// Where programs see it.
    pub addresses: AddressSpace,
}

/// The two image slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// What runs.
    Active,
    /// What was downloaded, or what a swap moved out.
    Staging,
}

/// Positions in the swap chain: image pages in use plus the manifest page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainLength(pub u16);

impl ChainLength {
    /// Page copies that exchange a chain of this length.
    pub const fn copies(self) -> u16 {
        self.0.saturating_mul(2)
    }
}

/// How an image lies in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// From the first page on, manifest on the slot's manifest page.
    Plain,
    /// One chain position up (STAGING after a swap of this length): page 0 on page 1 ... manifest on the spare.
    Shifted(ChainLength),
}

impl Layout {
    /// micro:bit (nRF51822): 256 pages of 1 KB.
    pub const MICROBIT: Self = Self {
        page_bytes: 1024,
        boot: Region {
            start: 0,
            pages: 32,
        },
        factory: Region {
            start: 0x8000,
            pages: 1,
        },
        identification: Region {
            start: 0x8400,
            pages: 6,
        },
        active: Region {
            start: 0x9C00,
            pages: 108,
        },
        staging: Region {
            start: 0x2_4C00,
            pages: 109,
        },
        addresses: AddressSpace::NRF51,
    };

    /// Most bytes an image can have.
    pub const fn image_capacity_bytes(&self) -> u32 {
        (self.active.pages as u32 - 1) * self.page_bytes
    }

    /// Address of page `index` of the identification area.
    pub const fn identification_page(&self, index: u16) -> u32 {
        self.identification.start + index as u32 * self.page_bytes
    }

    /// Pages an image of `size_bytes` covers. They are counted: the bootloader asks once in a swap, and a division would take it
    /// 400 bytes of code on a chip without a divider.
    pub const fn image_pages(&self, size_bytes: u32) -> u16 {
        let mut pages = 0_u32;
        let mut rest = size_bytes;
        while rest > 0 {
            pages += 1;
            rest = rest.saturating_sub(self.page_bytes);
        }
        pages as u16
    }

    /// The chain that moves images of up to `size_bytes`, manifest included.
    pub const fn chain_for(&self, size_bytes: u32) -> ChainLength {
        ChainLength(self.image_pages(size_bytes) + 1)
    }

    const fn region(&self, slot: Slot) -> Region {
        match slot {
            Slot::Active => self.active,
            Slot::Staging => self.staging,
        }
    }

    const fn manifest_page(&self) -> u16 {
        self.active.pages - 1
    }

    /// How far byte `offset` of an image is from the start of its page.
    pub(crate) const fn offset_in_page(&self, offset: u32) -> u32 {
        offset & (self.page_bytes - 1)
    }

    /// Address of byte `offset` of a chain that lies in `slot`. The bytes of its last position and of the one behind, where the
    /// spare is, lie from the manifest page on.
    const fn chain_byte(&self, slot: Slot, length: ChainLength, offset: u32) -> u32 {
        let next_page = offset + self.page_bytes;
        let chain_bytes = length.0 as u32 * self.page_bytes;
        let into_slot = if next_page < chain_bytes {
            offset
        } else {
            self.manifest_page() as u32 * self.page_bytes + (next_page - chain_bytes)
        };
        self.region(slot).start + into_slot
    }

    /// Address of chain position `position` in `slot`.
    pub const fn chain_page(&self, slot: Slot, length: ChainLength, position: u16) -> u32 {
        self.chain_byte(slot, length, position as u32 * self.page_bytes)
    }

    /// Address of the manifest of the image in `slot`.
    pub const fn manifest(&self, slot: Slot, placement: Placement) -> u32 {
        match placement {
            Placement::Plain => {
                self.region(slot).start + self.manifest_page() as u32 * self.page_bytes
            }
            Placement::Shifted(length) => self.chain_page(slot, length, length.0),
        }
    }

    /// Address of byte `offset` of the image in `slot`. Consecutive only up to the end of the page.
    pub const fn image_byte(&self, slot: Slot, placement: Placement, offset: u32) -> u32 {
        match placement {
            Placement::Plain => self.region(slot).start + offset,
            Placement::Shifted(length) => self.chain_byte(slot, length, offset + self.page_bytes),
        }
    }

    /// Addresses that the vectors of an image of `size_bytes` may name: it runs from the first byte of ACTIVE on, wherever it
    /// lies now.
    pub const fn program_bounds(&self, size_bytes: u32) -> Bounds {
        let start = self.addresses.flash_base + self.active.start;
        Bounds {
            image: (start, start + size_bytes),
            ram: self.addresses.ram,
        }
    }

    /// Whether pages have a power of two bytes, the regions follow each other without overlap, and STAGING is one page longer
    /// than ACTIVE.
    pub const fn is_sound(&self) -> bool {
        const fn end(region: Region, page_bytes: u32) -> u32 {
            region.start + region.pages as u32 * page_bytes
        }
        let p = self.page_bytes;
        p.is_power_of_two()
            && end(self.boot, p) <= self.factory.start
            && end(self.factory, p) <= self.identification.start
            && end(self.identification, p) <= self.active.start
            && end(self.active, p) <= self.staging.start
            && self.staging.pages == self.active.pages + 1
            && self.identification.pages >= 4
            && self.identification.pages <= 64
            && self.active.pages >= 2
    }
}

const _: () = assert!(Layout::MICROBIT.is_sound());

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout::MICROBIT;

    #[test]
    fn a_chain_ends_on_the_manifest_page_and_in_staging_on_the_spare() {
        let chain = ChainLength(5);
        assert_eq!(LAYOUT.chain_page(Slot::Active, chain, 3), 0x9C00 + 3 * 1024);
        assert_eq!(
            LAYOUT.chain_page(Slot::Active, chain, 4),
            LAYOUT.manifest(Slot::Active, Placement::Plain)
        );
        assert_eq!(
            LAYOUT.chain_page(Slot::Staging, chain, 5),
            0x4_0000 - 1024,
            "the spare is the last page of flash"
        );
    }

    /// As the module's text has it.
    fn page_of(slot: Slot, chain: ChainLength, position: u16) -> u32 {
        let manifest_page = LAYOUT.active.pages - 1;
        let page = match position + 1 {
            next if next < chain.0 => position,
            next if next == chain.0 => manifest_page,
            _ => manifest_page + 1,
        };
        LAYOUT.region(slot).start + u32::from(page) * 1024
    }

    #[test]
    fn every_position_of_every_chain_lies_on_its_page() {
        for chain in (1..=LAYOUT.active.pages).map(ChainLength) {
            for position in 0..chain.0 {
                for slot in [Slot::Active, Slot::Staging] {
                    let page = LAYOUT.chain_page(slot, chain, position);
                    assert_eq!(page, page_of(slot, chain, position), "{chain:?} {position}");
                }
            }
            let spare = LAYOUT.chain_page(Slot::Staging, chain, chain.0);
            assert_eq!(spare, page_of(Slot::Staging, chain, chain.0), "{chain:?}");
        }
    }

    #[test]
    fn every_byte_of_an_image_lies_on_the_page_of_its_chain_position() {
        for chain in (2..=LAYOUT.active.pages).map(ChainLength) {
            for page in 0..chain.0 - 1 {
                for within in [0, 1, 1023] {
                    let offset = u32::from(page) * 1024 + within;
                    let plain = LAYOUT.image_byte(Slot::Active, Placement::Plain, offset);
                    assert_eq!(plain, LAYOUT.active.start + offset);
                    let shifted =
                        LAYOUT.image_byte(Slot::Staging, Placement::Shifted(chain), offset);
                    let expected = page_of(Slot::Staging, chain, page + 1) + within;
                    assert_eq!(shifted, expected, "{chain:?} {offset}");
                }
            }
        }
    }

    #[test]
    fn an_image_covers_the_page_of_its_last_byte() {
        for (size_bytes, pages) in [(0, 0), (1, 1), (1024, 1), (1025, 2), (107 * 1024, 107)] {
            assert_eq!(LAYOUT.image_pages(size_bytes), pages, "{size_bytes}");
            assert_eq!(LAYOUT.offset_in_page(size_bytes), size_bytes % 1024);
        }
    }

    #[test]
    fn a_shifted_image_starts_one_chain_position_up() {
        let chain = ChainLength(3);
        let shifted = Placement::Shifted(chain);
        assert_eq!(
            LAYOUT.image_byte(Slot::Staging, shifted, 4),
            0x2_4C00 + 1024 + 4
        );
        assert_eq!(
            LAYOUT.image_byte(Slot::Staging, shifted, 1024),
            LAYOUT.manifest(Slot::Staging, Placement::Plain),
            "its second and last page lies where the manifest was"
        );
        assert_eq!(LAYOUT.manifest(Slot::Staging, shifted), 0x4_0000 - 1024);
    }
}
