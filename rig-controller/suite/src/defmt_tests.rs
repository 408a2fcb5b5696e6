//! Suites of the crate `defmt-test`: one program runs all tests in order, and tells by defmt frames which one it has come to.

use std::collections::BTreeSet;
use std::time::Duration;

use object::{Object, ObjectSymbol};
use serde::Deserialize;

use super::transcript::{Message, Transcript};
use super::{End, TestFailure, TestResult, TestVerdict};

/// A frame of defmt-test, without the number of the test.
enum Announcement<'a> {
    Running(&'a str),
    Ignoring(&'a str),
    AllPassed,
}

fn announcement(message: &str) -> Option<Announcement<'_>> {
    if message == "all tests passed!" {
        return Some(Announcement::AllPassed);
    }
    let (_, action) = message.strip_prefix('(')?.split_once(") ")?;
    let (verb, name) = action.strip_suffix("`...")?.split_once(" `")?;
    match verb {
        "running" => Some(Announcement::Running(name)),
        "ignoring" => Some(Announcement::Ignoring(name)),
        _ => None,
    }
}

/// The name of a symbol in section `.defmt`: a string of the program.
#[derive(Deserialize)]
struct Interned {
    data: String,
}

/// The names of the tests that a program announces.
pub(super) fn of(elf: &object::File<'_>) -> BTreeSet<String> {
    elf.symbols()
        .filter_map(|symbol| serde_json::from_str::<Interned>(symbol.name().ok()?).ok())
        .filter_map(|interned| match announcement(&interned.data)? {
            Announcement::Running(name) | Announcement::Ignoring(name) => Some(name.to_owned()),
            Announcement::AllPassed => None,
        })
        .collect()
}

/// The results of the tests of defmt-test with these `names`, of a run that `said` this and came to this `end`: a test has passed
/// when the next one is announced, and lines in between belong to it.
pub fn judge(names: &BTreeSet<String>, said: &Transcript<'_>, end: &End) -> Vec<TestResult> {
    let mut judged = Judged::default();
    let mut all_passed = false;
    for message in said.messages() {
        match announcement(&message.text) {
            None => judged.said.push(message),
            Some(announcement) => {
                judged.close(TestVerdict::Passed, message.at);
                match announcement {
                    Announcement::Running(name) => judged.running = Some((name, message.at)),
                    Announcement::Ignoring(name) => {
                        judged.add(name, TestVerdict::Ignored, Duration::ZERO);
                    }
                    Announcement::AllPassed => all_passed = true,
                }
            }
        }
    }
    let failure = match end {
        End::Returned if all_passed => None,
        End::Returned => Some(TestFailure::NotFinished),
        End::Failed(failure) => Some(failure.clone()),
    };
    if let Some(failure) = failure {
        // Between two tests the failure is that of the suite's own code.
        if judged.running.is_none() {
            judged.running = Some(("the suite itself", said.ended_at()));
        }
        judged.close(TestVerdict::Failed(failure), said.ended_at());
    }
    for name in names {
        if !judged.results.iter().any(|result| result.name == *name) {
            judged.add(
                name,
                TestVerdict::Failed(TestFailure::NotFinished),
                Duration::ZERO,
            );
        }
    }
    judged.results
}

#[derive(Default)]
struct Judged<'a> {
    results: Vec<TestResult>,
    /// The test that runs, since when.
    running: Option<(&'a str, Duration)>,
    said: Vec<&'a Message>,
}

impl Judged<'_> {
    fn close(&mut self, verdict: TestVerdict, now: Duration) {
        if let Some((name, since)) = self.running.take() {
            self.add(name, verdict, now.saturating_sub(since));
        }
        self.said.clear();
    }

    fn add(&mut self, name: &str, verdict: TestVerdict, took: Duration) {
        self.results.push(TestResult {
            name: name.to_owned(),
            verdict,
            said: self.said.drain(..).map(ToString::to_string).collect(),
            took,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(messages: &[&str], end: &End) -> Vec<(String, TestVerdict)> {
        let said = Transcript::of_messages(messages);
        let names = ["a", "b", "c"].map(str::to_owned).into();
        judge(&names, &said, end)
            .into_iter()
            .map(|result| (result.name, result.verdict))
            .collect()
    }

    #[test]
    fn a_suite_that_comes_to_its_end_has_passed_its_announced_tests() {
        let messages = [
            "(1/3) running `a`...",
            "chatter",
            "(2/3) ignoring `b`...",
            "(3/3) running `c`...",
            "all tests passed!",
        ];
        assert_eq!(
            verdicts(&messages, &End::Returned),
            [
                ("a".to_owned(), TestVerdict::Passed),
                ("b".to_owned(), TestVerdict::Ignored),
                ("c".to_owned(), TestVerdict::Passed),
            ]
        );
    }

    #[test]
    fn a_suite_that_hangs_has_failed_in_the_test_it_was_in_and_the_others_were_not_run() {
        let messages = ["(1/3) running `a`...", "(2/3) running `b`..."];
        let out_of_time = TestFailure::OutOfTime {
            limit: Duration::from_secs(1),
            pc: None,
        };
        assert_eq!(
            verdicts(&messages, &End::Failed(out_of_time.clone())),
            [
                ("a".to_owned(), TestVerdict::Passed),
                ("b".to_owned(), TestVerdict::Failed(out_of_time)),
                (
                    "c".to_owned(),
                    TestVerdict::Failed(TestFailure::NotFinished)
                ),
            ]
        );
    }

    #[test]
    fn a_suite_that_exits_before_its_first_test_passes_none() {
        let verdicts = verdicts(&[], &End::Returned);
        assert_eq!(verdicts.len(), 4);
        assert_eq!(verdicts[0].0, "the suite itself");
        let failed = |(_, verdict): &(String, TestVerdict)| {
            *verdict == TestVerdict::Failed(TestFailure::NotFinished)
        };
        assert!(verdicts.iter().all(failed));
    }
}
