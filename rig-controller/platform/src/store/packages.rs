//! Packages: put in once, never altered.
use std::sync::Arc;

use powercut_upgrade::manifest::{SignedManifest, Version};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::history::{HistoryKind, append};
use super::{StoreError, history::Subject};
use crate::now_ms;
use crate::refusal::{PackageId, Refusal};
use powercut_package::Package;

/// A package, without its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRecord {
    /// Which one.
    pub id: PackageId,
    /// The facts about its image.
    pub signed: SignedManifest,
    /// When it was uploaded, Unix milliseconds.
    pub uploaded_ms: i64,
}

impl PackageRecord {
    /// Version of its image.
    pub fn version(&self) -> Version {
        self.signed.manifest().version
    }
}

const COLUMNS: &str = "id, manifest, uploaded_ms";

/// Keep a package. The same package again is the one that is kept already (`false`).
///
/// # Errors
/// When another package has its hardware and version.
pub fn put_package(
    transaction: &Transaction<'_>,
    package: &Package,
) -> Result<(PackageRecord, bool), StoreError> {
    let manifest = package.manifest();
    let key = params![manifest.hardware, manifest.version.to_string()];
    let sql = format!("SELECT {COLUMNS} FROM packages WHERE hardware = ?1 AND version = ?2");
    let kept = transaction
        .prepare_cached(&sql)?
        .query_row(key, |row| Ok(record(row)))
        .optional()?
        .transpose()?;
    if let Some(kept) = kept {
        // The manifest holds the image's digest.
        if kept.signed == *package.signed() {
            return Ok((kept, false));
        }
        return Err(StoreError::Refused(Refusal::PackageAltered {
            package: kept.id,
            hardware: manifest.hardware,
            version: manifest.version,
        }));
    }
    let uploaded_ms = now_ms();
    transaction.prepare_cached(
        "INSERT INTO packages (hardware, version, manifest, image, uploaded_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?.execute(params![
        manifest.hardware,
        manifest.version.to_string(),
        package.signed().encode(),
        package.image(),
        uploaded_ms
    ])?;
    let id = PackageId(transaction.last_insert_rowid());
    let detail = format!(
        "version {} for hardware {:#06x}, {} bytes",
        manifest.version, manifest.hardware, manifest.size_bytes
    );
    append(
        transaction,
        HistoryKind::PackageUploaded,
        Subject::package(id),
        &detail,
    )?;
    let record = PackageRecord {
        id,
        signed: *package.signed(),
        uploaded_ms,
    };
    Ok((record, true))
}

/// All packages, the newest first.
pub fn packages(connection: &Connection) -> Result<Vec<PackageRecord>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM packages ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| Ok(record(row)))?;
    rows.map(|row| row?).collect()
}

/// One package, without its image.
pub fn package_record(connection: &Connection, id: PackageId) -> Result<PackageRecord, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM packages WHERE id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([id], |row| Ok(record(row)))
        .optional()?
        .unwrap_or(Err(StoreError::Refused(Refusal::NoSuchPackage(id))))
}

/// One package, whole.
pub fn package(connection: &Connection, id: PackageId) -> Result<Arc<Package>, StoreError> {
    let signed = package_record(connection, id)?.signed;
    let image: Vec<u8> = connection
        .prepare_cached("SELECT image FROM packages WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    let package = Package::new(signed, image).map_err(|_| damaged(id))?;
    Ok(Arc::new(package))
}

fn record(row: &Row<'_>) -> Result<PackageRecord, StoreError> {
    let id: PackageId = row.get(0)?;
    let manifest: [u8; powercut_upgrade::manifest::SIGNED_MANIFEST_BYTES] = row.get(1)?;
    Ok(PackageRecord {
        id,
        signed: SignedManifest::decode(&manifest).map_err(|_| damaged(id))?,
        uploaded_ms: row.get(2)?,
    })
}

fn damaged(id: PackageId) -> StoreError {
    StoreError::Damaged {
        what: format!("package {}", id.0),
    }
}
