//! One schedule, run again: the same cuts and faults over the same scene, with the verdict of that run alone.
//!
//! A cut or a fault that never happens makes the replay fail with T1: a schedule that does not do what its line says
//! must not pass.
use nor_flash_model::{NorFlashModel, OnGeometry, on_geometry};
use powercut_oracle::verdict::Invariant;

use super::prepare;
use crate::explored_flash::ExploredFlash;
use crate::life::{WatchPoint, arm, live_watched};
use crate::memory::Memory;
use crate::oracle::{Breach, broken};
use crate::schedule::Schedule;

/// Runs one schedule again.
///
/// # Errors
/// The invariant it breaks; T1 if a cut never happens, because the device is at rest before.
pub fn replay(schedule: &Schedule) -> Result<(), Breach> {
    let flashes = None;
    on_geometry(schedule.geometry.facts(), Replay { schedule, flashes })
}

/// What flash held, whole, in a run of one schedule; a weak bit reads 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flashes {
    /// After each cut.
    pub after_cuts: Vec<Vec<u8>>,
    /// After the second boot in a row that had nothing left to do, if it came to that after the last cut.
    pub at_rest: Option<Vec<u8>>,
}

impl Flashes {
    fn add<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8>(
        &mut self,
        point: WatchPoint,
        flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>,
    ) {
        match point {
            WatchPoint::Cut => {
                self.after_cuts.push(flash.bytes());
                self.at_rest = None;
            }
            WatchPoint::Rest(2) => self.at_rest = Some(flash.bytes()),
            WatchPoint::Rest(_) => {}
        }
    }
}

/// Like [`replay`], with what flash held meanwhile.
pub fn replay_with_flash(schedule: &Schedule) -> (Result<(), Breach>, Flashes) {
    let mut flashes = Flashes::default();
    let replay = Replay {
        schedule,
        flashes: Some(&mut flashes),
    };
    let judged = on_geometry(schedule.geometry.facts(), replay);
    (judged, flashes)
}

struct Replay<'a> {
    schedule: &'a Schedule,
    flashes: Option<&'a mut Flashes>,
}

impl OnGeometry for Replay<'_> {
    type Output = Result<(), Breach>;

    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let Self {
            schedule,
            mut flashes,
        } = self;
        let (scene, mut flash) = prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(schedule)?;
        let mut cuts = schedule.cuts.iter().copied();
        if let Some(first) = cuts.next() {
            arm(&mut flash, first);
        }
        let mut explored = ExploredFlash::<UNIT, PAGE, PROGRAMS, BUFFER>::new(
            &scene,
            flash,
            Memory::default(),
            None,
        );
        explored.faults = schedule.faults.clone().into_iter();
        let watch = |point, flash: &NorFlashModel<UNIT, PAGE, PROGRAMS>| {
            if let Some(flashes) = &mut flashes {
                flashes.add(point, flash);
            }
        };
        live_watched(&mut explored, |_| cuts.next(), watch)?;
        if let Some(cut) = explored.flash.planned_cut().or(cuts.next()) {
            return broken(
                Invariant::T1,
                format!("{cut} never happens: the device is at rest before"),
            );
        }
        // Counted by the device's lives, not by who plans the cuts.
        if usize::from(explored.memory.cuts) != schedule.cuts.len().min(usize::from(u8::MAX)) {
            return broken(
                Invariant::T1,
                format!(
                    "{} cuts were planned, power was lost {} times",
                    schedule.cuts.len(),
                    explored.memory.cuts
                ),
            );
        }
        match explored.faults.next() {
            None => Ok(()),
            Some(fault) => broken(
                Invariant::T1,
                format!("{fault} never happens: the device is at rest before"),
            ),
        }
    }
}
