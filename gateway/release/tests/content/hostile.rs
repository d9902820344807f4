//! Peers that lie, stall, never end, or vanish; and proxies in between.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pitchside_release::content::client::Patience;
use pitchside_release::content::fetch::{FetchError, Progress};
use pitchside_release::content::plan::{Fault, Peer};
use pitchside_release::content::{Content, Groups, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::house::{House, PATIENCE, SHORT, bytes, content, settings};

/// How a hostile peer answers a request for a slice. It says it holds everything.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// What the honest box says, with one bit of this chunk changed.
    WrongChunk(u64),
    /// Another slice than the one asked for.
    Swapped,
    /// Half of it, then good-bye.
    Truncated,
    /// More than was asked for, for ever.
    Endless,
    /// What was asked for, in chunks, as a proxy may pass it on.
    Chunked,
    /// A head, and then nothing.
    Stalled,
    /// A byte now and then.
    Slow,
    /// 404.
    Absent,
    /// Not HTTP.
    Noise,
    /// 503 until then; afterwards what the honest box says.
    Busy(Instant),
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const LAST: &[u8] = b"0\r\n\r\n";

async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()?.split(' ').nth(1).map(str::to_owned)
}

/// The honest box's answer: head and body.
async fn relayed(honest: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(honest).await.unwrap();
    let text = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    bytes.split_off(split + 4)
}

async fn answer(
    mut stream: TcpStream,
    honest: SocketAddr,
    whole: Content,
    bytes: Vec<u8>,
    manner: Manner,
) -> Option<()> {
    let path = request(&mut stream).await?;
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    let chunks = |bytes: &[u8]| {
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        [CHUNKED.to_vec(), bytes.chunks(5_000).flat_map(chunk).collect()].concat()
    };
    if path.ends_with("/held") {
        let held = Groups::all(whole.shape).encode();
        if matches!(manner, Manner::Chunked) {
            return stream.write_all(&[chunks(&held), LAST.to_vec()].concat()).await.ok();
        }
        return stream.write_all(&[head(held.len()), held].concat()).await.ok();
    }
    let mut slice = relayed(honest, &path).await;
    match manner {
        Manner::WrongChunk(chunk) => {
            let at = usize::try_from(chunk * 1_024).unwrap();
            let marks = &bytes[at..at + 64];
            if let Some(found) = slice.windows(64).position(|window| window == marks) {
                slice[found] ^= 1;
            }
            stream.write_all(&[head(slice.len()), slice].concat()).await.ok()
        }
        Manner::Swapped => {
            slice.reverse();
            stream.write_all(&[head(slice.len()), slice].concat()).await.ok()
        }
        Manner::Truncated => {
            let half = slice.len() / 2;
            stream.write_all(&[head(slice.len()), slice[..half].to_vec()].concat()).await.ok()
        }
        Manner::Endless => {
            stream.write_all(&chunks(&slice)).await.ok()?;
            loop {
                stream.write_all(&[b"400\r\n", &[0; 1_024][..], b"\r\n"].concat()).await.ok()?;
            }
        }
        Manner::Chunked => stream.write_all(&[chunks(&slice), LAST.to_vec()].concat()).await.ok(),
        Manner::Stalled => {
            stream.write_all(&head(slice.len())).await.ok()?;
            stream.read_u8().await.ok().map(drop)
        }
        Manner::Slow => {
            stream.write_all(&head(slice.len())).await.ok()?;
            for byte in slice {
                stream.write_all(&[byte]).await.ok()?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some(())
        }
        Manner::Absent => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok(),
        Manner::Busy(until) if Instant::now() < until => {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await.ok()
        }
        Manner::Busy(_) => stream.write_all(&[head(slice.len()), slice].concat()).await.ok(),
        Manner::Noise => stream.write_all(b"SSH-2.0-nothing to see\r\n\r\n").await.ok(),
    }
}

async fn hostile(honest: SocketAddr, bytes: &[u8], manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (bytes, whole) = (bytes.to_vec(), content(bytes));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, honest, whole.clone(), bytes.clone(), manner));
        }
    });
    address
}

/// What answers in the ledger's name like a hotel's page, so often, and passes everything on to an honest box afterwards; and how often it
/// was asked.
async fn portal(honest: SocketAddr, times: u64) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let path = request(&mut stream).await?;
                if count.fetch_add(1, Ordering::Relaxed) < times {
                    let page = b"HTTP/1.1 302 Found\r\nlocation: http://hotel.example/\r\ncontent-length: 0\r\n\r\n";
                    return stream.write_all(page).await.ok();
                }
                let body = relayed(honest, &path).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.into_bytes(), body].concat()).await.ok()
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_in_the_ledgers_place_is_asked_ever_less_often_until_the_ledger_is_back() {
    const TIMES: u64 = 8;
    let bytes = bytes(300_000);
    let whole = content(&bytes);
    let ledger = House::with(&bytes).await;
    let (page, asked) = portal(ledger.address(), TIMES).await;
    let house = House::new(&[&whole], &[], Some(page)).await;
    let began = Instant::now();
    let (fetched, progress) = house.fetched(&whole).await;
    assert!(fetched.unwrap() == bytes);
    // Without a back-off that outlives the answers so many questions take a few milliseconds.
    assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(asked.load(Ordering::Relaxed) > TIMES);
    assert_eq!(progress.dropped, [], "the last resort is never dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_passes_it_on_in_chunks_is_no_liar() {
    let bytes = bytes(1_200 * 1_024 + 5);
    let whole = content(&bytes);
    let honest = House::with(&bytes).await;
    let proxy = hostile(honest.address(), &bytes, Manner::Chunked).await;
    for (boxes, ledger) in [(vec![], Some(proxy)), (vec![proxy], None)] {
        let house = House::new(&[&whole], &boxes, ledger).await;
        let (fetched, progress) = house.fetched(&whole).await;
        assert!(fetched.unwrap() == bytes);
        assert_eq!(progress.dropped, []);
    }
}

/// Fetches from a hostile peer alone until that is dropped; then an honest box comes, and the download goes on.
async fn before(manner: Manner) -> Fault {
    before_with(Patience::default(), manner).await
}

async fn before_with(patience: Patience, manner: Manner) -> Fault {
    let bytes = bytes(1_200 * 1_024 + 5);
    let whole = content(&bytes);
    let honest = House::with(&bytes).await;
    let peer = hostile(honest.address(), &bytes, manner).await;
    let mut settings = settings([peer], None);
    settings.fetch.patience = patience;
    let house = House::of(&[&whole], settings).await;
    let (say, mut heard) = watch::channel(Progress::default());
    let fetch = house.service.fetch(&whole, &[], &say);
    let rescue = async {
        let fault = heard.wait_for(|progress| !progress.dropped.is_empty()).await.unwrap().dropped[0];
        house.service.boxes().send_replace([peer, honest.address()].into());
        fault
    };
    let both = async { tokio::join!(fetch, rescue) };
    let (path, (dropped, fault)) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(std::fs::read(path.unwrap()).unwrap() == bytes, "{manner:?}");
    assert_eq!(dropped, Peer::Lan(peer), "{manner:?}");
    assert_eq!(heard.borrow().dropped.len(), 1, "dropped once, and not asked again: {manner:?}");
    fault
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_serves_wrong_bytes_at_chunk_900_is_dropped_and_named_and_the_download_goes_on() {
    let fault = before(Manner::WrongChunk(900)).await;
    assert!(matches!(fault, Fault::WrongBytes(_)), "{fault:?}");
    assert!(fault.to_string().contains("wrong bytes in group 56"), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swapped_endless_and_garbled_content_drops_the_peer() {
    assert!(matches!(before(Manner::Swapped).await, Fault::WrongBytes(_)));
    assert_eq!(before(Manner::Endless).await, Fault::Broken);
    assert_eq!(before(Manner::Noise).await, Fault::Broken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_stalls_is_dropped() {
    assert_eq!(before_with(SHORT, Manner::Stalled).await, Fault::Slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dribbles_is_dropped() {
    assert_eq!(before_with(SHORT, Manner::Slow).await, Fault::Slow);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_give_what_it_promised_is_dropped() {
    assert_eq!(before(Manner::Absent).await, Fault::Promise);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_cuts_every_answer_short_is_dropped() {
    assert_eq!(before(Manner::Truncated).await, Fault::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_says_it_has_all_and_is_always_busy_does_not_keep_the_ledger_away() {
    let bytes = bytes(1_200 * 1_024 + 5);
    let whole = content(&bytes);
    let ledger = House::with(&bytes).await;
    let peer = hostile(ledger.address(), &bytes, Manner::Busy(Instant::now() + 10 * PATIENCE)).await;
    let house = House::new(&[&whole], &[peer], Some(ledger.address())).await;
    let (fetched, progress) = house.fetched(&whole).await;
    assert!(fetched.unwrap() == bytes);
    assert_eq!(progress.dropped, [], "it may be busy indeed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_was_busy_is_used_later() {
    let bytes = bytes(400_000);
    let whole = content(&bytes);
    let honest = House::with(&bytes).await;
    let peer = hostile(honest.address(), &bytes, Manner::Busy(Instant::now() + Duration::from_secs(3))).await;
    let house = House::new(&[&whole], &[peer], None).await;
    let (fetched, progress) = house.fetched(&whole).await;
    assert!(fetched.unwrap() == bytes);
    assert_eq!(progress.dropped, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manifest_whose_sha_256_is_another_is_refused_at_the_end() {
    let bytes = bytes(300_000);
    let honest = House::with(&bytes).await;
    let mut wrong = content(&bytes);
    wrong.sha256[31] ^= 1;
    let house = House::new(&[&wrong], &[honest.address()], None).await;
    let (fetched, _) = house.fetched(&wrong).await;
    assert!(matches!(fetched, Err(FetchError::Store(StoreError::Sha256 { .. }))), "{fetched:?}");
    assert_eq!(house.service.store().list(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_contents_in_the_ledger_are_served_and_only_by_get() {
    let bytes = bytes(100_000);
    let whole = content(&bytes);
    let house = House::new(&[], &[], None).await;
    let file = house.dir.path().join("bundle");
    std::fs::write(&file, &bytes).unwrap();
    house.service.import(&file, &whole).await.unwrap();
    for (method, path, status) in [
        ("GET", format!("/content/{}/held", whole.id), "404"),
        ("GET", format!("/content/{}?groups=0-1", whole.id), "404"),
        ("GET", "/content/../../etc/passwd".to_owned(), "400"),
        ("POST", format!("/content/{}/held", whole.id), "405"),
    ] {
        let mut stream = TcpStream::connect(house.address()).await.unwrap();
        let text = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
        assert_eq!(answer.contains("\r\nallow: GET\r\n"), status == "405", "{method} {path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_boxes_does_not_keep_the_ledger_away() {
    let bytes = bytes(200_000);
    let whole = content(&bytes);
    let ledger = House::with(&bytes).await;
    // As many as are remembered, none of which answers.
    let crowd: Vec<SocketAddr> = (1..=200).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
    let house = House::new(&[&whole], &crowd, Some(ledger.address())).await;
    assert!(house.fetched(&whole).await.0.unwrap() == bytes);
}
