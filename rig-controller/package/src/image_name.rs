//! How a plan names a firmware image: a version, and a label when several images carry the same version.
use std::fmt;
use std::str::FromStr;

use powercut_upgrade::manifest::Version;

/// `1.1.0`, or `1.1.0-panics` for another image of the same version.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageName {
    version: Version,
    label: Option<String>,
}

impl ImageName {
    /// The version the image's manifest must carry.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What tells it from other images of its version.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.version)?;
        match &self.label {
            Some(label) => write!(f, "-{label}"),
            None => Ok(()),
        }
    }
}

/// A text names no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an image is named by its version and an optional label, such as 1.1.0 or 1.1.0-panics")]
pub struct ParseImageNameError;

impl FromStr for ImageName {
    type Err = ParseImageNameError;

    fn from_str(text: &str) -> Result<Self, ParseImageNameError> {
        let (version, label) = match text.split_once('-') {
            Some((version, label)) => (version, Some(label)),
            None => (text, None),
        };
        let parts: Vec<&str> = version.split('.').collect();
        let &[major, minor, patch] = parts.as_slice() else {
            return Err(ParseImageNameError);
        };
        let version = Version {
            major: number(major)?,
            minor: number(minor)?,
            patch: number(patch)?,
        };
        let label = match label {
            None => None,
            Some(label)
                if (1..=32).contains(&label.len())
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') =>
            {
                Some(label.to_owned())
            }
            Some(_) => return Err(ParseImageNameError),
        };
        Ok(Self { version, label })
    }
}

/// A part of a version as it prints: no sign, no leading zero.
fn number<T: FromStr>(part: &str) -> Result<T, ParseImageNameError> {
    let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part == "0" || !part.starts_with('0'));
    part.parse()
        .ok()
        .filter(|_| plain)
        .ok_or(ParseImageNameError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_with_or_without_a_label_reads_and_prints_the_same() {
        for text in ["1.0.0", "1.1.0-panics", "0.12.65535-bad-signature"] {
            assert_eq!(text.parse::<ImageName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn anything_that_could_leave_the_image_folder_or_is_no_version_is_refused() {
        for text in [
            "1.0",
            "1.0.0.0",
            "1.0.65536",
            "256.0.0",
            "01.0.0",
            "1.0.0-",
            "1.0.0-../x",
            "1.0.0-A",
            "v1.0.0",
            "",
        ] {
            assert_eq!(
                text.parse::<ImageName>(),
                Err(ParseImageNameError),
                "{text}"
            );
        }
    }
}
