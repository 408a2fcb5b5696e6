//! What can be said about a case once it is over. The class is decided where the trouble arises, by type, and
//! never guessed later from a message.
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a device must hold to, whatever happens to its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Invariant {
    /// One whole image boots.
    S1,
    /// Ready means the signed image is in flash.
    S2,
    /// No unit is programmed too often.
    S3,
    /// No rollback, and a way back until confirmed.
    S4,
    /// No key and nonce are used twice.
    S5,
    /// Little is fetched again.
    L1,
    /// It converges.
    L2,
    /// Few erases.
    L3,
    /// It tells the platform the truth.
    L4,
    /// The cuts happened as planned.
    T1,
    /// The plan's own expectation.
    Expectation,
}

impl Invariant {
    /// All, in the order in which reports list them.
    pub const ALL: [Self; 11] = [
        Self::S1,
        Self::S2,
        Self::S3,
        Self::S4,
        Self::S5,
        Self::L1,
        Self::L2,
        Self::L3,
        Self::L4,
        Self::T1,
        Self::Expectation,
    ];

    /// What it demands, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::S1 => {
                "the device boots the old or the new image, whole: never neither and never a mixture"
            }
            Self::S2 => {
                "what the journal counts as received is in flash; Ready means that flash equals the signed image"
            }
            Self::S3 => {
                "no flash unit is programmed more often between erases than its flash allows"
            }
            Self::S4 => {
                "no image below the security counter runs, and the old image can be put back until the new one is confirmed"
            }
            Self::S5 => {
                "no key and nonce serve two plaintexts, over all cases that share a device key"
            }
            Self::L1 => {
                "a cut costs at most one unit of progress to be fetched again, one erase page after a second cut in it"
            }
            Self::L2 => {
                "once cuts stop, the upgrade comes to its end within a bounded number of boots"
            }
            Self::L3 => {
                "no page is erased more often than the swap, the journal and the cuts account for"
            }
            Self::L4 => "what the device reports to the platform is true",
            Self::T1 => "every planned cut happened, and happened where it was planned",
            Self::Expectation => "the upgrade ends as the plan expects",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::S4 => "S4",
            Self::S5 => "S5",
            Self::L1 => "L1",
            Self::L2 => "L2",
            Self::L3 => "L3",
            Self::L4 => "L4",
            Self::T1 => "T1",
            Self::Expectation => "Expectation",
        })
    }
}

/// How a case is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every invariant that could be observed held.
    Pass,
    /// The firmware broke an invariant.
    FirmwareFailure {
        /// Which.
        invariant: Invariant,
        /// What was seen.
        reason: String,
    },
    /// The bench did not do its part; nothing is known about the firmware.
    BenchError {
        /// What went wrong and what to check.
        reason: String,
    },
    /// The plan asks for what cannot be.
    PlanError {
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The case ran, but what was seen proves nothing either way.
    Inconclusive {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    /// The class, as reports name it.
    pub fn class(&self) -> VerdictClass {
        match self {
            Self::Pass => VerdictClass::Pass,
            Self::FirmwareFailure { .. } => VerdictClass::FirmwareFailure,
            Self::BenchError { .. } => VerdictClass::BenchError,
            Self::PlanError { .. } => VerdictClass::PlanError,
            Self::Inconclusive { .. } => VerdictClass::Inconclusive,
        }
    }

    /// Why, for everything but a pass.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pass => None,
            Self::FirmwareFailure { reason, .. }
            | Self::BenchError { reason }
            | Self::PlanError { reason }
            | Self::Inconclusive { reason } => Some(reason),
        }
    }

    /// The invariant that was broken.
    pub fn invariant(&self) -> Option<Invariant> {
        match self {
            Self::FirmwareFailure { invariant, .. } => Some(*invariant),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.class())?;
        if let Some(invariant) = self.invariant() {
            write!(f, " ({invariant})")?;
        }
        match self.reason() {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// A verdict without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictClass {
    /// [`Verdict::Pass`]
    Pass,
    /// [`Verdict::FirmwareFailure`]
    FirmwareFailure,
    /// [`Verdict::BenchError`]
    BenchError,
    /// [`Verdict::PlanError`]
    PlanError,
    /// [`Verdict::Inconclusive`]
    Inconclusive,
}

impl fmt::Display for VerdictClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::FirmwareFailure => "firmware failure",
            Self::BenchError => "bench error",
            Self::PlanError => "plan error",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// How an upgrade can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The new image runs and is permanent.
    Confirmed,
    /// The new image ran and was taken back.
    Reverted,
    /// The new image never ran.
    Refused,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Confirmed => "confirmed",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_its_class_the_invariant_and_the_reason() {
        let verdict = Verdict::FirmwareFailure {
            invariant: Invariant::S1,
            reason: "page 12 is of neither image".to_owned(),
        };
        assert_eq!(
            verdict.to_string(),
            "firmware failure (S1): page 12 is of neither image"
        );
        assert_eq!(Verdict::Pass.to_string(), "pass");
    }

    #[test]
    fn every_invariant_is_written_the_same_in_text_and_in_json_and_has_a_meaning_of_its_own() {
        let mut meanings: Vec<&str> = Vec::new();
        for invariant in Invariant::ALL {
            assert_eq!(
                serde_json::to_string(&invariant).unwrap(),
                format!("\"{invariant}\"")
            );
            meanings.push(invariant.meaning());
        }
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), Invariant::ALL.len());
    }
}
