//! Faults of flash that no loss of power explains: a program that silently does nothing, and a bit that turns over.
//! They have a short text form, which is how schedules are written down: `silent37`, `rot41@0x1f00.3`.
//!
//! What holds under them: a silent failure may cost one erase page to be fetched and erased again (L1, L3 are not
//! counted further), all else holds as ever. Bits rot in image slots only; the journal has no second copy to repair
//! itself from. A damaged image never runs (S1), so a device may have to stay in its bootloader; it never runs one below
//! its security counter instead (S4); and damage done before the last fragment has come is found before Ready (S2), though
//! until then what counts as received is not what was sent.
//! How such an upgrade ends, and whether the old image can still be put back, depends on what rotted; a new image that
//! never confirms itself is tried for ever if the old one did (no L2).
use std::fmt;
use std::str::FromStr;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlashFault {
    /// This operation, if it is a program, does nothing and reports success.
    Silent {
        /// Its number, from 1.
        operation: u64,
    },
    /// Before this operation a bit turns over.
    Rot {
        /// Its number, from 1.
        operation: u64,
        /// Byte address.
        address: u32,
        /// Bit number, 0 to 7.
        bit: u8,
    },
}

impl FlashFault {
    /// Number of the operation it comes with.
    pub const fn operation(self) -> u64 {
        match self {
            Self::Silent { operation } | Self::Rot { operation, .. } => operation,
        }
    }

    /// The same fault at another operation.
    #[must_use]
    pub const fn at(self, operation: u64) -> Self {
        match self {
            Self::Silent { .. } => Self::Silent { operation },
            Self::Rot { address, bit, .. } => Self::Rot {
                operation,
                address,
                bit,
            },
        }
    }
}

impl fmt::Display for FlashFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { operation } => write!(f, "silent{operation}"),
            Self::Rot {
                operation,
                address,
                bit,
            } => write!(f, "rot{operation}@{address:#x}.{bit}"),
        }
    }
}

/// A text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a fault; a fault looks like silent37 or rot41@0x1f00.3", .0.escape_debug())]
pub struct ParseFaultError(String);

impl FromStr for FlashFault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text)
            .filter(|fault| fault.operation() > 0)
            .ok_or_else(|| ParseFaultError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<FlashFault> {
    if let Some(operation) = text.strip_prefix("silent") {
        return Some(FlashFault::Silent {
            operation: operation.parse().ok()?,
        });
    }
    let (operation, place) = text.strip_prefix("rot")?.split_once('@')?;
    let (address, bit) = place.strip_prefix("0x")?.split_once('.')?;
    Some(FlashFault::Rot {
        operation: operation.parse().ok()?,
        address: u32::from_str_radix(address, 16).ok()?,
        bit: bit.parse().ok().filter(|bit| *bit < 8)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_back_from_its_text_and_what_is_none_is_refused() {
        for text in ["silent37", "rot41@0x1f00.3"] {
            assert_eq!(text.parse::<FlashFault>().unwrap().to_string(), text);
        }
        for text in ["", "silent", "silent0", "rot1", "rot1@5.3", "rot1@0x5.8"] {
            let error = text.parse::<FlashFault>().unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}`")));
        }
    }
}
