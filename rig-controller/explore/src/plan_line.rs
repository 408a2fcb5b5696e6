//! A schedule of a test plan's upgrade as a line: `core:smoke:1:mb-1:seed=20261122:cuts=op37/before`. Plan, case, board and
//! seed are what a case line has, cuts and faults what the line of a made-up upgrade has. It is told from the latter by
//! its third part: cases have numbers, scenarios have not.
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use nor_flash_model::Cut;

use super::flash_fault::FlashFault;
use super::plan_scene::{CaseName, PlannedUpgrade};
use super::schedule::{PREFIX, ParseScheduleError, Schedule, cuts_and_faults, cuts_in, faults_in};
use super::survey::Survey;
use powercut_document::is_name;

/// Everything that determines a run of a plan's upgrade in process, given plan and firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLine {
    /// Which case.
    pub case: CaseName,
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
    /// Faults of flash, in order.
    pub faults: Vec<FlashFault>,
}

impl PlannedLine {
    /// Whether a line is one of these.
    pub fn is_one(text: &str) -> bool {
        let mut parts = text.split(':');
        parts.next() == Some(PREFIX)
            && parts
                .nth(1)
                .is_some_and(|index| index.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// The schedule, of the upgrade of its case.
    #[must_use]
    pub fn of(self, upgrade: Arc<PlannedUpgrade>) -> Schedule {
        Schedule {
            cuts: self.cuts,
            faults: self.faults,
            ..upgrade.survey(&Survey::default()).schedule(Vec::new())
        }
    }
}

impl fmt::Display for PlannedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}:{}", self.case)?;
        cuts_and_faults(f, &self.cuts, &self.faults)
    }
}

impl FromStr for PlannedLine {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| ParseScheduleError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<PlannedLine, String> {
    let parts: Vec<&str> = text.trim().split(':').collect();
    let (plan, index, board, seed, cuts, faults) = match parts[..] {
        [PREFIX, plan, index, board, seed, cuts] => (plan, index, board, seed, cuts, None),
        [PREFIX, plan, index, board, seed, cuts, faults] => {
            (plan, index, board, seed, cuts, Some(faults))
        }
        _ => {
            return Err(format!(
                "it has not the parts {PREFIX}:plan:case:board:seed=..:cuts=.. and perhaps faults=.."
            ));
        }
    };
    for (what, name) in [("plan", plan), ("board", board)] {
        if !is_name(name) {
            return Err(format!("`{}` is no name of a {what}", name.escape_debug()));
        }
    }
    let bad = |what: &str, text: &str| format!("`{}` is no {what}", text.escape_debug());
    let index = index
        .parse()
        .ok()
        .filter(|index| *index > 0)
        .ok_or_else(|| bad("case number; they start at 1", index))?;
    let seed = value(seed, "seed=")?;
    let seed = seed.parse().map_err(|_| bad("seed", seed))?;
    Ok(PlannedLine {
        case: CaseName {
            plan: plan.to_owned(),
            index,
            board: board.to_owned(),
            seed,
        },
        cuts: cuts_in(value(cuts, "cuts=")?)?,
        faults: match faults {
            Some(faults) => faults_in(value(faults, "faults=")?)?,
            None => Vec::new(),
        },
    })
}

fn value<'t>(part: &'t str, name: &str) -> Result<&'t str, String> {
    part.strip_prefix(name)
        .ok_or_else(|| format!("`{}` is no {name}..", part.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_is_told_from_one_of_made_up_images() {
        for line in [
            "core:smoke:1:mb-1:seed=20261122:cuts=none",
            "core:smoke:13:mb-1:seed=1:cuts=op37/before,op41/prefix3",
            "core:tiny:2:mb-1:seed=1:cuts=op37/after:faults=silent40,rot41@0x1f00.3",
        ] {
            assert!(PlannedLine::is_one(line), "{line}");
            assert_eq!(line.parse::<PlannedLine>().unwrap().to_string(), line);
        }
        for line in [
            "core:tiny:longer:seed=1:cuts=none",
            "smoke:1:mb-1:seed=1:cuts=none",
            "core",
        ] {
            assert!(!PlannedLine::is_one(line), "{line}");
        }
    }

    #[test]
    fn a_broken_part_is_named() {
        for (line, reason) in [
            ("core:smoke:1", "not the parts"),
            ("core:smoke:0:mb-1:seed=1:cuts=none", "start at 1"),
            ("core:../x:1:mb-1:seed=1:cuts=none", "no name of a plan"),
            ("core:smoke:1:mb-1:sed=1:cuts=none", "no seed=.."),
            ("core:smoke:1:mb-1:seed=x:cuts=none", "`x` is no seed"),
            ("core:smoke:1:mb-1:seed=1:cuts=f1/after-data", "not a cut"),
            (
                "core:smoke:1:mb-1:seed=1:cuts=op9/before,op3/after",
                "order",
            ),
            (
                "core:smoke:1:mb-1:seed=1:cuts=none:faults=x3",
                "not a fault",
            ),
        ] {
            let error = line.parse::<PlannedLine>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
