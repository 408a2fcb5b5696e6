//! What the platform knows about one device, and the log of what passed between them.
use std::time::Instant;

pub use powercut_oracle::seen::PlatformEventKind;
use powercut_upgrade::wire::lean::Status;

/// Something that happened, as the platform saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformEvent {
    /// When the datagram was handled.
    pub at: Instant,
    /// What happened.
    pub kind: PlatformEventKind,
}

/// Sums over a device's log since its last publication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceState {
    /// Status messages heard.
    pub hellos: u64,
    /// Offers sent.
    pub offers: u64,
    /// Fragment requests heard, repeated ones included.
    pub fragments_requested: u64,
    /// Fragments sent, repeated ones included.
    pub fragments_served: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Datagrams from its address that are no message.
    pub malformed: u64,
    /// UDP payload bytes heard.
    pub bytes_up: u64,
    /// UDP payload bytes sent.
    pub bytes_down: u64,
    /// The latest status, if there was one.
    pub last_report: Option<Status>,
}

impl DeviceState {
    /// Count one more event.
    pub(super) fn count(&mut self, kind: &PlatformEventKind) {
        match kind {
            PlatformEventKind::Hello { status, .. } => {
                self.hellos += 1;
                self.last_report = Some(*status);
            }
            PlatformEventKind::OfferSent(_) => self.offers += 1,
            PlatformEventKind::NothingSent | PlatformEventKind::Told(_) => {}
            PlatformEventKind::FragmentRequested { .. } => self.fragments_requested += 1,
            PlatformEventKind::FragmentServed { .. } => self.fragments_served += 1,
            PlatformEventKind::Refused(_) => self.refusals += 1,
            PlatformEventKind::Malformed { .. } => self.malformed += 1,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use powercut_upgrade::factory::DeviceId;
    use powercut_upgrade::manifest::{ImageId, SecurityCounter, Version};
    use powercut_upgrade::wire::Dialect;
    use powercut_upgrade::wire::ResultCode;
    use powercut_upgrade::wire::lean::{Activity, Challenge, WIRE_VERSION};

    /// What a device that runs some 1.0.0 and never upgraded reports; it would have so many fragments outstanding.
    pub(crate) fn status(device: DeviceId, window: u8, activity: Activity) -> Status {
        Status {
            dialect: Dialect::Lean,
            wire_version: WIRE_VERSION,
            window,
            device,
            hardware: 0x51,
            version: Version {
                major: 1,
                minor: 0,
                patch: 0,
            },
            running: ImageId([1; 16]),
            security_counter: SecurityCounter(1),
            activity,
            result: ResultCode::Ok,
            result_image: ImageId::NONE,
            challenge: Challenge::default(),
        }
    }
}
