//! A run can be told to stop at any time; then boards go off first.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::board::Waker;

/// Shared by everyone who has to stop when the run is cancelled.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    cancelled: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Cancel {
    /// Tell everyone to stop; never goes back.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::SeqCst);
        for waker in self
            .0
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            waker.wake();
        }
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Have `waker` called when the run is cancelled.
    pub fn also_wake(&self, waker: Waker) {
        self.0
            .wakers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(waker);
        // Looked at last: whoever cancels before this has missed the new waker.
        if self.is_cancelled() {
            self.cancel();
        }
    }
}
