//! The application's side of the upgrade, sans-IO: datagrams and time go in, datagrams and wishes come out.
//!
//! The owner calls [`Agent::on_datagram`] for every datagram that arrives and [`Agent::poll`] until it returns
//! [`Wish::Wait`]; then again when that time has come or something arrived. Time is in milliseconds from any start
//! and never goes back. The agent asks for fragments, asks again when no answer comes, and after a while of silence
//! announces itself anew. How it talks is up to its dialect (`lean`, `pcp`); what it does is the same in both.
use crate::factory::Factory;
use crate::flash::FlashError;
use crate::image::{self, Hashing, Location};
use crate::journal::{Journal, Phase, Record, State};
use crate::m_sequence;
use crate::manifest::{FragmentIndex, ImageId, SecurityCounter, Version};
use crate::seeded;
use crate::slots::Layout;
use crate::timer::RetransmissionTimer;
use crate::watched::WatchedFlash;
use crate::wire::lean::{Activity, Challenge, LeanKey};
use crate::wire::{Dialect, MAX_UPLINK_BYTES, ResultCode};
use core::hash::{Hash, Hasher};

mod download;
mod lean;
mod pcp;
mod window;

use download::Download;
use window::Window;

/// Unanswered requests after which the device announces itself again.
const SILENCE_LIMIT: u8 = 4;

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
    /// Fetches what says which image a PCP package is.
    Heading,
    /// Fetches the fragments of the session's image.
    Fetching,
    /// Checks the digest, page by page.
    Verifying(Hashing),
    /// Tells the platform and restarts.
    Ready { told: bool },
    /// Tells a PCP platform how the upgrade ended.
    Reporting,
}

/// The upgrade agent of one device. `PAGE` is the size of its page buffer: the erase size where units are programmed
/// once, because a page of those has to be complete before it is written, else 0. `HELD` is the RAM for fragments that
/// come before their turn: an array, or a reference to one where there is no room to move it about. If it is empty, the
/// agent never has more than one fragment outstanding.
///
/// A part that is programmed once with pages larger than the agent's buffer is refused when the firmware is built, not
/// on the device. This is an agent for pages of 2 KB:
///
/// ```
/// # use nor_flash_model::NorFlashModel;
/// # use powercut_upgrade::{agent::Agent, flash::WriteOnce, slots::{AddressSpace, Layout, Region}};
/// # let region = |start: u32, pages| Region { start: start * 2048, pages };
/// # let layout = Layout {
/// #     page_bytes: 2048,
/// #     boot: region(0, 0),
/// #     factory: region(0, 1),
/// #     identification: region(1, 4),
/// #     active: region(5, 9),
/// #     staging: region(14, 10),
/// #     addresses: AddressSpace::NRF51,
/// # };
/// # let pages = 24;
/// let mut flash = WriteOnce(NorFlashModel::<8, 2048, 1>::new(pages));
/// let not_provisioned = Agent::<2048, _>::start(&mut flash, &layout, []);
/// # assert!(not_provisioned.is_err());
/// ```
///
/// This differs in the buffer and does not compile:
///
/// ```compile_fail,E0080
/// # use nor_flash_model::NorFlashModel;
/// # use powercut_upgrade::{agent::Agent, flash::WriteOnce, slots::{AddressSpace, Layout, Region}};
/// # let region = |start: u32, pages| Region { start: start * 2048, pages };
/// # let layout = Layout {
/// #     page_bytes: 2048,
/// #     boot: region(0, 0),
/// #     factory: region(0, 1),
/// #     identification: region(1, 4),
/// #     active: region(5, 9),
/// #     staging: region(14, 10),
/// #     addresses: AddressSpace::NRF51,
/// # };
/// # let pages = 24;
/// let mut flash = WriteOnce(NorFlashModel::<8, 2048, 1>::new(pages));
/// let not_provisioned = Agent::<1024, _>::start(&mut flash, &layout, []);
/// # assert!(not_provisioned.is_err());
/// ```
///
/// Where units may be programmed twice, no buffer is needed, however large the page:
///
/// ```
/// # use nor_flash_model::NorFlashModel;
/// # use powercut_upgrade::{agent::Agent, flash::TwiceProgrammable, slots::{AddressSpace, Layout, Region}};
/// # let region = |start: u32, pages| Region { start: start * 131_072, pages };
/// # let layout = Layout {
/// #     page_bytes: 131_072,
/// #     boot: region(0, 0),
/// #     factory: region(0, 1),
/// #     identification: region(1, 4),
/// #     active: region(5, 9),
/// #     staging: region(14, 10),
/// #     addresses: AddressSpace::NRF51,
/// # };
/// # let pages = 24;
/// let mut flash = TwiceProgrammable(NorFlashModel::<4, 131_072, 2>::new(pages));
/// let not_provisioned = Agent::<0, _>::start(&mut flash, &layout, []);
/// # assert!(not_provisioned.is_err());
/// ```
///
/// Agents that hash alike, of the same device and over the same flash, do the same from here on at the same questions
/// and answers; only how long they wait may differ.
#[derive(Clone)]
pub struct Agent<const PAGE: usize, HELD> {
    layout: Layout,
    factory: Factory,
    key: LeanKey,
    challenge: Challenge,
    m_sequence: Option<m_sequence::Configuration>,
    version: Version,
    running: ImageId,
    journal: Journal,
    doing: Activities,
    download: Option<Download<PAGE>>,
    /// Of the download.
    window: Window<HELD>,
    pcp: pcp::Talk,
    timer: RetransmissionTimer,
    silence: u8,
    /// A download was taken up after a reset, and the platform is to be told so along with what is asked of it.
    tells_resume: bool,
    /// The same, in lean, until an offer says that it goes on and how wide the window may be.
    awaits_offer: bool,
    result: (ResultCode, ImageId),
    heard_platform: bool,
}

impl<const PAGE: usize, HELD> core::fmt::Debug for Agent<PAGE, HELD> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Agent")
            .field("version", &self.version)
            .field("state", self.journal.state())
            .field("doing", &self.doing)
            .finish_non_exhaustive()
    }
}

impl<const PAGE: usize, HELD: AsRef<[u8]>> Hash for Agent<PAGE, HELD> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.running.hash(hasher);
        self.journal.hash(hasher);
        core::mem::discriminant(&self.doing).hash(hasher);
        match &self.doing {
            // Counted elsewhere too, but it only matters here.
            Activities::Fetching | Activities::Heading | Activities::Reporting => {
                self.silence.hash(hasher);
            }
            Activities::Verifying(hashing) => hashing.hash(hasher),
            Activities::Ready { told } => told.hash(hasher),
            Activities::Announcing | Activities::Resting { .. } => {}
        }
        if let Some(download) = &self.download {
            download.signed.image_id().hash(hasher);
            download.store.hash(hasher);
            download.received.hash(hasher);
            download.facts.hash(hasher);
            self.window.hash(hasher);
        }
        (self.tells_resume, self.awaits_offer).hash(hasher);
        self.challenge.hash(hasher);
        self.pcp.hash(hasher);
        self.timer.deadline_ms().is_some().hash(hasher);
        self.result.hash(hasher);
        self.heard_platform.hash(hasher);
    }
}

impl<const PAGE: usize, HELD: AsRef<[u8]> + AsMut<[u8]>> Agent<PAGE, HELD> {
    /// Reads who this device is, what it runs and where its upgrade stands. Writes nothing to flash.
    pub fn start<F: WatchedFlash>(
        flash: &mut F,
        layout: &Layout,
        held: HELD,
    ) -> Result<Self, StartError> {
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
            key: LeanKey::of(&factory.device_key),
            factory,
            m_sequence: m_sequence::Configuration::load(flash, layout),
            challenge: Challenge::default(),
            version: running.manifest().version,
            running: running.image_id(),
            journal,
            doing: Activities::Announcing,
            download: None,
            window: Window::new(held),
            pcp: pcp::Talk::default(),
            timer: RetransmissionTimer::new(),
            silence: 0,
            tells_resume: false,
            awaits_offer: false,
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

    /// Whether a fragment of the download is here: stored, or in RAM until its turn. One that came early and found no
    /// room is not.
    pub fn has_fragment(&self, index: FragmentIndex) -> bool {
        self.download.is_some() && self.window.has(index)
    }

    /// What the journal says.
    pub fn state(&self) -> &State {
        self.journal.state()
    }

    /// The self-test passed: the image is in force from here on, and so is its security counter.
    pub fn confirm<F: WatchedFlash>(&mut self, flash: &mut F) -> Result<(), FlashError> {
        if !self.in_trial() {
            return Ok(());
        }
        self.journal.conclude(flash, Record::Confirm)?;
        self.conclude(ResultCode::Ok, self.running);
        Ok(())
    }

    /// Takes a datagram; it is decrypted in place. What is not understood or not expected is ignored.
    pub fn on_datagram<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        bytes: &mut [u8],
    ) -> Result<(), FlashError> {
        if self.factory.dialect == Dialect::Pcp && self.on_pcp(flash, now_ms, bytes)? {
            return Ok(());
        }
        self.on_lean(flash, now_ms, bytes)
    }

    /// Does what is due and says what comes next.
    pub fn poll<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        out: &mut [u8; MAX_UPLINK_BYTES],
    ) -> Result<Wish, FlashError> {
        if let Some(reply) = self.pcp.take_reply() {
            return Ok(Wish::Send(reply.encode(out)));
        }
        if let Activities::Resting { until_ms } = self.doing {
            match until_ms {
                Some(until_ms) if now_ms < until_ms => return Ok(Wish::Wait { until_ms }),
                _ => self.announce(),
            }
        }
        match &mut self.doing {
            Activities::Verifying(hashing) => {
                let mut digest = hashing.next_page(flash, &self.layout);
                let signed = self.download.as_ref().map(|download| &download.signed);
                seeded::believe_first_page(&mut digest, signed);
                if let Some(digest) = digest {
                    self.on_digest(flash, digest)?;
                }
                return Ok(Wish::Continue);
            }
            Activities::Ready { told: true } => return Ok(Wish::Restart),
            Activities::Ready { told } => {
                // Who speaks PCP is told when to install.
                *told = self.factory.dialect == Dialect::Lean;
                // Read after a reset, not written in this boot: the bootloader may not see it (rule of the journal).
                if !self.journal.is_open() {
                    self.journal.reassert(flash)?;
                }
            }
            _ => {}
        }
        match self.timer.deadline_ms() {
            Some(until_ms) if seeded::is_early(now_ms, until_ms) && !self.tells_resume => {
                let more = self.ask_for_more(now_ms, out);
                return Ok(more.map_or(Wish::Wait { until_ms }, Wish::Send));
            }
            Some(until_ms) if now_ms >= until_ms => self.on_silence(),
            _ => {}
        }
        if core::mem::take(&mut self.tells_resume) {
            let status = self.status(self.activity());
            return Ok(Wish::Send(status.encode(&self.key, out)));
        }
        Ok(self
            .question(now_ms, out)
            .map_or(Wish::Continue, Wish::Send))
    }

    /// Writes what to tell or ask the platform now and returns its length; `None` after the last fragment, when
    /// verification begins instead, and when there is no need to ask any more.
    #[inline(never)]
    fn question(&mut self, now_ms: u64, out: &mut [u8; MAX_UPLINK_BYTES]) -> Option<usize> {
        if let (Activities::Fetching, Some(download)) = (&self.doing, &self.download) {
            let manifest = download.signed.manifest();
            if download.store.wanted(manifest).is_none() {
                self.timer.stop();
                let hashing = Hashing::new(Location::STAGING, manifest.size_bytes);
                self.doing = Activities::Verifying(hashing);
                return None;
            }
            if self.factory.dialect == Dialect::Lean {
                return self.ask_for_fragments(now_ms, out);
            }
        }
        let length = match self.pcp_question() {
            Some(message) => message.encode(out),
            None => self.status(self.activity()).encode(&self.key, out),
        };
        self.timer.asked(now_ms);
        Some(length)
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

    fn minimum(&self) -> SecurityCounter {
        self.journal
            .state()
            .security_counter
            .max(self.factory.minimum_security_counter)
    }

    fn announce(&mut self) {
        self.timer.stop();
        self.tells_resume = false;
        self.awaits_offer = false;
        self.silence = 0;
        self.doing = Activities::Announcing;
    }

    /// The platform has nothing to say to what was asked, or not yet.
    fn rest(&mut self, until_ms: u64) {
        self.doing = Activities::Resting {
            until_ms: Some(until_ms),
        };
    }

    /// How an upgrade ended, to be told.
    fn conclude(&mut self, result: ResultCode, image: ImageId) {
        self.result = (result, image);
        self.pcp.reported = false;
        self.announce();
    }

    fn answered(&mut self, now_ms: u64) {
        self.timer.answered(now_ms);
        self.silence = 0;
        self.heard_platform = true;
    }

    fn on_silence(&mut self) {
        self.timer.expired();
        self.silence = self.silence.saturating_add(1);
        if self.heard_platform {
            self.window.time_out();
        } else {
            self.window.time_out_unheard();
        }
        if self.silence < SILENCE_LIMIT {
            // A platform that was not heard since the reset may not know this device any more.
            let is_told = self.heard_platform && !self.awaits_offer;
            self.tells_resume = matches!(self.doing, Activities::Fetching) && !is_told;
            return;
        }
        match self.doing {
            Activities::Fetching | Activities::Heading | Activities::Reporting => {
                self.announce();
            }
            // What is ready is installed, whether somebody orders it or not.
            Activities::Ready { .. } => self.doing = Activities::Ready { told: true },
            _ => {}
        }
    }
}
