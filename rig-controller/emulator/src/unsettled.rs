//! Words of flash that a loss of power has left unsettled: some of their bits are weak and read as noise, or the whole word
//! fails to read.
//!
//! Weak bits are 0 in what [`Machine::flash`](crate::Machine::flash) shows, and noise has a load read some of them as 1. A
//! program settles the weak bits that it clears, and an erase all of its page. Instructions are fetched as flash shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::{FLASH_BYTES, PAGE_BYTES};

const PAGES: usize = FLASH_BYTES / PAGE_BYTES;

/// By the number of a look, from 0: the weak bits that it reads as 1.
pub type Noise = Arc<dyn Fn(u32) -> u32 + Send + Sync>;

/// See the module's text.
#[derive(Clone)]
pub struct Unsettled {
    /// By address: the weak bits of a word.
    weak: BTreeMap<u32, u32>,
    /// Addresses of words that fail to read.
    unreadable: BTreeSet<u32>,
    pages: [bool; PAGES],
    noise: Noise,
    looks: u32,
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsettled")
            .field("weak", &self.weak)
            .field("unreadable", &self.unreadable)
            .field("looks", &self.looks)
            .finish_non_exhaustive()
    }
}

impl Unsettled {
    /// No word is unsettled; the first look will be number 0 to `noise`.
    pub fn new(noise: Noise) -> Self {
        Self {
            weak: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            pages: [false; PAGES],
            noise,
            looks: 0,
        }
    }

    /// From now on weak bits read as `noise` says; looks are counted from 0 again if `anew`.
    pub fn set_noise(&mut self, noise: Noise, anew: bool) {
        self.noise = noise;
        if anew {
            self.looks = 0;
        }
    }

    /// The word at `address` has these weak bits, which flash shows as 0, and no others.
    pub fn weaken(&mut self, address: u32, bits: u32) {
        self.weak.remove(&address);
        if bits != 0 {
            self.weak.insert(address, bits);
        }
        self.update(address);
    }

    /// The word at `address` fails to read.
    pub fn spoil(&mut self, address: u32) {
        self.unreadable.insert(address);
        self.update(address);
    }

    /// The weak bits of the word at `address`.
    pub fn weak_bits(&self, address: u32) -> u32 {
        self.weak.get(&address).copied().unwrap_or(0)
    }

    /// Whether the word at `address` fails to read.
    pub fn is_unreadable(&self, address: u32) -> bool {
        self.unreadable.contains(&address)
    }

    /// Looks so far.
    pub fn looks(&self) -> u32 {
        self.looks
    }

    /// Whether a word of this page is unsettled.
    pub fn is_in_page(&self, page: usize) -> bool {
        self.pages.get(page).is_some_and(|page| *page)
    }

    /// Whether every word is settled.
    pub(crate) fn is_empty(&self) -> bool {
        self.weak.is_empty() && self.unreadable.is_empty()
    }

    /// The bits of `word`, at `address`, as a load reads them now; `None` if the word fails to read.
    pub(crate) fn look(&mut self, address: u32, word: u32) -> Option<u32> {
        if self.unreadable.contains(&address) {
            return None;
        }
        let Some(weak) = self.weak.get(&address) else {
            return Some(word);
        };
        let ones = (self.noise)(self.looks);
        self.looks = self.looks.wrapping_add(1);
        Some(word | (weak & ones))
    }

    /// The word at `address` was programmed with `value`.
    pub(crate) fn program(&mut self, address: u32, value: u32) {
        let weak = self.weak_bits(address);
        if weak & !value != 0 {
            self.weaken(address, weak & value);
        }
    }

    /// The page at `address` was erased, or given other content.
    pub(crate) fn settle_page(&mut self, address: u32) {
        let page = address..address + PAGE_BYTES as u32;
        self.weak.retain(|address, _| !page.contains(address));
        self.unreadable.retain(|address| !page.contains(address));
        self.update(address);
    }

    fn update(&mut self, address: u32) {
        let start = address & !(PAGE_BYTES as u32 - 1);
        let page = start..start + PAGE_BYTES as u32;
        self.pages[start as usize / PAGE_BYTES % PAGES] =
            self.weak.range(page.clone()).next().is_some()
                || self.unreadable.range(page).next().is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_bits_read_as_the_noise_says_until_they_are_programmed() {
        let mut unsettled = Unsettled::new(Arc::new(|look| if look == 0 { 0xFF } else { 0 }));
        unsettled.weaken(8, 0x0F);
        assert_eq!(unsettled.look(8, 0xF0), Some(0xFF));
        assert_eq!(unsettled.look(8, 0xF0), Some(0xF0));
        assert_eq!(unsettled.look(12, 0xF0), Some(0xF0), "another word");
        unsettled.program(8, 0xF3);
        assert_eq!(unsettled.weak_bits(8), 0x03, "the others are settled");
        unsettled.settle_page(0);
        assert!(unsettled.is_empty() && !unsettled.is_in_page(0));
    }

    #[test]
    fn a_word_that_fails_to_read_does_so_until_its_page_is_erased() {
        let mut unsettled = Unsettled::new(Arc::new(|_| 0));
        unsettled.spoil(1024);
        assert_eq!(unsettled.look(1024, 1), None);
        unsettled.program(1024, 0);
        assert_eq!(unsettled.look(1024, 1), None);
        unsettled.settle_page(1024);
        assert_eq!(unsettled.look(1024, 1), Some(1));
    }
}
