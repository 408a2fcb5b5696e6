//! A gdb server at a power cut: a board in this process is stopped where its power is about to go, and gdb looks at a copy of
//! it.
//!
//! gdb works on a copy, so the case goes on afterwards as if nobody had looked. The copy lives alone: flash operations happen,
//! bytes that it sends go nowhere, and nobody answers it. `monitor cut` lets the cut take effect on the copy, which then
//! stands before the first instruction of the next boot.
mod architecture;
mod debuggee;
mod line;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gdbstub::stub::{DisconnectReason, GdbStub};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::debuggee::{Debuggee, Session};
use self::line::Line;
use crate::board::{AtCut, CutObserver, Waker};
use crate::cancel::Cancel;

/// gdb cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DebuggerError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen for gdb on {address}: {source}; give another address, or port 0 for any that is free"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// The host has no pair of sockets to spare.
    #[error("cannot make a gdb server: {0}; check the limit on open files")]
    Sockets(#[source] io::Error),
}

/// A word of the server to the person who started it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The board stands at its cut and the server waits for gdb.
    Waiting {
        /// The board.
        board: String,
        /// The address of the next instruction.
        pc: u32,
        /// Where gdb is to connect.
        address: SocketAddr,
    },
    /// gdb has left.
    Left,
    /// The session failed; the case is not affected.
    Failed(String),
}

/// Serves gdb at the first cut of the first board that comes to one.
pub struct GdbServer {
    listener: TcpListener,
    address: SocketAddr,
    cancelled: UnixStream,
    used: AtomicBool,
    tell: Box<dyn Fn(Told) + Send + Sync>,
}

impl GdbServer {
    /// Listens on `address`; `cancel` ends waiting and session. `tell` is called on the thread that runs the board.
    pub fn bind(
        address: SocketAddr,
        cancel: &Cancel,
        tell: impl Fn(Told) + Send + Sync + 'static,
    ) -> Result<Self, DebuggerError> {
        let refused = |source| DebuggerError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (cancelled, canceller) = UnixStream::pair().map_err(DebuggerError::Sockets)?;
        canceller
            .set_nonblocking(true)
            .map_err(DebuggerError::Sockets)?;
        cancel.also_wake(Waker(Arc::new(move || {
            // A byte that does not fit any more comes behind others that say the same.
            let _ = io::Write::write(&mut &canceller, &[0]);
        })));
        Ok(Self {
            listener,
            address,
            cancelled,
            used: AtomicBool::new(false),
            tell: Box::new(tell),
        })
    }

    /// Whether a board has come to a cut, and gdb was waited for.
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::SeqCst)
    }

    fn serve(&self, at: AtCut) -> io::Result<()> {
        (self.tell)(Told::Waiting {
            board: at.board.clone(),
            pc: at.before.registers()[15],
            address: self.address,
        });
        if !readable(&self.listener, &self.cancelled)? {
            return Ok(());
        }
        let (stream, _) = self.listener.accept()?;
        let line = Line::new(stream, self.cancelled.try_clone()?)?;
        let mut debuggee = Debuggee::new(at);
        match GdbStub::new(line).run_blocking::<Session>(&mut debuggee) {
            Ok(
                DisconnectReason::Disconnect
                | DisconnectReason::Kill
                | DisconnectReason::TargetExited(_)
                | DisconnectReason::TargetTerminated(_),
            ) => Ok(()),
            // gdb may go without a word, and a cancelled case ends the session.
            Err(error) if error.is_connection_error() => match error.into_connection_error() {
                Some((error, _)) if !Line::is_end(&error) => Err(error),
                _ => Ok(()),
            },
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }
}

impl CutObserver for GdbServer {
    fn at_cut(&self, at: AtCut) {
        if self.used.swap(true, Ordering::SeqCst) {
            return;
        }
        (self.tell)(match self.serve(at) {
            Ok(()) => Told::Left,
            Err(error) => Told::Failed(error.to_string()),
        });
    }
}

/// Waits until `what` has something to read; `false` if `cancelled` has first.
fn readable(what: &impl AsFd, cancelled: &UnixStream) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(cancelled.as_fd(), PollFlags::POLLIN),
        PollFd::new(what.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return Ok(!fds[0].any().unwrap_or(true)),
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod gdb_client;
#[cfg(test)]
mod tests;
