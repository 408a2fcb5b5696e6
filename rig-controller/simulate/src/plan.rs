//! Simulation plans as users write them.
//!
//! ```yaml
//! simulate: comparison
//! seed: 7
//! repeat: 20                              # runs of each combination; the same seeds for all of them
//! device: nrf52840                        # one of the parts that can be simulated, or a list
//! link: [nb-iot-ce0, lte-cat-1]           # profiles
//! image_bytes: 65536
//! fragment_bytes: [160, 500]
//! cuts: [0, 1, 3]                         # losses of power
//! power: { during: [download], by: operation, off_ms: 5000, modem: stays }
//! variants:
//!   - { name: lean, dialect: lean, window: 1 }
//!   - { name: lean-no-resume, resume: false }
//! chart: { x: fragment_bytes, y: download_s }
//! ```
//! Every list makes a sweep: all combinations are run, but for fragments too large for a variant's dialect. `fit_image_bytes` is told at [`ImageSizeFit`].
use std::ops::RangeInclusive;
use std::path::Path;
#[cfg(test)]
use std::path::PathBuf;
use std::time::Duration;

use powercut_upgrade::manifest::FRAGMENT_BYTES;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::clock::Stage;
use super::measure::Measure;
use super::part::Part;
use super::power::CutBy;
use super::upgrade::{PowerRules, Upgrade};
use super::variant::Variant;
use powercut_bench::modem::ModemPower;
use powercut_document::{Document, Fault, Fields, Value};
use powercut_link::LinkProfile;

const KEYS: &[&str] = &[
    "simulate",
    "seed",
    "repeat",
    "device",
    "link",
    "image_bytes",
    "fragment_bytes",
    "cuts",
    "power",
    "variants",
    "chart",
    "fit_image_bytes",
];
const IMAGE_BYTES: RangeInclusive<u64> = 256..=1_048_576;
/// More than anybody waits for: a slip in a list.
const MOST_RUNS: u64 = 1_000_000;

/// A plan, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulationPlan {
    /// Its name.
    pub name: String,
    /// Everything random is drawn from this.
    pub seed: u64,
    /// Runs of each combination.
    pub repeat: u32,
    /// Every combination, in the order of the lists, the last one changing fastest.
    pub upgrades: Vec<Upgrade>,
    /// What to draw, if anything.
    pub chart: Option<Chart>,
    /// Which image size to look for, if any.
    pub fit: Option<ImageSizeFit>,
}

/// A chart: one line for each combination of what is not on its axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chart {
    /// From left to right.
    pub x: Axis,
    /// Upwards, the mean of the runs.
    pub y: Measure,
}

/// What a chart can have from left to right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// Bytes of a fragment.
    FragmentBytes,
    /// Losses of power.
    Cuts,
    /// Bytes of the image.
    ImageBytes,
}

/// Looks for the image sizes at which mean download times are those that somebody reports without saying how large the
/// image was:
///
/// ```yaml
/// fit_image_bytes:
///   fragment_bytes: 160
///   sizes: { from: 320, to: 8000, step: 160 }
///   within_percent: 5
///   reported:
///     - { link: nb-iot-ce0, seconds: 7.67 }
///     - { link: lte-cat-1, seconds: 1.04 }
/// ```
/// Device and variant are the plan's first.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSizeFit {
    /// What was reported: a mean time over a link, in seconds.
    pub reported: Vec<(LinkProfile, f64)>,
    /// How far a mean may be off to count as fitting.
    pub within_percent: f64,
    /// For each image size, an upgrade over each of the links.
    pub sizes: Vec<(u32, Vec<Upgrade>)>,
}

/// Reads and checks what a plan names.
struct Reader<'a> {
    links: &'a Path,
}

impl SimulationPlan {
    /// Read the plan at `path`; link profiles are in `links`.
    ///
    /// # Errors
    /// Anything that keeps it from being run, with its place and a remedy.
    pub fn load(path: &Path, links: &Path) -> Result<Self, Fault> {
        let document = Document::load(path, "simulation plan")?;
        Reader { links }.plan(document.root())
    }

    /// Check a plan's `text`; `file` is only the name used in complaints.
    ///
    /// # Errors
    /// Anything that keeps it from being run, with its place and a remedy.
    pub fn parse(file: &Path, text: &str, links: &Path) -> Result<Self, Fault> {
        Reader { links }.plan(Document::parse(file, text)?.root())
    }

    /// The seeds of the runs of each combination.
    pub fn seeds(&self) -> Vec<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        (0..self.repeat).map(|_| random.next_u64()).collect()
    }
}

impl Reader<'_> {
    fn plan(&self, root: Value<'_>) -> Result<SimulationPlan, Fault> {
        let fields = root.fields("a simulation plan", KEYS)?;
        let name = fields.require("simulate")?.name("the plan's name")?;
        let integer = |key: &str, range, otherwise| match fields.get(key) {
            Some(value) => value.integer(&format!("`{key}`"), range),
            None => Ok(otherwise),
        };
        let seed = integer("seed", 0..=u64::MAX, 1)?;
        let repeat = integer("repeat", 1..=100_000, 1)? as u32;
        let parts = some(fields, "device", vec![Part::ALL[0]], part)?;
        let links = some(fields, "link", vec![LinkProfile::ideal()], |value| {
            self.link(value)
        })?;
        let images = some(fields, "image_bytes", vec![65_536], |value| {
            Ok(value.integer("`image_bytes`", IMAGE_BYTES)? as u32)
        })?;
        let sizes = some(fields, "fragment_bytes", vec![160], |value| {
            fragment_bytes(value, &parts)
        })?;
        let cuts = some(fields, "cuts", vec![0], |value| {
            Ok(value.integer("`cuts`", 0..=1_000)? as u32)
        })?;
        let variants = match fields.get("variants") {
            None => vec![Variant::lean()],
            Some(list) => variants(list)?,
        };
        let power = power(fields)?;
        let combinations = [
            parts.len(),
            links.len(),
            images.len(),
            variants.len(),
            cuts.len(),
            sizes.len(),
        ]
        .iter()
        .fold(u64::from(repeat), |all, count| {
            all.saturating_mul(*count as u64)
        });
        if combinations > MOST_RUNS {
            return Err(root.fault(
                format!("the plan has {combinations} runs"),
                format!("shorten its lists or `repeat` until there are at most {MOST_RUNS}"),
            ));
        }
        let mut upgrades = Vec::new();
        for part in &parts {
            for link in &links {
                for image_bytes in &images {
                    for variant in &variants {
                        for cuts in &cuts {
                            let exists = |bytes: &&u16| variant.has_fragments_of(**bytes);
                            for fragment_bytes in sizes.iter().filter(exists) {
                                upgrades.push(Upgrade {
                                    part: *part,
                                    link: link.clone(),
                                    image_bytes: *image_bytes,
                                    fragment_bytes: *fragment_bytes,
                                    variant: variant.clone(),
                                    cuts: *cuts,
                                    power: power.clone(),
                                });
                            }
                        }
                    }
                }
            }
        }
        if upgrades.is_empty() {
            return Err(root.fault(
                "no fragment size exists in any variant",
                "PCP carries up to 500 bytes, tag included: choose smaller `fragment_bytes`",
            ));
        }
        Ok(SimulationPlan {
            name,
            seed,
            repeat,
            chart: fields.get("chart").map(chart).transpose()?,
            fit: match (fields.get("fit_image_bytes"), upgrades.first()) {
                (Some(value), Some(first)) => Some(self.fit(value, first)?),
                _ => None,
            },
            upgrades,
        })
    }

    fn link(&self, value: Value<'_>) -> Result<LinkProfile, Fault> {
        let name = value.name("the link profile")?;
        LinkProfile::load(self.links, &name).map_err(|error| {
            value.fault(error.to_string(), "name one that exists, or write it there")
        })
    }

    fn fit(&self, value: Value<'_>, first: &Upgrade) -> Result<ImageSizeFit, Fault> {
        let keys = &["fragment_bytes", "sizes", "within_percent", "reported"];
        let fields = value.fields("`fit_image_bytes`", keys)?;
        let fragment_bytes = fragment_bytes(fields.require("fragment_bytes")?, &[first.part])?;
        let reported = fields
            .require("reported")?
            .list("`reported`")?
            .map(|value| {
                let fields = value.fields("a reported time", &["link", "seconds"])?;
                let seconds = fields.require("seconds")?;
                Ok((
                    self.link(fields.require("link")?)?,
                    seconds.number("`seconds`", 0.001..=1e6)?,
                ))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        let range = fields
            .require("sizes")?
            .fields("`sizes`", &["from", "to", "step"])?;
        let bound = |key| {
            range
                .require(key)?
                .integer(&format!("`{key}`"), IMAGE_BYTES)
        };
        let step = range.require("step")?.integer("`step`", 1..=100_000)?;
        let sizes = (bound("from")?..=bound("to")?)
            .step_by(step as usize)
            .map(|size| {
                let upgrades = reported
                    .iter()
                    .map(|(link, _)| Upgrade {
                        link: link.clone(),
                        image_bytes: size as u32,
                        fragment_bytes,
                        cuts: 0,
                        ..first.clone()
                    })
                    .collect();
                (size as u32, upgrades)
            })
            .collect();
        Ok(ImageSizeFit {
            reported,
            within_percent: fields
                .require("within_percent")?
                .number("`within_percent`", 0.1..=50.0)?,
            sizes,
        })
    }
}

/// The values of `key`, at least one.
fn some<'d, T>(
    fields: Fields<'d>,
    key: &str,
    otherwise: Vec<T>,
    read: impl FnMut(Value<'d>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let Some(value) = fields.get(key) else {
        return Ok(otherwise);
    };
    let values = value.one_or_more();
    if values.is_empty() {
        return Err(value.fault(
            format!("`{key}` is empty"),
            "list at least one value, or leave it out",
        ));
    }
    values.into_iter().map(read).collect()
}

fn part(value: Value<'_>) -> Result<Part, Fault> {
    value.one_of("the device", &Part::ALL.map(|part| (part.name, part)))
}

fn fragment_bytes(value: Value<'_>, parts: &[Part]) -> Result<u16, Fault> {
    let range = u64::from(*FRAGMENT_BYTES.start())..=u64::from(*FRAGMENT_BYTES.end());
    let bytes = value.integer("`fragment_bytes`", range)? as u16;
    match parts
        .iter()
        .find(|part| !bytes.is_multiple_of(part.unit_bytes()))
    {
        None => Ok(bytes),
        Some(part) => Err(value.fault(
            format!("fragments of {bytes} bytes do not fit {part}"),
            format!(
                "take a multiple of {}, what it programs at once",
                part.unit_bytes()
            ),
        )),
    }
}

fn variants(list: Value<'_>) -> Result<Vec<Variant>, Fault> {
    let mut variants: Vec<Variant> = Vec::new();
    for value in list.list("`variants`")? {
        let variant = Variant::read(value)?;
        if variants.iter().any(|other| other.name == variant.name) {
            return Err(value.fault(
                format!("there are two variants `{}`", variant.name),
                "rename one",
            ));
        }
        variants.push(variant);
    }
    if variants.is_empty() {
        return Err(list.fault(
            "`variants` is empty",
            "list at least one, such as `- { name: lean }`, or leave it out",
        ));
    }
    Ok(variants)
}

fn power(fields: Fields<'_>) -> Result<PowerRules, Fault> {
    let mut rules = PowerRules {
        during: vec![Stage::Download],
        by: CutBy::Operation,
        off: Duration::from_secs(5),
        modem: ModemPower::Stays,
    };
    let Some(value) = fields.get("power") else {
        return Ok(rules);
    };
    let fields = value.fields("`power`", &["during", "by", "off_ms", "modem"])?;
    // Without power there is none to lose.
    let stages: Vec<(&str, Stage)> = Stage::ALL[1..]
        .iter()
        .map(|stage| (stage.name(), *stage))
        .collect();
    rules.during = some(fields, "during", rules.during, |value| {
        value.one_of("a stage", &stages)
    })?;
    if let Some(value) = fields.get("by") {
        rules.by = value.one_of(
            "`by`",
            &[("operation", CutBy::Operation), ("time", CutBy::Time)],
        )?;
    }
    if let Some(value) = fields.get("off_ms") {
        rules.off = Duration::from_millis(value.integer("`off_ms`", 0..=86_400_000)?);
    }
    if let Some(value) = fields.get("modem") {
        let powers = [
            ("stays", ModemPower::Stays),
            ("with_board", ModemPower::WithBoard),
        ];
        rules.modem = value.one_of("the modem's power", &powers)?;
    }
    Ok(rules)
}

fn chart(value: Value<'_>) -> Result<Chart, Fault> {
    let fields = value.fields("`chart`", &["x", "y"])?;
    let axes = [
        ("fragment_bytes", Axis::FragmentBytes),
        ("cuts", Axis::Cuts),
        ("image_bytes", Axis::ImageBytes),
    ];
    let measures = Measure::ALL.map(|measure| (measure.name(), measure));
    Ok(Chart {
        x: fields.require("x")?.one_of("`x`", &axes)?,
        y: fields.require("y")?.one_of("`y`", &measures)?,
    })
}

impl Axis {
    /// Its name in plans and on the chart.
    pub fn name(self) -> &'static str {
        match self {
            Self::FragmentBytes => "fragment_bytes",
            Self::Cuts => "cuts",
            Self::ImageBytes => "image_bytes",
        }
    }

    /// Where an upgrade lies on it.
    pub fn of(self, upgrade: &Upgrade) -> u32 {
        match self {
            Self::FragmentBytes => upgrade.fragment_bytes.into(),
            Self::Cuts => upgrade.cuts,
            Self::ImageBytes => upgrade.image_bytes,
        }
    }
}

/// Where the plans and profiles of a checkout are, for tests.
#[cfg(test)]
pub(super) fn checkout(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SimulationPlan, Fault> {
        SimulationPlan::parse(Path::new("p.yaml"), text, &checkout("fixtures/links"))
    }

    #[test]
    fn lists_are_swept_in_every_combination() {
        let plan = parse("simulate: x\nrepeat: 3\ndevice: [nrf51, stm32l4]\nlink: [ideal, lte-cat-1]\nfragment_bytes: [160, 504]\ncuts: [0, 1, 3]\n").unwrap();
        assert_eq!(plan.upgrades.len(), 2 * 2 * 2 * 3);
        assert_eq!(plan.upgrades[0].fragment_bytes, 160);
        assert_eq!(plan.upgrades[1].fragment_bytes, 504);
        let seeds = plan.seeds();
        assert_eq!(seeds.len(), 3);
        assert_ne!(seeds[0], seeds[1]);
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_its_place_and_a_remedy() {
        for (line, expected) in [
            (
                "fragment_bytes: [160, 161]",
                "p.yaml:2:23: fragments of 161 bytes do not fit nrf51; take a multiple of 4",
            ),
            ("fragment_byts: 160", "did you mean `fragment_bytes`?"),
            ("device: nrf53", "p.yaml:2:9: the device cannot be `nrf53`"),
            ("link: wimax", "p.yaml:2:7: there is no link profile"),
            (
                "variants: [{ name: a, dialect: pcp, window: 2 }]",
                "`window` in PCP cannot be 2",
            ),
            (
                "variants: [{ name: a }, { name: a }]",
                "there are two variants `a`",
            ),
            ("cuts: []", "p.yaml:2:7: `cuts` is empty"),
            ("power: { during: idle }", "a stage cannot be `idle`"),
            (
                "chart: { x: cuts, y: happiness }",
                "`y` cannot be `happiness`",
            ),
            (
                "repeat: 100000\ncuts: [0,1,2,3,4,5,6,7,8,9,10]",
                "the plan has 1100000 runs",
            ),
            (
                "fit_image_bytes: { fragment_bytes: 160 }",
                "needs `reported`",
            ),
        ] {
            let message = parse(&format!("simulate: x\n{line}\n"))
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{line}: {message}");
        }
    }

    #[test]
    fn the_plans_that_come_with_powercut_can_be_run() {
        for name in ["paper-figure-7", "comparison-64k"] {
            let path = checkout("test-plans").join(format!("{name}.yaml"));
            let plan = SimulationPlan::load(&path, &checkout("fixtures/links")).unwrap();
            assert_eq!(plan.name, name);
            assert!(plan.chart.is_some());
        }
    }
}
