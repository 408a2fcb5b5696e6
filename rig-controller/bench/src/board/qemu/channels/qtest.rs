//! QEMU's qtest: memory access beside the running core, and the prod that wakes the emulator's main loop. Both write to
//! one stream; the drain tells a prod's answer, which nobody waits for, from that of a command.
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;

use super::{ChannelFault, PATIENCE};

/// Prods whose answers have not come back; more than these cannot wake the main loop any better.
const MAX_PRODS: u32 = 100;

/// qtest's answer to `endianness`, the question the prod asks; nothing else is answered like this.
pub(super) const PROD_ANSWER: &str = "OK little";

/// Memory access beside the running core.
#[derive(Debug)]
pub(in crate::board::qemu) struct Qtest {
    pub(super) stream: UnixStream,
    pub(super) lines: Receiver<String>,
}

impl Qtest {
    /// Send one command; the answer's text after `OK`.
    pub(in crate::board::qemu) fn command(
        &mut self,
        command: &str,
    ) -> Result<String, ChannelFault> {
        self.stream.write_all(command.as_bytes())?;
        self.stream.write_all(b"\n")?;
        let line = self.lines.recv_timeout(PATIENCE)?;
        match line.strip_prefix("OK") {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(ChannelFault::Refused(line)),
        }
    }
}

/// Wakes the emulator's main loop, from the trace reader: sends a question and never waits for the answer.
#[derive(Debug)]
pub(in crate::board::qemu) struct Prod {
    pub(super) stream: UnixStream,
    pub(super) outstanding: Arc<AtomicU32>,
}

impl Prod {
    pub(in crate::board::qemu) fn prod(&mut self) {
        if self.outstanding.fetch_add(1, Ordering::Relaxed) >= MAX_PRODS {
            self.outstanding.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // A dead emulator needs no prod, and its end is noticed on the trace.
        let _ = self.stream.write_all(b"endianness\n");
    }
}
