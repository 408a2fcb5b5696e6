//! What the platform keeps for good, in one SQLite database: packages, devices, tasks, each device's part in them, and
//! an append-only history.
//!
//! Whatever was acknowledged survives SIGKILL and loss of power: the journal is a write-ahead log that is synced at each
//! commit (`synchronous=FULL`). All writes go through one thread that commits many of them at once ([`Store::write`]);
//! each is done whole or not at all. Reads see committed content only and never wait for writes.
mod devices;
mod history;
mod ids;
mod packages;
mod parts;
mod schema;
mod tasks;
mod writer;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, Transaction};

use super::refusal::Refusal;

pub use devices::{
    DeviceNote, DeviceRecord, Enrolment, device, devices, enrol, note_devices, remove_device,
};
pub use history::{HistoryEntry, HistoryFilter, history};
pub use packages::{PackageRecord, package_record, packages, put_package};
pub use parts::{Kept, parts, save_part, save_progress, summary};
pub use tasks::{
    NewTask, TaskRecord, UnfinishedTask, cancel_task, create_task, task, tasks, unfinished_tasks,
};

use writer::Writer;

/// Name of the database in the data folder.
pub const DATABASE: &str = "platform.db";
/// Connections kept for readers; more are opened and closed as needed.
const IDLE_READERS: usize = 4;
/// How long a connection waits for another process that reads the database, such as a backup.
const BUSY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The database cannot do its part, or refuses what is asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file of a backup cannot be made.
    #[error(
        "cannot make the backup {}: {source}; name a file that does not exist yet, in a folder that is writable", .path.display()
    )]
    Backup {
        /// The file.
        path: PathBuf,
        /// The complaint of the host.
        source: std::io::Error,
    },
    /// The database cannot be opened.
    #[error("cannot open the database {}: {source}; check that the folder exists, is writable and has space", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The database was written by a later version.
    #[error("the database {} has schema {found}, this rig knows up to {known}; use the version that wrote it", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The latest schema known here.
        known: i64,
    },
    /// SQLite refused.
    #[error(
        "the database failed: {0}; check the space left on its disk, and the disk itself (`sqlite3 platform.db 'PRAGMA integrity_check'`)"
    )]
    Sql(#[from] rusqlite::Error),
    /// What is kept makes no sense.
    #[error(
        "the database holds {what} that cannot be read; restore a backup (`sqlite3 platform.db 'PRAGMA integrity_check'` tells whether the file is damaged)"
    )]
    Damaged {
        /// What.
        what: String,
    },
    /// The writer is gone.
    #[error("the platform is stopping; ask again once it runs")]
    Stopped,
    /// The host gives no thread.
    #[error("cannot start the thread that writes the database: {0}; check the limit on threads")]
    Thread(#[source] std::io::Error),
    /// The request does not fit what is kept.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// The database, open. Dropping it writes what is still to be written.
pub struct Store {
    path: PathBuf,
    // Closed before the writer, which is then the last and leaves no log behind.
    readers: Mutex<Vec<Connection>>,
    writer: Writer,
}

impl Store {
    /// Open the database of a data folder, or make one; its schema is brought up to date.
    ///
    /// # Errors
    /// When the file system or SQLite refuses, or the schema is of a later version.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(DATABASE);
        let opened = |source| StoreError::Open {
            path: path.clone(),
            source,
        };
        let mut connection = Connection::open(&path).map_err(opened)?;
        configure(&connection).map_err(opened)?;
        schema::migrate(&mut connection, &path)?;
        Ok(Self {
            readers: Mutex::new(Vec::new()),
            writer: Writer::start(connection)?,
            path,
        })
    }

    /// Have `job` done in the next commit and `done` called, on the writer's thread, once it is kept for good or has
    /// failed. Jobs are done in the order in which they are given. A job that fails leaves nothing behind.
    pub fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
        done: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.writer.submit(job, done);
    }

    /// [`Store::write`], waited for.
    ///
    /// # Errors
    /// When the job fails or cannot be committed.
    pub async fn written<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (sender, result) = tokio::sync::oneshot::channel();
        self.write(job, move |done| {
            // Whoever asked may have gone away; what was asked is done all the same.
            let _ = sender.send(done);
        });
        result.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Read what is committed. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// When SQLite refuses, or `read` does.
    pub fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self
            .readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = read(&connection);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < IDLE_READERS {
            readers.push(connection);
        }
        result
    }
}

/// Copy the database of a data folder into a new file, as one moment has it; the platform may go on meanwhile.
///
/// # Errors
/// When there is no database, or the copy cannot be written.
pub fn back_up(folder: &Path, to: &Path) -> Result<(), StoreError> {
    let reader = open_reader(&folder.join(DATABASE))?;
    let target = to.to_str().ok_or_else(|| StoreError::Open {
        path: to.to_owned(),
        source: rusqlite::Error::InvalidPath(to.to_owned()),
    })?;
    // It holds the devices' keys: only its owner may read it, from the first byte on.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|source| StoreError::Backup {
            path: to.to_owned(),
            source,
        })?;
    let copied = reader.execute("VACUUM INTO ?1", [target]);
    copied.map_err(|source| {
        // Half of a copy is none.
        let _ = std::fs::remove_file(to);
        StoreError::Open {
            path: to.to_owned(),
            source,
        }
    })?;
    Ok(())
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let opened = |source| StoreError::Open {
        path: path.to_owned(),
        source,
    };
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(opened)?;
    connection.busy_timeout(BUSY_PATIENCE).map_err(opened)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode only FULL syncs the log at each commit; NORMAL would lose commits with the power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

#[cfg(test)]
mod tests;
