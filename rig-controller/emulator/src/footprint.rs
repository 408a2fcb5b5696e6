//! The footprint of a run: the bytes of RAM and words of flash on which it depends, as they were at chosen moments of it
//! (*marks*).
//!
//! A run is a function of all that it reads before it has written it. Two machines whose cores and outsides are alike and
//! which hold the same wherever the footprint of one says *needed* go on alike. A word that the run programs before it has
//! read it is not needed if its old content has a 1 wherever the value has one: then it ends up holding the value, whatever
//! it held. A fetch of an instruction needs the whole page.
#![expect(clippy::inline_always, reason = "parts of the loop in `execute`")]

use std::ops::Range;

use crate::{FLASH_BYTES, PAGE_BYTES, RAM_BYTES};

/// Most marks in a run.
pub const MOST_MARKS: usize = 16;
const WORDS: usize = FLASH_BYTES / 4;
const PAGE_WORDS: usize = PAGE_BYTES / 4;
const PAGES: usize = FLASH_BYTES / PAGE_BYTES;

/// Some of the marks of a run, a bit each.
pub type Marks = u16;

/// A word that the run has programmed without having read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programmed {
    /// The word's number in flash, from 0.
    pub word: u32,
    /// The value: at these marks the word had a 1 wherever the value has one.
    pub value: u32,
    /// The marks that this holds of.
    pub marks: Marks,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// Marks so far.
    marks: usize,
    /// By the number of marks that were there when something was determined last: those that have come since.
    since: [Marks; MOST_MARKS + 1],
    flash: Determined<WORDS>,
    ram: Determined<RAM_BYTES>,
    programmed: Vec<Programmed>,
    /// By word: marks since which it was programmed, its page not having been erased before.
    worn: Box<[Marks]>,
    /// By page: marks that were there when it was erased last.
    erased: [u8; PAGES],
    /// By page: one more than the marks that were there when all of it was needed last, 0 if it has changed since.
    fetched: [u8; PAGES],
}

/// Units of memory and what is known of them.
#[derive(Clone, Debug)]
struct Determined<const UNITS: usize> {
    /// Marks that were there when the run determined the unit's content last.
    at: Box<[u8]>,
    /// Marks at which the content decides about the run.
    needed: Box<[Marks]>,
}

impl<const UNITS: usize> Determined<UNITS> {
    fn new() -> Self {
        Self {
            at: vec![0; UNITS].into_boxed_slice(),
            needed: vec![0; UNITS].into_boxed_slice(),
        }
    }

    fn clear(&mut self) {
        self.at.fill(0);
        self.needed.fill(0);
    }

    #[inline(always)]
    fn need(&mut self, unit: usize, since: &[Marks; MOST_MARKS + 1]) {
        let unit = unit % UNITS;
        let marks = since[usize::from(self.at[unit]).min(MOST_MARKS)];
        self.needed[unit] |= marks;
    }
}

impl Footprint {
    pub(crate) fn new() -> Self {
        Self {
            marks: 0,
            since: [0; MOST_MARKS + 1],
            flash: Determined::new(),
            ram: Determined::new(),
            programmed: Vec::new(),
            worn: vec![0; WORDS].into_boxed_slice(),
            erased: [0; PAGES],
            fetched: [0; PAGES],
        }
    }

    /// Forgets everything: a run begins, without a mark.
    pub(crate) fn clear(&mut self) {
        self.marks = 0;
        self.since = [0; MOST_MARKS + 1];
        self.flash.clear();
        self.ram.clear();
        self.programmed.clear();
        self.worn.fill(0);
        self.erased = [0; PAGES];
        self.fetched = [0; PAGES];
    }

    /// Sets a mark here; its number, from 0, or `None` if there are as many as there can be.
    pub fn mark(&mut self) -> Option<usize> {
        let mark = self.marks;
        if mark == MOST_MARKS {
            return None;
        }
        self.marks += 1;
        for marks in &mut self.since[..=mark] {
            *marks |= 1 << mark;
        }
        Some(mark)
    }

    /// Marks so far.
    pub fn marks(&self) -> usize {
        self.marks
    }

    /// By word of flash: the marks at which its content decides about the run.
    pub fn needed_flash(&self) -> &[Marks] {
        &self.flash.needed
    }

    /// By byte of RAM: the marks at which its content decides about the run.
    pub fn needed_ram(&self) -> &[Marks] {
        &self.ram.needed
    }

    /// Words that the run has programmed without having read them.
    pub fn programmed(&self) -> &[Programmed] {
        &self.programmed
    }

    /// By word of flash: the marks since which the run has programmed it, not having erased its page before.
    pub fn worn(&self) -> &[Marks] {
        &self.worn
    }

    /// The run, or whoever watches it, has read these bytes of flash.
    pub fn read_flash(&mut self, bytes: Range<u32>) {
        let end = (bytes.end as usize).div_ceil(4).min(WORDS);
        for word in bytes.start as usize / 4..end {
            self.flash.need(word, &self.since);
        }
    }

    /// The run has read these bytes of RAM, by their offsets.
    pub fn read_ram(&mut self, bytes: Range<usize>) {
        for byte in bytes {
            self.ram.need(byte, &self.since);
        }
    }

    /// A load of `BYTES` at this offset in RAM.
    #[inline(always)]
    pub(crate) fn load_ram<const BYTES: usize>(&mut self, offset: usize) {
        // All of it was made behind the last mark: the most frequent case by far.
        let made = [self.marks as u8; BYTES];
        if self.ram.at.get(offset..offset + BYTES) == Some(&made[..]) {
            return;
        }
        for byte in offset..offset + BYTES {
            self.ram.need(byte, &self.since);
        }
    }

    /// A store of `BYTES` at this offset in RAM.
    #[inline(always)]
    pub(crate) fn store_ram<const BYTES: usize>(&mut self, offset: usize) {
        if let Some(at) = self.ram.at.get_mut(offset..offset + BYTES) {
            at.copy_from_slice(&[self.marks as u8; BYTES]);
        }
    }

    /// A call that is not carried out would have read these bytes (a bit each) of a word of RAM.
    pub(crate) fn read_ram_bytes(&mut self, word: u16, bytes: u8) {
        for byte in (0..4).filter(|byte| bytes >> byte & 1 == 1) {
            self.ram.need(usize::from(word) * 4 + byte, &self.since);
        }
    }

    /// A call that is not carried out would have written these bytes (a bit each) of a word of RAM.
    pub(crate) fn write_ram_bytes(&mut self, word: u16, bytes: u8) {
        for byte in (0..4).filter(|byte| bytes >> byte & 1 == 1) {
            self.ram.at[(usize::from(word) * 4 + byte) % RAM_BYTES] = self.marks as u8;
        }
    }

    /// All of RAM is given new content.
    pub(crate) fn fill_ram(&mut self) {
        self.ram.at.fill(self.marks as u8);
    }

    /// A load at this address in flash.
    #[inline(always)]
    pub(crate) fn load_flash(&mut self, address: usize) {
        self.flash.need(address / 4, &self.since);
    }

    /// Instructions are fetched from this page. One of 32 bits at its end reaches into the next.
    pub(crate) fn fetch(&mut self, page: usize) {
        let Some(fetched) = self.fetched.get_mut(page) else {
            return;
        };
        let now = self.marks as u8 + 1;
        if std::mem::replace(fetched, now) != now {
            let start = page * PAGE_WORDS;
            for word in start..=start + PAGE_WORDS {
                self.flash.need(word, &self.since);
            }
        }
    }

    /// A word of flash is programmed that held `before`, by the run or by a future that the run goes on with.
    pub fn program(&mut self, word: u32, before: u32, value: u32) {
        let unit = word as usize % WORDS;
        self.wear(word);
        self.fetched[unit / PAGE_WORDS] = 0;
        if before & value == value {
            let marks = self.since[usize::from(self.flash.at[unit])] & !self.flash.needed[unit];
            if marks != 0 {
                self.programmed.push(Programmed { word, value, marks });
            }
        } else {
            self.flash.need(unit, &self.since);
        }
        self.flash.at[unit] = self.marks as u8;
    }

    /// A word of flash is programmed, by the run or by a future that the run goes on with; its content is not what matters.
    pub fn wear(&mut self, word: u32) {
        let unit = word as usize % WORDS;
        let erased = usize::from(self.erased[unit / PAGE_WORDS]);
        self.worn[unit] |= self.since[erased.min(MOST_MARKS)];
    }

    /// A page of flash is erased.
    pub(crate) fn erase(&mut self, address: u32) {
        let page = address as usize / PAGE_BYTES % PAGES;
        self.fetched[page] = 0;
        self.erased[page] = self.marks as u8;
        self.flash.at[page * PAGE_WORDS..(page + 1) * PAGE_WORDS].fill(self.marks as u8);
    }
}
