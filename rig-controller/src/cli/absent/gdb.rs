//! `rig replay --gdb` in a rig that was built without a gdb server: it says so.
use std::net::SocketAddr;
use std::path::Path;

use super::NotBuiltIn;
pub(in crate::cli) use crate::cli::local_address::local_address;
use powercut_bench::board::{Composed, compose};
use powercut_bench::cancel::Cancel;
use powercut_bench::entry::BoardEntry;

/// The gdb server is not there.
#[derive(Debug, thiserror::Error)]
pub enum GdbError {
    /// It is asked for.
    #[error(transparent)]
    NotBuiltIn(#[from] NotBuiltIn),
    /// It is asked for, and would have no board to look at.
    #[error("--gdb needs a board, and the schedule {line} runs on none")]
    Schedule {
        /// The schedule.
        line: String,
    },
}

impl GdbError {
    /// Whether an input was bad: this rig cannot be asked for that.
    #[expect(clippy::unused_self, reason = "as where the server is there")]
    pub(in crate::cli) fn is_bad_input(&self) -> bool {
        true
    }
}

/// Composes boards, and serves nothing.
pub(in crate::cli) struct AtFirstCut;

#[expect(clippy::unused_self, reason = "as where the server is there")]
#[expect(clippy::unnecessary_wraps, reason = "as where the server is there")]
impl AtFirstCut {
    /// Says that the server is not there, if there is to be one at `address`.
    pub(in crate::cli) fn new(
        address: Option<SocketAddr>,
        _symbols: &Path,
        _cancel: &Cancel,
    ) -> Result<Self, GdbError> {
        match address {
            Some(_) => Err(NotBuiltIn("the gdb server").into()),
            None => Ok(Self),
        }
    }

    /// Composes the board of an entry of the bench file.
    pub(in crate::cli) fn compose(&self, entry: &BoardEntry) -> Option<Composed> {
        compose(entry)
    }

    /// Refuses no board.
    pub(in crate::cli) fn check(&self, _board: &str) -> Result<(), GdbError> {
        Ok(())
    }

    /// Nothing was to be served.
    pub(in crate::cli) fn found_no_cut(&self) -> bool {
        false
    }
}
