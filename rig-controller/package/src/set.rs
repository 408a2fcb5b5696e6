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
//! # `hardware` implies each of the next four that is left out.
//! flash: { unit_bytes: 4, page_bytes: 1024, programs_per_unit: 2, pages: 256 }
//! layout:
//!   boot: { start: 0, pages: 32 }                   # bytes from the start of flash; regions follow each other
//!   factory: { start: 0x8000, pages: 1 }
//!   identification: { start: 0x8400, pages: 6 }
//!   active: { start: 0x9C00, pages: 108 }
//!   staging: { start: 0x24C00, pages: 109 }
//!   flash_base: 0                                   # where programs see the start of flash
//!   ram: { start: 0x20000000, end: 0x20004000 }
//! marker_pin: 13                                    # only a running application drives it
//! platform: 127.0.0.1:47110                         # the address that images have built in
//! images:
//!   - { name: 1.0.0, file: 1.0.0.hex, security_counter: 2, trial_attempts: 3, signed_by: test-signing.key }
//!   - { name: 1.1.0, package: 1.1.0.pcpk }        # made ready already
//!   - { name: 1.1.0-blank, file: blank.bin, force: true, ... }    # no program, on purpose
//! ```
use std::collections::BTreeMap;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use nor_flash_model::Geometry;
use powercut_document::words::in_words;
use powercut_upgrade::factory::{DeviceId, DeviceKey, Factory};
use powercut_upgrade::m_sequence::{Configuration, FACTORY_OFFSET};
use powercut_upgrade::manifest::{KeyId, SecurityCounter, Suite, TrustedKeys};
use powercut_upgrade::slots::{Layout, Placement, Slot};
use powercut_upgrade::wire::Dialect;
use sha2::{Digest, Sha256};

use super::description::{Description, ImageDescription, SET_FILE, line_of};
use super::hardware::{addresses, image_addresses};
use super::provisioning::provisioned;
use super::{BoardFacts, FirmwareError, Image, ImageFile, PackageFacts, Pin, load_package, pack};
use super::{read, read_signing_key, read_text, read_verifying_key, save_package, write};
use crate::ImageName;
use crate::Package;
use crate::Parameters;

/// The key id of the one key that devices of a set trust.
const KEY_ID: KeyId = KeyId(1);

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
    board: BoardFacts,
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
        let board = description.board().map_err(|(key, reason)| {
            let line = line_of(&text, key);
            let path = path.clone();
            FirmwareError::Line { path, line, reason }
        })?;
        let bootloader = Image::load(
            &folder.join(&description.bootloader),
            addresses(&board.layout, board.layout.boot),
        )?;
        let trusted_key =
            read_verifying_key(&folder.join(&description.device.trusted_key))?.to_bytes();
        let mut images = BTreeMap::new();
        for image in &description.images {
            let source = read_image(folder, &path, image, &board.layout)?;
            images.insert(image.name.clone(), source);
        }
        Ok(Self {
            folder: folder.to_owned(),
            description,
            board,
            bootloader,
            trusted_key,
            images,
        })
    }

    /// All that the set says of the boards it is for.
    pub fn board_facts(&self) -> &BoardFacts {
        &self.board
    }

    /// How the flash of the boards is divided that the set is for.
    pub fn geometry(&self) -> Geometry {
        self.board.geometry
    }

    /// The flash map of the boards the set is for.
    pub fn layout(&self) -> Layout {
        self.board.layout
    }

    /// The pin that only a running application of the set drives.
    pub fn marker_pin(&self) -> Pin {
        self.board.marker_pin
    }

    /// The address of the platform that the images of the set have built in.
    pub fn platform_address(&self) -> SocketAddrV4 {
        self.board.platform
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
            (
                self.bootloader.base - layout.addresses.flash_base,
                &self.bootloader.bytes,
            ),
            (layout.factory.start, &factory_page),
            (layout.active.start, running.image()),
            (active, &signed),
        ];
        if let Some(m_sequence) = &m_sequence {
            parts.push((layout.factory.start + FACTORY_OFFSET, m_sequence));
        }
        provisioned(
            self.board.geometry,
            &layout,
            &parts,
            manifest.image_id(),
            manifest.manifest().security_counter,
        )
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

fn read_image(
    folder: &Path,
    set: &Path,
    description: &ImageDescription,
    layout: &Layout,
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
        .image_with_ram(image_addresses(layout), Some(layout.addresses.ram))
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

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
