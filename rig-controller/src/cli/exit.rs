//! Exit codes, for scripts and CI.
use crate::report::CaseResult;
use powercut_oracle::verdict::VerdictClass;

/// Every case passed.
pub const PASS: u8 = 0;
/// The firmware failed in at least one case.
pub const FIRMWARE: u8 = 1;
/// An input cannot be used; also when a plan turns out to ask for what cannot be.
pub const BAD_INPUT: u8 = 2;
/// No firmware failure, but the bench erred or a case proved nothing.
pub const BENCH: u8 = 3;

/// For `--help`.
pub const HELP: &str = "Exit codes: 0 all cases pass; 1 the firmware failed in at least one; 2 bad input; 3 the bench erred or a case proved nothing; 130 or 143 stopped by a signal.";

/// What cases that ended like this mean for the whole run.
pub fn of<'a>(results: impl IntoIterator<Item = &'a CaseResult>) -> u8 {
    worst(results.into_iter().map(|result| of_class(result.verdict)))
}

/// What these codes mean together: what is known for certain outweighs what is not known.
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let weigh = |code: &u8| match *code {
        FIRMWARE => 3,
        BAD_INPUT => 2,
        BENCH => 1,
        _ => 0,
    };
    codes.into_iter().max_by_key(weigh).unwrap_or(PASS)
}

/// The code of one verdict.
pub fn of_class(class: VerdictClass) -> u8 {
    match class {
        VerdictClass::Pass => PASS,
        VerdictClass::FirmwareFailure => FIRMWARE,
        VerdictClass::PlanError => BAD_INPUT,
        VerdictClass::BenchError | VerdictClass::Inconclusive => BENCH,
    }
}
