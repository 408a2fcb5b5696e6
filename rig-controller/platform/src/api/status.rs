//! How the platform itself does.
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::access::MayRead;
use super::error::ApiError;
use super::{App, OPENAPI, read};
use crate::StrayCounters;

/// That it serves.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

/// How it does.
#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_s: u64,
    memory_peak_kib: Option<u64>,
    devices: usize,
    devices_in_tasks: usize,
    strays: StrayCounters,
}

/// The database can be read, so the platform can serve.
pub(super) async fn health(State(app): State<Arc<App>>) -> Result<Json<Health>, ApiError> {
    read(&app, |db| {
        Ok(db.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))?)
    })
    .await?;
    Ok(Json(Health { status: "ok" }))
}

pub(super) async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

pub(super) async fn status(_: MayRead, State(app): State<Arc<App>>) -> Json<Status> {
    let (devices, devices_in_tasks) = app.fleet.sizes();
    Json(Status {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: app.started.elapsed().as_secs(),
        memory_peak_kib: memory_peak_kib(),
        devices,
        devices_in_tasks,
        strays: app.fleet.strays(),
    })
}

/// Most memory this process has had at a time, where the host tells.
fn memory_peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
