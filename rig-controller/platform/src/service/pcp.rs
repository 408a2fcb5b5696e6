//! The platform's side of PCP ([`powercut_upgrade::wire::pcp`]). Frames do not say whose they are: a device makes itself
//! known by a lean status, and what comes from the same place is its. The platform begins (query, new version, execute),
//! but only ever when it has heard from the device: what is lost is said again when the device next speaks.
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::pcp::{
    Downlink, HEADER_BYTES, PackageFacts, Stream, Uplink, VersionText, check,
};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES, ResultCode};

use super::{Answered, PlatformEventKind, Service};
use crate::book::{Assignment, Peer, Registered};
use powercut_package::Package;

impl Service {
    /// Whose frame it is and what it led to; `None` if it is no frame of a device known to speak PCP.
    pub(super) fn handle_pcp(
        &mut self,
        datagram: &[u8],
        from: Peer,
    ) -> Option<(Option<DeviceId>, Answered)> {
        // First what costs nothing: most datagrams are none of this dialect.
        let message = Uplink::decode(datagram).ok()?;
        let device = *self.heard_from.get(&from)?;
        let registered = self.book.look_up(device)?;
        if self.conversation(device, &registered).dialect != Dialect::Pcp {
            return None;
        }
        self.heard(device, from);
        let answered = self.answer_frame(device, &registered, &message);
        Some((Some(device), answered))
    }

    fn answer_frame(
        &mut self,
        device: DeviceId,
        registered: &Registered,
        message: &Uplink,
    ) -> Answered {
        let assignment = registered.assignment.as_ref();
        let stream = assignment.and_then(|assigned| Stream::of(assigned.package.manifest()));
        let mut answered = Answered::default();
        match message {
            Uplink::Version { .. } => {
                if let (Some(assignment), Some(stream)) = (assignment, stream) {
                    match package_facts(&assignment.package, stream) {
                        Some(facts) => {
                            let image = assignment.package.signed().image_id();
                            answered.kinds.push(PlatformEventKind::OfferSent(image));
                            answered.answers.push(encoded(&Downlink::NewVersion(facts)));
                        }
                        None => answered
                            .kinds
                            .push(PlatformEventKind::Refused(ResultCode::NoSpace)),
                    }
                }
            }
            Uplink::NewVersionTaken { result } | Uplink::Executes { result } => {
                if *result != ResultCode::Ok {
                    answered.kinds.push(PlatformEventKind::Told(*result));
                }
            }
            Uplink::Fragment { version, index } => {
                self.answer_fragment(device, registered, version, *index, &mut answered);
            }
            Uplink::DownloadState { state } => {
                answered.kinds.push(PlatformEventKind::Told(*state));
                let taken = Downlink::DownloadStateTaken {
                    result: ResultCode::Ok,
                };
                answered.answers.push(encoded(&taken));
                if *state == ResultCode::Ok && assignment.is_some() {
                    answered.answers.push(encoded(&Downlink::Execute));
                }
            }
            Uplink::UpgradeResult { result, .. } => {
                answered.kinds.push(PlatformEventKind::Told(*result));
                let taken = Downlink::UpgradeResultTaken {
                    result: ResultCode::Ok,
                };
                answered.answers.push(encoded(&taken));
            }
        }
        answered
    }

    fn answer_fragment(
        &mut self,
        device: DeviceId,
        registered: &Registered,
        version: &VersionText,
        index: FragmentIndex,
        answered: &mut Answered,
    ) {
        let served = match &registered.assignment {
            Some(assignment) if *version == version_of(assignment) => {
                self.serve(device, registered, assignment, index, answered)
            }
            _ => Err(ResultCode::NoSuchTask),
        };
        let (result, mut data) = match served {
            Ok(data) => (ResultCode::Ok, data),
            Err(result) => {
                answered.kinds.push(PlatformEventKind::Refused(result));
                (result, Vec::new())
            }
        };
        answered.answers.push(encoded(&Downlink::Fragment {
            result,
            index,
            data: &mut data,
        }));
    }

    /// The data of one fragment as it travels: of the header, or of the image.
    fn serve(
        &mut self,
        device: DeviceId,
        registered: &Registered,
        assignment: &Assignment,
        index: FragmentIndex,
        answered: &mut Answered,
    ) -> Result<Vec<u8>, ResultCode> {
        let package = &assignment.package;
        let stream = Stream::of(package.manifest()).ok_or(ResultCode::NoSuchFragment)?;
        let Some(index) = stream.image_fragment(index) else {
            return Ok(header_fragment(package, stream, index));
        };
        answered
            .kinds
            .push(PlatformEventKind::FragmentRequested { index });
        let ledger = self.ledger.clone();
        let conversation = self.conversation(device, registered);
        let download = conversation
            .download
            .as_ref()
            .ok_or(ResultCode::NoSuchTask)?;
        let sealed = download.seal(assignment, index, ledger.as_ref())?;
        answered.kinds.push(PlatformEventKind::FragmentServed {
            index,
            plaintext_bytes: sealed.plaintext_bytes,
        });
        Ok(sealed.body)
    }
}

fn version_of(assignment: &Assignment) -> VersionText {
    VersionText::from(assignment.package.manifest().version)
}

pub(super) fn query_version() -> Vec<u8> {
    encoded(&Downlink::QueryVersion)
}

fn header_fragment(package: &Package, stream: Stream, index: FragmentIndex) -> Vec<u8> {
    let manifest = package.signed().encode();
    let mut data = manifest[stream.header_part(index)].to_vec();
    data.resize(usize::from(stream.fragment_bytes()), 0);
    data
}

/// What the platform says of a package; `None` if it has more fragments than PCP can count. The check is over header
/// and image in plaintext, so it is the same for all devices.
fn package_facts(package: &Package, stream: Stream) -> Option<PackageFacts> {
    let header = (0..stream.header_fragments())
        .flat_map(|index| header_fragment(package, stream, FragmentIndex(index)));
    Some(PackageFacts {
        version: VersionText::from(package.manifest().version),
        fragment_bytes: stream.fragment_bytes(),
        count: stream.count(package.manifest())?,
        check: check(header.chain(package.image().iter().copied())),
    })
}

fn encoded(message: &Downlink<'_>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES + MAX_DOWNLINK_BYTES];
    // The buffer holds the longest frame there is.
    let length = message.encode(&mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes
}
