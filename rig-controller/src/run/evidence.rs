//! The folder of a case: what was seen, and all that is needed to run it again on another computer.
//!
//! ```text
//! case.txt       how it ended, and how to run it again
//! result.json    its record, as in results.jsonl
//! timeline.txt   what happened, when
//! flash/         cut-1-before.bin, cut-1-after.bin, .. and end.bin: whole flash
//! firmware/      a firmware set of the case's two images, with ELF files
//! plan.yaml, bench.yaml, links/NAME.yaml   as used
//! ```
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::foreign;
use super::inputs::Inputs;
use super::judged::Attempt;
use crate::case::runner::Taken;
use crate::plan::{Case, CaseLine, ParseCaseLineError};
use crate::report::CaseResult;
use powercut_document::input_file;
use powercut_package::FirmwareError;

/// Evidence could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file system refused.
    #[error("cannot write the evidence {}: {source}; check that the folder is writable and has space", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The firmware set.
    #[error(transparent)]
    Firmware(#[from] FirmwareError),
}

/// A folder holds no evidence.
#[derive(Debug, thiserror::Error)]
pub enum NoEvidenceError {
    /// Its record is missing or unreadable.
    #[error("{}: cannot read {}: {source}; give the folder of one case, such as powercut-out/smoke/cases/007-mb-1", .folder.display(), RESULT)]
    Read {
        /// The folder.
        folder: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Its record is damaged.
    #[error("{}: {source}; copy the folder again", .path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Something that a replay reads is not of the folder itself.
    #[error(
        "{} {what}; evidence is plain files of one folder, and nothing outside it is read; if the folder is yours, copy what is meant into it", .path.display()
    )]
    LeadsOut {
        /// What it is about.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Its record names no case.
    #[error("{}: {source}", .path.display())]
    Case {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        source: ParseCaseLineError,
    },
}

const RESULT: &str = "result.json";
/// Files larger than this are no result of a case.
const LARGEST_RESULT_BYTES: u64 = 64 << 20;
const CASE: &str = "case.txt";

/// Writes the folder of a case. What was there before goes.
///
/// # Errors
/// When the file system refuses.
pub fn write(
    folder: &Path,
    inputs: &Inputs,
    case: &Case,
    attempt: &Attempt,
    result: &CaseResult,
) -> Result<(), EvidenceError> {
    // A folder with this file is complete: it goes first and comes last.
    let complete = folder.join(CASE);
    if complete.exists() {
        fs::remove_file(&complete).map_err(failed(&complete))?;
    }
    let flash = folder.join("flash");
    if flash.exists() {
        // An earlier run may have had more cuts.
        fs::remove_dir_all(&flash).map_err(failed(&flash))?;
    }
    for folder in [&flash, &folder.join("links")] {
        fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    let file = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).map_err(failed(&path))
    };
    file("timeline.txt", attempt.report.timeline.as_bytes())?;
    let mut cuts = 0;
    for snapshot in &attempt.report.snapshots {
        match &snapshot.taken {
            Taken::AfterCut(before) => {
                cuts += 1;
                if let Some(before) = before {
                    file(&format!("flash/cut-{cuts}-before.bin"), before)?;
                }
                file(&format!("flash/cut-{cuts}-after.bin"), &snapshot.after)?;
            }
            Taken::AtTheEnd => file("flash/end.bin", &snapshot.after)?,
        }
    }
    let copy = |from: &Path, to: &str| {
        let to = folder.join(to);
        // A replay may keep its evidence where it found the case: copying a file onto itself empties it.
        if is_same(from, &to) {
            return Ok(());
        }
        fs::copy(from, &to).map(drop).map_err(failed(&to))
    };
    copy(&inputs.sources.plan, "plan.yaml")?;
    copy(&inputs.sources.bench, "bench.yaml")?;
    let link = format!("{}.yaml", case.link);
    copy(&inputs.sources.links.join(&link), &format!("links/{link}"))?;
    let images = inputs.images(case)?;
    inputs.firmware.save_subset(
        &[(&case.from, &images.old), (&case.to, &images.new)],
        &folder.join("firmware"),
    )?;
    let record = serde_json::to_vec_pretty(result).map_err(|error| EvidenceError::Write {
        path: folder.join(RESULT),
        source: error.into(),
    })?;
    file(RESULT, &record)?;
    file(CASE, text(result).as_bytes())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> EvidenceError + use<> {
    let path = path.to_owned();
    move |source| EvidenceError::Write { path, source }
}

fn text(result: &CaseResult) -> String {
    let verdict = match (&result.invariant, &result.reason) {
        (Some(invariant), Some(reason)) => {
            format!(
                "{} ({invariant}: {}): {reason}",
                result.verdict,
                invariant.meaning()
            )
        }
        (None, Some(reason)) => format!("{}: {reason}", result.verdict),
        (_, None) => result.verdict.to_string(),
    };
    let also = result.also.iter().fold(String::new(), |mut text, also| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "also:    {also}");
        text
    });
    format!(
        "{}\n\ncase:    {}\nboard:   {}\nverdict: {verdict}\n{also}\n\
         Run it again where it was run:\n\n    {}\n\n\
         or from this folder alone, on any computer with `rig` (and QEMU, if bench.yaml has `engine: qemu`), ten times:\n\n    rig replay . --times 10\n",
        result.title, result.case_line, result.board, result.replay
    )
}

/// The case a folder of evidence is about, and its record.
///
/// # Errors
/// When the folder holds no evidence, its record is damaged, or anything a replay reads leads out of the folder.
pub fn read(folder: &Path) -> Result<(CaseLine, CaseResult), NoEvidenceError> {
    let path = folder.join(RESULT);
    foreign::check(folder, &path)?;
    let content =
        input_file::read(&path, LARGEST_RESULT_BYTES).map_err(|error| NoEvidenceError::Read {
            folder: folder.to_owned(),
            source: error.into(),
        })?;
    let result: CaseResult =
        serde_json::from_slice(&content).map_err(|source| NoEvidenceError::Record {
            path: path.clone(),
            source,
        })?;
    let line = result
        .case_line
        .parse()
        .map_err(|source| NoEvidenceError::Case { path, source })?;
    Ok((line, result))
}

/// Removes what an earlier run left in `cases`: folders that hold a case, and nothing else.
///
/// # Errors
/// When the file system refuses.
pub fn clear(cases: &Path) -> Result<(), EvidenceError> {
    let Ok(entries) = fs::read_dir(cases) else {
        return Ok(());
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.join(CASE).is_file() {
            fs::remove_dir_all(&path).map_err(failed(&path))?;
        }
    }
    Ok(())
}
