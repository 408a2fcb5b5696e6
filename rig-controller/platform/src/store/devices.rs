//! Devices: who they are, their keys, and when they were last heard.
use powercut_upgrade::factory::{DeviceId, DeviceKey};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::StoreError;
use super::history::{HistoryKind, Subject, append};
use super::tasks::unfinished_task_of;
use crate::now_ms;
use crate::refusal::Refusal;

/// A device to be made known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Which one.
    pub id: DeviceId,
    /// Its secret.
    pub key: DeviceKey,
    /// What hardware it is.
    pub hardware: u16,
}

/// A device as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Who it is.
    pub enrolment: Enrolment,
    /// When it was enrolled, Unix milliseconds.
    pub enrolled_ms: i64,
    /// When it was last heard, Unix milliseconds; some seconds late.
    pub seen_ms: Option<i64>,
    /// The version it last said it runs.
    pub running: Option<String>,
}

/// What is written about a device now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNote {
    /// Which one.
    pub id: DeviceId,
    /// When it was last heard, Unix milliseconds.
    pub seen_ms: i64,
    /// The version it says it runs.
    pub running: Option<String>,
}

const COLUMNS: &str = "id, key, hardware, enrolled_ms, seen_ms, running";

/// Make devices known, all of them or none; how many were not known before.
///
/// # Errors
/// When one of them is known under another key or hardware.
pub fn enrol(transaction: &Transaction<'_>, enrolments: &[Enrolment]) -> Result<usize, StoreError> {
    let mut added = 0;
    for enrolment in enrolments {
        let kept = transaction
            .prepare_cached("SELECT key, hardware FROM devices WHERE id = ?1")?
            .query_row([enrolment.id.0], |row| {
                Ok((DeviceKey(row.get(0)?), row.get::<_, u16>(1)?))
            })
            .optional()?;
        match kept {
            None => {
                transaction.prepare_cached(
                    "INSERT INTO devices (id, key, hardware, enrolled_ms) VALUES (?1, ?2, ?3, ?4)",
                )?.execute(params![enrolment.id.0, enrolment.key.0, enrolment.hardware, now_ms()])?;
                let detail = format!("hardware {:#06x}", enrolment.hardware);
                append(
                    transaction,
                    HistoryKind::Enrolled,
                    Subject::device(enrolment.id),
                    &detail,
                )?;
                added += 1;
            }
            Some((key, hardware)) if key == enrolment.key && hardware == enrolment.hardware => {}
            Some(_) => return Err(StoreError::Refused(Refusal::DeviceDiffers(enrolment.id))),
        }
    }
    Ok(added)
}

/// Forget a device and its key; its history stays.
///
/// # Errors
/// When it is not known, or part of an unfinished task.
pub fn remove_device(transaction: &Transaction<'_>, id: DeviceId) -> Result<(), StoreError> {
    if let Some(task) = unfinished_task_of(transaction, id)? {
        return Err(StoreError::Refused(Refusal::DeviceBusy {
            device: id,
            task,
        }));
    }
    let removed = transaction.execute("DELETE FROM devices WHERE id = ?1", [id.0])?;
    if removed == 0 {
        return Err(StoreError::Refused(Refusal::NoSuchDevice(id)));
    }
    append(transaction, HistoryKind::Removed, Subject::device(id), "")
}

/// Write down what devices were heard to say.
pub fn note_devices(transaction: &Transaction<'_>, notes: &[DeviceNote]) -> Result<(), StoreError> {
    for note in notes {
        let before: Option<Option<String>> = transaction
            .prepare_cached("SELECT running FROM devices WHERE id = ?1")?
            .query_row([note.id.0], |row| row.get(0))
            .optional()?;
        let Some(before) = before else { continue };
        transaction
            .prepare_cached(
                "UPDATE devices SET seen_ms = ?2, running = coalesce(?3, running) WHERE id = ?1",
            )?
            .execute(params![note.id.0, note.seen_ms, note.running])?;
        if let Some(running) = &note.running
            && before.as_ref() != Some(running)
        {
            append(
                transaction,
                HistoryKind::Runs,
                Subject::device(note.id),
                running,
            )?;
        }
    }
    Ok(())
}

/// Devices by id, from behind `after` on, at most `limit`.
pub fn devices(
    connection: &Connection,
    after: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<DeviceRecord>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS} FROM devices WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after.map(|id| id.0), limit], record)?;
    rows.map(|row| row.map_err(StoreError::from)).collect()
}

/// One device.
pub fn device(connection: &Connection, id: DeviceId) -> Result<DeviceRecord, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM devices WHERE id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([id.0], record)
        .optional()?
        .ok_or(StoreError::Refused(Refusal::NoSuchDevice(id)))
}

fn record(row: &Row<'_>) -> rusqlite::Result<DeviceRecord> {
    Ok(DeviceRecord {
        enrolment: Enrolment {
            id: DeviceId(row.get(0)?),
            key: DeviceKey(row.get(1)?),
            hardware: row.get(2)?,
        },
        enrolled_ms: row.get(3)?,
        seen_ms: row.get(4)?,
        running: row.get(5)?,
    })
}
