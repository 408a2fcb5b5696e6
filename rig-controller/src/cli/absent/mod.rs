//! Verbs and options in a rig that was built without them: they say so, and how to build them.
#[cfg(not(feature = "gdb"))]
pub(super) mod gdb;
#[cfg(not(feature = "explore"))]
pub(super) mod in_process;
#[cfg(not(feature = "service"))]
pub(super) mod platform;
#[cfg(not(feature = "hardware"))]
pub(super) mod test;

use clap::Args;

/// Options of a verb that is not there.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct AbsentArgs {
    /// The options of the verb where it is there.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<std::ffi::OsString>,
}

/// The verb is not there.
#[derive(Debug, thiserror::Error)]
#[error(
    "this rig was built without {0}, for `ci/demo` does not need it; build it whole: cargo build --locked -p rig-controller"
)]
pub struct NotBuiltIn(&'static str);

impl NotBuiltIn {
    /// Whether an input was bad: this rig cannot be asked for that.
    #[expect(clippy::unused_self, reason = "as where the verb is there")]
    pub(super) fn is_bad_input(&self) -> bool {
        true
    }
}
