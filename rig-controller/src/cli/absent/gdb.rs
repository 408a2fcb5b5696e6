//! `rig replay --gdb` in a rig that was built without a gdb server: it says so.
use std::net::SocketAddr;
use std::path::Path;

use super::NotBuiltIn;
use powercut_bench::board::{Composed, compose};
use powercut_bench::cancel::Cancel;
use powercut_bench::entry::BoardEntry;

/// The gdb server is not there.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct GdbError(#[from] NotBuiltIn);

impl GdbError {
    /// Whether an input was bad.
    pub(in crate::cli) fn is_bad_input(&self) -> bool {
        self.0.is_bad_input()
    }
}

/// Says that the server is not there, if it is asked for.
pub(in crate::cli) fn check(
    address: Option<SocketAddr>,
    _case: &str,
    _on_board: bool,
) -> Result<(), GdbError> {
    match address {
        Some(_) => Err(GdbError(NotBuiltIn("the gdb server"))),
        None => Ok(()),
    }
}

/// Composes boards, and serves nothing.
pub(in crate::cli) struct AtFirstCut;

#[expect(clippy::unused_self, reason = "as where the server is there")]
#[expect(clippy::unnecessary_wraps, reason = "as where the server is there")]
impl AtFirstCut {
    /// Serves nothing; [`check`] has refused an address.
    pub(in crate::cli) fn new(
        _address: Option<SocketAddr>,
        _symbols: &Path,
        _cancel: &Cancel,
    ) -> Result<Self, GdbError> {
        Ok(Self)
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
