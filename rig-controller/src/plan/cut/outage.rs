//! How power goes, at the end of a cut's text: `brown-out`, `ram-kept`, `ram-decayed:10`.
use std::fmt;
use std::iter::Peekable;

use super::number_in;
use powercut_oracle::outage::{Outage, Ram, Supply};

const BROWN_OUT: &str = "brown-out";
const KEPT: &str = "ram-kept";
const DECAYED: &str = "ram-decayed:";

/// Writes it behind a cut, as far as it is not what every cut does.
pub(in crate::plan) fn write(outage: Outage, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if outage.supply == Supply::BrownOut {
        write!(f, "/{BROWN_OUT}")?;
    }
    match (outage.supply, outage.ram) {
        (_, Ram::Decayed { percent }) => write!(f, "/{DECAYED}{percent}"),
        (Supply::Off, Ram::Kept) => write!(f, "/{KEPT}"),
        (Supply::Off, Ram::Lost) | (Supply::BrownOut, Ram::Kept | Ram::Lost) => Ok(()),
    }
}

/// Whether the part of a cut's text says how power goes, and not what is torn.
pub(super) fn is_word(part: &str) -> bool {
    part == BROWN_OUT || part == KEPT || part.starts_with(DECAYED)
}

/// Reads the parts at the end of a cut's text that say how power goes.
pub(super) fn parse<'t>(
    parts: &mut Peekable<impl Iterator<Item = &'t str>>,
) -> Result<Outage, String> {
    let supply = match parts.next_if_eq(&BROWN_OUT) {
        Some(_) => Supply::BrownOut,
        None => Supply::Off,
    };
    let ram = if let Some(percent) = parts
        .peek()
        .and_then(|part| part.strip_prefix(DECAYED))
        .map(|percent| number_in(percent, "percentage"))
    {
        parts.next();
        Ram::Decayed { percent: percent? }
    } else if supply == Supply::BrownOut || parts.next_if_eq(&KEPT).is_some() {
        Ram::Kept
    } else {
        Ram::Lost
    };
    Ok(Outage { supply, ram })
}

/// Whether power can go like this; the reason if not.
pub(super) fn check(outage: Outage) -> Result<(), &'static str> {
    match (outage.supply, outage.ram) {
        (Supply::BrownOut, Ram::Lost) => {
            Err("a brown-out is over before RAM forgets; a supply that is off takes RAM with it")
        }
        (
            _,
            Ram::Decayed {
                percent: 0 | 100..=u8::MAX,
            },
        ) => Err("of 100 bits, 1 to 99 decay; with none RAM is kept, with all it is lost"),
        _ => Ok(()),
    }
}

#[cfg(test)]
pub(in crate::plan) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::plan) fn any_outage() -> impl Strategy<Value = Outage> {
        let supply = prop_oneof![Just(Supply::Off), Just(Supply::BrownOut)];
        let ram = prop_oneof![
            Just(Ram::Lost),
            Just(Ram::Kept),
            any::<u8>().prop_map(|percent| Ram::Decayed { percent }),
        ];
        (supply, ram).prop_map(|(supply, ram)| Outage { supply, ram })
    }
}
