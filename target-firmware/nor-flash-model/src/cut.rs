//! A loss of power: where, and what it leaves of the operation it hits. A cut has a short text form, which is how
//! schedules are written down: `op37/before`, `op37/prefix3`, `op37/bits5eed`, `op37/weak-boots6`.
use std::fmt;
use std::str::FromStr;

use crate::flicker::Flicker;
use crate::torn::TornShape;

/// What a cut leaves of the operation it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutEffect {
    /// Nothing of it.
    Before,
    /// All of it.
    After,
    /// Some of the bits that were to change, for good.
    Torn(TornShape),
    /// Every bit that was to change is weak.
    Weak(Flicker),
    /// The first half is done for good; in the second half every bit that was to change is weak.
    HalfWeak(Flicker),
    /// Each bit that was to change is, as this seed picks, done for good (every other), weak (every fourth) or as it was.
    Uneven(u32, Flicker),
    /// The unit, or every unit of the page, fails to read until it is erased (a part with ECC).
    Unreadable,
}

/// One planned loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Number of the operation it hits, from 1.
    pub operation: u64,
    /// What is left of that operation.
    pub effect: CutEffect,
}

impl fmt::Display for CutEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flicker = |f: &mut fmt::Formatter<'_>, flicker: &Flicker| match flicker {
            Flicker::Boots(script) => write!(f, "-boots{script}"),
            Flicker::Looks(script) => write!(f, "-looks{script}"),
            Flicker::Random(seed) => write!(f, "-random{seed}"),
        };
        match self {
            Self::Before => f.write_str("before"),
            Self::After => f.write_str("after"),
            Self::Torn(TornShape::Half) => f.write_str("first-half"),
            Self::Torn(TornShape::OtherHalf) => f.write_str("second-half"),
            Self::Torn(TornShape::Prefix(bytes)) => write!(f, "prefix{bytes}"),
            Self::Torn(TornShape::ByteBits(seed)) => write!(f, "bits{seed:x}"),
            Self::Torn(TornShape::Bits(seed)) => write!(f, "chacha{seed:x}"),
            Self::Torn(TornShape::AllBut(byte)) => write!(f, "all-but{byte}"),
            Self::Weak(how) => {
                f.write_str("weak")?;
                flicker(f, how)
            }
            Self::HalfWeak(how) => {
                f.write_str("half-weak")?;
                flicker(f, how)
            }
            Self::Uneven(seed, how) => {
                write!(f, "uneven{seed:x}")?;
                flicker(f, how)
            }
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op{}/{}", self.operation, self.effect)
    }
}

/// A text is no cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a cut; a cut looks like op37/before, with before, after, first-half, second-half, prefix3, bits5eed, chacha5eed, all-but1, weak-boots6, weak-looks6, weak-random6, half-weak-boots6, uneven5eed-boots6 or unreadable behind the slash", .0.escape_debug()
)]
pub struct ParseCutError(String);

impl FromStr for CutEffect {
    type Err = ParseCutError;

    fn from_str(text: &str) -> Result<Self, ParseCutError> {
        parse_effect(text).ok_or_else(|| ParseCutError(text.to_owned()))
    }
}

impl FromStr for Cut {
    type Err = ParseCutError;

    fn from_str(text: &str) -> Result<Self, ParseCutError> {
        let cut = || {
            let (operation, effect) = text.strip_prefix("op")?.split_once('/')?;
            Some(Self {
                operation: operation.parse().ok().filter(|operation| *operation > 0)?,
                effect: parse_effect(effect)?,
            })
        };
        cut().ok_or_else(|| ParseCutError(text.to_owned()))
    }
}

fn parse_effect(text: &str) -> Option<CutEffect> {
    Some(match text {
        "before" => CutEffect::Before,
        "after" => CutEffect::After,
        "first-half" => CutEffect::Torn(TornShape::Half),
        "second-half" => CutEffect::Torn(TornShape::OtherHalf),
        "unreadable" => CutEffect::Unreadable,
        _ => {
            if let Some(bytes) = text.strip_prefix("prefix") {
                CutEffect::Torn(TornShape::Prefix(bytes.parse().ok()?))
            } else if let Some(seed) = text.strip_prefix("bits") {
                CutEffect::Torn(TornShape::ByteBits(u64::from_str_radix(seed, 16).ok()?))
            } else if let Some(seed) = text.strip_prefix("chacha") {
                CutEffect::Torn(TornShape::Bits(u32::from_str_radix(seed, 16).ok()?))
            } else if let Some(byte) = text.strip_prefix("all-but") {
                CutEffect::Torn(TornShape::AllBut(byte.parse().ok()?))
            } else if let Some(how) = text.strip_prefix("weak-") {
                CutEffect::Weak(parse_flicker(how)?)
            } else if let Some(seed_and_how) = text.strip_prefix("uneven") {
                let (seed, how) = seed_and_how.split_once('-')?;
                CutEffect::Uneven(u32::from_str_radix(seed, 16).ok()?, parse_flicker(how)?)
            } else {
                CutEffect::HalfWeak(parse_flicker(text.strip_prefix("half-weak-")?)?)
            }
        }
    })
}

fn parse_flicker(text: &str) -> Option<Flicker> {
    let after = |prefix| text.strip_prefix(prefix);
    if let Some(script) = after("boots") {
        return script.parse().ok().map(Flicker::Boots);
    }
    if let Some(script) = after("looks") {
        return script.parse().ok().map(Flicker::Looks);
    }
    after("random")?.parse().ok().map(Flicker::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_reads_back_from_its_own_text() {
        for effect in [
            CutEffect::Before,
            CutEffect::After,
            CutEffect::Torn(TornShape::Half),
            CutEffect::Torn(TornShape::OtherHalf),
            CutEffect::Torn(TornShape::Prefix(3)),
            CutEffect::Torn(TornShape::ByteBits(0x5EED)),
            CutEffect::Torn(TornShape::Bits(0x5EED)),
            CutEffect::Torn(TornShape::AllBut(1)),
            CutEffect::Weak(Flicker::Boots(6)),
            CutEffect::Weak(Flicker::Looks(9)),
            CutEffect::HalfWeak(Flicker::Random(77)),
            CutEffect::Uneven(0x5EED, Flicker::Looks(9)),
            CutEffect::Unreadable,
        ] {
            let cut = Cut {
                operation: 37,
                effect,
            };
            assert_eq!(cut.to_string().parse(), Ok(cut), "{cut}");
        }
    }

    #[test]
    fn what_is_no_cut_is_refused_and_named() {
        for text in [
            "",
            "op0/before",
            "op1",
            "op1/",
            "op1/weak",
            "op1/weak-boots256",
            "37/before",
            "op1/prefix",
            "op1/uneven5eed",
        ] {
            let error = text.parse::<Cut>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}`")));
        }
    }
}
