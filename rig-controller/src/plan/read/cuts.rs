//! Cuts as a plan writes them: some at random in phases, or one at a place, torn or whole. A cut that no run could make is
//! refused where it stands.
use nor_flash_model::TornShape;
use powercut_document::{Fault, Fields, Place, Value};

use crate::plan::CutSpec;
use crate::plan::cut::{Cut, CutAt, FragmentPhase, Outage, Phase, Ram, Supply, Torn};

/// The cuts of a plan or a group, in order, and where each stands.
pub(super) fn cuts(value: Value<'_>) -> Result<(Vec<CutSpec>, Vec<Place>), Fault> {
    value
        .list("`cuts`")?
        .map(|step| {
            let (kind, body) = step.fields("a cut", &["random", "at"])?.single()?;
            let spec = match kind {
                "random" => random(body)?,
                _ => CutSpec::At(at(body)?),
            };
            Ok((spec, step.place()))
        })
        .collect()
}

fn random(value: Value<'_>) -> Result<CutSpec, Fault> {
    let fields = value.fields(
        "a random cut",
        &["count", "during", "seed", "supply", "ram"],
    )?;
    let count = fields.require("count")?.integer("`count`", 1..=1_000)? as u32;
    let during = fields.require("during")?;
    let words = Phase::ALL.map(|phase| (phase.name(), phase));
    let mut phases: Vec<Phase> = during
        .list("`during`")?
        .map(|phase| phase.one_of("a phase", &words))
        .collect::<Result<_, _>>()?;
    if phases.is_empty() {
        return Err(during.fault(
            "`during` is empty",
            "list the phases to cut in, such as [download, swap]",
        ));
    }
    phases.sort_unstable();
    phases.dedup();
    let seed = fields
        .get("seed")
        .map(|seed| seed.integer("`seed`", 0..=u64::MAX))
        .transpose()?;
    Ok(CutSpec::Random {
        count,
        during: phases,
        seed,
        outage: outage(fields)?,
    })
}

fn at(value: Value<'_>) -> Result<Cut, Fault> {
    const WHAT: &str = "a cut at a place";
    let any = value.fields(
        WHAT,
        &[
            "fragment",
            "phase",
            "operation",
            "number",
            "request",
            "status",
            "boot",
            "after_us",
            "byte",
            "torn",
            "supply",
            "ram",
        ],
    )?;
    let index = |value: Value<'_>, what| value.integer(what, 0..=u16::MAX.into()).map(|n| n as u16);
    let at = if let Some(fragment) = any.get("fragment") {
        let fields = value.fields(
            "a cut at a fragment",
            &["fragment", "phase", "torn", "supply", "ram"],
        )?;
        let words = FragmentPhase::ALL.map(|phase| (phase.name(), phase));
        CutAt::Fragment {
            index: index(fragment, "`fragment`")?,
            phase: fields
                .require("phase")?
                .one_of("a fragment's phase", &words)?,
        }
    } else if let Some(operation) = any.get("operation") {
        value.fields(
            "a cut at an operation",
            &["operation", "torn", "supply", "ram"],
        )?;
        CutAt::Operation(operation.integer("`operation`", 1..=u64::MAX)?)
    } else if let Some(request) = any.get("request") {
        let fields = value.fields(
            "a cut while requesting",
            &["request", "byte", "supply", "ram"],
        )?;
        CutAt::RequestPayload {
            number: index(request, "`request`")?,
            byte: index(fields.require("byte")?, "`byte`")?,
        }
    } else if let Some(status) = any.get("status") {
        let fields = value.fields(
            "a cut while reporting",
            &["status", "byte", "supply", "ram"],
        )?;
        CutAt::StatusPayload {
            number: index(status, "`status`")?,
            byte: index(fields.require("byte")?, "`byte`")?,
        }
    } else if let Some(boot) = any.get("boot") {
        let fields = value.fields(
            "a cut after power-on",
            &["boot", "after_us", "supply", "ram"],
        )?;
        let after = fields.require("after_us")?;
        CutAt::Boot {
            number: index(boot, "`boot`")?,
            after_us: after.integer("`after_us`", 0..=u32::MAX.into())? as u32,
        }
    } else if let Some(phase) = any.get("phase") {
        let fields = value.fields(
            "a cut in a phase",
            &["phase", "number", "torn", "supply", "ram"],
        )?;
        CutAt::PhaseOperation {
            phase: phase.one_of("a phase", &Phase::ALL.map(|phase| (phase.name(), phase)))?,
            number: fields
                .require("number")?
                .integer("`number`", 1..=u64::MAX)?,
        }
    } else {
        return Err(value.fault(
            format!("{WHAT} does not say where"),
            "give it `fragment`, `operation`, `request`, `status`, `boot` or `phase`",
        ));
    };
    let torn = match any.get("torn") {
        None => Torn::Whole,
        Some(torn) => torn_shape(torn)?,
    };
    let outage = outage(any)?;
    Cut { at, torn, outage }
        .checked()
        .map_err(|reason| match any.get("torn") {
            Some(torn) => torn.fault(reason, "leave `torn` out or choose another"),
            None => value.fault(reason, "choose another place"),
        })
}

/// How power goes: `supply` and `ram`.
fn outage(fields: Fields<'_>) -> Result<Outage, Fault> {
    let words = [("off", Supply::Off), ("brown-out", Supply::BrownOut)];
    let supply = fields.get("supply");
    let supply = supply.map(|supply| supply.one_of("`supply`", &words));
    let supply = supply.transpose()?.unwrap_or_default();
    let Some(ram) = fields.get("ram") else {
        let ram = match supply {
            Supply::Off => Ram::Lost,
            Supply::BrownOut => Ram::Kept,
        };
        return Ok(Outage { supply, ram });
    };
    let given = ram_kept(ram)?;
    if (supply, given) == (Supply::BrownOut, Ram::Lost) {
        return Err(ram.fault(
            "a brown-out is over before RAM forgets",
            "leave `ram` out, write `ram: { decayed: 10 }`, or `supply: off`",
        ));
    }
    Ok(Outage { supply, ram: given })
}

fn ram_kept(value: Value<'_>) -> Result<Ram, Fault> {
    if value.as_text().is_some() {
        return value.one_of("`ram`", &[("lost", Ram::Lost), ("kept", Ram::Kept)]);
    }
    let fields = value.fields("`ram`", &["decayed"])?;
    let percent = fields.require("decayed")?.integer("`decayed`", 1..=99)?;
    Ok(Ram::Decayed {
        percent: percent as u8,
    })
}

/// Shapes of a torn operation that have a number.
const SHAPE_KEYS: &[&str] = &["bits", "byte_bits", "prefix", "all_but"];

fn torn_shape(value: Value<'_>) -> Result<Torn, Fault> {
    if value.as_text().is_some() {
        return value.one_of(
            "`torn`",
            &[
                ("half", Torn::Shape(TornShape::Half)),
                ("other-half", Torn::Shape(TornShape::OtherHalf)),
                ("before", Torn::Before),
            ],
        );
    }
    let fields = value.fields("`torn`", SHAPE_KEYS)?;
    let mut given = SHAPE_KEYS
        .iter()
        .filter_map(|key| Some((*key, fields.get(key)?)));
    let (key, number) = match given.next() {
        Some(shape) => shape,
        None => ("bits", fields.require("bits")?),
    };
    if given.next().is_some() {
        return Err(value.fault(
            "`torn` names more than one shape",
            "write one of: bits, byte_bits, prefix, all_but",
        ));
    }
    let up_to = |most: u64| number.integer(&format!("`{key}`"), 0..=most);
    Ok(Torn::Shape(match key {
        "byte_bits" => TornShape::ByteBits(up_to(u64::MAX)?),
        "prefix" => TornShape::Prefix(up_to(u16::MAX.into())? as u16),
        "all_but" => TornShape::AllBut(up_to(u16::MAX.into())? as u16),
        _ => TornShape::Bits(up_to(u32::MAX.into())? as u32),
    }))
}
