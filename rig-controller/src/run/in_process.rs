//! The upgrades of a plan, ready to be explored in process: on the flash that a board of the bench is provisioned with.
use std::sync::Arc;

use super::inputs::{InputError, Inputs};
use crate::bench::VirtualBoard;
use crate::explore::{PlannedUpgrade, distinct_upgrades};
use crate::plan::Case;
use powercut_package::DeviceIdentity;

/// The upgrade of `case` as it would run on `board`.
///
/// # Errors
/// When the images do not fit the board, or cannot lead to what the plan expects.
pub fn upgrade(
    inputs: &Inputs,
    case: &Case,
    board: &VirtualBoard,
) -> Result<Arc<PlannedUpgrade>, InputError> {
    let plan = || inputs.sources.plan.clone();
    let device = DeviceIdentity::for_tests(board.device_id, case.dialect);
    let images = inputs.images(case)?;
    let flash = inputs
        .firmware
        .provisioned_flash(&images.old, &device)
        .map_err(|source| InputError::Image {
            plan: plan(),
            case: case.index,
            source,
        })?;
    let layout = inputs.firmware.layout();
    let link = inputs.link(case);
    PlannedUpgrade::new(case, &board.name, &images, flash, layout, &link)
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
    let count = inputs.cases.len();
    if let Some(asked) = chosen.iter().find(|asked| !(1..=count).contains(asked)) {
        return Err(InputError::NoCase {
            plan: inputs.sources.plan.clone(),
            asked: *asked,
            count,
        });
    }
    let is_chosen = |cases: &&Vec<&Case>| {
        chosen.is_empty() || cases.iter().any(|case| chosen.contains(&case.index))
    };
    let upgrades = distinct_upgrades(&inputs.cases, |case| inputs.link(case));
    let Some(board) = inputs.bench.boards.first() else {
        return Ok(Vec::new());
    };
    upgrades
        .iter()
        .filter(is_chosen)
        .filter_map(|cases| cases.first())
        .map(|case| upgrade(inputs, case, board))
        .collect()
}
