//! Tasks over HTTP.
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::access::{MayRead, MayWrite};
use super::error::ApiError;
use super::extract::{Body, Id, Query};
use super::progress::{ProgressStream, Watch};
use super::views::{PartView, TaskRequest, TaskView, device_id};
use super::{App, limit, read};
use crate::TaskId;
use crate::store::{StoreError, TaskRecord, parts, summary, task, tasks};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    before: Option<u64>,
    limit: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartsQuery {
    after: Option<String>,
    limit: Option<u32>,
}

/// How many devices were not done.
#[derive(Debug, Serialize)]
pub(super) struct Cancelled {
    devices: usize,
}

pub(super) async fn create(
    _: MayWrite,
    State(app): State<Arc<App>>,
    Body(Json(request)): Body<Json<TaskRequest>>,
) -> Result<(StatusCode, Json<TaskView>), ApiError> {
    let id = app.fleet.create_task(request.new_task()?).await?;
    Ok((StatusCode::CREATED, Json(view(&app, id).await?)))
}

pub(super) async fn list(
    _: MayRead,
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<TaskView>>, ApiError> {
    let limit = limit(query.limit)?;
    Ok(Json(views(&app, query.before.map(TaskId), limit).await?))
}

pub(super) async fn one(
    _: MayRead,
    State(app): State<Arc<App>>,
    Id(id): Id<u64>,
) -> Result<Json<TaskView>, ApiError> {
    Ok(Json(view(&app, TaskId(id)).await?))
}

pub(super) async fn devices(
    _: MayRead,
    State(app): State<Arc<App>>,
    Id(id): Id<u64>,
    Query(query): Query<PartsQuery>,
) -> Result<Json<Vec<PartView>>, ApiError> {
    let after = query.after.as_deref().map(device_id).transpose()?;
    let limit = limit(query.limit)?;
    Ok(Json(part_views(&app, TaskId(id), after, limit).await?))
}

pub(super) async fn cancel(
    _: MayWrite,
    State(app): State<Arc<App>>,
    Id(id): Id<u64>,
) -> Result<Json<Cancelled>, ApiError> {
    let devices = app.fleet.cancel_task(TaskId(id)).await?;
    Ok(Json(Cancelled { devices }))
}

pub(super) async fn progress(
    _: MayRead,
    State(app): State<Arc<App>>,
    Id(id): Id<u64>,
) -> Result<ProgressStream, ApiError> {
    Watch::begin(app, TaskId(id)).await
}

/// A task as it stands right now.
pub(crate) async fn view(app: &Arc<App>, id: TaskId) -> Result<TaskView, ApiError> {
    let record = read(app, move |db| task(db, id)).await?;
    with_summary(app, record).await
}

/// Tasks as they stand right now, the newest first.
pub(crate) async fn views(
    app: &Arc<App>,
    before: Option<TaskId>,
    limit: u32,
) -> Result<Vec<TaskView>, ApiError> {
    let records = read(app, move |db| tasks(db, before, limit)).await?;
    let mut views = Vec::with_capacity(records.len());
    for record in records {
        views.push(with_summary(app, record).await?);
    }
    Ok(views)
}

async fn with_summary(app: &Arc<App>, record: TaskRecord) -> Result<TaskView, ApiError> {
    if let Some(live) = app.fleet.summary(record.id) {
        return Ok(TaskView::new(&record, live));
    }
    // It is finished, maybe since the record was read.
    let id = record.id;
    let (record, summary) = read(app, move |db| {
        let record = task(db, id)?;
        let summary = summary(db, &record)?;
        Ok((record, summary))
    })
    .await?;
    Ok(TaskView::new(&record, summary))
}

/// Parts of a task as they stand right now, by device.
pub(crate) async fn part_views(
    app: &Arc<App>,
    id: TaskId,
    after: Option<powercut_upgrade::factory::DeviceId>,
    limit: u32,
) -> Result<Vec<PartView>, ApiError> {
    let (fragments, records) = read(app, move |db| {
        let fragments = task(db, id)?.fragments;
        Ok::<_, StoreError>((fragments, parts(db, id, after, limit)?))
    })
    .await?;
    Ok(records
        .iter()
        .map(|record| {
            let part = app.fleet.part(id, record.device).unwrap_or(record.part);
            PartView::new(record.device, &part, fragments)
        })
        .collect())
}
