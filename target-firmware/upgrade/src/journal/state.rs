//! What the journal says, and how one record changes it.
use sha2::{Digest, Sha256};

use crate::manifest::{ImageId, SecurityCounter};
use crate::seeded::{Bug, is_planted};
use crate::slots::{ChainLength, Placement};

/// Binds records to one attempt at one image: progress outlives neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 8]);

impl SessionId {
    /// First 8 bytes of SHA-256(image id, attempt).
    pub fn of(image: ImageId, attempt: u8) -> Self {
        let digest = Sha256::new()
            .chain_update(image.0)
            .chain_update([attempt])
            .finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }
}

/// Where the upgrade stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing under way, nothing to say about an earlier upgrade.
    Idle,
    /// An offer was accepted; its manifest is not in STAGING yet.
    Accepted,
    /// Fragments arrive.
    Downloading {
        /// Image bytes that are in STAGING for good.
        committed: u32,
        /// Boots that may have programmed units after `committed` since their page was erased.
        programs: u8,
    },
    /// STAGING equals the signed image.
    Ready,
    /// The bootloader exchanges the slots; so many page copies are done.
    Swapping {
        /// Copies done, of `2 x chain length`.
        copies: u16,
    },
    /// The new image runs on probation, for the so-manieth time.
    Trial {
        /// Boots used, from 1.
        attempts: u8,
    },
    /// The session's image is confirmed and in force.
    Confirmed,
    /// The bootloader exchanges the slots back; so many page copies are done.
    Reverting {
        /// Copies done, of `2 x chain length`.
        copies: u16,
    },
    /// The session's image was reverted; it is refused from now on.
    Reverted,
    /// The session's image did not verify; it is refused from now on.
    Rejected,
}

/// Everything the journal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The image in force, to which a revert returns; `NONE` if nobody ever confirmed one.
    pub confirmed: ImageId,
    /// Anti-rollback counter in force.
    pub security_counter: SecurityCounter,
    /// The image of the session `phase` speaks of; `NONE` in `Idle`.
    pub image: ImageId,
    /// That image's security counter, in force once it is confirmed.
    pub image_counter: SecurityCounter,
    /// How often that image was fetched anew because its digest was wrong.
    pub attempt: u8,
    /// Where the session stands.
    pub phase: Phase,
    /// Length of the chain a swap moved; 0 while STAGING lies plain.
    pub chain: ChainLength,
}

impl State {
    /// What provisioning leaves: `image` is in force.
    pub const fn confirmed(image: ImageId, security_counter: SecurityCounter) -> Self {
        Self {
            confirmed: image,
            security_counter,
            ..Self::EMPTY
        }
    }

    /// What an empty or unreadable journal says: nothing.
    pub const EMPTY: Self = Self {
        confirmed: ImageId::NONE,
        security_counter: SecurityCounter(0),
        image: ImageId::NONE,
        image_counter: SecurityCounter(0),
        attempt: 0,
        phase: Phase::Idle,
        chain: ChainLength(0),
    };

    /// Which session records belong to.
    pub fn session(&self) -> SessionId {
        SessionId::of(self.image, self.attempt)
    }

    /// How the image in STAGING lies, if there is one.
    pub fn staging_placement(&self) -> Placement {
        if self.chain.0 == 0 {
            Placement::Plain
        } else {
            Placement::Shifted(self.chain)
        }
    }

    /// The state after `record`, or `None` if it cannot follow: then it is no record of ours.
    pub fn after(mut self, record: Record) -> Option<Self> {
        let counter_rises = record.raises_counter(self.phase);
        self.phase = match (self.phase, record) {
            (_, Record::Anchor) => self.phase,
            (Phase::Accepted, Record::ManifestStored) => Phase::Downloading {
                committed: 0,
                programs: 0,
            },
            (Phase::Downloading { committed, .. }, Record::Progress { committed: next })
                if next > committed =>
            {
                Phase::Downloading {
                    committed: next,
                    programs: 0,
                }
            }
            (Phase::Downloading { .. }, Record::Ready) => Phase::Ready,
            (Phase::Ready, Record::SwapBegin { chain }) if chain.0 > 0 => {
                self.chain = chain;
                Phase::Swapping { copies: 0 }
            }
            (Phase::Swapping { copies }, Record::Step { copies: next })
                if Some(next) == copies.checked_add(1) && next <= self.chain.copies() =>
            {
                Phase::Swapping { copies: next }
            }
            (Phase::Reverting { copies }, Record::Step { copies: next })
                if Some(next) == copies.checked_add(1) && next <= self.chain.copies() =>
            {
                Phase::Reverting { copies: next }
            }
            (Phase::Swapping { copies }, Record::Trial { attempts: 1 })
                if copies == self.chain.copies() =>
            {
                Phase::Trial { attempts: 1 }
            }
            (Phase::Trial { attempts }, Record::Trial { attempts: next })
                if Some(next) == attempts.checked_add(1) =>
            {
                Phase::Trial { attempts: next }
            }
            (Phase::Trial { .. }, Record::Confirm) => {
                self.confirmed = self.image;
                Phase::Confirmed
            }
            // From a swap that finished on a damaged page, from a trial that was not confirmed, and from a
            // confirmed image that rotted while the old one is still whole.
            (
                Phase::Swapping { .. } | Phase::Trial { .. } | Phase::Confirmed,
                Record::RevertBegin,
            ) if self.chain.0 > 0 => Phase::Reverting { copies: 0 },
            (Phase::Reverting { copies }, Record::Reverted) if copies == self.chain.copies() => {
                self.chain = ChainLength(0);
                Phase::Reverted
            }
            (Phase::Downloading { .. } | Phase::Ready, Record::Rejected) => Phase::Rejected,
            _ => return None,
        };
        if counter_rises {
            self.security_counter = self.security_counter.max(self.image_counter);
        }
        Some(self)
    }
}

/// One step of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Changes nothing: its presence proves that the page's SEAL was finished.
    Anchor,
    /// The session's manifest is in STAGING.
    ManifestStored,
    /// Image bytes up to here are in STAGING for good.
    Progress {
        /// Bytes from the image's start; below 2^24.
        committed: u32,
    },
    /// STAGING equals the signed image.
    Ready,
    /// The swap of a chain this long begins.
    SwapBegin {
        /// Pages to exchange.
        chain: ChainLength,
    },
    /// So many page copies of the swap or revert are done.
    Step {
        /// Copies done.
        copies: u16,
    },
    /// The new image is about to run for the so-manieth time.
    Trial {
        /// From 1.
        attempts: u8,
    },
    /// The image is in force; its security counter too, from this record on.
    Confirm,
    /// The revert begins.
    RevertBegin,
    /// The old image is back.
    Reverted,
    /// The image did not verify.
    Rejected,
}

impl Record {
    /// Whether the security counter of the session's image is in force from here on. It is once the image is confirmed
    /// and no sooner: until then a revert must stay possible.
    fn raises_counter(self, phase: Phase) -> bool {
        match (phase, self) {
            (_, Self::Confirm) => true,
            (_, Self::SwapBegin { .. }) => is_planted(Bug::CounterRisesAtSwap),
            (Phase::Trial { .. }, Self::Trial { .. }) => is_planted(Bug::CounterRisesAtSecondTrial),
            _ => false,
        }
    }

    /// Kind and 24-bit value.
    pub(super) fn to_parts(self) -> (u8, u32) {
        match self {
            Self::Anchor => (0x10, 0),
            Self::ManifestStored => (0x11, 0),
            Self::Progress { committed } => (0x12, committed),
            Self::Ready => (0x13, 0),
            Self::SwapBegin { chain } => (0x14, u32::from(chain.0)),
            Self::Step { copies } => (0x15, u32::from(copies)),
            Self::Trial { attempts } => (0x16, u32::from(attempts)),
            Self::Confirm => (0x17, 0),
            Self::RevertBegin => (0x18, 0),
            Self::Reverted => (0x19, 0),
            Self::Rejected => (0x1A, 0),
        }
    }

    pub(super) fn from_parts(kind: u8, value: u32) -> Option<Self> {
        let small = u16::try_from(value).ok();
        Some(match kind {
            0x10 => Self::Anchor,
            0x11 => Self::ManifestStored,
            0x12 => Self::Progress { committed: value },
            0x13 => Self::Ready,
            0x14 => Self::SwapBegin {
                chain: ChainLength(small?),
            },
            0x15 => Self::Step { copies: small? },
            0x16 => Self::Trial {
                attempts: u8::try_from(value).ok()?,
            },
            0x17 => Self::Confirm,
            0x18 => Self::RevertBegin,
            0x19 => Self::Reverted,
            0x1A => Self::Rejected,
            _ => return None,
        })
    }
}
