//! The platform as a real UDP server: one socket, one thread that answers datagrams in the order they arrived.
//!
//! Datagrams from the platform's own control socket are not for the service: an empty one ends the thread, any other
//! is passed back as it is. As the host's loopback keeps order, a mark that has come back proves that everything
//! which arrived before it has been handled; that is what [`Platform::settle`] waits for.
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::service::Service;
use super::{
    DeviceState, EncryptionLedger, EventWatcher, Package, Platform, PlatformError, PlatformEvent,
    StrayCounters, TaskId,
};

/// How long one mark may take. Loopback takes microseconds; a mark is lost only when the socket's buffer is full.
const MARK_PATIENCE: Duration = Duration::from_secs(1);
/// Marks sent before the platform counts as out of order.
const MARK_TRIES: u32 = 5;

/// A platform on this host. Dropping it ends its thread.
pub struct UdpPlatform {
    address: SocketAddr,
    service: Arc<Mutex<Service>>,
    control: Mutex<Control>,
    server: Option<JoinHandle<()>>,
}

struct Control {
    socket: UdpSocket,
    marks: u64,
}

impl UdpPlatform {
    /// Listen on `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the port is in use, or the host gives no socket or thread.
    pub fn bind(address: SocketAddr) -> Result<Self, PlatformError> {
        let listen = |source: std::io::Error| match source.kind() {
            ErrorKind::AddrInUse => PlatformError::PortInUse { address },
            _ => PlatformError::Listen { address, source },
        };
        let socket = UdpSocket::bind(address).map_err(listen)?;
        let bound = socket.local_addr().map_err(listen)?;
        let control = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(listen)?;
        control
            .set_read_timeout(Some(MARK_PATIENCE))
            .map_err(listen)?;
        control.connect(bound).map_err(listen)?;
        let control_address = control.local_addr().map_err(listen)?;
        let service = Arc::new(Mutex::new(Service::default()));
        let serving = Arc::clone(&service);
        let server = std::thread::Builder::new()
            .name("platform".to_owned())
            .spawn(move || serve(&socket, control_address, &serving))
            .map_err(PlatformError::Thread)?;
        Ok(Self {
            address: bound,
            service,
            control: Mutex::new(Control {
                socket: control,
                marks: 0,
            }),
            server: Some(server),
        })
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(socket: &UdpSocket, control: SocketAddr, service: &Mutex<Service>) {
    // Longer than any message, so that a datagram that is too long shows as such.
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer) {
            Ok(received) => received,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::ConnectionRefused
                ) =>
            {
                continue;
            }
            Err(error) => {
                tracing::error!(%error, "the platform's socket went deaf");
                return;
            }
        };
        let datagram = &buffer[..length];
        if from == control {
            if datagram.is_empty() {
                return;
            }
            reply(socket, datagram, from);
            continue;
        }
        let handled = service
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .handle(datagram, from);
        // Told before the answer leaves: whoever watches knows of it before the device can act on it.
        if let Some(watcher) = &handled.watcher {
            for event in &handled.events {
                watcher(event);
            }
        }
        if let Some(answer) = &handled.answer {
            reply(socket, answer, from);
        }
    }
}

fn reply(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    // A sender that is gone does not get its answer; on a network nobody would know either.
    if let Err(error) = socket.send_to(datagram, to) {
        tracing::debug!(%error, %to, "an answer of the platform was lost on this host");
    }
}

impl Platform for UdpPlatform {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn register_device(&self, device: DeviceId, key: DeviceKey) {
        self.service().register_device(device, key);
    }

    fn publish(&self, device: DeviceId, package: Arc<Package>) -> Result<TaskId, PlatformError> {
        self.settle()?;
        self.service().publish(device, package)
    }

    fn device_state(&self, device: DeviceId) -> Option<DeviceState> {
        self.service().device_state(device)
    }

    fn events(&self, device: DeviceId) -> Vec<PlatformEvent> {
        self.service().events(device)
    }

    fn watch(&self, device: DeviceId, watcher: Option<EventWatcher>) {
        self.service().watch(device, watcher);
    }

    fn strays(&self) -> StrayCounters {
        self.service().strays()
    }

    fn ledger(&self) -> EncryptionLedger {
        self.service().ledger()
    }

    fn settle(&self) -> Result<(), PlatformError> {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reason = String::new();
        for _ in 0..MARK_TRIES {
            control.marks += 1;
            let mark = control.marks.to_be_bytes();
            match control.pass(mark) {
                Ok(()) => return Ok(()),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(PlatformError::Deaf {
            address: self.address,
            reason,
        })
    }
}

impl Control {
    /// Send a mark and wait for it; marks of earlier tries may come first.
    fn pass(&self, mark: [u8; 8]) -> std::io::Result<()> {
        self.socket.send(&mark)?;
        let mut back = [0; 8];
        loop {
            let length = self.socket.recv(&mut back)?;
            if back[..length] == mark {
                return Ok(());
            }
        }
    }
}

impl Drop for UdpPlatform {
    fn drop(&mut self) {
        // A lost end mark would leave the thread waiting; a mark that comes back shows that there is room for it.
        let _ = self.settle();
        let sent = self
            .control
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .socket
            .send(&[]);
        if sent.is_ok()
            && let Some(server) = self.server.take()
            && server.join().is_err()
        {
            tracing::error!("the platform's thread panicked");
        }
    }
}

#[cfg(test)]
mod tests;
