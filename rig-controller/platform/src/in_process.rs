//! The platform without socket and thread: the same service as behind [`UdpPlatform`](super::UdpPlatform), asked directly. For
//! simulations, whose datagrams travel in a time of their own.
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::{
    DeviceState, MemoryBook, Peer, PlatformError, PlatformEvent, PlatformEventKind, Service,
    Watching,
};
use powercut_package::Package;

/// A platform with one device and its task.
pub struct InProcessPlatform {
    service: Service,
    book: Arc<MemoryBook>,
    device: DeviceId,
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
        let book = Arc::new(book);
        Ok(Self::over(
            &book,
            device,
            Service::new(Arc::clone(&book) as _, None),
        ))
    }

    /// The same with challenges that follow from `seed`: asked the same, it says the same.
    pub fn seeded(
        device: DeviceId,
        key: DeviceKey,
        package: Arc<Package>,
        window: u8,
        seed: u64,
    ) -> Result<Self, PlatformError> {
        let book = MemoryBook::default();
        book.register_device(device, key);
        book.publish(device, package, window)?;
        let book = Arc::new(book);
        Ok(Self::over(
            &book,
            device,
            Service::seeded(Arc::clone(&book) as _, None, seed),
        ))
    }

    /// The same platform for a course of events that parts from this one here; its log is empty.
    #[must_use]
    pub fn fork(&self) -> Self {
        let book = Arc::new(self.book.fork());
        let service = self.service.fork(Arc::clone(&book) as _);
        Self::over(&book, self.device, service)
    }

    fn over(book: &Arc<MemoryBook>, device: DeviceId, service: Service) -> Self {
        let happened = Arc::new(Mutex::new(Vec::new()));
        let watched = Arc::clone(&happened);
        let watcher = move |event: &PlatformEvent| locked(&watched).push(event.kind.clone());
        let watching = book.watch(device, Arc::new(watcher));
        Self {
            service,
            book: Arc::clone(book),
            device,
            happened,
            _watching: watching,
        }
    }

    /// A number for all that the platform says from now on, and for what it knows of the device: equal for platforms that go
    /// on alike. Counts of what has been are no part of it.
    pub fn state(&self) -> u64 {
        let mut state = DefaultHasher::new();
        self.service.add_to(&mut state);
        self.book.add_to(&mut state, self.device);
        state.finish()
    }

    /// What is known about the device.
    pub fn device_state(&self) -> DeviceState {
        self.book.device_state(self.device).unwrap_or_default()
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
