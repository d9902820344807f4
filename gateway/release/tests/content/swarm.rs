//! Many boxes, and a publisher that leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pitchside_release::content::Service;
use pitchside_release::content::fetch::Progress;
use tokio::sync::watch;

use crate::house::{House, Ledger, PATIENCE, bytes, content, settings, store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boxes_serve_each_other_while_they_fetch_and_after_the_publisher_is_gone() {
    let bytes = bytes(4 << 20);
    let whole = content(&bytes);
    let publisher = House::with(&bytes).await;
    let mut houses = Vec::new();
    for _ in 0..6 {
        houses.push(House::new(&[&whole], &[], None).await);
    }
    let everybody: Vec<_> = houses.iter().map(House::address).chain([publisher.address()]).collect();
    for house in &houses {
        let others = everybody.iter().copied().filter(|address| *address != house.address()).collect();
        house.service.boxes().send_replace(others);
    }
    let fetches = houses.iter().map(|house| house.fetched(&whole));
    for (fetched, _) in futures_util::future::join_all(fetches).await {
        assert!(fetched.unwrap() == bytes);
    }
    let among: u64 = houses.iter().map(|house| house.service.served().bytes.load(Ordering::Relaxed)).sum();
    assert!(among > 0, "they had all of it from the publisher");
    publisher.service.shutdown().await;
    let late = House::new(&[&whole], &everybody, None).await;
    assert!(late.fetched(&whole).await.0.unwrap() == bytes, "an old release comes from those that have it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_was_cut_off_goes_on_where_it_was_after_a_restart() {
    let bytes = bytes(8 << 20);
    let whole = content(&bytes);
    let publisher = House::with(&bytes).await;
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger(vec![whole.id]));
    let mut slow = settings([publisher.address()], None);
    slow.fetch_bytes_per_s = 4 << 20;
    let service = Service::start(slow, store(&dir), Arc::<Ledger>::clone(&ledger)).await.unwrap();
    let (say, mut heard) = watch::channel(Progress::default());
    tokio::select! {
        _ = service.fetch(&whole, &[], &say) => panic!("too fast to be cut off"),
        _ = heard.wait_for(|progress| progress.groups >= 100) => {}
    }
    let kept = Arc::clone(service.store());
    tokio::task::spawn_blocking(move || kept.flush(whole.id)).await.unwrap().unwrap();
    let before = service.store().standing(whole.id).unwrap().groups;
    service.shutdown().await;
    let sent = publisher.service.served().bytes.load(Ordering::Relaxed);
    let service = Service::start(settings([publisher.address()], None), store(&dir), ledger).await.unwrap();
    assert!(service.store().standing(whole.id).unwrap().groups >= before);
    let path = tokio::time::timeout(PATIENCE, service.fetch(&whole, &[], &say)).await.unwrap().unwrap();
    assert!(std::fs::read(path).unwrap() == bytes);
    let again = publisher.service.served().bytes.load(Ordering::Relaxed) - sent;
    assert!(again < (bytes.len() - before as usize * 16_384 + (1 << 20)) as u64, "{again} bytes came again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_whose_copy_rots_is_asked_no_more_for_what_it_lost_and_fetches_it_again() {
    let bytes = bytes(1 << 20);
    let whole = content(&bytes);
    let (sound, rotten) = (House::with(&bytes).await, House::with(&bytes).await);
    let data = rotten.service.store().path(whole.id).unwrap();
    let mut damaged = bytes.clone();
    damaged[700_000] ^= 8;
    std::fs::write(data, damaged).unwrap();
    // Whoever comes first to where it rotted.
    assert_eq!(rotten.service.store().read(whole.id, 700_000, 1).unwrap(), None);
    assert_eq!(rotten.service.store().path(whole.id), None, "it knows");
    let both = House::new(&[&whole], &[rotten.address()], Some(sound.address())).await;
    let (fetched, progress) = both.fetched(&whole).await;
    assert!(fetched.unwrap() == bytes);
    assert_eq!(progress.dropped, [], "a disk that rots is no liar");
    rotten.service.boxes().send_replace([sound.address()].into());
    assert!(rotten.fetched(&whole).await.0.unwrap() == bytes);
    let again = rotten.service.store().standing(whole.id).unwrap();
    assert!(again.whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_bytes_a_second_are_fetched_than_the_settings_allow() {
    let bytes = bytes(2 << 20);
    let whole = content(&bytes);
    let publisher = House::with(&bytes).await;
    let dir = tempfile::tempdir().unwrap();
    let mut slow = settings([publisher.address()], None);
    slow.fetch_bytes_per_s = 1 << 20;
    let service = Service::start(slow, store(&dir), Arc::new(Ledger(vec![whole.id]))).await.unwrap();
    let began = tokio::time::Instant::now();
    let progress = watch::Sender::new(Progress::default());
    let fetched = service.fetch(&whole, &[], &progress);
    assert!(std::fs::read(tokio::time::timeout(PATIENCE, fetched).await.unwrap().unwrap()).unwrap() == bytes);
    // Two seconds' worth, less the quarter of a second that may come at once.
    assert!(began.elapsed() >= std::time::Duration::from_millis(1_600), "{:?}", began.elapsed());
}
