//! A firmware set: a folder with everything a run puts on boards: the bootloader, the images by name, how each is
//! packed, and whom devices trust.
//!
//! `set.yaml` describes it:
//! ```yaml
//! bootloader: bootloader.hex
//! device:
//!   hardware: 81
//!   minimum_security_counter: 1
//!   trusted_key: test-signing.pub
//!   m_sequence: { polynomial: [32, 30, 26, 25], seed: 0x1D872B41, stream: continuous }    # if devices have that suite
//! images:
//!   - { name: 1.0.0, file: 1.0.0.hex, security_counter: 2, trial_attempts: 3, signed_by: test-signing.key }
//!   - { name: 1.1.0, package: 1.1.0.pcpk }        # made ready already
//!   - { name: 1.1.0-blank, file: blank.bin, force: true, ... }    # no program, on purpose
//! ```
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use embedded_storage::nor_flash::NorFlash;
use nor_flash_model::NorFlashModel;
use powercut_document::words::in_words;
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::flash::TwiceProgrammable;
use powercut_upgrade::journal::Journal;
use powercut_upgrade::m_sequence::{Configuration, FACTORY_OFFSET};
use powercut_upgrade::manifest::{KeyId, SecurityCounter, Suite, TrustedKeys};
use powercut_upgrade::slots::{Layout, Placement, Region, Slot};
use powercut_upgrade::wire::Dialect;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{FirmwareError, Image, ImageFile, PackageFacts, active_range, load_package, pack};
use super::{read, read_signing_key, read_text, read_verifying_key, save_package, write};
use crate::ImageName;
use crate::Package;
use crate::Parameters;

/// Name of the file that describes a set.
pub const SET_FILE: &str = "set.yaml";
/// The key id of the one key that devices of a set trust.
const KEY_ID: KeyId = KeyId(1);

/// What `set.yaml` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) bootloader: PathBuf,
    pub(super) device: DeviceDescription,
    pub(super) images: Vec<ImageDescription>,
}

/// What is the same in all devices of a set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeviceDescription {
    pub(super) hardware: u16,
    pub(super) minimum_security_counter: u32,
    pub(super) trusted_key: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) m_sequence: Option<Parameters>,
}

/// An image: either a file to be packed, or a package.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageDescription {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) package: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) security_counter: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trial_attempts: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signed_by: Option<PathBuf>,
    /// The file is taken though it is no program that a board would start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) force: bool,
}

#[derive(Debug, Clone)]
enum Source {
    Packed(Package),
    ToPack {
        image: Vec<u8>,
        security_counter: SecurityCounter,
        trial_attempts: u8,
        key: Box<SigningKey>,
    },
}

/// Who a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Its name towards the platform.
    pub id: DeviceId,
    /// Its secret.
    pub key: DeviceKey,
    /// What it speaks to the platform.
    pub dialect: Dialect,
}

impl DeviceIdentity {
    /// The identity of a device of a test bench: its key follows from its id, so it protects nothing.
    pub fn for_tests(id: DeviceId, dialect: Dialect) -> Self {
        let digest = Sha256::new()
            .chain_update(b"powercut test device key")
            .chain_update(id.0)
            .finalize();
        Self {
            id,
            key: DeviceKey(digest.into()),
            dialect,
        }
    }
}

/// A firmware set, read and checked.
#[derive(Debug, Clone)]
pub struct FirmwareSet {
    folder: PathBuf,
    description: Description,
    bootloader: Image,
    trusted_key: [u8; 32],
    images: BTreeMap<String, Source>,
}

impl FirmwareSet {
    /// Reads the set in `folder`, all of it.
    pub fn load(folder: &Path) -> Result<Self, FirmwareError> {
        let path = folder.join(SET_FILE);
        if !path.exists() {
            return Err(FirmwareError::NoSet { path });
        }
        let text = read_text(&path)?;
        let description: Description =
            serde_yaml::from_slice(&text).map_err(|error| FirmwareError::Line {
                path: path.clone(),
                line: error.location().map_or(1, |location| location.line()),
                reason: format!(
                    "{}; correct the line, or build a set anew with `rig firmware build`",
                    in_words(&error.to_string())
                ),
            })?;
        let layout = Layout::MICROBIT;
        let bootloader = Image::load(&folder.join(&description.bootloader), range(layout.boot))?;
        let trusted_key =
            read_verifying_key(&folder.join(&description.device.trusted_key))?.to_bytes();
        let mut images = BTreeMap::new();
        for image in &description.images {
            let source = read_image(folder, &path, image, description.device.hardware)?;
            images.insert(image.name.clone(), source);
        }
        Ok(Self {
            folder: folder.to_owned(),
            description,
            bootloader,
            trusted_key,
            images,
        })
    }

    /// The flash map of the boards the set is for.
    pub fn layout(&self) -> Layout {
        Layout::MICROBIT
    }

    /// What devices of the set have for the suite `m-sequence`.
    fn m_sequence(&self) -> Option<Configuration> {
        self.description
            .device
            .m_sequence
            .map(Parameters::configuration)
    }

    /// The image `name`, made ready for this suite and fragment size.
    pub fn package(
        &self,
        name: &ImageName,
        suite: Suite,
        fragment_bytes: u16,
    ) -> Result<Package, FirmwareError> {
        let m_sequence = self.m_sequence();
        if suite == Suite::MSequence && m_sequence.is_none() {
            return Err(FirmwareError::NoMSequence {
                folder: self.folder.clone(),
                name: name.to_string(),
            });
        }
        let package = self.packed(name, suite, fragment_bytes)?;
        Ok(package.with_m_sequence(m_sequence))
    }

    fn packed(
        &self,
        name: &ImageName,
        suite: Suite,
        fragment_bytes: u16,
    ) -> Result<Package, FirmwareError> {
        let source = self
            .images
            .get(&name.to_string())
            .ok_or_else(|| FirmwareError::NoImage {
                folder: self.folder.clone(),
                name: name.to_string(),
                known: self.images.keys().cloned().collect::<Vec<_>>().join(", "),
            })?;
        match source {
            Source::Packed(package) => {
                let manifest = package.manifest();
                if manifest.suite == suite && manifest.fragment_bytes == fragment_bytes {
                    return Ok(package.clone());
                }
                Err(FirmwareError::PackedOtherwise {
                    name: name.to_string(),
                    fragment_bytes: manifest.fragment_bytes,
                })
            }
            Source::ToPack {
                image,
                security_counter,
                trial_attempts,
                key,
            } => pack(
                image.clone(),
                PackageFacts {
                    version: name.version(),
                    suite,
                    fragment_bytes,
                    key_id: KEY_ID,
                    trial_attempts: *trial_attempts,
                    hardware: self.description.device.hardware,
                    security_counter: *security_counter,
                },
                key,
            ),
        }
    }

    /// Whole flash of a board fresh from the factory: bootloader, identity, `running` confirmed, STAGING empty.
    pub fn provisioned_flash(
        &self,
        running: &Package,
        device: &DeviceIdentity,
    ) -> Result<Vec<u8>, FirmwareError> {
        let layout = self.layout();
        let mut flash = TwiceProgrammable(NorFlashModel::<4, 1024, 2>::new(256));
        let factory = Factory {
            hardware: self.description.device.hardware,
            dialect: device.dialect,
            device_id: device.id,
            device_key: device.key.clone(),
            trusted_keys: TrustedKeys([Some((KEY_ID, self.trusted_key)), None]),
            minimum_security_counter: SecurityCounter(
                self.description.device.minimum_security_counter,
            ),
        };
        let active = layout.manifest(Slot::Active, Placement::Plain);
        let manifest = running.signed();
        let factory_page = factory.encode();
        let m_sequence = self
            .m_sequence()
            .map(|configuration| configuration.encode());
        let signed = manifest.encode();
        let mut parts: Vec<(u32, &[u8])> = vec![
            (self.bootloader.base, &self.bootloader.bytes),
            (layout.factory.start, &factory_page),
            (layout.active.start, running.image()),
            (active, &signed),
        ];
        if let Some(m_sequence) = &m_sequence {
            parts.push((layout.factory.start + FACTORY_OFFSET, m_sequence));
        }
        for (address, bytes) in parts {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(4), 0xFF);
            flash
                .write(address, &padded)
                .map_err(|error| FirmwareError::DoesNotFit {
                    reason: format!("{} bytes at {address:#x}: {error:?}", bytes.len()),
                })?;
        }
        Journal::provision(
            &mut flash,
            &layout,
            manifest.image_id(),
            manifest.manifest().security_counter,
        )
        .map_err(|error| FirmwareError::DoesNotFit {
            reason: format!("the journal: {error:?}"),
        })?;
        Ok(flash.0.bytes())
    }

    /// Writes a set into `folder` that has these packages and nothing to sign with, so that a case can be run again
    /// anywhere; ELF files come along where the set has them.
    pub fn save_subset(
        &self,
        packages: &[(&ImageName, &Package)],
        folder: &Path,
    ) -> Result<(), FirmwareError> {
        std::fs::create_dir_all(folder).map_err(|source| FirmwareError::Write {
            path: folder.to_owned(),
            source,
        })?;
        let mut description = self.description.clone();
        description.images.clear();
        description.bootloader = "bootloader.hex".into();
        description.device.trusted_key = "trusted.pub".into();
        self.bootloader.save_hex(&folder.join("bootloader.hex"))?;
        let trusted = read_text(&self.folder.join(&self.description.device.trusted_key))?;
        write(&folder.join("trusted.pub"), &trusted)?;
        let mut elves = vec!["bootloader".to_owned()];
        for (name, package) in packages {
            let file = PathBuf::from(format!("{name}.pcpk"));
            save_package(package, &folder.join(&file))?;
            description.images.push(ImageDescription {
                name: name.to_string(),
                package: Some(file),
                ..ImageDescription::default()
            });
            elves.push(name.to_string());
        }
        for elf in elves {
            let name = format!("{elf}.elf");
            if let Ok(content) = read(&self.folder.join(&name)) {
                write(&folder.join(&name), &content)?;
            }
        }
        description.save(folder)
    }
}

impl Description {
    /// Writes it into `folder`.
    pub(super) fn save(&self, folder: &Path) -> Result<(), FirmwareError> {
        let path = folder.join(SET_FILE);
        let text = serde_yaml::to_string(self).map_err(|error| FirmwareError::Write {
            path: path.clone(),
            source: std::io::Error::other(error),
        })?;
        write(&path, text.as_bytes())
    }
}

/// Addresses of a region.
pub(super) fn range(region: Region) -> std::ops::Range<u32> {
    region.start..region.start + u32::from(region.pages) * Layout::MICROBIT.page_bytes
}

fn read_image(
    folder: &Path,
    set: &Path,
    description: &ImageDescription,
    hardware: u16,
) -> Result<Source, FirmwareError> {
    let incomplete = |what: &str| FirmwareError::Line {
        path: set.to_owned(),
        line: 1,
        reason: format!("image {} has no `{what}`", description.name),
    };
    if let Some(package) = &description.package {
        return Ok(Source::Packed(load_package(&folder.join(package))?));
    }
    let file = description
        .file
        .as_ref()
        .ok_or_else(|| incomplete("file"))?;
    let path = folder.join(file);
    let image = ImageFile::load(&path)?
        .force(description.force)
        .image_for(active_range(), hardware)
        .map_err(|error| {
            error.with_way_around(
                "where it is to be tried all the same, `force: true` at the image in set.yaml takes it",
            )
        })?;
    let key = description
        .signed_by
        .as_ref()
        .ok_or_else(|| incomplete("signed_by"))?;
    Ok(Source::ToPack {
        image: image.bytes,
        security_counter: SecurityCounter(
            description
                .security_counter
                .ok_or_else(|| incomplete("security_counter"))?,
        ),
        trial_attempts: description
            .trial_attempts
            .ok_or_else(|| incomplete("trial_attempts"))?,
        key: Box::new(read_signing_key(&folder.join(key))?),
    })
}
