//! The record of an exploration: a file with a line for each slice that is done, so that an exploration can be stopped and goes
//! on where it was.
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::say;
use powercut_document::input_file;
use powercut_explore::results::Recorded;

/// More than any exploration records.
const LARGEST_RECORD_BYTES: u64 = 1 << 30;

/// The record of an exploration cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file system refused.
    #[error("cannot read or write the record {}: {source}; check that its folder exists and is writable", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// It is no record, or one of another version.
    #[error("{}:{line}: {reason}; remove this line, and its slice is explored again", .path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// The records of a file that is to grow: it can be written, and ends with a whole line from now on. A last line that was cut
/// off, as by a kill, is dropped, and its slice is explored again.
///
/// # Errors
/// When the file cannot be read or written, or is no record.
pub(super) fn resume<R: Recorded + DeserializeOwned>(path: &Path) -> Result<Vec<R>, RecordError> {
    let refused = |source| RecordError::File {
        path: path.to_owned(),
        source,
    };
    let text = text(path)?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let (lines, last) = text.split_at(whole);
    let mut records = parse(path, lines, 1)?;
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(refused)?;
    if last.is_empty() {
        return Ok(records);
    }
    match parse(path, last, lines.lines().count() + 1) {
        Ok(record) => {
            records.extend(record);
            file.write_all(b"\n").map_err(refused)?;
        }
        Err(_) if last.starts_with("{\"") => {
            file.set_len(whole as u64).map_err(refused)?;
            say::complain(&format!(
                "{}: the last line was cut off; it is gone now, and its slice is explored again",
                path.display()
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(records)
}

/// The records of a file; none if there is no file.
///
/// # Errors
/// When the file cannot be read, or is no record.
pub(super) fn read<R: Recorded + DeserializeOwned>(path: &Path) -> Result<Vec<R>, RecordError> {
    parse(path, &text(path)?, 1)
}

fn text(path: &Path) -> Result<String, RecordError> {
    match input_file::read_text(path, LARGEST_RECORD_BYTES).map_err(Into::into) {
        Ok(text) => Ok(text),
        Err(error) if std::io::Error::kind(&error) == ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(RecordError::File {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The records in `text`, whose first line is line `first` of the file.
fn parse<R: Recorded + DeserializeOwned>(
    path: &Path,
    text: &str,
    first: usize,
) -> Result<Vec<R>, RecordError> {
    let mut records = Vec::new();
    for (number, line) in (first..).zip(text.lines()) {
        let content = |reason: String| RecordError::Content {
            path: path.to_owned(),
            line: number,
            reason,
        };
        let record: R = serde_json::from_str(line).map_err(|error| content(error.to_string()))?;
        if record.schema() != R::SCHEMA {
            return Err(content(format!(
                "schema {} is not known here",
                record.schema()
            )));
        }
        records.push(record);
    }
    Ok(records)
}

/// Appends a record.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn append(path: &Path, record: &impl Serialize) -> Result<(), RecordError> {
    let write = || {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?
            .write_all(&line)
    };
    write().map_err(|source| RecordError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Slice {
        schema: u32,
        slice: String,
    }

    impl Recorded for Slice {
        const SCHEMA: u32 = 1;

        fn schema(&self) -> u32 {
            self.schema
        }

        fn slice(&self) -> &str {
            &self.slice
        }

        fn agrees_with(&self, other: &Self) -> bool {
            self == other
        }
    }

    fn slice(name: &str) -> Slice {
        Slice {
            schema: 1,
            slice: name.to_owned(),
        }
    }

    #[test]
    fn a_record_goes_on_behind_a_line_without_its_end_or_in_place_of_one_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.jsonl");
        assert_eq!(resume::<Slice>(&path).unwrap(), []);
        append(&path, &slice("a")).unwrap();
        append(&path, &slice("b")).unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        for (cut, kept) in [(1, 2), (2, 1), (10, 1)] {
            std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
            assert_eq!(resume::<Slice>(&path).unwrap().len(), kept, "{cut}");
            append(&path, &slice("c")).unwrap();
            assert_eq!(read::<Slice>(&path).unwrap().len(), kept + 1, "{cut}");
        }
    }

    #[test]
    fn a_file_that_is_no_record_stays_as_it_is_and_one_that_cannot_be_written_is_found_out_at_once()
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        for text in ["hello", "hello\nworld\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(
                resume::<Slice>(&path),
                Err(RecordError::Content { line: 1, .. })
            ));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let record = serde_json::to_string(&slice("a")).unwrap();
        std::fs::write(&path, format!("{record}\nhello")).unwrap();
        assert!(matches!(
            resume::<Slice>(&path),
            Err(RecordError::Content { line: 2, .. })
        ));
        let nowhere = folder.path().join("none/record.jsonl");
        assert!(matches!(
            resume::<Slice>(&nowhere),
            Err(RecordError::File { .. })
        ));
    }
}
