//! The live page's data: everything at once, then what changes.

use std::sync::Arc;

use http::HeaderMap;
use warp::Reply;

use crate::api::{At, BlockList, Live};
use crate::openapi::Refused;
use crate::routes::{Answer, App, json, page};
use crate::signin::SignedIn;
use crate::sse::{self, Since};
use crate::view::Page;

/// Alerts on the live page.
const LIVE_ALERTS: u32 = 100;
/// Blocks on the live page.
const LIVE_BLOCKS: u32 = 12;

/// Everything the live page shows.
#[utoipa::path(get, path = "/api/v1/live", tag = "live", responses(
    (status = 200, description = "Current values, open alerts, last blocks, status", body = Live),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn live(app: Arc<App>) -> Answer {
    let parts = &app.parts;
    // Read first: whatever is recorded while the rest is gathered has a higher number and is applied again.
    let last_event_id = parts.view.last_step().await?;
    json(&Live {
        now: At(parts.clock.now()),
        run: parts.events.run().to_owned(),
        last_event_id,
        status: parts.view.status().await?,
        tiles: parts.board.tiles(),
        alerts: parts.view.open_alerts(LIVE_ALERTS).await?,
        blocks: parts.view.blocks(Page { rows: LIVE_BLOCKS, before: None }).await?,
    })
}

/// What changes, as server-sent events. Each event's data is one JSON object; its `type` is the event's name, save that
/// `resync` (events were missed: fetch /api/v1/live again) has the shape of `hello`.
///
/// Alerts come at least once: what happens to one is told with the number of its step on the record as the event's id, the
/// same after a restart. Who comes back with the last id hears what has happened since, in order. That an alert was raised or
/// is over is also told at once, without an id, before it is on the record.
#[utoipa::path(get, path = "/api/v1/events", tag = "live", params(
    ("Last-Event-ID" = Option<u64>, Header, description = "Go on after this id; `resync` if that cannot be done without a gap"),
    ("last_event_id" = Option<u64>, Query, description = "The same, for clients that set no headers"),
), responses(
    (status = 200, description = "A stream of events", body = crate::events::Event, content_type = "text/event-stream"),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Too many streams", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn events(app: Arc<App>, who: SignedIn, headers: HeaderMap, query: String) -> Answer {
    let opening = sse::Opening {
        events: &app.parts.events,
        view: &app.parts.view,
        clock: &app.parts.clock,
        limits: &app.limits,
        metrics: &app.parts.metrics,
        stopping: &app.stopping,
    };
    Ok(warp::sse::reply(sse::open(&opening, who, Since::of(&headers, &query))?).into_response())
}

/// Sealed blocks, newest first.
#[utoipa::path(get, path = "/api/v1/blocks", tag = "live", params(
    ("rows" = Option<u32>, Query, description = "At most so many: 1 to 200, 50 if not given", minimum = 1, maximum = 200),
    ("before" = Option<u64>, Query, description = "Only blocks with a lower index than this"),
), responses(
    (status = 200, description = "Blocks and their receipts", body = BlockList),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn blocks(app: Arc<App>, query: String) -> Answer {
    let page = page(&query, true)?;
    json(&BlockList { blocks: app.parts.view.blocks(page).await? })
}
