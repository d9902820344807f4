//! Refusals as problem details (RFC 9457): what happened, and what to do.

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use warp::reply::Response;

/// The body of every refusal, `application/problem+json`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Which problem it is: `urn:pitchside:problem:` and a name that stays the same.
    #[serde(rename = "type")]
    pub kind: String,
    /// The problem in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened.
    pub detail: String,
    /// What to do about it.
    pub what_to_do: String,
}

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The request is not one this server understands.
    BadRequest(&'static str),
    /// Addressed to a name this gateway does not have.
    WrongHost,
    /// Sent by a page of another origin, or by none.
    WrongOrigin,
    /// No such path.
    NotFound,
    /// The path exists, but not for this method.
    Method(Vec<Method>),
    /// A body larger than so many bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    Slow,
    /// The body is not JSON of the expected shape.
    Body(String),
    /// A query parameter is not what it should be.
    Query(&'static str),
    /// Nobody is signed in.
    NotSignedIn,
    /// Name or password is wrong; which of them is not said.
    LoginRefused,
    /// Signed in, but not in a role that may.
    Forbidden(crate::view::Role),
    /// Metrics are for admins and for this machine.
    MetricsForbidden,
    /// Too many attempts; try again after so long.
    TooMany(Duration),
    /// Too many event streams are open.
    TooManyStreams,
    /// There is no such alert.
    UnknownAlert,
    /// The alert is over: there is nothing to reset.
    AlertOver,
    /// The alert is over once a drill proves the alert path.
    NeedsDrill,
    /// A reset is asked for, but not done yet.
    ResetWaits,
    /// The gateway cannot answer right now.
    Unavailable,
    /// The web app was not built into this binary.
    NoWebApp,
    /// A fault of the server itself.
    Internal,
}

impl Problem {
    /// Its HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::Body(_) | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::WrongOrigin | Self::Forbidden(_) | Self::MetricsForbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::UnknownAlert => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NotSignedIn | Self::LoginRefused => StatusCode::UNAUTHORIZED,
            Self::TooMany(_) | Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::AlertOver | Self::NeedsDrill => StatusCode::CONFLICT,
            Self::ResetWaits | Self::Unavailable | Self::NoWebApp => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn words(&self) -> (&'static str, &'static str, String, String) {
        let text = |name, title, detail: &str, todo: &str| (name, title, detail.to_owned(), todo.to_owned());
        match self {
            Self::BadRequest(why) => text("bad-request", "The request is malformed", why, "Correct the request."),
            Self::WrongHost => text(
                "wrong-host",
                "Not for this gateway",
                "The request is addressed to a host name that this gateway does not answer to.",
                "Use a name from the gateway's certificate, or add this one to its list of hosts.",
            ),
            Self::WrongOrigin => text(
                "wrong-origin",
                "Not sent by this gateway's own page",
                "A request that changes something must carry an Origin header that is this gateway's own address.",
                "Open the gateway's own page. A program sends `Origin: https://` and the host it connects to.",
            ),
            Self::NotFound => text(
                "not-found",
                "There is nothing here",
                "This path does not exist.",
                "See /api/v1/openapi.json for the paths that do.",
            ),
            Self::Method(_) => text(
                "method-not-allowed",
                "Not with this method",
                "This path exists, but not for this method.",
                "Use a method from the Allow header.",
            ),
            Self::TooLarge(limit) => (
                "body-too-large",
                "The request is too large",
                format!("The body of a request here has at most {limit} bytes."),
                "Send less.".to_owned(),
            ),
            Self::Slow => text(
                "body-too-slow",
                "The request took too long",
                "The body did not arrive in time.",
                "Check the connection and try again.",
            ),
            Self::Body(why) => (
                "bad-body",
                "The request could not be read",
                format!("The body is not the JSON expected here: {why}."),
                "See /api/v1/openapi.json for its shape.".to_owned(),
            ),
            Self::Query(which) => (
                "bad-query",
                "A parameter is wrong",
                format!("The parameter {which} is unknown, given twice or out of range."),
                "See /api/v1/openapi.json for the parameters.".to_owned(),
            ),
            Self::NotSignedIn => text(
                "not-signed-in",
                "Nobody is signed in",
                "This needs somebody to be signed in; or the sign-in has ended.",
                "Sign in with POST /api/v1/login.",
            ),
            Self::LoginRefused => text(
                "login-refused",
                "Name or password is wrong",
                "The name and the password do not fit together.",
                "Check both and try again. An admin can set a new password.",
            ),
            Self::Forbidden(role) => (
                "forbidden",
                "Not in your role",
                format!("This needs the role {role}."),
                "Sign in as somebody in that role, or ask an admin for it.".to_owned(),
            ),
            Self::MetricsForbidden => text(
                "forbidden",
                "Not in your role",
                "Metrics are given to admins, and to programs on the gateway itself.",
                "Sign in as an admin, or ask from the gateway's own loopback address.",
            ),
            Self::TooMany(wait) => (
                "too-many-attempts",
                "Too many attempts",
                "There were too many attempts to sign in.".to_owned(),
                format!("Wait {} s, then try again.", wait_s(*wait)),
            ),
            Self::TooManyStreams => text(
                "too-many-streams",
                "Too many live pages are open",
                "The gateway serves only so many live pages at once.",
                "Close a live page that is not needed, then try again.",
            ),
            Self::UnknownAlert => text(
                "unknown-alert",
                "There is no such alert",
                "No alert has this id.",
                "Fetch /api/v1/alerts again and use an id from there.",
            ),
            Self::AlertOver => text(
                "alert-over",
                "The alert is over",
                "This alert is no longer raised: its condition ended, or somebody has reset it.",
                "Fetch /api/v1/alerts to see what became of it.",
            ),
            Self::NeedsDrill => text(
                "needs-drill",
                "Only a drill ends this alert",
                "This alert says that the alert path is broken; it is over once a drill proves the path.",
                "Mend what it names, then run `pitchside alerts drill` on the gateway.",
            ),
            Self::ResetWaits => text(
                "reset-waits",
                "The reset is asked for, but not done yet",
                "The rules of the gateway are behind or do not run; the alert is reset as soon as they get to it.",
                "Look at the alert again in a while; if it stays raised, run `pitchside doctor`.",
            ),
            Self::Unavailable => text(
                "unavailable",
                "The gateway cannot answer right now",
                "A part of the gateway did not answer; readings may still be coming in.",
                "Try again in a few seconds; if it persists, run `pitchside doctor`.",
            ),
            Self::NoWebApp => text(
                "no-web-app",
                "The web app is not in this binary",
                "This gateway was built without its web app.",
                "Run `make web`, then build the gateway again.",
            ),
            Self::Internal => text(
                "internal",
                "The gateway made a mistake",
                "Something that must not happen has happened; the log says more.",
                "Try again; if it persists, report it with the log.",
            ),
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> ProblemBody {
        let (name, title, detail, what_to_do) = self.words();
        ProblemBody {
            kind: format!("urn:pitchside:problem:{name}"),
            title,
            status: self.status().as_u16(),
            detail,
            what_to_do,
        }
    }

    /// The answer.
    pub fn response(&self) -> Response {
        // Serialising two strings and a number cannot fail; an empty body would still carry the status.
        let body = serde_json::to_string(&self.body()).unwrap_or_default();
        let mut response = Response::new(body.into());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Self::Method(allowed) => {
                let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
                if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
                    headers.insert(ALLOW, value);
                }
            }
            Self::TooMany(wait) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(wait_s(*wait)));
            }
            Self::Unavailable | Self::TooManyStreams => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        response
    }
}

fn wait_s(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
