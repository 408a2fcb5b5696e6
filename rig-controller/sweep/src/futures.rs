//! Which runs need not be followed: a device's future is a function of what it reads before it has written it. A future that
//! was followed to its end is kept with its footprint, at the moment power came back and at some landmarks behind that; a
//! state that meets the footprint has the same future, and shares its verdict.
//!
//! The state of what is not flash must be equal: RAM wherever the future reads it, the core, modem and platform (their
//! state when the device got power, and what has happened to them since), and the oracle's memory. The oracle's count of
//! programs of a unit (S3) takes part by a bound: where the future programs a unit that it has not erased, the state must not
//! have programmed it more often than the state that the future was followed from. So does its count of records of the
//! journal (L3): the state must have as many as justify the erases of the future.
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use nor_flash_model::fold;
use powercut_emulator::{Core, Footprint, Machine, PAGE_BYTES, RAM_BYTES, Unsettled};

use crate::pages::{Device, Digests, PAGE_WORDS, PAGES, Versions};

/// Futures that are kept: those that were met or found last.
const MOST_FUTURES: usize = 4096;
/// Futures that are kept of one place.
const MOST_OF_A_PLACE: usize = 24;

/// A future's length, to compare two ways that should be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Length {
    pub(crate) operations: u64,
    pub(crate) instructions: u64,
}

impl std::ops::Add for Length {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            instructions: self.instructions + other.instructions,
        }
    }
}

impl std::ops::Sub for Length {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            operations: self.operations - other.operations,
            instructions: self.instructions - other.instructions,
        }
    }
}

/// The part of a page that a future depends on.
struct PageNeed {
    page: usize,
    /// Words whose content decides, a bit each.
    exact: [u64; PAGE_WORDS / 64],
    /// The number of their contents.
    digest: u64,
    /// Words that must have a 1 wherever the value has one.
    programmed: Vec<(u8, u32)>,
    /// A word whose content decides was unsettled: what was read there is not what it holds.
    is_noise: bool,
}

impl PageNeed {
    /// Whether the page fits only if it is the same in every word.
    fn fits_none_other(&self) -> bool {
        self.is_noise || self.needs_all()
    }

    fn needs_all(&self) -> bool {
        self.exact == [u64::MAX; PAGE_WORDS / 64]
    }

    fn fits(&self, device: &Device) -> bool {
        let bytes = device.page(self.page);
        let is_unsettled = device.is_unsettled(self.page);
        let weak = |word: usize| {
            let address = self.page * PAGE_BYTES + word * 4;
            if is_unsettled {
                device.weak_bits(address as u32)
            } else {
                0
            }
        };
        let programmed = |(word, value): &(u8, u32)| {
            let word = usize::from(*word);
            // Weak bits are settled where the value clears them.
            word_at(bytes, word * 4) & value == *value && weak(word) & value == 0
        };
        if is_unsettled && bits(&self.exact).any(|word| weak(word) != 0) {
            return false;
        }
        !self.fits_none_other()
            && digest_of(bytes, &self.exact) == self.digest
            && self.programmed.iter().all(programmed)
    }
}

fn word_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |word| u32::from_le_bytes(*word))
}

/// The number of the words of `mask` in a page.
fn digest_of(bytes: &[u8], mask: &[u64; PAGE_WORDS / 64]) -> u64 {
    bits(mask).fold(0, |digest, word| {
        fold(digest, u64::from(word_at(bytes, word * 4)))
    })
}

/// The numbers of the bits that are set.
fn bits(mask: &[u64]) -> impl Iterator<Item = usize> {
    mask.iter().enumerate().flat_map(|(index, mask)| {
        let mut mask = *mask;
        std::iter::from_fn(move || {
            let bit = mask.trailing_zeros() as usize;
            (mask != 0).then(|| {
                mask &= mask - 1;
                index * 64 + bit
            })
        })
    })
}

/// The bytes of RAM that a future depends on.
struct RamNeed {
    /// A bit each.
    mask: Box<[u64; RAM_BYTES / 64]>,
    digest: u64,
}

fn ram_digest(ram: &[u8; RAM_BYTES], mask: &[u64; RAM_BYTES / 64]) -> u64 {
    bits(mask).fold(0, |digest, byte| fold(digest, u64::from(ram[byte])))
}

/// A future that was followed to its end, where it broke no invariant.
pub(crate) struct Future {
    digests: Box<Digests>,
    pages: Vec<PageNeed>,
    /// Units that it programs without having erased them, by number, with the programs that they had.
    worn: Vec<(u32, u8)>,
    /// Changes of the journal before it that are enough.
    pub(crate) records: u64,
    /// Core and RAM; `None` when power has just come back, since then they are the same for all.
    inside: Option<(Core, RamNeed)>,
    pub(crate) length: Length,
}

/// A device at a place where futures may be known.
pub(crate) struct Place<'a> {
    /// Equal for equal cores, outsides and oracles.
    pub(crate) key: u64,
    pub(crate) device: &'a Device,
    /// Programs of each unit since its page was erased.
    pub(crate) programs: &'a [u8],
    /// Changes of the journal so far.
    pub(crate) records: u64,
    /// The core; `None` when power has just come back.
    pub(crate) core: Option<&'a Core>,
}

impl Future {
    fn fits(&self, place: &Place<'_>) -> bool {
        let flash = place.device;
        let inside = match (&self.inside, place.core) {
            (None, None) => true,
            (Some((core, ram)), Some(now)) => {
                core == now && ram_digest(flash.machine.ram(), &ram.mask) == ram.digest
            }
            _ => false,
        };
        let programs = |(unit, count): &(u32, u8)| place.programs[*unit as usize] <= *count;
        inside
            && self.pages.iter().all(|need| {
                self.digests[need.page] == flash.digests()[need.page] || need.fits(flash)
            })
            && self.worn.iter().all(programs)
            && place.records >= self.records
    }

    /// The run of `machine` goes on with this future: what it needs is needed by the run, where the run has not determined it.
    pub(crate) fn follow(&self, machine: &mut Machine) {
        let words: Vec<(u32, u32, u32)> = self
            .pages
            .iter()
            .flat_map(|need| {
                let programmed = need.programmed.iter();
                programmed.map(|(word, value)| {
                    let word = need.page * PAGE_WORDS + usize::from(*word);
                    let before = word_at(machine.flash(), word * 4);
                    (word as u32, before, *value)
                })
            })
            .collect();
        let Some(footprint) = machine.footprint_mut() else {
            return;
        };
        for need in &self.pages {
            let start = (need.page * PAGE_BYTES) as u32;
            if need.needs_all() {
                footprint.read_flash(start..start + PAGE_BYTES as u32);
                continue;
            }
            for word in bits(&need.exact) {
                let at = start + word as u32 * 4;
                footprint.read_flash(at..at + 4);
            }
        }
        for (word, before, value) in words {
            footprint.program(word, before, value);
        }
        for (word, _) in &self.worn {
            footprint.wear(*word);
        }
        if let Some((_, ram)) = &self.inside {
            for byte in bits(&ram.mask[..]) {
                footprint.read_ram(byte..byte + 1);
            }
        }
    }
}

/// A moment of a run, to be kept as a future once its end is known.
pub(crate) struct Mark {
    key: u64,
    digests: Box<Digests>,
    programs: Vec<u8>,
    records: u64,
    inside: Option<(Core, Box<[u8; RAM_BYTES]>)>,
    unsettled: Option<Unsettled>,
    /// How long the run was when it came here.
    pub(crate) at: Length,
}

impl Mark {
    /// The run is at `place` and has come so far.
    pub(crate) fn new(place: &Place<'_>, at: Length) -> Self {
        Self {
            key: place.key,
            digests: Box::new(*place.device.digests()),
            programs: place.programs.to_vec(),
            records: place.records,
            inside: place
                .core
                .map(|core| (core.clone(), Box::new(*place.device.machine.ram()))),
            unsettled: place.device.machine.unsettled().cloned(),
            at,
        }
    }
}

impl Mark {
    /// Whether one of these words of a page was unsettled.
    fn is_noise(&self, page: usize, words: &[u64]) -> bool {
        let unsettled = self.unsettled.as_ref();
        unsettled
            .filter(|unsettled| unsettled.is_in_page(page))
            .is_some_and(|unsettled| {
                bits(words).any(|word| {
                    let address = (page * PAGE_BYTES + word * 4) as u32;
                    unsettled.weak_bits(address) != 0 || unsettled.is_unreadable(address)
                })
            })
    }
}

/// Where a run that was followed has come to.
#[derive(Debug, Default)]
pub(crate) struct End {
    /// Its length, with that of the future that it came to.
    pub(crate) length: Length,
    /// Changes of the journal that the run saw.
    pub(crate) records: u64,
    /// Changes of the journal up to there that are enough for it.
    pub(crate) needed: u64,
}

/// The futures that are known, by place.
#[derive(Default)]
pub(crate) struct Futures {
    known: HashMap<u64, Vec<Rc<Future>>>,
    /// Places in the order in which futures were found there.
    order: VecDeque<u64>,
}

impl Futures {
    /// The future of a device at `place`, if it is known.
    pub(crate) fn find(&mut self, place: &Place<'_>) -> Option<Rc<Future>> {
        let futures = self.known.get_mut(&place.key)?;
        let at = futures.iter().position(|future| future.fits(place))?;
        futures[..=at].rotate_right(1);
        futures.first().cloned()
    }

    /// A run that had these marks has come to its end in `device`; `versions` has its pages.
    pub(crate) fn learn(
        &mut self,
        marks: Vec<Mark>,
        device: &Device,
        versions: &Versions,
        end: &End,
    ) {
        let Some(footprint) = device.machine.footprint() else {
            return;
        };
        let masks = Masks::of(footprint, marks.len());
        for (index, mark) in marks.into_iter().enumerate() {
            let key = mark.key;
            let future = masks.future(index, mark, footprint, device, versions, end);
            let of_place = self.known.entry(key).or_default();
            of_place.truncate(MOST_OF_A_PLACE - 1);
            of_place.insert(0, Rc::new(future));
            self.order.push_back(key);
        }
        while self.order.len() > MOST_FUTURES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some(futures) = self.known.get_mut(&oldest) {
                futures.pop();
                if futures.is_empty() {
                    self.known.remove(&oldest);
                }
            }
        }
    }
}

/// The needed words of each page, for each mark.
struct Masks(Vec<Vec<(usize, [u64; PAGE_WORDS / 64])>>);

impl Masks {
    fn of(footprint: &Footprint, marks: usize) -> Self {
        let mut masks = vec![Vec::new(); marks];
        for page in 0..PAGES {
            let words = &footprint.needed_flash()[page * PAGE_WORDS..(page + 1) * PAGE_WORDS];
            let any = words.iter().fold(0, |any, marks| any | marks);
            for (mark, masks) in masks.iter_mut().enumerate() {
                if any >> mark & 1 == 1 {
                    let mut mask = [0; PAGE_WORDS / 64];
                    for (word, needed) in words.iter().enumerate() {
                        mask[word / 64] |= u64::from(needed >> mark & 1) << (word % 64);
                    }
                    masks.push((page, mask));
                }
            }
        }
        Self(masks)
    }

    fn future(
        &self,
        index: usize,
        mark: Mark,
        footprint: &Footprint,
        device: &Device,
        versions: &Versions,
        end: &End,
    ) -> Future {
        let old = versions.at(index);
        let content = |page: usize| old[page].map_or(device.page(page), |bytes| &bytes[..]);
        let mut pages: Vec<PageNeed> = self.0[index]
            .iter()
            .map(|(page, exact)| PageNeed {
                page: *page,
                exact: *exact,
                digest: digest_of(content(*page), exact),
                programmed: Vec::new(),
                is_noise: mark.is_noise(*page, exact),
            })
            .collect();
        for programmed in footprint.programmed() {
            if programmed.marks >> index & 1 == 0 {
                continue;
            }
            let (page, word) = (
                programmed.word as usize / PAGE_WORDS,
                (programmed.word as usize % PAGE_WORDS) as u8,
            );
            let at = pages.binary_search_by_key(&page, |need| need.page);
            let at = at.unwrap_or_else(|at| {
                let need = PageNeed {
                    page,
                    exact: [0; PAGE_WORDS / 64],
                    digest: 0,
                    programmed: Vec::new(),
                    is_noise: false,
                };
                pages.insert(at, need);
                at
            });
            pages[at].programmed.push((word, programmed.value));
        }
        let worn = footprint.worn().iter().enumerate();
        let worn = worn
            .filter(|(_, marks)| *marks >> index & 1 == 1)
            .map(|(unit, _)| (unit as u32, mark.programs[unit]))
            .collect();
        let inside = mark.inside.map(|(core, ram)| {
            let mut mask = Box::new([0; RAM_BYTES / 64]);
            for (byte, marks) in footprint.needed_ram().iter().enumerate() {
                mask[byte / 64] |= u64::from(marks >> index & 1) << (byte % 64);
            }
            let digest = ram_digest(&ram, &mask);
            (core, RamNeed { mask, digest })
        });
        Future {
            digests: mark.digests,
            pages,
            worn,
            records: end.needed.saturating_sub(end.records - mark.records),
            inside,
            length: end.length - mark.at,
        }
    }
}
