//! The relay of a board that exists only as a process: switching it starts and kills the process.
use std::fmt;
use std::sync::Arc;

use super::{Relay, RelayError};

/// Something a virtual relay can feed. Usable from any thread at any time.
pub trait Switched: Send + Sync {
    /// Contact closed: power is there when this returns. Idempotent.
    ///
    /// # Errors
    /// What went wrong and what to check.
    fn close(&self) -> Result<(), String>;
    /// Contact open: power is gone when this returns. Idempotent.
    ///
    /// # Errors
    /// What went wrong and what to check.
    fn open(&self) -> Result<(), String>;
    /// Whether there is power.
    fn is_powered(&self) -> bool;
}

/// Switches one virtual board.
#[derive(Clone)]
pub struct VirtualRelay {
    name: String,
    load: Arc<dyn Switched>,
}

impl VirtualRelay {
    /// A relay that feeds `load`, in whatever state it is.
    pub fn new(name: String, load: Arc<dyn Switched>) -> Self {
        Self { name, load }
    }

    fn failed(&self, to: &'static str) -> impl FnOnce(String) -> RelayError {
        let relay = self.name.clone();
        move |reason| RelayError { relay, to, reason }
    }
}

impl fmt::Debug for VirtualRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VirtualRelay").field(&self.name).finish()
    }
}

impl Relay for VirtualRelay {
    fn on(&mut self) -> Result<(), RelayError> {
        self.load.close().map_err(self.failed("on"))
    }

    fn off(&mut self) -> Result<(), RelayError> {
        self.load.open().map_err(self.failed("off"))
    }

    fn is_on(&self) -> bool {
        self.load.is_powered()
    }
}
