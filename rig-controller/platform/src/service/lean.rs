//! The platform's side of the lean dialect ([`powercut_upgrade::wire::lean`]).
use powercut_upgrade::cipher::overhead_bytes;
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::lean::{
    Downlink, Handle, LeanKey, Status, Uplink, WIRE_VERSION, Wanted,
};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES, ResultCode};

use super::{Answered, PlatformEventKind, RETRY_AFTER_S, Service, to_be_offered};
use crate::book::{Peer, Registered, Stray};

/// When a device that was asked for its version speaks again, should it not hear the question, seconds.
const PCP_RETRY_AFTER_S: u16 = 5;

impl Service {
    /// Whose datagram it is, as far as that is known, and what it led to.
    pub(super) fn handle_lean(
        &mut self,
        datagram: &[u8],
        from: Peer,
    ) -> (Option<DeviceId>, Answered) {
        let Ok(message) = Uplink::decode(datagram) else {
            return self.malformed(datagram.len(), from);
        };
        let named = match &message {
            Uplink::Status(status) => vec![status.device],
            Uplink::Request { handle, .. } => self.handles.get(handle).cloned().unwrap_or_default(),
        };
        let mut is_registered = false;
        for device in named {
            let Some(registered) = self.book.look_up(device) else {
                continue;
            };
            is_registered = true;
            let conversation = self.conversation(device, &registered);
            if Uplink::verify(datagram, &conversation.key).is_err() {
                continue;
            }
            self.heard(device, from);
            let answered = match message {
                Uplink::Status(status) => self.answer_status(&registered, &status),
                Uplink::Request { handle, wanted } => {
                    self.answer_request(device, &registered, handle, wanted)
                }
            };
            return (Some(device), answered);
        }
        if is_registered {
            return self.malformed(datagram.len(), from);
        }
        self.book.stray(Stray::UnknownDevice);
        (None, Answered::default())
    }

    fn answer_status(&mut self, registered: &Registered, status: &Status) -> Answered {
        let conversation = self.conversation(status.device, registered);
        let is_recent = status.challenge == conversation.challenge;
        if is_recent {
            // Whoever recorded it cannot use it again.
            let challenge = self.challenges.next();
            self.conversation(status.device, registered).challenge = challenge;
        }
        let conversation = self.conversation(status.device, registered);
        conversation.dialect = status.dialect;
        let challenge = conversation.challenge;
        let key = conversation.key.clone();
        let mut kinds = vec![PlatformEventKind::Hello {
            status: *status,
            is_recent,
        }];
        // How its upgrade ended counts once it is said in answer to the challenge: soon, please.
        let ended = registered.assignment.as_ref().is_some_and(|assignment| {
            let image = assignment.package.signed().image_id();
            status.running == image || status.result_image == image
        });
        let assignment = registered
            .assignment
            .as_ref()
            .filter(|assignment| to_be_offered(assignment, status));
        let retry_after_s = match status.dialect {
            _ if ended && !is_recent => 1,
            // It is asked for its version along with this: should that be lost, it is to come back soon.
            Dialect::Pcp if assignment.is_some() => PCP_RETRY_AFTER_S,
            _ => RETRY_AFTER_S,
        };
        let nothing = || {
            encoded(
                &Downlink::Nothing {
                    retry_after_s,
                    challenge,
                },
                &key,
            )
        };
        let answers = match (assignment, status.dialect) {
            (Some(assignment), Dialect::Lean) => {
                let signed = assignment.package.signed();
                kinds.push(PlatformEventKind::OfferSent(signed.image_id()));
                let offer = Downlink::Offer {
                    wire_version: WIRE_VERSION.min(status.wire_version),
                    window: assignment.window.min(status.window).max(1),
                    challenge,
                    manifest: &signed.encode(),
                };
                vec![encoded(&offer, &key)]
            }
            (Some(_), Dialect::Pcp) => vec![nothing(), super::pcp::query_version()],
            (None, _) => {
                kinds.push(PlatformEventKind::NothingSent);
                vec![nothing()]
            }
        };
        Answered { kinds, answers }
    }

    fn answer_request(
        &mut self,
        device: DeviceId,
        registered: &Registered,
        handle: Handle,
        wanted: Wanted,
    ) -> Answered {
        let mut answered = Answered::default();
        let ledger = self.ledger.clone();
        let conversation = self.conversation(device, registered);
        for index in wanted.indices() {
            answered
                .kinds
                .push(PlatformEventKind::FragmentRequested { index });
            let sealed = match (&conversation.download, &registered.assignment) {
                (Some(download), Some(assignment)) if download.handle == handle => download
                    .seal(assignment, index, ledger.as_ref())
                    .map(|sealed| (sealed, assignment)),
                _ => Err(ResultCode::NoSuchTask),
            };
            match sealed {
                Ok((mut sealed, assignment)) => {
                    let signed = assignment.package.signed();
                    if overhead_bytes(signed.manifest().suite) == 0 {
                        let code = conversation.key.fragment_code(signed, index, &sealed.body);
                        sealed.body.extend(code);
                    }
                    answered.kinds.push(PlatformEventKind::FragmentServed {
                        index,
                        plaintext_bytes: sealed.plaintext_bytes,
                    });
                    answered
                        .answers
                        .push(fragment(index, &mut sealed.body, &conversation.key));
                }
                Err(result) => {
                    answered.kinds.push(PlatformEventKind::Refused(result));
                    let refusal = Downlink::Refusal { handle, result };
                    answered.answers.push(encoded(&refusal, &conversation.key));
                    // One refusal says it for all.
                    break;
                }
            }
        }
        answered
    }
}

fn fragment(index: FragmentIndex, body: &mut [u8], key: &LeanKey) -> Vec<u8> {
    let message = Downlink::Fragment {
        index: index.0 as u8,
        body,
    };
    encoded(&message, key)
}

fn encoded(message: &Downlink<'_>, key: &LeanKey) -> Vec<u8> {
    let mut bytes = vec![0; MAX_DOWNLINK_BYTES];
    // The buffer holds the longest message there is.
    let length = message.encode(key, &mut bytes).unwrap_or(0);
    bytes.truncate(length);
    bytes
}
