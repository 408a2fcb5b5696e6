//! What devices and the platform say to each other, as datagrams. One file per dialect; the result codes are the
//! telecom platform's and shared by all of them.
//!
//! A device speaks one dialect, set at the factory ([`Dialect`]). Whatever it speaks, it makes itself known by the lean
//! status message, which proves that it holds its key; a device of the telecom platform's own dialect then answers
//! [`pcp`] frames.
use crc::{CRC_32_ISO_HDLC, Crc};

pub mod key;
pub mod lean;
pub mod pcp;

/// Longest datagram a device sends, bytes.
pub const MAX_UPLINK_BYTES: usize = lean::MAX_UPLINK_BYTES;
/// Longest datagram a device has to take, bytes.
pub const MAX_DOWNLINK_BYTES: usize = lean::MAX_DOWNLINK_BYTES;

const _: () = assert!(
    pcp::MAX_UPLINK_BYTES <= MAX_UPLINK_BYTES && pcp::MAX_DOWNLINK_BYTES <= MAX_DOWNLINK_BYTES,
    "one pair of buffers serves both dialects"
);

/// What a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Dialect {
    /// No redundant byte, a window of outstanding fragments.
    #[default]
    Lean = 0,
    /// The telecom platform's own.
    Pcp = 1,
}

impl Dialect {
    /// The dialect with this value.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Lean),
            1 => Some(Self::Pcp),
            _ => None,
        }
    }
}

/// Bytes that are no message of the dialect, or not from who they pretend to be from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;
/// Without a table: 200 bytes of code on a device. Hosts have room for tables, and simulate a great many devices.
#[cfg(target_os = "none")]
type Tables = crc::NoTable;
#[cfg(not(target_os = "none"))]
type Tables = crc::Table<16>;

/// CRC-32 (ISO-HDLC, as in Ethernet).
pub(crate) static CRC: Crc<u32, Tables> = Crc::<u32, Tables>::new(&CRC_32_ISO_HDLC);

/// How something went, in one byte; values as on the telecom platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResultCode {
    /// Success.
    Ok = 0x00,
    /// The device is in use.
    InUse = 0x01,
    /// The signal is too weak.
    WeakSignal = 0x02,
    /// The device runs this image already.
    LatestAlready = 0x03,
    /// Too little power for an upgrade.
    LowBattery = 0x04,
    /// The image does not fit.
    NoSpace = 0x05,
    /// A peer did not answer in time.
    Timeout = 0x06,
    /// Signature, digest or security counter did not pass.
    VerifyFailed = 0x07,
    /// The image is for other hardware, or comes in a suite the device has no keys for.
    TypeUnsupported = 0x08,
    /// Not enough RAM.
    NoMemory = 0x09,
    /// The image was tried and reverted.
    InstallFailed = 0x0A,
    /// Anything else on the device.
    Internal = 0x7F,
    /// The platform has no such task for this device.
    NoSuchTask = 0x80,
    /// The package has no such fragment.
    NoSuchFragment = 0x81,
}

impl ResultCode {
    const ALL: [Self; 14] = [
        Self::Ok,
        Self::InUse,
        Self::WeakSignal,
        Self::LatestAlready,
        Self::LowBattery,
        Self::NoSpace,
        Self::Timeout,
        Self::VerifyFailed,
        Self::TypeUnsupported,
        Self::NoMemory,
        Self::InstallFailed,
        Self::Internal,
        Self::NoSuchTask,
        Self::NoSuchFragment,
    ];

    /// The code with this value.
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as u8 == byte)
    }
}
