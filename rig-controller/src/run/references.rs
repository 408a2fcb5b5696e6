//! Reference runs: the upgrade of a case without cuts, on an ideal link with a quick modem, which shows what there is to cut. Many
//! cases differ only in what a reference run leaves out, so each is done once and kept.
use powercut_package::suites::suite_name;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use powercut_upgrade::manifest::Suite;
use powercut_upgrade::wire::Dialect;
use sha2::{Digest, Sha256};

use crate::case::runner::CaseReport;
use crate::plan::Case;
use powercut_bench::entry::BoardEntry;
use powercut_bench::modem::{ModemFault, ModemHabits, ModemPower};
use powercut_link::LinkProfile;
use powercut_oracle::sight::Sight;
use powercut_oracle::verdict::{Invariant, Verdict};
use powercut_package::ImageName;

/// All that a reference run depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    from: ImageName,
    to: ImageName,
    suite: Suite,
    fragment_bytes: u16,
    dialect: Dialect,
    plan_seed: u64,
    timeout: Duration,
    /// What the board adds: its modem and its watchdog.
    modem_power: ModemPower,
    modem_fault: Option<ModemFault>,
    watchdog: Duration,
    /// A board that shows less sees less of what there is to cut.
    shows: Sight,
}

/// `None` if the run was cancelled before the reference run ended.
type Shared = Option<Arc<CaseReport>>;

/// The reference runs of one run. Workers that need the same one at the same time wait for the one that does it.
#[derive(Debug, Default)]
pub(super) struct References(Mutex<Vec<(Key, Arc<OnceLock<Shared>>)>>);

impl References {
    /// The reference run for `case` on `board`: from the store, or by `run`, which gets the case to run.
    pub(super) fn get(
        &self,
        case: &Case,
        board: &BoardEntry,
        modem_power: ModemPower,
        run: impl FnOnce(&Case) -> CaseReport,
    ) -> Shared {
        let key = Key {
            from: case.from.clone(),
            to: case.to.clone(),
            suite: case.suite,
            fragment_bytes: case.fragment_bytes,
            dialect: case.dialect,
            plan_seed: case.plan_seed,
            timeout: case.timeout,
            modem_power,
            modem_fault: board.modem.fault,
            watchdog: board.watchdog,
            shows: board.shows,
        };
        let uncut = uncut(case, modem_power);
        self.slot(key)
            .get_or_init(|| {
                let report = run(&uncut);
                report.verdict.is_some().then(|| Arc::new(report))
            })
            .clone()
    }

    fn slot(&self, key: Key) -> Arc<OnceLock<Shared>> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(known, _)| *known == key) {
            return Arc::clone(slot);
        }
        let slot = Arc::default();
        slots.push((key, Arc::clone(&slot)));
        slot
    }

    /// From here on each is done anew.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Power cycles of all reference runs so far.
    pub(super) fn power_cycles(&self) -> u64 {
        let slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .iter()
            .filter_map(|(_, slot)| slot.get()?.as_ref())
            .map(|report| report.counts.boots)
            .sum()
    }
}

/// The case without its cuts, on an ideal link and with a quick modem, with a seed that is the same whichever case asks first.
fn uncut(case: &Case, modem_power: ModemPower) -> Case {
    let text = format!(
        "powercut reference 1\n{}\n{}\n{}\n{}\n{}\n{}\n{}",
        case.plan_seed,
        case.from,
        case.to,
        suite_name(case.suite),
        case.fragment_bytes,
        // As it has always been written: seeds of reference runs must not change.
        match modem_power {
            ModemPower::Stays => "Stays",
            ModemPower::WithBoard => "WithBoard",
        },
        match case.dialect {
            Dialect::Lean => "",
            Dialect::Pcp => "pcp\n",
        }
    );
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    let (start, _) = digest.split_first_chunk().unwrap_or((&[0; 8], &[]));
    Case {
        link: LinkProfile::ideal().name,
        seed: u64::from_le_bytes(*start),
        cuts: Vec::new(),
        cut_places: Vec::new(),
        // Like a link's loss, a modem's ways change nothing about what there is to cut.
        modem: ModemHabits::default(),
        modem_power,
        ..case.clone()
    }
}

/// What a case's verdict is because of its reference run; `None` if that is as good as a pass.
///
/// What the plan expects is expected of the run *with* its cuts: cuts may be what it takes to have the new image
/// taken back. So an uncut run that only ends otherwise than expected is a good reference.
pub(super) fn objection(report: &CaseReport) -> Option<Verdict> {
    let explain = |reason: &str| format!("the uncut reference run ended badly: {reason}");
    match report.verdict.as_ref()? {
        Verdict::Pass => None,
        Verdict::FirmwareFailure { .. } => report
            .violations
            .iter()
            .find(|violation| violation.invariant != Invariant::Expectation)
            .map(|violation| Verdict::FirmwareFailure {
                invariant: violation.invariant,
                reason: explain(&violation.reason),
            }),
        Verdict::BenchError { reason } => Some(Verdict::BenchError {
            reason: explain(reason),
        }),
        Verdict::PlanError { reason } => Some(Verdict::PlanError {
            reason: explain(reason),
        }),
        Verdict::Inconclusive { reason } => Some(Verdict::Inconclusive {
            reason: explain(reason),
        }),
    }
}

#[cfg(test)]
#[path = "references_tests.rs"]
mod tests;
