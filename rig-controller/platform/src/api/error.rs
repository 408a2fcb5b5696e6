//! How the API says no: a status, a name for programs, a sentence for people, and what to do about it, as JSON.
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::refusal::Refusal;
use crate::store::StoreError;
use powercut_document::words::in_words;
use powercut_package::FirmwareError;

/// A request that was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    remedy: String,
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    code: &'a str,
    message: &'a str,
    remedy: &'a str,
}

impl ApiError {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The request cannot be understood.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            in_words(&message.into()),
            "/openapi.json describes what each request takes",
        )
    }

    /// An image or package cannot be taken.
    pub(super) fn bad_image(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "bad_image",
            message,
            remedy,
        )
    }

    /// Something went wrong that is not the request's fault.
    pub(crate) fn internal(what: impl std::fmt::Display) -> Self {
        tracing::error!(error = %what, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            what.to_string(),
            "see the platform's log",
        )
    }

    /// What people see of it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What people can do about it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(refusal) => refusal.into(),
            StoreError::Stopped => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "stopping",
                error.to_string(),
                "ask again once it runs; what was asked may have been done",
            ),
            other => Self::internal(other),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NoSuchPackage(_) | Refusal::NoSuchDevice(_) | Refusal::NoSuchTask(_) => {
                StatusCode::NOT_FOUND
            }
            Refusal::PackageAltered { .. }
            | Refusal::DeviceDiffers(_)
            | Refusal::DeviceBusy { .. }
            | Refusal::TaskFinished(_) => StatusCode::CONFLICT,
            Refusal::DeviceTwice(_) | Refusal::OtherHardware { .. } => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
        };
        Self::new(
            status,
            refusal.code(),
            refusal.to_string(),
            refusal.remedy(),
        )
    }
}

impl From<FirmwareError> for ApiError {
    fn from(error: FirmwareError) -> Self {
        if error.is_doubt() {
            return Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "doubtful_image",
                error.to_string(),
                "send another file, or, if you know better, this one with the parameter `force=true`",
            );
        }
        Self::bad_image(
            error.to_string(),
            "send Intel HEX, ELF, a raw binary, or a package made with `rig pack`",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body {
            error: Inner {
                code: self.code,
                message: &self.message,
                remedy: &self.remedy,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(axum::http::header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
