//! Which results of a cut are tried at an operation.
use std::fmt;
use std::str::FromStr;

use nor_flash_model::{CutEffect, Flicker, TornShape, split_mix};

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tearing {
    /// Operations happen or do not.
    Whole,
    /// Also torn ones, whose result is settled.
    Torn,
    /// Also weak bits and units that cannot be read.
    Weak,
}

impl fmt::Display for Tearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Whole => "whole",
            Self::Torn => "torn",
            Self::Weak => "weak",
        })
    }
}

/// No kind of tearing has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no kind of tearing; there are whole, torn and weak", .0.escape_debug())]
pub struct UnknownTearingError(String);

impl FromStr for Tearing {
    type Err = UnknownTearingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "whole" => Ok(Self::Whole),
            "torn" => Ok(Self::Torn),
            "weak" => Ok(Self::Weak),
            _ => Err(UnknownTearingError(text.to_owned())),
        }
    }
}

const WHOLE: [CutEffect; 2] = [CutEffect::Before, CutEffect::After];
const TORN: [CutEffect; 6] = [
    CutEffect::Torn(TornShape::Half),
    CutEffect::Torn(TornShape::OtherHalf),
    CutEffect::Torn(TornShape::Prefix(1)),
    CutEffect::Torn(TornShape::ByteBits(0x5EED)),
    CutEffect::Torn(TornShape::ByteBits(0x0DD5)),
    // The low byte of a record's value on parts that program a record at once.
    CutEffect::Torn(TornShape::AllBut(1)),
];
// The scripts say at which of the first looks or power-ons the operation seems to have happened: at the first only,
// at all but the first, at every other.
const WEAK: [CutEffect; 9] = [
    CutEffect::Weak(Flicker::Boots(0b1111_1110)),
    CutEffect::Weak(Flicker::Boots(0b0000_0001)),
    CutEffect::Weak(Flicker::Looks(0b0000_0001)),
    CutEffect::Weak(Flicker::Looks(0b1111_1110)),
    CutEffect::Weak(Flicker::Looks(0b1010_1010)),
    CutEffect::Weak(Flicker::Looks(0b0101_0101)),
    CutEffect::Weak(Flicker::Looks(0b1100_1100)),
    CutEffect::Weak(Flicker::Random(1)),
    CutEffect::HalfWeak(Flicker::Looks(0b1010_1010)),
];

/// The results of a cut to try at an operation, simplest first; `programs_twice` says whether the flash takes a second program
/// of a unit.
pub fn effects(tearing: Tearing, programs_twice: bool) -> Vec<CutEffect> {
    let mut effects = WHOLE.to_vec();
    if tearing >= Tearing::Torn {
        effects.extend(TORN);
    }
    if tearing >= Tearing::Weak {
        effects.extend(WEAK);
        if !programs_twice {
            effects.push(CutEffect::Unreadable);
        }
    }
    effects
}

/// A result of a cut drawn from the generator `random`, of all that there are with this tearing.
pub fn random_effect(random: &mut u64, tearing: Tearing, programs_twice: bool) -> CutEffect {
    let seed = split_mix(random);
    let script = (seed >> 32) as u8;
    let kinds = match tearing {
        Tearing::Whole => 2,
        Tearing::Torn => 6,
        Tearing::Weak => 13,
    };
    match seed % kinds {
        0 => CutEffect::Before,
        1 => CutEffect::After,
        2 => CutEffect::Torn(TornShape::Half),
        3 => CutEffect::Torn(TornShape::OtherHalf),
        4 => CutEffect::Torn(TornShape::Prefix(u16::from(script))),
        5 if script.is_multiple_of(2) => CutEffect::Torn(TornShape::ByteBits(seed >> 40)),
        5 => CutEffect::Torn(TornShape::AllBut(u16::from(script >> 1))),
        6 => CutEffect::Weak(Flicker::Boots(script)),
        7 => CutEffect::Weak(Flicker::Looks(script)),
        8 => CutEffect::HalfWeak(Flicker::Boots(script)),
        9 => CutEffect::HalfWeak(Flicker::Looks(script)),
        10 if !programs_twice => CutEffect::Unreadable,
        11 => CutEffect::Uneven((seed >> 40) as u32, Flicker::Looks(script)),
        _ => CutEffect::Weak(Flicker::Random((seed >> 32) as u32)),
    }
}
