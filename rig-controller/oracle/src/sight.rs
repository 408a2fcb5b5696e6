//! Sight: what a board can show, what each invariant needs to see, and so what cannot be ruled on a bench.
use std::fmt;

use crate::seen::What;
use crate::verdict::Invariant;

/// When the rig can read a board's flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlashSight {
    /// Never.
    Never,
    /// While the core is held, after power-on and before its first instruction.
    Held,
    /// At any moment, also while the firmware runs.
    Always,
}

/// The sight of a board with everything that hangs on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// Single flash operations, in order and before they take effect.
    pub operations: bool,
    /// Flash content.
    pub flash: FlashSight,
    /// The bytes that device and modem exchange, and so datagrams.
    pub datagrams: bool,
    /// Lines the firmware logs.
    pub log: bool,
    /// The pin that only an application drives.
    pub marker: bool,
    /// A witness proves, without the relay's word, that power went.
    pub off_proved: bool,
    /// It lives in a time of its own, so that a moment of it comes again exactly.
    pub moments: bool,
    /// Its supply sags if it is told to, and its RAM outlasts a cut as far as it is told to.
    pub outages: bool,
}

/// One thing that has to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// Single flash operations.
    Operations,
    /// Flash content whenever the core is held.
    HeldFlash,
    /// Flash content while the firmware runs.
    RunningFlash,
    /// Datagrams on their way through the modem.
    Datagrams,
    /// Proof that power went.
    OffProved,
    /// Moments of the board's own time.
    Moments,
    /// Brown-outs, and RAM that outlasts a cut.
    Outages,
}

impl Sight {
    /// Everything there is, as an emulated board shows it.
    pub const EVERYTHING: Self = Self {
        operations: true,
        flash: FlashSight::Always,
        datagrams: true,
        log: true,
        marker: true,
        off_proved: true,
        moments: true,
        outages: true,
    };

    /// Whether a board that shows this meets `need`.
    pub fn meets(self, need: Need) -> bool {
        match need {
            Need::Operations => self.operations,
            Need::HeldFlash => self.flash >= FlashSight::Held,
            Need::RunningFlash => self.flash >= FlashSight::Always,
            Need::Datagrams => self.datagrams,
            Need::OffProved => self.off_proved,
            Need::Moments => self.moments,
            Need::Outages => self.outages,
        }
    }

    /// The first of `needs` that a board that shows this does not meet.
    pub fn lacks(self, needs: &[Need]) -> Option<Need> {
        needs.iter().copied().find(|need| !self.meets(*need))
    }

    /// Whether a board that shows this shows the event.
    pub fn shows(self, what: &What<'_>) -> bool {
        match what {
            What::Operation(_) => self.operations,
            What::Byte(_)
            | What::Sending { .. }
            | What::Sent(_)
            | What::Delivered(_)
            | What::RegistrationAsked { .. }
            | What::Overrun => self.datagrams,
            What::Pins(_) => self.marker,
            What::Log(_) => self.log,
            What::Reset(_)
            | What::NotOnSilicon(_)
            | What::NotEmulated(_)
            | What::Platform(_)
            | What::PowerOn
            | What::Due
            | What::PowerOff { .. } => true,
        }
    }

    /// Whether a board that shows this shows its flash at the event; its core is held when power has just come.
    pub fn shows_flash_at(self, what: &What<'_>) -> bool {
        self.meets(match what {
            What::PowerOn => Need::HeldFlash,
            _ => Need::RunningFlash,
        })
    }

    /// The sight that both have: a board's, with some of it hidden.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            operations: self.operations && other.operations,
            flash: self.flash.min(other.flash),
            datagrams: self.datagrams && other.datagrams,
            log: self.log && other.log,
            marker: self.marker && other.marker,
            off_proved: self.off_proved && other.off_proved,
            moments: self.moments && other.moments,
            outages: self.outages && other.outages,
        }
    }
}

impl fmt::Display for Need {
    /// Completes "this board cannot show ..".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operations => "single flash operations",
            Self::HeldFlash => "what flash holds",
            Self::RunningFlash => "what flash holds while the firmware runs",
            Self::Datagrams => "the datagrams of the device",
            Self::OffProved => "that power is off, without the relay's word",
            Self::Moments => "moments of a time of its own (a board with `engine: process` can)",
            Self::Outages => {
                "a brown-out, or RAM that outlasts a cut (a board with `engine: process` can)"
            }
        })
    }
}

impl Invariant {
    /// The needs of the oracle for a ruling on this invariant whatever the case does, and not only when the core is held.
    pub fn needs_at_all_times(self) -> &'static [Need] {
        match self {
            Self::S1 | Self::S4 => &[Need::RunningFlash],
            Self::S2 => &[Need::Operations, Need::RunningFlash],
            _ => self.needs(),
        }
    }

    /// The needs of the oracle for a ruling on this invariant.
    pub fn needs(self) -> &'static [Need] {
        match self {
            Self::S1 | Self::S2 | Self::S4 | Self::Expectation => &[Need::HeldFlash],
            Self::S3 => &[Need::Operations],
            // Both count by the records of the journal.
            Self::L1 => &[Need::Operations, Need::RunningFlash, Need::Datagrams],
            Self::L3 => &[Need::Operations, Need::RunningFlash],
            Self::L4 => &[Need::RunningFlash, Need::Datagrams],
            Self::T1 => &[Need::OffProved],
            Self::S5 | Self::L2 => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_that_shows_everything_lacks_nothing() {
        for invariant in Invariant::ALL {
            assert_eq!(Sight::EVERYTHING.lacks(invariant.needs()), None);
        }
    }

    #[test]
    fn silicon_that_is_read_when_held_shows_images_but_neither_wear_nor_the_truth_of_reports() {
        let silicon = Sight {
            operations: false,
            flash: FlashSight::Held,
            ..Sight::EVERYTHING
        };
        let ruled: Vec<Invariant> = Invariant::ALL
            .into_iter()
            .filter(|invariant| silicon.lacks(invariant.needs()).is_none())
            .collect();
        assert_eq!(
            ruled,
            [
                Invariant::S1,
                Invariant::S2,
                Invariant::S4,
                Invariant::S5,
                Invariant::L2,
                Invariant::T1,
                Invariant::Expectation
            ]
        );
    }

    #[test]
    fn what_a_board_does_not_show_is_hidden_and_flash_shows_only_when_it_is_held() {
        let sight = Sight {
            marker: false,
            flash: FlashSight::Held,
            ..Sight::EVERYTHING
        };
        let events = [What::Pins(1), What::Byte(65), What::PowerOn];
        let shown = events.map(|what| (sight.shows(&what), sight.shows_flash_at(&what)));
        assert_eq!(shown, [(false, false), (true, false), (true, true)]);
    }

    #[test]
    fn hiding_something_takes_it_away_and_adds_nothing() {
        let blind = Sight {
            datagrams: false,
            flash: FlashSight::Never,
            ..Sight::EVERYTHING
        };
        assert_eq!(Sight::EVERYTHING.and(blind), blind);
        assert_eq!(blind.and(Sight::EVERYTHING), blind);
    }
}
