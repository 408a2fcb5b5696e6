//! The lean dialect: datagrams without a redundant byte. Integers are little-endian.
//!
//! | byte 0 | message | direction | rest |
//! | --- | --- | --- | --- |
//! | 01 | Status | device to platform | device id 8, hardware 2, version 4, running image 16, security counter 4, activity 1, result 1, result's image 16, check 4 |
//! | 02 | Request | device to platform | device id 8, session 4, fragment index 2, check 4 |
//! | 81 | Nothing | platform to device | retry after, seconds 2, check 4 |
//! | 82 | Offer | platform to device | signed manifest 120, check 4 |
//! | 83 | Fragment | platform to device | session 4, fragment index 2, sealed fragment |
//! | 84 | Refusal | platform to device | session 4, result 1, check 4 |
//!
//! The check is the CRC-32 of all bytes before it; a fragment needs none, its tag is stronger. *Session* is the
//! first 4 bytes of the manifest's SHA-256: a datagram of another image never matches. One fragment is outstanding
//! at a time: the device asks, and asks again when no answer comes. Both sides ignore what they did not expect.
use crate::factory::DeviceId;
use crate::manifest::{FragmentIndex, ImageId, SIGNED_MANIFEST_BYTES, SecurityCounter, Version};

use super::{CRC, ResultCode};

/// Longest message a device sends, bytes.
pub const MAX_UPLINK_BYTES: usize = STATUS_BYTES;
/// Bytes of a fragment message besides the sealed fragment.
pub const FRAGMENT_HEADER_BYTES: usize = 7;
/// Longest message a device has to take, bytes.
pub const MAX_DOWNLINK_BYTES: usize = FRAGMENT_HEADER_BYTES + 1024 + crate::cipher::TAG_BYTES;

/// Bytes of a status message.
pub const STATUS_BYTES: usize = 57;
/// Bytes of a request.
pub const REQUEST_BYTES: usize = 19;
const NOTHING_BYTES: usize = 7;
const OFFER_BYTES: usize = 1 + SIGNED_MANIFEST_BYTES + 4;
const REFUSAL_BYTES: usize = 10;

/// Binds a datagram to one image: the first 4 bytes of its manifest's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session(pub [u8; 4]);

impl Session {
    /// The session of an image's download.
    pub fn of(image: ImageId) -> Self {
        let [a, b, c, d, ..] = image.0;
        Self([a, b, c, d])
    }
}

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

/// Who a device is, what it runs, and how the last upgrade went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
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
}

/// From a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uplink {
    /// Sent at start, on a change, and now and then while idle; answered by an offer or by nothing-to-do.
    Status(Status),
    /// Asks for one fragment.
    Request {
        /// Which device asks.
        device: DeviceId,
        /// Of which image.
        session: Session,
        /// Which fragment.
        index: FragmentIndex,
    },
}

/// From the platform.
#[derive(Debug, PartialEq, Eq)]
pub enum Downlink<'a> {
    /// No task for this device.
    Nothing {
        /// When to ask again, seconds.
        retry_after_s: u16,
    },
    /// There is an image for this device.
    Offer(&'a [u8; SIGNED_MANIFEST_BYTES]),
    /// One fragment, sealed.
    Fragment {
        /// Of which image.
        session: Session,
        /// Which fragment.
        index: FragmentIndex,
        /// Ciphertext and tag; decrypted in place.
        sealed: &'a mut [u8],
    },
    /// The request cannot be served.
    Refusal {
        /// Of which image.
        session: Session,
        /// Why.
        result: ResultCode,
    },
}

/// Bytes that are no message of this dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Uplink {
    /// Writes the message and returns its length, at most [`MAX_UPLINK_BYTES`].
    pub fn encode(&self, out: &mut [u8; MAX_UPLINK_BYTES]) -> usize {
        match self {
            Self::Status(status) => {
                out[0] = 0x01;
                out[1..9].copy_from_slice(&status.device.0);
                out[9..11].copy_from_slice(&status.hardware.to_le_bytes());
                out[11..15].copy_from_slice(&status.version.to_bytes());
                out[15..31].copy_from_slice(&status.running.0);
                out[31..35].copy_from_slice(&status.security_counter.0.to_le_bytes());
                out[35] = status.activity as u8;
                out[36] = status.result as u8;
                out[37..53].copy_from_slice(&status.result_image.0);
                append_check(out, 53)
            }
            Self::Request {
                device,
                session,
                index,
            } => {
                out[0] = 0x02;
                out[1..9].copy_from_slice(&device.0);
                out[9..13].copy_from_slice(&session.0);
                out[13..15].copy_from_slice(&index.0.to_le_bytes());
                append_check(out, 15)
            }
        }
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut device = [0; 8];
        match (bytes.first(), bytes.len()) {
            (Some(0x01), STATUS_BYTES) => {
                check(bytes)?;
                device.copy_from_slice(&bytes[1..9]);
                let mut running = [0; 16];
                running.copy_from_slice(&bytes[15..31]);
                let mut result_image = [0; 16];
                result_image.copy_from_slice(&bytes[37..53]);
                Ok(Self::Status(Status {
                    device: DeviceId(device),
                    hardware: u16::from_le_bytes([bytes[9], bytes[10]]),
                    version: Version::from_bytes([bytes[11], bytes[12], bytes[13], bytes[14]]),
                    running: ImageId(running),
                    security_counter: SecurityCounter(u32::from_le_bytes([
                        bytes[31], bytes[32], bytes[33], bytes[34],
                    ])),
                    activity: Activity::from_byte(bytes[35]).ok_or(Malformed)?,
                    result: ResultCode::from_byte(bytes[36]).ok_or(Malformed)?,
                    result_image: ImageId(result_image),
                }))
            }
            (Some(0x02), REQUEST_BYTES) => {
                check(bytes)?;
                device.copy_from_slice(&bytes[1..9]);
                Ok(Self::Request {
                    device: DeviceId(device),
                    session: Session([bytes[9], bytes[10], bytes[11], bytes[12]]),
                    index: FragmentIndex(u16::from_le_bytes([bytes[13], bytes[14]])),
                })
            }
            _ => Err(Malformed),
        }
    }
}

impl<'a> Downlink<'a> {
    /// Writes the message and returns its length; `None` if `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Nothing { retry_after_s } => {
                let out = out.get_mut(..NOTHING_BYTES)?;
                out[0] = 0x81;
                out[1..3].copy_from_slice(&retry_after_s.to_le_bytes());
                Some(append_check(out, 3))
            }
            Self::Offer(manifest) => {
                let out = out.get_mut(..OFFER_BYTES)?;
                out[0] = 0x82;
                out[1..=SIGNED_MANIFEST_BYTES].copy_from_slice(*manifest);
                Some(append_check(out, 1 + SIGNED_MANIFEST_BYTES))
            }
            Self::Fragment {
                session,
                index,
                sealed,
            } => {
                let out = out.get_mut(..FRAGMENT_HEADER_BYTES + sealed.len())?;
                out[0] = 0x83;
                out[1..5].copy_from_slice(&session.0);
                out[5..7].copy_from_slice(&index.0.to_le_bytes());
                out[FRAGMENT_HEADER_BYTES..].copy_from_slice(sealed);
                Some(out.len())
            }
            Self::Refusal { session, result } => {
                let out = out.get_mut(..REFUSAL_BYTES)?;
                out[0] = 0x84;
                out[1..5].copy_from_slice(&session.0);
                out[5] = *result as u8;
                Some(append_check(out, 6))
            }
        }
    }

    /// Reads a message; a fragment's bytes stay where they are.
    pub fn decode(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        match (bytes.first(), bytes.len()) {
            (Some(0x81), NOTHING_BYTES) => {
                check(bytes)?;
                Ok(Self::Nothing {
                    retry_after_s: u16::from_le_bytes([bytes[1], bytes[2]]),
                })
            }
            (Some(0x82), OFFER_BYTES) => {
                check(bytes)?;
                let manifest = bytes[1..].first_chunk().ok_or(Malformed)?;
                Ok(Self::Offer(manifest))
            }
            (Some(0x83), FRAGMENT_HEADER_BYTES..=MAX_DOWNLINK_BYTES) => {
                let (header, sealed) = bytes.split_at_mut(FRAGMENT_HEADER_BYTES);
                Ok(Self::Fragment {
                    session: Session([header[1], header[2], header[3], header[4]]),
                    index: FragmentIndex(u16::from_le_bytes([header[5], header[6]])),
                    sealed,
                })
            }
            (Some(0x84), REFUSAL_BYTES) => {
                check(bytes)?;
                Ok(Self::Refusal {
                    session: Session([bytes[1], bytes[2], bytes[3], bytes[4]]),
                    result: ResultCode::from_byte(bytes[5]).ok_or(Malformed)?,
                })
            }
            _ => Err(Malformed),
        }
    }
}

fn append_check(out: &mut [u8], length: usize) -> usize {
    let check = CRC.checksum(&out[..length]).to_le_bytes();
    out[length..length + 4].copy_from_slice(&check);
    length + 4
}

fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let (body, check) = bytes.split_last_chunk::<4>().ok_or(Malformed)?;
    if CRC.checksum(body) == u32::from_le_bytes(*check) {
        Ok(())
    } else {
        Err(Malformed)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn status() -> Status {
        Status {
            device: DeviceId(*b"device01"),
            hardware: 0x51,
            version: Version {
                major: 1,
                minor: 0,
                patch: 0,
            },
            running: ImageId([1; 16]),
            security_counter: SecurityCounter(2),
            activity: Activity::Downloading,
            result: ResultCode::InstallFailed,
            result_image: ImageId([2; 16]),
        }
    }

    #[test]
    fn every_message_survives_encoding() {
        let mut out = [0; MAX_UPLINK_BYTES];
        let request = Uplink::Request {
            device: DeviceId(*b"device01"),
            session: Session([1, 2, 3, 4]),
            index: FragmentIndex(513),
        };
        for message in [Uplink::Status(status()), request] {
            let length = message.encode(&mut out);
            assert_eq!(Uplink::decode(&out[..length]), Ok(message));
        }
        let mut sealed = [9; 40];
        let manifest = [3; SIGNED_MANIFEST_BYTES];
        let messages = [
            Downlink::Nothing { retry_after_s: 600 },
            Downlink::Offer(&manifest),
            Downlink::Fragment {
                session: Session([4; 4]),
                index: FragmentIndex(7),
                sealed: &mut sealed,
            },
            Downlink::Refusal {
                session: Session([4; 4]),
                result: ResultCode::NoSuchTask,
            },
        ];
        for message in messages {
            let mut out = [0; 200];
            let length = message.encode(&mut out).unwrap();
            assert_eq!(Downlink::decode(&mut out[..length]), Ok(message));
        }
    }

    #[test]
    fn a_message_with_any_flipped_bit_is_refused() {
        let mut out = [0; MAX_UPLINK_BYTES];
        let length = Uplink::Status(status()).encode(&mut out);
        for bit in 0..length * 8 {
            let mut damaged = out;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Uplink::decode(&damaged[..length]),
                Err(Malformed),
                "bit {bit}"
            );
        }
    }

    proptest! {
        #[test]
        fn decoding_any_bytes_never_panics_and_what_decodes_encodes_back(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in prop::sample::select(&[0x01_u8, 0x02, 0x81, 0x82, 0x83, 0x84][..]), fix: bool) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if fix && bytes.len() > 4 {
                let body = bytes.len() - 4;
                append_check(&mut bytes, body);
            }
            if let Ok(message) = Uplink::decode(&bytes) {
                let mut out = [0; MAX_UPLINK_BYTES];
                let length = message.encode(&mut out);
                prop_assert_eq!(&out[..length], &bytes[..]);
            }
            let original: Vec<u8> = bytes.clone();
            if let Ok(message) = Downlink::decode(&mut bytes) {
                let mut out = [0; MAX_DOWNLINK_BYTES];
                let length = message.encode(&mut out).unwrap();
                prop_assert_eq!(&out[..length], &original[..]);
            }
        }
    }
}
