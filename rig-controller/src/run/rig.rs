//! One case on one board of the bench: reference run, cuts, the case itself. Boards are composed once for all cases of a run.
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::inputs::Inputs;
use super::judged::Attempt;
use super::progress::{Listener, Progress};
use super::references::{References, objection};
use crate::case::runner::{self, CaseReport, CaseSetup};
use crate::case::trigger::FiredCut;
use crate::plan::{Case, Cut};
use crate::report::HappenedCut;
use powercut_bench::board::Composed;
use powercut_bench::cancel::Cancel;
use powercut_bench::entry::BoardEntry;
use powercut_bench::modem::ModemPower;
use powercut_link::LinkProfile;
use powercut_oracle::verdict::Verdict;
use powercut_platform::Platform;

/// Composes the board of an entry of the bench file, off and erased; [`compose`](powercut_bench::board::compose) does.
pub type Composer<'a> = dyn Fn(&BoardEntry) -> Option<Composed> + 'a;

/// Which cuts a case gets.
#[derive(Debug, Clone, Copy)]
pub enum Cuts<'a> {
    /// What the plan says, drawn from and checked against a reference run.
    AsPlanned,
    /// Exactly these.
    Given(&'a [Cut]),
}

/// Everything cases share in a run.
pub struct Rig<'a> {
    inputs: &'a Inputs,
    platform: &'a dyn Platform,
    boards: HashMap<&'a str, Mutex<Composed>>,
    cancel: &'a Cancel,
    listener: &'a Listener<'a>,
    references: References,
}

impl<'a> Rig<'a> {
    /// A rig with nothing run yet, and the boards of the bench composed and off.
    pub fn new(
        inputs: &'a Inputs,
        platform: &'a dyn Platform,
        compose: &Composer<'_>,
        cancel: &'a Cancel,
        listener: &'a Listener<'a>,
    ) -> Self {
        let boards = inputs.bench.boards.iter();
        let boards = boards.filter_map(|entry| {
            let composed = compose(entry)?;
            cancel.also_wake(composed.board.waker());
            Some((entry.name.as_str(), Mutex::new(composed)))
        });
        let boards = boards.collect();
        Self {
            inputs,
            platform,
            boards,
            cancel,
            listener,
            references: References::default(),
        }
    }

    /// Have the next case make its reference run anew.
    pub(super) fn forget_references(&self) {
        self.references.forget();
    }

    /// Power cycles that reference runs took.
    pub fn reference_power_cycles(&self) -> u64 {
        self.references.power_cycles()
    }

    /// Runs `case` on `board`.
    pub fn attempt(&self, case: &Case, board: &BoardEntry, cuts: Cuts<'_>) -> Attempt {
        (self.listener)(&Progress::Started {
            case,
            board: &board.name,
        });
        let planned = match cuts {
            Cuts::Given(cuts) => Ok(cuts.to_vec()),
            Cuts::AsPlanned if case.cuts.is_empty() => Ok(Vec::new()),
            Cuts::AsPlanned => self.resolve(case, board),
        };
        let cuts = match planned {
            Ok(cuts) => cuts,
            Err(attempt) => return *attempt,
        };
        let told = std::cell::Cell::new(0);
        let on_cut = |fired: &FiredCut| {
            told.set(told.get() + 1);
            (self.listener)(&Progress::Cut {
                case,
                board: &board.name,
                cut: &happened(fired),
                number: told.get(),
                planned: cuts.len(),
            });
        };
        let report = self.run(case, board, &cuts, &self.inputs.link(case), &on_cut);
        Attempt::ran(cuts, report)
    }

    /// The case's cuts, or how the case ends because there are none to be had.
    fn resolve(&self, case: &Case, board: &BoardEntry) -> Result<Vec<Cut>, Box<Attempt>> {
        let power = modem_power(case, board);
        let reference = self.references.get(case, board, power, |uncut| {
            (self.listener)(&Progress::Reference {
                case,
                board: &board.name,
            });
            self.run(uncut, board, &[], &LinkProfile::ideal(), &|_| ())
        });
        let Some(report) = reference else {
            return Err(Box::new(Attempt::cancelled(case)));
        };
        if let Some(verdict) = objection(&report) {
            return Err(Box::new(Attempt::because_of(case, verdict, report)));
        }
        case.resolve_cuts(&report.profile).map_err(|error| {
            let verdict = Verdict::PlanError {
                reason: error.to_string(),
            };
            Box::new(Attempt::unbegun(case, verdict))
        })
    }

    fn run(
        &self,
        case: &Case,
        board: &BoardEntry,
        cuts: &[Cut],
        link: &LinkProfile,
        on_cut: &dyn Fn(&FiredCut),
    ) -> CaseReport {
        let firmware = &self.inputs.firmware;
        let (images, device, flash) = match self.inputs.provisioned(case, board) {
            Ok(provisioned) => provisioned,
            // It could be when the inputs were checked.
            Err(error) => {
                return CaseReport::not_run(Verdict::BenchError {
                    reason: error.to_string(),
                });
            }
        };
        let Some(on) = self.boards.get(board.name.as_str()) else {
            return CaseReport::not_run(Verdict::BenchError {
                reason: format!("no board `{}` was composed", board.name),
            });
        };
        let setup = CaseSetup {
            case,
            cuts,
            board: *firmware.board_facts(),
            flash: &flash,
            images,
            device: (device.id, device.key),
            link,
            time_scale: self.inputs.bench.time_scale,
            platform: self.platform,
            cancel: self.cancel,
            on_cut,
        };
        // A case that panicked has left the board off: the runner sees to that.
        let mut on = on.lock().unwrap_or_else(PoisonError::into_inner);
        let geometry = on.facts().geometry;
        if geometry != firmware.geometry() {
            return CaseReport::not_run(Verdict::BenchError {
                reason: format!(
                    "the firmware set is for flash with {}, but board {} has {geometry}; correct `flash` in its set.yaml, or take a set for this board",
                    firmware.geometry(),
                    board.name
                ),
            });
        }
        runner::run(&setup, &mut on)
    }
}

impl std::fmt::Debug for Rig<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rig")
            .field("references", &self.references)
            .finish_non_exhaustive()
    }
}

/// Whether the modem keeps power: the bench knows what is wired, the plan says what is wanted where the bench leaves
/// it open.
pub(super) fn modem_power(case: &Case, board: &BoardEntry) -> ModemPower {
    board.modem.power.unwrap_or(case.modem_power)
}

/// As reports have it.
pub(super) fn happened(fired: &FiredCut) -> HappenedCut {
    HappenedCut {
        planned: fired.planned.to_string(),
        operation: fired.operation,
        phase: fired.phase,
        fragment: fired.fragment,
    }
}
