//! The HTTP API of a serving platform: packages, devices, tasks, history, live progress. JSON in and out; every request
//! but `/healthz` and the description itself needs a token ([`tokens`]).
//!
//! The description, `openapi.json` beside this file, is kept by hand: one file that people can read, without macros on
//! every type. What keeps it true are tests: its paths and methods are exactly those of [`ROUTES`], and answers of a running
//! platform have exactly the fields it lists.
mod access;
mod devices;
mod error;
pub(super) mod extract;
mod history;
mod packages;
pub(super) mod progress;
mod status;
pub(super) mod tasks;
pub mod tokens;
pub(super) mod views;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, delete, get, post};
use ed25519_dalek::SigningKey;
use powercut_upgrade::manifest::KeyId;
use rusqlite::Connection;
use tokio::sync::watch;

use super::fleet::Fleet;
use super::store::StoreError;
pub use error::ApiError;
use tokens::Tokens;

/// The description.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Largest body of a request other than an upload, bytes: 10,000 devices fit several times.
const MAX_JSON_BYTES: usize = 4 << 20;
/// Items in a list if the request does not say, and at most.
const LIST_LIMITS: (u32, u32) = (100, 10_000);

/// Signs images that are uploaded.
pub struct Signer {
    /// Which of the devices' trusted keys it is.
    pub id: KeyId,
    /// The key.
    pub key: SigningKey,
}

/// What handlers share.
pub struct App {
    /// Devices and tasks.
    pub fleet: Arc<Fleet>,
    /// Who may do what.
    pub tokens: Tokens,
    /// Who is logged in to the pages.
    pub logins: super::page::Logins,
    /// Signs images; without it only signed packages are taken.
    pub signer: Option<Signer>,
    /// Whose signatures are taken; all, if there are none.
    pub trusted: Vec<(KeyId, [u8; 32])>,
    /// Largest upload, bytes.
    pub max_upload_bytes: usize,
    /// When it began to serve.
    pub started: Instant,
    /// Changes when the platform stops.
    pub stop: watch::Receiver<bool>,
}

/// A method, its path, and what handles it, given the largest upload in bytes.
type Route = (
    &'static str,
    &'static str,
    fn(usize) -> MethodRouter<Arc<App>>,
);

/// Every path of the API with its methods.
const ROUTES: [Route; 17] = [
    ("get", "/healthz", |_| get(status::health)),
    ("get", "/openapi.json", |_| get(status::openapi)),
    ("get", "/v1/status", |_| get(status::status)),
    ("get", "/v1/packages", |_| get(packages::list)),
    ("post", "/v1/packages", |max| {
        post(packages::upload).layer(DefaultBodyLimit::max(max))
    }),
    ("get", "/v1/packages/{id}", |_| get(packages::one)),
    ("get", "/v1/devices", |_| get(devices::list)),
    ("post", "/v1/devices", |_| post(devices::enrol)),
    ("get", "/v1/devices/{id}", |_| get(devices::one)),
    ("delete", "/v1/devices/{id}", |_| delete(devices::remove)),
    ("get", "/v1/tasks", |_| get(tasks::list)),
    ("post", "/v1/tasks", |_| post(tasks::create)),
    ("get", "/v1/tasks/{id}", |_| get(tasks::one)),
    ("get", "/v1/tasks/{id}/devices", |_| get(tasks::devices)),
    ("post", "/v1/tasks/{id}/cancel", |_| post(tasks::cancel)),
    ("get", "/v1/tasks/{id}/progress", |_| get(tasks::progress)),
    ("get", "/v1/history", |_| get(history::list)),
];

/// The API.
pub fn router(max_upload_bytes: usize) -> Router<Arc<App>> {
    ROUTES
        .iter()
        .fold(Router::new(), |router, (_, path, handler)| {
            router.route(path, handler(max_upload_bytes))
        })
        .layer(DefaultBodyLimit::max(MAX_JSON_BYTES))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn no_such_path() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_such_path",
        "there is nothing under this path",
        "/openapi.json lists the paths",
    )
}

async fn no_such_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "no_such_method",
        "this path does not take that method",
        "/openapi.json lists the methods of each path",
    )
}

/// Reads the database on a thread that may wait for the disk.
pub(super) async fn read<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || app.fleet.store().read(read))
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::from)
}

fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    let (default, most) = LIST_LIMITS;
    match asked {
        None => Ok(default),
        Some(limit @ 1..) if limit <= most => Ok(limit),
        Some(_) => Err(ApiError::bad_request(format!(
            "limit must be from 1 to {most}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_has_exactly_the_routes_there_are() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = description["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(move |method| (method.clone(), path.clone()))
            })
            .filter(|(method, _)| method != "parameters")
            .collect();
        let routed: BTreeSet<(String, String)> = ROUTES
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(described, routed);
    }
}
