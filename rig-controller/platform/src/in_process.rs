//! The platform without socket and thread: the same service as behind [`UdpPlatform`](super::UdpPlatform), asked directly. For
//! simulations, whose datagrams travel in a time of their own.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::{MemoryBook, Peer, PlatformError, PlatformEvent, PlatformEventKind, Service, Watching};
use powercut_package::Package;

/// A platform with one device and its task.
pub struct InProcessPlatform {
    service: Service,
    happened: Arc<Mutex<Vec<PlatformEventKind>>>,
    _watching: Watching,
}

/// What a datagram led to.
#[derive(Debug, Default)]
pub struct Answered {
    /// What goes back to its sender, in order.
    pub answers: Vec<Vec<u8>>,
    /// What happened, in order.
    pub events: Vec<PlatformEventKind>,
}

impl InProcessPlatform {
    /// A platform that knows one device and has `package` for it, of which it may have `window` fragments outstanding.
    pub fn with_task(
        device: DeviceId,
        key: DeviceKey,
        package: Arc<Package>,
        window: u8,
    ) -> Result<Self, PlatformError> {
        let book = MemoryBook::default();
        book.register_device(device, key);
        book.publish(device, package, window)?;
        let happened = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::clone(&happened);
        let watcher = move |event: &PlatformEvent| locked(&watched).push(event.kind.clone());
        let watching = book.watch(device, Arc::new(watcher));
        Ok(Self {
            service: Service::new(Arc::new(book), None),
            happened,
            _watching: watching,
        })
    }

    /// Take one datagram. Books in memory keep their notes at once, so answers may leave at once.
    pub fn handle(&mut self, datagram: &[u8], from: Peer) -> Answered {
        let handled = self.service.handle(datagram, from);
        Answered {
            answers: handled.answers,
            events: std::mem::take(&mut *locked(&self.happened)),
        }
    }
}

fn locked(events: &Mutex<Vec<PlatformEventKind>>) -> MutexGuard<'_, Vec<PlatformEventKind>> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}
