//! A schedule of the firmware itself as a line: `elf:smoke:1:mb-1:seed=20261122:cuts=op37/before`. All behind `elf` is what a
//! schedule of the same case in the core's exploration has behind `core`.
use std::fmt;
use std::str::FromStr;

use nor_flash_model::Cut;
use powercut_explore::{CaseName, ParseScheduleError, PlannedLine};

const PREFIX: &str = "elf:";

/// Everything that determines a run of the firmware, given plan, bench and firmware set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfLine {
    /// The case whose upgrade it is.
    pub case: CaseName,
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
}

impl ElfLine {
    /// Whether a line is one of these.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The same schedule for the core in process.
    pub fn of_core(&self) -> PlannedLine {
        PlannedLine {
            case: self.case.clone(),
            cuts: self.cuts.clone(),
            faults: Vec::new(),
        }
    }
}

impl fmt::Display for ElfLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.of_core().to_string();
        let behind = line.split_once(':').map_or("", |(_, behind)| behind);
        write!(f, "{PREFIX}{behind}")
    }
}

impl FromStr for ElfLine {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = |reason: String| ParseScheduleError {
            text: text.to_owned(),
            reason,
        };
        let behind = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or_else(|| refused(format!("it does not begin with `{PREFIX}`")))?;
        let line: PlannedLine = format!("core:{behind}")
            .parse()
            .map_err(|error: ParseScheduleError| refused(error.reason))?;
        if let Some(fault) = line.faults.first() {
            return Err(refused(format!(
                "{fault} is a fault that is no cut, which only the core's exploration has"
            )));
        }
        Ok(Self {
            case: line.case,
            cuts: line.cuts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_and_is_told_from_one_of_the_core() {
        for line in [
            "elf:smoke:1:mb-1:seed=20261122:cuts=none",
            "elf:smoke:13:mb-1:seed=1:cuts=op37/before,op41/weak-looks6",
        ] {
            assert!(ElfLine::is_one(line), "{line}");
            assert_eq!(line.parse::<ElfLine>().unwrap().to_string(), line);
        }
        assert!(!ElfLine::is_one("core:smoke:1:mb-1:seed=1:cuts=none"));
    }

    #[test]
    fn a_broken_part_is_named() {
        for (line, reason) in [
            ("smoke:1:mb-1:seed=1:cuts=none", "does not begin"),
            ("elf:smoke:0:mb-1:seed=1:cuts=none", "start at 1"),
            (
                "elf:smoke:1:mb-1:seed=1:cuts=none:faults=silent3",
                "silent3 is a fault",
            ),
        ] {
            let error = line.parse::<ElfLine>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
