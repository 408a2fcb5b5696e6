//! Which runs need not go on. Between two resets the device is a deterministic program whose only inputs are the
//! flash it reads and the answers of a platform that is deterministic itself. Where it stands is therefore said by what it
//! has read and erased since its reset, or, where bootloader and application say what they go on with
//! ([`goes_on_with`](powercut_upgrade::watched::WatchedFlash::goes_on_with)), by that and what was read and erased since. Two
//! runs that stand at the same place, with equal oracle memory, equally many cuts to come and flash that is equal wherever
//! the first of them went on to look, have the same future: see `footprint.rs`. Runs ask at each reset, at each such
//! statement and after each erase: there an interrupted page is whole again, whichever of its hundreds of operations was
//! cut. A test compares the counts with those of following every run to its end.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::rc::Rc;

use nor_flash_model::{NorFlashModel, fold};
use powercut_upgrade::watched::PageQuestion;

use super::footprint::Footprint;
use super::recent::Recent;

/// Takes keys as they are: they are hashes already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A map whose keys are hashes.
pub(super) type Hashed<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// Footprints that are kept of a place. Those that matched last come first: most others were of a journal page that no run
/// to come will have again.
const MOST_FOOTPRINTS: usize = 8;

/// A future that was explored.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) footprint: Rc<Footprint>,
    /// Schedules in it.
    pub(super) schedules: u64,
    /// What flash holds where the footprint looks.
    seen: u64,
}

/// The futures that were explored. Where a run stands beyond flash is its *place*: what it has read, what the oracle
/// remembers, how many cuts it has had.
#[derive(Debug, Default)]
pub(super) struct ExploredFutures {
    /// By place: the footprints of futures from there, and their hashes.
    footprints: Hashed<Vec<(u64, Rc<Footprint>)>>,
    /// By place, footprint and what flash held there: schedules in that future.
    schedules: Hashed<u64>,
    pub(super) answers: Answers,
}

/// What pages answered to questions lately: by question, page and content. One that is forgotten is asked again.
#[derive(Debug, Default)]
pub(super) struct Answers(Recent<u64>);

impl Answers {
    fn key(question: PageQuestion, page: u16, content: u64) -> u64 {
        fold(content, u64::from(page) << 8 | question as u64)
    }

    /// A page with this content was asked and answered.
    pub(super) fn learn(&mut self, question: PageQuestion, page: u16, content: u64, answer: u64) {
        self.0.insert(Self::key(question, page, content), answer);
    }

    /// What a page with this content answered, if it was asked.
    pub(super) fn get(&self, question: PageQuestion, page: u16, content: u64) -> Option<u64> {
        self.0.get(Self::key(question, page, content)).copied()
    }
}

impl ExploredFutures {
    /// The future of a run that is at `place` with `flash`, if it was explored.
    pub(super) fn known<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
        &mut self,
        place: u64,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    ) -> Option<Known> {
        let footprints = self.footprints.get_mut(&place)?;
        let (at, seen, schedules) =
            footprints
                .iter()
                .enumerate()
                .find_map(|(at, (hash, footprint))| {
                    let seen = footprint.seen_in(flash, &self.answers)?;
                    let schedules = *self.schedules.get(&key(place, *hash, seen))?;
                    footprint.fits(flash).then_some((at, seen, schedules))
                })?;
        footprints[..=at].rotate_right(1);
        Some(Known {
            footprint: Rc::clone(&footprints[0].1),
            schedules,
            seen,
        })
    }

    /// The future of `place` with `flash` was explored.
    pub(super) fn learn<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
        &mut self,
        place: u64,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
        footprint: Footprint,
        schedules: u64,
    ) -> Rc<Footprint> {
        let hash = footprint.hash();
        // Flash that does not take what was programmed in it broke an invariant; that future is no model for others.
        let seen = footprint.seen_in(flash, &self.answers);
        let Some(seen) = seen.filter(|_| footprint.fits(flash)) else {
            return Rc::new(footprint);
        };
        self.schedules.insert(key(place, hash, seen), schedules);
        self.keep(place, hash, || Rc::new(footprint))
    }

    /// At `place`, with flash as it is now, `known` is the future too.
    pub(super) fn learn_also(&mut self, place: u64, known: &Known, schedules: u64) {
        let hash = known.footprint.hash();
        self.schedules
            .insert(key(place, hash, known.seen), schedules);
        self.keep(place, hash, || Rc::clone(&known.footprint));
    }

    /// Puts the footprint with this hash before all others of `place`.
    fn keep(
        &mut self,
        place: u64,
        hash: u64,
        footprint: impl FnOnce() -> Rc<Footprint>,
    ) -> Rc<Footprint> {
        let known = self.footprints.entry(place).or_default();
        if let Some(at) = known.iter().position(|(other, _)| *other == hash) {
            known[..=at].rotate_right(1);
        } else {
            known.truncate(MOST_FOOTPRINTS - 1);
            known.insert(0, (hash, footprint()));
        }
        Rc::clone(&known[0].1)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.schedules.len()
    }
}

fn key(place: u64, footprint: u64, seen: u64) -> u64 {
    fold(fold(place, footprint), seen)
}

/// Where a device is: the state it stood at last, and everything it has read and erased since, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observations(pub(super) u64);

impl Observations {
    pub(super) const NONE: Self = Self(0);

    /// Nothing was read since the device stood at a state that hashes like this.
    pub(super) fn since(state: u64) -> Self {
        Self(fold(1, state))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut hash = Folded(fold(self.0, bytes.len() as u64));
        hash.write(bytes);
        self.0 = hash.0;
    }

    /// A page was erased: the device is past that now.
    pub(super) fn add_erase(&mut self, page: u16) {
        self.0 = fold(self.0, u64::from(page) | 1 << 32);
    }

    /// A question was answered.
    pub(super) fn add_answer(&mut self, question: u64, answer: u64) {
        self.0 = fold(self.0, fold(question, answer));
    }
}

/// A fast hash of whatever implements [`Hash`].
pub(super) fn hash_of(value: &impl Hash) -> u64 {
    let mut hash = Folded(0);
    value.hash(&mut hash);
    hash.0
}

struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.0 = fold(self.0, u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.0 = fold(self.0, u64::from_le_bytes(word) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = fold(self.0, value);
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}
