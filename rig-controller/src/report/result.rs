//! The record of one case: a line of `results.jsonl`, and what JUnit is made from.
//!
//! Each line is one JSON object. Readers must ignore fields they do not know; [`SCHEMA`] rises when a field
//! changes its meaning or goes.
use powercut_package::suites::suite_name;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::case::Counts;
use crate::plan::{Case, Cut, CutSpec, LineCuts, Phase};
use powercut_bench::modem::ModemPower;
use powercut_oracle::verdict::{Invariant, Verdict, VerdictClass};

/// Version of the record's schema.
pub const SCHEMA: u32 = 1;

/// One case, run and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Name of the plan.
    pub plan: String,
    /// Position of the case in the plan, from 1.
    pub case: usize,
    /// Name of the plan's group; `all` if the plan has none.
    pub group: String,
    /// The case in words, the same in every run of the plan.
    pub title: String,
    /// Name of the board it ran on.
    pub board: String,
    /// Name of the image the device started with.
    pub from: String,
    /// Name of the image it was offered.
    pub to: String,
    /// Name of the link profile.
    pub link: String,
    /// Name of the cipher suite.
    pub suite: String,
    /// Size of a fragment.
    pub fragment_bytes: u16,
    /// Whether the modem keeps power in a cut: `stays` or `with_board`.
    pub modem_power: ModemPower,
    /// Which of the plan's repetitions this is, from 1.
    pub repetition: u32,
    /// Seed of everything random in the case.
    pub seed: u64,
    /// The case as a line that can be pasted back.
    pub case_line: String,
    /// The command that runs exactly this case again.
    pub replay: String,
    /// The cuts that were to happen, in order, as in the case line; in the plan's words if the case ended before they were
    /// drawn.
    pub planned_cuts: Vec<String>,
    /// The cuts that did happen, in order.
    pub cuts: Vec<HappenedCut>,
    /// `pass`, `firmware_failure`, `bench_error`, `plan_error` or `inconclusive`.
    pub verdict: VerdictClass,
    /// The invariant that was broken, in a firmware failure.
    pub invariant: Option<Invariant>,
    /// Why, for everything but a pass.
    pub reason: Option<String>,
    /// What else did not hold, each with its invariant; the first violation is the verdict's.
    pub also: Vec<String>,
    /// SHA-256 of the whole flash after each cut and at the end: equal for equal runs.
    pub flash_sha256: Vec<String>,
    /// The invariants that were checked.
    pub checked: Vec<Invariant>,
    /// The invariants that could not be.
    pub not_observed: Vec<NotObserved>,
    /// What was counted.
    pub counts: Counts,
    /// How long the case took, in seconds of host time.
    pub seconds: f64,
    /// The folder with everything needed to look into the case, if it was kept.
    pub evidence: Option<PathBuf>,
}

/// A cut that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HappenedCut {
    /// The cut that was planned, as in the case line.
    pub planned: String,
    /// The last flash operation that took any effect, counted from 1 over the case; 0 before the first; nothing where
    /// operations cannot be seen.
    pub operation: Option<u64>,
    /// The phase the upgrade was in.
    pub phase: Option<Phase>,
    /// The fragment under way, in the download.
    pub fragment: Option<u16>,
}

/// An invariant that could not be checked in this case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotObserved {
    /// Which.
    pub invariant: Invariant,
    /// What was missing.
    pub why: String,
}

impl CaseResult {
    /// The record of `case` on `board` with these `cuts` planned, judged as `verdict`. `replay` is the command
    /// that repeats it. What happened and what was counted is for the caller to fill in.
    pub fn new(
        case: &Case,
        board: &str,
        cuts: &LineCuts,
        replay: String,
        verdict: &Verdict,
    ) -> Self {
        Self {
            schema: SCHEMA,
            plan: case.plan.clone(),
            case: case.index,
            group: case.group.clone(),
            title: case.title(),
            board: board.to_owned(),
            from: case.from.to_string(),
            to: case.to.to_string(),
            link: case.link.clone(),
            suite: suite_name(case.suite).to_owned(),
            fragment_bytes: case.fragment_bytes,
            modem_power: case.modem_power,
            repetition: case.repetition,
            seed: case.seed,
            case_line: case.line(board, cuts).to_string(),
            replay,
            planned_cuts: match cuts {
                LineCuts::Given(cuts) => cuts.iter().map(Cut::to_string).collect(),
                LineCuts::AsPlanned => case.cuts.iter().map(CutSpec::to_string).collect(),
            },
            cuts: Vec::new(),
            verdict: verdict.class(),
            invariant: verdict.invariant(),
            reason: verdict.reason().map(str::to_owned),
            also: Vec::new(),
            flash_sha256: Vec::new(),
            checked: Vec::new(),
            not_observed: Vec::new(),
            counts: Counts::default(),
            seconds: 0.0,
            evidence: None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::plan::Plan;

    /// A case of a small plan.
    pub(in crate::report) fn case() -> Case {
        let text = "plan: smoke\nseed: 7\nupgrade: { from: 1.0.0, to: 1.1.0 }\ngroups: [{ name: swap-cuts }]\n";
        Plan::parse(Path::new("p.yaml"), text)
            .unwrap()
            .cases()
            .swap_remove(0)
    }

    /// A result of it.
    pub(in crate::report) fn result(verdict: &Verdict) -> CaseResult {
        let cuts = LineCuts::Given(vec![
            "f17/after-data/half".parse().unwrap(),
            "op3121".parse().unwrap(),
        ]);
        let case = case();
        let replay = format!("rig replay {}", case.line("mb-1", &cuts));
        CaseResult::new(&case, "mb-1", &cuts, replay, verdict)
    }

    #[test]
    fn a_result_carries_the_line_that_repeats_it() {
        let result = result(&Verdict::Pass);
        assert_eq!(
            result.case_line,
            "smoke:1:mb-1:seed=7:cuts=f17/after-data/half,op3121"
        );
        assert_eq!(result.planned_cuts, ["f17/after-data/half", "op3121"]);
        assert_eq!(
            result.title,
            "001 1.0.0 to 1.1.0, ideal, chacha20-poly1305, 160 B, #1"
        );
    }
}
