//! A gateway to ask, and a client that writes its requests by hand.

use std::net::SocketAddr;
use std::sync::Arc;

use pitchside_admin::{Limits, Server, SignIns};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::scripted::{Certificate, Clinic, PASSWORD};

/// A running server over a scripted clinic.
pub struct Gateway {
    pub clinic: Arc<Clinic>,
    pub server: Server,
    pub certificate: Certificate,
    pub address: SocketAddr,
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The name of the problem.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(problem["what_to_do"].as_str().is_some_and(|text| !text.is_empty()));
        problem["type"].as_str().unwrap().strip_prefix("urn:pitchside:problem:").unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|p| p.1)
    }
}

impl Gateway {
    pub async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let (clinic, certificate) = (Clinic::new(PASSWORD), Certificate::new());
        let any = "127.0.0.1:0".parse().unwrap();
        let server = clinic.serve(any, &certificate, limits, SignIns::new()).await.unwrap();
        let address = server.local_addr();
        Self { clinic, server, certificate, address }
    }

    /// The host and port as a browser names them.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::clone(&self.certificate.client)).connect(name, stream).await.unwrap()
    }

    /// Writes bytes as they are and reads the answer to the end of the connection.
    pub async fn raw(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        stream.flush().await.unwrap();
        read(&mut stream).await
    }

    /// A request as our own page would send it, with more headers (each ending in CR LF).
    pub async fn ask(&self, line: &str, headers: &str, body: &str) -> Reply {
        let host = self.host();
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\norigin: https://{host}\r\nconnection: close\r\n{length}{headers}\r\n{body}"
        );
        self.raw(request.as_bytes()).await
    }

    pub async fn login(&self, name: &str, password: &str) -> Reply {
        let body = serde_json::json!({ "name": name, "password": password }).to_string();
        self.ask("POST /api/v1/login", "content-type: application/json\r\n", &body).await
    }

    /// Signs in as the user of that role; returns the Cookie header.
    pub async fn sign_in(&self, role: &str) -> String {
        let reply = self.login(role, PASSWORD).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap();
        format!("cookie: {cookie}\r\n")
    }
}

async fn read(stream: &mut TlsStream<TcpStream>) -> Reply {
    let mut bytes = Vec::new();
    // The server may close without TLS's farewell when it gives up on us; what came before still counts.
    let _ = stream.read_to_end(&mut bytes).await;
    parse(&String::from_utf8(bytes).unwrap())
}

pub fn parse(text: &str) -> Reply {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}
