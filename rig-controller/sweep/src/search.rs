//! The cuts that an exploration tries.
use std::fmt;
use std::ops::RangeInclusive;

use powercut_explore::{Depth, Tearing};

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Search {
    /// Most cuts in a schedule, and whether all of those are tried or some at random.
    pub depth: Depth,
    /// The remains of an operation that a cut may leave.
    pub tearing: Tearing,
    /// Operations that may be hit by the first cut, numbered from 1.
    pub operations: RangeInclusive<u64>,
    /// Of those, each so-manieth is, counted from `stride_from` on.
    pub stride: u64,
    /// See `stride`.
    pub stride_from: u64,
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
            stride_from: 1,
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
            && operation
                .abs_diff(self.stride_from)
                .is_multiple_of(self.stride)
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
        let (from, to) = (self.stride_from, self.operations.end());
        write!(f, ":from-{from}")?;
        if *to != u64::MAX {
            write!(f, ":to-{to}")?;
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
