//! Makes a failing schedule small: fewer cuts, then earlier ones, then simpler results of each, then fewer and earlier
//! faults, while the same invariant still breaks. The result is locally minimal: no single one of these steps keeps it failing.
use nor_flash_model::{Cut, CutEffect, TornShape};

use super::oracle::Breach;
use super::schedule::Schedule;
use super::survey::replay;
use powercut_oracle::verdict::Invariant;

/// A smaller schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shrunk {
    /// What is left.
    pub schedule: Schedule,
    /// How it fails.
    pub breach: Breach,
    /// Schedules that were tried on the way.
    pub tried: u32,
    /// Whether no single step makes it smaller; `false` when the limit of tries was reached first.
    pub is_minimal: bool,
}

/// How many operations back an earlier place is looked for.
const EARLIER: u64 = 24;
const MOST_TRIES: u32 = 3_000;

/// Shrinks a schedule; `None` if it does not fail.
pub fn shrink(schedule: &Schedule) -> Option<Shrunk> {
    let breach = replay(schedule).err()?;
    let mut shrunk = Shrunk {
        schedule: schedule.clone(),
        breach,
        tried: 1,
        is_minimal: false,
    };
    let invariant = shrunk.breach.invariant;
    while shrunk.step(invariant) {}
    shrunk.is_minimal = shrunk.tried < MOST_TRIES;
    Some(shrunk)
}

impl Shrunk {
    /// Takes the first smaller schedule that fails alike; `false` if there is none.
    fn step(&mut self, invariant: Invariant) -> bool {
        let cuts = self.schedule.cuts.clone();
        let faults = self.schedule.faults.clone();
        let fewer_faults = (0..faults.len()).map(|gone| {
            let mut faults = faults.clone();
            faults.remove(gone);
            faults
        });
        let earlier_faults = (0..faults.len()).flat_map(|at| {
            let faults = &faults;
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
        let by_faults = fewer_faults.chain(earlier_faults).map(|faults| Schedule {
            faults,
            ..self.schedule.clone()
        });
        let by_cuts = smaller_cuts(&cuts).into_iter().map(|cuts| Schedule {
            cuts,
            ..self.schedule.clone()
        });
        let candidates: Vec<Schedule> = by_cuts.chain(by_faults).collect();
        for schedule in candidates {
            if self.tried >= MOST_TRIES {
                return false;
            }
            self.tried += 1;
            if let Err(breach) = replay(&schedule)
                && breach.invariant == invariant
            {
                self.schedule = schedule;
                self.breach = breach;
                return true;
            }
        }
        false
    }
}

/// Cuts that are one step smaller than these: fewer of them, then earlier ones, then simpler ones.
pub fn smaller_cuts(cuts: &[Cut]) -> Vec<Vec<Cut>> {
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
        let near = now.saturating_sub(EARLIER).max(after + 1)..now;
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

    #[test]
    fn what_does_not_fail_is_not_shrunk() {
        let line = "core:tiny:longer:seed=1:cuts=op700/before";
        assert_eq!(shrink(&line.parse().unwrap()), None);
    }
}
