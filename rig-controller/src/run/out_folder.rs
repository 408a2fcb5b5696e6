//! The folder a run writes into, which is one run's at a time: two would mix their results and delete each other's evidence.
//!
//! The lock is the kernel's, on an open file in the folder: it goes with the process that holds it, however that ends. The
//! file tells who that is, for the one that is refused.
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::inputs::quoted;

/// Name of the file that is locked.
const LOCK: &str = ".lock";
/// More than any holder writes.
const HOLDER_BYTES: u64 = 4096;

/// A folder cannot be written into: its class is *bench error*.
#[derive(Debug, thiserror::Error)]
pub enum OutFolderError {
    /// It cannot be made.
    #[error("cannot make the folder {}: {source}; check its permissions, or choose another with --out", .path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Its name is that of something else.
    #[error("{} is a file, and results need a folder; choose another with --out", .path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be locked.
    #[error("cannot lock {}: {source}; check the folder's permissions, or choose another with --out", .path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// Another rig writes into it.
    #[error("{} is in use by {holder}; wait for it or stop it, or choose another folder with --out", .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who that is.
        holder: String,
    },
}

/// A folder that nobody else writes into as long as this lives.
#[derive(Debug)]
pub struct OutFolder {
    _lock: File,
}

impl OutFolder {
    /// Makes the folder if it is not there, and locks it.
    ///
    /// # Errors
    /// When it cannot be made or locked, or another process has it.
    pub fn take(path: &Path) -> Result<Self, OutFolderError> {
        if path.exists() && !path.is_dir() {
            return Err(OutFolderError::NoFolder {
                path: path.to_owned(),
            });
        }
        std::fs::create_dir_all(path).map_err(|source| OutFolderError::Make {
            path: path.to_owned(),
            source,
        })?;
        let file = path.join(LOCK);
        let failed = |source| OutFolderError::Lock {
            path: file.clone(),
            source,
        };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OutFolderError::InUse {
                    path: path.to_owned(),
                    holder: holder(&mut lock),
                });
            }
            // A file system without locks: nothing can be promised there, and a run alone needs none.
            Err(TryLockError::Error(source))
                if source.kind() == std::io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Only for the message that refuses another: a full disk is no reason not to run.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(introduction().as_bytes()));
        Ok(Self { _lock: lock })
    }
}

/// What the holder of a lock tells of itself.
fn introduction() -> String {
    let command: Vec<String> = std::env::args_os()
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    let now = OffsetDateTime::now_utc().truncate_to_second();
    let since = now.format(&Rfc3339);
    let since = since.unwrap_or_else(|_| "an unknown time".to_owned());
    format!(
        "process {} since {since}: {}\n",
        std::process::id(),
        command.join(" ")
    )
}

/// What the holder of `lock` has told of itself.
fn holder(lock: &mut File) -> String {
    let mut text = Vec::new();
    // What cannot be read is said to be unknown.
    let _ = lock.take(HOLDER_BYTES).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text);
    match text.lines().next() {
        Some(line) if !line.is_empty() => line.escape_debug().to_string(),
        _ => "another process".to_owned(),
    }
}
