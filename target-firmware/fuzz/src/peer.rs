//! A platform that follows a script: mostly it answers as it should, and where the script says so it does not.
use powercut_upgrade::manifest::FragmentIndex;
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::{Downlink, MAX_DOWNLINK_BYTES, Session, Uplink};

use crate::device::{Package, seal};
use crate::{new_image, old_image, with_check};

/// The platform.
pub struct Peer<'s> {
    script: &'s [u8],
    restart: bool,
}

impl<'s> Peer<'s> {
    /// Follows `script`.
    pub fn new(script: &'s [u8]) -> Self {
        Self {
            script,
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

    /// What arrives at the device; `None` once the script is at its end.
    pub fn answers(&mut self, asked: &Uplink) -> Option<Vec<Vec<u8>>> {
        let right = right(asked, new_image());
        Some(match self.next()? {
            // Nothing, the answer twice, its beginning, the answer of another image.
            0 => Vec::new(),
            1 => vec![right.clone(), right],
            2 => {
                let length = usize::from(self.next()?) % right.len();
                vec![right[..length].to_vec()]
            }
            3 => vec![self::right(asked, old_image())],
            // Another fragment than the one asked for.
            4 => {
                let other = match asked {
                    Uplink::Request {
                        device, session, ..
                    } => Uplink::Request {
                        device: *device,
                        session: *session,
                        index: FragmentIndex(u16::from(self.next()?) % 12),
                    },
                    status => *status,
                };
                vec![self::right(&other, new_image())]
            }
            // A bit flipped, with the check of the answer or with one that holds.
            5 => {
                let mut damaged = right;
                let at = usize::from(self.next()?) % damaged.len();
                damaged[at] ^= 1 << (self.next()? & 7);
                vec![damaged]
            }
            6 => {
                let mut damaged = right;
                let at = usize::from(self.next()?) % damaged.len();
                damaged[at] = self.next()?;
                damaged.truncate(damaged.len().saturating_sub(4));
                vec![with_check(&damaged)]
            }
            7 => {
                self.restart = true;
                vec![right]
            }
            8 => vec![encoded(&Downlink::Nothing {
                retry_after_s: u16::from(self.next()?),
            })],
            9 => vec![encoded(&Downlink::Refusal {
                session: Session::of(new_image().signed.image_id()),
                result: ResultCode::from_byte(self.next()?).unwrap_or(ResultCode::NoSuchTask),
            })],
            // Anything at all.
            10 => {
                let length = usize::from(self.next()?).min(self.script.len());
                let (bytes, rest) = self.script.split_at(length);
                self.script = rest;
                vec![bytes.to_vec(), with_check(bytes), right]
            }
            _ => vec![right],
        })
    }
}

fn right(asked: &Uplink, package: &Package) -> Vec<u8> {
    let manifest = package.signed.encode();
    match asked {
        Uplink::Status(_) => encoded(&Downlink::Offer(&manifest)),
        Uplink::Request { session, index, .. } => {
            if index.0 >= package.signed.manifest().fragments() {
                return encoded(&Downlink::Refusal {
                    session: *session,
                    result: ResultCode::NoSuchFragment,
                });
            }
            encoded(&Downlink::Fragment {
                session: *session,
                index: *index,
                sealed: &mut seal(package, *index),
            })
        }
    }
}

fn encoded(message: &Downlink<'_>) -> Vec<u8> {
    let mut out = vec![0; MAX_DOWNLINK_BYTES];
    let length = message.encode(&mut out).expect("the longest message fits");
    out.truncate(length);
    out
}
