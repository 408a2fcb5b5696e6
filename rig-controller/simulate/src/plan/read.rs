//! From YAML to a checked simulation plan: every list becomes a sweep, and a plan that cannot be run is refused with the
//! place of its fault and a remedy.
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use powercut_upgrade::manifest::FRAGMENT_BYTES;

use super::{Axis, Chart, ImageSizeFit, SimulationPlan};
use crate::clock::SimulatedStage;
use crate::measure::Measure;
use crate::power::CutBy;
use crate::simulated_part::SimulatedPart;
use crate::upgrade::{PowerRules, Upgrade};
use crate::variant::Variant;
use powercut_bench::modem::ModemPower;
use powercut_document::{Fault, Fields, Value};
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

/// Reads and checks what a plan names.
pub(super) struct Reader<'a> {
    pub(super) links: &'a Path,
}

impl Reader<'_> {
    pub(super) fn plan(&self, root: Value<'_>) -> Result<SimulationPlan, Fault> {
        let fields = root.fields("a simulation plan", KEYS)?;
        let name = fields.require("simulate")?.name("the plan's name")?;
        let integer = |key: &str, range, otherwise| match fields.get(key) {
            Some(value) => value.integer(&format!("`{key}`"), range),
            None => Ok(otherwise),
        };
        let seed = integer("seed", 0..=u64::MAX, 1)?;
        let repeat = integer("repeat", 1..=100_000, 1)? as u32;
        let parts = some(fields, "device", vec![SimulatedPart::ALL[0]], part)?;
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

fn part(value: Value<'_>) -> Result<SimulatedPart, Fault> {
    value.one_of(
        "the device",
        &SimulatedPart::ALL.map(|part| (part.name, part)),
    )
}

fn fragment_bytes(value: Value<'_>, parts: &[SimulatedPart]) -> Result<u16, Fault> {
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
        during: vec![SimulatedStage::Download],
        by: CutBy::Operation,
        off: Duration::from_secs(5),
        modem: ModemPower::Stays,
    };
    let Some(value) = fields.get("power") else {
        return Ok(rules);
    };
    let fields = value.fields("`power`", &["during", "by", "off_ms", "modem"])?;
    // Without power there is none to lose.
    let stages: Vec<(&str, SimulatedStage)> = SimulatedStage::ALL[1..]
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
