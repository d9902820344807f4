//! The event stream, as a browser sees it.

use std::time::Duration;

use pitchside_admin::{At, Event, Limits, Receipt, UserName};
use pitchside_model::{Decimal, Quantity, Timestamp, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::client::Gateway;

/// One event, and how the stream ended if it did.
#[derive(Debug, PartialEq)]
struct Heard {
    name: String,
    id: Option<u64>,
    data: serde_json::Value,
}

struct Listener {
    stream: TlsStream<TcpStream>,
    text: String,
}

impl Listener {
    async fn open(gateway: &Gateway, cookie: &str) -> Self {
        Self::ask(gateway, "/api/v1/events", cookie).await
    }

    /// One who was there before, and heard this last.
    async fn back(gateway: &Gateway, cookie: &str, last: &str) -> Self {
        Self::ask(gateway, "/api/v1/events", &format!("{cookie}last-event-id: {last}\r\n")).await
    }

    async fn ask(gateway: &Gateway, path: &str, headers: &str) -> Self {
        let mut stream = gateway.connect().await;
        let host = gateway.host();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut listener = Self { stream, text: String::new() };
        while !listener.text.contains("\r\n\r\n") {
            assert!(listener.more().await, "{}", listener.text);
        }
        let (head, rest) = listener.text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        listener.text = rest.to_owned();
        listener
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 65_536];
        let read = timeout(Duration::from_secs(20), self.stream.read(&mut bytes))
            .await
            .expect("an event in time")
            .unwrap_or(0);
        self.text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        read > 0
    }

    /// The next event; none at the end of the stream. (Chunk sizes stand on lines of their own and are skipped.)
    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                return Some(Heard {
                    name: field("event:").unwrap_or("").to_owned(),
                    id: field("id:").map(|id| id.parse().unwrap()),
                    data: serde_json::from_str(field("data:").unwrap_or("null")).unwrap(),
                });
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// Names and ids of the next so many, without the server's own signs of life.
    async fn told(&mut self, count: usize) -> Vec<(String, Option<u64>)> {
        let mut told = Vec::new();
        while told.len() < count {
            let heard = self.next().await.expect("the stream goes on");
            if !["status", "beat", "tiles"].contains(&heard.name.as_str()) {
                told.push((heard.name, heard.id));
            }
        }
        told
    }

    async fn until(&mut self, name: &str) -> Heard {
        loop {
            let heard = self.next().await.expect("the stream goes on");
            if heard.name == name {
                return heard;
            }
        }
    }
}

#[tokio::test]
async fn it_greets_then_tells_what_changes_in_order() {
    let gateway = Gateway::new().await;
    let mut listener = Listener::open(&gateway, &gateway.sign_in("viewer").await).await;
    let hello = listener.next().await.unwrap();
    assert_eq!((hello.name.as_str(), hello.id), ("hello", Some(0)), "whoever drops right after it misses nothing");
    let id = gateway.clinic.raise(1, "ada", "39.9");
    gateway.clinic.clear(id);
    let block = gateway.clinic.seal(3);
    gateway.clinic.receipt(block, Receipt::R2);
    for (name, id) in [("alert_raised", Some(1)), ("alert_cleared", Some(2)), ("block_sealed", None), ("receipt", None)]
    {
        let heard = loop {
            let heard = listener.next().await.expect("the stream goes on");
            // The server's own signs of life may come between.
            if !["status", "beat"].contains(&heard.name.as_str()) {
                break heard;
            }
        };
        assert_eq!((heard.name.as_str(), &heard.data["type"], heard.id), (name, &name.into(), id));
    }
}

/// As a test says what was told.
fn told(events: &[(&str, u64)]) -> Vec<(String, Option<u64>)> {
    events.iter().map(|(name, id)| ((*name).to_owned(), Some(*id))).collect()
}

#[tokio::test]
async fn whoever_comes_back_hears_every_step_since_and_then_what_happens() {
    let gateway = Gateway::new().await;
    let cookie = gateway.sign_in("viewer").await;
    let first = gateway.clinic.raise(1, "ada", "39.9");
    let mut listener = Listener::open(&gateway, &cookie).await;
    assert_eq!(listener.told(1).await, told(&[("hello", 1)]), "what is before it is in /live");
    drop(listener);
    gateway.clinic.clear(first);
    let second = gateway.clinic.raise(2, "ben", "40.1");
    for how in ["header", "query"] {
        let mut listener = match how {
            "header" => Listener::back(&gateway, &cookie, "1").await,
            _ => Listener::ask(&gateway, "/api/v1/events?last_event_id=1", &cookie).await,
        };
        let missed = told(&[("hello", 1), ("alert_cleared", 2), ("alert_raised", 3)]);
        assert_eq!(listener.told(3).await, missed, "by {how}");
    }
    let mut listener = Listener::back(&gateway, &cookie, "3").await;
    gateway.clinic.clear(second);
    assert_eq!(listener.told(2).await, told(&[("hello", 3), ("alert_cleared", 4)]));
    assert_eq!(gateway.clinic.metrics.event_resyncs.get(), 0);
}

#[tokio::test]
async fn what_happens_while_the_record_is_read_comes_once_and_in_its_place() {
    let gateway = Gateway::new().await;
    let cookie = gateway.sign_in("viewer").await;
    let first = gateway.clinic.raise(1, "ada", "39.9");
    // The record is read once this is let go of; the stream listens by then.
    let held = gateway.clinic.reading_steps.lock().await;
    let mut listener = Listener::back(&gateway, &cookie, "0").await;
    let early = Event::AlertCleared { id: first, at: At(Timestamp(0)), by: None };
    gateway.clinic.events.publish(&early);
    gateway.clinic.clear(first);
    drop(held);
    let replayed = told(&[("hello", 0), ("alert_raised", 1), ("alert_cleared", 2)]);
    assert_eq!(listener.told(3).await, replayed);
    // Neither what came early nor what was heard of the same step follows.
    gateway.clinic.events.publish(&early);
    gateway.clinic.raise(2, "ben", "40.1");
    let after = [("alert_cleared".to_owned(), None), ("alert_raised".to_owned(), Some(3))];
    assert_eq!(listener.told(2).await, after, "and from then on what comes early goes out at once");
}

#[tokio::test]
async fn whoever_cannot_be_told_everything_fetches_anew_and_goes_on_from_there() {
    let gateway = Gateway::new().await;
    let cookie = gateway.sign_in("viewer").await;
    let id = gateway.clinic.raise(1, "ada", "39.9");
    for unknown in ["2", "99999999999999999999", "-1", "x", "0x1"] {
        let mut listener = Listener::back(&gateway, &cookie, unknown).await;
        let anew = [("hello".to_owned(), None), ("resync".to_owned(), Some(1))];
        assert_eq!(listener.told(2).await, anew, "{unknown}");
    }
    assert_eq!(gateway.clinic.metrics.event_resyncs.get(), 5);
    for _ in 0..pitchside_admin::STEPS_MAX {
        gateway.clinic.record(Event::AlertCleared { id, at: At(Timestamp(0)), by: None });
    }
    let mut listener = Listener::back(&gateway, &cookie, "0").await;
    assert_eq!(listener.told(2).await, [("hello".to_owned(), None), ("resync".to_owned(), Some(1_001))]);
    let mut listener = Listener::back(&gateway, &cookie, "1").await;
    let told = listener.told(1_001).await;
    assert_eq!((told[0].1, told[1].1, told[1_000].1), (Some(1), Some(2), Some(1_001)), "as many as are told");
    *gateway.clinic.broken.lock() = true;
    let mut listener = Listener::back(&gateway, &cookie, "1").await;
    assert_eq!(listener.told(2).await, [("hello".to_owned(), None), ("resync".to_owned(), None)]);
}

#[tokio::test]
async fn many_readings_of_one_stream_are_few_tiles() {
    let gateway = Gateway::new().await;
    let mut listener = Listener::open(&gateway, &gateway.sign_in("viewer").await).await;
    for value in 0..1_000 {
        gateway.clinic.reading(Some("ada"), "strap-1", Quantity::HEART_RATE, Value::Number(Decimal::integer(value)));
    }
    let mut events = 0;
    loop {
        let tiles = listener.until("tiles").await;
        events += 1;
        assert_eq!(tiles.data["tiles"].as_array().unwrap().len(), 1);
        if tiles.data["tiles"][0]["value"] == "999" {
            break;
        }
    }
    assert!(events <= 2, "{events} events for readings that all came at once");
}

#[tokio::test]
async fn a_browser_that_falls_behind_is_told_to_start_over() {
    let gateway = Gateway::new().await;
    let mut listener = Listener::open(&gateway, &gateway.sign_in("viewer").await).await;
    assert_eq!(listener.next().await.unwrap().name, "hello");
    // This runtime has one thread: nothing is sent while these are published, so the stream falls behind.
    gateway.clinic.raise(1, "ada", "39.9");
    for n in 0..pitchside_admin::events::EVENTS_BEHIND_MAX as u64 + 50 {
        gateway.clinic.events.publish(&Event::Receipt { index: n, receipt: Receipt::R1 });
    }
    assert_eq!(listener.told(2).await, told(&[("resync", 0), ("alert_raised", 1)]), "an alert is not missed even so");
    let next = listener.until("receipt").await;
    assert_eq!(next.data["index"], 50, "then the oldest that is still kept");
    assert_eq!(gateway.clinic.metrics.event_resyncs.get(), 1);
}

#[tokio::test]
async fn it_beats_while_nothing_happens_and_ends_with_the_sign_in() {
    let limits = Limits { beat_interval: Duration::from_millis(20), ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let mut listener = Listener::open(&gateway, &gateway.sign_in("viewer").await).await;
    assert!(listener.until("beat").await.data["now"].as_str().unwrap().ends_with('Z'));
    assert_eq!(gateway.clinic.metrics.event_clients.get(), 1);
    gateway.server.sign_ins().end_user(&UserName::parse("viewer").unwrap());
    while listener.next().await.is_some() {}
    assert_eq!(gateway.clinic.metrics.event_clients.get(), 0);
}

#[tokio::test]
async fn streams_are_bounded_per_sign_in_and_in_all() {
    let limits = Limits { event_clients_per_sign_in_max: 2, event_clients_max: 3, ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let (one, other) = (gateway.sign_in("viewer").await, gateway.sign_in("admin").await);
    let _open = [
        Listener::open(&gateway, &one).await,
        Listener::open(&gateway, &one).await,
        Listener::open(&gateway, &other).await,
    ];
    for cookie in [&one, &other] {
        let reply = gateway.ask("GET /api/v1/events", cookie, "").await;
        assert_eq!((reply.status, reply.problem().as_str()), (429, "too-many-streams"));
    }
}
