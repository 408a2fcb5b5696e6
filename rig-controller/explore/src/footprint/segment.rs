//! A stretch of a run between two points where runs may meet, while it goes on: what it looked at, asked, programmed
//! and erased itself, and what the runs that branched off it did.
//!
//! [`Segment::footprint`] ends it. A page erased in the segment hides from everything before it what was done to it later;
//! what is in doubt counts as looked at.
use std::cmp::Ordering;
use std::rc::Rc;

use powercut_upgrade::watched::PageQuestion;

use super::{Footprint, PageSet, Programmed, Span};

/// What happened last before a branch left its run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Last<'a> {
    /// Nothing that counts.
    Nothing,
    /// A unit was programmed, wholly or in part.
    Program {
        unit: u32,
        bytes: &'a [u8],
        whole: bool,
    },
    /// A page was erased, all of it.
    Erase { page: u16 },
    /// A page was erased in part: byte by byte it depends on what it held.
    TornErase { page: u16 },
}

/// What a run did since it passed a point where runs may meet.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Units to a page.
    units: u32,
    erased: PageSet,
    /// The page whose erase the segment begins behind.
    fresh: Option<u16>,
    /// Pages with units in `own`.
    touched: PageSet,
    /// What the run itself programmed, in order of units.
    own: Vec<Programmed>,
    /// What was looked at, by the run and whatever branched off.
    looked_at: Vec<Span>,
    /// What whatever branched off programmed, in order of units.
    others: Vec<Programmed>,
    blank: Option<u16>,
    asked: Vec<(u16, PageQuestion)>,
}

impl Segment {
    /// On flash of so many pages of so many units.
    pub(crate) fn new(pages: usize, units: usize, fresh: Option<u16>) -> Self {
        Self {
            units: units as u32,
            erased: PageSet::default(),
            fresh,
            touched: PageSet::default(),
            own: Vec::new(),
            looked_at: vec![Span::NONE; pages],
            others: Vec::new(),
            blank: None,
            asked: Vec::new(),
        }
    }

    fn page_of(&self, unit: u32) -> u16 {
        (unit / self.units) as u16
    }

    /// The units of `page`.
    fn all_of(&self, page: u16) -> Span {
        let from = u32::from(page) * self.units;
        Span {
            from,
            to: from + self.units,
        }
    }

    /// The run looked at these units.
    pub(crate) fn read(&mut self, from: u32, to: u32) {
        let mut at = from;
        while at < to {
            let page = self.page_of(at);
            let end = to.min(self.all_of(page).to);
            self.look(page, Span { from: at, to: end });
            at = end;
        }
    }

    fn look(&mut self, page: u16, span: Span) {
        if self.erased.contains(page) {
            return;
        }
        if !self.touched.contains(page) {
            self.looked_at[usize::from(page)].join(span);
            return;
        }
        let is_own = |unit| find(&self.own, unit).is_ok_and(|at| self.own[at].whole);
        let span = span.without(is_own);
        self.looked_at[usize::from(page)].join(span);
    }

    /// The run looked at all of these pages.
    pub(crate) fn read_pages(&mut self, from: u16, to: u16) {
        for page in from..to {
            self.look(page, self.all_of(page));
        }
    }

    /// The run asked a page something. What was programmed here since the segment began takes part in the answer, so
    /// then all of the page counts as looked at.
    pub(crate) fn ask(&mut self, page: u16, question: PageQuestion) {
        if self.erased.contains(page) {
            return;
        }
        if self.touched.contains(page) || self.fresh == Some(page) {
            self.look(page, self.all_of(page));
            return;
        }
        self.add_asked(page, question);
    }

    fn add_asked(&mut self, page: u16, question: PageQuestion) {
        if let Err(at) = self.asked.binary_search(&(page, question)) {
            self.asked.insert(at, (page, question));
        }
    }

    /// The run programmed a unit, all of it.
    pub(crate) fn program(&mut self, unit: u32, bytes: &[u8]) {
        let page = self.page_of(unit);
        if self.erased.contains(page) {
            return;
        }
        if self.fresh == Some(page) {
            self.use_blank(page);
            return;
        }
        self.touched.insert(page);
        let now = programmed(unit, bytes, true);
        match find(&self.own, unit) {
            Ok(at) => self.own[at].times = self.own[at].times.saturating_add(1),
            Err(at) => self.own.insert(at, now),
        }
    }

    /// The run erased a page, all of it.
    pub(crate) fn erase(&mut self, page: u16) {
        self.erased.insert(page);
        self.fresh = self.fresh.filter(|fresh| *fresh != page);
        self.touched.remove(page);
    }

    fn use_blank(&mut self, page: u16) {
        let all = self.all_of(page);
        self.looked_at[usize::from(page)].join(all);
        self.blank = Some(page);
    }

    /// Something left the run here, did `last`, and then had this footprint.
    pub(crate) fn branched_off(&mut self, last: Last<'_>, later: &Footprint) {
        let erased_last = match last {
            Last::Erase { page } => Some(page),
            _ => None,
        };
        let programmed_last = match last {
            Last::Program { unit, bytes, whole } => Some(programmed(unit, bytes, whole)),
            _ => None,
        };
        let gone =
            |segment: &Self, page: u16| segment.erased.contains(page) || erased_last == Some(page);
        let page_last = match last {
            Last::TornErase { page } => Some(page),
            _ => programmed_last.map(|last| self.page_of(last.unit)),
        };
        for &(page, span) in &later.looked_at {
            if gone(self, page) {
                continue;
            }
            if !self.touched.contains(page) && page_last != Some(page) {
                self.looked_at[usize::from(page)].join(span);
                continue;
            }
            let is_settled = |unit| {
                let own = find(&self.own, unit).ok().map(|at| self.own[at].whole);
                let last = programmed_last.filter(|last| last.unit == unit);
                own.or(last.map(|last| last.whole)).unwrap_or(false)
            };
            let span = span.without(is_settled);
            self.looked_at[usize::from(page)].join(span);
        }
        for &(page, question) in &later.asked {
            if gone(self, page) {
                continue;
            }
            if self.touched.contains(page) || self.fresh == Some(page) || page_last == Some(page) {
                self.look(page, self.all_of(page));
                continue;
            }
            self.add_asked(page, question);
        }
        if let Some(page) = later.blank
            && !gone(self, page)
        {
            self.use_blank(page);
        }
        for next in later.programmed.iter() {
            let page = self.page_of(next.unit);
            if gone(self, page) {
                continue;
            }
            if self.fresh == Some(page) {
                self.use_blank(page);
                continue;
            }
            let mut whole_way = *next;
            let before = find(&self.own, next.unit).ok().map(|at| self.own[at]);
            let last = programmed_last.filter(|last| last.unit == next.unit);
            for earlier in last.into_iter().chain(before) {
                if earlier.bytes != whole_way.bytes && !earlier.whole {
                    self.looked_at[usize::from(page)].add(next.unit);
                }
                whole_way = Programmed {
                    times: earlier.times.saturating_add(whole_way.times),
                    whole: earlier.whole || whole_way.whole,
                    ..earlier
                };
            }
            self.add(whole_way);
        }
    }

    /// On one of several ways, `way` is programmed.
    fn add(&mut self, way: Programmed) {
        match find(&self.others, way.unit) {
            Err(at) => self.others.insert(at, way),
            Ok(at) => {
                let known = &mut self.others[at];
                known.times = known.times.max(way.times);
                known.whole &= way.whole;
                if known.bytes != way.bytes {
                    let page = (way.unit / self.units) as usize;
                    self.looked_at[page].add(way.unit);
                }
            }
        }
    }

    /// Whether the segment, in which nothing was programmed or erased, looked at and asked nothing that `later` does not
    /// too, so that [`Segment::footprint`] would be `later`.
    pub(crate) fn is_part_of(&self, later: &Footprint) -> bool {
        let mut known = later.looked_at.iter();
        let mut looks = (0_u16..)
            .zip(&self.looked_at)
            .filter(|(_, span)| !span.is_empty());
        self.fresh.is_none()
            && looks.all(|(page, span)| {
                known
                    .find(|(other, _)| *other == page)
                    .is_some_and(|(_, known)| known.from <= span.from && span.to <= known.to)
            })
            && self
                .asked
                .iter()
                .all(|asked| later.asked.binary_search(asked).is_ok())
    }

    /// The footprint from the segment's begin on, where `later` is that of what followed it.
    pub(crate) fn footprint(mut self, later: &Footprint) -> Footprint {
        self.branched_off(Last::Nothing, later);
        for way in std::mem::take(&mut self.own) {
            self.add(way);
        }
        let looked_at: Vec<(u16, Span)> = (0_u16..)
            .zip(&self.looked_at)
            .filter(|(_, span)| !span.is_empty())
            .map(|(page, span)| (page, *span))
            .collect();
        let excepted = self
            .others
            .iter()
            .map(|programmed| programmed.unit)
            .filter(|unit| {
                let span = self.looked_at[(unit / self.units) as usize];
                !span.is_empty() && !span.contains(*unit)
            })
            .collect();
        let programmed = if later.programmed[..] == self.others[..] {
            Rc::clone(&later.programmed)
        } else {
            self.others.into()
        };
        Footprint {
            looked_at,
            programmed,
            blank: self.blank,
            excepted,
            asked: self.asked,
            hash: 0,
        }
        .hashed()
    }
}

fn programmed(unit: u32, bytes: &[u8], whole: bool) -> Programmed {
    let mut padded = [0; 16];
    padded[..bytes.len()].copy_from_slice(bytes);
    Programmed {
        unit,
        times: 1,
        whole,
        bytes: padded,
    }
}

fn find(programmed: &[Programmed], unit: u32) -> Result<usize, usize> {
    match programmed.last() {
        Some(last) if last.unit.cmp(&unit) == Ordering::Less => Err(programmed.len()),
        None => Err(0),
        Some(_) => programmed.binary_search_by_key(&unit, |programmed| programmed.unit),
    }
}
