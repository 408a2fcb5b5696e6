//! What the future of a state depends on. A *footprint* says which units of flash a run, and every run that branches
//! off it by a further cut, has looked at before they were erased or programmed over, and which it programmed without
//! an erase. Two states that agree on that have the same future, whatever else they hold: a page that was torn and is
//! erased before anybody reads it might as well be blank. Of some pages only the answer to a question matters
//! ([`PageQuestion`]): a journal page whose HEADER was torn is no journal page, however it was torn.
//!
//! A [`Segment`] collects while a run goes on; a [`Footprint`] is what comes of it. Too much in a footprint costs time,
//! too little would be wrong: what is in doubt counts as looked at.
mod segment;

use std::rc::Rc;

use nor_flash_model::{NorFlashModel, fold};
use powercut_upgrade::watched::PageQuestion;

use super::merge::Answers;

pub(super) use segment::{Last, Segment};

/// A set of page numbers below 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PageSet([u64; 4]);

/// Pages a flash may have to be explored.
pub(super) const MOST_PAGES: usize = 256;

impl PageSet {
    fn insert(&mut self, page: u16) {
        self.0[usize::from(page / 64)] |= 1 << (page % 64);
    }

    fn remove(&mut self, page: u16) {
        self.0[usize::from(page / 64)] &= !(1 << (page % 64));
    }

    fn contains(&self, page: u16) -> bool {
        self.0[usize::from(page / 64)] >> (page % 64) & 1 == 1
    }
}

/// Units `from..to`, counted over the whole flash, that lie in one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u32,
    to: u32,
}

impl Span {
    const NONE: Self = Self {
        from: u32::MAX,
        to: 0,
    };

    fn add(&mut self, unit: u32) {
        self.from = self.from.min(unit);
        self.to = self.to.max(unit + 1);
    }

    fn join(&mut self, other: Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
    }

    fn contains(self, unit: u32) -> bool {
        self.from <= unit && unit < self.to
    }

    /// What is left when units at its ends go for which `is_gone` holds.
    fn without(mut self, is_gone: impl Fn(u32) -> bool) -> Self {
        while self.from < self.to && is_gone(self.from) {
            self.from += 1;
        }
        while self.from < self.to && is_gone(self.to - 1) {
            self.to -= 1;
        }
        if self.is_empty() { Self::NONE } else { self }
    }

    fn is_empty(self) -> bool {
        self.from >= self.to
    }
}

/// A unit that is programmed without an erase before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Programmed {
    unit: u32,
    /// At most so often, on any way, until its page is erased.
    times: u8,
    /// The first program was whole: from then on the unit holds `bytes` whatever it held before, as long as that
    /// lets them pass.
    whole: bool,
    /// What is programmed; filled up with zeros.
    bytes: [u8; 16],
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Pages that were looked at, and which of their units, in order.
    looked_at: Vec<(u16, Span)>,
    /// In order of units. Most footprints have it in common with that of what followed.
    programmed: Rc<[Programmed]>,
    /// The page that was erased just before, if it is programmed.
    blank: Option<u16>,
    /// Units among `programmed` that `looked_at` does not mean though it names their pages.
    excepted: Vec<u32>,
    /// Pages that were asked something, in order: only their answers matter.
    asked: Vec<(u16, PageQuestion)>,
    /// Of all of the above.
    hash: u64,
}

impl Footprint {
    /// Of a run that does nothing any more.
    pub(super) fn empty() -> Self {
        Self {
            looked_at: Vec::new(),
            programmed: Rc::default(),
            blank: None,
            excepted: Vec::new(),
            asked: Vec::new(),
            hash: 0,
        }
    }

    /// Equal for equal footprints.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    fn hashed(mut self) -> Self {
        let mut hash = fold(1, self.blank.map_or(0, |page| u64::from(page) + 1));
        for (page, span) in &self.looked_at {
            hash = fold(
                fold(hash, u64::from(*page)),
                u64::from(span.from) << 32 | u64::from(span.to),
            );
        }
        for programmed in self.programmed.iter() {
            let bytes = u128::from_le_bytes(programmed.bytes);
            hash = fold(
                hash,
                u64::from(programmed.unit) << 32
                    | u64::from(programmed.times) << 8
                    | u64::from(programmed.whole),
            );
            hash = fold(fold(hash, bytes as u64), (bytes >> 64) as u64);
        }
        for (page, question) in &self.asked {
            hash = fold(hash, u64::from(*page) << 8 | *question as u64);
        }
        self.hash = hash;
        self
    }

    /// Whether `flash` takes what is programmed, for good.
    pub(super) fn fits<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
        &self,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    ) -> bool {
        let blank = self
            .blank
            .is_none_or(|page| flash.is_untouched(usize::from(page)));
        blank
            && self.programmed.iter().all(|programmed| {
                let unit = programmed.unit as usize;
                flash.programs(unit).saturating_add(programmed.times) <= PROGRAMS
                    && flash.would_hold(unit, &programmed.bytes[..UNIT])
            })
    }

    /// What `flash` holds where this footprint looks; `None` if nobody knows what it answers. Whether it takes what is
    /// programmed is another question: see [`Footprint::fits`].
    pub(super) fn seen_in<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
        &self,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
        answers: &Answers,
    ) -> Option<u64> {
        let mut answered = 0_u64;
        for &(page, question) in &self.asked {
            let content = flash.page_sum(usize::from(page));
            answered = fold(answered, answers.get(question, page, content)?);
        }
        let mut sum = 0_u64;
        let mut settled = true;
        for (page, _) in &self.looked_at {
            sum = sum.wrapping_add(flash.page_sum(usize::from(*page)));
            settled &= flash.is_settled(usize::from(*page));
        }
        for unit in &self.excepted {
            sum = sum.wrapping_sub(flash.unit_sum(*unit as usize));
        }
        let seen = fold(sum, answered);
        Some(if settled {
            seen
        } else {
            fold(seen, flash.flicker_sum())
        })
    }
}
