//! The ways in which a board loses power in a cut: how its supply goes, and how much its RAM keeps.
use std::fmt;

use crate::sight::Need;

/// The supply of a board in a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Supply {
    /// It is switched off, for the off time of the case.
    #[default]
    Off,
    /// It sags until the brown-out detector holds the chip in reset, and is back at once: core and peripherals begin as after
    /// power-on.
    BrownOut,
}

/// The content of RAM when the board comes up after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Ram {
    /// Garbage: each bit comes up at random.
    #[default]
    Lost,
    /// All that it held when power went.
    Kept,
    /// All that it held when power went, but for some bits, which come up at random.
    Decayed {
        /// Bits of 100 that come up at random, 1 to 99: about half of them come up as they were.
        percent: u8,
    },
}

/// One way of losing power. The default, of a cut that says nothing of it: the supply is switched off, and RAM is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Outage {
    /// The supply.
    pub supply: Supply,
    /// The RAM.
    pub ram: Ram,
}

impl Outage {
    /// The needs of a cut in which power goes like this: the default needs nothing of a board.
    pub fn needs(self) -> &'static [Need] {
        if self == Self::default() {
            &[]
        } else {
            &[Need::Outages]
        }
    }
}

impl fmt::Display for Ram {
    /// Completes "RAM is ..".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str("lost"),
            Self::Kept => f.write_str("kept"),
            Self::Decayed { percent } => write!(f, "kept but for {percent} of 100 bits"),
        }
    }
}
