//! What the platform answers, without a socket: a datagram and its sender go in, answers may come out.
//!
//! A task ends when the device runs its image, or when the device reports a failure of that image after it was
//! offered at least once; publishing again starts over. Fragments are served to whoever proves that it is the device
//! they are for, whatever it last reported: the device is the one to know what it needs. One dialect a file; a device
//! makes itself known by a lean status in both.
mod lean;
mod pcp;

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;
use std::time::Instant;

use nor_flash_model::split_mix;
use powercut_upgrade::cipher::{FragmentCipher, NotConfigured};
use powercut_upgrade::factory::{DeviceId, DeviceKey};
use powercut_upgrade::manifest::{FragmentIndex, Suite};
use powercut_upgrade::wire::lean::{Activity, Challenge, Handle, LeanKey, Status};
use powercut_upgrade::wire::{Dialect, ResultCode};

use super::TaskId;
use super::book::{Assignment, Exchange, Peer, Registered, Settled, Stray, TaskBook};
use super::device::{PlatformEvent, PlatformEventKind};
use super::ledger::{DeviceKeyId, EncryptionLedger};

/// When a device without a task asks again, seconds.
const RETRY_AFTER_S: u16 = 60;

/// Places a device was heard from that are remembered: it moves now and then, and who repeats what it said elsewhere
/// must neither take its place at once nor fill memory.
const PLACES: usize = 8;

/// What the platform says to devices; what it knows of them and of their tasks is in its book.
pub struct Service {
    book: Arc<dyn TaskBook>,
    challenges: Challenges,
    conversations: HashMap<DeviceId, Conversation>,
    /// Whose downloads these may be; two devices may share a handle.
    handles: HashMap<Handle, Vec<DeviceId>>,
    /// Who was last heard from where: whose a PCP frame is, and whose a malformed datagram probably is.
    heard_from: HashMap<Peer, DeviceId>,
    ledger: Option<EncryptionLedger>,
}

/// What is kept about one device while the platform runs.
#[derive(Clone)]
struct Conversation {
    device_key: DeviceKey,
    key: LeanKey,
    /// To be repeated by a status that counts as recent.
    challenge: Challenge,
    dialect: Dialect,
    /// The task that `download` is of; also of one that cannot be served.
    task: Option<TaskId>,
    download: Option<Arc<Download>>,
    /// The handle of a download that is no more; a request under it deserves an answer.
    former: Option<Handle>,
    /// Where it was heard from, the latest last.
    places: VecDeque<Peer>,
}

/// A task as one device downloads it: what is derived once and kept while the task lasts.
struct Download {
    handle: Handle,
    cipher: FragmentCipher,
    key: DeviceKeyId,
}

/// What handling one datagram led to.
#[derive(Debug, Default)]
pub struct Handled {
    /// The answers, in order.
    pub answers: Vec<Vec<u8>>,
    /// When they may leave.
    pub settled: Settled,
}

/// What one message led to.
#[derive(Default)]
struct Answered {
    kinds: Vec<PlatformEventKind>,
    answers: Vec<Vec<u8>>,
}

/// A fragment as it travels, but for its index.
struct Sealed {
    body: Vec<u8>,
    plaintext_bytes: usize,
}

impl Service {
    /// A service for the devices and tasks of `book`; what it encrypts goes into `ledger`, if there is one.
    pub fn new(book: Arc<dyn TaskBook>, ledger: Option<EncryptionLedger>) -> Self {
        Self::with_challenges(book, ledger, Challenges::OfHost)
    }

    /// A service that says the same whenever it is asked the same: its challenges follow from `seed`, and whoever knows it
    /// can guess them. For explorations.
    pub fn seeded(book: Arc<dyn TaskBook>, ledger: Option<EncryptionLedger>, seed: u64) -> Self {
        Self::with_challenges(book, ledger, Challenges::Seeded(seed))
    }

    fn with_challenges(
        book: Arc<dyn TaskBook>,
        ledger: Option<EncryptionLedger>,
        challenges: Challenges,
    ) -> Self {
        let mut service = Self {
            challenges,
            conversations: HashMap::new(),
            handles: HashMap::new(),
            heard_from: HashMap::new(),
            ledger,
            book,
        };
        for device in service.book.devices_with_tasks() {
            service.assignment_changed(device);
        }
        service
    }

    /// Adds all that it says from now on to `state`, but for what its book knows.
    pub(crate) fn add_to(&self, state: &mut impl Hasher) {
        let mut conversations: Vec<_> = self.conversations.iter().collect();
        conversations.sort_unstable_by_key(|(device, _)| **device);
        self.challenges.hash(state);
        for (device, conversation) in conversations {
            device.hash(state);
            conversation.add_to(state);
        }
    }

    /// The same conversations over `book`, for a course of events that parts from this one here.
    pub(crate) fn fork(&self, book: Arc<dyn TaskBook>) -> Self {
        Self {
            book,
            challenges: self.challenges,
            conversations: self.conversations.clone(),
            handles: self.handles.clone(),
            heard_from: self.heard_from.clone(),
            ledger: self.ledger.clone(),
        }
    }

    /// The book has another task or key for this device, or no task any more. (That is noticed anyway when the device
    /// next says something; until then its former download would be kept.)
    pub fn assignment_changed(&mut self, device: DeviceId) {
        match self.book.look_up(device) {
            Some(registered) => {
                self.conversation(device, &registered);
            }
            None => self.forget(device),
        }
    }

    /// A connection has ended; nothing is sent there any more.
    pub fn gone(&mut self, peer: Peer) {
        let owner = self.heard_from.remove(&peer);
        if let Some(conversation) = owner.and_then(|device| self.conversations.get_mut(&device)) {
            conversation.places.retain(|place| *place != peer);
        }
    }

    /// Take one datagram. The book has noted it before this returns.
    pub fn handle(&mut self, datagram: &[u8], from: Peer) -> Handled {
        let (sender, answered) = self
            .handle_pcp(datagram, from)
            .unwrap_or_else(|| self.handle_lean(datagram, from));
        let Some(device) = sender else {
            return Handled::default();
        };
        let at = Instant::now();
        let exchange = Exchange {
            events: answered
                .kinds
                .into_iter()
                .map(|kind| PlatformEvent { at, kind })
                .collect(),
            bytes_up: datagram.len() as u64,
            bytes_down: answered
                .answers
                .iter()
                .map(|answer| answer.len() as u64)
                .sum(),
        };
        Handled {
            answers: answered.answers,
            settled: self.book.note(device, &exchange),
        }
    }

    /// Something that is no message, or not from whom it says; who it probably was knows its log.
    fn malformed(&self, length: usize, from: Peer) -> (Option<DeviceId>, Answered) {
        self.book.stray(Stray::Malformed);
        let answered = Answered {
            kinds: vec![PlatformEventKind::Malformed { length }],
            answers: Vec::new(),
        };
        let probably = self.heard_from.get(&from).copied();
        let is_known = |device: &DeviceId| self.book.look_up(*device).is_some();
        (probably.filter(is_known), answered)
    }

    /// The device was heard from `from`, which it has proven now or before.
    fn heard(&mut self, device: DeviceId, from: Peer) {
        self.heard_from.insert(from, device);
        let Some(conversation) = self.conversations.get_mut(&device) else {
            return;
        };
        if conversation.places.back() == Some(&from) {
            return;
        }
        conversation.places.retain(|place| *place != from);
        conversation.places.push_back(from);
        if conversation.places.len() > PLACES
            && let Some(left) = conversation.places.pop_front()
            && self.heard_from.get(&left) == Some(&device)
        {
            self.heard_from.remove(&left);
        }
    }

    fn forget(&mut self, device: DeviceId) {
        if let Some(conversation) = self.conversations.remove(&device) {
            for place in &conversation.places {
                if self.heard_from.get(place) == Some(&device) {
                    self.heard_from.remove(place);
                }
            }
            for handle in conversation.handles() {
                self.unlist(handle, device);
            }
        }
    }

    fn unlist(&mut self, handle: Handle, device: DeviceId) {
        if let Some(devices) = self.handles.get_mut(&handle) {
            devices.retain(|listed| *listed != device);
            if devices.is_empty() {
                self.handles.remove(&handle);
            }
        }
    }

    /// The conversation with a device, key and download as the book has them now.
    fn conversation(&mut self, device: DeviceId, registered: &Registered) -> &mut Conversation {
        let has_other_key = self
            .conversations
            .get(&device)
            .is_some_and(|conversation| conversation.device_key != registered.key);
        if has_other_key {
            self.forget(device);
        }
        let task = registered.assignment.as_ref().map(|assigned| assigned.task);
        let known = self
            .conversations
            .get(&device)
            .map(|conversation| conversation.task);
        if known != Some(task) {
            self.renew(device, registered);
        }
        let challenges = &mut self.challenges;
        self.conversations
            .entry(device)
            .or_insert_with(|| Conversation::new(registered, challenges.next()))
    }

    /// The task of the device is another one than before.
    fn renew(&mut self, device: DeviceId, registered: &Registered) {
        let mut conversation = self
            .conversations
            .remove(&device)
            .unwrap_or_else(|| Conversation::new(registered, self.challenges.next()));
        for handle in conversation.handles() {
            self.unlist(handle, device);
        }
        if let Some(download) = conversation.download.take() {
            conversation.former = Some(download.handle);
        }
        conversation.task = None;
        if let Some(assignment) = &registered.assignment {
            conversation.task = Some(assignment.task);
            match Download::new(registered, assignment, &conversation.key) {
                Ok(download) => conversation.download = Some(Arc::new(download)),
                Err(error) => tracing::error!(%error, "a package cannot be served"),
            }
        }
        for handle in conversation.handles() {
            let devices = self.handles.entry(handle).or_default();
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        self.conversations.insert(device, conversation);
    }
}

impl Conversation {
    fn new(registered: &Registered, challenge: Challenge) -> Self {
        Self {
            device_key: registered.key.clone(),
            key: LeanKey::of(&registered.key),
            challenge,
            dialect: Dialect::Lean,
            task: None,
            download: None,
            former: None,
            places: VecDeque::new(),
        }
    }

    /// Who was heard where is a part of it: `heard_from` has the same.
    fn add_to(&self, state: &mut impl Hasher) {
        let handle = self.download.as_ref().map(|download| download.handle);
        (self.task, handle, self.former).hash(state);
        (self.challenge, self.dialect, &self.places).hash(state);
    }

    fn handles(&self) -> Vec<Handle> {
        let present = self.download.as_ref().map(|download| download.handle);
        present.into_iter().chain(self.former).collect()
    }
}

/// Where challenges come from.
#[derive(Clone, Copy, Hash)]
enum Challenges {
    /// The host's randomness.
    OfHost,
    /// This state of a generator.
    Seeded(u64),
}

impl Challenges {
    /// Not 0, which stands for none. Unknown to others until it is told, so a recorded status cannot repeat it.
    fn next(&mut self) -> Challenge {
        let number = match self {
            // A host without randomness gets challenges that can be guessed, not a platform that stops.
            Self::OfHost => getrandom::u32().unwrap_or(1),
            Self::Seeded(state) => split_mix(state) as u32,
        };
        Challenge(number.max(1))
    }
}

impl Download {
    fn new(
        registered: &Registered,
        assignment: &Assignment,
        key: &LeanKey,
    ) -> Result<Self, NotConfigured> {
        let package = &assignment.package;
        let signed = package.signed();
        Ok(Self {
            handle: key.handle(signed),
            cipher: FragmentCipher::new(&registered.key, package.m_sequence(), signed)?,
            key: DeviceKeyId::of(&registered.key),
        })
    }

    /// One fragment, encrypted, tag included if its suite has one.
    fn seal(
        &self,
        assignment: &Assignment,
        index: FragmentIndex,
        ledger: Option<&EncryptionLedger>,
    ) -> Result<Sealed, ResultCode> {
        let package = &assignment.package;
        let plaintext = package.fragment(index).ok_or(ResultCode::NoSuchFragment)?;
        // The keystream of the other suite serves every image: there is no nonce to keep account of.
        if let (Some(ledger), Suite::ChaCha20Poly1305) = (ledger, package.manifest().suite) {
            let nonce = FragmentCipher::nonce(index);
            ledger.record(self.key, *package.signed().digest(), nonce, plaintext);
        }
        let mut body = plaintext.to_vec();
        let tag = self.cipher.seal(index, &mut body);
        body.extend(tag.into_iter().flatten());
        Ok(Sealed {
            body,
            plaintext_bytes: plaintext.len(),
        })
    }
}

/// Whether a device that reports this is to be offered its task.
fn to_be_offered(assignment: &Assignment, status: &Status) -> bool {
    let image = assignment.package.signed().image_id();
    let wants = matches!(status.activity, Activity::Idle | Activity::Downloading);
    let runs_it = status.running == image;
    let failed_it = status.result_image == image && !matches!(status.result, ResultCode::Ok);
    wants && !runs_it && !(failed_it && assignment.offered)
}

#[cfg(test)]
mod tests;
