//! A schedule as a short line that can be pasted back: `core:tiny:longer:seed=1:cuts=op37/before,op41/weak-boots6`.
//! An image of another size than the small scene's says so: `core:nrf51:longer:pages=65:seed=1:cuts=...`; faults of flash
//! that are no cuts follow these: `core:tiny:longer:seed=1:cuts=none:faults=silent37,rot41@0x1f00.3`. Of an upgrade of a
//! test plan the line names the case in place of all that: see `plan_line.rs`.
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use nor_flash_model::Cut;

use super::flash_fault::FlashFault;
use super::flash_part::FlashPart;
use super::plan_scene::PlannedUpgrade;
use super::scenario::Scenario;
use super::scene::SMALL_PAGES;

/// What the line begins with.
pub(super) const PREFIX: &str = "core";

/// Everything that determines a run in process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// On which flash.
    pub geometry: FlashPart,
    /// Which upgrade.
    pub scenario: Scenario,
    /// Pages of the larger image.
    pub image_pages: u16,
    /// Bytes of a fragment; `None` for about three eighths of a page.
    pub fragment_bytes: Option<u16>,
    /// Decides what the link loses.
    pub seed: u64,
    /// Of 1000 datagrams, so many are lost.
    pub loss_permille: u16,
    /// The upgrade of a test plan it is of, from which all above follows; `None` if the images are made up.
    pub planned: Option<Arc<PlannedUpgrade>>,
    /// The cuts, in order.
    pub cuts: Vec<Cut>,
    /// Faults of flash, in order.
    pub faults: Vec<FlashFault>,
}

impl Schedule {
    /// A schedule of the small scene without cuts.
    pub fn uncut(geometry: FlashPart, scenario: Scenario) -> Self {
        Self {
            geometry,
            scenario,
            image_pages: SMALL_PAGES,
            fragment_bytes: None,
            seed: 1,
            loss_permille: 0,
            planned: None,
            cuts: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Whether a case line is one of these.
    pub fn is_one(text: &str) -> bool {
        text.split(':').next() == Some(PREFIX)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(planned) = &self.planned {
            write!(f, "{PREFIX}:{}", planned.name())?;
            return cuts_and_faults(f, &self.cuts, &self.faults);
        }
        write!(f, "{PREFIX}:{}:{}", self.geometry, self.scenario)?;
        if self.image_pages != SMALL_PAGES {
            write!(f, ":pages={}", self.image_pages)?;
        }
        if let Some(bytes) = self.fragment_bytes {
            write!(f, ":fragment={bytes}")?;
        }
        if self.loss_permille != 0 {
            write!(f, ":loss={}", self.loss_permille)?;
        }
        write!(f, ":seed={}", self.seed)?;
        cuts_and_faults(f, &self.cuts, &self.faults)
    }
}

/// The end of every line.
pub(super) fn cuts_and_faults(
    f: &mut fmt::Formatter<'_>,
    cuts: &[Cut],
    faults: &[FlashFault],
) -> fmt::Result {
    f.write_str(":cuts=")?;
    if cuts.is_empty() {
        f.write_str("none")?;
    }
    list(f, cuts)?;
    if faults.is_empty() {
        return Ok(());
    }
    f.write_str(":faults=")?;
    list(f, faults)
}

fn list(f: &mut fmt::Formatter<'_>, entries: &[impl fmt::Display]) -> fmt::Result {
    for (position, entry) in entries.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(f, "{comma}{entry}")?;
    }
    Ok(())
}

/// A text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a schedule: {reason}; a schedule looks like core:tiny:longer:seed=1:cuts=op37/before,op41/weak-boots6 or core:smoke:1:mb-1:seed=20261122:cuts=op37/before", .text.escape_debug())]
pub struct ParseScheduleError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Schedule {
    type Err = ParseScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|reason| ParseScheduleError {
            text: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Schedule, String> {
    let mut parts = text.trim().split(':');
    if parts.next() != Some(PREFIX) {
        return Err(format!("it does not begin with `{PREFIX}:`"));
    }
    let (Some(geometry), Some(scenario)) = (parts.next(), parts.next()) else {
        return Err("geometry and scenario are missing".to_owned());
    };
    let mut schedule = Schedule::uncut(
        geometry.parse().map_err(|error| format!("{error}"))?,
        scenario.parse().map_err(|error| format!("{error}"))?,
    );
    let mut has_cuts = false;
    for part in parts {
        let (name, value) = part
            .split_once('=')
            .ok_or_else(|| format!("`{}` is no name=value", part.escape_debug()))?;
        let bad = || format!("`{}` is no {name}", value.escape_debug());
        match name {
            "pages" => {
                schedule.image_pages = value
                    .parse()
                    .ok()
                    .filter(|pages| (4..=1024).contains(pages))
                    .ok_or_else(bad)?;
            }
            "fragment" => {
                let bytes = value
                    .parse()
                    .ok()
                    .filter(|bytes| (32..=500).contains(bytes) && bytes % 16 == 0);
                schedule.fragment_bytes = Some(bytes.ok_or_else(bad)?);
            }
            "loss" => {
                schedule.loss_permille = value
                    .parse()
                    .ok()
                    .filter(|permille| *permille < 1000)
                    .ok_or_else(bad)?;
            }
            "seed" => schedule.seed = value.parse().map_err(|_| bad())?,
            "cuts" => {
                has_cuts = true;
                schedule.cuts = cuts_in(value)?;
            }
            "faults" => schedule.faults = faults_in(value)?,
            _ => return Err(format!("`{}` is unknown", name.escape_debug())),
        }
    }
    if !has_cuts {
        return Err("the cuts are missing".to_owned());
    }
    Ok(schedule)
}

/// What follows `cuts=`.
pub(super) fn cuts_in(text: &str) -> Result<Vec<Cut>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let cuts = text
        .split(',')
        .map(|cut| cut.parse::<Cut>().map_err(|error| error.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    if cuts.is_sorted_by(|a, b| a.operation < b.operation) {
        Ok(cuts)
    } else {
        Err("the cuts are not in order".to_owned())
    }
}

/// What follows `faults=`.
pub(super) fn faults_in(text: &str) -> Result<Vec<FlashFault>, String> {
    let faults = text
        .split(',')
        .map(|fault| {
            fault
                .parse::<FlashFault>()
                .map_err(|error| error.to_string())
        })
        .collect::<Result<Vec<_>, _>>()?;
    if faults.is_sorted_by_key(|fault| fault.operation()) {
        Ok(faults)
    } else {
        Err("the faults are not in order".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_reads_back_from_its_line() {
        for line in [
            "core:tiny:longer:seed=1:cuts=none",
            "core:nrf51:never-confirms:pages=65:fragment=160:loss=50:seed=9:cuts=op37/before,op41/weak-boots6",
            "core:tiny:longer:seed=1:cuts=none:faults=silent37,rot41@0x1f00.3",
        ] {
            assert_eq!(line.parse::<Schedule>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_its_reason() {
        for (line, reason) in [
            ("smoke:1", "does not begin"),
            ("core:tiny", "missing"),
            ("core:huge:longer:cuts=none", "no geometry"),
            ("core:tiny:longer", "cuts are missing"),
            ("core:tiny:longer:cuts=op9/before,op3/before", "order"),
            ("core:tiny:longer:cuts=op9/sideways", "not a cut"),
            ("core:tiny:longer:pages=2:cuts=none", "no pages"),
            ("core:tiny:longer:cuts=none:faults=slow3", "not a fault"),
            ("core:tiny:longer:cuts=none:faults=silent9,silent3", "order"),
        ] {
            let error = line.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
