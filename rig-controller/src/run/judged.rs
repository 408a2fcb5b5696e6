//! What came of one attempt at a case, and its record for reports.
use std::sync::Arc;

use super::inputs::{Inputs, Sources, quoted};
use super::rig::{happened, modem_power};
use crate::case::runner::{CaseReport, Snapshot};
use crate::plan::{Case, CaseLine, Cut, LineCuts};
use crate::report::{CaseResult, NotObserved};
use powercut_bench::entry::BoardEntry;
use powercut_oracle::verdict::Verdict;

/// One attempt at a case.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The judgement; `None` if the run was cancelled before there was one.
    pub verdict: Option<Verdict>,
    /// The cuts that were to happen.
    pub cuts: LineCuts,
    /// What was seen: of the case, or of the reference run if that kept the case from being run.
    pub report: Arc<CaseReport>,
}

impl Attempt {
    /// The case ran.
    pub(super) fn ran(cuts: Vec<Cut>, report: CaseReport) -> Self {
        Self {
            verdict: report.verdict.clone(),
            cuts: LineCuts::Given(cuts),
            report: Arc::new(report),
        }
    }

    /// `case` could not be begun.
    pub(super) fn unbegun(case: &Case, verdict: Verdict) -> Self {
        Self {
            verdict: Some(verdict.clone()),
            cuts: case.unresolved_cuts(),
            report: Arc::new(CaseReport::not_run(verdict)),
        }
    }

    /// The reference run kept `case` from being run.
    pub(super) fn because_of(case: &Case, verdict: Verdict, reference: Arc<CaseReport>) -> Self {
        Self {
            verdict: Some(verdict),
            cuts: case.unresolved_cuts(),
            report: reference,
        }
    }

    /// The run was cancelled before the case began.
    pub(super) fn cancelled(case: &Case) -> Self {
        let unbegun = CaseReport::not_run(Verdict::Inconclusive {
            reason: "the run was cancelled".to_owned(),
        });
        Self {
            verdict: None,
            cuts: case.unresolved_cuts(),
            report: Arc::new(unbegun),
        }
    }
}

/// The record of `attempt`; `verdict` is the attempt's.
pub fn result_of(
    inputs: &Inputs,
    case: &Case,
    board: &BoardEntry,
    attempt: &Attempt,
    verdict: &Verdict,
) -> CaseResult {
    let report = &attempt.report;
    let line = case.line(&board.name, &attempt.cuts);
    let replay = match &attempt.cuts {
        LineCuts::Given(_) => replay_command(&inputs.sources, &line),
        LineCuts::AsPlanned => run_command(inputs, &line),
    };
    let not_observed = report
        .rulings
        .not_observed()
        .map(|(invariant, why)| NotObserved {
            invariant,
            why: why.to_owned(),
        });
    CaseResult {
        modem_power: modem_power(case, board),
        cuts: report.fired.iter().map(happened).collect(),
        also: report
            .violations
            .iter()
            .skip(1)
            .map(|violation| format!("{}: {}", violation.invariant, violation.reason))
            .collect(),
        flash_sha256: report.snapshots.iter().map(Snapshot::digest).collect(),
        checked: report.rulings.checked(),
        not_observed: not_observed.collect(),
        counts: report.counts,
        seconds: report.duration.as_secs_f64(),
        ..CaseResult::new(case, &board.name, &attempt.cuts, replay, verdict)
    }
}

/// The command that runs the case again, with every option whose default would mean something else.
fn replay_command(sources: &Sources, line: &CaseLine) -> String {
    let options = sources.options(&line.plan);
    format!("rig replay {}{options}", quoted(&line.to_string()))
}

/// The command that runs a case again whose cuts were never drawn: from its reference run on.
fn run_command(inputs: &Inputs, line: &CaseLine) -> String {
    let sources = &inputs.sources;
    let plan = quoted(&sources.plan.display().to_string());
    let (index, seed) = (line.index, line.seed);
    let jobs = jobs_that_lead_to(inputs, line)
        .map(|jobs| format!(" --jobs {jobs}"))
        .unwrap_or_default();
    let options = sources.options_beside_the_plan(&line.plan);
    format!("rig run {plan} --only {index} --seed {seed}{jobs}{options}")
}

/// How many boards must be used for the case to run on its board; `None` if it does when all are.
fn jobs_that_lead_to(inputs: &Inputs, line: &CaseLine) -> Option<usize> {
    let boards = &inputs.bench.boards;
    let position = boards.iter().position(|board| board.name == line.board)?;
    let leads = |jobs: &usize| (line.index - 1) % jobs == position;
    if leads(&boards.len()) {
        return None;
    }
    (1..boards.len()).find(leads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replay_command_names_only_what_is_not_where_replay_looks_for_it() {
        let line: CaseLine = "smoke:1:mb-1:seed=7:cuts=op3".parse().unwrap();
        let mut sources = Sources::defaults("smoke");
        assert_eq!(
            replay_command(&sources, &line),
            "rig replay smoke:1:mb-1:seed=7:cuts=op3"
        );
        sources.plan = "my plans/it's.yaml".into();
        assert_eq!(
            replay_command(&sources, &line),
            r"rig replay smoke:1:mb-1:seed=7:cuts=op3 --plan 'my plans/it'\''s.yaml'"
        );
    }
}
