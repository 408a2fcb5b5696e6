//! The upgrade server: which devices there are, what each is to run, and what each has said and been given.
//!
//! [`Platform`] is what the rig needs of any platform; [`UdpPlatform`] is a real UDP server on this host that speaks
//! both dialects. What is said to devices is the business of the [`Service`]; which devices there are and what
//! each is to run is in a [`TaskBook`]. The service holds packages in plaintext and encrypts for the device that asks, when it asks; a ledger
//! keeps what was encrypted under which key and nonce. What a device sends is never trusted: malformed datagrams and
//! unknown devices are counted and get no answer.
#[cfg(feature = "service")]
mod api;
mod book;
mod device;
#[cfg(feature = "service")]
mod fleet;
mod in_process;
mod ledger;
#[cfg(feature = "service")]
mod listen;
#[cfg(feature = "service")]
pub mod load;
mod memory;
#[cfg(feature = "service")]
mod page;
#[cfg(feature = "service")]
mod refusal;
#[cfg(feature = "service")]
mod serve;
mod service;
#[cfg(feature = "service")]
mod store;
mod udp;
mod udp_server;

use powercut_package::Package;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use powercut_upgrade::factory::{DeviceId, DeviceKey};

#[cfg(feature = "service")]
pub use api::tokens::TokenError;
pub use book::{Assignment, Exchange, Peer, Receipt, Registered, Settled, Stray, TaskBook};
pub use device::{DeviceState, PlatformEvent, PlatformEventKind};
pub use in_process::InProcessPlatform;
pub use ledger::{DeviceKeyId, EncryptionLedger, NonceReuse};
pub use memory::MemoryBook;
#[cfg(feature = "service")]
pub use serve::{Addresses, PlatformServer, ServeError, ServeOptions, TOKENS};
pub use service::{Handled, Service};
#[cfg(feature = "service")]
pub use store::{StoreError, back_up};
pub use udp::UdpPlatform;
pub use udp_server::UdpServer;

/// Now, Unix milliseconds.
#[cfg(feature = "service")]
fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Names one publication of a package for a device; a new one is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId(pub u64);

/// Called for each event of a device as it happens, on the platform's own thread, after it is in the log. It may read
/// the platform; it must not block, publish or [`Platform::settle`].
pub type EventWatcher = Arc<dyn Fn(&PlatformEvent) + Send + Sync>;

/// Takes a datagram from an address, without a socket; the answers go back there, in order.
pub type Server = Arc<dyn Fn(&[u8], SocketAddr) -> Vec<Vec<u8>> + Send + Sync>;

/// A watcher that others keep.
pub(crate) type KnownWatcher = Weak<dyn Fn(&PlatformEvent) + Send + Sync>;

/// A watcher is called as long as this lives.
#[must_use = "the watcher is forgotten when this is dropped"]
pub struct Watching(EventWatcher);

impl Watching {
    /// Keeps `watcher`, and hands out what does not keep it.
    pub(crate) fn of(watcher: EventWatcher) -> (Self, KnownWatcher) {
        let known = Arc::downgrade(&watcher);
        (Self(watcher), known)
    }
}

impl std::fmt::Debug for Watching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let watchers = Arc::strong_count(&self.0);
        f.debug_tuple("Watching").field(&watchers).finish()
    }
}

/// What could not be said of any device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StrayCounters {
    /// Datagrams that are no message, whoever sent them.
    pub malformed: u64,
    /// Messages of devices that are not registered.
    pub unknown_device: u64,
}

/// The platform cannot do its part: always a *bench error*.
#[derive(Debug, thiserror::Error)]
pub enum PlatformError {
    /// Somebody else has the port.
    #[error(
        "the platform cannot listen on {address}: the port is in use; stop what listens there (`ss -lunp` names it) or take any free port: `platform: {{ port: 0 }}` in the bench file, `--udp 127.0.0.1:0` for `rig platform serve`"
    )]
    PortInUse {
        /// Address and port asked for.
        address: SocketAddr,
    },
    /// The host gives no socket there.
    #[error(
        "the platform cannot listen on {address}: {source}; check that the address is one of this host and the limit on open files"
    )]
    Listen {
        /// Address and port asked for.
        address: SocketAddr,
        /// What the host said.
        source: std::io::Error,
    },
    /// The host gives no thread.
    #[error("the platform cannot start its thread: {0}; check the limit on threads")]
    Thread(#[source] std::io::Error),
    /// A package was published for a device nobody registered.
    #[error("the platform knows no device {}; register it before publishing for it", hex::encode(.0.0))]
    UnknownDevice(DeviceId),
    /// A package of the suite `m-sequence` was published without the register to encrypt it with.
    #[error(
        "the package cannot be served: {0}; give the firmware set `m_sequence` (`rig firmware build` does)"
    )]
    NotConfigured(#[from] powercut_upgrade::cipher::NotConfigured),
    /// The server does not take datagrams any more.
    #[error(
        "the platform on {address} does not answer on this host: {reason}; look for a firewall on the loopback interface"
    )]
    Deaf {
        /// Where it listens.
        address: SocketAddr,
        /// What was tried.
        reason: String,
    },
}

/// Serves upgrades. Shared by all cases of a run; every device has its own state.
pub trait Platform: Send + Sync {
    /// Where devices reach it.
    fn local_addr(&self) -> SocketAddr;
    /// Make a device known, or give it another key; its task, state and log are empty afterwards.
    fn register_device(&self, device: DeviceId, key: DeviceKey);
    /// Make `package` the device's task and reset its state and log; it may have `window` fragments outstanding. Datagrams that arrived before are handled before.
    ///
    /// # Errors
    /// When the device is not registered, or the platform is out of order.
    fn publish(
        &self,
        device: DeviceId,
        package: Arc<Package>,
        window: u8,
    ) -> Result<TaskId, PlatformError>;
    /// What is known about a device since its last publication; `None` if it is not registered.
    fn device_state(&self, device: DeviceId) -> Option<DeviceState>;
    /// What happened with a device since its last publication, in order; empty if it is not registered.
    fn events(&self, device: DeviceId) -> Vec<PlatformEvent>;
    /// Has `watcher` called for every event of this device from now on, beside others, until the result is dropped. A device
    /// that is registered anew has no watchers; one that is not registered is not watched.
    fn watch(&self, device: DeviceId, watcher: EventWatcher) -> Watching;
    /// Datagrams from unknown devices, and those that are no message.
    fn strays(&self) -> StrayCounters;
    /// What was encrypted, for invariant S5.
    fn ledger(&self) -> EncryptionLedger;
    /// Takes datagrams without a socket, at once, with the address each comes from; the answers go back there.
    fn server(&self) -> Server;
    /// Return once every datagram that has arrived by now is handled and in the logs.
    ///
    /// # Errors
    /// When the platform is out of order.
    fn settle(&self) -> Result<(), PlatformError>;
}
