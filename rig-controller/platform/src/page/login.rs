//! Who is logged in to the pages.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use askama::Template;
use axum::Form;
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{PageError, page};
use crate::api::tokens::random_token;
use crate::api::{ApiError, App};

const COOKIE_NAME: &str = "powercut";
/// How long a login lasts.
const LASTS: Duration = Duration::from_hours(12);
/// Logins at a time; the oldest goes when there are more.
const MOST: usize = 1_000;

/// Logins, by the hash of their cookie's value: whoever compares a hash learns nothing about the value.
#[derive(Default)]
pub struct Logins(Mutex<HashMap<[u8; 32], Instant>>);

impl Logins {
    fn begin(&self, value: &str, now: Instant) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|_, begun| now.duration_since(*begun) < LASTS);
        if logins.len() >= MOST
            && let Some(oldest) = logins
                .iter()
                .min_by_key(|(_, begun)| **begun)
                .map(|(hash, _)| *hash)
        {
            logins.remove(&oldest);
        }
        logins.insert(hash(value), now);
    }

    fn end(&self, value: &str) {
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.remove(&hash(value));
    }

    fn holds(&self, value: &str, now: Instant) -> bool {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins
            .get(&hash(value))
            .is_some_and(|begun| now.duration_since(*begun) < LASTS)
    }
}

fn hash(value: &str) -> [u8; 32] {
    Sha256::digest(value.as_bytes()).into()
}

/// The request comes from somebody who is logged in; others are sent to the form.
pub(super) struct LoggedIn;

impl FromRequestParts<Arc<App>> for LoggedIn {
    type Rejection = Redirect;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Redirect> {
        match cookie(parts) {
            Some(value) if app.logins.holds(value, Instant::now()) => Ok(Self),
            _ => Err(Redirect::to("/ui/login")),
        }
    }
}

fn cookie(parts: &Parts) -> Option<&str> {
    parts
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE_NAME).then_some(value))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    wrong: bool,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct LoginForm {
    token: String,
}

pub(super) async fn form() -> Result<Html<String>, PageError> {
    page(&LoginPage { wrong: false })
}

pub(super) async fn login(
    State(app): State<Arc<App>>,
    Form(form): Form<LoginForm>,
) -> Result<Response, PageError> {
    if app.tokens.role(form.token.trim()).is_none() {
        let html = page(&LoginPage { wrong: true })?;
        return Ok((StatusCode::UNAUTHORIZED, html).into_response());
    }
    let value = random_token().map_err(|error| PageError(ApiError::internal(error)))?;
    app.logins.begin(&value, Instant::now());
    let cookie = format!(
        "{COOKIE_NAME}={value}; HttpOnly; SameSite=Strict; Path=/ui; Max-Age={}",
        LASTS.as_secs()
    );
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/ui/tasks")).into_response())
}

pub(super) async fn logout(
    State(app): State<Arc<App>>,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    if let Some(value) = cookie(&parts) {
        app.logins.end(value);
    }
    let gone = format!("{COOKIE_NAME}=; HttpOnly; SameSite=Strict; Path=/ui; Max-Age=0");
    ([(SET_COOKIE, gone)], Redirect::to("/ui/login")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_lasts_half_a_day_or_until_it_is_ended_and_their_number_is_bounded() {
        let logins = Logins::default();
        let begun = Instant::now();
        logins.begin("a", begun);
        logins.begin("b", begun + Duration::from_secs(1));
        assert!(logins.holds("a", begun) && !logins.holds("c", begun));
        logins.end("b");
        assert!(!logins.holds("b", begun));
        assert!(!logins.holds("a", begun + LASTS));
        for number in 0..MOST {
            logins.begin(&number.to_string(), begun + Duration::from_secs(2));
        }
        assert!(!logins.holds("a", begun));
        assert!(logins.holds("0", begun + Duration::from_secs(2)));
    }
}
