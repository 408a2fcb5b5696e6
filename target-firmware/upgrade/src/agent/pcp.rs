//! The agent in the telecom platform's dialect ([`crate::wire::pcp`]): it makes itself known by a lean status, is told
//! of a package, fetches that package's header and then its image one fragment at a time, says when the image is ready,
//! installs it when ordered to (or when nobody answers any more), and reports how that went until the report is taken.
use super::lean::PAUSE_MS;
use super::{Activities, Agent};
use crate::flash::FlashError;
use crate::manifest::{FragmentIndex, ImageId, SIGNED_MANIFEST_BYTES, SignedManifest};
use crate::store;
use crate::watched::WatchedFlash;
use crate::wire::pcp::{Downlink, PackageFacts, Stream, Uplink, VersionText};
use crate::wire::{Dialect, ResultCode};

/// Fragments in a row that are not of the image they should be of, after which the header is fetched again.
const STRANGE_LIMIT: u8 = 3;

/// What the agent keeps of a conversation in this dialect.
#[derive(Debug, Clone, Hash)]
pub(super) struct Talk {
    /// To be sent before anything else.
    reply: Option<Uplink>,
    /// What the platform called the package whose header is fetched.
    facts: Option<PackageFacts>,
    /// Header fragments that are here.
    headed: u16,
    header: [u8; SIGNED_MANIFEST_BYTES],
    /// Fragments in a row that did not fit.
    strange: u8,
    /// A download goes on under the name it had before the reset, and no package was named since.
    resumed: bool,
    /// The platform has taken the report of how the last upgrade went.
    pub(super) reported: bool,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            reply: None,
            facts: None,
            headed: 0,
            header: [0; SIGNED_MANIFEST_BYTES],
            strange: 0,
            resumed: false,
            reported: false,
        }
    }
}

impl Talk {
    pub(super) fn take_reply(&mut self) -> Option<Uplink> {
        self.reply.take()
    }
}

impl<const PAGE: usize, HELD: AsRef<[u8]> + AsMut<[u8]>> Agent<PAGE, HELD> {
    /// An earlier boot began this download; perhaps it wrote down how the platform calls it. Whether it did.
    pub(super) fn pcp_resumes<F: WatchedFlash>(&mut self, flash: &mut F) -> bool {
        let Some(download) = &mut self.download else {
            return false;
        };
        if self.factory.dialect == Dialect::Pcp {
            download.facts = store::read_facts(flash, &self.layout);
        }
        self.pcp.resumed = download.facts.is_some();
        self.pcp.resumed
    }

    /// The platform knows where this device is: it may hear now how the last upgrade went.
    pub(super) fn pcp_registered(&mut self) {
        let has_result = self.result.1 != ImageId::NONE;
        if self.factory.dialect == Dialect::Pcp
            && has_result
            && !self.pcp.reported
            && !self.in_trial()
        {
            self.doing = Activities::Reporting;
        }
    }

    /// What to ask or tell now in this dialect; `None` when only a status will do.
    pub(super) fn pcp_question(&self) -> Option<Uplink> {
        if self.factory.dialect != Dialect::Pcp {
            return None;
        }
        match &self.doing {
            Activities::Heading => Some(Uplink::Fragment {
                version: self.pcp.facts?.version,
                index: FragmentIndex(self.pcp.headed),
            }),
            Activities::Fetching => {
                let download = self.download.as_ref()?;
                let facts = download.facts?;
                let wanted = download.store.wanted(download.signed.manifest())?;
                Some(Uplink::Fragment {
                    version: facts.version,
                    index: Stream::new(facts.fragment_bytes)?.travels_as(wanted)?,
                })
            }
            Activities::Ready { .. } => Some(Uplink::DownloadState {
                state: ResultCode::Ok,
            }),
            Activities::Reporting => Some(self.report()),
            _ => None,
        }
    }

    /// What was never tried failed in the download.
    fn report(&self) -> Uplink {
        match self.result.0 {
            result @ (ResultCode::Ok | ResultCode::InstallFailed) => Uplink::UpgradeResult {
                result,
                version: VersionText::from(self.version),
            },
            state => Uplink::DownloadState { state },
        }
    }

    /// Takes a frame; `false` if it is none.
    #[inline(never)]
    pub(super) fn on_pcp<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        bytes: &mut [u8],
    ) -> Result<bool, FlashError> {
        let Ok(message) = Downlink::decode(bytes) else {
            return Ok(false);
        };
        match message {
            Downlink::QueryVersion => {
                self.pcp.reply = Some(Uplink::Version {
                    result: ResultCode::Ok,
                    version: VersionText::from(self.version),
                });
            }
            Downlink::NewVersion(facts) => {
                let result = self.on_new_version(&facts);
                self.pcp.reply = Some(Uplink::NewVersionTaken { result });
            }
            Downlink::Fragment {
                result: ResultCode::Ok,
                index,
                data,
            } => match self.doing {
                Activities::Heading => self.on_header(flash, now_ms, index, data)?,
                Activities::Fetching => self.on_image(flash, now_ms, index, data)?,
                _ => {}
            },
            Downlink::Fragment { .. } => {
                if matches!(self.doing, Activities::Heading | Activities::Fetching) {
                    self.answered(now_ms);
                    self.rest(now_ms + PAUSE_MS);
                }
            }
            Downlink::Execute => {
                let result = if matches!(self.doing, Activities::Ready { .. }) {
                    self.doing = Activities::Ready { told: true };
                    ResultCode::Ok
                } else {
                    ResultCode::NoSuchTask
                };
                self.pcp.reply = Some(Uplink::Executes { result });
            }
            // Being ready is told until the order comes.
            Downlink::DownloadStateTaken { .. }
                if matches!(self.doing, Activities::Ready { .. }) =>
            {
                self.silence = 0;
            }
            Downlink::DownloadStateTaken { .. } | Downlink::UpgradeResultTaken { .. } => {
                if matches!(self.doing, Activities::Reporting) {
                    self.answered(now_ms);
                    self.pcp.reported = true;
                    self.rest(now_ms + PAUSE_MS);
                }
            }
        }
        Ok(true)
    }

    /// Whether the device will fetch this package.
    fn on_new_version(&mut self, facts: &PackageFacts) -> ResultCode {
        let begun = self
            .download
            .as_ref()
            .is_some_and(|download| download.facts == Some(*facts));
        let resumed = core::mem::take(&mut self.pcp.resumed);
        match self.doing {
            _ if self.in_trial() => return ResultCode::InUse,
            // Another package, or one swapped under its version while the device was off.
            Activities::Fetching if resumed && !begun => {}
            Activities::Fetching | Activities::Verifying(_) | Activities::Ready { .. } => {
                return if begun {
                    ResultCode::Ok
                } else {
                    ResultCode::InUse
                };
            }
            Activities::Heading if self.pcp.facts == Some(*facts) => return ResultCode::Ok,
            _ => {}
        }
        if facts.version == VersionText::from(self.version) {
            return ResultCode::LatestAlready;
        }
        let header = Stream::new(facts.fragment_bytes).map_or(0, Stream::header_fragments);
        let most_bytes = u32::from(facts.count.saturating_sub(header + 1))
            * u32::from(
                facts
                    .fragment_bytes
                    .saturating_sub(crate::cipher::TAG_BYTES as u16),
            );
        if facts.count <= header || most_bytes > self.layout.image_capacity_bytes() {
            return ResultCode::NoSpace;
        }
        self.timer.stop();
        self.silence = 0;
        self.pcp.strange = 0;
        if begun {
            self.doing = Activities::Fetching;
        } else {
            self.pcp.facts = Some(*facts);
            self.pcp.headed = 0;
            self.doing = Activities::Heading;
        }
        ResultCode::Ok
    }

    #[inline(never)]
    fn on_header<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        index: FragmentIndex,
        data: &[u8],
    ) -> Result<(), FlashError> {
        let Some(facts) = self.pcp.facts else {
            return Ok(());
        };
        let Some(stream) = Stream::new(facts.fragment_bytes) else {
            return Ok(());
        };
        if index.0 != self.pcp.headed || data.len() != usize::from(facts.fragment_bytes) {
            return Ok(());
        }
        self.answered(now_ms);
        let part = stream.header_part(index);
        self.pcp.header[part.clone()].copy_from_slice(&data[..part.len()]);
        self.pcp.headed += 1;
        if self.pcp.headed < stream.header_fragments() {
            return Ok(());
        }
        let signed = SignedManifest::decode(&self.pcp.header)
            .ok()
            .filter(|signed| is_called(&facts, stream, signed));
        let Some(signed) = signed else {
            // Nothing that could be named: whatever was begun before stays.
            self.pcp.reply = Some(Uplink::DownloadState {
                state: ResultCode::VerifyFailed,
            });
            self.pcp.facts = None;
            self.rest(now_ms + PAUSE_MS);
            return Ok(());
        };
        if let Some(download) = &mut self.download
            && download.signed.image_id() == signed.image_id()
        {
            download.facts = Some(facts);
            self.doing = Activities::Fetching;
            return Ok(());
        }
        if let Some(refusal) = self.refusal(flash, &signed) {
            self.conclude(refusal, signed.image_id());
            return Ok(());
        }
        self.accept(flash, signed, Some(facts))
    }

    #[inline(never)]
    fn on_image<F: WatchedFlash>(
        &mut self,
        flash: &mut F,
        now_ms: u64,
        index: FragmentIndex,
        data: &mut [u8],
    ) -> Result<(), FlashError> {
        let Some(download) = &mut self.download else {
            return Ok(());
        };
        let manifest = download.signed.manifest();
        let wanted = download.store.wanted(manifest);
        let arrived = download
            .facts
            .and_then(|facts| Stream::new(facts.fragment_bytes))
            .and_then(|stream| stream.image_fragment(index));
        let (Some(index), true) = (wanted, wanted == arrived) else {
            return Ok(());
        };
        let expected_bytes = manifest.fragment_len(index);
        let opened = download.cipher.open(index, data).ok();
        let Some(fragment) = opened.filter(|fragment| fragment.len() == expected_bytes) else {
            self.pcp.strange += 1;
            if self.pcp.strange >= STRANGE_LIMIT {
                // Perhaps the package was swapped under its version: ask what it is.
                download.facts = None;
                self.pcp.strange = 0;
                self.announce();
            }
            return Ok(());
        };
        self.pcp.strange = 0;
        if self.store(flash, fragment)? {
            self.answered(now_ms);
        }
        Ok(())
    }
}

/// Whether what the platform says of a package fits the header in it.
fn is_called(facts: &PackageFacts, stream: Stream, signed: &SignedManifest) -> bool {
    let manifest = signed.manifest();
    VersionText::from(manifest.version) == facts.version
        && Stream::of(manifest) == Some(stream)
        && stream.count(manifest) == Some(facts.count)
}
