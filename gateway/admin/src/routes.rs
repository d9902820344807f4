//! The warp filters behind [`crate::gate`]. Each handler answers; refusals are [`Problem`]s, not rejections.
//!
//! The paths here repeat those of [`crate::table`]; a test in `tests/api.rs` asks for every one of them.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use warp::filters::BoxedFilter;
use warp::reply::Response;
use warp::{Filter, Rejection};

use crate::config::Limits;
use crate::gate::Peer;
use crate::password::PasswordHash;
use crate::problem::Problem;
use crate::server::Parts;
use crate::signin::SignedIn;
use crate::view::{BLOCK_INDEX_MAX, PAGE_ROWS_MAX, Page, ViewError};

pub(crate) mod account;
pub(crate) mod alerts;
pub(crate) mod live;
pub(crate) mod machine;

/// What the handlers share.
pub struct App {
    pub(crate) parts: Parts,
    pub(crate) limits: Limits,
    /// Checked against when a name does not exist.
    pub(crate) nobody: PasswordHash,
    pub(crate) stopping: CancellationToken,
    pub(crate) guesses: Mutex<account::Guesses>,
    pub(crate) password_checks: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(parts: Parts, limits: Limits, nobody: PasswordHash, stopping: CancellationToken) -> Self {
        let password_checks = Arc::new(Semaphore::new(limits.password_checks_max));
        Self { parts, limits, nobody, stopping, guesses: Mutex::new(account::Guesses::new()), password_checks }
    }
}

/// A handler's outcome.
pub(crate) type Answer = Result<Response, Problem>;

/// All routes.
pub fn all(app: Arc<App>) -> BoxedFilter<(Response,)> {
    let with = warp::any().map(move || Arc::clone(&app));
    let who = warp::ext::get::<SignedIn>();
    let peer = warp::ext::get::<Peer>();
    let query = || warp::query::raw().or(warp::any().map(String::new)).unify();
    let get = warp::get().and(with.clone());
    let post = warp::post().and(with);

    let login = post.clone().and(warp::path!("api" / "v1" / "login")).and(peer).and(warp::body::bytes());
    let logout = post.clone().and(warp::path!("api" / "v1" / "logout")).and(who);
    let me = get.clone().and(warp::path!("api" / "v1" / "me")).and(who);
    let live = get.clone().and(warp::path!("api" / "v1" / "live"));
    let headers = warp::header::headers_cloned();
    let events = get.clone().and(warp::path!("api" / "v1" / "events")).and(who).and(headers).and(query());
    let alerts = get.clone().and(warp::path!("api" / "v1" / "alerts")).and(query());
    let reset =
        post.clone().and(warp::path!("api" / "v1" / "alerts" / String / "reset")).and(who).and(warp::body::bytes());
    let acknowledge = post.and(warp::path!("api" / "v1" / "alerts" / String / "acknowledge")).and(who);
    let blocks = get.clone().and(warp::path!("api" / "v1" / "blocks")).and(query());
    let health = get.clone().and(warp::path!("api" / "v1" / "health"));
    let openapi = get.clone().and(warp::path!("api" / "v1" / "openapi.json"));
    let metrics = get.and(warp::path!("metrics"));

    login
        .then(account::login)
        .or(logout.then(account::logout))
        .unify()
        .or(me.then(account::me))
        .unify()
        .or(live.then(live::live))
        .unify()
        .or(events.then(live::events))
        .unify()
        .or(alerts.then(alerts::list))
        .unify()
        .or(acknowledge.then(alerts::acknowledge))
        .unify()
        .or(reset.then(alerts::reset))
        .unify()
        .or(blocks.then(live::blocks))
        .unify()
        .or(health.then(machine::health))
        .unify()
        .or(openapi.then(machine::openapi))
        .unify()
        .or(metrics.then(machine::metrics))
        .unify()
        .map(|answer: Answer| answer.unwrap_or_else(|problem| problem.response()))
        .recover(rejected)
        .unify()
        .boxed()
}

/// The gate only lets through what the table has, so a rejection means that table and filters disagree.
async fn rejected(rejection: Rejection) -> Result<Response, std::convert::Infallible> {
    tracing::error!(?rejection, "a route of the table has no filter");
    Ok(Problem::Internal.response())
}

pub(crate) fn json(body: &impl Serialize) -> Answer {
    let text = serde_json::to_string(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        Problem::Internal
    })?;
    Ok(typed(text, "application/json"))
}

pub(crate) fn typed(text: String, content_type: &'static str) -> Response {
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

impl From<ViewError> for Problem {
    fn from(error: ViewError) -> Self {
        tracing::warn!(%error, "a request could not be answered");
        Self::Unavailable
    }
}

/// Reads `rows=50&before=17`: only the named parameters, each at most once, in range.
pub(crate) fn page(query: &str, before: bool) -> Result<Page, Problem> {
    let mut page = Page { rows: 50, before: None };
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "rows" if !seen.contains(&name) => {
                let rows = value.parse().ok().filter(|rows| (1..=PAGE_ROWS_MAX).contains(rows));
                page.rows = rows.ok_or(Problem::Query("`rows` (1 to 200)"))?;
            }
            "before" if before && !seen.contains(&name) => {
                let index = value.parse().ok().filter(|index| *index <= BLOCK_INDEX_MAX);
                page.before = Some(index.ok_or(Problem::Query("`before` (the index of a block: 0 to 2^63 - 1)"))?);
            }
            _ => return Err(Problem::Query("in the query")),
        }
        seen.push(name);
    }
    Ok(page)
}

pub(crate) fn set_cookie(headers: &mut HeaderMap, cookie: &str) -> Result<(), Problem> {
    let mut value = HeaderValue::from_str(cookie).map_err(|_| Problem::Internal)?;
    value.set_sensitive(true);
    headers.insert(http::header::SET_COOKIE, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_repeated_and_oversized_parameters_are_refused() {
        assert_eq!(page("", true), Ok(Page { rows: 50, before: None }));
        assert_eq!(page("rows=5&before=17", true), Ok(Page { rows: 5, before: Some(17) }));
        assert_eq!(page("before=9223372036854775807", true).map(|page| page.before), Ok(Some(BLOCK_INDEX_MAX)));
        for bad in ["rows=0", "rows=201", "rows=-1", "rows=1&rows=2", "before=x", "from=1", "rows"] {
            assert!(page(bad, true).is_err(), "{bad}");
        }
        for before in ["9223372036854775808", "18446744073709551615", "18446744073709551616", "-1"] {
            let problem = page(&format!("before={before}"), true).unwrap_err();
            assert_eq!(problem.status(), http::StatusCode::BAD_REQUEST);
            assert!(problem.body().detail.contains("`before` (the index of a block: 0 to 2^63 - 1)"), "{before}");
        }
        assert!(page("before=1", false).is_err());
    }
}
