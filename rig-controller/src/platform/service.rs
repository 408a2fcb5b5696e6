//! What the platform answers, without a socket: a datagram and its sender go in, an answer may come out.
//!
//! A task ends when the device runs its image, or when the device reports a failure of that image after it was
//! offered at least once; publishing again starts over. Fragments are served as long as the session fits, whatever
//! the device last reported: the device is the one to know what it needs.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use powercut_upgrade::cipher::FragmentCipher;
use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::manifest::{FragmentIndex, ImageId, Suite};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{
    Activity, Downlink, MAX_DOWNLINK_BYTES, Session, Status, Uplink,
};

use super::device::{DeviceState, PlatformEvent, PlatformEventKind};
use super::ledger::{DeviceKeyId, EncryptionLedger};
use super::{EventWatcher, Package, PlatformError, StrayCounters, TaskId};

/// When a device without a task asks again, seconds.
const RETRY_AFTER_S: u16 = 60;

/// All devices and their tasks.
#[derive(Default)]
pub(super) struct Service {
    devices: HashMap<DeviceId, Device>,
    /// Who was last heard from where; only to say whose a malformed datagram probably is.
    heard_from: HashMap<SocketAddr, DeviceId>,
    tasks_published: u64,
    strays: StrayCounters,
    ledger: EncryptionLedger,
}

struct Device {
    key: DeviceKey,
    task: Option<Task>,
    state: DeviceState,
    events: Vec<PlatformEvent>,
    watcher: Option<EventWatcher>,
}

struct Task {
    package: Arc<Package>,
    image: ImageId,
    cipher: FragmentCipher,
    offered: bool,
}

/// What handling one datagram led to.
#[derive(Default)]
pub(super) struct Handled {
    /// The answer, if the datagram deserves one.
    pub(super) answer: Option<Vec<u8>>,
    /// What happened, and who wants to know.
    pub(super) events: Vec<PlatformEvent>,
    pub(super) watcher: Option<EventWatcher>,
}

impl Service {
    pub(super) fn register_device(&mut self, id: DeviceId, key: DeviceKey) {
        self.devices.insert(
            id,
            Device {
                key,
                task: None,
                state: DeviceState::default(),
                events: Vec::new(),
                watcher: None,
            },
        );
    }

    pub(super) fn publish(
        &mut self,
        id: DeviceId,
        package: Arc<Package>,
    ) -> Result<TaskId, PlatformError> {
        let device = self
            .devices
            .get_mut(&id)
            .ok_or(PlatformError::UnknownDevice(id))?;
        let cipher = FragmentCipher::new(&device.key, package.m_sequence(), package.signed())?;
        device.task = Some(Task {
            image: package.signed().image_id(),
            cipher,
            package,
            offered: false,
        });
        device.state = DeviceState::default();
        device.events.clear();
        self.tasks_published += 1;
        Ok(TaskId(self.tasks_published))
    }

    pub(super) fn watch(&mut self, id: DeviceId, watcher: Option<EventWatcher>) {
        if let Some(device) = self.devices.get_mut(&id) {
            device.watcher = watcher;
        }
    }

    pub(super) fn device_state(&self, id: DeviceId) -> Option<DeviceState> {
        Some(self.devices.get(&id)?.state.clone())
    }

    pub(super) fn events(&self, id: DeviceId) -> Vec<PlatformEvent> {
        self.devices
            .get(&id)
            .map(|device| device.events.clone())
            .unwrap_or_default()
    }

    pub(super) fn strays(&self) -> StrayCounters {
        self.strays
    }

    pub(super) fn ledger(&self) -> EncryptionLedger {
        self.ledger.clone()
    }

    /// Take one datagram.
    pub(super) fn handle(&mut self, datagram: &[u8], from: SocketAddr) -> Handled {
        let message = Uplink::decode(datagram);
        let sender = match &message {
            Ok(Uplink::Status(status)) => Some(status.device),
            Ok(Uplink::Request { device, .. }) => Some(*device),
            Err(_) => {
                self.strays.malformed += 1;
                self.heard_from.get(&from).copied()
            }
        };
        let Some((id, device)) =
            sender.and_then(|id| self.devices.get_mut(&id).map(|device| (id, device)))
        else {
            if message.is_ok() {
                self.strays.unknown_device += 1;
            }
            return Handled::default();
        };
        let mut kinds = Vec::new();
        let answer = if let Ok(message) = message {
            self.heard_from.insert(from, id);
            Some(device.answer(message, &self.ledger, &mut kinds))
        } else {
            kinds.push(PlatformEventKind::Malformed {
                length: datagram.len(),
            });
            None
        };
        device.state.bytes_up += datagram.len() as u64;
        device.state.bytes_down += answer.as_ref().map_or(0, Vec::len) as u64;
        let at = Instant::now();
        let events: Vec<PlatformEvent> = kinds
            .into_iter()
            .map(|kind| PlatformEvent { at, kind })
            .collect();
        for event in &events {
            device.state.count(&event.kind);
        }
        device.events.extend_from_slice(&events);
        Handled {
            answer,
            events,
            watcher: device.watcher.clone(),
        }
    }
}

impl Device {
    fn answer(
        &mut self,
        message: Uplink,
        ledger: &EncryptionLedger,
        kinds: &mut Vec<PlatformEventKind>,
    ) -> Vec<u8> {
        match message {
            Uplink::Status(status) => {
                kinds.push(PlatformEventKind::Hello(status));
                let (kind, answer) = self.answer_status(&status);
                kinds.push(kind);
                answer
            }
            Uplink::Request { session, index, .. } => {
                kinds.push(PlatformEventKind::FragmentRequested { session, index });
                let (kind, answer) = match self.fragment(session, index, ledger) {
                    Ok(served) => served,
                    Err(result) => (
                        PlatformEventKind::Refused(result),
                        encoded(&Downlink::Refusal { session, result }),
                    ),
                };
                kinds.push(kind);
                answer
            }
        }
    }

    fn answer_status(&mut self, status: &Status) -> (PlatformEventKind, Vec<u8>) {
        match &mut self.task {
            Some(task) if task.to_be_offered(status) => {
                task.offered = true;
                (
                    PlatformEventKind::OfferSent(task.image),
                    encoded(&Downlink::Offer(&task.package.signed().encode())),
                )
            }
            _ => (
                PlatformEventKind::NothingSent,
                encoded(&Downlink::Nothing {
                    retry_after_s: RETRY_AFTER_S,
                }),
            ),
        }
    }

    fn fragment(
        &self,
        session: Session,
        index: FragmentIndex,
        ledger: &EncryptionLedger,
    ) -> Result<(PlatformEventKind, Vec<u8>), ResultCode> {
        let task = self
            .task
            .as_ref()
            .filter(|task| Session::of(task.image) == session)
            .ok_or(ResultCode::NoSuchTask)?;
        let plaintext = task
            .package
            .fragment(index)
            .ok_or(ResultCode::NoSuchFragment)?;
        // The keystream of the other suite serves every image: there is no nonce to keep account of.
        if task.package.manifest().suite == Suite::ChaCha20Poly1305 {
            ledger.record(
                DeviceKeyId::of(&self.key),
                *task.package.signed().digest(),
                FragmentCipher::nonce(index),
                plaintext,
            );
        }
        let mut sealed = plaintext.to_vec();
        let tag = task.cipher.seal(index, &mut sealed);
        sealed.extend(tag.into_iter().flatten());
        let kind = PlatformEventKind::FragmentServed {
            index,
            plaintext_bytes: plaintext.len(),
        };
        let answer = encoded(&Downlink::Fragment {
            session,
            index,
            sealed: &mut sealed,
        });
        Ok((kind, answer))
    }
}

impl Task {
    fn to_be_offered(&self, status: &Status) -> bool {
        let wants = matches!(status.activity, Activity::Idle | Activity::Downloading);
        let runs_it = status.running == self.image;
        let failed_it =
            status.result_image == self.image && !matches!(status.result, ResultCode::Ok);
        wants && !runs_it && !(failed_it && self.offered)
    }
}

fn encoded(message: &Downlink<'_>) -> Vec<u8> {
    let mut bytes = vec![0; MAX_DOWNLINK_BYTES];
    // The buffer holds the longest message there is.
    let length = message.encode(&mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests;
