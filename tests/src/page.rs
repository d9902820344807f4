//! Somebody at the page, or an app: HTTPS requests under the box's own authority, signed in.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::mqtt::stream::{self, Address};
use crate::patience::soon;

/// Who asks.
pub struct Visitor {
    to: SocketAddr,
    authority: PathBuf,
    cookie: String,
}

impl Visitor {
    /// Signs in.
    pub async fn signed_in(to: SocketAddr, authority: PathBuf, name: &str, password: &str) -> Self {
        let mut visitor = Self { to, authority, cookie: String::new() };
        let login = serde_json::json!({ "name": name, "password": password });
        let (status, head, _) = visitor.exchange("POST /api/v1/login", &login.to_string()).await;
        assert_eq!(status, 200, "{name} signs in");
        let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        visitor.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        visitor
    }

    /// Asks; the status and what came of it. `what`: method and path. Null is no body.
    pub async fn asks(&self, what: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, body) = self.exchange(what, &body).await;
        (status, serde_json::from_str(&body).expect("an answer in JSON"))
    }

    /// Reads a path of the API.
    pub async fn reads(&self, path: &str) -> Value {
        let (status, _, body) = self.exchange(&format!("GET {path}"), "").await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("an answer in JSON")
    }

    /// Listens to events: from now on, or going on after the last id heard.
    pub async fn listens(&self, last: Option<u64>) -> Listener {
        let host = format!("localhost:{}", self.to.port());
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let cookie = &self.cookie;
        let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n{last}\r\n");
        let mut connection = stream::connect(&self.address()).await.expect("the page speaks TLS");
        connection.write_all(request.as_bytes()).await.expect("the request leaves");
        connection.flush().await.expect("the request leaves");
        Listener { connection, text: String::new() }
    }

    fn address(&self) -> Address {
        let (address, ca_file) = (self.to.to_string(), Some(self.authority.clone()));
        Address { address, ca_file, server_name: Some("localhost".to_owned()) }
    }

    async fn exchange(&self, what: &str, body: &str) -> (u16, String, String) {
        let to = self.address();
        let (host, length, cookie) = (format!("localhost:{}", self.to.port()), body.len(), &self.cookie);
        let request = format!(
            "{what} HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\ncookie: {cookie}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let exchange = async {
            let mut connection = stream::connect(&to).await.expect("the page speaks TLS");
            connection.write_all(request.as_bytes()).await.expect("the request leaves");
            connection.flush().await.expect("the request leaves");
            let mut answer = Vec::new();
            let mut bytes = [0; 4_096];
            // Until the end, with or without a goodbye.
            while let Ok(count @ 1..) = connection.read(&mut bytes).await {
                answer.extend_from_slice(&bytes[..count]);
            }
            String::from_utf8(answer).expect("text")
        };
        let answer = soon("an answer of the page", exchange).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_owned(), body.to_owned())
    }
}

/// An event as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Its name.
    pub name: String,
    /// Its id, if it has one.
    pub id: Option<u64>,
    /// What it says.
    pub data: Value,
}

/// Somebody who listens to events. Dropped, the connection is.
pub struct Listener {
    connection: stream::Connection,
    text: String,
}

impl Listener {
    /// The next event about alerts, or greeting.
    pub async fn hears(&mut self) -> Heard {
        loop {
            let heard = soon("an event", self.next()).await;
            if heard.name.starts_with("alert_") || ["hello", "resync"].contains(&heard.name.as_str()) {
                return heard;
            }
        }
    }

    /// The next of those that is on the record: it has an id.
    pub async fn hears_recorded(&mut self) -> Heard {
        loop {
            let heard = self.hears().await;
            if heard.id.is_some() {
                return heard;
            }
        }
    }

    /// Heads and the sizes of chunks stand on lines of their own, and are no fields.
    async fn next(&mut self) -> Heard {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                let (name, id) = (field("event:").unwrap_or_default().to_owned(), field("id:"));
                let data = serde_json::from_str(field("data:").unwrap_or("null")).expect("data in JSON");
                return Heard { name, id: id.map(|id| id.parse().expect("a number")), data };
            }
            let mut bytes = [0; 16_384];
            let count = self.connection.read(&mut bytes).await.expect("the stream goes on");
            assert!(count > 0, "the stream ended: {}", self.text);
            self.text.push_str(std::str::from_utf8(&bytes[..count]).expect("text"));
        }
    }
}
