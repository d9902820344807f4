//! The bytes of releases: handed in by their publisher, kept, and given to whoever asks by hash.

use std::net::SocketAddr;

use ledger_block::content::{ContentId, Groups, Item, Shape, Span};
use ledger_block::ingest::{CHUNK_BYTES_MAX, Code, Reply, Request};
use ledger_block::release::Manifest;
use pitchside_release::content::client::{self, Patience};
use pitchside_release::content::plan::Outcome;
use pitchside_release::manifest::ContentNames;
use pitchside_sync::connection::Connection;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::releases::{call, enter, hear, ledger, manifest, signed};
use crate::support::{Gateway, Ledger};

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 249) as u8).collect()
}

pub fn release(version: u32, bytes: &[u8]) -> (Manifest, ContentId) {
    let names = ContentNames::of(bytes).unwrap();
    let manifest = Manifest { size: names.size, sha256: names.sha256, blake3: names.blake3, ..manifest(version) };
    let content = ContentId(names.blake3);
    (manifest, content)
}

async fn ask(connection: &mut Connection, request: Request) -> Result<(u64, bool), Code> {
    connection.requests.send(request).await.unwrap();
    match hear(connection).await {
        Reply::Stored { held, whole, .. } => Ok((held, whole)),
        Reply::Refused { refusal, .. } => Err(refusal.code),
        other => panic!("another answer: {other:?}"),
    }
}

pub async fn offer(connection: &mut Connection, content: ContentId) -> Result<(u64, bool), Code> {
    ask(connection, Request::Content { content: content.0 }).await
}

pub async fn piece(
    connection: &mut Connection,
    content: ContentId,
    all: &[u8],
    from: u64,
) -> Result<(u64, bool), Code> {
    let from_at = usize::try_from(from).unwrap();
    let piece = all[from_at..].iter().take(CHUNK_BYTES_MAX).copied().collect();
    ask(connection, Request::Piece { content: content.0, offset: from, bytes: piece }).await
}

fn http(ledger: &Ledger) -> SocketAddr {
    ledger.running.as_ref().unwrap().http
}

/// Head and body of an answer.
async fn get(ledger: &Ledger, path: &str, more: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(http(ledger)).await.unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = bytes.split_off(split + 4);
    (String::from_utf8(bytes).unwrap(), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_hands_in_the_content_of_its_release_and_anybody_gets_it_by_hash() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let bytes = bytes(300_000);
    let (manifest, content) = release(1, &bytes);
    let (mut publisher, mut at_box) = (call(&ledger, &maker).await, call(&ledger, &gateway).await);
    assert_eq!(offer(&mut publisher, content).await, Err(Code::NotAllowed), "no release names it yet");
    assert_eq!(piece(&mut publisher, content, &bytes, 0).await, Err(Code::Unknown), "nothing was offered");
    enter(&mut publisher, &maker, signed(&manifest, &[101, 102])).await.unwrap();
    assert_eq!(offer(&mut at_box, content).await, Err(Code::NotAllowed), "only who published it");

    assert_eq!(offer(&mut publisher, content).await, Ok((0, false)));
    let (held, whole) = piece(&mut publisher, content, &bytes, 0).await.unwrap();
    assert_eq!((held, whole), (CHUNK_BYTES_MAX as u64, false));
    assert_eq!(
        get(&ledger, &format!("/content/{content}"), "range: bytes=0-9\r\n").await.0.lines().next(),
        Some("HTTP/1.1 404 Not Found")
    );
    // Cut off, and the ledger started anew: it goes on where it was.
    drop(publisher);
    ledger.stop().await;
    ledger.start().await;
    let mut publisher = call(&ledger, &maker).await;
    let (mut held, mut whole) = offer(&mut publisher, content).await.unwrap();
    assert_eq!(held, CHUNK_BYTES_MAX as u64);
    while !whole {
        (held, whole) = piece(&mut publisher, content, &bytes, held).await.unwrap();
    }
    assert_eq!(held, 300_000);
    assert_eq!(offer(&mut publisher, content).await, Ok((300_000, true)));

    // The publisher goes away; boxes ask as they ask each other.
    drop(publisher);
    let (address, shape) = (http(&ledger).to_string(), Shape::new(300_000).unwrap());
    let held = client::held(&address, content, shape, Patience::default()).await.unwrap();
    assert_eq!(held, Groups::all(shape));
    let span = Span::new(3, 18).unwrap();
    let (items, outcome) = client::fetch(&address, content, shape, span, Patience::default()).await;
    assert_eq!(outcome, Outcome::Done);
    let got: Vec<u8> = items
        .into_iter()
        .filter_map(|item| if let Item::Group { bytes, .. } = item { Some(bytes) } else { None })
        .flatten()
        .collect();
    assert_eq!(got, &bytes[3 * 16_384..]);
    // And people with curl.
    let (head, body) = get(&ledger, &format!("/content/{content}"), "range: bytes=100-299999\r\n").await;
    assert!(head.starts_with("HTTP/1.1 206") && head.contains("content-range: bytes 100-299999/300000"), "{head}");
    assert_eq!(body, &bytes[100..]);
    ledger.stop().await;
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_bytes_than_the_release_names_are_never_kept() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let bytes = bytes(100_000);
    let (manifest, content) = release(1, &bytes);
    let mut publisher = call(&ledger, &maker).await;
    enter(&mut publisher, &maker, signed(&manifest, &[101, 102])).await.unwrap();
    let mut wrong = bytes.clone();
    wrong[70_000] ^= 1;
    offer(&mut publisher, content).await.unwrap();
    piece(&mut publisher, content, &wrong, 0).await.unwrap();
    assert_eq!(piece(&mut publisher, content, &wrong, CHUNK_BYTES_MAX as u64).await, Err(Code::PayloadMismatch));
    assert_eq!(offer(&mut publisher, content).await, Ok((0, false)), "it begins again");
    let long = vec![0; 60_000];
    piece(&mut publisher, content, &long, 0).await.unwrap();
    let beyond = Request::Piece { content: content.0, offset: 60_000, bytes: long };
    assert_eq!(ask(&mut publisher, beyond).await, Err(Code::TooLarge));
    ledger.stop().await;
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_released_a_content_hands_it_in_though_others_released_it_since() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let (second, third) = (Gateway::new("second", 60), Gateway::new("third", 80));
    let mut ledger = ledger(&gateway, &maker);
    [&second, &third].into_iter().for_each(|publisher| ledger.enrol_publisher(publisher));
    ledger.start().await;
    let bytes = bytes(50_000);
    let ((old, content), (new, _)) = (release(1, &bytes), release(2, &bytes));
    let (mut at_maker, mut at_second) = (call(&ledger, &maker).await, call(&ledger, &second).await);
    enter(&mut at_maker, &maker, signed(&old, &[101, 102])).await.unwrap();
    assert_eq!(offer(&mut at_second, content).await, Err(Code::NotAllowed), "it has not released that yet");
    enter(&mut at_second, &second, signed(&new, &[101, 102])).await.unwrap();
    assert_eq!(offer(&mut at_maker, content).await, Ok((0, false)), "its release stands");
    assert_eq!(piece(&mut at_maker, content, &bytes, 0).await, Ok((50_000, true)));
    assert_eq!(offer(&mut at_second, content).await, Ok((50_000, true)));
    assert_eq!(offer(&mut call(&ledger, &third).await, content).await, Err(Code::NotAllowed));
    ledger.stop().await;
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_are_bounded_by_the_operators_setting() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.config.content_bytes_max = 150_000;
    ledger.start().await;
    let mut publisher = call(&ledger, &maker).await;
    for (version, size, wanted) in [(1, 100_000, Ok((0, false))), (2, 60_000, Err(Code::TooLarge))] {
        let (manifest, content) = release(version, &bytes(size));
        enter(&mut publisher, &maker, signed(&manifest, &[101, 102])).await.unwrap();
        assert_eq!(offer(&mut publisher, content).await, wanted);
    }
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_names_and_groups_in_form_are_looked_for() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let name = ContentId([7; 32]);
    for (path, status) in [
        ("/content/../keys/log.key".to_owned(), "40"),
        ("/content/%2e%2e/%2e%2e/keys/log.key".to_owned(), "400"),
        ("/content/..%2f..%2fkeys%2flog.key".to_owned(), "400"),
        ("/content/".to_owned(), "400"),
        (format!("/content/{}", name.to_string().to_uppercase()), "4"),
        (format!("/content/{name}/../../vkey"), "4"),
        (format!("/content/{name}?groups=0-64"), "400"),
        (format!("/content/{name}?groups=5-1"), "400"),
        (format!("/content/{name}?groups=00-1"), "400"),
        (format!("/content/{name}?groups=0-1"), "404"),
        (format!("/content/{name}/held"), "404"),
    ] {
        let (head, body) = get(&ledger, &path, "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
        assert!(body.len() < 200, "{path}");
    }
    ledger.stop().await;
}
