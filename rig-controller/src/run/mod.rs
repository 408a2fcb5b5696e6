//! Many cases on many boards: what `rig run` and `rig replay` do.
//!
//! [`Inputs`] holds everything a run reads, checked before anything starts. [`Rig`] runs one case on one board,
//! after a reference run (`references`) has shown what there is to cut. [`run_plan`] deals the cases of a plan
//! out to the boards by number, one worker a board; what comes out of a case does not depend on when or beside what it ran.
//! [`upgrade`] makes the upgrade of a case ready for the exploration in process, and [`on_board`] plays a schedule of it on the
//! board. [`evidence`] keeps what is needed to look into a case, and to run it again anywhere; [`replay`] does that.
//! `shrink` makes a failing case small.
pub mod evidence;
mod foreign;
#[cfg(feature = "explore")]
mod in_process;
mod inputs;
mod judged;
#[cfg(feature = "explore")]
pub mod on_board;
mod out_folder;
mod plan_run;
mod progress;
mod references;
pub mod replay;
mod rig;
#[cfg(feature = "explore")]
pub mod shrink;
#[cfg(feature = "explore")]
mod swept;

pub use foreign::distrust_program;
#[cfg(feature = "explore")]
pub use in_process::{upgrade, upgrades};
pub use inputs::{
    DEFAULT_BENCH, DEFAULT_FIRMWARE, DEFAULT_LINKS, InputError, Inputs, Sources, check_sight,
};
pub use judged::{Attempt, result_of};
pub use out_folder::{OutFolder, OutFolderError};
pub use plan_run::{Keep, Options, RunError, RunSummary, run_plan};
pub use progress::{Listener, Progress};
pub use rig::{Composer, Cuts, Rig};
#[cfg(feature = "explore")]
pub use swept::{all_swept, swept};
