//! Boxes that give little a second: slow, and honest.

use std::time::Duration;

use futures_util::future::join_all;
use pitchside_release::content::Span;
use pitchside_release::content::client::{self, Patience};
use pitchside_release::content::plan::Outcome;
use pitchside_release::content::serve::ServeLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::house::{House, PATIENCE, bytes, content, settings};

/// As little as settings allow.
const LEAST: u64 = 64 << 10;

/// A box that has a content whole and gives that much of it a second.
async fn giver(bytes: &[u8]) -> House {
    let content = content(bytes);
    let mut settings = settings([], None);
    settings.serve.bytes_per_s = LEAST;
    let house = House::of(&[&content], settings).await;
    let file = house.dir.path().join("bundle");
    std::fs::write(&file, bytes).unwrap();
    house.service.import(&file, &content).await.unwrap();
    house
}

/// Asks for groups on a connection of its own; the first line of the answer, if it comes in time.
async fn asked(house: &House, bytes: &[u8], groups: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(house.address()).await.unwrap();
    let path = format!("/content/{}?groups={groups}", content(bytes).id);
    let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut line = Vec::new();
    let reading = async {
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(Patience::default().stall, reading).await.expect("others would take it for one that stalls");
    (stream, String::from_utf8(line).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_begins_at_once_however_long_it_takes_and_who_would_wait_is_told_so() {
    assert!(ServeLimits::default().wait_max < Patience::default().stall);
    let bytes = bytes(1 << 20);
    let giver = giver(&bytes).await;
    // A quarter of a minute at that rate.
    let (first, line) = asked(&giver, &bytes, "0-63").await;
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    let (_, line) = asked(&giver, &bytes, "0-7").await;
    assert!(line.starts_with("HTTP/1.1 503"), "{line}");
    // Whoever hangs up is waited for no longer.
    drop(first);
    let give_up = Instant::now() + PATIENCE;
    while !asked(&giver, &bytes, "0-7").await.1.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < give_up, "it still waits for who hung up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_a_box_for_one_that_stalls_that_gives_what_its_settings_allow() {
    let bytes = bytes(600_000);
    let (whole, giver) = (content(&bytes), giver(&bytes).await);
    let address = giver.address().to_string();
    let fetch = |first| {
        let span = Span::new(first, first + 7).unwrap();
        client::fetch(&address, whole.id, whole.shape, span, Patience::default())
    };
    let ended: Vec<Outcome> =
        join_all([0, 8, 16, 24].map(fetch)).await.into_iter().map(|(_, outcome)| outcome).collect();
    let done = ended.iter().filter(|outcome| **outcome == Outcome::Done).count();
    assert!(done >= 2, "{ended:?}");
    assert!(ended.iter().all(|outcome| matches!(outcome, Outcome::Done | Outcome::Busy)), "{ended:?}");
}
