//! Why a firmware, key or package file cannot be used.
use std::path::PathBuf;

use powercut_upgrade::manifest::ManifestError;

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
    /// No file of its kind has this size.
    #[error("{} has more than {most_bytes} bytes, and no file of its kind has; is this the right file?", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes such a file may have.
        most_bytes: u64,
    },
    /// The content is something else than an image.
    #[error("{}: this is {what}, no image; {remedy}", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Name or stated format, and content, contradict each other.
    #[error("{}: said to be {said}, but it is {found}; {remedy}", .path.display())]
    SaidOtherwise {
        /// The file.
        path: PathBuf,
        /// What it was said to be.
        said: &'static str,
        /// What it is.
        found: &'static str,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The name says one format, the content is another: perhaps the file is not what was meant.
    #[error("{}: named like {named}, but it is {found}; give it the name of what it is, or the right file", .path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// What its name says.
        named: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// The image breaks the rule of the device's bootloader.
    #[error("{}: no board would start this image: {reason}", .path.display())]
    NotBootable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// An image is linked for another place than its slot.
    #[error(
        "{}: the image begins at {base:#x}, the slot it runs in at {slot:#x}; link it for the slot (the bootloader is not part of a package)", .path.display()
    )]
    WrongBase {
        /// The file.
        path: PathBuf,
        /// Where the image begins.
        base: u32,
        /// Where it should.
        slot: u32,
    },
    /// A doubt, with how a person overrules it here.
    #[error("{source}; {force}")]
    Overrulable {
        /// The doubt.
        source: Box<FirmwareError>,
        /// How to overrule it.
        force: &'static str,
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
    /// There is no such bug to plant.
    #[error("there is no bug `{name}` to plant; there are {known}")]
    NoBug {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
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

impl FirmwareError {
    /// Whether the file was read but is most probably not what was meant: a person who knows better may overrule this.
    pub fn is_doubt(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. }
                | Self::Misnamed { .. }
                | Self::NotBootable { .. }
                | Self::Overrulable { .. }
        )
    }

    /// The same error; a doubt says too how a person overrules it where the file was given.
    #[must_use]
    pub fn with_way_around(self, force: &'static str) -> Self {
        if !self.is_doubt() {
            return self;
        }
        Self::Overrulable {
            source: Box::new(self),
            force,
        }
    }
}
