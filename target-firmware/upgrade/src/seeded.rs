//! Bugs planted on purpose, one at a time, so that the tools can be shown to find them. Compiled in only by the
//! features `seeded-bugs`, which lets the process choose one, and `seeded-bug`, which builds one in. No product has them; without
//! them `is_planted` is `false` for the compiler too.
//!
//! A bug that is read at a glance stands where it does its harm. The effect of a bug that would make a function of the core
//! harder to follow stands here, in a function whose first line says what holds without the bug; the core calls it as
//! `seeded::...`.
use crate::factory::DeviceKey;
use crate::flash::FlashError;
use crate::journal::{Journal, Phase, Record, State};
use crate::manifest::{FragmentIndex, Manifest, SignedManifest};
use crate::slots::ChainLength;
use crate::store::ResumePoint;
use crate::watched::WatchedFlash;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// One bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// All.
            pub const ALL: &'static [Self] = &[$(Self::$bug,)+];

            /// How it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bug => $name,)+
                }
            }

            /// The bug that is called so.
            pub const fn named(name: &str) -> Option<Self> {
                let mut at = 0;
                while at < Self::ALL.len() {
                    if is_same(Self::ALL[at].name(), name) {
                        return Some(Self::ALL[at]);
                    }
                    at += 1;
                }
                None
            }
        }
    };
}

bugs! {
    /// The progress record is written before the data it speaks of.
    RecordBeforeData = "record-before-data",
    /// A record's CRC is written but not looked at.
    RecordWithoutCrc = "record-without-crc",
    /// A record's CRC covers its kind and place, not its value.
    RecordCrcOverAPart = "record-crc-over-a-part",
    /// The record's CRC does not cover the session.
    RecordNotBoundToSession = "record-not-bound-to-session",
    /// Two records share a write unit where units are larger than a record.
    TwoRecordsInOneUnit = "two-records-in-one-unit",
    /// A record is not read back after it was written.
    RecordNotReadBack = "record-not-read-back",
    /// A journal page that cannot be read ends the search for others.
    ReadErrorFatal = "read-error-fatal",
    /// A page that an earlier boot opened is appended to where it reads blank.
    AppendAfterReset = "append-after-reset",
    /// A page counts although its SEAL is missing.
    SealIgnored = "seal-ignored",
    /// A page is sealed before its header is written.
    SealBeforeHeader = "seal-before-header",
    /// Generations are compared as if they never wrapped around.
    GenerationDoesNotWrap = "generation-does-not-wrap",
    /// Of two sealed pages the older one wins.
    OlderGenerationWins = "older-generation-wins",
    /// The newest page is erased to make room for its successor.
    LivePageErased = "live-page-erased",
    /// A page that reads blank is not erased before it is used.
    EraseSkippedIfBlank = "erase-skipped-if-blank",
    /// A download goes on one fragment behind what is recorded.
    ResumeOneTooFar = "resume-one-too-far",
    /// A state at rest is taken for settled as it was read.
    RestNotSettled = "rest-not-settled",
    /// A settled state is settled again at every boot.
    AnchorIgnored = "anchor-ignored",
    /// A download goes on two fragments behind what is recorded.
    ResumeTwoTooFar = "resume-two-too-far",
    /// A download goes on two fragments before what is recorded.
    ResumeTwoTooEarly = "resume-two-too-early",
    /// The page a download goes on in is erased, with the fragments in it that are recorded.
    ResumedPageErased = "resumed-page-erased",
    /// A record that does not pass its check makes the device forget all progress.
    TornRecordForgetsProgress = "torn-record-forgets-progress",
    /// Progress at one image counts for the next one too.
    ProgressNotBoundToSession = "progress-not-bound-to-session",
    /// The key of a resumed download is not derived.
    CipherNotInitialisedOnResume = "cipher-not-initialised-on-resume",
    /// The nonce counts the fragments since the reset.
    NonceCountsFromReset = "nonce-counts-from-reset",
    /// A lost datagram is never asked for again.
    NothingAskedTwice = "nothing-asked-twice",
    /// The page that is erased for new fragments is counted from the start of flash.
    PageIndexWithoutSlotBase = "page-index-without-slot-base",
    /// The last, padded unit of what is written is programmed twice.
    TailProgrammedTwice = "tail-programmed-twice",
    /// The manifest in STAGING is not read back after it was written.
    ManifestNotReadBack = "manifest-not-read-back",
    /// Fragments are not read back after they were written.
    DataNotReadBack = "data-not-read-back",
    /// Nobody counts how often a boot may have programmed the units ahead.
    ProgramsNotCounted = "programs-not-counted",
    /// Fragments still in RAM are recorded as written.
    RamCountedAsWritten = "ram-counted-as-written",
    /// The last, short fragment is not recorded.
    LastFragmentNotRecorded = "last-fragment-not-recorded",
    /// The agent says Ready whatever the digest is.
    ReadyUnverified = "ready-unverified",
    /// Ready follows from the digest of what was received, not of what is in flash.
    ReadyFromRam = "ready-from-ram",
    /// The agent verifies the first page only.
    FirstPageVerified = "first-page-verified",
    /// The bootloader looks at manifests, not at digests.
    DigestNotChecked = "digest-not-checked",
    /// READY is acted on without being stated anew.
    ReadyNotReasserted = "ready-not-reasserted",
    /// The first copies of a swap are done before its beginning is recorded.
    SwapBeginsUnrecorded = "swap-begins-unrecorded",
    /// A swap step is recorded before its copy is done.
    StepRecordedBeforeCopy = "step-recorded-before-copy",
    /// A swap or revert is recorded as complete before its last copy is.
    SwapClosedBeforeLastCopy = "swap-closed-before-last-copy",
    /// A page that was copied is not read back.
    CopyNotReadBack = "copy-not-read-back",
    /// Swap steps are acted on without being stated anew.
    StepNotReasserted = "step-not-reasserted",
    /// A swap goes on one copy behind what is recorded.
    SwapSkipsACopy = "swap-skips-a-copy",
    /// ACTIVE is overwritten before its page is saved.
    SwapOverwritesFirst = "swap-overwrites-first",
    /// The security counter rises when the swap begins.
    CounterRisesAtSwap = "counter-rises-at-swap",
    /// The security counter rises when a trial goes on after a reset.
    CounterRisesAtSecondTrial = "counter-rises-at-second-trial",
    /// The bootloader does not ask for the security counter in force.
    CounterCheckedAtOfferOnly = "counter-checked-at-offer-only",
    /// A revert whose last record is torn matches no state.
    FinishedRevertUnknown = "finished-revert-unknown",
    /// A second trial attempt is not recorded.
    TrialNotCounted = "trial-not-counted",
    /// The bootloader jumps to an image whatever its vectors are.
    VectorsNotChecked = "vectors-not-checked",
    /// The bootloader stays for good when an image on probation is no program, instead of putting the old one back.
    UnbootableStays = "unbootable-stays",
    /// An image that is no program is installed in place of one that is lost.
    UnbootableFallback = "unbootable-fallback",
    /// An image that was reverted is installed again.
    RevertedForgotten = "reverted-forgotten",
    /// An image whose content is wrong is fetched for ever.
    AttemptsNotCounted = "attempts-not-counted",
    /// How often an image was fetched is forgotten at a reset.
    AttemptNotPersisted = "attempt-not-persisted",
    /// The slot of a rejected image stays in use.
    RejectedSlotInUse = "rejected-slot-in-use",
    /// A slot stays in use if power is lost while it is made ready for another image.
    InterruptedEraseInUse = "interrupted-erase-in-use",
    /// A record that does not pass its check makes the device erase the slot and begin the download anew.
    SlotErasedOnCrcError = "slot-erased-on-crc-error",
}

/// Whether two texts are the same, also for the compiler.
const fn is_same(one: &str, two: &str) -> bool {
    let (one, two) = (one.as_bytes(), two.as_bytes());
    let mut at = 0;
    while at < one.len() && at < two.len() && one[at] == two[at] {
        at += 1;
    }
    at == one.len() && at == two.len()
}

/// The bug that is built in, where the environment of the build names one of the core's.
const BUILT_IN: Option<Bug> = match option_env!("POWERCUT_SEEDED_BUG") {
    Some(name) if cfg!(feature = "seeded-bug") => Bug::named(name),
    _ => None,
};

#[cfg(feature = "seeded-bugs")]
mod switch {
    use core::sync::atomic::{AtomicU8, Ordering};

    const NONE: u8 = u8::MAX;
    static PLANTED: AtomicU8 = AtomicU8::new(NONE);

    /// Plants `bug`, and no other, in the whole process.
    pub fn plant(bug: Option<super::Bug>) {
        PLANTED.store(bug.map_or(NONE, |bug| bug as u8), Ordering::SeqCst);
    }

    pub(super) fn is_planted(bug: super::Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(feature = "seeded-bugs")]
pub use switch::plant;

/// The digest of all fragments as they were received, for [`Bug::ReadyFromRam`]. Without the feature it is nothing.
#[derive(Clone, Default)]
pub(crate) struct Received {
    #[cfg(any(feature = "seeded-bugs", feature = "seeded-bug"))]
    hasher: Option<sha2::Sha256>,
}

impl core::hash::Hash for Received {
    #[cfg_attr(
        not(any(feature = "seeded-bugs", feature = "seeded-bug")),
        expect(unused_variables, reason = "there is nothing")
    )]
    fn hash<H: core::hash::Hasher>(&self, hasher: &mut H) {
        #[cfg(any(feature = "seeded-bugs", feature = "seeded-bug"))]
        if let Some(received) = &self.hasher {
            sha2::Digest::finalize(received.clone()).hash(hasher);
        }
    }
}

#[cfg_attr(
    not(any(feature = "seeded-bugs", feature = "seeded-bug")),
    expect(
        unused_variables,
        clippy::unused_self,
        reason = "without the feature nothing is planted"
    )
)]
impl Received {
    /// Begins where a download does; one that goes on after a reset has not received everything.
    pub(crate) fn from(committed: u32) -> Self {
        Self {
            #[cfg(any(feature = "seeded-bugs", feature = "seeded-bug"))]
            hasher: (committed == 0).then(sha2::Digest::new),
        }
    }

    pub(crate) fn add(&mut self, fragment: &[u8]) {
        #[cfg(any(feature = "seeded-bugs", feature = "seeded-bug"))]
        if let Some(hasher) = &mut self.hasher {
            sha2::Digest::update(hasher, fragment);
        }
    }

    /// The digest to believe, where `in_flash` is what flash holds.
    pub(crate) fn believed(self, in_flash: [u8; 32]) -> [u8; 32] {
        #[cfg(any(feature = "seeded-bugs", feature = "seeded-bug"))]
        if is_planted(Bug::ReadyFromRam)
            && let Some(hasher) = self.hasher
        {
            return sha2::Digest::finalize(hasher).into();
        }
        in_flash
    }
}

/// Whether `bug` is planted.
#[inline]
pub(crate) fn is_planted(bug: Bug) -> bool {
    if matches!(BUILT_IN, Some(built_in) if built_in as u8 == bug as u8) {
        return true;
    }
    #[cfg(feature = "seeded-bugs")]
    let planted = switch::is_planted(bug);
    #[cfg(not(feature = "seeded-bugs"))]
    let planted = false;
    planted
}

/// A record's check covers its session.
pub(crate) fn covered_session(session: &[u8; 8]) -> &[u8] {
    if is_planted(Bug::RecordNotBoundToSession) {
        return &[];
    }
    session
}

/// A record's check covers its kind and its value.
pub(crate) fn covered_head(head: &[u8; 4]) -> &[u8] {
    if is_planted(Bug::RecordCrcOverAPart) {
        return &head[..1];
    }
    head
}

/// Progress is not recorded before its data is in flash. With `bug` it is.
pub(crate) fn record_early<F: WatchedFlash>(
    bug: Bug,
    flash: &mut F,
    journal: &mut Journal,
    committed: u32,
) -> Result<(), FlashError> {
    if is_planted(bug) {
        return journal.append(flash, Record::Progress { committed });
    }
    Ok(())
}

/// All progress is recorded once its data is in flash.
pub(crate) fn is_recorded(committed: u32, manifest: &Manifest) -> bool {
    let is_last = committed == manifest.size_bytes;
    let is_left_out = is_last && is_planted(Bug::LastFragmentNotRecorded);
    !is_left_out && !is_planted(Bug::RecordBeforeData)
}

/// A page is erased when its first byte is written and not again, however often its units were programmed.
pub(crate) fn erases_again(programs: u8) -> bool {
    is_planted(Bug::ResumedPageErased) && programs > 0
}

/// A download goes on where flash and journal say.
pub(crate) fn displaced(at: ResumePoint, manifest: &Manifest) -> ResumePoint {
    let fragment = u32::from(manifest.fragment_bytes);
    let committed = if is_planted(Bug::ResumeOneTooFar) {
        (at.committed + fragment).min(manifest.size_bytes)
    } else if is_planted(Bug::ResumeTwoTooFar) {
        (at.committed + 2 * fragment).min(manifest.size_bytes)
    } else if is_planted(Bug::ResumeTwoTooEarly) {
        at.committed.saturating_sub(2 * fragment)
    } else {
        at.committed
    };
    ResumePoint { committed, ..at }
}

/// A download that is accepted begins at the start, whatever was fetched of another image.
pub(crate) fn beginning(phase: Phase, manifest: &Manifest) -> ResumePoint {
    let committed = match phase {
        Phase::Downloading { committed, .. } if is_planted(Bug::ProgressNotBoundToSession) => {
            committed.min(manifest.size_bytes)
        }
        _ => 0,
    };
    ResumePoint {
        committed,
        programs: 0,
    }
}

/// A download has the key of the device, wherever it begins.
pub(crate) fn download_key(key: &DeviceKey, at: ResumePoint) -> &DeviceKey {
    static NO_KEY: DeviceKey = DeviceKey([0; 32]);
    if is_planted(Bug::CipherNotInitialisedOnResume) && at.committed > 0 {
        return &NO_KEY;
    }
    key
}

/// A fragment's nonce is its index in the image.
pub(crate) fn nonce(index: FragmentIndex, journal: &Journal) -> FragmentIndex {
    if is_planted(Bug::NonceCountsFromReset) && !journal.is_open() {
        return FragmentIndex(0);
    }
    index
}

/// The agent waits for an answer until this time, and no longer.
pub(crate) fn is_early(now_ms: u64, until_ms: u64) -> bool {
    now_ms < until_ms || is_planted(Bug::NothingAskedTwice)
}

/// There is no digest before all pages are hashed.
pub(crate) fn believe_first_page(digest: &mut Option<[u8; 32]>, signed: Option<&SignedManifest>) {
    if is_planted(Bug::FirstPageVerified)
        && let Some(signed) = signed
    {
        *digest = Some(signed.manifest().image_digest);
    }
}

/// An image that was reverted is refused.
pub(crate) fn is_remembered_as_reverted(phase: Phase) -> bool {
    phase == Phase::Reverted && !is_planted(Bug::RevertedForgotten)
}

/// The slot of an image that was rejected or is not there yet is free for another one.
pub(crate) fn is_slot_in_use(phase: Phase) -> bool {
    match phase {
        Phase::Rejected => is_planted(Bug::RejectedSlotInUse),
        Phase::Accepted => is_planted(Bug::InterruptedEraseInUse),
        _ => false,
    }
}

/// The bootloader knows every state there is.
pub(crate) fn is_unknown(state: &State) -> bool {
    is_planted(Bug::FinishedRevertUnknown)
        && state.phase
            == Phase::Reverting {
                copies: state.chain.copies(),
            }
}

/// A state that is acted on is stated anew first.
pub(crate) fn is_reasserted(phase: Phase) -> bool {
    match phase {
        Phase::Ready => !is_planted(Bug::ReadyNotReasserted),
        Phase::Swapping { .. } | Phase::Reverting { .. } => !is_planted(Bug::StepNotReasserted),
        _ => true,
    }
}

/// An image in ACTIVE has to begin like a program.
pub(crate) fn are_vectors_unchecked() -> bool {
    is_planted(Bug::VectorsNotChecked) || is_planted(Bug::UnbootableStays)
}

/// A swap goes on with the copy whose number is that of the copies done.
pub(crate) fn copy_after(copies: u16, chain: ChainLength) -> u16 {
    let skips = is_planted(Bug::SwapSkipsACopy) && copies > 0 && copies + 1 < chain.copies();
    copies + u16::from(skips)
}

/// A swap step is recorded when its copy is done.
pub(crate) fn is_step_first(copies: u16, chain: ChainLength) -> bool {
    let is_last = copies + 1 == chain.copies();
    is_planted(Bug::StepRecordedBeforeCopy)
        || (is_last && is_planted(Bug::SwapClosedBeforeLastCopy))
}

/// Every attempt is recorded, also after the first.
pub(crate) fn is_attempt_free(used: u8) -> bool {
    used > 0 && is_planted(Bug::TrialNotCounted)
}
