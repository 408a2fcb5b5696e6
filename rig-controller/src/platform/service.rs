//! What the platform answers, without a socket: a datagram and its sender go in, an answer may come out.
//!
//! A task ends when the device runs its image, or when the device reports a failure of that image after it was
//! offered at least once; publishing again starts over. Fragments are served as long as the session fits, whatever
//! the device last reported: the device is the one to know what it needs.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use powercut_upgrade::cipher::{FragmentCipher, NotConfigured};
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::{FragmentIndex, ImageId, Suite};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{
    Activity, Downlink, MAX_DOWNLINK_BYTES, Session, Status, Uplink,
};

use super::TaskId;
use super::book::{Assignment, Exchange, Peer, Registered, Settled, Stray, TaskBook};
use super::device::{PlatformEvent, PlatformEventKind};
use super::ledger::{DeviceKeyId, EncryptionLedger};

/// When a device without a task asks again, seconds.
const RETRY_AFTER_S: u16 = 60;

/// What the platform says to devices; what it knows of them and of their tasks is in its book.
pub struct Service {
    book: Arc<dyn TaskBook>,
    downloads: HashMap<DeviceId, Download>,
    /// Who was last heard from where; only to say whose a malformed datagram probably is.
    heard_from: HashMap<Peer, DeviceId>,
    ledger: Option<EncryptionLedger>,
}

/// A task as one device downloads it: what is derived once and kept while the task lasts.
struct Download {
    task: TaskId,
    image: ImageId,
    cipher: FragmentCipher,
    key: DeviceKeyId,
}

/// What handling one datagram led to.
#[derive(Debug, Default)]
pub struct Handled {
    /// The answer, if the datagram deserves one.
    pub answer: Option<Vec<u8>>,
    /// When the answer may leave.
    pub settled: Settled,
}

impl Service {
    /// A service for the devices and tasks of `book`; what it encrypts goes into `ledger`, if there is one.
    pub fn new(book: Arc<dyn TaskBook>, ledger: Option<EncryptionLedger>) -> Self {
        Self {
            book,
            downloads: HashMap::new(),
            heard_from: HashMap::new(),
            ledger,
        }
    }

    /// The book has another task for this device, or none any more. (That is noticed anyway when the device next says
    /// something; until then its former download would be kept.)
    pub fn assignment_changed(&mut self, device: DeviceId) {
        self.downloads.remove(&device);
    }

    /// A connection has ended; nothing is sent there any more.
    pub fn gone(&mut self, peer: Peer) {
        self.heard_from.remove(&peer);
    }

    /// Take one datagram. The book has noted it before this returns.
    pub fn handle(&mut self, datagram: &[u8], from: Peer) -> Handled {
        let message = Uplink::decode(datagram);
        let sender = match &message {
            Ok(Uplink::Status(status)) => Some(status.device),
            Ok(Uplink::Request { device, .. }) => Some(*device),
            Err(_) => {
                self.book.stray(Stray::Malformed);
                self.heard_from.get(&from).copied()
            }
        };
        let Some((id, registered)) = sender.and_then(|id| Some((id, self.book.look_up(id)?)))
        else {
            if message.is_ok() {
                self.book.stray(Stray::UnknownDevice);
            }
            return Handled::default();
        };
        let mut kinds = Vec::new();
        let answer = if let Ok(message) = message {
            self.heard_from.insert(from, id);
            Some(self.answer(id, &registered, message, &mut kinds))
        } else {
            kinds.push(PlatformEventKind::Malformed {
                length: datagram.len(),
            });
            None
        };
        let at = Instant::now();
        let exchange = Exchange {
            events: kinds
                .into_iter()
                .map(|kind| PlatformEvent { at, kind })
                .collect(),
            bytes_up: datagram.len() as u64,
            bytes_down: answer.as_ref().map_or(0, Vec::len) as u64,
        };
        Handled {
            answer,
            settled: self.book.note(id, &exchange),
        }
    }

    fn answer(
        &mut self,
        id: DeviceId,
        registered: &Registered,
        message: Uplink,
        kinds: &mut Vec<PlatformEventKind>,
    ) -> Vec<u8> {
        match message {
            Uplink::Status(status) => {
                kinds.push(PlatformEventKind::Hello(status));
                let (kind, answer) = answer_status(registered.assignment.as_ref(), &status);
                kinds.push(kind);
                answer
            }
            Uplink::Request { session, index, .. } => {
                kinds.push(PlatformEventKind::FragmentRequested { session, index });
                let (kind, answer) = match self.fragment(id, registered, session, index) {
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

    fn fragment(
        &mut self,
        id: DeviceId,
        registered: &Registered,
        session: Session,
        index: FragmentIndex,
    ) -> Result<(PlatformEventKind, Vec<u8>), ResultCode> {
        let Some(assignment) = &registered.assignment else {
            self.downloads.remove(&id);
            return Err(ResultCode::NoSuchTask);
        };
        let package = &assignment.package;
        let is_kept = self
            .downloads
            .get(&id)
            .is_some_and(|download| download.task == assignment.task);
        if !is_kept {
            let download = Download::new(registered, assignment).or(Err(ResultCode::Internal))?;
            self.downloads.insert(id, download);
        }
        let download = self.downloads.get(&id).ok_or(ResultCode::NoSuchTask)?;
        if Session::of(download.image) != session {
            return Err(ResultCode::NoSuchTask);
        }
        let plaintext = package.fragment(index).ok_or(ResultCode::NoSuchFragment)?;
        // The keystream of the other suite serves every image: there is no nonce to keep account of.
        if let (Some(ledger), Suite::ChaCha20Poly1305) = (&self.ledger, package.manifest().suite) {
            let nonce = FragmentCipher::nonce(index);
            ledger.record(download.key, *package.signed().digest(), nonce, plaintext);
        }
        let mut sealed = plaintext.to_vec();
        let tag = download.cipher.seal(index, &mut sealed);
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

impl Download {
    fn new(registered: &Registered, assignment: &Assignment) -> Result<Self, NotConfigured> {
        let package = &assignment.package;
        let signed = package.signed();
        Ok(Self {
            task: assignment.task,
            image: signed.image_id(),
            cipher: FragmentCipher::new(&registered.key, package.m_sequence(), signed)?,
            key: DeviceKeyId::of(&registered.key),
        })
    }
}

fn answer_status(assignment: Option<&Assignment>, status: &Status) -> (PlatformEventKind, Vec<u8>) {
    match assignment {
        Some(assignment) if to_be_offered(assignment, status) => {
            let signed = assignment.package.signed();
            (
                PlatformEventKind::OfferSent(signed.image_id()),
                encoded(&Downlink::Offer(&signed.encode())),
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

fn to_be_offered(assignment: &Assignment, status: &Status) -> bool {
    let image = assignment.package.signed().image_id();
    let wants = matches!(status.activity, Activity::Idle | Activity::Downloading);
    let runs_it = status.running == image;
    let failed_it = status.result_image == image && !matches!(status.result, ResultCode::Ok);
    wants && !runs_it && !(failed_it && assignment.offered)
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
