//! The routes, their description, and what they answer.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use pitchside_admin::table::{Access, ROUTES, RouteEntry};
use pitchside_admin::{Limits, openapi};
use pitchside_model::{Decimal, Quantity, Value};

use crate::client::Gateway;

#[test]
fn the_committed_description_is_the_generated_one() {
    let committed = include_str!("../../openapi.json");
    let how = "run: cargo run -p pitchside-admin --example openapi > gateway/admin/openapi.json";
    assert!(committed == openapi::text().unwrap(), "gateway/admin/openapi.json is out of date; {how}");
}

#[test]
fn the_description_and_the_table_name_the_same_routes() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut described = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().iter().map(|(method, operation)| {
            let public = operation["security"]
                .as_array()
                .is_some_and(|needs| needs.iter().all(|need| *need == serde_json::json!({})));
            (method.to_uppercase(), path.clone(), public)
        }));
    }
    let mut routes: Vec<_> =
        ROUTES.iter().map(|r| (r.method.to_string(), r.path.to_owned(), r.access == Access::Public)).collect();
    described.sort();
    routes.sort();
    assert_eq!(described, routes);
}

#[tokio::test]
async fn every_route_of_the_table_has_a_filter() {
    let gateway = Gateway::new().await;
    let id = gateway.clinic.raise(1, "ada", "39.9");
    let cookie = gateway.sign_in("admin").await;
    for route in ROUTES.iter().filter(|route| !route.path.ends_with("/events") && !route.path.ends_with("/logout")) {
        let path = route.path.replace("{id}", &id.to_string());
        let body = if route.body { "{}" } else { "" };
        let reply = gateway
            .ask(&format!("{} {path}", route.method), &format!("{cookie}content-type: application/json\r\n"), body)
            .await;
        // A reset needs no note.
        let expected = if route.body && !route.path.ends_with("/reset") { 400 } else { 200 };
        assert_eq!(reply.status, expected, "{} {path}: {reply:?}", route.method);
        let other = if route.method == Method::GET { "DELETE" } else { "GET" };
        let reply = gateway.ask(&format!("{other} {path}"), &cookie, "").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(route.method.as_str())), "{other} {path}");
    }
}

/// The statuses of all refusals that can be brought about of a route by whoever may use it, and by others.
async fn refusals(gateway: &Gateway, route: &RouteEntry, cookie: &str, id: &str) -> BTreeSet<u16> {
    let (host, path) = (gateway.host(), route.path.replace("{id}", id));
    let (line, json) = (format!("{} {path}", route.method), format!("{cookie}content-type: application/json\r\n"));
    let (own, ours, large) = (format!("host: {host}\r\n"), format!("https://{host}"), "x".repeat(16 * 1_024 + 1));
    let written = |hosts: &str, origin: &str, more: &str| {
        format!("{line} HTTP/1.1\r\n{hosts}origin: {origin}\r\nconnection: close\r\n{json}{more}\r\n")
    };
    let mut given = BTreeSet::new();
    for request in [
        written(&format!("{own}{own}"), &ours, ""),
        written(&own, "https://evil.example", ""),
        written("host: evil.example\r\n", "https://evil.example", ""),
        // A body that never comes, and headers without end.
        written(&own, &ours, "transfer-encoding: chunked\r\n"),
        written(&own, &ours, &format!("x: {}\r\n", "y".repeat(20_000))),
    ] {
        given.insert(gateway.raw(request.as_bytes()).await.status);
    }
    let other = if route.method == Method::GET { "DELETE" } else { "GET" };
    given.insert(gateway.ask(&format!("{other} {path}"), cookie, "").await.status);
    given.insert(gateway.ask(&line, &json, &large).await.status);
    if route.access != Access::AdminOrLoopback {
        given.insert(gateway.ask(&line, "", "").await.status);
    }
    if path.contains(id) {
        let unknown = line.replace(id, "nobody");
        // The second time it is over.
        for line in [&unknown, &line, &line] {
            given.insert(gateway.ask(line, &json, if route.body { "{}" } else { "" }).await.status);
        }
    }
    if path.ends_with("/events") {
        given.insert(gateway.ask(&line, cookie, "").await.status);
    }
    // Guessing goes on until it is slowed down.
    while path.ends_with("/login") && !given.contains(&429) {
        given.insert(gateway.login("viewer", "a guess").await.status);
    }
    given.retain(|status| *status >= 400);
    given
}

#[tokio::test]
async fn a_route_refuses_with_the_statuses_of_its_description_and_with_no_others() {
    let limits = Limits { body_time_max: Duration::from_millis(50), event_clients_max: 0, ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let document = serde_json::to_value(openapi::document()).unwrap();
    let id = gateway.clinic.raise(1, "ada", "39.9").to_string();
    // Before guesses are slowed down.
    let cookie = gateway.sign_in("admin").await;
    for route in ROUTES {
        let mut given = refusals(&gateway, route, &cookie, &id).await;
        // A fault of the gateway's own, and an answer that takes too long.
        given.extend([500, 503]);
        let operation = &document["paths"][route.path][route.method.as_str().to_lowercase()];
        let described: BTreeSet<u16> =
            operation["responses"].as_object().unwrap().keys().map(|status| status.parse().unwrap()).collect();
        let refused: BTreeSet<u16> = described.into_iter().filter(|status| *status >= 400).collect();
        assert_eq!(given, refused, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn the_live_page_gets_tiles_alerts_blocks_and_status_at_once() {
    let gateway = Gateway::new().await;
    let value = Value::Number(Decimal::parse("39.60").unwrap());
    gateway.clinic.reading(Some("ada"), "pill-1", Quantity::CORE_TEMPERATURE, value);
    gateway.clinic.raise(1, "ada", "39.60");
    gateway.clinic.seal(12);
    let cookie = gateway.sign_in("viewer").await;
    let live = gateway.ask("GET /api/v1/live", &cookie, "").await.json();
    assert_eq!(live["tiles"][0]["value"], "39.60");
    assert_eq!(live["tiles"][0]["unit"], "Cel");
    assert_eq!(live["tiles"][0]["assurance"], "noise");
    assert_eq!(live["tiles"][0]["stale_after_ms"], 90_000);
    assert_eq!(live["alerts"][0]["rule"], "heat-illness");
    assert_eq!(live["blocks"][0]["receipt"], "R0");
    assert_eq!(live["status"]["ledger"]["link"], "connected");
    assert_eq!(live["last_event_id"], 1, "one step of an alert is on the record");
}

#[tokio::test]
async fn blocks_are_paged() {
    let gateway = Gateway::new().await;
    for readings in 0..5 {
        gateway.clinic.seal(readings);
    }
    let cookie = gateway.sign_in("viewer").await;
    let page = gateway.ask("GET /api/v1/blocks?rows=2&before=4", &cookie, "").await.json();
    let indices: Vec<_> =
        page["blocks"].as_array().unwrap().iter().map(|block| block["index"].as_u64().unwrap()).collect();
    assert_eq!(indices, [3, 2]);
    let reply = gateway.ask("GET /api/v1/blocks?rows=0", &cookie, "").await;
    assert_eq!((reply.status, reply.problem().as_str()), (400, "bad-query"));
}

#[tokio::test]
async fn the_first_to_acknowledge_an_alert_is_the_one_on_record() {
    let gateway = Gateway::new().await;
    let id = gateway.clinic.raise(1, "ada", "39.9");
    let path = format!("POST /api/v1/alerts/{id}/acknowledge");
    let first = gateway.ask(&path, &gateway.sign_in("clinician").await, "").await.json();
    assert_eq!((&first["state"], &first["acknowledged_by"]), (&"acknowledged".into(), &"clinician".into()));
    let admin = gateway.sign_in("admin").await;
    let second = gateway.ask(&path, &admin, "").await.json();
    assert_eq!(second, first);
    for unknown in ["00000000000000000000000000000000", "not-an-id"] {
        let reply = gateway.ask(&format!("POST /api/v1/alerts/{unknown}/acknowledge"), &admin, "").await;
        assert_eq!((reply.status, reply.problem().as_str()), (404, "unknown-alert"));
    }
}

#[tokio::test]
async fn a_clinician_resets_an_alert_with_a_note_and_only_once() {
    let gateway = Gateway::new().await;
    let id = gateway.clinic.latch(1, "ada", "39.9");
    let path = format!("POST /api/v1/alerts/{id}/reset");
    let (viewer, clinician) = (gateway.sign_in("viewer").await, gateway.sign_in("clinician").await);
    let ask = async |path: &str, cookie: &str, body: &str| {
        gateway.ask(path, &format!("{cookie}content-type: application/json\r\n"), body).await
    };
    let refused = ask(&path, &viewer, "{}").await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "forbidden"));
    for bad in ["", "[]", r#"{"note":7}"#, r#"{"why":"x"}"#, r#"{"note":"a\nb"}"#] {
        let reply = ask(&path, &clinician, bad).await;
        assert_eq!((reply.status, reply.problem().as_str()), (400, "bad-body"), "{bad}");
    }
    let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(501));
    assert_eq!(ask(&path, &clinician, &long).await.status, 400);
    let live = gateway.ask("GET /api/v1/live", &viewer, "").await.json();
    assert_eq!((&live["alerts"][0]["state"], &live["alerts"][0]["latches"]), (&"raised".into(), &true.into()));
    assert_eq!(live["alerts"][0]["category"], "physiological");

    let reset = ask(&path, &clinician, r#"{"note":" Seen to. "}"#).await.json();
    assert_eq!((&reset["state"], &reset["reset_by"]), (&"cleared".into(), &"clinician".into()));
    assert_eq!(reset["reset_note"], "Seen to.");
    let again = ask(&path, &gateway.sign_in("admin").await, "{}").await;
    assert_eq!((again.status, again.problem().as_str()), (409, "alert-over"));
    for unknown in ["00000000000000000000000000000000", "not-an-id"] {
        let reply = ask(&format!("POST /api/v1/alerts/{unknown}/reset"), &clinician, "{}").await;
        assert_eq!((reply.status, reply.problem().as_str()), (404, "unknown-alert"));
    }
}

#[tokio::test]
async fn a_broken_store_is_an_honest_503_and_bad_health() {
    let gateway = Gateway::new().await;
    let cookie = gateway.sign_in("viewer").await;
    *gateway.clinic.broken.lock() = true;
    let reply = gateway.ask("GET /api/v1/live", &cookie, "").await;
    assert_eq!((reply.status, reply.problem().as_str()), (503, "unavailable"));
    assert!(!reply.body.contains("scripted"), "the cause is for the log");
    let health = gateway.ask("GET /api/v1/health", "", "").await;
    assert_eq!((health.status, health.json()["ok"].clone()), (503, false.into()));
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_never_by_path() {
    let gateway = Gateway::new().await;
    gateway.ask("GET /api/v1/health", "", "").await;
    gateway.ask("GET /secret/name-of-somebody", "", "").await;
    let text = gateway.ask("GET /metrics", "", "").await.body;
    assert!(text.contains(r#"pitchside_http_requests_total{route="/api/v1/health",status="200"} 1"#), "{text}");
    assert!(!text.contains("somebody"));
    assert!(text.trim_end().ends_with("# EOF"));
}
