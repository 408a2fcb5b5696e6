//! Firmware as files: images (Intel HEX, ELF, raw binary), signing keys, signed packages, and firmware sets.
//!
//! Everything read here comes from outside and is checked before it is used; every complaint names the file
//! and the line or byte. The flash an image must fit is given by the caller; what a board would start, [`hardware`] knows.
mod assembly;
mod board_facts;
mod build;
mod description;
mod elf;
mod error;
mod file_kind;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod hardware;
mod hex;
mod image_file;
mod image_name;
mod keys;
pub mod m_sequence;
pub mod made_up;
mod package;
mod package_file;
mod planted;
mod provisioning;
mod ruin;
mod set;
pub mod suites;
mod text;
pub mod words;

use std::ops::Range;
use std::path::Path;

use powercut_document::input_file::{self, ReadFileError};

pub use board_facts::{BoardFacts, Pin};
pub use build::{BuildOptions, MemoryFootprint, build, static_ram_bytes};
pub use description::SET_FILE;
pub use error::FirmwareError;
pub use hardware::active_range;
pub use hex::records as hex_records;
pub use image_file::{Format, ImageFile};
pub use image_name::{ImageName, ParseImageNameError};
pub use keys::{read_signing_key, read_verifying_key, signing_key_text};
pub use m_sequence::Parameters;
pub use made_up::put_vectors;
pub use package::{Package, PackageError};
pub use package_file::{PackageFacts, is_package, load_package, pack, read_package, save_package};
pub use planted::DEVICE_BUGS;
pub use set::{DeviceIdentity, FirmwareSet};

/// Files larger than this hold no firmware of a microcontroller, debug information included.
const LARGEST_BYTES: u64 = 64 << 20;
/// The same of keys, and of what a person writes about firmware.
const LARGEST_TEXT_BYTES: u64 = 1 << 20;

/// The content of a stretch of flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Address of the first byte.
    pub base: u32,
    /// The bytes; gaps of the file are filled with 0xFF, which is erased flash.
    pub bytes: Vec<u8>,
}

impl Image {
    /// Read a firmware file for the flash at addresses `flash`. What it is follows from its content; a raw binary begins at
    /// the start of `flash`. For images that are to be packed there is [`ImageFile`].
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or does not fit.
    pub fn load(path: &Path, flash: Range<u32>) -> Result<Self, FirmwareError> {
        ImageFile::load(path)?.image(flash)
    }

    /// The same of a file that was read.
    ///
    /// # Errors
    /// When it is damaged, or does not fit.
    pub fn parse(path: &Path, content: Vec<u8>, flash: Range<u32>) -> Result<Self, FirmwareError> {
        ImageFile::new(path, content).image(flash)
    }

    /// Write it as Intel HEX.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn save_hex(&self, path: &Path) -> Result<(), FirmwareError> {
        write(path, self.to_hex().as_bytes())
    }

    /// The image as Intel HEX.
    pub fn to_hex(&self) -> String {
        hex::print(self)
    }
}

/// Reads a firmware file or package, of 64 MiB at most.
///
/// # Errors
/// When the host refuses, or the file is longer.
pub fn read(path: &Path) -> Result<Vec<u8>, FirmwareError> {
    read_up_to(path, LARGEST_BYTES)
}

/// Reads a key file, or a text that a person wrote, of 1 MiB at most.
///
/// # Errors
/// When the host refuses, or the file is longer.
pub fn read_text(path: &Path) -> Result<Vec<u8>, FirmwareError> {
    read_up_to(path, LARGEST_TEXT_BYTES)
}

fn read_up_to(path: &Path, most_bytes: u64) -> Result<Vec<u8>, FirmwareError> {
    input_file::read(path, most_bytes).map_err(|error| match error {
        ReadFileError::TooLong { most_bytes } => FirmwareError::TooLarge {
            path: path.to_owned(),
            most_bytes,
        },
        other => FirmwareError::Read {
            path: path.to_owned(),
            source: other.into(),
        },
    })
}

/// Writes a firmware file, package or key.
///
/// # Errors
/// When the host refuses.
pub fn write(path: &Path, content: &[u8]) -> Result<(), FirmwareError> {
    std::fs::write(path, content).map_err(|source| FirmwareError::Write {
        path: path.to_owned(),
        source,
    })
}
