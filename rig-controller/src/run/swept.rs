//! The upgrades of a plan as the firmware itself makes them: on the flash that a board of the bench is provisioned with, with
//! the case's link, modem and seed.
use std::collections::BTreeSet;
use std::sync::Arc;

use super::inputs::{InputError, Inputs};
use super::rig::modem_power;
use crate::plan::Case;
use powercut_bench::entry::BoardEntry;
use powercut_explore::CaseName;
use powercut_sweep::Upgrade;

/// The upgrade of `case` as it would run on `board`.
///
/// # Errors
/// When the images do not fit the board.
pub fn swept(inputs: &Inputs, case: &Case, board: &BoardEntry) -> Result<Upgrade, InputError> {
    let provisioned = inputs.provisioned(case, board);
    let (images, device, flash) = provisioned.map_err(|source| InputError::Image {
        plan: inputs.sources.plan.clone(),
        case: case.index,
        source,
    })?;
    Ok(Upgrade {
        name: CaseName {
            plan: case.plan.clone(),
            index: case.index,
            board: board.name.clone(),
            seed: case.plan_seed,
        },
        board: *inputs.firmware.board_facts(),
        flash,
        package: Arc::new(images.new.clone()),
        images,
        device,
        link: inputs.link(case),
        habits: case.modem.clone(),
        modem_power: modem_power(case, board),
        window: case.window,
        seed: case.seed,
        off_time: case.off_time,
        refetch_fragments_per_cut: case.expect.refetch_fragments_per_cut,
        outcome: case.expect.outcome,
    })
}

/// The different upgrades of all cases, each once and under its lowest number, as they would run on the bench's first
/// board; if `chosen` names any cases, only their upgrades. Cases that differ in cuts and seed alone are one upgrade.
///
/// # Errors
/// When the plan has no such case, or an image does not fit.
pub fn all_swept(inputs: &Inputs, chosen: &[usize]) -> Result<Vec<Upgrade>, InputError> {
    inputs.check_cases(chosen)?;
    let board = inputs.first_board()?;
    let mut upgrades = Vec::<([u8; 32], Upgrade)>::new();
    let mut asked = BTreeSet::new();
    for case in &inputs.cases {
        let upgrade = swept(inputs, case, board)?;
        let digest = upgrade.without_seed();
        if chosen.is_empty() || chosen.contains(&case.index) {
            asked.insert(digest);
        }
        if upgrades.iter().all(|(known, _)| *known != digest) {
            upgrades.push((digest, upgrade));
        }
    }
    upgrades.retain(|(digest, _)| asked.contains(digest));
    Ok(upgrades.into_iter().map(|(_, upgrade)| upgrade).collect())
}
