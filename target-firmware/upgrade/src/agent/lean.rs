//! The agent in the lean dialect ([`crate::wire::lean`]), and what it says of itself in both.
use super::window::Arrival;
use super::{Activities, Agent};
use crate::cipher::overhead_bytes;
use crate::flash::FlashError;
use crate::manifest::{SIGNED_MANIFEST_BYTES, SignedManifest};
use crate::seeded;
use crate::watched::WatchedFlash;
use crate::wire::lean::{
    Activity, Downlink, MAX_WINDOW, Status, Uplink, WIRE_VERSION, complete_index,
};
use crate::wire::{Dialect, MAX_UPLINK_BYTES};

/// How long a device without a task waits at most before it asks again.
const MAX_IDLE_MS: u64 = 24 * 3_600 * 1_000;
/// Of so many fragments, one repeats the status of a device that goes on after a reset and has heard no offer: the status or
/// the offer was lost, and the window may be wider than the device can know.
const TELL_AGAIN: u16 = 8;
/// How long a device that was refused, or has no time now, lets the platform be.
pub(super) const PAUSE_MS: u64 = 1_000;

impl<const PAGE: usize, HELD: AsRef<[u8]> + AsMut<[u8]>> Agent<PAGE, HELD> {
    #[inline(never)]
    pub(super) fn status(&self, activity: Activity) -> Uplink {
        Uplink::Status(Status {
            dialect: self.factory.dialect,
            wire_version: WIRE_VERSION,
            window: if self.window.has_room() {
                MAX_WINDOW
            } else {
                1
            },
            device: self.factory.device_id,
            hardware: self.factory.hardware,
            version: self.version,
            running: self.running,
            security_counter: self.minimum(),
            activity,
            result: self.result.0,
            result_image: self.result.1,
            challenge: self.challenge,
        })
    }

    #[inline(never)]
    pub(super) fn on_lean<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        bytes: &mut [u8],
    ) -> Result<(), FlashError> {
        let Ok(message) = Downlink::open(bytes, &self.key) else {
            return Ok(());
        };
        match message {
            Downlink::Nothing {
                retry_after_s,
                challenge,
            } => {
                self.challenge = challenge;
                let is_answer = match self.doing {
                    Activities::Announcing => true,
                    Activities::Fetching => self.awaits_offer,
                    _ => false,
                };
                if is_answer {
                    self.answered(now_ms);
                    self.awaits_offer = false;
                    let rest_ms = (u64::from(retry_after_s) * 1_000).clamp(PAUSE_MS, MAX_IDLE_MS);
                    self.rest(now_ms + rest_ms);
                    self.pcp_registered();
                }
                Ok(())
            }
            Downlink::Offer {
                wire_version,
                window,
                challenge,
                manifest,
            } => {
                self.challenge = challenge;
                if wire_version != WIRE_VERSION || self.factory.dialect != Dialect::Lean {
                    return Ok(());
                }
                self.on_offer(flash, now_ms, window, manifest)
            }
            Downlink::Fragment { index, body } => self.on_fragment(flash, now_ms, index, body),
            Downlink::Refusal { handle, .. } => {
                let is_ours = self
                    .download
                    .as_ref()
                    .is_some_and(|download| download.handle == handle);
                if is_ours && matches!(self.doing, Activities::Fetching) {
                    self.answered(now_ms);
                    // The task may have changed: ask what there is, but not at once, lest two confused peers race.
                    self.rest(now_ms + PAUSE_MS);
                }
                Ok(())
            }
        }
    }

    /// For a line that has begun to read the next datagrams when the agent takes one: what the agent asks then goes out when
    /// so many more have come, so it asks as much earlier.
    pub fn ask_ahead(&mut self, datagrams: u8) {
        self.window.ask_ahead(datagrams);
    }

    /// Asks for what is due though something is outstanding, and does nothing else: what [`Agent::poll`] does, for a line
    /// that has a datagram in hand for the agent, which may be what its timer waits for.
    pub fn ask_for_more(&mut self, now_ms: u64, out: &mut [u8; MAX_UPLINK_BYTES]) -> Option<usize> {
        let is_waiting = matches!(self.doing, Activities::Fetching)
            && self.factory.dialect == Dialect::Lean
            && self.window.is_waiting();
        is_waiting
            .then(|| self.ask_for_fragments(now_ms, out))
            .flatten()
    }

    /// Asks for every fragment that may be asked for; `None` if that is none.
    #[inline(never)]
    pub(super) fn ask_for_fragments(
        &mut self,
        now_ms: u64,
        out: &mut [u8; MAX_UPLINK_BYTES],
    ) -> Option<usize> {
        let download = self.download.as_ref()?;
        let question = self.window.ask(download.signed.manifest().fragments())?;
        if question.is_measured {
            self.timer.asked(now_ms);
        } else {
            self.timer.waits(now_ms);
        }
        let request = Uplink::Request {
            handle: download.handle,
            wanted: question.wanted,
        };
        Some(request.encode(&self.key, out))
    }

    #[inline(never)]
    fn on_offer<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        window: u8,
        bytes: &[u8; SIGNED_MANIFEST_BYTES],
    ) -> Result<(), FlashError> {
        if self.in_trial() {
            // The platform is there: all a self-test wants to know. The offer can wait.
            if matches!(self.doing, Activities::Announcing) {
                self.answered(now_ms);
                self.rest(now_ms + PAUSE_MS);
            }
            return Ok(());
        }
        let Ok(signed) = SignedManifest::decode(bytes) else {
            return Ok(());
        };
        let widest = if self.window.has_room() { window } else { 1 };
        let is_begun = self
            .download
            .as_ref()
            .is_some_and(|download| download.signed.image_id() == signed.image_id());
        match self.doing {
            Activities::Announcing | Activities::Resting { .. } => {}
            Activities::Fetching if self.awaits_offer && is_begun => {
                // The platform was told of a download that goes on, and did not have to be asked.
                self.awaits_offer = false;
                self.heard_platform = true;
                self.silence = 0;
                self.window.limit_to(widest);
                if self.window.is_waiting() {
                    self.timer.waits(now_ms);
                }
                return Ok(());
            }
            Activities::Fetching if self.awaits_offer => {}
            _ => return Ok(()),
        }
        self.tells_resume = false;
        self.awaits_offer = false;
        self.answered(now_ms);
        if is_begun {
            self.doing = Activities::Fetching;
        } else if let Some(refusal) = self.refusal(flash, &signed) {
            self.conclude(refusal, signed.image_id());
            return Ok(());
        } else {
            self.accept(flash, signed, None)?;
        }
        let fragment_bytes = signed.manifest().fragment_bytes;
        self.window.open(self.window.base(), fragment_bytes, widest);
        Ok(())
    }

    #[inline(never)]
    fn on_fragment<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        index: u8,
        body: &mut [u8],
    ) -> Result<(), FlashError> {
        let (Activities::Fetching, Some(download)) = (&self.doing, &mut self.download) else {
            return Ok(());
        };
        let manifest = *download.signed.manifest();
        let index = complete_index(self.window.base(), index);
        let arrival = self.window.look(index);
        if arrival == Arrival::Unwanted || index.0 >= manifest.fragments() {
            return Ok(());
        }
        let body = if overhead_bytes(manifest.suite) == 0 {
            let checked = self.key.checked_fragment(&download.signed, index, body);
            let Ok(checked) = checked else {
                return Ok(());
            };
            checked
        } else {
            body
        };
        let nonce = seeded::nonce(index, &self.journal);
        let Ok(fragment) = download.cipher.open(nonce, body) else {
            return Ok(());
        };
        if fragment.len() != manifest.fragment_len(index) {
            return Ok(());
        }
        let is_measured = self.window.came(index, now_ms);
        if arrival == Arrival::Early {
            self.window.hold(index, fragment);
        } else if !self.store(flash, fragment)? {
            return Ok(());
        }
        self.silence = 0;
        self.heard_platform = true;
        if self.awaits_offer && index.0.is_multiple_of(TELL_AGAIN) {
            self.tells_resume = true;
        }
        if is_measured {
            self.timer.answered(now_ms);
        }
        if self.window.is_waiting() {
            self.timer.waits(now_ms);
        } else {
            self.timer.stop();
        }
        Ok(())
    }
}
