//! The seam between what is said to devices and where tasks are kept. Sessions ([`super::Service`]) know of devices and
//! tasks only through a [`TaskBook`]: in memory for runs of test plans ([`super::MemoryBook`]), in a database for a
//! platform that serves for years. A book decides what a device is to run; it never sees a datagram.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::TaskId;
use super::device::PlatformEvent;
use powercut_package::Package;

/// Where a datagram or frame came from, and where answers to it go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A UDP sender.
    Udp(SocketAddr),
    /// The far end of a TCP connection.
    Tcp(SocketAddr),
}

/// What is known about a device before it says anything.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its secret.
    pub key: DeviceKey,
    /// What it is to run; `None` if there is nothing for it.
    pub assignment: Option<Assignment>,
}

/// A device's part in a task that is not finished.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// Which task; another one, also of the same package, starts over.
    pub task: TaskId,
    /// What the device is to run.
    pub package: Arc<Package>,
    /// Most fragments it may have outstanding, at least 1.
    pub window: u8,
    /// Whether it was offered the package for this task: until then, a failure it reports is of an earlier one.
    pub offered: bool,
}

/// What came of one datagram, frame or timeout.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// What happened, in order.
    pub events: Vec<PlatformEvent>,
    /// Payload bytes heard.
    pub bytes_up: u64,
    /// Payload bytes of all answers.
    pub bytes_down: u64,
}

/// Something that belongs to no device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stray {
    /// It is no message, whoever sent it.
    Malformed,
    /// A message of a device that is not registered.
    UnknownDevice,
}

/// Devices and their tasks. Shared between threads; calls are short and never wait for a disk.
pub trait TaskBook: Send + Sync {
    /// What is known about a device; `None` if it is not registered.
    fn look_up(&self, device: DeviceId) -> Option<Registered>;
    /// Devices that have a task, for a platform that starts in the middle of it.
    fn devices_with_tasks(&self) -> Vec<DeviceId>;
    /// Take note of what passed between platform and device; called before any answer leaves. Answers that acknowledge
    /// something the device will not say again must wait until the note is kept: see [`Settled::then`].
    fn note(&self, device: DeviceId, exchange: &Exchange) -> Settled;
    /// Count what belongs to nobody.
    fn stray(&self, stray: Stray);
}

/// Whether a note will survive whatever happens next.
#[derive(Debug, Default)]
pub enum Settled {
    /// It does, or need not.
    #[default]
    Now,
    /// It will, once this says so.
    Later(Receipt),
}

impl Settled {
    /// Do `act` (send the answers) once the note is kept: at once, or later on another thread. If it cannot be kept,
    /// `act` is dropped: the device gets no answer, and says it again.
    pub fn then(self, act: impl FnOnce() + Send + 'static) {
        match self {
            Self::Now => act(),
            Self::Later(receipt) => receipt.then(Box::new(act)),
        }
    }
}

type Act = Box<dyn FnOnce() + Send>;

/// Stands for a note that is on its way to where it is kept; clones stand for the same note.
#[derive(Clone, Default)]
pub struct Receipt(Arc<Mutex<ReceiptState>>);

#[derive(Default)]
enum ReceiptState {
    #[default]
    Open,
    Awaited(Act),
    Kept,
    Lost,
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt(..)")
    }
}

impl Receipt {
    /// The note is kept, or is lost for good.
    pub fn settle(&self, kept: bool) {
        let now = if kept {
            ReceiptState::Kept
        } else {
            ReceiptState::Lost
        };
        let before = std::mem::replace(&mut *self.state(), now);
        if let (ReceiptState::Awaited(act), true) = (before, kept) {
            act();
        }
    }

    fn then(&self, act: Act) {
        let mut state = self.state();
        match *state {
            ReceiptState::Kept => {
                drop(state);
                act();
            }
            ReceiptState::Lost => {}
            ReceiptState::Open | ReceiptState::Awaited(_) => *state = ReceiptState::Awaited(act),
        }
    }

    fn state(&self) -> MutexGuard<'_, ReceiptState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn an_answer_leaves_once_its_note_is_kept_and_never_if_it_is_lost() {
        let sent = Arc::new(AtomicU32::new(0));
        let send = || {
            let sent = Arc::clone(&sent);
            move || {
                sent.fetch_add(1, Ordering::SeqCst);
            }
        };
        Settled::Now.then(send());
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        for kept in [true, false] {
            let before = sent.load(Ordering::SeqCst);
            let (early, late) = (Receipt::default(), Receipt::default());
            early.settle(kept);
            Settled::Later(early).then(send());
            Settled::Later(late.clone()).then(send());
            assert_eq!(sent.load(Ordering::SeqCst), before + u32::from(kept));
            late.settle(kept);
            assert_eq!(sent.load(Ordering::SeqCst), before + 2 * u32::from(kept));
        }
    }
}
