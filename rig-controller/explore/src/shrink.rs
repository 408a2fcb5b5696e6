//! Makes a failing schedule small: fewer cuts, then earlier ones, then simpler results of each, then fewer and earlier
//! faults, while the same invariant still breaks. The result is locally minimal: no single one of these steps keeps it failing.
//!
//! [`shrink_by`] is the one way in which schedules of any kind are made small; what runs them, and what is smaller, is given to
//! it.
use std::convert::Infallible;

use nor_flash_model::{Cut, CutEffect, TornShape};

use super::oracle::Breach;
use super::schedule::Schedule;
use super::survey::replay;

/// A smaller schedule that fails as a larger one did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk<S> {
    /// What is left.
    pub schedule: S,
    /// How it fails.
    pub breach: Breach,
    /// Schedules that were tried on the way, the larger one included.
    pub tried: u32,
    /// Whether no single step makes it smaller; `false` when the limit of tries was reached first.
    pub is_minimal: bool,
}

/// How many operations back an earlier place is looked for.
const EARLIER: u64 = 24;
const MOST_TRIES: u32 = 3_000;

/// Shrinks a schedule of any kind; `None` if it does not fail. `smaller` lists the schedules that are one step smaller, in the
/// order in which they are tried; `run` runs one; `may_try` says whether one more may be run after so many. The first that
/// breaks the invariant of `schedule` takes its place, and so on. No schedule is run twice.
///
/// # Errors
/// When `run` cannot run a schedule.
pub fn shrink_by<S: PartialEq, E>(
    schedule: S,
    smaller: impl Fn(&S) -> Vec<S>,
    mut run: impl FnMut(&S) -> Result<Result<(), Breach>, E>,
    mut may_try: impl FnMut(u32) -> bool,
) -> Result<Option<Shrunk<S>>, E> {
    let Err(breach) = run(&schedule)? else {
        return Ok(None);
    };
    let mut shrunk = Shrunk {
        schedule,
        breach,
        tried: 1,
        is_minimal: false,
    };
    // Those that break nothing, or something else.
    let mut others = Vec::new();
    'smaller: loop {
        for schedule in smaller(&shrunk.schedule) {
            if others.contains(&schedule) {
                continue;
            }
            if !may_try(shrunk.tried) {
                return Ok(Some(shrunk));
            }
            shrunk.tried += 1;
            if let Err(breach) = run(&schedule)?
                && breach.invariant == shrunk.breach.invariant
            {
                shrunk.schedule = schedule;
                shrunk.breach = breach;
                continue 'smaller;
            }
            others.push(schedule);
        }
        shrunk.is_minimal = true;
        return Ok(Some(shrunk));
    }
}

/// Shrinks a schedule of this exploration; `None` if it does not fail.
pub fn shrink(schedule: &Schedule) -> Option<Shrunk<Schedule>> {
    let Ok(shrunk) = shrink_by(
        schedule.clone(),
        Schedule::smaller,
        |schedule| Ok::<_, Infallible>(replay(schedule)),
        |tried| tried < MOST_TRIES,
    );
    shrunk
}

impl Schedule {
    /// Schedules that are one step smaller: fewer, earlier or simpler cuts, then fewer or earlier faults.
    pub fn smaller(&self) -> Vec<Self> {
        let faults = &self.faults;
        let fewer_faults = (0..faults.len()).map(|gone| {
            let mut faults = faults.clone();
            faults.remove(gone);
            faults
        });
        let earlier_faults = (0..faults.len()).flat_map(|at| {
            let now = faults[at].operation();
            let after = at
                .checked_sub(1)
                .map_or(0, |before| faults[before].operation());
            (now.saturating_sub(EARLIER).max(after + 1)..now).map(move |operation| {
                let mut faults = faults.clone();
                faults[at] = faults[at].at(operation);
                faults
            })
        });
        let by_faults = fewer_faults.chain(earlier_faults).map(|faults| Self {
            faults,
            ..self.clone()
        });
        let by_cuts = smaller_cuts(&self.cuts, EARLIER)
            .into_iter()
            .map(|cuts| Self {
                cuts,
                ..self.clone()
            });
        by_cuts.chain(by_faults).collect()
    }
}

/// Cuts that are one step smaller than these: fewer of them, then earlier ones, then simpler ones. An earlier place is looked
/// for halfway, and up to `reach` operations back.
pub fn smaller_cuts(cuts: &[Cut], reach: u64) -> Vec<Vec<Cut>> {
    let fewer = (0..cuts.len()).map(|gone| {
        let mut cuts = cuts.to_vec();
        cuts.remove(gone);
        cuts
    });
    let simpler = (0..cuts.len()).flat_map(|at| {
        simpler_effects(cuts[at].effect).map(move |effect| {
            let mut cuts = cuts.to_vec();
            cuts[at].effect = effect;
            cuts
        })
    });
    let earlier = (0..cuts.len()).flat_map(|at| {
        let after = at.checked_sub(1).map_or(0, |before| cuts[before].operation);
        let now = cuts[at].operation;
        let near = now.saturating_sub(reach).max(after + 1)..now;
        let halfway = after + (now - after) / 2;
        std::iter::once(halfway)
            .filter(move |half| *half > after && *half < now)
            .chain(near)
            .map(move |operation| moved(cuts, at, operation))
    });
    fewer.chain(earlier).chain(simpler).collect()
}

/// The cut at `at` and all after it, moved together: what matters is how far they are apart.
fn moved(cuts: &[Cut], at: usize, operation: u64) -> Vec<Cut> {
    let by = cuts[at].operation - operation;
    let mut cuts = cuts.to_vec();
    for cut in &mut cuts[at..] {
        cut.operation -= by;
    }
    cuts
}

/// What is simpler than `effect`, simplest first.
fn simpler_effects(effect: CutEffect) -> impl Iterator<Item = CutEffect> {
    use nor_flash_model::Flicker;
    [
        CutEffect::Before,
        CutEffect::After,
        CutEffect::Torn(TornShape::Half),
        CutEffect::Torn(TornShape::OtherHalf),
        CutEffect::Torn(TornShape::Prefix(1)),
        CutEffect::Unreadable,
        CutEffect::Torn(TornShape::ByteBits(1)),
        CutEffect::Torn(TornShape::AllBut(1)),
        CutEffect::Weak(Flicker::Boots(0b01)),
        CutEffect::Weak(Flicker::Boots(0b1111_1110)),
        CutEffect::Weak(Flicker::Looks(0b01)),
        CutEffect::Weak(Flicker::Looks(0b1111_1110)),
        CutEffect::Weak(Flicker::Looks(0b1010_1010)),
        CutEffect::Weak(Flicker::Looks(0b0101_0101)),
    ]
    .into_iter()
    .take_while(move |simpler| *simpler != effect)
}

#[cfg(test)]
mod tests {
    use powercut_oracle::verdict::Invariant;

    use super::*;

    #[test]
    fn a_schedule_shrinks_to_what_its_failure_needs() {
        let line = "core:tiny:longer:seed=1:cuts=op700/weak-boots6,op2600/bits77";
        let shrunk = shrink(&line.parse().unwrap()).unwrap();
        assert_eq!(shrunk.breach.invariant, Invariant::T1);
        let [cut] = shrunk.schedule.cuts[..] else {
            panic!("{}", shrunk.schedule);
        };
        assert_eq!(cut.effect, CutEffect::Before, "the simplest");
        assert!(shrunk.is_minimal);
        let earlier = Schedule {
            cuts: moved(&shrunk.schedule.cuts, 0, cut.operation - 1),
            ..shrunk.schedule
        };
        assert_eq!(replay(&earlier), Ok(()), "no earlier one fails");
    }

    /// Shrinks a number to the smallest one from which on `invariant` breaks, in so many tries at most.
    fn shrunk_number(number: u32, most_tries: u32) -> Shrunk<u32> {
        let breach = |invariant| Breach {
            invariant,
            reason: String::new(),
        };
        let mut tried = std::collections::BTreeSet::new();
        let run = |number: &u32| {
            assert!(tried.insert(*number), "{number} was run twice");
            Ok::<_, Infallible>(match number {
                0..10 => Ok(()),
                10..20 => Err(breach(Invariant::L1)),
                _ => Err(breach(Invariant::S2)),
            })
        };
        let smaller = |number: &u32| vec![7, number / 2, number - 1];
        let Ok(shrunk) = shrink_by(number, smaller, run, |tried| tried < most_tries);
        shrunk.unwrap()
    }

    #[test]
    fn a_step_that_breaks_another_invariant_is_not_taken() {
        let shrunk = shrunk_number(83, u32::MAX);
        assert_eq!(shrunk.schedule, 20);
        assert_eq!(shrunk.breach.invariant, Invariant::S2);
        assert!(shrunk.is_minimal);
    }

    #[test]
    fn what_was_not_tried_to_the_end_is_not_called_minimal() {
        let shrunk = shrunk_number(83, 3);
        assert_eq!((shrunk.schedule, shrunk.tried), (41, 3));
        assert!(!shrunk.is_minimal);
    }

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        let line = "core:tiny:longer:seed=1:cuts=op700/before";
        assert_eq!(shrink(&line.parse().unwrap()), None);
    }
}
