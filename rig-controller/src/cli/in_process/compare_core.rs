//! The core in process and the firmware itself, given the same cuts: verdicts must be the same, and flash after each cut and
//! at the end.
use std::sync::Arc;

use nor_flash_model::{Cut, CutEffect, Flicker, split_mix};

use super::explore::DEFAULT_SEED;
use crate::cli::{CliError, exit, say};
use crate::run::on_board::compare_flashes;
use crate::run::{Inputs, upgrade as core_upgrade};
use powercut_explore::{Breach, Flashes, Schedule, Tearing, effects, replay_with_flash};
use powercut_sweep::campaign::NothingToCutError;
use powercut_sweep::{ElfLine, Upgrade, replay};

/// Plays `count` schedules of each upgrade, of one cut or two, in both; the exit code. Each kind of cut has its turn. Each
/// upgrade comes with the flash operations that it takes without a cut.
pub(super) fn compare_core(
    inputs: &Inputs,
    upgrades: &[(Arc<Upgrade>, u64)],
    count: u32,
    seed: Option<u64>,
) -> Result<u8, CliError> {
    let mut worst = exit::PASS;
    let mut random = seed.unwrap_or(DEFAULT_SEED);
    for (upgrade, operations) in upgrades {
        if *operations == 0 {
            let upgrade = upgrade.name.clone();
            return Err(NothingToCutError {
                upgrade,
                first: 1,
                operations: 0,
            }
            .into());
        }
        let board = inputs.board(&upgrade.name.board)?;
        let case = inputs.case(upgrade.name.index)?;
        let core = core_upgrade(inputs, case, board)?;
        let programs_twice = upgrade.board.geometry.programs_twice();
        let kinds = effects(Tearing::Weak, programs_twice);
        let (mut same, mut in_part) = (0, 0);
        for number in 0..count {
            let first = kinds[number as usize % kinds.len()];
            let cuts = cuts(&mut random, *operations, first, number % 3 == 2);
            let line = ElfLine {
                case: upgrade.name.clone(),
                cuts,
            };
            match play(upgrade, &line, &line.of_core().of(core.clone()))? {
                Comparison::Same => same += 1,
                Comparison::SameUpToTheFirstCut => in_part += 1,
                Comparison::Broken(breach) => {
                    say::line(&format!("FAILED in both {line}: {breach}"));
                    worst = exit::FIRMWARE;
                }
                Comparison::Different(difference) => {
                    say::line(&format!("DIFFERENT {line}: {difference}"));
                    worst = exit::FIRMWARE;
                }
            }
        }
        say::line(&format!(
            "{}: {} of {count} schedules leave the same flash in the core and in the firmware, {in_part} of them compared up to their first cut alone",
            upgrade.name,
            same + in_part
        ));
    }
    Ok(worst)
}

/// One cut with this effect anywhere, and perhaps a whole one soon after.
fn cuts(random: &mut u64, operations: u64, effect: CutEffect, two: bool) -> Vec<Cut> {
    let operation = 1 + split_mix(random) % operations;
    let mut cuts = vec![Cut { operation, effect }];
    if two {
        cuts.push(Cut {
            operation: operation + 1 + split_mix(random) % 40,
            effect: CutEffect::Before,
        });
    }
    cuts
}

/// The outcome of one schedule in the core, and in the firmware.
type Outcome = (Result<(), Breach>, Flashes);

/// Two outcomes, compared.
#[derive(Debug, PartialEq, Eq)]
enum Comparison {
    /// Both have the same verdict, and the same flash after each cut and at the end.
    Same,
    /// Both have the same flash after the first cut; no more was compared.
    SameUpToTheFirstCut,
    /// Both break this invariant before they come to rest.
    Broken(Breach),
    /// They differ in this.
    Different(String),
}

fn play(upgrade: &Upgrade, line: &ElfLine, schedule: &Schedule) -> Result<Comparison, CliError> {
    let core = replay_with_flash(schedule);
    let firmware = replay(upgrade, &line.cuts)?;
    Ok(compare(
        core,
        (firmware.judged, firmware.flashes),
        &line.cuts,
    ))
}

fn compare(core: Outcome, firmware: Outcome, cuts: &[Cut]) -> Comparison {
    let (in_core, mut core) = core;
    let (in_firmware, mut firmware) = firmware;
    // The core looks at a record as a whole, the driver byte by byte: what they see of bits that change from look to look
    // differs, and so may all that follows from the first cut.
    let is_in_part = cuts.iter().any(|cut| changes_from_look_to_look(cut.effect));
    if is_in_part {
        for flashes in [&mut core, &mut firmware] {
            flashes.after_cuts.truncate(1);
            flashes.at_rest = None;
        }
    } else if broken(&in_core) != broken(&in_firmware) {
        return Comparison::Different(format!(
            "the core: {}; the firmware: {}",
            said(&in_core),
            said(&in_firmware)
        ));
    }
    match (compare_flashes(&core, &firmware), in_firmware) {
        (Err(difference), _) => Comparison::Different(difference.to_string()),
        (Ok(_), _) if is_in_part => Comparison::SameUpToTheFirstCut,
        (Ok(same), _) if same.end => Comparison::Same,
        (Ok(_), Err(breach)) => Comparison::Broken(breach),
        (Ok(same), Ok(())) => Comparison::Different(same.to_string()),
    }
}

fn broken(judged: &Result<(), Breach>) -> Option<powercut_oracle::verdict::Invariant> {
    judged.as_ref().err().map(|breach| breach.invariant)
}

fn said(judged: &Result<(), Breach>) -> String {
    match judged {
        Ok(()) => "pass".to_owned(),
        Err(breach) => breach.to_string(),
    }
}

fn changes_from_look_to_look(effect: CutEffect) -> bool {
    matches!(
        effect.flicker(),
        Some(Flicker::Looks(_) | Flicker::Random(_))
    )
}

#[cfg(test)]
mod tests {
    use powercut_oracle::verdict::Invariant;

    use super::*;

    fn breach(invariant: Invariant) -> Result<(), Breach> {
        Err(Breach {
            invariant,
            reason: "seen".to_owned(),
        })
    }

    fn outcome(judged: Result<(), Breach>, at_rest: Option<u8>) -> Outcome {
        let flashes = Flashes {
            after_cuts: vec![vec![1; 4]],
            at_rest: at_rest.map(|byte| vec![byte; 4]),
        };
        (judged, flashes)
    }

    fn compared(core: Outcome, firmware: Outcome) -> Comparison {
        compare(core, firmware, &["op3/before".parse().unwrap()])
    }

    #[test]
    fn two_that_pass_have_to_come_to_the_same_end() {
        let rests = |byte| outcome(Ok(()), Some(byte));
        assert_eq!(compared(rests(2), rests(2)), Comparison::Same);
        for firmware in [rests(3), outcome(Ok(()), None)] {
            let found = compared(rests(2), firmware);
            assert!(matches!(found, Comparison::Different(_)), "{found:?}");
        }
    }

    #[test]
    fn other_broken_invariants_are_a_difference_and_the_same_one_is_a_failure() {
        let breaks = |invariant| outcome(breach(invariant), None);
        let found = compared(breaks(Invariant::S1), breaks(Invariant::L1));
        let said = "the core: S1: seen; the firmware: L1: seen";
        assert_eq!(found, Comparison::Different(said.to_owned()));
        let found = compared(breaks(Invariant::S1), breaks(Invariant::S1));
        assert!(matches!(found, Comparison::Broken(_)), "{found:?}");
    }

    #[test]
    fn behind_bits_that_change_from_look_to_look_nothing_is_compared() {
        let cuts = ["op3/weak-looks6".parse().unwrap()];
        let core = outcome(Ok(()), Some(2));
        let firmware = outcome(breach(Invariant::L1), None);
        assert_eq!(
            compare(core, firmware, &cuts),
            Comparison::SameUpToTheFirstCut
        );
    }
}
