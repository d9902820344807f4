//! Alerts: the list, acknowledging one, and resetting one.

use std::sync::Arc;

use hyper::body::Bytes;
use pitchside_model::AlertId;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::{AlertList, AlertView};
use crate::openapi::Refused;
use crate::problem::Problem;
use crate::routes::{Answer, App, json, page};
use crate::signin::SignedIn;
use crate::view::{CommandError, NOTE_CHARS_MAX};

/// All alerts, newest first, those that are over too.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(
    ("rows" = Option<u32>, Query, description = "At most so many: 1 to 200, 50 if not given", minimum = 1, maximum = 200),
), responses(
    (status = 200, description = "Alerts", body = AlertList),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn list(app: Arc<App>, query: String) -> Answer {
    let page = page(&query, false)?;
    json(&AlertList { alerts: app.parts.view.alerts(page.rows).await? })
}

/// Says that the asker has seen an alert. Doing so twice changes nothing.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts",
    params(("id" = String, Path, description = "32 hexadecimal digits")), responses(
    (status = 200, description = "The alert as it stands now", body = AlertView),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "No such alert", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn acknowledge(app: Arc<App>, id: String, who: SignedIn) -> Answer {
    let id = AlertId::parse(&id).ok_or(Problem::UnknownAlert)?;
    let alert = app.parts.commands.acknowledge(id, &who.user).await.map_err(refused)?;
    tracing::info!(alert = %id, user = %who.user, "acknowledged");
    json(&alert)
}

/// Why somebody resets an alert.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetNote {
    /// One line of at most 500 characters; it stays with the alert.
    #[serde(default)]
    note: Option<String>,
}

/// Resets a raised alert: of a rule that latches nothing else ends it. If the condition of its rule still holds, it is raised anew, under
/// another id, by the next reading that counts after the rule's hold and cool-down.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/reset", tag = "alerts", request_body = ResetNote,
    params(("id" = String, Path, description = "32 hexadecimal digits")), responses(
    (status = 200, description = "The alert as it stands now", body = AlertView),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    (status = 404, description = "No such alert", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "The alert is over, or only a drill ends it", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn reset(app: Arc<App>, id: String, who: SignedIn, body: Bytes) -> Answer {
    let id = AlertId::parse(&id).ok_or(Problem::UnknownAlert)?;
    // A list would do for a struct without a field that must be there. serde_json's messages may quote the input; position and kind do not.
    let read = serde_json::from_slice::<Map<String, Value>>(&body).and_then(|map| serde_json::from_value(map.into()));
    let ResetNote { note } = read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::Body(format!("{:?} error at line {line} column {column}", error.classify()).to_lowercase())
    })?;
    let note = note.as_deref().map(str::trim).filter(|note| !note.is_empty());
    if note.is_some_and(|note| note.chars().count() > NOTE_CHARS_MAX || note.chars().any(char::is_control)) {
        return Err(Problem::Body(format!("a note is one line of at most {NOTE_CHARS_MAX} characters")));
    }
    let alert = app.parts.commands.reset(id, &who.user, note).await.map_err(refused)?;
    tracing::info!(alert = %id, user = %who.user, "reset");
    json(&alert)
}

fn refused(error: CommandError) -> Problem {
    match error {
        CommandError::UnknownAlert(_) => Problem::UnknownAlert,
        CommandError::AlertOver(_) => Problem::AlertOver,
        CommandError::NeedsDrill(_) => Problem::NeedsDrill,
        CommandError::ResetWaits(_) => Problem::ResetWaits,
        CommandError::Unavailable(_) => {
            tracing::warn!(%error, "what was asked for an alert was not done");
            Problem::Unavailable
        }
    }
}
