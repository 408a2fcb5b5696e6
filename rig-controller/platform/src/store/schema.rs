//! The tables, and how a database of an earlier version comes to have them. A migration is never changed once it was
//! released: a change of the tables is another one behind it.
use std::path::Path;

use rusqlite::Connection;

use super::StoreError;
use crate::now_ms;

/// The tables, step by step; schema N is what the first N steps make.
const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE packages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hardware INTEGER NOT NULL,
    version TEXT NOT NULL,
    manifest BLOB NOT NULL,
    image BLOB NOT NULL,
    uploaded_ms INTEGER NOT NULL,
    UNIQUE (hardware, version)
) STRICT;
CREATE TRIGGER packages_are_never_altered BEFORE UPDATE ON packages
BEGIN SELECT RAISE(ABORT, 'a package is never altered'); END;

CREATE TABLE devices (
    id BLOB PRIMARY KEY CHECK (length(id) = 8),
    key BLOB NOT NULL CHECK (length(key) = 32),
    hardware INTEGER NOT NULL,
    enrolled_ms INTEGER NOT NULL,
    seen_ms INTEGER,
    running TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    package INTEGER NOT NULL REFERENCES packages (id),
    attempts INTEGER NOT NULL,
    query_s INTEGER NOT NULL,
    download_s INTEGER NOT NULL,
    result_s INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    cancelled_ms INTEGER,
    finished_ms INTEGER
) STRICT;

CREATE TABLE parts (
    task INTEGER NOT NULL REFERENCES tasks (id),
    device BLOB NOT NULL,
    stage TEXT NOT NULL,
    result INTEGER,
    attempt INTEGER NOT NULL,
    fragments INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    PRIMARY KEY (task, device)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_unfinished_part_per_device ON parts (device) WHERE finished_ms IS NULL;
CREATE INDEX unfinished_parts ON parts (task) WHERE finished_ms IS NULL;

CREATE TABLE history (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    device BLOB,
    task INTEGER,
    package INTEGER,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX history_of_device ON history (device, id) WHERE device IS NOT NULL;
CREATE INDEX history_of_task ON history (task, id) WHERE task IS NOT NULL;
CREATE TRIGGER history_is_never_altered BEFORE UPDATE ON history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_is_never_removed BEFORE DELETE ON history
BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
",
    "ALTER TABLE tasks ADD COLUMN window INTEGER NOT NULL DEFAULT 32",
];

/// Make the tables what this version needs; all steps or none.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    migrate_to(connection, path, &MIGRATIONS)
}

fn migrate_to(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT",
    )?;
    let found: i64 = transaction.query_row(
        "SELECT coalesce(max(version), 0) FROM migrations",
        [],
        |row| row.get(0),
    )?;
    let known = migrations.len().cast_signed() as i64;
    if found > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    for (version, step) in (1_i64..).zip(migrations) {
        if version > found {
            transaction.execute_batch(step)?;
            transaction.execute(
                "INSERT INTO migrations (version, applied_ms) VALUES (?1, ?2)",
                [version, now_ms()],
            )?;
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_an_earlier_version_gets_the_later_steps_and_one_of_a_later_version_is_refused()
    {
        let mut connection = Connection::open_in_memory().unwrap();
        let path = Path::new("a.db");
        let steps = [
            "CREATE TABLE first (x INTEGER)",
            "INSERT INTO first VALUES (7)",
            "no statement",
        ];
        migrate_to(&mut connection, path, &steps[..1]).unwrap();
        migrate_to(&mut connection, path, &steps[..2]).unwrap();
        migrate_to(&mut connection, path, &steps[..2]).unwrap();
        let rows = |connection: &Connection| -> i64 {
            connection
                .query_row("SELECT count(*) FROM first", [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(rows(&connection), 1);
        assert!(migrate_to(&mut connection, path, &steps).is_err());
        assert!(matches!(
            migrate_to(&mut connection, path, &steps[..1]),
            Err(StoreError::Newer {
                found: 2,
                known: 1,
                ..
            })
        ));
        assert_eq!(rows(&connection), 1);
    }
}
