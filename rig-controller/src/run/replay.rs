//! One recorded case, again, exactly: with the cuts of its line, on the board it names, as often as one likes.
use std::fmt;

use super::inputs::{InputError, Inputs};
use super::judged::Attempt;
use super::rig::{Cuts, Rig};
use crate::case::runner::Snapshot;
use crate::plan::{Case, CaseLine, LineCuts};
use crate::report::CaseResult;
use powercut_oracle::verdict::{Invariant, Verdict, VerdictClass};

/// What two runs of one case must have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// How it was judged.
    pub verdict: VerdictClass,
    /// The invariant that was broken.
    pub invariant: Option<Invariant>,
    /// SHA-256 of flash after each cut and at the end.
    pub flash_sha256: Vec<String>,
}

impl Fingerprint {
    /// Of an attempt that was judged.
    pub fn of(attempt: &Attempt, verdict: &Verdict) -> Self {
        Self {
            verdict: verdict.class(),
            invariant: verdict.invariant(),
            flash_sha256: attempt
                .report
                .snapshots
                .iter()
                .map(Snapshot::digest)
                .collect(),
        }
    }

    /// Of a recorded case.
    pub fn recorded(result: &CaseResult) -> Self {
        Self {
            verdict: result.verdict,
            invariant: result.invariant,
            flash_sha256: result.flash_sha256.clone(),
        }
    }

    /// The first thing in which `other` differs, in words.
    pub fn difference(&self, other: &Self) -> Option<String> {
        let flash = self.flash_sha256.iter().zip(&other.flash_sha256);
        for (position, (one, two)) in flash.enumerate() {
            if one != two {
                return Some(format!(
                    "flash snapshot {} is {} and {}",
                    position + 1,
                    short(one),
                    short(two)
                ));
            }
        }
        let (one, two) = (self.flash_sha256.len(), other.flash_sha256.len());
        if one != two {
            return Some(format!("there are {one} and {two} flash snapshots"));
        }
        (self != other).then(|| format!("the verdict is {self} and {other}"))
    }
}

fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.invariant {
            Some(invariant) => write!(f, "{} ({invariant})", self.verdict),
            None => write!(f, "{}", self.verdict),
        }
    }
}

/// What came of replaying a case.
#[derive(Debug)]
pub struct Replayed {
    /// The first attempt: all others should equal it.
    pub first: Attempt,
    /// How each judged run ended, in order; fewer than asked for if the run was cancelled.
    pub runs: Vec<Fingerprint>,
}

impl Replayed {
    /// How many runs equal the first.
    pub fn identical(&self) -> usize {
        let first = self.runs.first();
        self.runs.iter().filter(|run| Some(*run) == first).count()
    }

    /// The first run that differs from the first one, by its number from 1, and in what.
    pub fn first_difference(&self) -> Option<(usize, String)> {
        let first = self.runs.first()?;
        self.runs
            .iter()
            .enumerate()
            .find_map(|(position, run)| Some((position + 1, first.difference(run)?)))
    }
}

/// Runs the case of `line`, which `inputs` must hold, `times` times.
///
/// # Errors
/// When the bench has no such board.
pub fn replay(
    inputs: &Inputs,
    rig: &Rig<'_>,
    case: &Case,
    line: &CaseLine,
    times: usize,
) -> Result<Replayed, InputError> {
    let board = inputs.board(&line.board)?;
    let attempt = || match &line.cuts {
        LineCuts::Given(cuts) => rig.attempt(case, board, Cuts::Given(cuts)),
        LineCuts::AsPlanned => {
            // The reference run is part of what is repeated.
            rig.forget_references();
            rig.attempt(case, board, Cuts::AsPlanned)
        }
    };
    let first = attempt();
    let mut runs = Vec::new();
    if let Some(verdict) = &first.verdict {
        runs.push(Fingerprint::of(&first, verdict));
        for _ in 1..times {
            let again = attempt();
            let Some(verdict) = &again.verdict else {
                break;
            };
            runs.push(Fingerprint::of(&again, verdict));
        }
    }
    Ok(Replayed { first, runs })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(verdict: VerdictClass, flash: &[&str]) -> Fingerprint {
        Fingerprint {
            verdict,
            invariant: None,
            flash_sha256: flash.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn runs_differ_where_flash_first_does_and_only_then_in_the_verdict() {
        let one = run(VerdictClass::Pass, &["aa", "bb"]);
        assert_eq!(one.difference(&one.clone()), None);
        let differs = |other: &Fingerprint| one.difference(other).unwrap();
        assert_eq!(
            differs(&run(VerdictClass::Inconclusive, &["aa", "cc"])),
            "flash snapshot 2 is bb and cc"
        );
        assert_eq!(
            differs(&run(VerdictClass::Pass, &["aa"])),
            "there are 2 and 1 flash snapshots"
        );
        assert_eq!(
            differs(&run(VerdictClass::Inconclusive, &["aa", "bb"])),
            "the verdict is pass and inconclusive"
        );
    }
}
