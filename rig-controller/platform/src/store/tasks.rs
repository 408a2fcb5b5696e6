//! Tasks: a package to be installed on some devices.
use std::collections::HashMap;
use std::sync::Arc;

use powercut_upgrade::factory::DeviceId;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::StoreError;
use super::history::{HistoryKind, Subject, append};
use super::packages::{package, package_record};
use super::parts::{PartRecord, parts, save_part, unfinished_parts};
use crate::fleet::{Part, Policy};
use crate::refusal::{PackageId, Refusal};
use crate::{TaskId, now_ms};
use powercut_package::Package;

/// A task to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// What is to be installed.
    pub package: PackageId,
    /// Where.
    pub devices: Vec<DeviceId>,
    /// How long to wait, how often to try.
    pub policy: Policy,
}

/// A task as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// Which one.
    pub id: TaskId,
    /// What is to be installed.
    pub package: PackageId,
    /// Its version and fragments.
    pub version: String,
    /// Fragments of the package.
    pub fragments: u16,
    /// How long to wait, how often to try.
    pub policy: Policy,
    /// When it was created, Unix milliseconds.
    pub created_ms: i64,
    /// When it was cancelled, Unix milliseconds.
    pub cancelled_ms: Option<i64>,
    /// When its last device came to an end, Unix milliseconds.
    pub finished_ms: Option<i64>,
}

/// A task that goes on, with all it takes to go on.
#[derive(Debug, Clone)]
pub struct UnfinishedTask {
    /// Which one.
    pub id: TaskId,
    /// What is to be installed.
    pub package: Arc<Package>,
    /// How long to wait, how often to try.
    pub policy: Policy,
    /// Its devices, those that are done too.
    pub parts: Vec<PartRecord>,
}

const COLUMNS: &str = "id, package, attempts, query_s, download_s, result_s, created_ms, cancelled_ms, finished_ms, window";

/// Create a task: for all of its devices or not at all.
///
/// # Errors
/// When package or devices are not known, do not go together, or a device has an unfinished task.
pub fn create_task(
    transaction: &Transaction<'_>,
    new: &NewTask,
) -> Result<UnfinishedTask, StoreError> {
    let package = package(transaction, new.package)?;
    let now = now_ms();
    let Policy {
        attempts,
        query_s,
        download_s,
        result_s,
        window,
    } = new.policy;
    transaction.prepare_cached(
        "INSERT INTO tasks (package, attempts, query_s, download_s, result_s, created_ms, window) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?.execute(params![new.package, attempts, query_s, download_s, result_s, now, window])?;
    let id = TaskId(transaction.last_insert_rowid().cast_unsigned());
    let part = Part::new(now);
    let mut parts = Vec::with_capacity(new.devices.len());
    for &device in &new.devices {
        fits(transaction, device, &package, id)?;
        transaction.prepare_cached(
            "INSERT INTO parts (task, device, stage, attempt, fragments, since_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?.execute(params![
            id,
            device.0,
            part.stage.name(),
            part.attempt,
            part.fragments,
            part.since_ms
        ])?;
        parts.push(PartRecord { device, part });
    }
    let subject = Subject {
        package: Some(new.package),
        ..Subject::task(id)
    };
    let detail = format!(
        "version {} for {} devices",
        package.manifest().version,
        parts.len()
    );
    append(transaction, HistoryKind::TaskCreated, subject, &detail)?;
    Ok(UnfinishedTask {
        id,
        package,
        policy: new.policy,
        parts,
    })
}

/// Whether a device can be part of a new task.
fn fits(
    transaction: &Transaction<'_>,
    device: DeviceId,
    package: &Package,
    new: TaskId,
) -> Result<(), StoreError> {
    let hardware: u16 = transaction
        .prepare_cached("SELECT hardware FROM devices WHERE id = ?1")?
        .query_row([device.0], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::Refused(Refusal::NoSuchDevice(device)))?;
    if hardware != package.manifest().hardware {
        return Err(StoreError::Refused(Refusal::OtherHardware {
            device,
            hardware,
            package: package.manifest().hardware,
        }));
    }
    match unfinished_task_of(transaction, device)? {
        None => Ok(()),
        Some(task) if task == new => Err(StoreError::Refused(Refusal::DeviceTwice(device))),
        Some(task) => Err(StoreError::Refused(Refusal::DeviceBusy { device, task })),
    }
}

/// The task that a device is part of now.
pub(super) fn unfinished_task_of(
    connection: &Connection,
    device: DeviceId,
) -> Result<Option<TaskId>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT task FROM parts WHERE device = ?1 AND finished_ms IS NULL")?
        .query_row([device.0], |row| row.get(0))
        .optional()?)
}

/// End a task for all devices that are not done; which devices those were.
///
/// # Errors
/// When there is no such task, or it is finished.
pub fn cancel_task(transaction: &Transaction<'_>, id: TaskId) -> Result<Vec<DeviceId>, StoreError> {
    if task(transaction, id)?.finished_ms.is_some() {
        return Err(StoreError::Refused(Refusal::TaskFinished(id)));
    }
    let now = now_ms();
    transaction.execute(
        "UPDATE tasks SET cancelled_ms = ?2, finished_ms = ?2 WHERE id = ?1",
        params![id, now],
    )?;
    append(
        transaction,
        HistoryKind::TaskCancelled,
        Subject::task(id),
        "",
    )?;
    let open = unfinished_parts(transaction, id)?;
    for PartRecord { device, mut part } in open.iter().copied() {
        part.cancel(now);
        save_part(transaction, id, device, &part, None)?;
    }
    Ok(open.into_iter().map(|open| open.device).collect())
}

/// Tasks, the newest first, from before `before` on, at most `limit`.
pub fn tasks(
    connection: &Connection,
    before: Option<TaskId>,
    limit: u32,
) -> Result<Vec<TaskRecord>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM tasks WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![before, limit], |row| Ok(record(connection, row)))?;
    rows.map(|row| row?).collect()
}

/// One task.
pub fn task(connection: &Connection, id: TaskId) -> Result<TaskRecord, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([id], |row| Ok(record(connection, row)))
        .optional()?
        .unwrap_or(Err(StoreError::Refused(Refusal::NoSuchTask(id))))
}

fn record(connection: &Connection, row: &Row<'_>) -> Result<TaskRecord, StoreError> {
    let package = package_record(connection, row.get(1)?)?;
    Ok(TaskRecord {
        id: row.get(0)?,
        package: package.id,
        version: package.version().to_string(),
        fragments: package.signed.manifest().fragments(),
        policy: Policy {
            attempts: row.get(2)?,
            query_s: row.get(3)?,
            download_s: row.get(4)?,
            result_s: row.get(5)?,
            window: row.get(9)?,
        },
        created_ms: row.get(6)?,
        cancelled_ms: row.get(7)?,
        finished_ms: row.get(8)?,
    })
}

/// Every task that is not finished, as the database has it: where a platform that was stopped goes on.
pub fn unfinished_tasks(connection: &Connection) -> Result<Vec<UnfinishedTask>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tasks WHERE finished_ms IS NULL");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| Ok(record(connection, row)))?;
    let mut packages: HashMap<PackageId, Arc<Package>> = HashMap::new();
    let mut tasks = Vec::new();
    for row in rows {
        let record = row??;
        let package = if let Some(read) = packages.get(&record.package) {
            Arc::clone(read)
        } else {
            let read = package(connection, record.package)?;
            packages.insert(record.package, Arc::clone(&read));
            read
        };
        tasks.push(UnfinishedTask {
            id: record.id,
            package,
            policy: record.policy,
            parts: parts(connection, record.id, None, u32::MAX)?,
        });
    }
    Ok(tasks)
}
