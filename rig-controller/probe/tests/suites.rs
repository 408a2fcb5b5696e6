//! Real suites of embedded-test and defmt-test, built by `fixtures/suites/build`, on the board in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use powercut_emulator::Timing;
use powercut_probe::VirtualBoard;
use powercut_probe::suite::{self, Suite, SuiteOptions, TestFailure, TestResult, TestVerdict};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/suites")
        .join(name)
}

fn run(name: &str, options: &SuiteOptions) -> Vec<TestResult> {
    let suite = Suite::read(&fixture(name)).unwrap();
    let board = VirtualBoard::erased(Timing::Silicon);
    let mut results = Vec::new();
    suite::run(&suite, &board, options, &mut |result| {
        results.push(result.clone());
    })
    .unwrap();
    results
}

fn named<'a>(results: &'a [TestResult], name: &str) -> &'a TestResult {
    let mut found = results.iter().filter(|result| result.name == name);
    let result = found.next().unwrap_or_else(|| panic!("no test {name}"));
    assert!(found.next().is_none(), "{name} twice");
    result
}

#[test]
fn a_suite_of_embedded_test_ends_in_every_way_there_is() {
    let results = run("faulty-board.elf", &SuiteOptions::default());
    assert_eq!(results.len(), 11);
    let result = |name| named(&results, name);
    let failure = |name: &str| match &named(&results, name).verdict {
        TestVerdict::Failed(failure) => failure.clone(),
        verdict => panic!("{name}: {verdict:?}"),
    };
    let logs = result("logs_and_passes");
    assert_eq!(logs.verdict, TestVerdict::Passed);
    assert!(
        logs.said
            .iter()
            .any(|line| line == "INFO supply at 3300 mV")
    );
    assert!(
        logs.said
            .iter()
            .any(|line| line == "and a word by semihosting")
    );
    assert_eq!(failure("fails_an_assertion"), TestFailure::Aborted);
    let said = result("fails_an_assertion").said.join("\n");
    assert!(said.contains("WARN about to compare"), "{said}");
    assert!(said.contains("arithmetic is off"), "{said}");
    assert_eq!(failure("returns_an_error"), TestFailure::Aborted);
    for (name, limit) in [("turns_in_circles", 1), ("sleeps_for_good", 2)] {
        let limit_of_test = Duration::from_secs(limit);
        let TestFailure::OutOfTime {
            limit,
            pc: Some(pc),
        } = failure(name)
        else {
            panic!("{name}: {}", failure(name));
        };
        assert_eq!(limit, limit_of_test);
        assert!((0x100..0x2_0000).contains(&pc), "{name}: {pc:#x}");
        assert!(result(name).took >= limit);
    }
    let said = &result("turns_in_circles").said;
    assert_eq!(*said, ["INFO round and round"]);
    assert!(matches!(
        failure("reads_where_nothing_is"),
        TestFailure::HardFault { pc } if (0x100..0x2_0000).contains(&pc)
    ));
    for name in [
        "asks_with_a_block_that_is_nowhere",
        "writes_a_text_that_is_nowhere",
    ] {
        assert!(
            matches!(failure(name), TestFailure::BadRequest { pc, .. } if (0x100..0x2_0000).contains(&pc)),
            "{name}: {}",
            failure(name)
        );
    }
    assert_eq!(result("panics_as_it_should").verdict, TestVerdict::Passed);
    assert_eq!(
        failure("does_not_panic_as_it_should"),
        TestFailure::DidNotPanic
    );
    assert_eq!(result("is_ignored").verdict, TestVerdict::Ignored);
}

#[test]
fn a_filter_chooses_tests_and_a_limit_holds_where_a_test_has_none() {
    let options = SuiteOptions {
        filter: "returns_an_error".to_owned(),
        limit: Duration::from_micros(1),
    };
    let results = run("faulty-board.elf", &options);
    assert_eq!(results.len(), 1);
    // It may end before it is looked at; then it has ended as it does.
    assert!(matches!(results[0].verdict, TestVerdict::Failed(_)));
}

#[test]
fn a_suite_of_defmt_test_fails_in_its_test_and_says_which_were_not_run() {
    let results = run("faulty-core.elf", &SuiteOptions::default());
    let names: Vec<&str> = results.iter().map(|result| &*result.name).collect();
    assert_eq!(names, ["passes", "is_ignored", "fails", "is_never_come_to"]);
    let verdicts: Vec<_> = results.iter().map(|result| &result.verdict).collect();
    assert_eq!(
        verdicts,
        [
            &TestVerdict::Passed,
            &TestVerdict::Ignored,
            &TestVerdict::Failed(TestFailure::Aborted),
            &TestVerdict::Failed(TestFailure::NotFinished),
        ]
    );
    let said = results[2].said.join("\n");
    assert!(said.contains("INFO all was well"), "{said}");
    assert!(said.contains("one is not two"), "{said}");
}

#[test]
fn the_same_suite_takes_the_same_time_each_time() {
    let times = || -> Vec<Duration> {
        let options = SuiteOptions {
            filter: "logs".to_owned(),
            ..SuiteOptions::default()
        };
        let results = run("faulty-board.elf", &options);
        results.iter().map(|result| result.took).collect()
    };
    assert_eq!(times(), times());
}
