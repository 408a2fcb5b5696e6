//! From cut specifications to cuts that can happen.
//!
//! What can be cut is measured: a reference run without cuts gives a [`ReferenceProfile`]. Random cuts are drawn from
//! it by `ChaCha8Rng`, whose sequence is fixed by its algorithm, so a seed means the same cuts in every
//! version. A fixed cut that the profile rules out is a fault of the plan, found before anything is cut.
use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use super::cut::{Cut, CutAt, FragmentPhase, Phase, Torn};
use super::{CutSpec, PlanError};
use nor_flash_model::TornShape;
use powercut_document::Fault;

/// What an uncut run of a case's upgrade did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceProfile {
    /// Flash operations in each phase. A phase that did not happen is absent or 0.
    pub operations: BTreeMap<Phase, u64>,
    /// How often the new image may be tried before the device takes it back.
    pub trial_attempts: u8,
    /// Fragments of the package.
    pub fragments: u16,
}

impl ReferenceProfile {
    fn operations_in(&self, phase: Phase) -> u64 {
        self.operations.get(&phase).copied().unwrap_or(0)
    }

    /// The phases that have operations, in words.
    fn phases(&self) -> String {
        let named: Vec<&str> = Phase::ALL
            .into_iter()
            .filter(|phase| self.operations_in(*phase) > 0)
            .map(Phase::name)
            .collect();
        if named.is_empty() {
            "none".to_owned()
        } else {
            named.join(", ")
        }
    }

    /// Phase and number in it of operation `number` of the whole run, if there is one.
    fn locate(&self, number: u64) -> Option<(Phase, u64)> {
        let mut left = number;
        for phase in Phase::ALL {
            let here = self.operations_in(phase);
            if left <= here {
                return Some((phase, left));
            }
            left -= here;
        }
        None
    }

    /// A value that sorts cuts in the order in which a run meets them. Fragments are taken as spread evenly
    /// over the download, which keeps them in order among themselves and close among operations.
    fn position(&self, cut: &Cut) -> (Phase, u128) {
        let scale = 4 * u128::from(self.fragments.max(1));
        let in_phase = |phase, number: u64| (phase, u128::from(number) * scale);
        let in_fragment = |index: u16, moment: u128| {
            let download = u128::from(self.operations_in(Phase::Download));
            (Phase::Download, download * (4 * u128::from(index) + moment))
        };
        match cut.at {
            CutAt::PhaseOperation { phase, number } => in_phase(phase, number),
            CutAt::Operation(number) => {
                let (phase, number) = self.locate(number).unwrap_or((Phase::Revert, number));
                in_phase(phase, number)
            }
            // Where the messages of a run lie among its operations is not known; the first is before all of them.
            CutAt::StatusPayload { number, .. }
            | CutAt::RequestPayload { number, .. }
            | CutAt::Boot { number, .. } => (Phase::Download, u128::from(number)),
            CutAt::Fragment { index, phase } => in_fragment(
                index,
                match phase {
                    FragmentPhase::BeforeData => 1,
                    FragmentPhase::AfterData => 2,
                    FragmentPhase::AfterRecord => 3,
                },
            ),
        }
    }
}

/// The cuts of one case, in the order in which they happen.
///
/// # Errors
/// When a fixed cut cannot be reached, when a phase is left without operations to draw, or when random cuts
/// would use up the trial, which is the device's right and no fault of it.
pub fn resolve(
    specs: &[CutSpec],
    profile: &ReferenceProfile,
    case_seed: u64,
) -> Result<Vec<Cut>, PlanError> {
    resolve_placed(specs, profile, case_seed).map_err(|(_, fault)| PlanError(fault))
}

/// Like [`resolve`]; the error says which of `specs` it is about.
pub(super) fn resolve_placed(
    specs: &[CutSpec],
    profile: &ReferenceProfile,
    case_seed: u64,
) -> Result<Vec<Cut>, (usize, Fault)> {
    let mut cuts = Vec::new();
    let mut taken = BTreeSet::new();
    // Fixed cuts first: random ones keep clear of them wherever they stand in the list.
    for (position, spec) in specs.iter().enumerate() {
        if let CutSpec::At(cut) = spec {
            let place = reach(cut, profile).map_err(|fault| (position, fault))?;
            if place.is_some_and(|place| !taken.insert(place)) {
                let fault = Fault::new(
                    format!("`{cut}` meets an operation that another cut meets"),
                    "an operation happens once: leave one of the two out",
                );
                return Err((position, fault));
            }
            cuts.push(*cut);
        }
    }
    for (position, spec) in specs.iter().enumerate() {
        if let CutSpec::Random {
            count,
            during,
            seed,
            outage,
        } = spec
        {
            let mut rng = match seed {
                Some(seed) => generator("given", *seed, 0),
                None => generator("case", case_seed, position as u64),
            };
            for _ in 0..*count {
                let (at, torn) = draw(during, profile, &mut taken, &mut rng)
                    .map_err(|fault| (position, fault))?;
                let outage = *outage;
                cuts.push(Cut { at, torn, outage });
            }
        }
    }
    cuts.sort_by_key(|cut| profile.position(cut));
    Ok(cuts)
}

/// Check that a fixed cut can happen; the operation it meets, if it names one.
fn reach(cut: &Cut, profile: &ReferenceProfile) -> Result<Option<(Phase, u64)>, Fault> {
    match cut.at {
        CutAt::Fragment { index, .. } => {
            if index < profile.fragments {
                return Ok(None);
            }
            Err(Fault::new(
                format!(
                    "`{cut}` is never reached: the package has {} fragments",
                    profile.fragments
                ),
                format!("the last one is {}", i32::from(profile.fragments) - 1),
            ))
        }
        // Each asks for a fragment at least.
        CutAt::RequestPayload { number, .. } if number > profile.fragments => Err(Fault::new(
            format!(
                "`{cut}` is never reached: the package has {} fragments, and a request asks for one or more",
                profile.fragments
            ),
            "with a window, a request asks for half of it: choose a low number",
        )),
        // A device that has nothing to do reports again and again: every one comes, some day.
        // What a boot has come to by then is seen when it is run.
        CutAt::RequestPayload { .. } | CutAt::StatusPayload { .. } | CutAt::Boot { .. } => Ok(None),
        CutAt::Operation(number) => profile.locate(number).map(Some).ok_or_else(|| {
            let total: u64 = profile.operations.values().sum();
            Fault::new(
                format!("`{cut}` is never reached: the upgrade has {total} flash operations"),
                format!("choose one from 1 to {total}"),
            )
        }),
        CutAt::PhaseOperation { phase, number } => {
            let bound = profile.operations_in(phase);
            if number <= bound {
                return Ok(Some((phase, number)));
            }
            Err(if bound == 0 {
                Fault::new(
                    format!("`{cut}` is never reached: this upgrade has no operation in {phase}"),
                    format!("phases with operations: {}", profile.phases()),
                )
            } else {
                Fault::new(
                    format!("`{cut}` is never reached: {phase} has {bound} flash operations"),
                    format!("choose one from 1 to {bound}"),
                )
            })
        }
    }
}

fn spends_trial(phase: Phase) -> bool {
    matches!(phase, Phase::Trial | Phase::Confirm)
}

/// Draw the place of one cut that no other meets, and what is left there.
fn draw(
    during: &[Phase],
    profile: &ReferenceProfile,
    taken: &mut BTreeSet<(Phase, u64)>,
    rng: &mut ChaCha8Rng,
) -> Result<(CutAt, Torn), Fault> {
    // Every power cycle in a trial is an attempt; one must be left to confirm in.
    let attempts_spent = taken
        .iter()
        .filter(|(phase, _)| spends_trial(*phase))
        .count();
    let trial_is_full = attempts_spent + 1 >= usize::from(profile.trial_attempts);
    let taken_in = |phase| taken.range((phase, 0)..=(phase, u64::MAX));
    let open: Vec<(Phase, u64)> = during
        .iter()
        .map(|phase| {
            (
                *phase,
                profile
                    .operations_in(*phase)
                    .saturating_sub(taken_in(*phase).count() as u64),
            )
        })
        .filter(|(phase, free)| *free > 0 && !(trial_is_full && spends_trial(*phase)))
        .collect();
    if open.is_empty() {
        let named: Vec<&str> = during.iter().map(|phase| phase.name()).collect();
        return Err(Fault::new(
            format!(
                "no operation is left to cut at random in {}",
                named.join(", ")
            ),
            format!(
                "phases with operations: {}; at most {} cuts fit into trial and confirm together; lower `count` or add phases to `during`",
                profile.phases(),
                profile.trial_attempts.saturating_sub(1)
            ),
        ));
    }
    let (phase, free) = open[below(rng, open.len() as u64) as usize];
    // The k-th number that is free: count past those that are not.
    let mut number = 1 + below(rng, free);
    for (_, used) in taken_in(phase) {
        if *used <= number {
            number += 1;
        }
    }
    taken.insert((phase, number));
    Ok((CutAt::PhaseOperation { phase, number }, draw_torn(rng)))
}

/// What is left of the operation, in per cent: whole 40, before 10, half 15, other half 10, some bits 25.
fn draw_torn(rng: &mut ChaCha8Rng) -> Torn {
    match below(rng, 100) {
        0..40 => Torn::Whole,
        40..50 => Torn::Before,
        50..65 => Torn::Shape(TornShape::Half),
        65..75 => Torn::Shape(TornShape::OtherHalf),
        _ => Torn::Shape(TornShape::Bits(rng.next_u32())),
    }
}

/// A number below `bound`, every one equally likely; `bound` must not be 0.
fn below(rng: &mut ChaCha8Rng, bound: u64) -> u64 {
    // Numbers beyond the last whole multiple of `bound` would favour the small ones.
    let fair = u64::MAX - u64::MAX % bound;
    loop {
        let number = rng.next_u64();
        if number < fair {
            return number % bound;
        }
    }
}

/// A generator of its own for each specification, so that adding one does not change the others.
fn generator(kind: &str, seed: u64, position: u64) -> ChaCha8Rng {
    let text = format!("powercut cuts 1\n{kind}\n{seed}\n{position}\n");
    ChaCha8Rng::from_seed(Sha256::digest(text.as_bytes()).into())
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
