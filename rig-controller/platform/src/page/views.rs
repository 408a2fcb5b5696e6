//! What each page shows.
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use powercut_upgrade::factory::DeviceId;
use serde::Deserialize;

use super::login::LoggedIn;
use super::{PageError, page};
use crate::TaskId;
use crate::api::extract::{Id, Query};
use crate::api::progress::{ProgressStream, Watch};
use crate::api::views::{DeviceView, HistoryView, PartView, TaskView, device_id};
use crate::api::{ApiError, App, read, tasks as task_api};
use crate::store::{self, HistoryFilter};

/// Rows of a page; more are behind "next".
const ROWS: u32 = 200;

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksPage {
    tasks: Vec<TaskView>,
    next: Option<u64>,
}

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    task: TaskView,
    parts: Vec<PartView>,
    next: Option<String>,
    history: Vec<HistoryView>,
}

#[derive(Template)]
#[template(path = "devices.html")]
struct DevicesPage {
    devices: Vec<DeviceView>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "device.html")]
struct DevicePage {
    device: DeviceView,
    history: Vec<HistoryView>,
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    history: Vec<HistoryView>,
    next: Option<i64>,
}

/// What the address says, or what is wrong with it.
type Asked<T> = Result<T, ApiError>;

/// Where a page of a list begins.
#[derive(Debug, Deserialize)]
pub(super) struct From<T> {
    from: Option<T>,
}

pub(super) async fn tasks(
    _: LoggedIn,
    State(app): State<Arc<App>>,
    query: Asked<Query<From<u64>>>,
) -> Result<Html<String>, PageError> {
    let Query(query) = query?;
    let tasks = task_api::views(&app, query.from.map(TaskId), ROWS).await?;
    let next = tasks.last().map(|task| task.id).filter(|id| *id > 1);
    page(&TasksPage { tasks, next })
}

pub(super) async fn task(
    _: LoggedIn,
    State(app): State<Arc<App>>,
    id: Asked<Id<u64>>,
    query: Asked<Query<From<String>>>,
) -> Result<Html<String>, PageError> {
    let Id(id) = id?;
    let Query(query) = query?;
    let id = TaskId(id);
    let after = query.from.as_deref().map(device_id).transpose()?;
    let parts = task_api::part_views(&app, id, after, ROWS).await?;
    let filter = HistoryFilter {
        task: Some(id),
        limit: ROWS,
        ..HistoryFilter::default()
    };
    page(&TaskPage {
        task: task_api::view(&app, id).await?,
        next: full(&parts).map(|part| part.device.clone()),
        parts,
        history: entries(&app, filter).await?,
    })
}

pub(super) async fn progress(
    _: LoggedIn,
    State(app): State<Arc<App>>,
    id: Asked<Id<u64>>,
) -> Result<ProgressStream, PageError> {
    let Id(id) = id?;
    Ok(Watch::begin(app, TaskId(id)).await?)
}

pub(super) async fn devices(
    _: LoggedIn,
    State(app): State<Arc<App>>,
    query: Asked<Query<From<String>>>,
) -> Result<Html<String>, PageError> {
    let Query(query) = query?;
    let after = query.from.as_deref().map(device_id).transpose()?;
    let records = read(&app, move |db| store::devices(db, after, ROWS)).await?;
    let devices: Vec<DeviceView> = records
        .iter()
        .map(|record| DeviceView::new(record, app.fleet.standing(record.enrolment.id)))
        .collect();
    page(&DevicesPage {
        next: full(&devices).map(|device| device.id.clone()),
        devices,
    })
}

pub(super) async fn device(
    _: LoggedIn,
    State(app): State<Arc<App>>,
    id: Asked<Id<String>>,
) -> Result<Html<String>, PageError> {
    let Id(id) = id?;
    let id: DeviceId = device_id(&id)?;
    let record = read(&app, move |db| store::device(db, id)).await?;
    let filter = HistoryFilter {
        device: Some(id),
        limit: ROWS,
        ..HistoryFilter::default()
    };
    page(&DevicePage {
        device: DeviceView::new(&record, app.fleet.standing(id)),
        history: entries(&app, filter).await?,
    })
}

pub(super) async fn history(
    _: LoggedIn,
    State(app): State<Arc<App>>,
    query: Asked<Query<From<i64>>>,
) -> Result<Html<String>, PageError> {
    let Query(query) = query?;
    let filter = HistoryFilter {
        before: query.from,
        limit: ROWS,
        ..HistoryFilter::default()
    };
    let history = entries(&app, filter).await?;
    page(&HistoryPage {
        next: full(&history).map(|entry| entry.id),
        history,
    })
}

async fn entries(app: &Arc<App>, filter: HistoryFilter) -> Result<Vec<HistoryView>, PageError> {
    let entries = read(app, move |db| store::history(db, filter)).await?;
    Ok(entries.iter().map(HistoryView::from).collect())
}

/// The last row of a page that is full: there may be more.
fn full<T>(rows: &[T]) -> Option<&T> {
    rows.last().filter(|_| rows.len() == ROWS as usize)
}
