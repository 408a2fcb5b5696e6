//! Packages over HTTP: an image becomes a package that is signed here, or a package that was signed elsewhere is taken.
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use powercut_upgrade::manifest::{
    FRAGMENT_BYTES, KeyId, SecurityCounter, Suite, TrustedKeys, Version,
};
use serde::Deserialize;

use super::access::{MayRead, MayWrite};
use super::error::ApiError;
use super::extract::{Body, Id, Query};
use super::views::PackageView;
use super::{App, read};
use crate::refusal::PackageId;
use crate::store::{package_record, packages};
use powercut_package::Package;
use powercut_package::suites::{SUITES, suite_name};
use powercut_package::{FirmwareError, Format, Image, ImageFile, PackageFacts, active_range};
use powercut_package::{is_package, pack, read_package};

/// Largest image a slot given by its address may hold, bytes: what 65,535 fragments of 1,024 bytes make.
const LARGEST_IMAGE_BYTES: u32 = 65_535 * 1_024;

/// What a manifest says that does not follow from the image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UploadQuery {
    version: Option<String>,
    hardware: Option<u16>,
    fragment_bytes: Option<u16>,
    security_counter: Option<u32>,
    trial_attempts: Option<u8>,
    format: Option<Format>,
    slot: Option<u32>,
    suite: Option<String>,
    force: Option<bool>,
}

impl UploadQuery {
    /// Whether the sender vouches for what looks wrong.
    fn force(&self) -> bool {
        self.force.unwrap_or_default()
    }
}

/// The same package again is the one there is: 200, not 201.
pub(super) async fn upload(
    _: MayWrite,
    State(app): State<Arc<App>>,
    Query(query): Query<UploadQuery>,
    Body(content): Body<Bytes>,
) -> Result<(StatusCode, Json<PackageView>), ApiError> {
    let signing = Arc::clone(&app);
    let package = tokio::task::spawn_blocking(move || ready(&signing, &query, &content))
        .await
        .map_err(ApiError::internal)??;
    let (record, new) = app.fleet.put_package(package).await?;
    let status = if new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(PackageView::from(&record))))
}

pub(super) async fn list(
    _: MayRead,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<PackageView>>, ApiError> {
    let records = read(&app, packages).await?;
    Ok(Json(records.iter().map(PackageView::from).collect()))
}

pub(super) async fn one(
    _: MayRead,
    State(app): State<Arc<App>>,
    Id(id): Id<i64>,
) -> Result<Json<PackageView>, ApiError> {
    let record = read(&app, move |db| package_record(db, PackageId(id))).await?;
    Ok(Json(PackageView::from(&record)))
}

fn ready(app: &App, query: &UploadQuery, content: &[u8]) -> Result<Package, ApiError> {
    let upload = FilePath::new("upload");
    if is_package(content) {
        if query.version.is_some() || query.hardware.is_some() {
            return Err(ApiError::bad_request(
                "a signed package says itself what it is; send it without parameters, but for `force`",
            ));
        }
        let package = read_package(upload, content)?;
        trusted(app, &package)?;
        can_be_served(app, package.manifest().suite)?;
        if !query.force() {
            let image = Image {
                base: active_range().start,
                bytes: package.image().to_vec(),
            };
            image.check_start(upload, package.manifest().hardware)?;
        }
        return Ok(package);
    }
    let Some(signer) = &app.signer else {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_signing_key",
            "this platform has no signing key, so it takes signed packages only",
            "sign the image with `rig pack` and send the package, or start the platform with --signing-key",
        ));
    };
    let (Some(version), Some(hardware)) = (&query.version, query.hardware) else {
        return Err(ApiError::bad_request(
            "an image needs the parameters `version` and `hardware`",
        ));
    };
    let version = version_of(version)
        .ok_or_else(|| ApiError::bad_request("a version has three numbers, such as 1.1.0"))?;
    let fragment_bytes = query.fragment_bytes.unwrap_or(160);
    if !FRAGMENT_BYTES.contains(&fragment_bytes) || !fragment_bytes.is_multiple_of(4) {
        return Err(ApiError::bad_request(format!(
            "fragment_bytes must be a multiple of 4 from {} to {}",
            FRAGMENT_BYTES.start(),
            FRAGMENT_BYTES.end()
        )));
    }
    let suite = suite(query.suite.as_deref())?;
    can_be_served(app, suite)?;
    let image = ImageFile::new(upload, content.to_vec())
        .stated(query.format)
        .force(query.force())
        .image_for(slot(query.slot), hardware)
        .map_err(|error| match error {
            FirmwareError::WrongBase { .. } => ApiError::bad_image(
                error.to_string(),
                "link it for the slot, or say where the slot is with the parameter `slot`",
            ),
            other => other.into(),
        })?;
    let facts = PackageFacts {
        version,
        suite,
        fragment_bytes,
        key_id: signer.id,
        trial_attempts: query.trial_attempts.unwrap_or(3),
        hardware,
        security_counter: SecurityCounter(query.security_counter.unwrap_or(1)),
    };
    Ok(pack(image.bytes, facts, &signer.key)?)
}

/// The suite of this name; without one, the one that protects.
fn suite(name: Option<&str>) -> Result<Suite, ApiError> {
    let Some(name) = name else {
        return Ok(Suite::ChaCha20Poly1305);
    };
    let found = SUITES.into_iter().find(|suite| suite_name(*suite) == name);
    found.ok_or_else(|| {
        ApiError::bad_request(format!(
            "suites are {}",
            SUITES.map(suite_name).join(" and ")
        ))
    })
}

/// A package of the suite `m-sequence` takes a register that this platform may not have.
fn can_be_served(app: &App, suite: Suite) -> Result<(), ApiError> {
    if suite == Suite::MSequence && !app.fleet.has_register() {
        return Err(ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_register",
            "this platform has no register to encrypt the suite m-sequence with",
            "start the platform with --m-sequence, or use the suite chacha20-poly1305",
        ));
    }
    Ok(())
}

/// Where the image has to lie. Without an address it is the micro:bit's slot.
fn slot(address: Option<u32>) -> Range<u32> {
    if let Some(start) = address {
        return start..start.saturating_add(LARGEST_IMAGE_BYTES);
    }
    active_range()
}

/// A package that no device would take is no use; but without a key to judge by, devices have to.
fn trusted(app: &App, package: &Package) -> Result<(), ApiError> {
    if app.trusted.is_empty() {
        return Ok(());
    }
    let key_id: KeyId = package.manifest().key_id;
    let holds = app
        .trusted
        .iter()
        .filter(|(id, _)| *id == key_id)
        .any(|(id, key)| {
            let keys = TrustedKeys([Some((*id, *key)), None]);
            package.signed().verify(&keys).is_ok()
        });
    if holds {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "bad_signature",
        format!(
            "the package is not signed by a key {} that this platform trusts",
            key_id.0
        ),
        "sign it with the right key, or start the platform with --trusted-key",
    ))
}

/// `major.minor.patch`.
fn version_of(text: &str) -> Option<Version> {
    let mut numbers = text.split('.');
    let mut next = || {
        numbers
            .next()
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
    };
    let version = Version {
        major: next()?.parse().ok()?,
        minor: next()?.parse().ok()?,
        patch: next()?.parse().ok()?,
    };
    numbers.next().is_none().then_some(version)
}
