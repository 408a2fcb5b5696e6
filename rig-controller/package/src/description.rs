//! The content of `set.yaml`, as it is written, and the facts of boards that follow from it. [`set`](super::set) shows the
//! file and reads all that it names.
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::board_facts::{BoardFacts, FlashDescription, LayoutDescription, Pin};
use super::text::lines;
use super::{FirmwareError, Parameters, write};

/// Name of the file that describes a set.
pub const SET_FILE: &str = "set.yaml";

/// The content of `set.yaml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) bootloader: PathBuf,
    pub(super) device: DeviceDescription,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) flash: Option<FlashDescription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layout: Option<LayoutDescription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marker_pin: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<String>,
    pub(super) images: Vec<ImageDescription>,
}

/// Facts that all devices of a set share.
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

impl Description {
    /// The facts of boards that it states, completed by those that its hardware number implies.
    ///
    /// # Errors
    /// The key that is wrong, and what to do about it.
    pub(super) fn board(&self) -> Result<BoardFacts, (&'static str, String)> {
        let implied = BoardFacts::of(self.device.hardware);
        let missing = |key| {
            let reason = format!(
                "this rig does not know hardware {} by its number, and `{key}` does not say what it is; write `flash`, `layout`, `marker_pin` and `platform` of these boards, or correct `hardware`",
                self.device.hardware
            );
            ("device", reason)
        };
        let geometry = match &self.flash {
            Some(flash) => flash.geometry().map_err(|error| {
                let reason = format!("{error}; correct `flash`");
                ("flash", reason)
            })?,
            None => implied.ok_or_else(|| missing("flash"))?.geometry,
        };
        let (key, layout) = match (self.layout, implied) {
            (Some(layout), _) => ("layout", layout),
            (None, Some(implied)) => ("flash", LayoutDescription::of(&implied.layout)),
            (None, None) => return Err(missing("layout")),
        };
        let layout = layout
            .on(geometry)
            .map_err(|error| (key, error.to_string()))?;
        let marker_pin = match self.marker_pin {
            Some(number) => Pin::new(number).ok_or_else(|| {
                let reason = format!("there is no pin {number}; write one from 0 to 31");
                ("marker_pin", reason)
            })?,
            None => implied.ok_or_else(|| missing("marker_pin"))?.marker_pin,
        };
        let platform = match &self.platform {
            Some(address) => address.parse().map_err(|_| {
                let reason = format!(
                    "`{}` is no IPv4 address with a port; write one, such as 127.0.0.1:47110",
                    address.escape_debug()
                );
                ("platform", reason)
            })?,
            None => implied.ok_or_else(|| missing("platform"))?.platform,
        };
        Ok(BoardFacts {
            geometry,
            layout,
            marker_pin,
            platform,
        })
    }

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

/// The line of a mapping's own key, from 1; the first line if it is not written as a line of its own.
pub(super) fn line_of(text: &[u8], key: &str) -> usize {
    let is_key = |line: &[u8]| {
        line.strip_prefix(key.as_bytes())
            .is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
    };
    lines(text)
        .find_map(|(number, line)| is_key(line).then_some(number))
        .unwrap_or(1)
}
