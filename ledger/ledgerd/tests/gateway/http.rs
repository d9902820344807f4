//! Reads: an auditor with nothing but HTTP and the verifier key rebuilds the tree.

use std::net::SocketAddr;

use ledger_block::merkle;
use ledger_block::policy::Policy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, Ledger, PATIENCE};

async fn raw(address: SocketAddr, request: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..split].to_vec()).unwrap().to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, bytes[split + 4..].to_vec())
}

async fn get(address: SocketAddr, path: &str) -> (u16, String, Vec<u8>) {
    raw(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_rebuilds_the_tree_from_what_is_served() {
    let (mut ledger, mut gateway) = (Ledger::new(), Gateway::new("box-1", 20));
    ledger.enrol(&gateway);
    ledger.start().await;
    for _ in 0..5 {
        gateway.seal(300);
    }
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(5).await;
    let http = ledger.running.as_ref().unwrap().http;
    let (status, head, policy) = get(http, "/policy").await;
    assert_eq!(status, 200);
    assert!(head.contains("text/plain; charset=utf-8"));
    let policy = Policy::parse(&policy).unwrap();
    assert_eq!(get(http, "/vkey").await.2, format!("{}\n", ledger.vkey()).into_bytes());
    let (_, head, note) = get(http, "/checkpoint").await;
    assert!(head.contains("max-age=2") && head.contains("text/plain; charset=utf-8"), "{head}");
    let checkpoint = policy.verify_checkpoint(&note).unwrap().checkpoint;
    assert_eq!(checkpoint.size, 7);
    let (_, head, bundle) = get(http, "/tile/entries/000.p/7").await;
    assert!(head.contains("immutable") && head.contains("application/octet-stream"), "{head}");
    let leaves: Vec<_> = ledger_log::bundle::entries(&bundle).unwrap().into_iter().map(merkle::leaf_hash).collect();
    assert_eq!(merkle::root(&leaves), checkpoint.root);
    assert_eq!(get(http, "/tile/0/000.p/7").await.2, leaves.concat());
    sync.stop().await;
}

/// Status line and header fields, in some order, without the date.
fn fields(head: &str) -> Vec<&str> {
    let mut fields: Vec<&str> = head.lines().filter(|line| !line.starts_with("date:")).collect();
    fields.sort_unstable();
    fields
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_answered_as_get_with_the_length_of_the_body_and_without_it() {
    let mut ledger = Ledger::new();
    ledger.start().await;
    let http = ledger.running.as_ref().unwrap().http;
    let content = format!("/content/{}", "0".repeat(64));
    for path in ["/checkpoint", "/vkey", "/policy", "/tile/0/000.p/1", "/tile/entries/000.p/1", "/nothing", &content] {
        let (_, got, body) = get(http, path).await;
        assert!(got.contains(&format!("content-length: {}", body.len())) && !body.is_empty(), "{path}: {got}");
        let (_, head, none) = raw(http, &format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert_eq!(fields(&head), fields(&got), "{path}");
        assert!(none.is_empty(), "{path}: {}", String::from_utf8_lossy(&none));
    }
    // On a connection that is kept, what comes next is the next answer.
    let both = "HEAD /vkey HTTP/1.1\r\nhost: x\r\n\r\nGET /vkey HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (status, _, next) = raw(http, both).await;
    let next = String::from_utf8(next).unwrap();
    assert_eq!(status, 200);
    assert!(next.starts_with("HTTP/1.1 200 OK") && next.ends_with(&format!("\r\n\r\n{}\n", ledger.vkey())), "{next}");
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_else_is_served_and_nothing_can_be_written() {
    let mut ledger = Ledger::new();
    ledger.start().await;
    let http = ledger.running.as_ref().unwrap().http;
    for path in [
        "/",
        "/tile/0/000",
        "/tile/0/000.p/2",
        "/tile/entries/000.p/2",
        "/tile/0/../../keys/log.key",
        "/keys/log.key",
        "/tile/0/%2e%2e/x",
        "/index.sqlite",
        "/payloads/00/00",
        "/tile/9/000",
        "/checkpoint/",
    ] {
        assert_eq!(get(http, path).await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request =
            format!("{method} /checkpoint HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let (status, head, _) = raw(http, &request).await;
        assert_eq!(status, 405, "{method}");
        assert!(head.lines().any(|line| line == "allow: get, head"), "{method}: {head}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(40_000));
    let mut stream = TcpStream::connect(http).await.unwrap();
    let _cut = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _cut = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
}
