//! The cuts that an exploration tries.
use std::fmt;
use std::ops::RangeInclusive;

use powercut_explore::{Depth, Tearing};

/// Parts of a search, at most. Fixed, so that a record made with another number of cores is still of use.
const MOST_PARTS: u64 = 64;
/// Operations of a part, at least: each part begins with a run up to its first one.
const LEAST_OPERATIONS: u64 = 500;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Search {
    /// Most cuts in a schedule, and whether all of those are tried or some at random.
    pub depth: Depth,
    /// The remains of an operation that a cut may leave.
    pub tearing: Tearing,
    /// Operations that may be hit by the first cut, numbered from 1.
    pub operations: RangeInclusive<u64>,
    /// Of those, each so-manieth is, beginning with the first.
    pub stride: u64,
    /// Whether futures that are known are not followed again.
    pub merging: bool,
    /// Of the states whose future is known, each so-manieth is followed all the same, and has to agree.
    pub check_one_in: u64,
}

impl Default for Search {
    /// Every single cut.
    fn default() -> Self {
        Self {
            depth: Depth::Exhaustive { cuts: 1 },
            tearing: Tearing::Weak,
            operations: 1..=u64::MAX,
            stride: 1,
            merging: true,
            check_one_in: 1000,
        }
    }
}

impl Search {
    /// Most cuts in a schedule that are tried one after the other.
    pub(crate) fn levels(&self) -> usize {
        match self.depth {
            Depth::Exhaustive { cuts } => cuts,
            Depth::Random { .. } => 1,
        }
    }

    /// Whether the first cut may hit this operation.
    pub(crate) fn hits(&self, operation: u64) -> bool {
        self.operations.contains(&operation)
            && (operation - self.operations.start()).is_multiple_of(self.stride)
    }

    /// The same search in parts, each of which can be explored by itself, of an upgrade that takes so many operations without
    /// a cut. An operation that the search may hit is hit by one part and no other. None if there is no such operation.
    pub(crate) fn parts(&self, operations: u64) -> Vec<Self> {
        let (first, stride) = (*self.operations.start(), self.stride);
        let last = operations.min(*self.operations.end());
        let span = (last + 1).saturating_sub(first);
        let of = (span / LEAST_OPERATIONS).clamp(1, MOST_PARTS);
        let hits = span.div_ceil(stride);
        let at = |part: u64| first + hits * part / of * stride;
        (0..of)
            .map(|part| at(part)..=last.min(at(part + 1) - 1))
            .filter(|operations| !operations.is_empty())
            .map(|operations| Self {
                operations,
                ..self.clone()
            })
            .collect()
    }
}

impl fmt::Display for Search {
    /// All that makes a difference to what comes out of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.tearing)?;
        match self.depth {
            Depth::Exhaustive { cuts } => write!(f, "all-{cuts}")?,
            Depth::Random {
                samples,
                cuts,
                seed,
            } => write!(f, "random-{samples}x{cuts}-seed-{seed}")?,
        }
        match (self.operations.start(), self.operations.end()) {
            (from, &u64::MAX) => write!(f, ":from-{from}")?,
            (from, to) => write!(f, ":from-{from}-to-{to}")?,
        }
        if self.stride != 1 {
            write!(f, ":stride-{}", self.stride)?;
        }
        if self.merging {
            return write!(f, ":check-{}", self.check_one_in);
        }
        f.write_str(":unmerged")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn search(operations: RangeInclusive<u64>, stride: u64) -> Search {
        Search {
            operations,
            stride,
            ..Search::default()
        }
    }

    /// Operations that a search hits.
    fn hit(search: &Search, operations: u64) -> Vec<u64> {
        (1..=operations)
            .filter(|operation| search.hits(*operation))
            .collect()
    }

    #[test]
    fn parts_hit_what_the_whole_hits_each_operation_once() {
        let operations = 57_400;
        for whole in [
            search(1..=u64::MAX, 1),
            search(1..=u64::MAX, 401),
            search(1_000..=1_030, 4),
            search(57_380..=60_000, 7),
            search(3..=3, 1_000),
            search(999..=41_111, 13),
        ] {
            let parts = whole.parts(operations);
            let by_parts: Vec<u64> = parts
                .iter()
                .flat_map(|part| hit(part, operations))
                .collect();
            assert_eq!(by_parts, hit(&whole, operations), "{whole}");
            assert!(parts.len() as u64 <= MOST_PARTS, "{whole}");
        }
    }

    #[test]
    fn an_upgrade_that_ends_before_the_first_operation_leaves_no_part() {
        assert!(search(101..=200, 1).parts(100).is_empty());
        assert!(search(1..=200, 1).parts(0).is_empty());
    }

    #[test]
    fn searches_that_hit_other_operations_have_other_names() {
        let parts: Vec<Search> = [
            search(1_000..=1_030, 1),
            search(1_001..=1_030, 1),
            search(1_000..=1_029, 1),
            search(1_000..=1_030, 5),
            search(1_005..=1_030, 5),
            search(1..=u64::MAX, 5),
            search(2..=u64::MAX, 5),
        ]
        .iter()
        .flat_map(|search| search.parts(3_000))
        .collect();
        let names: BTreeSet<String> = parts.iter().map(Search::to_string).collect();
        let work: BTreeSet<Vec<u64>> = parts.iter().map(|part| hit(part, 3_000)).collect();
        assert_eq!(names.len(), work.len());
    }
}
