//! PCP, the telecom platform's own dialect, byte for byte. Integers are big-endian; a datagram is one frame:
//!
//! ```text
//! 0  FF FE               4  check u16            8  data
//! 2  version, 1          6  data length u16
//! 3  code
//! ```
//!
//! | code | direction | request data | response data |
//! | --- | --- | --- | --- |
//! | 19 query version | platform to device | none | result 1, version 16 |
//! | 20 new version | platform to device | version 16, fragment size 2, count 2, package check 2 | result 1 |
//! | 21 fragment | device to platform | version 16, index 2 | result 1, index 2, data (none unless the result is 0) |
//! | 22 download state | device to platform | state 1 | result 1 |
//! | 23 execute | platform to device | none | result 1 |
//! | 24 upgrade result | device to platform | result 1, version 16 | result 1 |
//!
//! A response carries its request's code, and there is no sequence number: an answer says what it answers by code and,
//! for a fragment, by index. Versions are ASCII, padded with zeros.
//!
//! *Check*: called CRC16/CCITT in the vendors' documents, but no catalogued CRC-16 fits. With T the table of the
//! MSB-first polynomial 0x1021 (T\[1\] = 0x1021), the register starts at 0 and takes each byte as
//! c = (c >> 8) ^ T\[(c ^ byte) & 0xFF\], over the whole frame with the check's own two bytes as 0; "123456789" gives
//! 0xB955. Of two flipped bits in a frame of 171 bytes it misses about 1.6 %, so nothing here is more than a hint: what
//! counts is the signed digest of the image.
//!
//! # An image over PCP
//! A frame of code 20 says less than a device has to know, and its package check may be 0. So the package's first
//! *header fragments* are the signed manifest (120 bytes, zeros after it up to a whole fragment), and the image's
//! follow: see [`Stream`]. A device takes a 20 for the download it has begun if version, size, count and check are the
//! ones it wrote down with that manifest; whatever was swapped under them has another digest and is never installed.
//!
//! Source: frames and rules as published for the telecom platforms of China Telecom (`CTWing`) and Huawei.
use super::{Malformed, ResultCode};
use crate::manifest::{FragmentIndex, Manifest, SIGNED_MANIFEST_BYTES};

/// Bytes of a frame before its data.
pub const HEADER_BYTES: usize = 8;
/// Fragment sizes there are, bytes of data as they travel.
pub const FRAGMENT_BYTES: core::ops::RangeInclusive<u16> = 32..=500;
/// Fragment size where nobody says another, bytes.
pub const DEFAULT_FRAGMENT_BYTES: u16 = 500;
/// Bytes of a request for a fragment.
pub const REQUEST_BYTES: usize = HEADER_BYTES + 18;
/// Longest frame a device sends, bytes.
pub const MAX_UPLINK_BYTES: usize = REQUEST_BYTES;
/// Longest frame a device has to take, bytes.
pub const MAX_DOWNLINK_BYTES: usize = HEADER_BYTES + 3 + *FRAGMENT_BYTES.end() as usize;

/// What a frame begins with.
pub const MAGIC: [u8; 2] = [0xFF, 0xFE];
const VERSION: u8 = 1;

const QUERY_VERSION: u8 = 19;
const NEW_VERSION: u8 = 20;
const FRAGMENT: u8 = 21;
const DOWNLOAD_STATE: u8 = 22;
const EXECUTE: u8 = 23;
const UPGRADE_RESULT: u8 = 24;

/// A version as PCP has it: ASCII, padded with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VersionText(pub [u8; 16]);

impl core::fmt::Display for VersionText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for byte in self.0.into_iter().take_while(|byte| *byte != 0) {
            core::fmt::Write::write_char(f, char::from(byte.clamp(b' ', b'~')))?;
        }
        Ok(())
    }
}

impl core::fmt::Write for VersionText {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let used = self.0.iter().take_while(|byte| **byte != 0).count();
        self.0
            .get_mut(used..used + text.len())
            .ok_or(core::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        Ok(())
    }
}

impl From<crate::manifest::Version> for VersionText {
    /// `255.255.65535` is the longest and fits.
    fn from(version: crate::manifest::Version) -> Self {
        let mut text = Self::default();
        let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{version}"));
        text
    }
}

/// What a frame of code 20 says about a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackageFacts {
    /// Its version.
    pub version: VersionText,
    /// Bytes of data in a fragment but the last, in [`FRAGMENT_BYTES`].
    pub fragment_bytes: u16,
    /// Number of fragments, at least 1.
    pub count: u16,
    /// Check of the whole package; a platform may leave it 0.
    pub check: u16,
}

/// How a signed image travels as a PCP package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    fragment_bytes: u16,
}

impl Stream {
    /// In fragments of so many bytes as they travel, tag included; `None` if PCP has none of that size.
    pub fn new(fragment_bytes: u16) -> Option<Self> {
        FRAGMENT_BYTES
            .contains(&fragment_bytes)
            .then_some(Self { fragment_bytes })
    }

    /// As the image of this manifest travels; `None` if PCP has no fragments of that size.
    pub fn of(manifest: &Manifest) -> Option<Self> {
        let overhead = crate::cipher::overhead_bytes(manifest.suite) as u16;
        Self::new(manifest.fragment_bytes.saturating_add(overhead))
    }

    /// Bytes of data in a fragment but the last.
    pub const fn fragment_bytes(self) -> u16 {
        self.fragment_bytes
    }

    /// Number of fragments; `None` if PCP cannot count them.
    pub fn count(self, manifest: &Manifest) -> Option<u16> {
        manifest.fragments().checked_add(self.header_fragments())
    }

    /// Fragments that hold the manifest.
    pub const fn header_fragments(self) -> u16 {
        (SIGNED_MANIFEST_BYTES as u16).div_ceil(self.fragment_bytes)
    }

    /// The image's fragment that travels as fragment `index`; `None` for one of the header.
    pub fn image_fragment(self, index: FragmentIndex) -> Option<FragmentIndex> {
        index
            .0
            .checked_sub(self.header_fragments())
            .map(FragmentIndex)
    }

    /// How the image's fragment `index` travels; `None` if its number is too high for PCP.
    pub fn travels_as(self, index: FragmentIndex) -> Option<FragmentIndex> {
        index
            .0
            .checked_add(self.header_fragments())
            .map(FragmentIndex)
    }

    /// The part of the manifest in a header fragment; the rest of that fragment is zeros.
    pub fn header_part(self, index: FragmentIndex) -> core::ops::Range<usize> {
        let size = usize::from(self.fragment_bytes);
        let start = (usize::from(index.0) * size).min(SIGNED_MANIFEST_BYTES);
        start..(start + size).min(SIGNED_MANIFEST_BYTES)
    }
}

/// From a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Uplink {
    /// Response to a version query.
    Version {
        /// How it went.
        result: ResultCode,
        /// What runs.
        version: VersionText,
    },
    /// Response to a new version.
    NewVersionTaken {
        /// Ok: the device will fetch it.
        result: ResultCode,
    },
    /// Request for a fragment; accepts the new version too.
    Fragment {
        /// Of what.
        version: VersionText,
        /// Which one.
        index: FragmentIndex,
    },
    /// How the download went.
    DownloadState {
        /// Ok: the image is complete and verified.
        state: ResultCode,
    },
    /// Response to the order to install.
    Executes {
        /// How it went.
        result: ResultCode,
    },
    /// How the upgrade went.
    UpgradeResult {
        /// Ok: the new image is in force.
        result: ResultCode,
        /// What runs now.
        version: VersionText,
    },
}

/// From the platform.
#[derive(Debug, PartialEq, Eq)]
pub enum Downlink<'a> {
    /// Asks what runs.
    QueryVersion,
    /// Says that there is a package for the device.
    NewVersion(PackageFacts),
    /// Response to a request for a fragment.
    Fragment {
        /// How it went.
        result: ResultCode,
        /// Which one.
        index: FragmentIndex,
        /// Its bytes; none unless the result is Ok. Decrypted in place.
        data: &'a mut [u8],
    },
    /// Response to a download state.
    DownloadStateTaken {
        /// How it went.
        result: ResultCode,
    },
    /// Orders the device to install what it has.
    Execute,
    /// Response to an upgrade result.
    UpgradeResultTaken {
        /// How it went.
        result: ResultCode,
    },
}

/// The check of these bytes; over a frame, its own two bytes count as 0.
pub fn check(bytes: impl IntoIterator<Item = u8>) -> u16 {
    bytes.into_iter().fold(0, |register, byte| {
        register >> 8 ^ table((register as u8) ^ byte)
    })
}

/// T\[index\]: computed, for devices have no room for 512 bytes.
fn table(index: u8) -> u16 {
    (0..8).fold(u16::from(index) << 8, |entry, _| {
        entry << 1 ^ if entry & 0x8000 == 0 { 0 } else { 0x1021 }
    })
}

/// The check that belongs to a whole frame, whatever stands in its place.
pub fn frame_check(frame: &[u8]) -> u16 {
    let bytes = frame.iter().enumerate();
    check(bytes.map(|(at, byte)| if at == 4 || at == 5 { 0 } else { *byte }))
}

/// A frame under construction: its data lies at [`HEADER_BYTES`] of `out` already.
fn finish(out: &mut [u8], code: u8, data_bytes: usize) -> Option<usize> {
    let frame = out.get_mut(..HEADER_BYTES + data_bytes)?;
    frame[..2].copy_from_slice(&MAGIC);
    frame[2] = VERSION;
    frame[3] = code;
    frame[6..8].copy_from_slice(&u16::try_from(data_bytes).ok()?.to_be_bytes());
    let check = frame_check(frame).to_be_bytes();
    frame[4..6].copy_from_slice(&check);
    Some(frame.len())
}

/// Code and data of a whole frame.
fn frame(bytes: &[u8]) -> Result<(u8, core::ops::Range<usize>), Malformed> {
    let [m0, m1, version, code, c0, c1, l0, l1, data @ ..] = bytes else {
        return Err(Malformed);
    };
    let right = [*m0, *m1] == MAGIC
        && version & 0x0F == VERSION
        && usize::from(u16::from_be_bytes([*l0, *l1])) == data.len()
        && u16::from_be_bytes([*c0, *c1]) == frame_check(bytes);
    right
        .then_some((*code, HEADER_BYTES..bytes.len()))
        .ok_or(Malformed)
}

fn result(byte: u8) -> Result<ResultCode, Malformed> {
    ResultCode::from_byte(byte).ok_or(Malformed)
}

fn version(data: &[u8]) -> Result<VersionText, Malformed> {
    data.first_chunk()
        .copied()
        .map(VersionText)
        .ok_or(Malformed)
}

fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([data[at], data[at + 1]])
}

impl Uplink {
    /// Writes the frame and returns its length, at most [`MAX_UPLINK_BYTES`].
    pub fn encode(&self, out: &mut [u8; super::MAX_UPLINK_BYTES]) -> usize {
        let data = &mut out[HEADER_BYTES..];
        let (code, length) = match self {
            Self::Version { result, version } => {
                data[0] = *result as u8;
                data[1..17].copy_from_slice(&version.0);
                (QUERY_VERSION, 17)
            }
            Self::NewVersionTaken { result } => {
                data[0] = *result as u8;
                (NEW_VERSION, 1)
            }
            Self::Fragment { version, index } => {
                data[..16].copy_from_slice(&version.0);
                data[16..18].copy_from_slice(&index.0.to_be_bytes());
                (FRAGMENT, 18)
            }
            Self::DownloadState { state } => {
                data[0] = *state as u8;
                (DOWNLOAD_STATE, 1)
            }
            Self::Executes { result } => {
                data[0] = *result as u8;
                (EXECUTE, 1)
            }
            Self::UpgradeResult { result, version } => {
                data[0] = *result as u8;
                data[1..17].copy_from_slice(&version.0);
                (UPGRADE_RESULT, 17)
            }
        };
        // The buffer is longer than the longest of them.
        finish(out, code, length).unwrap_or_default()
    }

    /// Reads a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (code, data) = frame(bytes)?;
        let data = &bytes[data];
        match (code, data.len()) {
            (QUERY_VERSION, 17) => Ok(Self::Version {
                result: result(data[0])?,
                version: version(&data[1..])?,
            }),
            (NEW_VERSION, 1) => Ok(Self::NewVersionTaken {
                result: result(data[0])?,
            }),
            (FRAGMENT, 18) => Ok(Self::Fragment {
                version: version(data)?,
                index: FragmentIndex(u16_at(data, 16)),
            }),
            (DOWNLOAD_STATE, 1) => Ok(Self::DownloadState {
                state: result(data[0])?,
            }),
            (EXECUTE, 1) => Ok(Self::Executes {
                result: result(data[0])?,
            }),
            (UPGRADE_RESULT, 17) => Ok(Self::UpgradeResult {
                result: result(data[0])?,
                version: version(&data[1..])?,
            }),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Downlink<'a> {
    /// Writes the frame and returns its length; `None` if `out` is too short.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let data = out.get_mut(HEADER_BYTES..)?;
        match self {
            Self::QueryVersion => finish(out, QUERY_VERSION, 0),
            Self::NewVersion(facts) => {
                let data = data.get_mut(..22)?;
                data[..16].copy_from_slice(&facts.version.0);
                data[16..18].copy_from_slice(&facts.fragment_bytes.to_be_bytes());
                data[18..20].copy_from_slice(&facts.count.to_be_bytes());
                data[20..22].copy_from_slice(&facts.check.to_be_bytes());
                finish(out, NEW_VERSION, 22)
            }
            Self::Fragment {
                result,
                index,
                data: fragment,
            } => {
                let length = 3 + fragment.len();
                let data = data.get_mut(..length)?;
                data[0] = *result as u8;
                data[1..3].copy_from_slice(&index.0.to_be_bytes());
                data[3..].copy_from_slice(fragment);
                finish(out, FRAGMENT, length)
            }
            Self::Execute => finish(out, EXECUTE, 0),
            Self::DownloadStateTaken { result } => {
                *data.first_mut()? = *result as u8;
                finish(out, DOWNLOAD_STATE, 1)
            }
            Self::UpgradeResultTaken { result } => {
                *data.first_mut()? = *result as u8;
                finish(out, UPGRADE_RESULT, 1)
            }
        }
    }

    /// Reads a frame; a fragment's bytes stay where they are.
    pub fn decode(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        let (code, data) = frame(bytes)?;
        let data = &mut bytes[data];
        match (code, data.len()) {
            (QUERY_VERSION, 0) => Ok(Self::QueryVersion),
            (NEW_VERSION, 22) => {
                let facts = PackageFacts {
                    version: version(data)?,
                    fragment_bytes: u16_at(data, 16),
                    count: u16_at(data, 18),
                    check: u16_at(data, 20),
                };
                (FRAGMENT_BYTES.contains(&facts.fragment_bytes) && facts.count > 0)
                    .then_some(Self::NewVersion(facts))
                    .ok_or(Malformed)
            }
            (FRAGMENT, 3..) => {
                let (head, data) = data.split_at_mut(3);
                let result = result(head[0])?;
                if (result == ResultCode::Ok) == data.is_empty() {
                    return Err(Malformed);
                }
                Ok(Self::Fragment {
                    result,
                    index: FragmentIndex(u16_at(head, 1)),
                    data,
                })
            }
            (DOWNLOAD_STATE, 1) => Ok(Self::DownloadStateTaken {
                result: result(data[0])?,
            }),
            (EXECUTE, 0) => Ok(Self::Execute),
            (UPGRADE_RESULT, 1) => Ok(Self::UpgradeResultTaken {
                result: result(data[0])?,
            }),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
#[path = "pcp_tests.rs"]
mod tests;
