//! The board's side of the serial line. It lasts over power cycles: bytes sent while the board is off are lost, as on a
//! wire, and bytes for a board that is on wait in a queue that the drain empties.
use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::uart::UartToDevice;

/// Bytes for the device it has not taken; a device that never reads loses what exceeds this.
const MAX_QUEUED_BYTES: usize = 1 << 20;

/// Bytes on their way to the device, and the way to say that there are some.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) queue: Mutex<VecDeque<u8>>,
    pub(super) wake: UnixStream,
    /// Nobody listens any more.
    pub(super) abandoned: AtomicBool,
}

/// The board's side of the serial line; lasts over power cycles.
#[derive(Debug, Default)]
pub(in crate::board::qemu) struct UartLine {
    pub(super) powered: Mutex<Option<Arc<Outgoing>>>,
}

impl UartLine {
    /// The board is off: bytes are lost from here on.
    pub(in crate::board::qemu) fn disconnect(&self) {
        *self.lock() = None;
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Outgoing>>> {
        self.powered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UartToDevice for UartLine {
    fn send(&self, bytes: &[u8]) {
        let Some(outgoing) = self.lock().clone() else {
            return;
        };
        let mut queue = outgoing.lock();
        let room = MAX_QUEUED_BYTES.saturating_sub(queue.len());
        queue.extend(&bytes[..bytes.len().min(room)]);
        drop(queue);
        // A full wake channel already wakes.
        let _ = (&outgoing.wake).write(&[1]);
    }
}

impl Outgoing {
    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<u8>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
