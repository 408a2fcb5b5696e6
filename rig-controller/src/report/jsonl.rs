//! `results.jsonl`: one case a line, each complete on disk before the next case is told of.
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{CaseResult, ReportError};
use powercut_document::input_file;

/// Files larger than this are no results: a case has a few kilobytes.
const LARGEST_BYTES: u64 = 1 << 30;

/// Appends results to a file.
#[derive(Debug)]
pub struct JsonlWriter {
    path: PathBuf,
    file: File,
    /// Of what was written whole.
    length: u64,
}

impl JsonlWriter {
    /// Create the file, or empty it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(path: &Path) -> Result<Self, ReportError> {
        let file = File::create(path).map_err(|source| ReportError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length: 0,
        })
    }

    /// Write one line and hand it to the operating system.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, result: &CaseResult) -> Result<(), ReportError> {
        let line = self.line(result)?;
        // One write of the whole line: a run that dies between two leaves no half of one.
        let written = self.file.write_all(&line);
        if written.is_ok() {
            self.length += line.len() as u64;
        } else {
            // Nor does a full disk. What is no regular file has no length to be set.
            let _ = self.file.set_len(self.length);
            let _ = self.file.seek(SeekFrom::Start(self.length));
        }
        written.map_err(|source| self.failed(source))
    }

    /// Put these results in place of all that was written.
    ///
    /// # Errors
    /// When the file system refuses; then the file is as it was.
    pub fn rewrite<'r>(
        &mut self,
        results: impl IntoIterator<Item = &'r CaseResult>,
    ) -> Result<(), ReportError> {
        let mut text = Vec::new();
        for result in results {
            text.append(&mut self.line(result)?);
        }
        super::replace_file(&self.path, &text).map_err(|source| self.failed(source))?;
        let mut file = File::options()
            .write(true)
            .open(&self.path)
            .map_err(|source| self.failed(source))?;
        self.length = text.len() as u64;
        file.seek(SeekFrom::Start(self.length))
            .map_err(|source| self.failed(source))?;
        self.file = file;
        Ok(())
    }

    fn failed(&self, source: std::io::Error) -> ReportError {
        ReportError::Write {
            path: self.path.clone(),
            source,
        }
    }

    fn line(&self, result: &CaseResult) -> Result<Vec<u8>, ReportError> {
        let mut line = serde_json::to_vec(result).map_err(|error| ReportError::Encode {
            path: self.path.clone(),
            case: result.case_line.clone(),
            reason: error.to_string(),
        })?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A file of results cannot be used: the class is *bad input*.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file system refused.
    #[error("cannot read {}: {source}; give the results.jsonl of a run", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A line is no result.
    #[error("{}:{line}: {source}; this rig reads results of schema {}", .path.display(), super::SCHEMA)]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Reads the results of a run.
///
/// # Errors
/// When the file cannot be read or a line of it is no result.
pub fn read_results(path: &Path) -> Result<Vec<CaseResult>, ResultsError> {
    let text = input_file::read_text(path, LARGEST_BYTES).map_err(|error| ResultsError::Read {
        path: path.to_owned(),
        source: error.into(),
    })?;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| ResultsError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::result::tests::result;
    use super::super::{HappenedCut, NotObserved};
    use super::*;
    use crate::plan::Phase;
    use powercut_oracle::verdict::{Invariant, Verdict};

    #[test]
    fn every_line_is_there_as_soon_as_it_is_written_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut first = result(&Verdict::Pass);
        first.seconds = 0.25;
        first.checked = vec![Invariant::S1, Invariant::T1];
        first.not_observed = vec![NotObserved {
            invariant: Invariant::S3,
            why: "flash operations are not seen".to_owned(),
        }];
        first.cuts = vec![HappenedCut {
            planned: "op3121".to_owned(),
            operation: Some(3121),
            phase: Some(Phase::Swap),
            fragment: None,
        }];
        first.counts.boots = 4;
        let second = result(&Verdict::FirmwareFailure {
            invariant: Invariant::S1,
            reason: "line one\nline two \u{1b}[0m".to_owned(),
        });
        let mut writer = JsonlWriter::create(&path).unwrap();
        for (count, result) in [&first, &second].into_iter().enumerate() {
            writer.write(result).unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), count + 1);
            let last: CaseResult = serde_json::from_str(text.lines().last().unwrap()).unwrap();
            assert_eq!(&last, result);
        }
    }

    #[test]
    fn the_names_in_a_line_are_those_of_the_schema() {
        let value = serde_json::to_value(result(&Verdict::FirmwareFailure {
            invariant: Invariant::L1,
            reason: "r".to_owned(),
        }))
        .unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["verdict"], "firmware_failure");
        assert_eq!(value["invariant"], "L1");
        assert_eq!(value["modem_power"], "stays");
        assert!(value["counts"]["fetched_again"].is_null());
        assert!(value["evidence"].is_null());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = JsonlWriter::create(Path::new("/nowhere/results.jsonl")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot write the report /nowhere/results.jsonl")
        );
    }
}
