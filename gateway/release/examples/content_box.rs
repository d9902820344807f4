//! A box's content service and nothing else, for tests that kill it and for the fan-out bench:
//!
//!     content_box DIR LISTEN BYTES_PER_S BLAKE3 SHA256 SIZE [--file FILE] [--mdns] [PEER ...]
//!
//! With a file it has the content, without it fetches it. Says `listening ADDRESS`, then `groups N` as they come, `whole
//! SECONDS`, and at the end of its standard input `served BYTES` before it goes.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use pitchside_release::content::fetch::{FetchSettings, Progress};
use pitchside_release::content::serve::ServeLimits;
use pitchside_release::content::{Allowed, Content, ContentId, Service, Settings, Shape, Store, StoreLimits};
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

struct One(ContentId);

impl Allowed for One {
    fn is_in_ledger(&self, content: ContentId) -> bool {
        content == self.0
    }
}

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().expect("see the first lines of this example");
    let (dir, listen, bytes_per_s) = (PathBuf::from(next()), next().parse().unwrap(), next().parse().unwrap());
    let id: ContentId = next().parse().unwrap();
    let sha256: [u8; 32] = HEXLOWER.decode(next().as_bytes()).unwrap().try_into().unwrap();
    let content = Content { id, sha256, shape: Shape::new(next().parse().unwrap()).unwrap() };
    let rest: Vec<String> = args.collect();
    let file = rest.iter().position(|arg| arg == "--file").map(|at| rest[at + 1].clone());
    let boxes: BTreeSet<_> = rest.iter().filter_map(|arg| arg.parse().ok()).collect();
    let store = Arc::new(Store::open(&dir, StoreLimits { disk_reserve_bytes: 0, ..StoreLimits::default() }).unwrap());
    let settings = Settings {
        listen: Some(listen),
        serve: ServeLimits::default(),
        fetch: FetchSettings::default(),
        fetch_bytes_per_s: bytes_per_s,
        discover: rest.iter().any(|arg| arg == "--mdns"),
        boxes,
    };
    let service = Arc::new(Service::start(settings, store, Arc::new(One(id))).await.unwrap());
    println!("listening {}", service.address().unwrap());
    let began = Instant::now();
    if let Some(file) = file {
        service.import(Path::new(&file), &content).await.unwrap();
        println!("whole 0");
    } else {
        let (say, mut heard) = watch::channel(Progress::default());
        tokio::spawn(async move {
            while heard.changed().await.is_ok() {
                println!("groups {}", heard.borrow_and_update().groups);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let fetching = Arc::clone(&service);
        tokio::spawn(async move {
            fetching.fetch(&content, &[], &say).await.unwrap();
            println!("whole {:.3}", began.elapsed().as_secs_f64());
        });
    }
    let _ended = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    println!("served {}", service.served().bytes.load(Ordering::Relaxed));
}
