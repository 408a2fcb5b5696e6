//! The core in process and the firmware itself, given the same cuts: flash after each cut and at the end must be the same.
use nor_flash_model::{Cut, CutEffect, Flicker, split_mix};

use super::explore::DEFAULT_SEED;
use crate::cli::{CliError, exit, say};
use crate::run::on_board::compare_flashes;
use crate::run::{Inputs, upgrade as core_upgrade};
use powercut_explore::{Tearing, effects, replay_with_flash};
use powercut_sweep::{ElfLine, Upgrade, replay};

/// Plays `count` schedules of each upgrade, of one cut or two, in both; the exit code. Each kind of cut has its turn.
pub(super) fn compare_core(
    inputs: &Inputs,
    upgrades: Vec<Upgrade>,
    count: u32,
    seed: Option<u64>,
) -> Result<u8, CliError> {
    let mut worst = exit::PASS;
    let mut random = seed.unwrap_or(DEFAULT_SEED);
    for upgrade in upgrades {
        let board = inputs.board(&upgrade.name.board)?;
        let Some(case) = inputs
            .cases
            .iter()
            .find(|case| case.index == upgrade.name.index)
        else {
            continue;
        };
        let core = core_upgrade(inputs, case, board)?;
        let operations = replay(&upgrade, &[])?.operations;
        let programs_twice = upgrade.board.geometry.programs_twice();
        let kinds = effects(Tearing::Weak, programs_twice);
        let mut same = 0;
        for number in 0..count {
            let first = kinds[number as usize % kinds.len()];
            let cuts = cuts(&mut random, operations, first, number % 3 == 2);
            let line = ElfLine {
                case: upgrade.name.clone(),
                cuts,
            };
            match difference(&upgrade, &line, &line.of_core().of(core.clone()))? {
                None => same += 1,
                Some(difference) => {
                    say::line(&format!("DIFFERENT {line}: {difference}"));
                    worst = exit::FIRMWARE;
                }
            }
        }
        say::line(&format!(
            "{}: {same} of {count} schedules leave the same flash in the core and in the firmware",
            upgrade.name
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

/// The first thing in which both differ.
fn difference(
    upgrade: &Upgrade,
    line: &ElfLine,
    schedule: &powercut_explore::Schedule,
) -> Result<Option<String>, CliError> {
    let (core, mut in_core) = replay_with_flash(schedule);
    let firmware = replay(upgrade, &line.cuts)?;
    let mut in_firmware = firmware.flashes;
    // The core looks at a record as a whole, the driver byte by byte: what they see of bits that change from look to look
    // differs, and so may all that follows from the first cut.
    if line
        .cuts
        .iter()
        .any(|cut| changes_from_look_to_look(cut.effect))
    {
        for flashes in [&mut in_core, &mut in_firmware] {
            flashes.after_cuts.truncate(1);
            flashes.at_rest = None;
        }
    } else if core.is_ok() != firmware.judged.is_ok() {
        let said = |judged: Result<(), powercut_explore::Breach>| {
            judged.map_or_else(|breach| breach.to_string(), |()| "pass".to_owned())
        };
        return Ok(Some(format!(
            "the core: {}; the firmware: {}",
            said(core),
            said(firmware.judged)
        )));
    }
    let compared = compare_flashes(&in_core, &in_firmware);
    Ok(compared.err().map(|difference| difference.to_string()))
}

fn changes_from_look_to_look(effect: CutEffect) -> bool {
    matches!(
        effect.flicker(),
        Some(Flicker::Looks(_) | Flicker::Random(_))
    )
}
