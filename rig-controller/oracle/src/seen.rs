//! Events: everything that is seen of a case, from whichever source, in one type and on one clock.
use std::fmt;
use std::time::{Duration, Instant};

use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::Status;

use powercut_package::words::Words;

use crate::FlashOp;

/// The clock of a case: monotonic, and zero when the case begins.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the case began.
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }

    /// The time of the case at `instant`; zero before it began.
    pub fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.0)
    }
}

/// The part of the bench that saw an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The board.
    Board,
    /// The way between board and platform: the modem.
    Link,
    /// The platform.
    Platform,
    /// The rig, which switches power.
    Rig,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen<'a> {
    /// Time since the case began.
    pub at: Duration,
    /// The part of the bench that saw it.
    pub by: Source,
    /// The event itself.
    pub what: What<'a>,
}

/// The events that can be seen.
#[derive(Debug, Clone, PartialEq)]
pub enum What<'a> {
    /// A flash operation is about to take effect.
    Operation(FlashOp),
    /// The device sent one byte on its UART.
    Byte(u8),
    /// The device wrote these GPIO outputs, a bit a pin.
    Pins(u32),
    /// The firmware logged a line.
    Log(&'a str),
    /// The device reset itself; power stayed on.
    Reset(ResetCause),
    /// The device did something that this board's silicon cannot do.
    NotOnSilicon(&'a str),
    /// The modem took one more byte of a payload of `length` bytes.
    Sending {
        /// The payload as far as it has come.
        so_far: &'a [u8],
        /// Bytes that were announced.
        length: usize,
    },
    /// The modem took the last byte of this datagram.
    Sent(&'a [u8]),
    /// The modem handed the last byte of this datagram to the device.
    Delivered(&'a [u8]),
    /// The device asked whether the network is there.
    RegistrationAsked {
        /// The answer.
        registered: bool,
    },
    /// The platform saw or did something.
    Platform(&'a PlatformEventKind),
    /// The board has power and its core has not run yet.
    PowerOn,
    /// The board has no power; `cut` is the planned cut that took it, if one did.
    PowerOff {
        /// The cut, as case lines have it.
        cut: Option<&'a str>,
    },
}

/// Why a board reset without losing power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// The firmware asked for it.
    Software,
    /// The watchdog the firmware had started was not fed.
    Watchdog,
}

/// An event between platform and device, as the platform saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlatformEventKind {
    /// The device reported who it is, what it runs, what it does and how its last upgrade went.
    Hello {
        /// The report.
        status: Status,
        /// It answers the platform's latest challenge; any other may be a recording of an earlier one.
        is_recent: bool,
    },
    /// It was offered its task's image.
    OfferSent(ImageId),
    /// It was told that there is nothing for it.
    NothingSent,
    /// It asked for a fragment.
    FragmentRequested {
        /// Which one.
        index: FragmentIndex,
    },
    /// It was sent that fragment.
    FragmentServed {
        /// Which one.
        index: FragmentIndex,
        /// Bytes of plaintext.
        plaintext_bytes: usize,
    },
    /// It said in PCP how a step of its upgrade went.
    Told(ResultCode),
    /// Its request was refused.
    Refused(ResultCode),
    /// Something that is no message came from the address it was last heard from.
    Malformed {
        /// Its bytes.
        length: usize,
    },
}

impl fmt::Display for PlatformEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlatformEventKind::Hello { status, is_recent } => {
                let age = if *is_recent {
                    ""
                } else {
                    ", perhaps an old one"
                };
                write!(f, "heard {}{age}", Words(status))
            }
            PlatformEventKind::OfferSent(image) => write!(f, "offered {}", Words(*image)),
            PlatformEventKind::NothingSent => f.write_str("has nothing for the device"),
            PlatformEventKind::FragmentRequested { index } => {
                write!(f, "was asked for fragment {}", index.0)
            }
            PlatformEventKind::FragmentServed {
                index,
                plaintext_bytes,
            } => write!(f, "sent fragment {}, {plaintext_bytes} bytes", index.0),
            PlatformEventKind::Told(result) => write!(f, "was told: {}", Words(*result)),
            PlatformEventKind::Refused(result) => write!(f, "refused: {}", Words(*result)),
            PlatformEventKind::Malformed { length } => {
                write!(f, "heard {length} bytes that are no message")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use powercut_upgrade::manifest::FragmentIndex;

    use super::*;

    #[test]
    fn events_are_put_into_words() {
        let index = FragmentIndex(7);
        let said = PlatformEventKind::FragmentRequested { index }.to_string();
        assert_eq!(said, "was asked for fragment 7");
    }
}
