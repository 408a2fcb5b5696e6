//! Flash for a great many devices: the micro:bit's geometry, and no more memory than what tells one device from another.
//! Erased pages take none, and a page that has come to equal one of the image everybody downloads is shared with it.
use std::sync::Arc;

use embedded_storage::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use powercut_upgrade::slots::{Layout, Region};

/// Bytes of a page and of a unit of the micro:bits that the load plays.
const PAGE: usize = 1024;
const UNIT: usize = 4;

/// The pages of the image everybody downloads.
pub(super) type SharedPages = Arc<[[u8; PAGE]]>;

#[derive(Clone)]
enum Page {
    Erased,
    Shared(u16),
    Own(Box<[u8; PAGE]>),
}

/// One device's flash.
#[derive(Clone)]
pub(super) struct LightFlash {
    pages: Vec<Page>,
    shared: SharedPages,
}

/// An access that is not aligned or outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MisplacedAccess;

impl NorFlashError for MisplacedAccess {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

/// Pages of an image, the last filled up as erased flash reads.
pub(super) fn pages_of(image: &[u8]) -> SharedPages {
    image
        .chunks(PAGE)
        .map(|chunk| {
            let mut page = [0xFF; PAGE];
            page[..chunk.len()].copy_from_slice(chunk);
            page
        })
        .collect()
}

impl LightFlash {
    /// Erased flash.
    pub(super) fn new(layout: &Layout, shared: SharedPages) -> Self {
        let end = [layout.active, layout.staging]
            .map(|region: Region| region.start as usize / PAGE + usize::from(region.pages))
            .into_iter()
            .max()
            .unwrap_or(0);
        Self {
            pages: vec![Page::Erased; end],
            shared,
        }
    }

    /// Bytes of pages that are this device's own.
    #[cfg(test)]
    fn own_bytes(&self) -> usize {
        let own = |page: &&Page| matches!(page, Page::Own(_));
        self.pages.iter().filter(own).count() * PAGE
    }

    fn page(&self, number: usize) -> Option<&[u8; PAGE]> {
        const ERASED: [u8; PAGE] = [0xFF; PAGE];
        match self.pages.get(number)? {
            Page::Erased => Some(&ERASED),
            Page::Shared(index) => self.shared.get(usize::from(*index)),
            Page::Own(bytes) => Some(bytes),
        }
    }
}

impl ErrorType for LightFlash {
    type Error = MisplacedAccess;
}

impl ReadNorFlash for LightFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), MisplacedAccess> {
        let mut at = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let page = self.page(at / PAGE).ok_or(MisplacedAccess)?;
            let within = &page[at % PAGE..];
            let length = within.len().min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(&within[..length]);
            at += length;
            rest = later;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.pages.len() * PAGE
    }
}

impl NorFlash for LightFlash {
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), MisplacedAccess> {
        let range = from as usize / PAGE..to as usize / PAGE;
        self.pages
            .get_mut(range)
            .ok_or(MisplacedAccess)?
            .fill(Page::Erased);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), MisplacedAccess> {
        let mut at = offset as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = at / PAGE;
            let mut content = Box::new(*self.page(number).ok_or(MisplacedAccess)?);
            if let Some(Page::Own(own)) = self.pages.get_mut(number) {
                std::mem::swap(own, &mut content);
            }
            let within = &mut content[at % PAGE..];
            let length = within.len().min(rest.len());
            for (cell, byte) in within.iter_mut().zip(&rest[..length]) {
                *cell &= byte;
            }
            at += length;
            rest = &rest[length..];
            // Only a page that was filled to its end can have become one of the image.
            let equal = at
                .is_multiple_of(PAGE)
                .then(|| self.shared.iter().position(|page| *page == *content))
                .flatten();
            self.pages[number] = match equal {
                Some(index) => Page::Shared(index as u16),
                None => Page::Own(content),
            };
        }
        Ok(())
    }
}

impl MultiwriteNorFlash for LightFlash {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::device::LAYOUT;

    #[test]
    fn it_is_flash_and_shares_what_equals_the_image() {
        let image: Vec<u8> = (0..2_500_u32).map(|n| (n * 7 / 3) as u8).collect();
        let mut flash = LightFlash::new(&LAYOUT, pages_of(&image));
        let at = LAYOUT.staging.start;
        for (index, chunk) in image.chunks(160).enumerate() {
            flash.write(at + index as u32 * 160, chunk).unwrap();
        }
        let mut back = vec![0; image.len()];
        flash.read(at, &mut back).unwrap();
        assert_eq!(back, image);
        assert_eq!(flash.own_bytes(), PAGE, "the last page is not full");
        flash.write(at, &[0; 4]).unwrap();
        flash.read(at, &mut back[..8]).unwrap();
        assert_eq!(
            back[..8],
            [0, 0, 0, 0, image[4], image[5], image[6], image[7]]
        );
        flash.erase(at, at + 3 * 1024).unwrap();
        assert_eq!(flash.own_bytes(), 0);
        flash.read(at, &mut back).unwrap();
        assert!(back.iter().all(|byte| *byte == 0xFF));
        assert!(flash.write(256 * 1024, &[0; 4]).is_err());
    }
}
