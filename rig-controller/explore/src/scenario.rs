//! What the device runs, what it is offered, and how that has to end.
use std::fmt;
use std::str::FromStr;

/// One kind of upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scenario {
    /// A good image, longer than the old one.
    Longer,
    /// A good image, shorter than the old one.
    Shorter,
    /// An image that never confirms itself: reverted.
    NeverConfirms,
    /// An image that faults or hangs before it has done anything: reverted.
    Dies,
    /// An authentic image that is no program for this chip: never jumped to, reverted.
    Unbootable,
    /// An image whose content is not what its manifest names: rejected after it was fetched a few times.
    Corrupt,
    /// An image signed by somebody else: refused.
    BadSignature,
    /// An image with a lower security counter: refused.
    Older,
    /// An image that the platform withdraws during the download, then a good one.
    Withdrawn,
    /// An image whose content is not what its manifest names, and once it is rejected, a good one.
    Mended,
}

/// How an upgrade ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The new image is confirmed.
    Confirmed,
    /// The old image is back, the new one is refused from now on.
    Reverted,
    /// The old image runs, the new one was never installed.
    Refused,
}

impl Scenario {
    /// All.
    pub const ALL: [Self; 10] = [
        Self::Longer,
        Self::Shorter,
        Self::NeverConfirms,
        Self::Dies,
        Self::Unbootable,
        Self::Corrupt,
        Self::BadSignature,
        Self::Older,
        Self::Withdrawn,
        Self::Mended,
    ];

    /// How it ends unless cuts use up the trial's attempts.
    pub const fn ending(self) -> Ending {
        match self {
            Self::Longer | Self::Shorter | Self::Withdrawn | Self::Mended => Ending::Confirmed,
            Self::NeverConfirms | Self::Dies | Self::Unbootable => Ending::Reverted,
            Self::Corrupt | Self::BadSignature | Self::Older => Ending::Refused,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Longer => "longer",
            Self::Shorter => "shorter",
            Self::NeverConfirms => "never-confirms",
            Self::Dies => "dies",
            Self::Unbootable => "unbootable",
            Self::Corrupt => "corrupt",
            Self::BadSignature => "bad-signature",
            Self::Older => "older",
            Self::Withdrawn => "withdrawn",
            Self::Mended => "mended",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// No scenario has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no scenario is called `{}`; there are {}", .0.escape_debug(), Scenario::ALL.map(Scenario::name).join(", "))]
pub struct UnknownScenarioError(String);

impl FromStr for Scenario {
    type Err = UnknownScenarioError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == text)
            .ok_or_else(|| UnknownScenarioError(text.to_owned()))
    }
}
