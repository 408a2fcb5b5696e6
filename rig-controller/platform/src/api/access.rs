//! Who asks: extractors that let a request through to its handler only with a token of the right role.
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::App;
use super::error::ApiError;
use super::tokens::Role;

/// The request may look.
pub(super) struct MayRead;

/// The request may change things.
pub(super) struct MayWrite;

impl FromRequestParts<Arc<App>> for MayRead {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        role(parts, app).map(|_| Self)
    }
}

impl FromRequestParts<Arc<App>> for MayWrite {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        if role(parts, app)? == Role::Write {
            return Ok(Self);
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "read_only_token",
            "this token may only look",
            "use a `write` token; the file `tokens` in the data folder has one",
        ))
    }
}

fn role(parts: &Parts, app: &App) -> Result<Role, ApiError> {
    parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .and_then(|token| app.tokens.role(token))
        .ok_or_else(|| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "no_token",
                "the request has no valid token",
                "send `Authorization: Bearer TOKEN`; the file `tokens` in the data folder has them",
            )
        })
}
