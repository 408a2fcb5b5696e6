//! Firmware as files: images (Intel HEX, ELF, raw binary), signing keys, and packages.
//!
//! Everything read here comes from outside and is checked before it is used; every complaint names the file
//! and the line or byte. Nothing here knows a board: the flash an image must fit is given by the caller.
mod assembly;
mod build;
mod elf;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hex;
mod keys;
mod package;
mod set;

use std::ops::Range;
use std::path::{Path, PathBuf};

use powercut_upgrade::manifest::ManifestError;

pub use build::{BuildOptions, Footprint, build, static_ram_bytes};
pub(crate) use hex::records as hex_records;
pub use keys::{read_signing_key, read_verifying_key};
pub use package::{PackageFacts, is_package, load_package, pack, read_package, save_package};
pub(crate) use set::active_range;
pub use set::{DeviceIdentity, FirmwareSet, SET_FILE};

/// Files larger than this hold no firmware of a microcontroller, debug information included.
const LARGEST_BYTES: u64 = 64 << 20;

/// The content of a stretch of flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Address of the first byte.
    pub base: u32,
    /// The bytes; gaps of the file are filled with 0xFF, which is erased flash.
    pub bytes: Vec<u8>,
}

/// A firmware, key or package file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FirmwareError {
    /// The file system refused.
    #[error("cannot read {}: {source}; check the path and its permissions", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The file system refused.
    #[error("cannot write {}: {source}; check that the folder exists, is writable and has space", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Nobody keeps firmware in files of this size.
    #[error("{} has {bytes} bytes, which is no firmware; is this the right file?", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Neither name nor content says what it is.
    #[error("{}: neither HEX, ELF nor BIN; name it .hex, .elf or .bin", .path.display())]
    UnknownKind {
        /// The file.
        path: PathBuf,
    },
    /// A line of a text file is wrong.
    #[error("{}:{line}: {reason}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A byte of a binary file is wrong.
    #[error("{}: byte {offset:#x}: {reason}", .path.display())]
    Offset {
        /// The file.
        path: PathBuf,
        /// The byte's position, from 0.
        offset: u64,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// A package's manifest is wrong.
    #[error("{}: byte {offset:#x}: the manifest: {source}; make the package again with `rig pack`", .path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Where the manifest begins.
        offset: u64,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// There is no firmware set.
    #[error("there is no firmware set: {} is missing; build one with `rig firmware build`", .path.display())]
    NoSet {
        /// The file that would describe it.
        path: PathBuf,
    },
    /// The set has no such image.
    #[error("the firmware set in {} has no image `{name}`; it has {known}", .folder.display())]
    NoImage {
        /// The set.
        folder: PathBuf,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The set has the image only as a package for another fragment size or suite.
    #[error(
        "image `{name}` is packed already, in fragments of {fragment_bytes} bytes; use that size, or a set built with `rig firmware build`"
    )]
    PackedOtherwise {
        /// The image.
        name: String,
        /// Its fragment size.
        fragment_bytes: u16,
    },
    /// The set says nothing of the register that a suite needs.
    #[error(
        "image `{name}` is wanted in the suite m-sequence, but the firmware set in {} has no `m_sequence`; build it anew with `rig firmware build`", .folder.display()
    )]
    NoMSequence {
        /// The set.
        folder: PathBuf,
        /// The image.
        name: String,
    },
    /// Something does not fit where it belongs in flash.
    #[error("firmware does not fit the board: {reason}")]
    DoesNotFit {
        /// What and where.
        reason: String,
    },
    /// The compiler refused.
    #[error("building {program} failed:\n{reason}")]
    Build {
        /// What was built.
        program: String,
        /// What cargo said.
        reason: String,
    },
    /// A mixture of two images could pass for one of them.
    #[error("image {name} could be mistaken for {old}: {reason}; change its filling")]
    ImagesAlike {
        /// One image.
        name: String,
        /// The other.
        old: String,
        /// What they share.
        reason: String,
    },
    /// What shall be packed does not make a valid manifest.
    #[error(
        "cannot pack the image: {0}; check fragment size, trial attempts and the size of the image"
    )]
    CannotPack(ManifestError),
}

impl Image {
    /// Read a firmware file for the flash at addresses `flash`. What it is follows from its name and content;
    /// a raw binary begins at the start of `flash`.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or does not fit.
    pub fn load(path: &Path, flash: Range<u32>) -> Result<Self, FirmwareError> {
        Self::parse(path, read(path)?, flash)
    }

    /// The same of a file that was read, and decrypted where it had to be.
    ///
    /// # Errors
    /// When it is damaged, or does not fit.
    pub fn parse(path: &Path, content: Vec<u8>, flash: Range<u32>) -> Result<Self, FirmwareError> {
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default()
            .to_ascii_lowercase();
        match extension.as_str() {
            "hex" | "ihex" | "ihx" => hex::parse(path, &content, flash),
            "bin" => bin(path, content, flash),
            // Cargo gives an ELF no extension, so its content decides.
            _ if content.starts_with(b"\x7FELF") => elf::parse(path, &content, flash),
            "elf" => Err(FirmwareError::Offset {
                path: path.to_owned(),
                offset: 0,
                reason: "no ELF file begins like this; build the firmware again".to_owned(),
            }),
            _ if content.starts_with(b":") => hex::parse(path, &content, flash),
            _ => Err(FirmwareError::UnknownKind {
                path: path.to_owned(),
            }),
        }
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

fn bin(path: &Path, content: Vec<u8>, flash: Range<u32>) -> Result<Image, FirmwareError> {
    let offset = |offset: usize, reason: String| FirmwareError::Offset {
        path: path.to_owned(),
        offset: offset as u64,
        reason,
    };
    if content.is_empty() {
        return Err(offset(
            0,
            "the file is empty; build the firmware again".to_owned(),
        ));
    }
    let room = flash.len();
    if content.len() > room {
        return Err(offset(
            room,
            format!(
                "the image has {} bytes and the flash for it {room}",
                content.len()
            ),
        ));
    }
    Ok(Image {
        base: flash.start,
        bytes: content,
    })
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, FirmwareError> {
    let failed = |source| FirmwareError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > LARGEST_BYTES {
        return Err(FirmwareError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    std::fs::read(path).map_err(failed)
}

pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), FirmwareError> {
    std::fs::write(path, content).map_err(|source| FirmwareError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, content: &[u8]) -> Result<Image, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        Image::load(&path, 0x100..0x200).map_err(|error| error.to_string())
    }

    #[test]
    fn a_raw_binary_begins_where_its_flash_begins() {
        let image = load("a.bin", &[1, 2, 3]).unwrap();
        assert_eq!(
            (image.base, image.bytes.as_slice()),
            (0x100, &[1, 2, 3][..])
        );
        let complaint = load("a.bin", &[0; 257]).unwrap_err();
        assert!(
            complaint.ends_with("byte 0x100: the image has 257 bytes and the flash for it 256"),
            "{complaint}"
        );
        assert!(
            load("a.bin", &[])
                .unwrap_err()
                .contains("the file is empty")
        );
    }

    #[test]
    fn name_and_content_decide_what_a_file_is() {
        let hex = b":0101000055A9\n:00000001FF\n";
        assert_eq!(load("a.hex", hex).unwrap(), load("firmware", hex).unwrap());
        assert!(
            load("a.elf", hex)
                .unwrap_err()
                .contains("no ELF file begins like this")
        );
        assert!(
            load("readme.txt", b"hello")
                .unwrap_err()
                .contains("neither HEX, ELF nor BIN")
        );
        let complaint = Image::load(Path::new("/nowhere/a.hex"), 0..1)
            .unwrap_err()
            .to_string();
        assert!(
            complaint.starts_with("cannot read /nowhere/a.hex"),
            "{complaint}"
        );
    }
}
