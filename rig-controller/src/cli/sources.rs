//! Options that say where inputs are.
use std::path::PathBuf;

use clap::Args;

use crate::run::{DEFAULT_FIRMWARE, DEFAULT_LINKS, Sources};

/// Firmware and link profiles.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Folder of the firmware set, as `rig firmware build` makes it.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FIRMWARE)]
    pub(super) firmware: PathBuf,
    /// Folder of the link profiles.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_LINKS)]
    pub(super) links: PathBuf,
}

/// Where the inputs of a recorded case are.
#[derive(Debug, Args)]
pub(super) struct CaseSourceArgs {
    /// The plan the case is of [default: test-plans/PLAN.yaml].
    #[arg(long, value_name = "FILE")]
    pub(super) plan: Option<PathBuf>,
    /// The bench it ran on [default: fixtures/benches/virtual.yaml].
    #[arg(long, value_name = "FILE")]
    pub(super) bench: Option<PathBuf>,
    /// Folder of the firmware set it ran with [default: target/firmware/default].
    #[arg(long, value_name = "DIR")]
    pub(super) firmware: Option<PathBuf>,
    /// Folder of the link profiles [default: fixtures/links].
    #[arg(long, value_name = "DIR")]
    pub(super) links: Option<PathBuf>,
}

impl CaseSourceArgs {
    /// Where inputs are, `defaults` where the options do not say.
    pub(super) fn or(&self, defaults: Sources) -> Sources {
        let given = |path: &Option<PathBuf>, default| path.clone().unwrap_or(default);
        Sources {
            plan: given(&self.plan, defaults.plan),
            bench: given(&self.bench, defaults.bench),
            firmware: given(&self.firmware, defaults.firmware),
            links: given(&self.links, defaults.links),
        }
    }
}
