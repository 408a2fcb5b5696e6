//! Each device's part in each task.
use powercut_upgrade::factory::DeviceId;
use powercut_upgrade::wire::ResultCode;
use rusqlite::{Connection, Row, Transaction, params};

use super::history::{HistoryKind, Subject, append};
use super::{StoreError, TaskRecord};
use crate::fleet::{Part, Stage, Summary};
use crate::{TaskId, now_ms};

/// A device's part as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartRecord {
    /// Which device.
    pub device: DeviceId,
    /// How far it has come.
    pub part: Part,
}

/// What became of a part that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Part,
    /// It was over already, and is what it was.
    Over,
    /// It is kept, and its task is finished with it.
    TaskDone,
}

/// Keep how far a device has come, unless its part is over; `retried` says why an attempt came to nothing.
pub fn save_part(
    transaction: &Transaction<'_>,
    task: TaskId,
    device: DeviceId,
    part: &Part,
    retried: Option<Stage>,
) -> Result<Kept, StoreError> {
    let over = part.stage.is_final();
    let changed = transaction.prepare_cached(
        "UPDATE parts SET stage = ?3, result = ?4, attempt = ?5, fragments = ?6, since_ms = ?7, finished_ms = ?8
         WHERE task = ?1 AND device = ?2 AND finished_ms IS NULL",
    )?.execute(params![
        task,
        device.0,
        part.stage.name(),
        part.stage.result().map(|result| result as u8),
        part.attempt,
        part.fragments,
        part.since_ms,
        over.then_some(part.since_ms)
    ])?;
    if changed == 0 {
        return Ok(Kept::Over);
    }
    let subject = Subject {
        device: Some(device),
        ..Subject::task(task)
    };
    let (kind, detail) = match retried {
        Some(why) => (
            HistoryKind::Retry,
            format!("{}; attempt {}", in_words(why), part.attempt),
        ),
        None => (HistoryKind::Stage, in_words(part.stage)),
    };
    append(transaction, kind, subject, &detail)?;
    if over {
        let finished = transaction
            .prepare_cached(
                "UPDATE tasks SET finished_ms = ?2 WHERE id = ?1 AND finished_ms IS NULL
             AND NOT EXISTS (SELECT 1 FROM parts WHERE task = ?1 AND finished_ms IS NULL)",
            )?
            .execute(params![task, now_ms()])?;
        if finished > 0 {
            append(transaction, HistoryKind::TaskDone, Subject::task(task), "")?;
            return Ok(Kept::TaskDone);
        }
    }
    Ok(Kept::Part)
}

fn in_words(stage: Stage) -> String {
    match stage {
        Stage::Failed(result) => format!("failed: {result:?} ({:#04x})", result as u8),
        _ => stage.name().to_owned(),
    }
}

/// Write down how many fragments devices have, where they are still downloading.
pub fn save_progress(
    transaction: &Transaction<'_>,
    progress: &[(TaskId, DeviceId, u16)],
) -> Result<(), StoreError> {
    for (task, device, fragments) in progress {
        transaction
            .prepare_cached(
                "UPDATE parts SET fragments = ?3 WHERE task = ?1 AND device = ?2 AND finished_ms IS NULL",
            )?
            .execute(params![task, device.0, fragments])?;
    }
    Ok(())
}

/// The parts of a task by device, from behind `after` on, at most `limit`.
pub fn parts(
    connection: &Connection,
    id: TaskId,
    after: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<PartRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT device, stage, result, attempt, fragments, since_ms FROM parts
         WHERE task = ?1 AND (?2 IS NULL OR device > ?2) ORDER BY device LIMIT ?3",
    )?;
    let after = after.map(|id| id.0);
    let rows = statement.query_map(params![id, after, limit], |row| Ok(part_record(id, row)))?;
    rows.map(|row| row?).collect()
}

/// The parts of a task that are not over.
pub(super) fn unfinished_parts(
    connection: &Connection,
    id: TaskId,
) -> Result<Vec<PartRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT device, stage, result, attempt, fragments, since_ms FROM parts
         WHERE task = ?1 AND finished_ms IS NULL",
    )?;
    let rows = statement.query_map([id], |row| Ok(part_record(id, row)))?;
    rows.map(|row| row?).collect()
}

fn part_record(task: TaskId, row: &Row<'_>) -> Result<PartRecord, StoreError> {
    let device = DeviceId(row.get(0)?);
    let stage =
        stage(&row.get::<_, String>(1)?, row.get(2)?).ok_or_else(|| StoreError::Damaged {
            what: format!("device {} in task {}", hex::encode(device.0), task.0),
        })?;
    Ok(PartRecord {
        device,
        part: Part {
            stage,
            attempt: row.get(3)?,
            fragments: row.get(4)?,
            since_ms: row.get(5)?,
        },
    })
}

/// How the devices of a task stand together, as the database has it.
pub fn summary(connection: &Connection, record: &TaskRecord) -> Result<Summary, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT stage, result, count(*), sum(fragments) FROM parts WHERE task = ?1 GROUP BY stage, result",
    )?;
    let mut summary = Summary::default();
    let mut rows = statement.query([record.id])?;
    while let Some(row) = rows.next()? {
        let stage =
            stage(&row.get::<_, String>(0)?, row.get(1)?).ok_or_else(|| StoreError::Damaged {
                what: format!("task {}", record.id.0),
            })?;
        let devices = row.get::<_, i64>(2)?.cast_unsigned();
        summary.count(stage, devices);
        summary.fragments += match stage {
            Stage::Succeeded => devices * u64::from(record.fragments),
            _ => row.get::<_, i64>(3)?.cast_unsigned(),
        };
    }
    summary.fragments_total = summary.devices * u64::from(record.fragments);
    Ok(summary)
}

fn stage(name: &str, result: Option<u8>) -> Option<Stage> {
    Stage::from_name(name, result.and_then(ResultCode::from_byte))
}
