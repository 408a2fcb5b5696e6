//! Pages for people: tasks with progress bars, devices, history. They only show; what changes things is the API.
//!
//! Templates escape everything they are given. Whoever logs in with a token gets a cookie that scripts cannot read and other
//! sites cannot send; it stands for the login, not for the token, and ends with the process or after half a day.
mod login;
mod views;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;

use super::api::{ApiError, App};

pub use login::Logins;

/// Nothing but this platform's own style, script and events; nobody may frame it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages.
pub fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(|| async { Redirect::to("/ui/tasks") }))
        .route("/ui/login", get(login::form).post(login::login))
        .route("/ui/logout", axum::routing::post(login::logout))
        .route("/ui/tasks", get(views::tasks))
        .route("/ui/tasks/{id}", get(views::task))
        .route("/ui/tasks/{id}/progress", get(views::progress))
        .route("/ui/devices", get(views::devices))
        .route("/ui/devices/{id}", get(views::device))
        .route("/ui/history", get(views::history))
        .route(
            "/ui/style.css",
            get(|| async { ([(CONTENT_TYPE, "text/css")], include_str!("style.css")) }),
        )
        .route(
            "/ui/progress.js",
            get(|| async {
                (
                    [(CONTENT_TYPE, "text/javascript")],
                    include_str!("progress.js"),
                )
            }),
        )
        .layer(axum::middleware::map_response(guarded))
}

async fn guarded(mut response: Response) -> Response {
    let headers: [(HeaderName, &str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A page, or why there is none.
struct PageError(ApiError);

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    message: &'a str,
    remedy: &'a str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let page = ErrorPage {
            message: self.0.message(),
            remedy: self.0.remedy(),
        };
        match page.render() {
            Ok(html) => (self.0.status(), Html(html)).into_response(),
            Err(_) => self.0.into_response(),
        }
    }
}

fn page(template: &impl Template) -> Result<Html<String>, PageError> {
    let html = template
        .render()
        .map_err(|error| PageError(ApiError::internal(error)))?;
    Ok(Html(html))
}
