//! A file that a person says holds an image: it is read by what its content is, and judged by the rule of the device's
//! own bootloader. Whatever packs and signs an image takes it from here, so that no door is more open than another.
//!
//! Content decides what a file is; a name or a stated format can only add a refusal. A file said to be HEX or ELF that is
//! neither is not taken as a raw binary, and one whose name says another format than its content is taken only by force,
//! and then as what it is.
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;

use super::file_kind::{FileKind, Foreign, TEXT};
use super::{FirmwareError, Image, elf, hardware, hex, read};

/// What a person says a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Intel HEX.
    Hex,
    /// ELF.
    Elf,
    /// The bytes as they lie in flash.
    Bin,
}

impl Format {
    fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "hex" | "ihex" | "ihx" => Some(Self::Hex),
            "elf" | "axf" => Some(Self::Elf),
            "bin" => Some(Self::Bin),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Hex => "an Intel HEX file",
            Self::Elf => "an ELF file",
            Self::Bin => "a raw binary",
        }
    }
}

/// A file and what was said of it.
#[derive(Debug)]
pub struct ImageFile<'a> {
    path: &'a Path,
    content: Vec<u8>,
    stated: Option<Format>,
    force: bool,
}

impl<'a> ImageFile<'a> {
    /// The file at `path`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn load(path: &'a Path) -> Result<Self, FirmwareError> {
        Ok(Self::new(path, read(path)?))
    }

    /// A file that was read already, and decrypted where it had to be; `path` is what complaints call it.
    pub fn new(path: &'a Path, content: Vec<u8>) -> Self {
        Self {
            path,
            content,
            stated: None,
            force: false,
        }
    }

    /// The same file, stated to be of this format; content of another format is refused.
    #[must_use]
    pub fn stated(self, format: Option<Format>) -> Self {
        Self {
            stated: format,
            ..self
        }
    }

    /// The same file; with `force`, a person vouches for content that looks wrong ([`FirmwareError::is_doubt`]). Content that
    /// cannot be read is refused all the same.
    #[must_use]
    pub fn force(self, force: bool) -> Self {
        Self { force, ..self }
    }

    /// The image, for flash at the addresses `flash`; a raw binary begins at their start.
    ///
    /// # Errors
    /// When the content is no image, is damaged, or does not fit.
    pub fn image(self, flash: Range<u32>) -> Result<Image, FirmwareError> {
        let kind = FileKind::of(&self.content);
        let found = match kind {
            FileKind::Elf => Some(Format::Elf),
            FileKind::Hex => Some(Format::Hex),
            FileKind::Foreign(_) | FileKind::Text | FileKind::Raw => None,
        };
        if let (Some(stated), Some(found)) = (self.stated, found)
            && stated != found
        {
            let remedy = "state no format, the content decides";
            return Err(self.otherwise(stated, found.name(), remedy));
        }
        if let (Some(named), Some(found)) = (Format::of_name(self.path), found)
            && named != found
            && !self.force
        {
            return Err(FirmwareError::Misnamed {
                path: self.path.to_owned(),
                named: named.name(),
                found: found.name(),
            });
        }
        let said = self.stated.or_else(|| Format::of_name(self.path));
        match (kind, said) {
            (FileKind::Elf, _) => elf::parse(self.path, &self.content, flash),
            // Reading it as HEX tells the line that is wrong.
            (FileKind::Hex, _) | (FileKind::Text, Some(Format::Hex)) => {
                hex::parse(self.path, &self.content, flash)
            }
            (
                FileKind::Foreign(Foreign { what, remedy }),
                Some(said @ (Format::Hex | Format::Elf)),
            ) => Err(self.otherwise(said, what, remedy)),
            (FileKind::Raw, Some(said @ Format::Hex)) => {
                let remedy =
                    "build the file again, or name it .bin if it is the image as it lies in flash";
                Err(self.otherwise(said, "binary data", remedy))
            }
            (FileKind::Text | FileKind::Raw, Some(Format::Elf)) => Err(FirmwareError::Offset {
                path: self.path.to_owned(),
                offset: 0,
                reason: "no ELF file begins like this; build the firmware again".to_owned(),
            }),
            (FileKind::Foreign(foreign), _) => self.raw_if_forced(foreign, flash),
            (FileKind::Text, _) => self.raw_if_forced(TEXT, flash),
            (FileKind::Raw, _) => raw(self.path, self.content, flash),
        }
    }

    /// The image, for `slot` of boards of this hardware: it begins where the slot begins, and a board would start it.
    ///
    /// # Errors
    /// As [`ImageFile::image`], and when the image lies elsewhere in the slot or no board would start it.
    pub fn image_for(self, slot: Range<u32>, hardware: u16) -> Result<Image, FirmwareError> {
        self.image_with_ram(slot, hardware::ram(hardware))
    }

    /// The same for boards with this RAM; where it is not known, the image is not judged.
    pub(super) fn image_with_ram(
        self,
        slot: Range<u32>,
        ram: Option<(u32, u32)>,
    ) -> Result<Image, FirmwareError> {
        let (path, force) = (self.path, self.force);
        let image = self.image(slot.clone())?;
        if image.base != slot.start {
            return Err(FirmwareError::WrongBase {
                path: path.to_owned(),
                base: image.base,
                slot: slot.start,
            });
        }
        if !force {
            image.check_start_in(path, ram)?;
        }
        Ok(image)
    }

    fn raw_if_forced(self, foreign: Foreign, flash: Range<u32>) -> Result<Image, FirmwareError> {
        if self.force {
            return raw(self.path, self.content, flash);
        }
        Err(FirmwareError::Foreign {
            path: self.path.to_owned(),
            what: foreign.what,
            remedy: foreign.remedy,
        })
    }

    fn otherwise(&self, said: Format, found: &'static str, remedy: &'static str) -> FirmwareError {
        FirmwareError::SaidOtherwise {
            path: self.path.to_owned(),
            said: said.name(),
            found,
            remedy,
        }
    }
}

impl Image {
    /// Judges whether a board of this hardware would start the image, by the rule of its bootloader; `path` is what
    /// complaints call it. Hardware that this rig does not know takes anything.
    ///
    /// # Errors
    /// When the board would not.
    pub fn check_start(&self, path: &Path, hardware: u16) -> Result<(), FirmwareError> {
        self.check_start_in(path, hardware::ram(hardware))
    }

    fn check_start_in(&self, path: &Path, ram: Option<(u32, u32)>) -> Result<(), FirmwareError> {
        hardware::would_start(ram, self.base, &self.bytes).map_err(|reason| {
            FirmwareError::NotBootable {
                path: path.to_owned(),
                reason,
            }
        })
    }
}

fn raw(path: &Path, content: Vec<u8>, flash: Range<u32>) -> Result<Image, FirmwareError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::MICROBIT;

    const HEX: &[u8] = b":0101000055A9\n:00000001FF\n";

    fn taken(
        name: &str,
        content: &[u8],
        stated: Option<Format>,
        force: bool,
    ) -> Result<Image, String> {
        ImageFile::new(Path::new(name), content.to_vec())
            .stated(stated)
            .force(force)
            .image(0x100..0x200)
            .map_err(|error| error.to_string())
    }

    fn load(name: &str, content: &[u8]) -> Result<Image, String> {
        taken(name, content, None, false)
    }

    #[test]
    fn a_raw_binary_begins_where_its_flash_begins() {
        for name in ["a.bin", "firmware", "a.img"] {
            let image = load(name, &[1, 2, 3]).unwrap();
            assert_eq!(
                (image.base, image.bytes.as_slice()),
                (0x100, &[1, 2, 3][..])
            );
        }
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
    fn content_decides_what_a_file_is_whatever_its_name() {
        let image = load("a.hex", HEX).unwrap();
        assert_eq!((image.base, image.bytes.as_slice()), (0x100, &[0x55][..]));
        for name in ["firmware", "a.ihx", "a.txt"] {
            assert_eq!(load(name, HEX).unwrap(), image, "{name}");
        }
        let complaint = load("a.out", b"\x7FELF").unwrap_err();
        assert!(complaint.starts_with("a.out: byte 0x0: "), "{complaint}");
    }

    #[test]
    fn a_name_that_says_another_format_than_the_content_is_a_doubt_and_by_force_the_content_decides()
     {
        let image = load("a.hex", HEX).unwrap();
        for (name, said) in [
            (
                "a.bin",
                "named like a raw binary, but it is an Intel HEX file",
            ),
            (
                "a.elf",
                "named like an ELF file, but it is an Intel HEX file",
            ),
        ] {
            let complaint = load(name, HEX).unwrap_err();
            assert!(complaint.contains(said), "{complaint}");
            assert_eq!(taken(name, HEX, None, true).unwrap(), image, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_something_else_is_named_and_taken_only_by_force() {
        for (content, what) in [
            (&b"404: Not Found\n"[..], "text"),
            (b"<html></html>", "an HTML page"),
            (b"\x1F\x8B\x08\0", "a gzip file"),
        ] {
            for name in ["a.bin", "firmware"] {
                let complaint = load(name, content).unwrap_err();
                assert!(
                    complaint.starts_with(&format!("{name}: this is {what}, no image; ")),
                    "{complaint}"
                );
                let forced = taken(name, content, None, true).unwrap();
                assert_eq!(forced.bytes, content);
            }
        }
    }

    #[test]
    fn a_file_said_to_be_hex_or_elf_is_never_a_raw_binary_by_force_neither() {
        for force in [false, true] {
            for (name, content, said) in [
                (
                    "a.hex",
                    &b"<html>"[..],
                    "a.hex: said to be an Intel HEX file, but it is an HTML page; ",
                ),
                (
                    "a.hex",
                    b"404\n",
                    "a.hex:1: the line does not begin with `:`",
                ),
                (
                    "a.hex",
                    b"\0\x40\0\x20",
                    "a.hex: said to be an Intel HEX file, but it is binary data; ",
                ),
                (
                    "a.elf",
                    b"PK\x03\x04",
                    "a.elf: said to be an ELF file, but it is a ZIP archive; ",
                ),
                (
                    "a.elf",
                    b"\0\x40\0\x20",
                    "a.elf: byte 0x0: no ELF file begins like this",
                ),
            ] {
                let complaint = taken(name, content, None, force).unwrap_err();
                assert!(complaint.starts_with(said), "{complaint}\n{said}");
            }
        }
    }

    #[test]
    fn a_stated_format_that_the_content_contradicts_is_refused_by_force_too() {
        for force in [false, true] {
            let complaint = taken("upload", HEX, Some(Format::Bin), force).unwrap_err();
            assert!(
                complaint
                    .starts_with("upload: said to be a raw binary, but it is an Intel HEX file; "),
                "{complaint}"
            );
        }
        assert!(taken("upload", HEX, Some(Format::Hex), false).is_ok());
    }

    #[test]
    fn what_no_board_would_start_is_a_doubt_that_force_overrules_where_a_wrong_place_is_not() {
        let slot = 0x9C00..0xA000;
        let taken = |content: &[u8], force| {
            ImageFile::new(Path::new("image"), content.to_vec())
                .force(force)
                .image_for(slot.clone(), MICROBIT)
        };
        let doubt = taken(&[7; 64], false).unwrap_err();
        assert!(doubt.is_doubt());
        assert!(
            doubt
                .to_string()
                .starts_with("image: no board would start this image: its first word"),
            "{doubt}"
        );
        assert!(taken(&[7; 64], true).is_ok());
        let elsewhere = Image {
            base: 0x9C10,
            bytes: vec![7; 64],
        };
        for force in [false, true] {
            let refused = taken(elsewhere.to_hex().as_bytes(), force).unwrap_err();
            assert!(!refused.is_doubt());
            assert!(
                refused.to_string().contains("begins at 0x9c10"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let complaint = ImageFile::load(Path::new("/nowhere/a.hex")).unwrap_err();
        let complaint = complaint.to_string();
        assert!(
            complaint.starts_with("cannot read /nowhere/a.hex"),
            "{complaint}"
        );
    }
}
