//! Whole upgrades in virtual time: the real agent, bootloader logic, AT client, AT engine and platform over a link profile,
//! with the time that flash, serial line and air take, as a discrete-event simulation in one thread.
//!
//! Owns what a *simulation plan* is, the devices that can be simulated, and what is measured. Promises: the same plan and
//! seed give the same figures, byte for byte; no clock is read and nothing is waited for. What it leaves out: CPU time
//! other than hashing and signatures, the modem's own time to answer, and what a radio does when it is idle (see
//! [`Air`](powercut_link::Air)).
mod campaign;
mod clock;
mod device;
mod flash;
mod fragments;
mod limit;
mod measure;
mod plan;
mod power;
pub mod report;
mod simulated_part;
mod upgrade;
mod variant;

pub use campaign::{Campaign, CampaignError, Results, TriedSize};
pub use clock::SimulatedStage;
pub use fragments::{FragmentCounts, TimeLost};
pub use limit::Limit;
pub use measure::Measure;
pub use plan::{Axis, Chart, ImageSizeFit, SimulationPlan};
pub use power::CutBy;
pub use simulated_part::SimulatedPart;
pub use upgrade::{PowerRules, Run, SimulationError, Upgrade};
pub use variant::Variant;
