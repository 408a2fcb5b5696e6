//! Live progress of a task as server-sent events: first how it stands, then what changes, at most some times a second,
//! until the task is finished, the platform stops, or nobody listens any more.
//!
//! Each event is named `progress` and holds `{"task": ..., "devices": [...]}`: the task as `GET /v1/tasks/{id}` has it, and
//! the devices that changed since the event before (500 at most; all changes count in `task`).
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::error::ApiError;
use super::views::{PartView, TaskView};
use super::{App, tasks};
use crate::TaskId;

/// Devices in one event at most.
const MOST_DEVICES: usize = 500;

/// The answer.
pub(crate) type ProgressStream = Sse<axum::response::sse::KeepAliveStream<Events>>;

/// Events as they come.
pub(crate) struct Events(mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

#[derive(Serialize)]
struct News {
    task: TaskView,
    devices: Vec<PartView>,
}

/// Looks at one task for one listener.
pub(crate) struct Watch {
    app: Arc<App>,
    id: TaskId,
    fragments_total: u16,
    to: mpsc::Sender<Event>,
}

impl Watch {
    /// Begin to tell of a task.
    pub(crate) async fn begin(app: Arc<App>, id: TaskId) -> Result<ProgressStream, ApiError> {
        let record = super::read(&app, move |db| crate::store::task(db, id)).await?;
        let (to, events) = mpsc::channel(4);
        let watch = Self {
            app,
            id,
            fragments_total: record.fragments,
            to,
        };
        tokio::spawn(watch.run());
        Ok(Sse::new(Events(events)).keep_alive(KeepAlive::default()))
    }

    async fn run(self) {
        let mut revisions = self.app.fleet.revisions();
        let mut stop = self.app.stop.clone();
        let mut seen = 0;
        loop {
            let now = *revisions.borrow_and_update();
            let devices = self
                .app
                .fleet
                .changed_after(self.id, seen)
                .iter()
                .take(MOST_DEVICES)
                .map(|(device, part)| PartView::new(*device, part, self.fragments_total))
                .collect();
            seen = now;
            let Ok(task) = tasks::view(&self.app, self.id).await else {
                return;
            };
            let over = task.finished_at.is_some();
            let Ok(event) = Event::default()
                .event("progress")
                .json_data(&News { task, devices })
            else {
                return;
            };
            if self.to.send(event).await.is_err() || over {
                return;
            }
            tokio::select! {
                told = revisions.changed() => if told.is_err() { return },
                _ = stop.changed() => return,
                () = self.to.closed() => return,
            }
        }
    }
}
