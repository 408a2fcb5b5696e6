//! What happened, in order: entries are appended, in the same commit as what they tell of, and never altered.
use powercut_upgrade::factory::DeviceId;
use rusqlite::{Connection, Transaction, params};

use super::StoreError;
use crate::refusal::PackageId;
use crate::{TaskId, now_ms};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What can happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum HistoryKind {
            $($(#[$doc])* $kind,)*
        }

        impl HistoryKind {
            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A package was uploaded.
    PackageUploaded = "package_uploaded",
    /// A device was enrolled.
    Enrolled = "enrolled",
    /// A device was removed.
    Removed = "removed",
    /// A device was heard to run another version than before.
    Runs = "runs",
    /// A task was created.
    TaskCreated = "task_created",
    /// A task was cancelled.
    TaskCancelled = "task_cancelled",
    /// All devices of a task have come to an end.
    TaskDone = "task_done",
    /// A device's part in a task has come to another stage.
    Stage = "stage",
    /// An attempt of a device came to nothing; there will be another.
    Retry = "retry",
}

/// Whom or what an entry is about.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Subject {
    pub(super) device: Option<DeviceId>,
    pub(super) task: Option<TaskId>,
    pub(super) package: Option<PackageId>,
}

impl Subject {
    pub(super) fn package(id: PackageId) -> Self {
        Self {
            package: Some(id),
            ..Self::default()
        }
    }

    pub(super) fn device(id: DeviceId) -> Self {
        Self {
            device: Some(id),
            ..Self::default()
        }
    }

    pub(super) fn task(id: TaskId) -> Self {
        Self {
            task: Some(id),
            ..Self::default()
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Position; a later entry is higher.
    pub id: i64,
    /// When, Unix milliseconds.
    pub at_ms: i64,
    /// What happened.
    pub kind: String,
    /// To which device.
    pub device: Option<DeviceId>,
    /// In which task.
    pub task: Option<TaskId>,
    /// With which package.
    pub package: Option<PackageId>,
    /// In words.
    pub detail: String,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct HistoryFilter {
    /// Only of this device.
    pub device: Option<DeviceId>,
    /// Only of this task.
    pub task: Option<TaskId>,
    /// Only before this entry.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

/// Append an entry.
pub(super) fn append(
    transaction: &Transaction<'_>,
    kind: HistoryKind,
    subject: Subject,
    detail: &str,
) -> Result<(), StoreError> {
    transaction
        .prepare_cached(
            "INSERT INTO history (at_ms, kind, device, task, package, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            now_ms(),
            kind.name(),
            subject.device.map(|device| device.0),
            subject.task,
            subject.package,
            detail
        ])?;
    Ok(())
}

/// Entries, the newest first.
pub fn history(
    connection: &Connection,
    filter: HistoryFilter,
) -> Result<Vec<HistoryEntry>, StoreError> {
    // A condition that is not asked for is left out, so that SQLite finds the index that serves the others.
    let mut sql =
        "SELECT id, at_ms, kind, device, task, package, detail FROM history WHERE id < ?1"
            .to_owned();
    let device = filter.device.map(|device| device.0);
    let task = filter.task;
    sql += if device.is_some() {
        " AND device = ?2"
    } else {
        " AND ?2 IS NULL"
    };
    sql += if task.is_some() {
        " AND task = ?3"
    } else {
        " AND ?3 IS NULL"
    };
    sql += " ORDER BY id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(&sql)?;
    let before = filter.before.unwrap_or(i64::MAX);
    let rows = statement.query_map(params![before, device, task, filter.limit], |row| {
        Ok(HistoryEntry {
            id: row.get(0)?,
            at_ms: row.get(1)?,
            kind: row.get(2)?,
            device: row.get::<_, Option<[u8; 8]>>(3)?.map(DeviceId),
            task: row.get(4)?,
            package: row.get(5)?,
            detail: row.get(6)?,
        })
    })?;
    rows.map(|row| row.map_err(StoreError::from)).collect()
}
