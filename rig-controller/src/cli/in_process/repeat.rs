//! Schedules that are run again and again: each run has to come to the same.
use crate::cli::{exit, say};

/// Runs `times` times in all, of which `first` was the first, and says how many were like it; the exit code if any was not.
///
/// # Errors
/// The first error of `run`.
pub(super) fn compare_runs<R: PartialEq, E>(
    first: &R,
    times: u32,
    mut run: impl FnMut() -> Result<R, E>,
) -> Result<Option<u8>, E> {
    if times < 2 {
        return Ok(None);
    }
    let mut different = Vec::new();
    for number in 2..=times {
        if run()? != *first {
            different.push(number);
        }
    }
    let same = times as usize - different.len();
    say::line(&format!("{same} of {times} runs identical"));
    Ok(different.first().map(|number| {
        say::line(&format!(
            "run {number} differs from the first in verdict or flash: runs of one schedule must not"
        ));
        exit::BENCH
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(runs: &[u8]) -> Option<u8> {
        let mut rest = runs[1..].iter();
        let run = || rest.next().copied().ok_or("run too often");
        compare_runs(&runs[0], runs.len() as u32, run).unwrap()
    }

    #[test]
    fn runs_that_differ_are_a_bench_error_whatever_the_first_came_to() {
        assert_eq!(compared(&[1]), None);
        assert_eq!(compared(&[1, 1, 1]), None);
        assert_eq!(compared(&[1, 1, 2]), Some(exit::BENCH));
        assert_eq!(compared(&[1, 2, 2]), Some(exit::BENCH));
    }
}
