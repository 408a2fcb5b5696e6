//! The upgrades of a plan, ready to be explored in process: on the flash that a board of the bench is provisioned with.
use std::sync::Arc;

use super::inputs::{InputError, Inputs};
use crate::plan::Case;
use powercut_bench::entry::BoardEntry;
use powercut_explore::{CaseName, PlannedCase, PlannedUpgrade, loss_permille};
use powercut_link::LinkProfile;

/// The upgrade of `case` as it would run on `board`.
///
/// # Errors
/// When the images do not fit the board, or cannot lead to what the plan expects.
pub fn upgrade(
    inputs: &Inputs,
    case: &Case,
    board: &BoardEntry,
) -> Result<Arc<PlannedUpgrade>, InputError> {
    let plan = || inputs.sources.plan.clone();
    let provisioned = inputs.provisioned(case, board);
    let (images, _, flash) = provisioned.map_err(|source| InputError::Image {
        plan: plan(),
        case: case.index,
        source,
    })?;
    let map = (inputs.firmware.geometry(), inputs.firmware.layout());
    let link = inputs.link(case);
    let planned = PlannedCase {
        name: CaseName {
            plan: case.plan.clone(),
            index: case.index,
            board: board.name.clone(),
            seed: case.plan_seed,
        },
        outcome: case.expect.outcome,
        new_image: case.to.to_string(),
        seed: case.seed,
    };
    PlannedUpgrade::new(planned, &images, flash, map, &link)
        .map(Arc::new)
        .map_err(|source| InputError::Scene {
            plan: plan(),
            case: case.index,
            source,
        })
}

/// The different upgrades of all cases, each once and under its lowest number, as they would run on the bench's first
/// board; if `chosen` names any cases, only their upgrades.
///
/// # Errors
/// When the plan has no such case, or an upgrade cannot be explored.
pub fn upgrades(inputs: &Inputs, chosen: &[usize]) -> Result<Vec<Arc<PlannedUpgrade>>, InputError> {
    firsts(inputs, chosen)?
        .into_iter()
        .map(|(case, board)| upgrade(inputs, case, board))
        .collect()
}

/// The case that stands for each different upgrade, with the board it would run on.
///
/// # Errors
/// When the plan has no such case.
fn firsts<'i>(
    inputs: &'i Inputs,
    chosen: &[usize],
) -> Result<Vec<(&'i Case, &'i BoardEntry)>, InputError> {
    inputs.check_cases(chosen)?;
    let board = inputs.first_board()?;
    let is_chosen = |cases: &&Vec<&Case>| {
        chosen.is_empty() || cases.iter().any(|case| chosen.contains(&case.index))
    };
    let upgrades = distinct_upgrades(&inputs.cases, |case| inputs.link(case));
    let firsts = upgrades
        .iter()
        .filter(is_chosen)
        .filter_map(|cases| cases.first());
    Ok(firsts.map(|case| (*case, board)).collect())
}

/// The different upgrades among `cases`, each as the cases that are alike but for their cuts; the first of them stands for
/// all.
fn distinct_upgrades(cases: &[Case], link: impl Fn(&Case) -> LinkProfile) -> Vec<Vec<&Case>> {
    let loss: Vec<u16> = cases
        .iter()
        .map(|case| loss_permille(&link(case)))
        .collect();
    let mut upgrades: Vec<(u16, Vec<&Case>)> = Vec::new();
    for (case, loss) in cases.iter().zip(loss) {
        let alike = upgrades.iter_mut().find(|(other_loss, others)| {
            let other = others[0];
            *other_loss == loss
                && other.from == case.from
                && other.to == case.to
                && other.suite == case.suite
                && other.fragment_bytes == case.fragment_bytes
                && other.dialect == case.dialect
                && other.expect.outcome == case.expect.outcome
        });
        match alike {
            Some((_, others)) => others.push(case),
            None => upgrades.push((loss, vec![case])),
        }
    }
    upgrades.into_iter().map(|(_, cases)| cases).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use powercut_link::WayProfile;

    use super::*;
    use crate::plan::Plan;

    fn cases(lines: &str) -> Vec<Case> {
        let text = format!("plan: p\nseed: 7\n{lines}");
        Plan::parse(Path::new("p.yaml"), &text).unwrap().cases()
    }

    fn lossy() -> LinkProfile {
        let way = WayProfile {
            drop_percent: 4.0,
            ..WayProfile::default()
        };
        LinkProfile {
            to_platform: way,
            to_device: way,
            ..LinkProfile::ideal()
        }
    }

    #[test]
    fn cases_that_differ_in_cuts_and_repetition_alone_are_one_upgrade_under_the_lowest_number() {
        let cases = cases(
            "repeat: 2
groups:
  - { name: a, upgrade: { from: 1.0.0, to: 1.1.0 }, matrix: { link: [ideal, lossy] } }
  - { name: b, upgrade: { from: 1.0.0, to: 1.1.0 }, modem_power: with_board, cuts: [{ at: { operation: 3 } }] }
  - { name: c, upgrade: { from: 1.0.0, to: 1.1.0 }, matrix: { fragment_bytes: [500] } }
",
        );
        let link = |case: &Case| match case.link.as_str() {
            "lossy" => lossy(),
            _ => LinkProfile::ideal(),
        };
        let upgrades: Vec<Vec<usize>> = distinct_upgrades(&cases, link)
            .iter()
            .map(|cases| cases.iter().map(|case| case.index).collect())
            .collect();
        assert_eq!(upgrades, [vec![1, 2, 5, 6], vec![3, 4], vec![7, 8]]);
    }
}
