//! Link profiles as users write them: one YAML file each, its name the file's name without `.yaml`.
//!
//! ```yaml
//! description: poor cell
//! to_platform: { drop_percent: 4.0, duplicate_percent: 3.0 }
//! to_device: { drop_percent: 4.0 }
//! ```
//! What is not said is ideal. A profile that loads is one that can be run: every figure has been checked.
use std::path::{Path, PathBuf};

/// What a link does to datagrams, each way.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkProfile {
    /// The name plans use; the file's name without `.yaml`.
    #[serde(skip)]
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Datagrams from the device.
    #[serde(default)]
    pub to_platform: WayProfile,
    /// Datagrams from the platform.
    #[serde(default)]
    pub to_device: WayProfile,
}

/// What happens to datagrams that go one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WayProfile {
    /// Share of datagrams that are lost, 0 to 100.
    #[serde(default)]
    pub drop_percent: f64,
    /// Share of datagrams that arrive twice, 0 to 100.
    #[serde(default)]
    pub duplicate_percent: f64,
}

/// A link profile cannot be used: always a *plan error*.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The plan names a profile that has no file.
    #[error("there is no link profile {name:?} in {}; there is: {}", dir.display(), known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Where profiles were looked for.
        dir: PathBuf,
        /// The profiles that exist there.
        known: Vec<String>,
    },
    /// The file is there and cannot be read.
    #[error("cannot read link profile {}: {source}; check that the file is readable text", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not a link profile; line and column are in the message when the parser knows them.
    #[error("{}{position}: not a link profile: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// `:line:column`, or nothing when the parser does not know it.
        position: String,
        /// What the parser says.
        reason: String,
    },
    /// A figure no link can have.
    #[error("{}: {key} is {value}; {rule}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// What stands there.
        value: f64,
        /// What must hold.
        rule: &'static str,
    },
}

impl LinkProfile {
    /// A link that does nothing to datagrams.
    pub fn ideal() -> Self {
        Self {
            name: "ideal".to_owned(),
            description: "every datagram arrives once".to_owned(),
            to_platform: WayProfile::default(),
            to_device: WayProfile::default(),
        }
    }

    /// Read the profile `name` from `dir/name.yaml`.
    ///
    /// # Errors
    /// When there is no such file, or it is not a profile whose every key is known and every figure possible.
    pub fn load(dir: &Path, name: &str) -> Result<Self, LinkError> {
        let path = dir.join(format!("{name}.yaml"));
        // A name is a name: `../x` must not reach files elsewhere.
        let plain = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !plain || !path.exists() {
            return Err(LinkError::Unknown {
                name: name.to_owned(),
                dir: dir.to_owned(),
                known: known_profiles(dir),
            });
        }
        let text = std::fs::read_to_string(&path).map_err(|source| LinkError::Read {
            path: path.clone(),
            source,
        })?;
        let mut profile = Self::parse(&text, &path)?;
        name.clone_into(&mut profile.name);
        Ok(profile)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, LinkError> {
        let profile: Self = serde_yaml::from_str(text).map_err(|error| LinkError::Syntax {
            path: path.to_owned(),
            position: error
                .location()
                .map(|at| format!(":{}:{}", at.line(), at.column()))
                .unwrap_or_default(),
            reason: error.to_string(),
        })?;
        for (way, figures) in [
            ("to_platform", profile.to_platform),
            ("to_device", profile.to_device),
        ] {
            let WayProfile {
                drop_percent,
                duplicate_percent,
            } = figures;
            for (key, value) in [
                ("drop_percent", drop_percent),
                ("duplicate_percent", duplicate_percent),
            ] {
                if !(0.0..=100.0).contains(&value) {
                    return Err(LinkError::Value {
                        path: path.to_owned(),
                        key: format!("{way}.{key}"),
                        value,
                        rule: "it must be between 0 and 100",
                    });
                }
            }
            if drop_percent + duplicate_percent > 100.0 {
                return Err(LinkError::Value {
                    path: path.to_owned(),
                    key: format!("{way}.drop_percent + {way}.duplicate_percent"),
                    value: drop_percent + duplicate_percent,
                    rule: "a datagram is either lost or doubled, so the two together must be at most 100",
                });
            }
        }
        Ok(profile)
    }
}

fn known_profiles(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/links")
    }

    fn parse(text: &str) -> Result<LinkProfile, LinkError> {
        LinkProfile::parse(text, Path::new("links/x.yaml"))
    }

    #[test]
    fn the_ideal_profile_of_the_fixtures_does_nothing() {
        let ideal = LinkProfile::load(&fixtures(), "ideal").unwrap();
        assert_eq!(ideal, LinkProfile::ideal());
    }

    #[test]
    fn the_lossy_profile_of_the_fixtures_loses_and_doubles_both_ways() {
        let lossy = LinkProfile::load(&fixtures(), "lossy").unwrap();
        for way in [lossy.to_platform, lossy.to_device] {
            assert!((way.drop_percent - 4.0).abs() < 1e-9);
            assert!((way.duplicate_percent - 3.0).abs() < 1e-9);
        }
        assert_eq!(lossy.name, "lossy");
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_line_and_the_keys_that_exist() {
        let text = "description: x\nto_device:\n  drop_percent: 1.0\n  drop_precent: 2.0\n";
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains("links/x.yaml:4:3"), "{message}");
        assert!(message.contains("drop_precent"), "{message}");
        assert!(message.contains("duplicate_percent"), "{message}");
    }

    #[test]
    fn figures_no_link_can_have_are_refused() {
        for text in [
            "description: x\nto_device: { drop_percent: 100.5 }",
            "description: x\nto_device: { duplicate_percent: -1 }",
            "description: x\nto_device: { drop_percent: .nan }",
            "description: x\nto_platform: { drop_percent: 60, duplicate_percent: 60 }",
        ] {
            assert!(
                matches!(parse(text), Err(LinkError::Value { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_name_lists_the_profiles_there_are() {
        let message = LinkProfile::load(&fixtures(), "lossless")
            .unwrap_err()
            .to_string();
        assert!(message.contains("ideal, lossy"), "{message}");
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let outside = LinkProfile::load(&fixtures().join("deeper"), "../ideal");
        assert!(matches!(outside, Err(LinkError::Unknown { .. })));
    }
}
