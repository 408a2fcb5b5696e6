//! Exploration in process: the real agent, journal and boot code over a flash model, with power cut at every flash
//! operation of a whole upgrade, torn and unstable results included.
//!
//! Owns what a *schedule* is (geometry, scenario, seed, cuts, faults), how many of them there are and in what order they are
//! tried, the oracle over the model, and how a failing one is made small. Promises: the same schedule gives the same
//! flash and the same verdict, everywhere; a run that is skipped is one whose device, flash and platform are in a
//! state that was explored before (see `merge.rs`). Images are made up, small enough for many cuts, or those of a test plan
//! on a board's own flash (see `plan_scene.rs`), which a board can play as well. It starts nothing, opens no port and waits
//! for no clock.
pub mod campaign;
mod effects;
mod explored_flash;
mod explorer;
mod flash_fault;
mod flash_part;
mod footprint;
mod life;
mod memory;
mod merge;
#[cfg(feature = "seeded-bugs")]
pub mod mutants;
mod oracle;
mod plan_line;
mod plan_scene;
mod planted;
pub mod progress_cost;
mod recall;
mod recent;
pub mod results;
mod scenario;
mod scene;
mod schedule;
pub mod scripted_package;
mod shrink;
pub mod survey;

pub use effects::{Tearing, effects, random_effect};
pub use explorer::{ExplorationCounts, Failure};
pub use flash_fault::{FlashFault, ParseFaultError};
pub use flash_part::FlashPart;
pub use oracle::Breach;
pub use plan_line::PlannedLine;
pub use plan_scene::{CaseName, PlannedCase, PlannedUpgrade, SceneError, loss_permille};
pub use scenario::Scenario;
pub use scene::SMALL_PAGES;
pub use schedule::{ParseScheduleError, Schedule};
pub use shrink::{Shrunk, shrink, shrink_by, smaller_cuts};
pub use survey::{Depth, Flashes, Partition, Survey, replay, replay_with_flash};
