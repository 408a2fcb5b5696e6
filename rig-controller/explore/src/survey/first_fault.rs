//! Single faults in an uncut run, tried one after the other until one breaks an invariant: how seeded bugs are found
//! that no cut shows.
use nor_flash_model::{OnGeometry, Operation, on_geometry};

use super::prepare;
use crate::explored_flash::ExploredFlash;
use crate::flash_fault::FlashFault;
use crate::life::live;
use crate::memory::Memory;
use crate::oracle::Breach;
use crate::scene::Scene;
use crate::schedule::Schedule;

/// A kind of fault, to try at many places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A program that silently does nothing: each of a journal's records and SEALs, and some of the others.
    Silent,
    /// A bit of either image slot that turns over, at some of the operations.
    Rot,
}

/// Tries single faults of a kind in the uncut run of `schedule`; the first that breaks an invariant.
pub fn first_fault(schedule: &Schedule, kind: FaultKind) -> Option<(Schedule, Breach)> {
    on_geometry(schedule.geometry.facts(), FirstFault { schedule, kind })
}

struct FirstFault<'a> {
    schedule: &'a Schedule,
    kind: FaultKind,
}

impl FirstFault<'_> {
    /// The faults to try, given the operations of the uncut run.
    fn faults(&self, scene: &Scene, first: u64, log: &[Operation]) -> Vec<FlashFault> {
        // Of what there is very much of, every so-manieth will do.
        const SOME: u64 = 11;
        let layout = &scene.layout;
        let header_bytes = 72;
        let mut faults = Vec::new();
        for (operation, what) in (first..).zip(log) {
            let is_sampled = operation.is_multiple_of(SOME);
            match (self.kind, what) {
                (FaultKind::Silent, Operation::Program { address }) => {
                    let in_journal = (layout.identification.start..layout.active.start)
                        .contains(address)
                        && address % layout.page_bytes >= header_bytes;
                    if in_journal || is_sampled {
                        faults.push(FlashFault::Silent { operation });
                    }
                }
                (FaultKind::Rot, _) if is_sampled => {
                    for slot in [layout.active.start, layout.staging.start] {
                        for page in [0, 1] {
                            faults.push(FlashFault::Rot {
                                operation,
                                address: slot + page * layout.page_bytes + 17,
                                bit: 3,
                            });
                        }
                    }
                }
                (FaultKind::Silent, Operation::Erase { .. }) | (FaultKind::Rot, _) => {}
            }
        }
        faults
    }
}

impl OnGeometry for FirstFault<'_> {
    type Output = Option<(Schedule, Breach)>;

    /// Does it on flash of this geometry.
    fn run<const UNIT: usize, const PAGE: usize, const PROGRAMS: u8, const BUFFER: usize>(
        self,
    ) -> Self::Output {
        let (scene, flash) = match prepare::<UNIT, PAGE, PROGRAMS, BUFFER>(self.schedule) {
            Ok(prepared) => prepared,
            Err(breach) => return Some((self.schedule.clone(), breach)),
        };
        let with = |flash, faults: Vec<FlashFault>| {
            let mut explored = ExploredFlash::<UNIT, PAGE, PROGRAMS, BUFFER>::new(
                &scene,
                flash,
                Memory::default(),
                None,
            );
            explored.faults = faults.into_iter();
            let end = live(&mut explored, |_| None);
            (end, explored.flash)
        };
        let mut logged = flash.clone();
        logged.start_log();
        let (_, logged) = with(logged, Vec::new());
        let faults = self.faults(&scene, flash.operations() + 1, logged.log());
        faults.into_iter().find_map(|fault| {
            let breach = with(flash.clone(), vec![fault]).0.err()?;
            let faults = vec![fault];
            let schedule = self.schedule.clone();
            Some((Schedule { faults, ..schedule }, breach))
        })
    }
}
