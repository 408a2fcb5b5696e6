//! The platform of test runs: a real UDP server on this host, with devices and tasks in memory.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::memory::MemoryBook;
use super::service::Service;
use super::udp_server::UdpServer;
use super::{
    DeviceState, EncryptionLedger, EventWatcher, Peer, Platform, PlatformError, PlatformEvent,
    Server, StrayCounters, TaskId, Watching,
};
use powercut_package::Package;

/// A platform on this host. Dropping it ends its thread.
pub struct UdpPlatform {
    server: UdpServer,
    book: Arc<MemoryBook>,
    service: Arc<Mutex<Service>>,
    ledger: EncryptionLedger,
}

impl UdpPlatform {
    /// Listen on `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the port is in use, or the host gives no socket or thread.
    pub fn bind(address: SocketAddr) -> Result<Self, PlatformError> {
        let book = Arc::new(MemoryBook::default());
        let ledger = EncryptionLedger::default();
        let service = Service::new(Arc::clone(&book) as _, Some(ledger.clone()));
        let service = Arc::new(Mutex::new(service));
        Ok(Self {
            server: UdpServer::bind(address, Arc::clone(&service))?,
            book,
            service,
            ledger,
        })
    }
}

impl Platform for UdpPlatform {
    fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    fn register_device(&self, device: DeviceId, key: DeviceKey) {
        self.book.register_device(device, key);
    }

    fn publish(
        &self,
        device: DeviceId,
        package: Arc<Package>,
        window: u8,
    ) -> Result<TaskId, PlatformError> {
        self.settle()?;
        let task = self.book.publish(device, package, window)?;
        self.service
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .assignment_changed(device);
        Ok(task)
    }

    fn device_state(&self, device: DeviceId) -> Option<DeviceState> {
        self.book.device_state(device)
    }

    fn events(&self, device: DeviceId) -> Vec<PlatformEvent> {
        self.book.events(device)
    }

    fn watch(&self, device: DeviceId, watcher: EventWatcher) -> Watching {
        self.book.watch(device, watcher)
    }

    fn strays(&self) -> StrayCounters {
        self.book.strays()
    }

    fn ledger(&self) -> EncryptionLedger {
        self.ledger.clone()
    }

    fn server(&self) -> Server {
        let service = Arc::clone(&self.service);
        // A book in memory keeps its notes at once, so answers may leave at once.
        Arc::new(move |datagram, from| {
            let mut service = service.lock().unwrap_or_else(PoisonError::into_inner);
            service.handle(datagram, Peer::Udp(from)).answers
        })
    }

    fn settle(&self) -> Result<(), PlatformError> {
        self.server.settle()
    }
}

#[cfg(test)]
mod tests;
