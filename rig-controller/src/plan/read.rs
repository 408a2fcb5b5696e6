//! From YAML to a checked plan.
//!
//! The plan's top level and each group hold the same settings; what a group sets replaces what the plan sets,
//! setting by setting. A parameter that can be varied is an *axis*: given as a plain key it has one value,
//! given under `matrix` it has several, and it cannot be given both ways on one level.
mod cuts;

use powercut_oracle::verdict::Outcome;
use powercut_package::suites::{DIALECTS, SUITES, suite_name};
use std::time::Duration;

use powercut_upgrade::manifest::{FRAGMENT_BYTES, Suite};

use super::{CutSpec, Expect, FinalImage, Group, Plan, expand};
use cuts::cuts;
use powercut_bench::modem::{ModemHabits, ModemPower};
use powercut_document::{Fault, Fields, Place, Value};
use powercut_package::ImageName;
use powercut_upgrade::cipher::overhead_bytes;
use powercut_upgrade::wire::lean::MAX_WINDOW;
use powercut_upgrade::wire::{Dialect, pcp};

const PLAN_KEYS: &[&str] = &[
    "plan",
    "seed",
    "groups",
    "upgrade",
    "link",
    "suite",
    "fragment_bytes",
    "dialect",
    "window",
    "modem",
    "modem_power",
    "off_ms",
    "timeout_s",
    "matrix",
    "repeat",
    "cuts",
    "expect",
];
const GROUP_KEYS: &[&str] = &[
    "name",
    "upgrade",
    "link",
    "suite",
    "fragment_bytes",
    "dialect",
    "window",
    "modem",
    "modem_power",
    "off_ms",
    "timeout_s",
    "matrix",
    "repeat",
    "cuts",
    "expect",
];
const MATRIX_KEYS: &[&str] = &[
    "from",
    "to",
    "link",
    "suite",
    "fragment_bytes",
    "dialect",
    "window",
    "modem",
    "modem_power",
];

/// The name of the group of a plan that has none.
const ONLY_GROUP: &str = "all";

/// More cases than anybody waits for: a slip in the matrix, and it would only fill memory.
const MOST_CASES: u64 = 100_000;

/// What one level of a plan sets.
#[derive(Debug, Clone, Default)]
struct Settings {
    from: Option<Vec<ImageName>>,
    to: Option<Vec<ImageName>>,
    link: Option<Vec<String>>,
    suite: Option<Vec<Suite>>,
    fragment_bytes: Option<Vec<u16>>,
    dialect: Option<Vec<Dialect>>,
    window: Option<Vec<u8>>,
    modem: Option<Vec<ModemHabits>>,
    modem_power: Option<Vec<ModemPower>>,
    repeat: Option<u32>,
    cuts: Option<(Vec<CutSpec>, Vec<Place>)>,
    off_time: Option<Duration>,
    timeout: Option<Duration>,
    expect: Option<Expect>,
}

/// Read a plan.
pub(super) fn plan(root: Value<'_>) -> Result<Plan, Fault> {
    let fields = root.fields("a plan", PLAN_KEYS)?;
    let name = fields.require("plan")?.name("the plan's name")?;
    let seed = match fields.get("seed") {
        Some(seed) => seed.integer("`seed`", 0..=u64::MAX)?,
        None => 1,
    };
    let common = settings(fields)?;
    let mut groups: Vec<Group> = Vec::new();
    match fields.get("groups") {
        None => groups.push(group(ONLY_GROUP.to_owned(), common, root)?),
        Some(list) => {
            for value in list.list("`groups`")? {
                let fields = value.fields("a group", GROUP_KEYS)?;
                let place = fields.require("name")?;
                let name = place.name("the group's name")?;
                if groups.iter().any(|group| group.name == name) {
                    return Err(place.fault(format!("there are two groups `{name}`"), "rename one"));
                }
                groups.push(group(name, settings(fields)?.over(common.clone()), value)?);
            }
            if groups.is_empty() {
                return Err(list.fault(
                    "`groups` is empty",
                    "list at least one group, or leave `groups` out",
                ));
            }
        }
    }
    let count = groups
        .iter()
        .map(expand::count)
        .fold(0, u64::saturating_add);
    if count > MOST_CASES {
        return Err(root.fault(
            format!("the plan has {count} cases"),
            format!("shorten `matrix` or `repeat` until there are at most {MOST_CASES}"),
        ));
    }
    Ok(Plan {
        name,
        file: root.place().file,
        seed,
        groups,
    })
}

impl Settings {
    /// These settings where they are set, `below` elsewhere.
    fn over(self, below: Self) -> Self {
        Self {
            from: self.from.or(below.from),
            to: self.to.or(below.to),
            link: self.link.or(below.link),
            suite: self.suite.or(below.suite),
            fragment_bytes: self.fragment_bytes.or(below.fragment_bytes),
            dialect: self.dialect.or(below.dialect),
            window: self.window.or(below.window),
            modem: self.modem.or(below.modem),
            modem_power: self.modem_power.or(below.modem_power),
            repeat: self.repeat.or(below.repeat),
            cuts: self.cuts.or(below.cuts),
            off_time: self.off_time.or(below.off_time),
            timeout: self.timeout.or(below.timeout),
            expect: self.expect.or(below.expect),
        }
    }
}

/// Fill in what neither the group nor the plan sets.
fn group(name: String, settings: Settings, place: Value<'_>) -> Result<Group, Fault> {
    let missing = |key: &str| {
        place.fault(
            format!("no image to upgrade `{key}`"),
            "add `upgrade: { from: 1.0.0, to: 1.1.0 }`",
        )
    };
    let (cuts, cut_places) = settings.cuts.unwrap_or_default();
    let from = settings.from.ok_or_else(|| missing("from"))?;
    let to = settings.to.ok_or_else(|| missing("to"))?;
    if let Some(same) = from.iter().find(|from| to.contains(from)) {
        return Err(place.fault(
            format!("an upgrade from {same} to {same} is none: the device runs it already"),
            "give `from` and `to` different images",
        ));
    }
    let group = Group {
        from,
        to,
        link: settings.link.unwrap_or_else(|| vec!["ideal".to_owned()]),
        suite: settings
            .suite
            .unwrap_or_else(|| vec![Suite::ChaCha20Poly1305]),
        fragment_bytes: settings.fragment_bytes.unwrap_or_else(|| vec![160]),
        dialect: settings.dialect.unwrap_or_else(|| vec![Dialect::Lean]),
        window: settings.window.unwrap_or_else(|| vec![MAX_WINDOW]),
        modem: settings
            .modem
            .unwrap_or_else(|| vec![ModemHabits::default()]),
        modem_power: settings
            .modem_power
            .unwrap_or_else(|| vec![ModemPower::Stays]),
        repeat: settings.repeat.unwrap_or(1),
        cuts,
        cut_places,
        off_time: settings.off_time.unwrap_or_default(),
        timeout: settings.timeout.unwrap_or(Duration::from_mins(1)),
        expect: settings.expect.unwrap_or(Expect {
            final_image: FinalImage::To,
            outcome: Outcome::Confirmed,
            refetch_fragments_per_cut: 1,
        }),
        name,
    };
    travels(&group, place)?;
    Ok(group)
}

/// Every fragment size has to exist in the dialect it is for.
fn travels(group: &Group, place: Value<'_>) -> Result<(), Fault> {
    if !group.dialect.contains(&Dialect::Pcp) {
        return Ok(());
    }
    for (&suite, &bytes) in group
        .suite
        .iter()
        .flat_map(|suite| group.fragment_bytes.iter().map(move |bytes| (suite, bytes)))
    {
        let overhead = overhead_bytes(suite) as u16;
        if pcp::Stream::new(bytes.saturating_add(overhead)).is_none() {
            let (least, most) = (pcp::FRAGMENT_BYTES.start(), pcp::FRAGMENT_BYTES.end());
            return Err(place.fault(
                format!(
                    "fragments of {bytes} bytes in the suite {} do not exist in the dialect `pcp`: as they travel they have {} bytes, PCP has {least} to {most}",
                    suite_name(suite),
                    bytes + overhead,
                ),
                format!("choose `fragment_bytes` of at most {}", most - overhead),
            ));
        }
    }
    Ok(())
}

fn settings(fields: Fields<'_>) -> Result<Settings, Fault> {
    let upgrade = fields
        .get("upgrade")
        .map(|value| value.fields("`upgrade`", &["from", "to"]))
        .transpose()?;
    let matrix = fields
        .get("matrix")
        .map(|value| value.fields("`matrix`", MATRIX_KEYS))
        .transpose()?;
    let plain = |key| fields.get(key);
    let image_of = |key| upgrade.and_then(|upgrade| upgrade.get(key));
    Ok(Settings {
        from: axis("from", image_of("from"), matrix, image)?,
        to: axis("to", image_of("to"), matrix, image)?,
        link: axis("link", plain("link"), matrix, |value| {
            value.name("the link profile")
        })?,
        suite: axis("suite", plain("suite"), matrix, |value| {
            value.one_of("the suite", &SUITES.map(|suite| (suite_name(suite), suite)))
        })?,
        fragment_bytes: axis(
            "fragment_bytes",
            plain("fragment_bytes"),
            matrix,
            fragment_bytes,
        )?,
        dialect: axis("dialect", plain("dialect"), matrix, |value| {
            value.one_of("the dialect", &DIALECTS)
        })?,
        window: axis("window", plain("window"), matrix, |value| {
            let window = value.integer("`window`", 1..=MAX_WINDOW.into())?;
            Ok(window as u8)
        })?,
        modem: axis("modem", plain("modem"), matrix, ModemHabits::read)?,
        modem_power: axis("modem_power", plain("modem_power"), matrix, modem_power)?,
        repeat: integer(fields, "repeat", 1, 10_000)?.map(|repeat| repeat as u32),
        cuts: fields.get("cuts").map(cuts).transpose()?,
        off_time: integer(fields, "off_ms", 0, 60_000)?.map(Duration::from_millis),
        timeout: integer(fields, "timeout_s", 1, 86_400)?.map(Duration::from_secs),
        expect: fields.get("expect").map(expect).transpose()?,
    })
}

fn integer(fields: Fields<'_>, key: &str, least: u64, most: u64) -> Result<Option<u64>, Fault> {
    fields
        .get(key)
        .map(|value| value.integer(&format!("`{key}`"), least..=most))
        .transpose()
}

/// The values of one axis, from its plain key or from the matrix.
fn axis<'d, T>(
    key: &str,
    plain: Option<Value<'d>>,
    matrix: Option<Fields<'d>>,
    read: impl Fn(Value<'d>) -> Result<T, Fault>,
) -> Result<Option<Vec<T>>, Fault> {
    match (plain, matrix.and_then(|matrix| matrix.get(key))) {
        (None, None) => Ok(None),
        (Some(value), None) => Ok(Some(vec![read(value)?])),
        (None, Some(list)) => {
            let values: Vec<T> = list
                .list(&format!("`matrix.{key}`"))?
                .map(read)
                .collect::<Result<_, _>>()?;
            if values.is_empty() {
                return Err(list.fault(
                    format!("`matrix.{key}` is empty, which leaves no case"),
                    "list at least one value, or leave it out",
                ));
            }
            Ok(Some(values))
        }
        (Some(_), Some(list)) => Err(list.fault(
            format!("`{key}` is given both by itself and in the matrix"),
            "keep one of the two",
        )),
    }
}

fn image(value: Value<'_>) -> Result<ImageName, Fault> {
    let text = value.text("the image")?;
    text.parse().map_err(|error| {
        value.fault(
            format!("`{}` names no image", text.escape_debug()),
            format!("{error}"),
        )
    })
}

fn fragment_bytes(value: Value<'_>) -> Result<u16, Fault> {
    let bytes = value.integer(
        "`fragment_bytes`",
        (*FRAGMENT_BYTES.start()).into()..=(*FRAGMENT_BYTES.end()).into(),
    )?;
    if bytes % 4 == 0 {
        Ok(bytes as u16)
    } else {
        Err(value.fault(
            format!("`fragment_bytes` cannot be {bytes}"),
            "flash is programmed in words: write a multiple of 4",
        ))
    }
}

fn modem_power(value: Value<'_>) -> Result<ModemPower, Fault> {
    value.one_of(
        "`modem_power`",
        &[
            ("stays", ModemPower::Stays),
            ("with_board", ModemPower::WithBoard),
        ],
    )
}

fn expect(value: Value<'_>) -> Result<Expect, Fault> {
    let fields = value.fields(
        "`expect`",
        &["final", "outcome", "refetch_fragments_per_cut"],
    )?;
    let final_image = match fields.get("final") {
        None => FinalImage::To,
        Some(image) => image.one_of(
            "`final`",
            &[("to", FinalImage::To), ("from", FinalImage::From)],
        )?,
    };
    let usual = match final_image {
        FinalImage::To => Outcome::Confirmed,
        FinalImage::From => Outcome::Reverted,
    };
    let outcome = match fields.get("outcome") {
        None => usual,
        Some(outcome) => {
            let read = outcome.one_of(
                "`outcome`",
                &[
                    ("confirmed", Outcome::Confirmed),
                    ("reverted", Outcome::Reverted),
                    ("refused", Outcome::Refused),
                ],
            )?;
            if (final_image == FinalImage::To) != (read == Outcome::Confirmed) {
                return Err(outcome.fault(
                    "`outcome` and `final` contradict each other",
                    "`confirmed` leaves the new image (final: to), `reverted` and `refused` the old one (final: from)",
                ));
            }
            read
        }
    };
    Ok(Expect {
        final_image,
        outcome,
        refetch_fragments_per_cut: integer(fields, "refetch_fragments_per_cut", 0, 1_000)?
            .unwrap_or(1) as u32,
    })
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
