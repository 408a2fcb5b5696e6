//! The application's side of the upgrade, sans-IO: datagrams and time go in, datagrams and wishes come out.
//!
//! The owner calls [`Agent::on_datagram`] for every datagram that arrives and [`Agent::poll`] until it returns
//! [`Wish::Wait`]; then again when that time has come or something arrived. Time is in milliseconds from any start
//! and never goes back. The agent asks for one fragment at a time, asks again when no answer comes, and after a while
//! of silence announces itself anew.
use crate::cipher::FragmentCipher;
use crate::factory::{DeviceKey, Factory};
use crate::flash::{FlashError, UpgradeFlash};
use crate::image::{self, Hashing, Location};
use crate::journal::{Journal, Phase, Record, State};
use crate::m_sequence;
use crate::manifest::{
    FragmentIndex, ImageId, SIGNED_MANIFEST_BYTES, SecurityCounter, SignedManifest, Suite, Version,
};
use crate::seeded::{Bug, Received, is_planted};
use crate::slots::{ChainLength, Layout};
use crate::store::{self, ResumePoint, Store, Stored};
use crate::timer::RetransmissionTimer;
use crate::wire::ResultCode;
use crate::wire::lean::{Activity, Downlink, MAX_UPLINK_BYTES, Session, Status, Uplink};
use core::hash::{Hash, Hasher};

/// Unanswered requests after which the device announces itself again.
const SILENCE_LIMIT: u8 = 4;
/// Times an image is fetched anew when its digest is wrong, before it is refused.
const MAX_ATTEMPTS: u8 = 3;
/// How long a device without a task waits at most before it asks again.
const MAX_IDLE_MS: u64 = 24 * 3_600 * 1_000;

/// What the agent wants of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Send the first so many bytes of the buffer, completely, before polling again.
    Send(usize),
    /// Poll again soon: there is work to do in flash.
    Continue,
    /// Nothing to do before this time, unless something arrives.
    Wait {
        /// In the owner's milliseconds.
        until_ms: u64,
    },
    /// Restart the device: the bootloader has an image to install.
    Restart,
}

/// The device cannot run the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// The FACTORY page is missing or damaged.
    NotProvisioned,
    /// The running image has no manifest.
    NoManifest,
}

#[derive(Debug, Clone)]
enum Activities {
    /// Tells the platform what there is to tell and waits for an offer.
    Announcing,
    /// Has nothing to do until this time.
    Resting { until_ms: Option<u64> },
    /// Fetches the fragments of the session's image.
    Fetching,
    /// Checks the digest, page by page.
    Verifying(Hashing),
    /// Tells the platform, once, and restarts.
    Ready { told: bool },
}

#[derive(Clone)]
struct Download<const PAGE: usize> {
    signed: SignedManifest,
    cipher: FragmentCipher,
    store: Store<PAGE>,
    received: Received,
}

/// The upgrade agent of one device. `PAGE` is the size of its page buffer: the erase size where units are programmed
/// once, because a page of those has to be complete before it is written, else 0.
///
/// A part that is programmed once with pages larger than the agent's buffer is refused when the firmware is built, not
/// on the device. This is an agent for pages of 2 KB:
///
/// ```
/// # use nor_flash_model::NorFlashModel;
/// # use powercut_upgrade::{agent::Agent, flash::WriteOnce, slots::{Layout, Region}};
/// # let region = |start: u32, pages| Region { start: start * 2048, pages };
/// # let layout = Layout {
/// #     page_bytes: 2048,
/// #     boot: region(0, 0),
/// #     factory: region(0, 1),
/// #     identification: region(1, 4),
/// #     active: region(5, 9),
/// #     staging: region(14, 10),
/// # };
/// # let pages = 24;
/// let mut flash = WriteOnce(NorFlashModel::<8, 2048, 1>::new(pages));
/// let not_provisioned = Agent::<2048>::start(&mut flash, &layout);
/// # assert!(not_provisioned.is_err());
/// ```
///
/// This differs in the buffer and does not compile:
///
/// ```compile_fail,E0080
/// # use nor_flash_model::NorFlashModel;
/// # use powercut_upgrade::{agent::Agent, flash::WriteOnce, slots::{Layout, Region}};
/// # let region = |start: u32, pages| Region { start: start * 2048, pages };
/// # let layout = Layout {
/// #     page_bytes: 2048,
/// #     boot: region(0, 0),
/// #     factory: region(0, 1),
/// #     identification: region(1, 4),
/// #     active: region(5, 9),
/// #     staging: region(14, 10),
/// # };
/// # let pages = 24;
/// let mut flash = WriteOnce(NorFlashModel::<8, 2048, 1>::new(pages));
/// let not_provisioned = Agent::<1024>::start(&mut flash, &layout);
/// # assert!(not_provisioned.is_err());
/// ```
///
/// Where units may be programmed twice, no buffer is needed, however large the page:
///
/// ```
/// # use nor_flash_model::NorFlashModel;
/// # use powercut_upgrade::{agent::Agent, flash::TwiceProgrammable, slots::{Layout, Region}};
/// # let region = |start: u32, pages| Region { start: start * 131_072, pages };
/// # let layout = Layout {
/// #     page_bytes: 131_072,
/// #     boot: region(0, 0),
/// #     factory: region(0, 1),
/// #     identification: region(1, 4),
/// #     active: region(5, 9),
/// #     staging: region(14, 10),
/// # };
/// # let pages = 24;
/// let mut flash = TwiceProgrammable(NorFlashModel::<4, 131_072, 2>::new(pages));
/// let not_provisioned = Agent::<0>::start(&mut flash, &layout);
/// # assert!(not_provisioned.is_err());
/// ```
///
/// Agents that hash alike, of the same device and over the same flash, do the same from here on at the same questions
/// and answers; only how long they wait may differ.
#[derive(Clone)]
pub struct Agent<const PAGE: usize> {
    layout: Layout,
    factory: Factory,
    m_sequence: Option<m_sequence::Configuration>,
    version: Version,
    running: ImageId,
    journal: Journal,
    doing: Activities,
    download: Option<Download<PAGE>>,
    timer: RetransmissionTimer,
    silence: u8,
    result: (ResultCode, ImageId),
    heard_platform: bool,
}

impl<const PAGE: usize> core::fmt::Debug for Agent<PAGE> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Agent")
            .field("version", &self.version)
            .field("state", self.journal.state())
            .field("doing", &self.doing)
            .finish_non_exhaustive()
    }
}

impl<const PAGE: usize> Hash for Agent<PAGE> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.running.hash(hasher);
        self.journal.hash(hasher);
        core::mem::discriminant(&self.doing).hash(hasher);
        match &self.doing {
            // Counted elsewhere too, but it only matters here.
            Activities::Fetching => self.silence.hash(hasher),
            Activities::Verifying(hashing) => hashing.hash(hasher),
            Activities::Ready { told } => told.hash(hasher),
            Activities::Announcing | Activities::Resting { .. } => {}
        }
        if let Some(download) = &self.download {
            download.signed.image_id().hash(hasher);
            download.store.hash(hasher);
            download.received.hash(hasher);
        }
        self.timer.deadline_ms().is_some().hash(hasher);
        self.result.hash(hasher);
        self.heard_platform.hash(hasher);
    }
}

impl<const PAGE: usize> Agent<PAGE> {
    /// Reads who this device is, what it runs and where its upgrade stands. Writes nothing.
    pub fn start<F: UpgradeFlash>(flash: &mut F, layout: &Layout) -> Result<Self, StartError> {
        const {
            assert!(
                F::PROGRAMS_PER_UNIT > 1 || PAGE >= F::ERASE_SIZE,
                "flash whose units are programmed once needs a buffer of one erase page"
            );
        }
        let factory = Factory::load(flash, layout).map_err(|_| StartError::NotProvisioned)?;
        let running =
            image::read_manifest(flash, layout, Location::ACTIVE).ok_or(StartError::NoManifest)?;
        let journal = Journal::recover(flash, layout);
        let state = journal.state();
        let result = match state.phase {
            Phase::Confirmed => (ResultCode::Ok, state.image),
            Phase::Reverted => (ResultCode::InstallFailed, state.image),
            Phase::Rejected => (ResultCode::VerifyFailed, state.image),
            _ => (ResultCode::Ok, ImageId::NONE),
        };
        let mut agent = Self {
            layout: *layout,
            factory,
            m_sequence: m_sequence::Configuration::load(flash, layout),
            version: running.manifest().version,
            running: running.image_id(),
            journal,
            doing: Activities::Announcing,
            download: None,
            timer: RetransmissionTimer::new(),
            silence: 0,
            result,
            heard_platform: false,
        };
        agent.resume(flash);
        Ok(agent)
    }

    /// Whether this image runs on probation and has to be confirmed.
    pub fn in_trial(&self) -> bool {
        matches!(self.journal.state().phase, Phase::Trial { .. })
    }

    /// Whether the platform has answered since the start: a good part of a self-test, since an image that cannot
    /// reach the platform could never be replaced.
    pub fn heard_platform(&self) -> bool {
        self.heard_platform
    }

    /// What the journal says.
    pub fn state(&self) -> &State {
        self.journal.state()
    }

    /// The self-test passed: the image is in force from here on, and so is its security counter.
    pub fn confirm<F: UpgradeFlash>(&mut self, flash: &mut F) -> Result<(), FlashError> {
        if !self.in_trial() {
            return Ok(());
        }
        self.journal.conclude(flash, Record::Confirm)?;
        self.result = (ResultCode::Ok, self.running);
        self.announce();
        Ok(())
    }

    /// Takes a datagram; it is decrypted in place. What is not understood or not expected is ignored.
    pub fn on_datagram<F: UpgradeFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        bytes: &mut [u8],
    ) -> Result<(), FlashError> {
        let Ok(message) = Downlink::decode(bytes) else {
            return Ok(());
        };
        match message {
            Downlink::Nothing { retry_after_s } => {
                if matches!(self.doing, Activities::Announcing) {
                    self.answered(now_ms);
                    let rest_ms = (u64::from(retry_after_s) * 1_000).clamp(1_000, MAX_IDLE_MS);
                    self.doing = Activities::Resting {
                        until_ms: Some(now_ms + rest_ms),
                    };
                }
                Ok(())
            }
            Downlink::Offer(manifest) => self.on_offer(flash, now_ms, manifest),
            Downlink::Fragment {
                session,
                index,
                sealed,
            } => self.on_fragment(flash, now_ms, session, index, sealed),
            Downlink::Refusal { session, .. } => {
                let ours = self
                    .download
                    .as_ref()
                    .is_some_and(|download| Session::of(download.signed.image_id()) == session);
                if ours && matches!(self.doing, Activities::Fetching) {
                    self.answered(now_ms);
                    // The task may have changed: ask what there is, but not at once, lest two confused peers race.
                    self.doing = Activities::Resting {
                        until_ms: Some(now_ms + 1_000),
                    };
                }
                Ok(())
            }
        }
    }

    /// Does what is due and says what comes next.
    pub fn poll<F: UpgradeFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        out: &mut [u8; MAX_UPLINK_BYTES],
    ) -> Result<Wish, FlashError> {
        if let Activities::Resting { until_ms } = self.doing {
            match until_ms {
                Some(until_ms) if now_ms < until_ms => return Ok(Wish::Wait { until_ms }),
                _ => self.announce(),
            }
        }
        match &mut self.doing {
            Activities::Verifying(hashing) => {
                let mut digest = hashing.next_page(flash, &self.layout);
                if is_planted(Bug::FirstPageVerified)
                    && let Some(download) = &self.download
                {
                    digest = Some(download.signed.manifest().image_digest);
                }
                if let Some(digest) = digest {
                    self.on_digest(flash, digest)?;
                }
                return Ok(Wish::Continue);
            }
            Activities::Ready { told: true } => return Ok(Wish::Restart),
            Activities::Ready { told } => {
                *told = true;
                // Read after a reset, not written in this boot: the bootloader may not see it (rule of the journal).
                if !self.journal.is_open() {
                    self.journal.reassert(flash)?;
                }
                return Ok(Wish::Send(self.status(Activity::Ready).encode(out)));
            }
            _ => {}
        }
        match self.timer.deadline_ms() {
            Some(until_ms) if now_ms < until_ms || is_planted(Bug::NothingAskedTwice) => {
                return Ok(Wish::Wait { until_ms });
            }
            Some(_) => self.on_silence(),
            None => {}
        }
        let Some(question) = self.question() else {
            return Ok(Wish::Continue);
        };
        self.timer.asked(now_ms);
        Ok(Wish::Send(question.encode(out)))
    }

    /// What to ask the platform now; `None` after the last fragment, when verification begins instead.
    fn question(&mut self) -> Option<Uplink> {
        let (Activities::Fetching, Some(download)) = (&self.doing, &self.download) else {
            return Some(self.status(self.activity()));
        };
        let manifest = download.signed.manifest();
        if let Some(index) = download.store.wanted(manifest) {
            return Some(Uplink::Request {
                device: self.factory.device_id,
                session: Session::of(download.signed.image_id()),
                index,
            });
        }
        self.timer.stop();
        self.doing = Activities::Verifying(Hashing::new(Location::STAGING, manifest.size_bytes));
        None
    }

    fn activity(&self) -> Activity {
        match (&self.doing, self.journal.state().phase) {
            (Activities::Verifying(_), _) => Activity::Verifying,
            (Activities::Ready { .. }, _) => Activity::Ready,
            (_, Phase::Trial { .. }) => Activity::Trial,
            (_, Phase::Accepted | Phase::Downloading { .. }) => Activity::Downloading,
            _ => Activity::Idle,
        }
    }

    fn status(&self, activity: Activity) -> Uplink {
        Uplink::Status(Status {
            device: self.factory.device_id,
            hardware: self.factory.hardware,
            version: self.version,
            running: self.running,
            security_counter: self.minimum(),
            activity,
            result: self.result.0,
            result_image: self.result.1,
        })
    }

    fn minimum(&self) -> SecurityCounter {
        self.journal
            .state()
            .security_counter
            .max(self.factory.minimum_security_counter)
    }

    fn announce(&mut self) {
        self.timer.stop();
        self.silence = 0;
        self.doing = Activities::Announcing;
    }

    fn answered(&mut self, now_ms: u64) {
        self.timer.answered(now_ms);
        self.silence = 0;
        self.heard_platform = true;
    }

    fn on_silence(&mut self) {
        self.timer.expired();
        self.silence = self.silence.saturating_add(1);
        if self.silence >= SILENCE_LIMIT && matches!(self.doing, Activities::Fetching) {
            self.silence = 0;
            self.doing = Activities::Announcing;
        }
    }

    /// Takes up a download that an earlier boot began, if its manifest is in STAGING.
    fn resume<F: UpgradeFlash>(&mut self, flash: &mut F) {
        let state = *self.journal.state();
        if state.phase == Phase::Ready {
            // A torn READY that the bootloader did not see. It was written after the image was verified, so it is true.
            self.doing = Activities::Ready { told: false };
            return;
        }
        let Phase::Downloading {
            committed,
            programs,
        } = state.phase
        else {
            return;
        };
        let signed = image::read_manifest(flash, &self.layout, Location::STAGING)
            .filter(|signed| signed.image_id() == state.image);
        if let Some(signed) = signed {
            // Of an image that is all there no unit is programmed any more: nothing of its last page is used up.
            let mut at = if committed == signed.manifest().size_bytes {
                ResumePoint {
                    committed,
                    programs,
                }
            } else {
                store::resume_point::<F>(&self.layout, committed, programs)
            };
            let fragment = u32::from(signed.manifest().fragment_bytes);
            if is_planted(Bug::ResumeOneTooFar) {
                at.committed = (at.committed + fragment).min(signed.manifest().size_bytes);
            }
            if is_planted(Bug::ResumeTwoTooFar) {
                at.committed = (at.committed + 2 * fragment).min(signed.manifest().size_bytes);
            }
            if is_planted(Bug::ResumeTwoTooEarly) {
                at.committed = at.committed.saturating_sub(2 * fragment);
            }
            self.begin(signed, at);
        }
    }

    fn begin(&mut self, signed: SignedManifest, at: ResumePoint) {
        let no_key = DeviceKey([0; 32]);
        let key = if is_planted(Bug::CipherNotInitialisedOnResume) && at.committed > 0 {
            &no_key
        } else {
            &self.factory.device_key
        };
        // An offer this device has no cipher for was refused.
        self.download = FragmentCipher::new(key, self.m_sequence, &signed)
            .ok()
            .map(|cipher| Download {
                cipher,
                store: Store::new(at),
                received: Received::from(at.committed),
                signed,
            });
    }

    fn on_offer<F: UpgradeFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        bytes: &[u8; SIGNED_MANIFEST_BYTES],
    ) -> Result<(), FlashError> {
        if self.in_trial() {
            // The platform is there: all a self-test wants to know. The offer can wait.
            if matches!(self.doing, Activities::Announcing) {
                self.answered(now_ms);
                self.doing = Activities::Resting {
                    until_ms: Some(now_ms + 1_000),
                };
            }
            return Ok(());
        }
        if !matches!(
            self.doing,
            Activities::Announcing | Activities::Resting { .. }
        ) {
            return Ok(());
        }
        let Ok(signed) = SignedManifest::decode(bytes) else {
            return Ok(());
        };
        self.answered(now_ms);
        if let Some(download) = &self.download
            && download.signed.image_id() == signed.image_id()
        {
            self.doing = Activities::Fetching;
            return Ok(());
        }
        if let Some(refusal) = self.refusal(flash, &signed) {
            self.result = (refusal, signed.image_id());
            self.announce();
            return Ok(());
        }
        self.accept(flash, signed)
    }

    /// Why this device does not install an image; `None` if it does.
    fn refusal<F: UpgradeFlash>(
        &self,
        flash: &mut F,
        signed: &SignedManifest,
    ) -> Option<ResultCode> {
        let manifest = signed.manifest();
        let state = self.journal.state();
        let id = signed.image_id();
        if id == self.running {
            return Some(ResultCode::LatestAlready);
        }
        if id == state.image
            && state.phase == Phase::Reverted
            && !is_planted(Bug::RevertedForgotten)
        {
            return Some(ResultCode::InstallFailed);
        }
        let in_use = match state.phase {
            Phase::Rejected => is_planted(Bug::RejectedSlotInUse),
            Phase::Accepted => is_planted(Bug::InterruptedEraseInUse),
            _ => false,
        };
        if in_use {
            return Some(ResultCode::InUse);
        }
        if id == state.image && state.phase == Phase::Rejected {
            return Some(ResultCode::VerifyFailed);
        }
        let has_cipher = manifest.suite != Suite::MSequence || self.m_sequence.is_some();
        if manifest.hardware != self.factory.hardware || !has_cipher {
            return Some(ResultCode::TypeUnsupported);
        }
        if manifest.size_bytes > self.layout.image_capacity_bytes()
            || !usize::from(manifest.fragment_bytes).is_multiple_of(F::WRITE_SIZE)
        {
            return Some(ResultCode::NoSpace);
        }
        if manifest.security_counter < self.minimum() {
            return Some(ResultCode::VerifyFailed);
        }
        let keys = self.factory.trusted_keys;
        let is_signed = flash.work_out(&(signed.encode(), keys), || signed.verify(&keys).is_ok());
        (!is_signed).then_some(ResultCode::VerifyFailed)
    }

    /// Begins the session, or goes on with it if only the manifest is missing from STAGING.
    fn accept<F: UpgradeFlash>(
        &mut self,
        flash: &mut F,
        signed: SignedManifest,
    ) -> Result<(), FlashError> {
        let committed = match self.journal.state().phase {
            Phase::Downloading { committed, .. } if is_planted(Bug::ProgressNotBoundToSession) => {
                committed.min(signed.manifest().size_bytes)
            }
            _ => 0,
        };
        let state = State {
            image: signed.image_id(),
            image_counter: signed.manifest().security_counter,
            attempt: 0,
            phase: Phase::Accepted,
            chain: ChainLength(0),
            ..*self.journal.state()
        };
        self.journal.open(flash, state)?;
        store::store_manifest(flash, &self.layout, &signed)?;
        self.journal.append(flash, Record::ManifestStored)?;
        self.begin(
            signed,
            ResumePoint {
                committed,
                programs: 0,
            },
        );
        self.doing = Activities::Fetching;
        Ok(())
    }

    fn on_fragment<F: UpgradeFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        session: Session,
        index: FragmentIndex,
        sealed: &mut [u8],
    ) -> Result<(), FlashError> {
        let (Activities::Fetching, Some(download)) = (&self.doing, &mut self.download) else {
            return Ok(());
        };
        let manifest = *download.signed.manifest();
        if Session::of(download.signed.image_id()) != session
            || download.store.wanted(&manifest) != Some(index)
        {
            return Ok(());
        }
        let nonce = if is_planted(Bug::NonceCountsFromReset) && !self.journal.is_open() {
            FragmentIndex(0)
        } else {
            index
        };
        let Ok(fragment) = download.cipher.open(nonce, sealed) else {
            return Ok(());
        };
        if fragment.len() != manifest.fragment_len(index) {
            return Ok(());
        }
        let stored =
            download
                .store
                .take(flash, &self.layout, &mut self.journal, &manifest, fragment)?;
        match stored {
            Stored::Progress => {
                download.received.add(fragment);
                self.answered(now_ms);
            }
            // Flash that keeps losing what was written ends in silence and a new announcement, not in a busy loop.
            Stored::Rewound => download.received = Received::default(),
        }
        Ok(())
    }

    /// The image in STAGING has this digest: it is ready, or it is fetched anew, or it is refused.
    fn on_digest<F: UpgradeFlash>(
        &mut self,
        flash: &mut F,
        digest: [u8; 32],
    ) -> Result<(), FlashError> {
        let Some(download) = self.download.take() else {
            self.announce();
            return Ok(());
        };
        let digest = download.received.believed(digest);
        let state = *self.journal.state();
        if digest == download.signed.manifest().image_digest || is_planted(Bug::ReadyUnverified) {
            self.journal.append(flash, Record::Ready)?;
            self.doing = Activities::Ready { told: false };
            return Ok(());
        }
        if state.attempt.saturating_add(1) >= MAX_ATTEMPTS && !is_planted(Bug::AttemptsNotCounted) {
            self.journal.append(flash, Record::Rejected)?;
            self.result = (ResultCode::VerifyFailed, state.image);
        } else {
            let anew = State {
                attempt: state.attempt.wrapping_add(1),
                phase: Phase::Downloading {
                    committed: 0,
                    programs: 0,
                },
                ..state
            };
            self.journal.open(flash, anew)?;
            self.begin(
                download.signed,
                ResumePoint {
                    committed: 0,
                    programs: 0,
                },
            );
        }
        self.announce();
        Ok(())
    }
}
