//! The judgement of a case that is over: verdict and rulings, from what was seen and how the run ended.
use std::time::Duration;

use powercut_upgrade::manifest::Suite;

use super::monitor::Monitor;
use super::runner::{Run, Taken};
use crate::plan::{Cut, FinalImage};
use powercut_bench::board::BoardError;
use powercut_bench::modem::ModemError;
use powercut_bench::relay::RelayError;
use powercut_oracle::ending::Ending;
use powercut_oracle::oracle::Oracle;
use powercut_oracle::rulings::Rulings;
use powercut_oracle::verdict::{Invariant, Verdict, VerdictClass};
use powercut_platform::{DeviceState, PlatformError};

/// A board of whose pauses nothing is known counts as gone after so long, or after a quarter of a short case's time.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Why S5 means nothing of the suite `m-sequence`.
const REUSED: &str = "not judged: the suite reuses its keystream";
/// Why a case that did not end as cases do has rulings on nothing but what broke.
const UNJUDGED: &str = "the case did not come to an end that could be judged";

/// How the part that needs the board ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The device told the platform how the upgrade ended, and told it again after one more boot.
    Rested,
    /// The case's time is up.
    TimedOut,
    /// The oracle has seen enough.
    Violated,
    /// The run is cancelled.
    Cancelled,
}

/// The rulings of a case with this verdict.
pub(super) fn rulings(oracle: &Oracle, verdict: Option<&Verdict>) -> Rulings {
    let is_judged = verdict.is_some_and(|verdict| {
        matches!(
            verdict.class(),
            VerdictClass::Pass | VerdictClass::FirmwareFailure
        )
    });
    oracle.rulings((!is_judged).then_some(UNJUDGED))
}

impl Run<'_> {
    pub(super) fn judge(&self, end: End, state: &DeviceState) -> Verdict {
        let mut monitor = self.monitor();
        let registered = monitor.modem_registered();
        if end == End::TimedOut {
            if !registered && monitor.oracle.violations().is_empty() {
                return Verdict::BenchError {
                    reason: "the modem never registered with the network; check its SIM, antenna and `modem` in the bench file".to_owned(),
                };
            }
            let silent = self.clock.now().saturating_sub(monitor.last_sign_of_life);
            let usual = SIGN_OF_LIFE.min(self.setup.case.timeout / 4);
            let patience = self
                .facts
                .silence
                .unwrap_or(usual)
                .max(monitor.link_silence());
            if monitor.oracle.violations().is_empty() && silent < patience {
                return Verdict::Inconclusive {
                    reason: format!(
                        "the device was still working when the case's time ({} s) was up; raise timeout_s",
                        self.setup.case.timeout.as_secs()
                    ),
                };
            }
            let reason = format!(
                "power was on and a valid image was there, but the device has been silent for {} s without coming to its end",
                silent.as_secs()
            );
            monitor.oracle.report(Invariant::L2, reason);
        }
        if self.setup.case.suite == Suite::MSequence {
            monitor.oracle.excuse(Invariant::S5, REUSED);
        }
        monitor.oracle.look_at(Invariant::S5);
        for reuse in self.setup.platform.ledger().violations() {
            monitor.oracle.report(Invariant::S5, reuse.to_string());
        }
        if end == End::Rested {
            self.check_end(&mut monitor, state);
        }
        let missed: Vec<String> = monitor.trigger.waiting().map(Cut::to_string).collect();
        let missed = missed.join(", ");
        if self.setup.cuts.is_empty() {
            monitor.oracle.excuse(Invariant::T1, "no cut was planned");
        } else if missed.is_empty() {
            // Power was proved off at each of them, or the case would be a bench error.
            monitor.oracle.look_at(Invariant::T1);
        } else {
            let why = format!("the run did not reach {missed}");
            monitor.oracle.excuse(Invariant::T1, &why);
        }
        if let Some(violation) = monitor.oracle.violations().first() {
            return Verdict::FirmwareFailure {
                invariant: violation.invariant,
                reason: violation.reason.clone(),
            };
        }
        if !missed.is_empty() {
            return Verdict::Inconclusive {
                reason: format!(
                    "T1: planned cuts never came about: {missed}; the run did not reach them"
                ),
            };
        }
        Verdict::Pass
    }

    /// The end: the right image, the right outcome, and no more erases than needed.
    fn check_end(&self, monitor: &mut Monitor, state: &DeviceState) {
        let Some(end) = self
            .snapshots
            .last()
            .filter(|last| last.taken == Taken::AtTheEnd)
        else {
            // Flash cannot be read on this board.
            return;
        };
        let (layout, images, expect) = (
            &self.setup.board.layout,
            &self.setup.images,
            self.setup.case.expect,
        );
        let ending = Ending::of(
            &end.after,
            (self.setup.board.geometry, layout),
            images,
            state.last_report.map(|status| status.result),
            monitor.oracle.trials(),
        );
        monitor.oracle.at_end(ending.is_new);
        monitor.oracle.look_at(Invariant::Expectation);
        if ending.is_old || ending.is_new {
            monitor.oracle.look_at(Invariant::S1);
        }
        let wanted = match expect.final_image {
            FinalImage::From => ending.is_old,
            FinalImage::To => ending.is_new,
        };
        if !wanted || ending.outcome != Some(expect.outcome) {
            let reason = format!(
                "the plan expects the upgrade {} and the {} image running; it ended {}",
                expect.outcome,
                expect.final_image,
                ending.in_words(),
            );
            monitor.oracle.report(Invariant::Expectation, reason);
        }
    }
}
/// The bench could not do its part.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    #[error(transparent)]
    Board(#[from] BoardError),
    #[error(transparent)]
    Relay(#[from] RelayError),
    #[error(
        "board {board} still has power although {relay} has switched it off: {witness} says that {how}; check the relay's contact and what else feeds the board"
    )]
    StillOn {
        board: String,
        relay: String,
        witness: String,
        how: String,
    },
    #[error(
        "board {board} cannot be told how much its RAM keeps in a cut; leave `ram` out of the plan's cuts, or run them on a board with `engine: process`"
    )]
    RamNotKept { board: String },
    #[error(transparent)]
    Platform(#[from] PlatformError),
    #[error(transparent)]
    Modem(ModemError),
}

impl CaseError {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            // A core that faults while it handles a fault stops for good: the firmware's doing, not the bench's.
            Self::Board(error @ BoardError::LockedUp { .. }) => Verdict::FirmwareFailure {
                invariant: Invariant::S1,
                reason: error.to_string(),
            },
            _ => Verdict::BenchError {
                reason: self.to_string(),
            },
        }
    }
}
