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

    /// Asks; the status and what came of it. `what`: method and path.
    pub async fn asks(&self, what: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.exchange(what, &body.to_string()).await;
        (status, serde_json::from_str(&body).expect("an answer in JSON"))
    }

    async fn exchange(&self, what: &str, body: &str) -> (u16, String, String) {
        let (address, ca_file) = (self.to.to_string(), Some(self.authority.clone()));
        let to = Address { address, ca_file, server_name: Some("localhost".to_owned()) };
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
