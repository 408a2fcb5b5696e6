//! Devices over HTTP.
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::access::{MayRead, MayWrite};
use super::error::ApiError;
use super::extract::{Body, Id, Query};
use super::views::{DeviceView, EnrolRequest, device_id};
use super::{App, limit, read};
use crate::store::{DeviceRecord, device, devices};

/// How many devices were not known before.
#[derive(Debug, Serialize)]
pub(super) struct Enrolled {
    enrolled: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn enrol(
    _: MayWrite,
    State(app): State<Arc<App>>,
    Body(Json(request)): Body<Json<EnrolRequest>>,
) -> Result<(StatusCode, Json<Enrolled>), ApiError> {
    let enrolled = app.fleet.enrol(request.enrolments()?).await?;
    let status = if enrolled > 0 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(Enrolled { enrolled })))
}

pub(super) async fn list(
    _: MayRead,
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<DeviceView>>, ApiError> {
    let after = query.after.as_deref().map(device_id).transpose()?;
    let limit = limit(query.limit)?;
    let records = read(&app, move |db| devices(db, after, limit)).await?;
    let view =
        |record: &DeviceRecord| DeviceView::new(record, app.fleet.standing(record.enrolment.id));
    Ok(Json(records.iter().map(view).collect()))
}

pub(super) async fn one(
    _: MayRead,
    State(app): State<Arc<App>>,
    Id(id): Id<String>,
) -> Result<Json<DeviceView>, ApiError> {
    let id = device_id(&id)?;
    let record = read(&app, move |db| device(db, id)).await?;
    Ok(Json(DeviceView::new(&record, app.fleet.standing(id))))
}

pub(super) async fn remove(
    _: MayWrite,
    State(app): State<Arc<App>>,
    Id(id): Id<String>,
) -> Result<StatusCode, ApiError> {
    app.fleet.remove(device_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
