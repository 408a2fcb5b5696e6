//! The connection to gdb, whose waiting a cancelled case ends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use gdbstub::conn::{Connection, ConnectionExt};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::readable;

/// See the module's text.
pub(super) struct Line {
    stream: TcpStream,
    cancelled: UnixStream,
}

impl Line {
    pub(super) fn new(stream: TcpStream, cancelled: UnixStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, cancelled })
    }

    /// Whether the connection has ended in one of the ways in which connections do.
    pub(super) fn is_end(error: &io::Error) -> bool {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted
        )
    }
}

impl Connection for Line {
    type Error = io::Error;

    fn write(&mut self, byte: u8) -> io::Result<()> {
        Write::write_all(&mut self.stream, &[byte])
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(&mut self.stream, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Write::flush(&mut self.stream)
    }
}

impl ConnectionExt for Line {
    fn read(&mut self) -> io::Result<u8> {
        if !readable(&self.stream, &self.cancelled)? {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let mut byte = [0];
        Read::read_exact(&mut self.stream, &mut byte)?;
        Ok(byte[0])
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        let mut fds = [
            PollFd::new(self.cancelled.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stream.as_fd(), PollFlags::POLLIN),
        ];
        while let Err(error) = poll(&mut fds, PollTimeout::ZERO) {
            if error != Errno::EINTR {
                return Err(error.into());
            }
        }
        let [cancelled, gdb] = fds.map(|fd| fd.any().unwrap_or(true));
        if cancelled {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if !gdb {
            return Ok(None);
        }
        let mut byte = [0];
        loop {
            match self.stream.peek(&mut byte) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(Some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
