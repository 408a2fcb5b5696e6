//! The download of one image, from the offer that is accepted to the digest of what is in STAGING: which images this
//! device refuses, where a download goes on after a reset, and how often an image is fetched anew.
//!
//! The journal never runs ahead of flash: it records a manifest once that is in STAGING, and an image as ready once its
//! digest was right.
use super::{Activities, Agent};
use crate::cipher::FragmentCipher;
use crate::flash::FlashError;
use crate::image::{self, Location};
use crate::journal::{Phase, Record, State};
use crate::manifest::{FragmentIndex, SignedManifest, Suite};
use crate::seeded::{self, Bug, Received, is_planted};
use crate::slots::ChainLength;
use crate::store::{self, ResumePoint, Store, Stored};
use crate::watched::WatchedFlash;
use crate::wire::lean::Handle;
use crate::wire::pcp::PackageFacts;
use crate::wire::{Dialect, ResultCode};

/// Times an image is fetched anew when its digest is wrong, before it is refused.
const MAX_ATTEMPTS: u8 = 3;

#[derive(Clone)]
pub(super) struct Download<const PAGE: usize> {
    pub(super) signed: SignedManifest,
    pub(super) cipher: FragmentCipher,
    pub(super) store: Store<PAGE>,
    pub(super) received: Received,
    /// How requests call it.
    pub(super) handle: Handle,
    /// How a PCP platform calls it.
    pub(super) facts: Option<PackageFacts>,
}

impl<const PAGE: usize, HELD: AsRef<[u8]> + AsMut<[u8]>> Agent<PAGE, HELD> {
    /// Takes up a download that an earlier boot began, if its manifest is in STAGING.
    #[inline(never)]
    pub(super) fn resume<F: WatchedFlash>(&mut self, flash: &mut F) {
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
            let at = if committed == signed.manifest().size_bytes {
                ResumePoint {
                    committed,
                    programs,
                }
            } else {
                store::resume_point::<F>(&self.layout, committed, programs)
            };
            let at = seeded::displaced(at, signed.manifest());
            let is_all_there = at.committed == signed.manifest().size_bytes;
            self.begin(signed, at);
            let is_lean = self.factory.dialect == Dialect::Lean;
            let is_named = is_lean || self.pcp_resumes(flash);
            if self.download.is_some() && is_named && !is_all_there {
                self.doing = Activities::Fetching;
                self.tells_resume = true;
                self.awaits_offer = is_lean;
            }
        }
    }

    #[inline(never)]
    fn begin(&mut self, signed: SignedManifest, at: ResumePoint) {
        let key = seeded::download_key(&self.factory.device_key, at);
        let store = Store::new(at);
        let manifest = *signed.manifest();
        let base = store
            .wanted(&manifest)
            .unwrap_or(FragmentIndex(manifest.fragments()));
        self.window.reopen(base, manifest.fragment_bytes);
        // An offer this device has no cipher for was refused.
        self.download = FragmentCipher::new(key, self.m_sequence, &signed)
            .ok()
            .map(|cipher| Download {
                cipher,
                received: Received::from(at.committed),
                handle: self.key.handle(&signed),
                store,
                facts: None,
                signed,
            });
    }

    /// Why this device does not install an image; `None` if it does.
    #[inline(never)]
    pub(super) fn refusal<F: WatchedFlash>(
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
        if id == state.image && seeded::is_remembered_as_reverted(state.phase) {
            return Some(ResultCode::InstallFailed);
        }
        if seeded::is_slot_in_use(state.phase) {
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
    #[inline(never)]
    pub(super) fn accept<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        signed: SignedManifest,
        facts: Option<PackageFacts>,
    ) -> Result<(), FlashError> {
        let at = seeded::beginning(self.journal.state().phase, signed.manifest());
        let state = State {
            image: signed.image_id(),
            image_counter: signed.manifest().security_counter,
            attempt: 0,
            phase: Phase::Accepted,
            chain: ChainLength(0),
            ..*self.journal.state()
        };
        self.journal.open(flash, state)?;
        store::store_manifest(flash, &self.layout, &signed, facts.as_ref())?;
        self.journal.append(flash, Record::ManifestStored)?;
        self.begin(signed, at);
        if let Some(download) = &mut self.download {
            download.facts = facts;
        }
        self.doing = Activities::Fetching;
        Ok(())
    }

    /// Stores the fragment whose turn it is, and those that waited for it. Whether all went well: flash that keeps
    /// losing what was written ends in silence and a new announcement, not in a busy loop.
    #[inline(never)]
    pub(super) fn store<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        fragment: &[u8],
    ) -> Result<bool, FlashError> {
        let Some(download) = &mut self.download else {
            return Ok(false);
        };
        let manifest = *download.signed.manifest();
        let mut next = Some(fragment);
        while let Some(fragment) = next {
            let stored =
                download
                    .store
                    .take(flash, &self.layout, &mut self.journal, &manifest, fragment)?;
            if stored == Stored::Rewound {
                download.received = Received::default();
                let base = download.store.wanted(&manifest);
                self.window.restart(base.unwrap_or(FragmentIndex(0)));
                return Ok(false);
            }
            download.received.add(fragment);
            self.window.advance();
            next = self.window.held(manifest.fragment_len(self.window.base()));
        }
        Ok(true)
    }

    /// The image in STAGING has this digest: it is ready, or it is fetched anew, or it is refused.
    #[inline(never)]
    pub(super) fn on_digest<F: WatchedFlash>(
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
            self.conclude(ResultCode::VerifyFailed, state.image);
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
            // Over PCP the header is fetched again too: the package may have been swapped under its version.
            self.announce();
        }
        Ok(())
    }
}
