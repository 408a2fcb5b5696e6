//! The lean dialect: datagrams without a redundant byte, a window of outstanding fragments, selective requests. This
//! is its specification, wire version 1. Integers are little-endian.
//!
//! # Messages
//! | byte 0 | message | direction | rest |
//! | --- | --- | --- | --- |
//! | 01 | Status | device to platform | speaks 1, window 1, device id 8, hardware 2, version 4, running image 16, security counter 4, activity 1, result 1, challenge 4, \[result's image 16\], code 8 |
//! | 02 | Request | device to platform | handle 2, base 2, wanted 1 to 4, code 4 |
//! | 00..7F | Fragment | platform to device | sealed fragment; or fragment, code 4 where the suite has no tag |
//! | 81 | Nothing | platform to device | retry after, seconds 2, challenge 4, code 8 |
//! | 82 | Offer | platform to device | wire version 1, window 1, challenge 4, signed manifest 120, code 8 |
//! | 84 | Refusal | platform to device | handle 2, result 1, code 4 |
//!
//! - *Code*: see [`super::key`]. Every message proves that its sender holds the device's key: the code of a fragment
//!   covers the manifest's digest and the whole index besides the bytes, as the tag of a sealed one does. So a request
//!   that was recorded and sent again gets an attacker nothing but what it could record as well.
//! - *Speaks*: dialect in the high half ([`Dialect`]), highest wire version in the low one. *Window* in a status is the
//!   most fragments the device ever has outstanding (1 to 32), in an offer the most it may have. The platform offers
//!   the lower of both wire versions; a device does not take an offer above its own.
//! - *Activity*: what the device does in bits 0 to 3 ([`Activity`]); bits 4 and 5 say what the result is of: 0 nothing,
//!   1 the running image, 2 the image that follows.
//! - *Challenge*: the platform's latest, 0 if the device has heard none since its start. A platform counts how an upgrade
//!   ended only from a status with its latest challenge, for any other may have been recorded earlier.
//! - *Handle*: names device and image: the first 2 bytes of a code over the manifest's digest. Nothing else in a request
//!   says who asks; of several devices that share a handle, its code tells which.
//! - *Base* and *wanted*: bit i of wanted asks for fragment base + i. Bit 0 is always set, and zero bytes at the end are
//!   left out. What is asked for is sent in order of its index.
//! - *Byte 0 of a fragment*: its index modulo 128. The device completes it: no window is as wide.
//!
//! # The device
//! *Announcing*: sends a status; again when no answer comes in time. Offer: *fetching*, or a status that says why not.
//! Nothing: rests for the time given. *Fetching*: sends a request whenever two fifths of its window or less are
//! outstanding (three fifths once the first answers to three requests in a row were waited for; more by what its line
//! reads ahead), for everything in the window that neither came nor is outstanding, so that many fragments share a
//! request; a fragment overtaken by three later ones is lost and asked for at once, one that is overtaken again waits
//! for the timer. The window begins at 4 fragments and grows by one with each that comes in turn up to 10, which is what
//! modems keep for a device; after a loss, and beyond that where answers are waited for, 8 in turn add one. A loss takes
//! an eighth, or a quarter of a window above 10, which from then on stays below the width at which that happened. So it
//! adapts to the loss of the link and to the modem's room. (A device that can hold fewer than 10 early fragments stays
//! at 10.) Refusal: a status, one second later. After a reset in mid-download: a status and, without waiting for its
//! answer, a request for the next fragments, at most 4; the offer then only says how wide the window may be from the
//! next fragment on. If neither is answered in time, both again, for one fragment; if only fragments come, the status
//! again with every eighth of them. An offer of another image, or nothing, is taken as when announcing.
//!
//! # Timers
//! One at a time: from the last request or fragment that came, as long as anything is outstanding. Its length follows
//! RFC 6298 from the time between a request and the first of its fragments, at least 0.5 s, at most 60 s, 1 s at first,
//! doubled each time. When it runs out, everything outstanding is lost; after four times in a row the device announces
//! itself. The platform has no timer: it answers.
use crate::cipher::TAG_BYTES;
use crate::factory::DeviceId;
use crate::manifest::{FragmentIndex, ImageId, SIGNED_MANIFEST_BYTES, SecurityCounter, Version};

pub use super::key::{Handle, LeanKey};
use super::{Dialect, Malformed, ResultCode};

/// The wire version described here.
pub const WIRE_VERSION: u8 = 1;
/// Widest window, fragments.
pub const MAX_WINDOW: u8 = 32;
/// Longest message a device sends, bytes.
pub const MAX_UPLINK_BYTES: usize = MAX_STATUS_BYTES;
/// Bytes of a fragment message besides the sealed fragment.
pub const FRAGMENT_HEADER_BYTES: usize = 1;
/// Longest message a device has to take, bytes.
pub const MAX_DOWNLINK_BYTES: usize = FRAGMENT_HEADER_BYTES + 1024 + TAG_BYTES;

const CODE_BYTES: usize = 8;
const SHORT_CODE_BYTES: usize = 4;

/// Bytes of a status message that does not name the image of its result.
pub const MIN_STATUS_BYTES: usize = 43 + CODE_BYTES;
/// Bytes of a status message that does.
pub const MAX_STATUS_BYTES: usize = MIN_STATUS_BYTES + 16;
/// Bytes of the shortest request, for up to 8 fragments in a row.
pub const MIN_REQUEST_BYTES: usize = 6 + SHORT_CODE_BYTES;
/// Bytes of the longest request.
pub const MAX_REQUEST_BYTES: usize = MIN_REQUEST_BYTES + 3;
const NOTHING_BYTES: usize = 7 + CODE_BYTES;
const OFFER_BYTES: usize = 7 + SIGNED_MANIFEST_BYTES + CODE_BYTES;
const REFUSAL_BYTES: usize = 4 + SHORT_CODE_BYTES;

/// First byte of a status message.
pub const STATUS: u8 = 0x01;
/// First byte of a request.
pub const REQUEST: u8 = 0x02;
const NOTHING: u8 = 0x81;
const OFFER: u8 = 0x82;
const REFUSAL: u8 = 0x84;
const LAST_FRAGMENT: u8 = 0x7F;

/// What a device is doing, as it tells the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Activity {
    /// Runs a confirmed image and has nothing to do.
    Idle = 0,
    /// Fetches fragments.
    Downloading = 1,
    /// Has all fragments and checks the image in flash.
    Verifying = 2,
    /// The image is ready; the device restarts to install it.
    Ready = 3,
    /// Runs a new image that has not confirmed itself yet.
    Trial = 4,
}

impl Activity {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Idle,
            Self::Downloading,
            Self::Verifying,
            Self::Ready,
            Self::Trial,
        ]
        .into_iter()
        .find(|activity| *activity as u8 == byte)
    }
}

/// Says that a status is recent: the platform's number, repeated by the device. 0 stands for none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Challenge(pub u32);

/// Who a device is, what it runs, and how the last upgrade went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    /// What it speaks besides this message.
    pub dialect: Dialect,
    /// Highest wire version of the lean dialect it speaks, 1 to 15.
    pub wire_version: u8,
    /// Most fragments it ever has outstanding, at least 1.
    pub window: u8,
    /// Which device.
    pub device: DeviceId,
    /// What hardware.
    pub hardware: u16,
    /// Version of the running image.
    pub version: Version,
    /// The running image.
    pub running: ImageId,
    /// Anti-rollback counter in force.
    pub security_counter: SecurityCounter,
    /// What it does now.
    pub activity: Activity,
    /// How the last upgrade went ([`ResultCode::Ok`]: it is confirmed, or there was none).
    pub result: ResultCode,
    /// The image `result` speaks of; [`ImageId::NONE`] if there was none.
    pub result_image: ImageId,
    /// The platform's latest.
    pub challenge: Challenge,
}

/// Fragments asked for in one request: a base, always among them, and up to 31 that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    base: FragmentIndex,
    mask: u32,
}

impl Wanted {
    /// The fragments `base` + i for each bit i of `mask`; `None` if the mask is empty or a fragment's number too high.
    pub fn new(base: FragmentIndex, mask: u32) -> Option<Self> {
        let first = mask.trailing_zeros();
        let shifted = mask.checked_shr(first)?;
        let base = FragmentIndex(base.0.checked_add(first as u16)?);
        base.0.checked_add(shifted.ilog2() as u16)?;
        Some(Self {
            base,
            mask: shifted,
        })
    }

    /// One fragment.
    pub const fn one(index: FragmentIndex) -> Self {
        Self {
            base: index,
            mask: 1,
        }
    }

    /// In ascending order.
    pub fn indices(self) -> impl Iterator<Item = FragmentIndex> {
        (0..32_u16)
            .filter(move |bit| self.mask >> bit & 1 == 1)
            // `new` has seen that none is too high.
            .map(move |bit| FragmentIndex(self.base.0.saturating_add(bit)))
    }

    /// The first of them.
    pub const fn base(self) -> FragmentIndex {
        self.base
    }
}

/// The fragment with this number modulo 128, at or after `base`; it is never 128 away.
pub fn complete_index(base: FragmentIndex, byte: u8) -> FragmentIndex {
    let ahead = byte.wrapping_sub(base.0 as u8) & LAST_FRAGMENT;
    FragmentIndex(base.0.wrapping_add(u16::from(ahead)))
}

/// From a device, as it says: nothing is proven until [`Uplink::verify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink {
    /// Sent at start, on a change, and now and then while idle; answered by an offer or by nothing-to-do.
    Status(Status),
    /// Asks for fragments.
    Request {
        /// Of whose download of which image.
        handle: Handle,
        /// Which fragments.
        wanted: Wanted,
    },
}

/// From the platform, proven to be so but for fragments.
#[derive(Debug, PartialEq, Eq)]
pub enum Downlink<'a> {
    /// No task for this device.
    Nothing {
        /// When to ask again, seconds.
        retry_after_s: u16,
        /// To be repeated in the next status.
        challenge: Challenge,
    },
    /// There is an image for this device.
    Offer {
        /// Of the download.
        wire_version: u8,
        /// Most fragments to have outstanding, at least 1.
        window: u8,
        /// To be repeated in the next status.
        challenge: Challenge,
        /// What is offered.
        manifest: &'a [u8; SIGNED_MANIFEST_BYTES],
    },
    /// One fragment.
    Fragment {
        /// Its number modulo 128.
        index: u8,
        /// As the suite has it; decrypted in place.
        body: &'a mut [u8],
    },
    /// The request cannot be served.
    Refusal {
        /// Of the request.
        handle: Handle,
        /// Why.
        result: ResultCode,
    },
}

impl Status {
    /// What `result` speaks of, as bits 4 and 5 of the activity say it.
    fn of(&self) -> u8 {
        match self.result_image {
            ImageId::NONE => 0,
            image if image == self.running => 1,
            _ => 2,
        }
    }

    fn encode(&self, key: &LeanKey, out: &mut [u8; MAX_UPLINK_BYTES]) -> usize {
        out[0] = STATUS;
        out[1] = (self.dialect as u8) << 4 | (self.wire_version & 0x0F);
        out[2] = self.window;
        out[3..11].copy_from_slice(&self.device.0);
        out[11..13].copy_from_slice(&self.hardware.to_le_bytes());
        out[13..17].copy_from_slice(&self.version.to_bytes());
        out[17..33].copy_from_slice(&self.running.0);
        out[33..37].copy_from_slice(&self.security_counter.0.to_le_bytes());
        out[37] = self.activity as u8 | self.of() << 4;
        out[38] = self.result as u8;
        out[39..43].copy_from_slice(&self.challenge.0.to_le_bytes());
        let mut length = 43;
        if self.of() == 2 {
            out[43..59].copy_from_slice(&self.result_image.0);
            length = 59;
        }
        key.append::<CODE_BYTES>(out, length)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| {
            let field = bytes.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*field))
        };
        let image_at = |at: usize| Some(ImageId(*bytes.get(at..)?.first_chunk()?));
        let running = image_at(17)?;
        let (result_image, length) = match bytes.get(37)? >> 4 {
            0 => (ImageId::NONE, MIN_STATUS_BYTES),
            1 => (running, MIN_STATUS_BYTES),
            2 => (image_at(43)?, MAX_STATUS_BYTES),
            _ => return None,
        };
        let status = Self {
            dialect: Dialect::from_byte(bytes[1] >> 4)?,
            wire_version: bytes[1] & 0x0F,
            window: bytes[2],
            device: DeviceId(*bytes[3..].first_chunk()?),
            hardware: u16::from_le_bytes([bytes[11], bytes[12]]),
            version: Version::from_bytes(*bytes[13..].first_chunk()?),
            running,
            security_counter: SecurityCounter(u32_at(33)?),
            activity: Activity::from_byte(bytes[37] & 0x0F)?,
            result: ResultCode::from_byte(bytes[38])?,
            result_image,
            challenge: Challenge(u32_at(39)?),
        };
        // One way to say a thing: an image that need not follow must not.
        let is_canonical = status.of() == bytes[37] >> 4;
        (bytes.len() == length && is_canonical && status.window > 0 && status.wire_version > 0)
            .then_some(status)
    }
}

impl Uplink {
    /// Writes the message and returns its length, at most [`MAX_UPLINK_BYTES`].
    pub fn encode(&self, key: &LeanKey, out: &mut [u8; MAX_UPLINK_BYTES]) -> usize {
        match self {
            Self::Status(status) => status.encode(key, out),
            Self::Request { handle, wanted } => {
                out[0] = REQUEST;
                out[1..3].copy_from_slice(&handle.0);
                out[3..5].copy_from_slice(&wanted.base.0.to_le_bytes());
                out[5..9].copy_from_slice(&wanted.mask.to_le_bytes());
                let mask_bytes = 4 - wanted.mask.leading_zeros() as usize / 8;
                key.append::<SHORT_CODE_BYTES>(out, 5 + mask_bytes)
            }
        }
    }

    /// Reads what a message says.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match (bytes.first(), bytes.len()) {
            (Some(&STATUS), MIN_STATUS_BYTES..=MAX_STATUS_BYTES) => {
                Status::decode(bytes).map(Self::Status).ok_or(Malformed)
            }
            (Some(&REQUEST), length @ MIN_REQUEST_BYTES..=MAX_REQUEST_BYTES) => {
                let mask = &bytes[5..length - SHORT_CODE_BYTES];
                let mut mask_bytes = [0; 4];
                mask_bytes[..mask.len()].copy_from_slice(mask);
                let base = FragmentIndex(u16::from_le_bytes([bytes[3], bytes[4]]));
                let wanted = Wanted::new(base, u32::from_le_bytes(mask_bytes))
                    .filter(|wanted| wanted.base == base)
                    .filter(|_| mask.len() == 1 || mask.last() != Some(&0))
                    .ok_or(Malformed)?;
                Ok(Self::Request {
                    handle: Handle([bytes[1], bytes[2]]),
                    wanted,
                })
            }
            _ => Err(Malformed),
        }
    }

    /// Whether `bytes`, which decode to an uplink message, were made with this key.
    pub fn verify(bytes: &[u8], key: &LeanKey) -> Result<(), Malformed> {
        match bytes.first() {
            Some(&STATUS) => key.checked::<CODE_BYTES>(bytes).map(drop),
            _ => key.checked::<SHORT_CODE_BYTES>(bytes).map(drop),
        }
    }
}

impl<'a> Downlink<'a> {
    /// Writes the message and returns its length; `None` if `out` is too short.
    pub fn encode(&self, key: &LeanKey, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Nothing {
                retry_after_s,
                challenge,
            } => {
                let out = out.get_mut(..NOTHING_BYTES)?;
                out[0] = NOTHING;
                out[1..3].copy_from_slice(&retry_after_s.to_le_bytes());
                out[3..7].copy_from_slice(&challenge.0.to_le_bytes());
                Some(key.append::<CODE_BYTES>(out, 7))
            }
            Self::Offer {
                wire_version,
                window,
                challenge,
                manifest,
            } => {
                let out = out.get_mut(..OFFER_BYTES)?;
                out[0] = OFFER;
                out[1] = *wire_version;
                out[2] = *window;
                out[3..7].copy_from_slice(&challenge.0.to_le_bytes());
                out[7..7 + SIGNED_MANIFEST_BYTES].copy_from_slice(*manifest);
                Some(key.append::<CODE_BYTES>(out, 7 + SIGNED_MANIFEST_BYTES))
            }
            Self::Fragment { index, body } => {
                let out = out.get_mut(..FRAGMENT_HEADER_BYTES + body.len())?;
                out[0] = index & LAST_FRAGMENT;
                out[FRAGMENT_HEADER_BYTES..].copy_from_slice(body);
                Some(out.len())
            }
            Self::Refusal { handle, result } => {
                let out = out.get_mut(..REFUSAL_BYTES)?;
                out[0] = REFUSAL;
                out[1..3].copy_from_slice(&handle.0);
                out[3] = *result as u8;
                Some(key.append::<SHORT_CODE_BYTES>(out, 4))
            }
        }
    }

    /// Reads what a message says, without asking who sent it: for whoever listens in. A fragment's bytes stay where
    /// they are.
    pub fn decode(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        let u16_at = |bytes: &[u8], at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let challenge =
            |bytes: &[u8]| Challenge(u32::from_le_bytes([bytes[3], bytes[4], bytes[5], bytes[6]]));
        match (bytes.first(), bytes.len()) {
            (Some(&NOTHING), NOTHING_BYTES) => Ok(Self::Nothing {
                retry_after_s: u16_at(bytes, 1),
                challenge: challenge(bytes),
            }),
            (Some(&OFFER), OFFER_BYTES) if bytes[1] > 0 && bytes[2] > 0 => Ok(Self::Offer {
                wire_version: bytes[1],
                window: bytes[2],
                challenge: challenge(bytes),
                manifest: bytes[7..].first_chunk().ok_or(Malformed)?,
            }),
            (Some(0..=LAST_FRAGMENT), 2..=MAX_DOWNLINK_BYTES) => {
                let (header, body) = bytes.split_at_mut(FRAGMENT_HEADER_BYTES);
                Ok(Self::Fragment {
                    index: header[0],
                    body,
                })
            }
            (Some(&REFUSAL), REFUSAL_BYTES) => Ok(Self::Refusal {
                handle: Handle([bytes[1], bytes[2]]),
                result: ResultCode::from_byte(bytes[3]).ok_or(Malformed)?,
            }),
            _ => Err(Malformed),
        }
    }

    /// Reads a message and checks its code. That of a fragment, or its tag, waits until its index is complete.
    pub fn open(bytes: &'a mut [u8], key: &LeanKey) -> Result<Self, Malformed> {
        match bytes.first() {
            Some(&(NOTHING | OFFER)) => key.checked::<CODE_BYTES>(bytes).map(drop)?,
            Some(&REFUSAL) => key.checked::<SHORT_CODE_BYTES>(bytes).map(drop)?,
            _ => {}
        }
        Self::decode(bytes)
    }
}

#[cfg(test)]
#[path = "lean_tests.rs"]
mod tests;
