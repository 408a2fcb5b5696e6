//! Events: everything that is seen of a case, from whichever source, in one type and on one clock.
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use powercut_upgrade::manifest::{FragmentIndex, ImageId};
use powercut_upgrade::wire::ResultCode;
use powercut_upgrade::wire::lean::Status;

use powercut_package::words::Words;

use crate::FlashOp;
use crate::outage::Outage;

/// Time that passes only as far as an emulated board has lived: shared by all who live beside it.
#[derive(Debug, Clone, Default)]
pub struct VirtualTime(Arc<AtomicU64>);

impl VirtualTime {
    /// Time since the board was made.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    /// It is `now`, or later if somebody has said so already.
    pub fn advance_to(&self, now: Duration) {
        self.0.fetch_max(now.as_nanos() as u64, Ordering::SeqCst);
    }
}

/// The clock of a case: monotonic, and zero when the case begins. It runs in the time in which the board lives.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The board lives in the time of this host.
    Host {
        /// When the case began.
        begun: Instant,
    },
    /// The board lives in a time of its own.
    Virtual {
        /// The board's time.
        time: VirtualTime,
        /// When the case began in it.
        begun: Duration,
    },
}

impl Clock {
    /// A clock of this host that begins now.
    pub fn start() -> Self {
        let begun = Instant::now();
        Self::Host { begun }
    }

    /// A clock in a board's own time that begins now.
    pub fn start_in(time: VirtualTime) -> Self {
        let begun = time.now();
        Self::Virtual { time, begun }
    }

    /// Time since the case began.
    pub fn now(&self) -> Duration {
        match self {
            Self::Host { begun } => begun.elapsed(),
            Self::Virtual { time, begun } => time.now().saturating_sub(*begun),
        }
    }

    /// The time of the case at `instant`; zero before it began. In a board's own time everything is told as it happens: then
    /// it is now.
    pub fn at(&self, instant: Instant) -> Duration {
        match self {
            Self::Host { begun } => instant.saturating_duration_since(*begun),
            Self::Virtual { .. } => self.now(),
        }
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
    /// The device used the register at this address, which the emulator does not have: told once a case of each.
    NotEmulated(u32),
    /// The device's receiver was full when a byte came, and the byte was lost: told once a boot.
    Overrun,
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
    /// The moment has come at which power is planned to go.
    Due,
    /// The board has no power; `cut` is the planned cut that took it, if one did.
    PowerOff {
        /// The cut, as case lines have it.
        cut: Option<&'a str>,
        /// How it went.
        outage: Outage,
    },
}

/// Why a board reset without losing power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCause {
    /// The firmware asked for it.
    Software,
    /// The watchdog the firmware had started was not fed.
    Watchdog,
    /// The chip reset itself, since its core had locked up.
    LockUp,
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
    fn a_virtual_clock_stands_until_the_board_lives_and_never_goes_back() {
        let time = VirtualTime::default();
        time.advance_to(Duration::from_secs(5));
        let clock = Clock::start_in(time.clone());
        assert_eq!(clock.now(), Duration::ZERO);
        time.advance_to(Duration::from_secs(7));
        time.advance_to(Duration::from_secs(6));
        assert_eq!(clock.now(), Duration::from_secs(2));
        assert_eq!(clock.at(Instant::now()), Duration::from_secs(2));
    }

    #[test]
    fn events_are_put_into_words() {
        let index = FragmentIndex(7);
        let said = PlatformEventKind::FragmentRequested { index }.to_string();
        assert_eq!(said, "was asked for fragment 7");
    }
}
