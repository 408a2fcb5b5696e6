//! A platform that follows a script: mostly it answers as it should, and where the script says so it does not. Each byte of
//! the script is for one answer; what follows it says more, where it takes more.
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::lean::{self, Wanted};
use powercut_upgrade::wire::{Dialect, MAX_DOWNLINK_BYTES, ResultCode, pcp};

use crate::device::package::{Package, encoded, fragment, lean_key, nothing, offer, seal};
use crate::{as_pcp_frame, old_image};

/// Fragments a device may have outstanding.
const WINDOW: u8 = 16;

/// The platform.
pub struct Peer<'s> {
    script: &'s [u8],
    /// What it has for the device.
    new: &'static Package,
    restart: bool,
}

impl<'s> Peer<'s> {
    /// Has `new` for the device and follows `script`.
    pub fn new(script: &'s [u8], new: &'static Package) -> Self {
        Self {
            script,
            new,
            restart: false,
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*first)
    }

    /// Whether the device loses power now.
    pub fn restarts_device(&mut self) -> bool {
        std::mem::take(&mut self.restart)
    }

    /// What arrives at the device that sent this; `None` once the script is at its end.
    pub fn answers(&mut self, asked: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut right = Self::right(asked, self.new, 0);
        match self.next()? {
            0 => return Some(Vec::new()),
            1 => right.extend(right.clone()),
            2 => right.reverse(),
            3 => return Some(Self::right(asked, old_image(), 0)),
            // Other fragments than those that were asked for.
            4 => {
                let shift = self.next()?;
                return Some(Self::right(asked, self.new, shift));
            }
            // Cut short, or a bit flipped.
            5 => {
                let keep = usize::from(self.next()?);
                if let Some(last) = right.last_mut() {
                    last.truncate(keep % last.len().max(1));
                }
            }
            6 => {
                let (at, bit) = (usize::from(self.next()?), self.next()? & 7);
                if let Some(last) = right.last_mut() {
                    let at = at % last.len();
                    last[at] ^= 1 << bit;
                }
            }
            7 => self.restart = true,
            8 => right = vec![nothing()],
            9 => {
                let result = ResultCode::from_byte(self.next()?).unwrap_or(ResultCode::NoSuchTask);
                let handle = lean_key().handle(&self.new.signed);
                right = vec![encoded(&lean::Downlink::Refusal { handle, result })];
            }
            // Anything at all, also as a frame with a check that holds.
            10 => {
                let length = usize::from(self.next()?).min(self.script.len());
                let (bytes, rest) = self.script.split_at(length);
                self.script = rest;
                right.push(bytes.to_vec());
                right.push(as_pcp_frame(bytes));
            }
            11 => right.push(framed(&pcp::Downlink::Execute)),
            _ => {}
        }
        Some(right)
    }

    /// What a platform would answer that has `package` for the device, its fragments `shift` further on.
    fn right(asked: &[u8], package: &Package, shift: u8) -> Vec<Vec<u8>> {
        if let Ok(message) = lean::Uplink::decode(asked) {
            return match message {
                lean::Uplink::Status(status) => {
                    if status.dialect == Dialect::Pcp {
                        vec![framed(&pcp::Downlink::QueryVersion)]
                    } else {
                        vec![offer(package, WINDOW)]
                    }
                }
                lean::Uplink::Request { wanted, .. } => lean_fragments(package, wanted, shift),
            };
        }
        pcp::Uplink::decode(asked)
            .map(|message| pcp_answers(message, package, shift))
            .unwrap_or_default()
    }
}

fn lean_fragments(package: &Package, wanted: Wanted, shift: u8) -> Vec<Vec<u8>> {
    let count = package.signed.manifest().fragments();
    wanted
        .indices()
        .map(|index| FragmentIndex(index.0.wrapping_add(u16::from(shift))))
        .filter(|index| index.0 < count)
        .map(|index| fragment(index, &seal(package, index)))
        .collect()
}

fn pcp_answers(asked: pcp::Uplink, package: &Package, shift: u8) -> Vec<Vec<u8>> {
    let manifest = package.signed.manifest();
    let Some(stream) = pcp::Stream::of(manifest) else {
        return Vec::new();
    };
    match asked {
        pcp::Uplink::Version { .. } => {
            let facts = pcp::PackageFacts {
                version: pcp::VersionText::from(manifest.version),
                fragment_bytes: stream.fragment_bytes(),
                count: stream.count(manifest).unwrap_or(1),
                check: u16::from(shift),
            };
            vec![framed(&pcp::Downlink::NewVersion(facts))]
        }
        pcp::Uplink::Fragment { index, .. } => {
            let index = FragmentIndex(index.0.wrapping_add(u16::from(shift)));
            let mut data = match stream.image_fragment(index) {
                None => {
                    let mut part = package.signed.encode()[stream.header_part(index)].to_vec();
                    part.resize(usize::from(stream.fragment_bytes()), 0);
                    part
                }
                Some(image) if image.0 < manifest.fragments() => seal(package, image),
                Some(_) => Vec::new(),
            };
            let result = if data.is_empty() {
                ResultCode::NoSuchFragment
            } else {
                ResultCode::Ok
            };
            let data = &mut data[..];
            vec![framed(&pcp::Downlink::Fragment {
                result,
                index,
                data,
            })]
        }
        pcp::Uplink::DownloadState { .. } => {
            let result = ResultCode::Ok;
            vec![
                framed(&pcp::Downlink::DownloadStateTaken { result }),
                framed(&pcp::Downlink::Execute),
            ]
        }
        pcp::Uplink::UpgradeResult { .. } => {
            let result = ResultCode::Ok;
            vec![framed(&pcp::Downlink::UpgradeResultTaken { result })]
        }
        pcp::Uplink::NewVersionTaken { .. } | pcp::Uplink::Executes { .. } => Vec::new(),
    }
}

fn framed(message: &pcp::Downlink<'_>) -> Vec<u8> {
    let mut out = vec![0; MAX_DOWNLINK_BYTES];
    let length = message.encode(&mut out).expect("the longest frame fits");
    out.truncate(length);
    out
}
