//! One power cut as a plan means it, and as a short text that can be pasted back.
//!
//! | text | power goes |
//! | --- | --- |
//! | `f17/after-data` | after the last data program of fragment 17, before its record |
//! | `f17/after-data/half` | the same, with the operation that comes next left half done |
//! | `op3121` | right after flash operation 3121 of the case took full effect |
//! | `op3121/before` | just before it |
//! | `op3121/bits:77` | in the middle of it: a random part of its bits, drawn from 77, took effect |
//! | `op3121/prefix:3` | in the middle of it: the first 3 bytes of its unit or page took effect |
//! | `op3121/all-but:1` | in the middle of it: all but byte 1 took effect |
//! | `op3121/byte-bits:77` | in the middle of it: a random part of its bits, as the flash model draws it from 77 |
//! | `swap+45/other-half` | in the middle of the 45th operation of the swap |
//! | `request17/3` | after payload byte 3 of the 17th request for fragments the device sends in the case |
//! | `boot2/5000us` | 5,000 us of the board's own time after it has got power for the second time |
//! | `status2/10` | after payload byte 10 of the second status message the device sends in the case |
//!
//! Behind it stands how power goes, unless the supply is switched off and RAM is lost:
//!
//! | text | power goes, and comes back |
//! | --- | --- |
//! | `op3121/half/ram-kept` | the supply is switched off, and RAM keeps its content |
//! | `op3121/ram-decayed:10` | the supply is switched off; of 100 bits of RAM, 10 come up at random |
//! | `op3121/brown-out` | the supply sags and is back at once; RAM keeps its content |
//! | `op3121/brown-out/ram-decayed:10` | the same, and RAM suffers |
mod outage;

use std::fmt;
use std::str::FromStr;

use powercut_upgrade::wire::lean::{MIN_REQUEST_BYTES, MIN_STATUS_BYTES};

use nor_flash_model::TornShape;
pub(super) use outage::write as write_outage;
pub use powercut_oracle::outage::{Outage, Ram, Supply};
pub use powercut_oracle::phase::Phase;
use powercut_oracle::sight::Need;

/// A moment in the life of one fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FragmentPhase {
    /// It has arrived; none of its data is programmed.
    BeforeData,
    /// All its data is programmed, nothing of its record.
    AfterData,
    /// Its record is complete.
    AfterRecord,
}

impl FragmentPhase {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::BeforeData, Self::AfterData, Self::AfterRecord];

    /// Its name in plans and cut texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeData => "before-data",
            Self::AfterData => "after-data",
            Self::AfterRecord => "after-record",
        }
    }
}

/// The event a cut waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CutAt {
    /// A moment of a fragment. Every time it is fetched counts: two such cuts hit it twice.
    Fragment {
        /// Its index, from 0.
        index: u16,
        /// Which moment.
        phase: FragmentPhase,
    },
    /// A flash operation, counted from 1 over all boots of the case.
    Operation(u64),
    /// A flash operation of one phase.
    PhaseOperation {
        /// The phase.
        phase: Phase,
        /// Counted from 1 within the phase, over all boots of the case.
        number: u64,
    },
    /// In the middle of the payload with which the device requests fragments, right after a byte of it.
    RequestPayload {
        /// Which request of the case, from 1, as the modem takes them.
        number: u16,
        /// The last payload byte that is sent, from 0.
        byte: u16,
    },
    /// In the middle of the payload with which the device reports its status, right after a byte of it.
    StatusPayload {
        /// Which status message of the case, from 1, as the modem takes them.
        number: u16,
        /// Position of the byte in the payload, from 0.
        byte: u16,
    },
    /// A moment after the board got power: in the middle of a boot, or whatever it does then. A flash operation that is under
    /// way takes full effect.
    Boot {
        /// Which power-on of the case, from 1.
        number: u16,
        /// Microseconds of the board's own time after its core was let run.
        after_us: u32,
    },
}

impl CutAt {
    /// The needs of a cut that is hung on this event.
    pub fn needs(self) -> &'static [Need] {
        match self {
            Self::Fragment { .. } | Self::Operation(_) | Self::PhaseOperation { .. } => {
                BY_OPERATION
            }
            Self::RequestPayload { .. } | Self::StatusPayload { .. } => &[Need::Datagrams],
            Self::Boot { .. } => &[Need::Moments],
        }
    }
}

/// The needs of cuts that are counted or placed by flash operations and by what the journal says meanwhile.
pub(super) const BY_OPERATION: &[Need] = &[Need::Operations, Need::RunningFlash];

/// What the cut leaves of the flash operation it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Torn {
    /// The operation named took full effect. For a fragment or a payload: nothing is torn.
    Whole,
    /// The operation named did not begin. Only for [`CutAt::Operation`] and [`CutAt::PhaseOperation`].
    Before,
    /// The operation named is left partly done; for a fragment, the operation that comes next.
    /// Not for payloads.
    Shape(TornShape),
}

/// One cut: where, what is left there, and how power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Where.
    pub at: CutAt,
    /// What is left.
    pub torn: Torn,
    /// How power goes.
    pub outage: Outage,
}

impl Cut {
    /// Whether `torn` means anything at `at`, and power can go like this; the reason if not.
    pub(super) fn checked(self) -> Result<Self, &'static str> {
        outage::check(self.outage)?;
        match (self.at, self.torn) {
            (CutAt::Fragment { .. }, Torn::Before) => Err(
                "`before` belongs to operations; a fragment has before-data, after-data and after-record",
            ),
            (
                CutAt::RequestPayload { .. } | CutAt::StatusPayload { .. },
                Torn::Before | Torn::Shape(_),
            ) => {
                Err("no flash operation is under way while a message is sent, so none can be torn")
            }
            (CutAt::Boot { .. }, Torn::Before | Torn::Shape(_)) => {
                Err("a moment names no flash operation, so none can be torn")
            }
            (CutAt::Boot { number: 0, .. }, _) => Err("power-ons are numbered from 1"),
            (CutAt::RequestPayload { byte, .. }, _) if usize::from(byte) >= MIN_REQUEST_BYTES => {
                Err("the shortest request has 10 bytes of payload, numbered from 0")
            }
            (CutAt::StatusPayload { byte, .. }, _) if usize::from(byte) >= MIN_STATUS_BYTES => {
                Err("the shortest status message has 51 bytes of payload, numbered from 0")
            }
            (CutAt::RequestPayload { number: 0, .. }, _) => Err("requests are numbered from 1"),
            (CutAt::StatusPayload { number: 0, .. }, _) => {
                Err("status messages are numbered from 1")
            }
            (CutAt::Operation(0) | CutAt::PhaseOperation { number: 0, .. }, _) => {
                Err("operations are numbered from 1")
            }
            _ => Ok(self),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            CutAt::Fragment { index, phase } => write!(f, "f{index}/{}", phase.name())?,
            CutAt::Operation(number) => write!(f, "op{number}")?,
            CutAt::PhaseOperation { phase, number } => write!(f, "{phase}+{number}")?,
            CutAt::RequestPayload { number, byte } => write!(f, "request{number}/{byte}")?,
            CutAt::StatusPayload { number, byte } => write!(f, "status{number}/{byte}")?,
            CutAt::Boot { number, after_us } => write!(f, "boot{number}/{after_us}us")?,
        }
        match self.torn {
            Torn::Whole => {}
            Torn::Before => f.write_str("/before")?,
            Torn::Shape(TornShape::Half) => f.write_str("/half")?,
            Torn::Shape(TornShape::OtherHalf) => f.write_str("/other-half")?,
            Torn::Shape(TornShape::Bits(seed)) => write!(f, "/bits:{seed}")?,
            Torn::Shape(TornShape::Prefix(bytes)) => write!(f, "/prefix:{bytes}")?,
            Torn::Shape(TornShape::AllBut(byte)) => write!(f, "/all-but:{byte}")?,
            Torn::Shape(TornShape::ByteBits(seed)) => write!(f, "/byte-bits:{seed}")?,
        }
        write_outage(self.outage, f)
    }
}

/// A text is no cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a cut: {reason}; cuts look like f17/after-data/half, op3121/before, swap+45/bits:77 or request17/3", .text.escape_debug())]
pub struct ParseCutError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Cut {
    type Err = ParseCutError;

    fn from_str(text: &str) -> Result<Self, ParseCutError> {
        parse(text).map_err(|reason| ParseCutError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Cut, String> {
    let mut parts = text.split('/');
    let head = parts.next().unwrap_or_default();
    let at = if let Some((phase, number)) = head.split_once('+') {
        let phase = Phase::ALL
            .into_iter()
            .find(|p| p.name() == phase)
            .ok_or_else(|| format!("there is no phase `{}`", phase.escape_debug()))?;
        CutAt::PhaseOperation {
            phase,
            number: number_in(number, "operation")?,
        }
    } else if let Some(number) = head.strip_prefix("op") {
        CutAt::Operation(number_in(number, "operation")?)
    } else if let Some(number) = head.strip_prefix("boot") {
        let after = parts.next().and_then(|after| after.strip_suffix("us"));
        CutAt::Boot {
            number: number_in(number, "power-on")?,
            after_us: number_in(after.ok_or("the microseconds are missing")?, "microsecond")?,
        }
    } else if let Some(number) = head.strip_prefix("status") {
        let byte = parts.next().ok_or("the payload byte is missing")?;
        CutAt::StatusPayload {
            number: number_in(number, "status message")?,
            byte: number_in(byte, "payload byte")?,
        }
    } else if let Some(number) = head.strip_prefix("request") {
        let byte = parts.next().ok_or("the payload byte is missing")?;
        CutAt::RequestPayload {
            number: number_in(number, "request")?,
            byte: number_in(byte, "payload byte")?,
        }
    } else if let Some(fragment) = head.strip_prefix('f') {
        let phase = parts.next().ok_or("the fragment's phase is missing")?;
        let phase = FragmentPhase::ALL
            .into_iter()
            .find(|p| p.name() == phase)
            .ok_or_else(|| format!("a fragment has no phase `{}`", phase.escape_debug()))?;
        CutAt::Fragment {
            index: number_in(fragment, "fragment")?,
            phase,
        }
    } else {
        return Err("it names no fragment, operation, phase, payload or power-on".to_owned());
    };
    let mut parts = parts.peekable();
    let torn = match parts.next_if(|part| !outage::is_word(part)) {
        None => Torn::Whole,
        Some("before") => Torn::Before,
        Some("half") => Torn::Shape(TornShape::Half),
        Some("other-half") => Torn::Shape(TornShape::OtherHalf),
        Some(shape) => Torn::Shape(match shape.split_once(':') {
            Some(("bits", seed)) => TornShape::Bits(number_in(seed, "seed of the bits")?),
            Some(("byte-bits", seed)) => TornShape::ByteBits(number_in(seed, "seed of the bits")?),
            Some(("prefix", bytes)) => TornShape::Prefix(number_in(bytes, "prefix")?),
            Some(("all-but", byte)) => TornShape::AllBut(number_in(byte, "byte")?),
            _ => return Err(format!("nothing is torn `{}`", shape.escape_debug())),
        }),
    };
    let outage = outage::parse(&mut parts)?;
    if let Some(rest) = parts.next() {
        return Err(format!("`{}` is too much", rest.escape_debug()));
    }
    Cut { at, torn, outage }.checked().map_err(str::to_owned)
}

/// A number as [`fmt::Display`] writes it: no sign, no leading zero, so that a cut has one text only.
fn number_in<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| format!("`{}` is no number of a {what}", text.escape_debug()))
}

#[cfg(test)]
#[path = "cut_tests.rs"]
pub(super) mod tests;
