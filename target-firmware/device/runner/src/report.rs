//! What came of the tests, in the words cargo's own tests use.

use powercut_suite::{TestResult, TestVerdict};

/// Counts outcomes and prints each as it comes.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl Report {
    pub(crate) fn add(&mut self, result: &TestResult) {
        let name = &result.name;
        match &result.verdict {
            TestVerdict::Passed => {
                println!("test {name} ... ok");
                self.passed += 1;
            }
            TestVerdict::Ignored => {
                println!("test {name} ... ignored");
                self.ignored += 1;
            }
            TestVerdict::Failed(failure) => {
                println!("test {name} ... FAILED: {failure}");
                for line in &result.said {
                    println!("    {line}");
                }
                self.failed += 1;
            }
        }
    }

    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// The closing line.
    pub(crate) fn summary(&self) -> String {
        let verdict = if self.failed == 0 { "ok" } else { "FAILED" };
        format!(
            "test result: {verdict}. {} passed; {} failed; {} ignored; on target",
            self.passed, self.failed, self.ignored
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn one_failure_makes_the_suite_fail() {
        let mut report = Report::default();
        report.passed("a");
        report.ignored("b");
        assert!(
            report
                .summary()
                .starts_with("test result: ok. 1 passed; 0 failed; 1 ignored")
        );
        report.failed_because("c", "it did");
        assert!(
            report
                .summary()
                .starts_with("test result: FAILED. 1 passed; 1 failed;")
        );
    }
}
