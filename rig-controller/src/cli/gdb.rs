//! `rig replay --gdb`: the case stops at its first cut, and gdb looks at the board.
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

pub(super) use super::local_address::local_address;
use super::say;
use powercut_bench::board::{Composed, compose};
use powercut_bench::cancel::Cancel;
use powercut_bench::debugger::{DebuggerError, GdbServer, Told};
use powercut_bench::entry::BoardEntry;

/// gdb cannot look at the board.
#[derive(Debug, thiserror::Error)]
pub enum GdbError {
    /// The server.
    #[error(transparent)]
    Server(#[from] DebuggerError),
    /// The board is elsewhere.
    #[error(
        "--gdb needs a board in this process, and board {board} runs in another program; leave `engine` out of its entry in the bench file, or write `engine: process`"
    )]
    NotInProcess {
        /// The board.
        board: String,
    },
}

impl GdbError {
    /// Whether an input was bad.
    pub(super) fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Server(_))
    }
}

/// Composes boards, and has gdb served at the first cut of one.
pub(super) struct AtFirstCut {
    server: Option<Arc<GdbServer>>,
    refused: Cell<bool>,
}

impl AtFirstCut {
    /// Serves at `address`; nothing is served without one. Symbols of the firmware are in `symbols`.
    pub(super) fn new(
        address: Option<SocketAddr>,
        symbols: &Path,
        cancel: &Cancel,
    ) -> Result<Self, GdbError> {
        let symbols = symbols.display().to_string();
        let server = address
            .map(|address| GdbServer::bind(address, cancel, move |told| tell(&told, &symbols)))
            .transpose()?;
        Ok(Self {
            server: server.map(Arc::new),
            refused: Cell::new(false),
        })
    }

    /// Composes the board of an entry of the bench file.
    pub(super) fn compose(&self, entry: &BoardEntry) -> Option<Composed> {
        let mut composed = compose(entry)?;
        if let Some(server) = &self.server {
            let observed = composed.board.observe_cuts(Arc::clone(server) as _);
            self.refused.set(self.refused.get() || !observed);
        }
        Some(composed)
    }

    /// Refuses a board that gdb cannot look at.
    pub(super) fn check(&self, board: &str) -> Result<(), GdbError> {
        if self.refused.get() {
            return Err(GdbError::NotInProcess {
                board: board.to_owned(),
            });
        }
        Ok(())
    }

    /// Whether gdb was to be served and there was no cut to do it at.
    pub(super) fn found_no_cut(&self) -> bool {
        self.server
            .as_ref()
            .is_some_and(|server| !server.was_used())
    }
}

fn tell(told: &Told, symbols: &str) {
    match told {
        Told::Waiting { board, pc, address } => {
            say::line(&format!(
                "{board} stands at its cut, before the instruction at {pc:#010x}; attach with: gdb-multiarch -ex 'target remote {address}' (symbols: {symbols}/*.elf)"
            ));
        }
        Told::Left => say::line("gdb has left; the case goes on as it was recorded"),
        Told::Failed(reason) => {
            say::complain(&format!(
                "the session with gdb failed: {reason}; the case goes on as it was recorded"
            ));
        }
    }
}
