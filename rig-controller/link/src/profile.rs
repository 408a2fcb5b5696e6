//! Link profiles as users write them: one YAML file each, its name the file's name without `.yaml`.
//!
//! ```yaml
//! description: NB-IoT in good coverage
//! round_trip: { median_ms: 350, sigma: 0.45 }   # lognormal; what the rates take comes on top
//! first_contact_ms: 2000                        # waited before the first datagram after the modem's power-on
//! to_platform: { drop_percent: 0.5, duplicate_percent: 0, rate_bps: 16900 }
//! to_device: { drop_percent: 0.5, rate_bps: 21250 }
//! modem: { baud: 115200, payload: hex, receive_datagrams: 10, receive_bytes: 10240 }
//! ```
//! What is not said is ideal: nothing lost, no delay, no limit to a rate. A profile that loads is one that can be run:
//! every figure has been checked, and a complaint names file, line and what to write instead. How the figures act on
//! datagrams is told in [`Air`](super::Air), how those of `modem` act on the serial line in
//! [`SerialLine`](super::SerialLine).
use std::path::{Path, PathBuf};
use std::time::Duration;

use powercut_document::{Document, Fault, Fields, Value};

/// What a link does to datagrams, each way, and what the modem at the device's end of it is like.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkProfile {
    /// The name plans use; the file's name without `.yaml`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Latency; `None` is none.
    pub round_trip: Option<RoundTrip>,
    /// How long the radio takes to make contact, before the first datagram after the modem's power-on.
    pub first_contact: Duration,
    /// Datagrams from the device.
    pub to_platform: WayProfile,
    /// Datagrams from the platform.
    pub to_device: WayProfile,
    /// The serial line to the device, and the modem's buffers.
    pub modem: ModemProfile,
}

/// Round trips are distributed lognormally: their logarithms normally, with standard deviation `sigma`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoundTrip {
    /// Half of them are shorter.
    pub median: Duration,
    /// Standard deviation of the natural logarithm.
    pub sigma: f64,
}

/// What happens to datagrams that go one way.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WayProfile {
    /// Share of datagrams that are lost, 0 to 100.
    pub drop_percent: f64,
    /// Share of datagrams that arrive twice, 0 to 100.
    pub duplicate_percent: f64,
    /// UDP payload bits a second; `None` is without limit.
    pub rate_bps: Option<f64>,
}

/// The device's end of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModemProfile {
    /// Bits a second on the serial line, 10 for each byte (8N1); `None`: bytes take no time.
    pub baud: Option<u32>,
    /// How payloads are written on it.
    pub payload: PayloadFormat,
    /// Datagrams a socket keeps for the device; further ones are lost.
    pub receive_datagrams: usize,
    /// Bytes it keeps; a datagram that does not fit is lost.
    pub receive_bytes: usize,
}

/// How payloads are written on the serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadFormat {
    /// As they are.
    Binary,
    /// Two hexadecimal digits a byte.
    Hex,
}

impl Default for ModemProfile {
    /// A line without delay; payloads as they are; ten datagrams of any length.
    fn default() -> Self {
        Self {
            baud: None,
            payload: PayloadFormat::Binary,
            receive_datagrams: 10,
            receive_bytes: 10 * 1500,
        }
    }
}

/// A link profile cannot be used: always a *plan error*.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The plan names a profile that has no file.
    #[error("there is no link profile `{name}` in {}; there is: {}", dir.display(), known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Where profiles were looked for.
        dir: PathBuf,
        /// The profiles that exist there.
        known: Vec<String>,
    },
    /// The file is there and is not a link profile, or has a figure no link can have.
    #[error(transparent)]
    File(#[from] Fault),
}

const KEYS: &[&str] = &[
    "description",
    "round_trip",
    "first_contact_ms",
    "to_platform",
    "to_device",
    "modem",
];
const WAY_KEYS: &[&str] = &["drop_percent", "duplicate_percent", "rate_bps"];
const MODEM_KEYS: &[&str] = &["baud", "payload", "receive_datagrams", "receive_bytes"];
/// Longer than anybody waits, in milliseconds; keeps sums of times far from overflow.
const LONGEST_MS: f64 = 600_000.0;

impl LinkProfile {
    /// A link that does nothing to datagrams.
    pub fn ideal() -> Self {
        Self {
            name: "ideal".to_owned(),
            description: "every datagram arrives once".to_owned(),
            round_trip: None,
            first_contact: Duration::ZERO,
            to_platform: WayProfile::default(),
            to_device: WayProfile::default(),
            modem: ModemProfile::default(),
        }
    }

    /// Whether datagrams and serial bytes take time. Without it a link's answers do not depend on any clock.
    pub fn takes_time(&self) -> bool {
        self.round_trip.is_some()
            || !self.first_contact.is_zero()
            || self.to_platform.rate_bps.is_some()
            || self.to_device.rate_bps.is_some()
            || self.modem.baud.is_some()
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
        let document = Document::load(&path, "link profile")?;
        let mut profile = read(document.root())?;
        name.clone_into(&mut profile.name);
        Ok(profile)
    }

    /// The profile as a file that [`LinkProfile::load`] reads back. `notes` become comments at its head.
    pub fn to_yaml(&self, notes: &[String]) -> String {
        let mut lines: Vec<String> = notes.iter().map(|note| format!("# {note}")).collect();
        // A description may hold anything; quoted as JSON it is always YAML.
        let quoted = serde_json::Value::from(self.description.as_str());
        lines.push(format!("description: {quoted}"));
        if let Some(RoundTrip { median, sigma }) = self.round_trip {
            let median = milliseconds(median);
            lines.push(format!(
                "round_trip: {{ median_ms: {median}, sigma: {sigma} }}"
            ));
        }
        if !self.first_contact.is_zero() {
            let first = milliseconds(self.first_contact);
            lines.push(format!("first_contact_ms: {first}"));
        }
        for (name, way) in [
            ("to_platform", self.to_platform),
            ("to_device", self.to_device),
        ] {
            let rate = way
                .rate_bps
                .map_or_else(String::new, |rate| format!(", rate_bps: {rate}"));
            lines.push(format!(
                "{name}: {{ drop_percent: {}, duplicate_percent: {}{rate} }}",
                way.drop_percent, way.duplicate_percent
            ));
        }
        let baud = self
            .modem
            .baud
            .map_or_else(String::new, |baud| format!("baud: {baud}, "));
        let payload = match self.modem.payload {
            PayloadFormat::Binary => "binary",
            PayloadFormat::Hex => "hex",
        };
        lines.push(format!(
            "modem: {{ {baud}payload: {payload}, receive_datagrams: {}, receive_bytes: {} }}",
            self.modem.receive_datagrams, self.modem.receive_bytes
        ));
        lines.join("\n") + "\n"
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn read(root: Value<'_>) -> Result<LinkProfile, Fault> {
    let fields = root.fields("a link profile", KEYS)?;
    let ideal = LinkProfile::ideal();
    Ok(LinkProfile {
        name: String::new(),
        description: fields
            .require("description")?
            .text("`description`")?
            .to_owned(),
        round_trip: fields.get("round_trip").map(round_trip).transpose()?,
        first_contact: match fields.get("first_contact_ms") {
            Some(value) => time(value, "`first_contact_ms`", 0.0)?,
            None => Duration::ZERO,
        },
        to_platform: way(fields, "to_platform")?,
        to_device: way(fields, "to_device")?,
        modem: match fields.get("modem") {
            Some(value) => modem(value)?,
            None => ideal.modem,
        },
    })
}

fn time(value: Value<'_>, what: &str, least_ms: f64) -> Result<Duration, Fault> {
    let ms = value.number(what, least_ms..=LONGEST_MS)?;
    Ok(Duration::from_secs_f64(ms / 1e3))
}

fn round_trip(value: Value<'_>) -> Result<RoundTrip, Fault> {
    let fields = value.fields("`round_trip`", &["median_ms", "sigma"])?;
    Ok(RoundTrip {
        median: time(fields.require("median_ms")?, "`median_ms`", 0.001)?,
        sigma: fields.require("sigma")?.number("`sigma`", 0.0..=3.0)?,
    })
}

fn way(fields: Fields<'_>, key: &'static str) -> Result<WayProfile, Fault> {
    let Some(value) = fields.get(key) else {
        return Ok(WayProfile::default());
    };
    let fields = value.fields("a way of the link", WAY_KEYS)?;
    let percent = |key: &str| match fields.get(key) {
        Some(value) => value.number(&format!("`{key}`"), 0.0..=100.0),
        None => Ok(0.0),
    };
    let way = WayProfile {
        drop_percent: percent("drop_percent")?,
        duplicate_percent: percent("duplicate_percent")?,
        rate_bps: fields
            .get("rate_bps")
            .map(|value| value.number("`rate_bps`", 1.0..=1e12))
            .transpose()?,
    };
    let both = way.drop_percent + way.duplicate_percent;
    if both > 100.0 {
        return Err(value.fault(
            format!("`drop_percent` and `duplicate_percent` together are {both}"),
            "a datagram is either lost or doubled, so make them 100 at most",
        ));
    }
    Ok(way)
}

fn modem(value: Value<'_>) -> Result<ModemProfile, Fault> {
    let fields = value.fields("the link's `modem`", MODEM_KEYS)?;
    let ideal = ModemProfile::default();
    let integer = |key: &str, range, otherwise: usize| match fields.get(key) {
        Some(value) => value
            .integer(&format!("`{key}`"), range)
            .map(|number| number as usize),
        None => Ok(otherwise),
    };
    Ok(ModemProfile {
        baud: fields
            .get("baud")
            .map(|value| value.integer("`baud`", 300..=10_000_000))
            .transpose()?
            .map(|baud| baud as u32),
        payload: match fields.get("payload") {
            Some(value) => value.one_of(
                "`payload`",
                &[
                    ("binary", PayloadFormat::Binary),
                    ("hex", PayloadFormat::Hex),
                ],
            )?,
            None => ideal.payload,
        },
        receive_datagrams: integer("receive_datagrams", 1..=1000, ideal.receive_datagrams)?,
        receive_bytes: integer("receive_bytes", 1..=1_000_000, ideal.receive_bytes)?,
    })
}

/// A link profile from any text; for fuzzing.
///
/// # Panics
/// When one is accepted whose figures no link can have.
#[cfg(feature = "fuzzing")]
pub fn fuzz_profile(text: &str) {
    let document = Document::parse(Path::new("l.yaml"), text);
    if let Ok(profile) = document.and_then(|document| read(document.root())) {
        for way in [profile.to_platform, profile.to_device] {
            let sum = way.drop_percent + way.duplicate_percent;
            assert!((0.0..=100.0).contains(&sum), "{sum}");
        }
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
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/links")
    }

    fn parse(text: &str) -> Result<LinkProfile, Fault> {
        read(Document::parse(Path::new("links/x.yaml"), text)?.root())
    }

    #[test]
    fn the_ideal_profile_of_the_fixtures_does_nothing() {
        let ideal = LinkProfile::load(&fixtures(), "ideal").unwrap();
        assert_eq!(ideal, LinkProfile::ideal());
        assert!(!ideal.takes_time());
    }

    #[test]
    fn the_lossy_profile_of_the_fixtures_loses_and_doubles_both_ways() {
        let lossy = LinkProfile::load(&fixtures(), "lossy").unwrap();
        for way in [lossy.to_platform, lossy.to_device] {
            assert!((way.drop_percent - 4.0).abs() < 1e-9);
            assert!((way.duplicate_percent - 3.0).abs() < 1e-9);
        }
        assert_eq!(lossy.name, "lossy");
        assert!(!lossy.takes_time());
    }

    #[test]
    fn every_profile_of_the_fixtures_loads_and_is_read_back_from_what_it_is_written_as() {
        for name in known_profiles(&fixtures()) {
            let profile = LinkProfile::load(&fixtures(), &name).unwrap();
            let mut again = parse(&profile.to_yaml(&["a note".to_owned()])).unwrap();
            again.name = name;
            assert_eq!(again, profile);
        }
    }

    #[test]
    fn the_cellular_profiles_say_that_their_figures_are_assumed() {
        for name in ["nb-iot-ce0", "nb-iot-ce1", "nb-iot-ce2", "lte-cat-1"] {
            let profile = LinkProfile::load(&fixtures(), name).unwrap();
            assert!(profile.takes_time());
            assert!(profile.description.contains("assumed"), "{name}");
        }
        let ce0 = LinkProfile::load(&fixtures(), "nb-iot-ce0").unwrap();
        let round_trip = ce0.round_trip.unwrap();
        assert_eq!(round_trip.median, Duration::from_millis(350));
        assert_eq!(ce0.to_device.rate_bps, Some(21_250.0));
        assert_eq!(ce0.modem.baud, Some(115_200));
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
    fn figures_no_link_can_have_are_refused_with_line_and_range() {
        for (text, place) in [
            ("to_device: { drop_percent: 100.5 }", "x.yaml:2:28"),
            ("to_device: { duplicate_percent: -1 }", "x.yaml:2:33"),
            ("to_device: { drop_percent: .nan }", "x.yaml:2:28"),
            (
                "to_platform: { drop_percent: 60, duplicate_percent: 60 }",
                "x.yaml:2:14",
            ),
            ("to_platform: { rate_bps: 0 }", "x.yaml:2:26"),
            ("round_trip: { median_ms: 0, sigma: 1 }", "x.yaml:2:26"),
            ("round_trip: { median_ms: 5 }", "needs `sigma`"),
            ("first_contact_ms: -1", "x.yaml:2:19"),
            ("modem: { baud: 12 }", "x.yaml:2:16"),
            ("modem: { payload: text }", "binary, hex"),
        ] {
            let message = parse(&format!("description: x\n{text}"))
                .unwrap_err()
                .to_string();
            assert!(message.contains(place), "{text}: {message}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_profiles_there_are() {
        let message = LinkProfile::load(&fixtures(), "lossless")
            .unwrap_err()
            .to_string();
        assert!(message.contains("ideal, lossy"), "{message}");
        assert!(message.contains("nb-iot-ce0"), "{message}");
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let outside = LinkProfile::load(&fixtures().join("deeper"), "../ideal");
        assert!(matches!(outside, Err(LinkError::Unknown { .. })));
    }
}
