//! Alerts: the list, and acknowledging one.

use std::sync::Arc;

use pitchside_model::AlertId;

use crate::api::{AlertList, AlertView};
use crate::openapi::Refused;
use crate::problem::Problem;
use crate::routes::{Answer, App, json, page};
use crate::signin::SignedIn;
use crate::view::CommandError;

/// All alerts, newest first, those that are over too.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(
    ("rows" = Option<u32>, Query, description = "At most so many: 1 to 200, 50 if not given", minimum = 1, maximum = 200),
), responses(
    (status = 200, description = "Alerts", body = AlertList), Refused
))]
pub(crate) async fn list(app: Arc<App>, query: String) -> Answer {
    let page = page(&query, false)?;
    json(&AlertList { alerts: app.parts.view.alerts(page.rows).await? })
}

/// Says that the asker has seen an alert. Doing so twice changes nothing.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/acknowledge", tag = "alerts",
    params(("id" = String, Path, description = "32 hexadecimal digits")), responses(
    (status = 200, description = "The alert as it stands now", body = AlertView),
    (status = 404, description = "No such alert", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn acknowledge(app: Arc<App>, id: String, who: SignedIn) -> Answer {
    let id = AlertId::parse(&id).ok_or(Problem::UnknownAlert)?;
    let alert = app.parts.commands.acknowledge(id, &who.user).await.map_err(|error| match error {
        CommandError::UnknownAlert(_) => Problem::UnknownAlert,
        CommandError::Unavailable(_) => {
            tracing::warn!(%error, "an alert could not be acknowledged");
            Problem::Unavailable
        }
    })?;
    tracing::info!(alert = %id, user = %who.user, "acknowledged");
    json(&alert)
}
