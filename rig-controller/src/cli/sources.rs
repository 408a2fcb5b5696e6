//! Options that say where inputs are.
use std::path::PathBuf;

use clap::Args;

use crate::run::{DEFAULT_FIRMWARE, DEFAULT_LINKS};

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
