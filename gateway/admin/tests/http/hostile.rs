//! Requests that no browser of ours sends.

use std::time::Duration;

use pitchside_admin::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Gateway, parse};
use crate::scripted::PASSWORD;

#[tokio::test]
async fn a_foreign_host_name_is_refused() {
    let gateway = Gateway::new().await;
    for host in ["evil.example", "127.0.0.1.evil.example", "127.0.0.2", ""] {
        let request = format!("GET /api/v1/health HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let reply = gateway.raw(request.as_bytes()).await;
        assert_eq!((reply.status, reply.problem().as_str()), (421, "wrong-host"), "{host}");
    }
    for (head, problem) in [
        ("GET /api/v1/health HTTP/1.1\r\nconnection: close\r\n\r\n", "bad-request"),
        (
            "GET /api/v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
            "bad-request",
        ),
        ("GET https://127.0.0.1/api/v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n", "bad-request"),
        ("GET /api/v1/health HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n", "bad-request"),
    ] {
        assert_eq!(gateway.raw(head.as_bytes()).await.problem(), problem, "{head}");
    }
}

#[tokio::test]
async fn another_sites_page_can_change_nothing_even_with_the_cookie() {
    let gateway = Gateway::new().await;
    let (cookie, host) = (gateway.sign_in("admin").await, gateway.host());
    for origin in ["origin: https://evil.example\r\n", "origin: null\r\n", "", "origin: https://127.0.0.1:1\r\n"] {
        let request =
            format!("POST /api/v1/logout HTTP/1.1\r\nhost: {host}\r\n{origin}{cookie}connection: close\r\n\r\n");
        let reply = gateway.raw(request.as_bytes()).await;
        assert_eq!((reply.status, reply.problem().as_str()), (403, "wrong-origin"), "{origin}");
    }
    assert_eq!(gateway.ask("GET /api/v1/me", &cookie, "").await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_the_page_safe() {
    let gateway = Gateway::new().await;
    for line in ["GET /", "GET /api/v1/health", "GET /api/v1/live", "GET /nothing", "DELETE /"] {
        let reply = gateway.ask(line, "", "").await;
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{line}");
        assert!(!policy.contains("unsafe"), "{line}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{line}");
        assert_eq!(reply.header("strict-transport-security"), Some("max-age=31536000"), "{line}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{line}");
        if line.contains("/api/") {
            assert_eq!(reply.header("cache-control"), Some("no-store"), "{line}");
        }
    }
}

#[tokio::test]
async fn paths_that_climb_out_of_the_web_app_lead_nowhere() {
    let gateway = Gateway::new().await;
    for path in
        ["/../Cargo.toml", "/..%2fCargo.toml", "/assets/../../package.json", "//etc/passwd", "/%2e%2e/package.json"]
    {
        let status = gateway.ask(&format!("GET {path}"), "", "").await.status;
        assert!(status == 404 || status == 503, "{path}: {status}");
    }
}

#[tokio::test]
async fn the_web_app_is_served_with_a_tag_or_its_absence_explained() {
    let gateway = Gateway::new().await;
    let built = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/dist/index.html").exists();
    let reply = gateway.ask("GET /", "", "").await;
    if !built {
        assert_eq!((reply.status, reply.problem().as_str()), (503, "no-web-app"));
        return;
    }
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    let tag = format!("if-none-match: {}\r\n", reply.header("etag").unwrap());
    assert_eq!(gateway.ask("GET /", &tag, "").await.status, 304);
    let script = reply.body.split('"').find(|text| text.ends_with(".js")).unwrap();
    let reply = gateway.ask(&format!("GET {script}"), "", "").await;
    assert_eq!(reply.header("cache-control"), Some("public, max-age=31536000, immutable"));
}

#[tokio::test]
async fn bodies_are_small_json_and_on_time() {
    let limits = Limits { body_time_max: Duration::from_millis(50), ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let json = "content-type: application/json\r\n";
    let large = "x".repeat(16 * 1_024 + 1);
    for (headers, body, problem) in [
        (json, "{", "bad-body"),
        (json, r#"{"name":"a"}"#, "bad-body"),
        (json, r#"{"name":"a","password":"b","admin":true}"#, "bad-body"),
        ("content-type: text/plain\r\n", r#"{"name":"a","password":"b"}"#, "bad-body"),
        (json, large.as_str(), "body-too-large"),
    ] {
        let reply = gateway.ask("POST /api/v1/login", headers, body).await;
        assert_eq!(reply.problem(), problem, "{reply:?}");
        assert!(!reply.body.contains("password"), "the input is not repeated");
    }
    let cookie = gateway.sign_in("viewer").await;
    let reply = gateway.ask("POST /api/v1/logout", &cookie, "unasked").await;
    assert_eq!((reply.status, reply.problem().as_str()), (413, "body-too-large"));

    let host = gateway.host();
    let head = format!("POST /api/v1/login HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\n{json}");
    let chunked = format!("{head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n4001\r\n{large}\r\n0\r\n\r\n");
    assert_eq!(gateway.raw(chunked.as_bytes()).await.problem(), "body-too-large");
    let not_utf8 = [head.as_bytes(), b"content-length: 2\r\nconnection: close\r\n\r\n\xff\xff"].concat();
    assert_eq!(gateway.raw(&not_utf8).await.problem(), "bad-body");
    let slow = format!("{head}content-length: 10\r\nconnection: close\r\n\r\n{{");
    assert_eq!(gateway.raw(slow.as_bytes()).await.problem(), "body-too-slow");
}

#[tokio::test]
async fn headers_are_bounded_in_size_number_and_time() {
    let limits = Limits { header_time_max: Duration::from_millis(100), ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let large = format!("x: {}\r\n", "y".repeat(20_000));
    assert_eq!(gateway.ask("GET /api/v1/health", &large, "").await.status, 431);
    assert_eq!(gateway.ask("GET /api/v1/health", &"x: y\r\n".repeat(100), "").await.status, 431);

    for beginning in ["", "GET / HTTP/1.1\r\nhost: 127", "GET /api/v1/health HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"] {
        let mut stream = gateway.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "a connection that says no more is closed: {beginning:?}");
    }
}

#[tokio::test]
async fn connections_are_bounded_and_places_are_given_back() {
    let limits = Limits { connections_per_peer_max: 2, ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let open = [gateway.connect().await, gateway.connect().await];
    let mut third = TcpStream::connect(gateway.address).await.unwrap();
    assert!(matches!(third.read(&mut [0; 1]).await, Ok(0) | Err(_)), "the third is closed");
    drop(open);
    while gateway.clinic.metrics.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.ask("GET /api/v1/health", "", "").await.status, 200);
    let text = gateway.ask("GET /metrics", "", "").await.body;
    assert!(text.contains(r#"connection_refusals_total{reason="too_many_from_one_address"} 1"#), "{text}");
}

#[tokio::test]
async fn plain_http_and_silence_before_tls_get_nothing() {
    let limits = Limits { handshake_time_max: Duration::from_millis(50), ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let mut plain = TcpStream::connect(gateway.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    let closed = timeout(Duration::from_secs(10), silent.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
}

#[tokio::test]
async fn two_requests_in_one_packet_are_two_requests() {
    let gateway = Gateway::new().await;
    let mut stream = gateway.connect().await;
    let host = gateway.host();
    let body = serde_json::json!({ "name": "viewer", "password": PASSWORD }).to_string();
    let both = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}GET /api/v1/me HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers).await;
    let text = String::from_utf8(answers).unwrap();
    let second = &text[text.rfind("HTTP/1.1 ").unwrap()..];
    assert_eq!(parse(second).status, 401, "the second request carries no cookie, whoever shares its connection");
}
