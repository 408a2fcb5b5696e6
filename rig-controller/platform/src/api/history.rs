//! History over HTTP.
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::access::MayRead;
use super::error::ApiError;
use super::extract::Query;
use super::views::{HistoryView, device_id};
use super::{App, limit, read};
use crate::TaskId;
use crate::store::{HistoryFilter, history};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    device: Option<String>,
    task: Option<u64>,
    before: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn list(
    _: MayRead,
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<HistoryView>>, ApiError> {
    let filter = HistoryFilter {
        device: query.device.as_deref().map(device_id).transpose()?,
        task: query.task.map(TaskId),
        before: query.before,
        limit: limit(query.limit)?,
    };
    let entries = read(&app, move |db| history(db, filter)).await?;
    Ok(Json(entries.iter().map(HistoryView::from).collect()))
}
