//! For programs: health, metrics, the description of the API.

use std::sync::Arc;

use http::StatusCode;

use crate::api::Health;
use crate::openapi::{Refused, document};
use crate::problem::Problem;
use crate::routes::{Answer, App, json, typed};

/// Whether the gateway can accept readings.
#[utoipa::path(get, path = "/api/v1/health", tag = "machine", security(()), responses(
    (status = 200, description = "It can", body = Health), Refused,
    (status = 503, description = "It cannot, and why; or it cannot answer right now",
     content((Health = "application/json"), (crate::problem::ProblemBody = "application/problem+json"))),
))]
pub(crate) async fn health(app: Arc<App>) -> Answer {
    let health = app.parts.view.health().await;
    let mut response = json(&health)?;
    if !health.ok {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "machine", responses(
    (status = 200, description = "OpenAPI 3.1", content_type = "application/json"),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn openapi(_app: Arc<App>) -> Answer {
    json(&document())
}

/// Counters for Prometheus. Without signing in only from the gateway itself (loopback).
#[utoipa::path(get, path = "/metrics", tag = "machine", responses(
    (status = 200, description = "OpenMetrics text", body = String,
     content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"), Refused
))]
pub(crate) async fn metrics(app: Arc<App>) -> Answer {
    let text = app.parts.metrics.text().map_err(|error| {
        tracing::error!(%error, "the metrics could not be written");
        Problem::Internal
    })?;
    Ok(typed(text, "application/openmetrics-text; version=1.0.0; charset=utf-8"))
}
