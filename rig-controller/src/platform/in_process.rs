//! The platform without socket and thread: the same service as behind [`UdpPlatform`](super::UdpPlatform), asked directly. For
//! simulations, whose datagrams travel in a time of their own.
use std::net::SocketAddr;
use std::sync::Arc;

use powercut_upgrade::factory::{DeviceId, DeviceKey};

use super::service::Service;
use super::{Package, PlatformError, PlatformEventKind};

/// A platform with its devices and tasks.
#[derive(Default)]
pub(crate) struct InProcessPlatform {
    service: Service,
}

/// What a datagram led to.
#[derive(Debug, Default)]
pub(crate) struct Handled {
    /// What goes back to its sender, in order.
    pub(crate) answers: Vec<Vec<u8>>,
    /// What happened, in order.
    pub(crate) events: Vec<PlatformEventKind>,
}

impl InProcessPlatform {
    /// A platform that knows one device and has `package` for it.
    pub(crate) fn with_task(
        device: DeviceId,
        key: DeviceKey,
        package: Arc<Package>,
    ) -> Result<Self, PlatformError> {
        let mut platform = Self::default();
        platform.service.register_device(device, key);
        platform.service.publish(device, package)?;
        Ok(platform)
    }

    /// Take one datagram.
    pub(crate) fn handle(&mut self, datagram: &[u8], from: SocketAddr) -> Handled {
        let handled = self.service.handle(datagram, from);
        Handled {
            answers: handled.answer.into_iter().collect(),
            events: handled.events.into_iter().map(|event| event.kind).collect(),
        }
    }
}
