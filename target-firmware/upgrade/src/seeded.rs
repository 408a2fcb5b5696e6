//! Bugs planted on purpose, one at a time, so that the tools can be shown to find them. Compiled in only by the
//! feature `seeded-bugs`, which no product has; without it `is_planted` is `false` for the compiler too.

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
        }
    };
}

bugs! {
    /// The progress record is written before the data it speaks of.
    RecordBeforeData = "record-before-data",
    /// A record's CRC is written but not looked at.
    RecordWithoutCrc = "record-without-crc",
    /// The record's CRC does not cover the session.
    RecordNotBoundToSession = "record-not-bound-to-session",
    /// A page that an earlier boot opened is appended to where it reads blank.
    AppendAfterReset = "append-after-reset",
    /// A page counts although its SEAL is missing.
    SealIgnored = "seal-ignored",
    /// Of two sealed pages the older one wins.
    OlderGenerationWins = "older-generation-wins",
    /// The newest page is erased to make room for its successor.
    LivePageErased = "live-page-erased",
    /// A page that reads blank is not erased before it is used.
    EraseSkippedIfBlank = "erase-skipped-if-blank",
    /// A download goes on one fragment behind what is recorded.
    ResumeOneTooFar = "resume-one-too-far",
    /// A download goes on two fragments before what is recorded.
    ResumeTwoTooEarly = "resume-two-too-early",
    /// The page a download goes on in is erased, with the fragments in it that are recorded.
    ResumedPageErased = "resumed-page-erased",
    /// Nobody counts how often a boot may have programmed the units ahead.
    ProgramsNotCounted = "programs-not-counted",
    /// Fragments still in RAM are recorded as written.
    RamCountedAsWritten = "ram-counted-as-written",
    /// The last, short fragment is not recorded.
    LastFragmentNotRecorded = "last-fragment-not-recorded",
    /// The agent says Ready whatever the digest is.
    ReadyUnverified = "ready-unverified",
    /// The bootloader looks at manifests, not at digests.
    DigestNotChecked = "digest-not-checked",
    /// READY is acted on without being stated anew.
    ReadyNotReasserted = "ready-not-reasserted",
    /// Swap steps are acted on without being stated anew.
    StepNotReasserted = "step-not-reasserted",
    /// A swap goes on one copy behind what is recorded.
    SwapSkipsACopy = "swap-skips-a-copy",
    /// ACTIVE is overwritten before its page is saved.
    SwapOverwritesFirst = "swap-overwrites-first",
    /// The security counter rises when the swap begins.
    CounterRisesAtSwap = "counter-rises-at-swap",
    /// A second trial attempt is not recorded.
    TrialNotCounted = "trial-not-counted",
    /// An image that was reverted is installed again.
    RevertedForgotten = "reverted-forgotten",
    /// An image whose content is wrong is fetched for ever.
    AttemptsNotCounted = "attempts-not-counted",
}

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

/// Whether `bug` is planted.
#[inline]
#[cfg_attr(
    not(feature = "seeded-bugs"),
    expect(unused_variables, reason = "without the feature nothing is planted")
)]
pub(crate) fn is_planted(bug: Bug) -> bool {
    #[cfg(feature = "seeded-bugs")]
    let planted = switch::is_planted(bug);
    #[cfg(not(feature = "seeded-bugs"))]
    let planted = false;
    planted
}
