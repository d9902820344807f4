//! The runner against a radio that fails as told: what happens between notification and intake.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pitchside_model::{BleAddress, Bond, Bonding, DeviceId, LinkId, Medium, Pairing, Profiles};
use pitchside_wire::fragment::Splitter;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use super::core::{AdapterName, Condition, CoreConfig};
use super::radio::{Subscribed, Targets};
use super::*;
use crate::intake::{Admission, Channel, Inbound, Intake, Refused, Rights, Settled};
use crate::link::{CloseReason, Link, Outbound};

const ADDRESS: BleAddress = BleAddress([0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 1]);
/// The adapter's own.
const ADAPTER: BleAddress = BleAddress([0xC0, 0xFF, 0xEE, 0, 0, 1]);
/// Told when it bonded.
const IDENTITY: BleAddress = BleAddress([0x00, 0xF1, 0xF2, 0xF3, 0xF4, 1]);
const BOND: Bond = Bond { secure_connections: true, authenticated: true, key_bits: 128 };

/// What the world outside saw.
#[derive(Default)]
struct Seen {
    log: Mutex<Vec<String>>,
    news: Notify,
}

impl Seen {
    fn say(&self, what: String) {
        self.log.lock().push(what);
        self.news.notify_waiters();
    }

    /// Waits until `what` was said so many times.
    async fn until(&self, what: &str, times: usize) {
        let wait = async {
            loop {
                let news = self.news.notified();
                if self.log.lock().iter().filter(|said| said.contains(what)).count() >= times {
                    return;
                }
                news.await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "no {times} x {what:?} in {:?}", self.log.lock());
    }
}

/// An intake that lets in, or does not, and keeps what came.
struct Door {
    seen: Arc<Seen>,
    open: bool,
    /// Held back by a test.
    gate: Arc<tokio::sync::Semaphore>,
    link: Mutex<Option<Link>>,
    /// How long each value waited.
    waited: Mutex<Vec<Duration>>,
    /// So many more cannot be stored.
    full: AtomicU64,
}

/// A frame by which a PS/1 device proves who it is.
const PROOF: &[u8] = b"it is me";

#[async_trait]
impl Intake for Door {
    async fn admit(&self, _: Admission) -> Result<Rights, Refused> {
        Err(Refused::NotAuthorized)
    }
    async fn opened(&self, link: Link) {
        assert_eq!(link.medium, Medium::Ble);
        if self.open && link.bond.is_some() {
            link.authenticated();
        }
        self.seen.say(format!("opened bond {}", link.bond.is_some()));
        *self.link.lock() = Some(link);
    }
    async fn take(&self, link: &Link, inbound: Vec<Inbound>) {
        let _permit = self.gate.acquire().await.unwrap();
        for item in inbound {
            self.waited.lock().push(item.waited);
            if item.bytes == PROOF {
                link.authenticated();
            }
            match item.channel {
                Channel::Gatt { characteristic, dropped } => {
                    self.seen.say(format!("took {characteristic:04x} {:?} dropped {dropped}", &item.bytes[..]));
                }
                other => self.seen.say(format!("took {other:?} of {} bytes", item.bytes.len())),
            }
            let is_full =
                self.full.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |full| full.checked_sub(1)).is_ok();
            let fate = if is_full { Settled::Unavailable } else { Settled::Stored };
            let _ = link.send(Outbound::Settled(vec![(item.ticket, fate)]));
        }
    }
    async fn closed(&self, _: LinkId) {
        self.seen.say("closed".to_owned());
    }
}

struct FakeRadio {
    seen: Arc<Seen>,
    /// What the next attempts fail with; then they succeed.
    failures: Mutex<VecDeque<RadioError>>,
    reports: Mutex<Option<mpsc::Receiver<RadioEvent>>>,
    /// What the next peer says before it is subscribed to, and what becomes of that.
    early: Mutex<Option<(u8, Then)>>,
    /// Of the last connection: its queue and the way to end it.
    now: Arc<Mutex<Option<(Arc<Queue>, CancellationToken)>>>,
}

/// What a peer does that is being subscribed to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    HangsUp,
    Refuses,
    NeverAnswers,
}

struct FakePeer {
    seen: Arc<Seen>,
    down: CancellationToken,
    early: Option<(u8, Then)>,
    streams: bool,
    now: Arc<Mutex<Option<(Arc<Queue>, CancellationToken)>>>,
}

#[async_trait]
impl Radio for FakeRadio {
    async fn watch(&self, _: Targets, events: mpsc::Sender<RadioEvent>, stop: CancellationToken) {
        let mut reports = self.reports.lock().take().unwrap();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(report) = reports.recv() => events.send(report).await.unwrap(),
            }
        }
    }
    async fn connect(&self, _: &AdapterName, target: &Target) -> Result<Box<dyn Peer>, RadioError> {
        self.seen.say("connect".to_owned());
        if let Some(error) = self.failures.lock().pop_front() {
            return Err(error);
        }
        Ok(Box::new(FakePeer {
            seen: Arc::clone(&self.seen),
            down: CancellationToken::new(),
            early: self.early.lock().take(),
            streams: target.bonding.is_some(),
            now: Arc::clone(&self.now),
        }))
    }
}

#[async_trait]
impl Peer for FakePeer {
    fn bond(&self) -> Option<Bond> {
        Some(BOND)
    }
    async fn subscribe(&self, into: Arc<Queue>) -> Result<Subscribed, RadioError> {
        if let Some((_, then)) = self.early {
            into.answer(Source::Gatt(0x2A08), &[0; 7]);
            self.seen.say("subscribing".to_owned());
            match then {
                Then::HangsUp => self.down.cancel(),
                Then::Refuses => {}
                Then::NeverAnswers => std::future::pending().await,
            }
            return Err(RadioError::Failed("it did not take it".to_owned()));
        }
        *self.now.lock() = Some((into, self.down.clone()));
        self.seen.say("subscribed".to_owned());
        Ok(Subscribed { characteristics: vec![0x2A37], streams: self.streams, value_bytes_max: 20 })
    }
    fn said_before(&self, into: &Arc<Queue>) -> bool {
        self.early.inspect(|(value, _)| into.push(Source::Gatt(0x2A1C), &[*value])).is_some()
    }
    async fn write(&self, value: &[u8]) -> Result<(), RadioError> {
        self.seen.say(format!("wrote {} bytes", value.len()));
        Ok(())
    }
    async fn ended(&self) -> String {
        self.down.cancelled().await;
        "the link went down".to_owned()
    }
    async fn disconnect(&self) {
        self.seen.say("disconnected".to_owned());
    }
}

struct World {
    seen: Arc<Seen>,
    door: Arc<Door>,
    radio: Arc<FakeRadio>,
    report: mpsc::Sender<RadioEvent>,
    ble: Ble,
    stop: CancellationToken,
    _targets: watch::Sender<Arc<[Target]>>,
}

impl World {
    fn new(bonded: bool, open: bool, failures: Vec<RadioError>) -> Self {
        let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
        let gate = Arc::new(tokio::sync::Semaphore::new(1));
        let door = Arc::new(Door {
            seen: Arc::clone(&seen),
            open,
            gate,
            link: Mutex::default(),
            waited: Mutex::default(),
            full: AtomicU64::new(0),
        });
        let (report, reports) = mpsc::channel(16);
        let radio = Arc::new(FakeRadio {
            seen: Arc::clone(&seen),
            failures: Mutex::new(failures.into()),
            reports: Mutex::new(Some(reports)),
            early: Mutex::default(),
            now: Arc::default(),
        });
        let bonding = Bonding { pairing: Pairing::JustWorks, profiles: Profiles::HEART_RATE };
        let id = DeviceId::parse("strap").unwrap();
        let target =
            Target { id, address: ADDRESS, identity: Some(IDENTITY), bonding: bonded.then_some(bonding), home: None };
        let (_targets, targets) = watch::channel(Arc::from([target]));
        let config = CoreConfig { backoff_min_ms: 50, ..CoreConfig::default() };
        let parts = Parts { radio: Arc::clone(&radio) as _, intake: Arc::clone(&door) as _, targets, config, seed: 1 };
        let ble = start(parts, stop.clone());
        Self { seen, door, radio, report, ble, stop, _targets }
    }

    async fn in_range(&self) {
        self.in_range_at(ADDRESS).await;
    }

    async fn in_range_at(&self, address: BleAddress) {
        let adapter = AdapterName::from("hci0");
        self.report
            .send(RadioEvent::AdapterUp { adapter: Arc::clone(&adapter), address: ADAPTER, slots: 1 })
            .await
            .unwrap();
        self.report.send(RadioEvent::Seen { adapter, address, rssi: -50, bonded: true }).await.unwrap();
    }

    fn now(&self) -> (Arc<Queue>, CancellationToken) {
        self.radio.now.lock().clone().unwrap()
    }

    async fn end(self) -> Vec<String> {
        self.stop.cancel();
        self.ble.stopped().await;
        std::mem::take(&mut *self.seen.log.lock())
    }
}

#[tokio::test]
async fn a_strap_in_range_is_subscribed_to_and_heard_and_taken_down_in_order() {
    let world = World::new(true, true, vec![]);
    world.in_range().await;
    world.seen.until("opened bond true", 1).await;
    world.now().0.push(Source::Gatt(0x2A37), &[0, 60]);
    world.seen.until("took 2a37 [0, 60] dropped 0", 1).await;
    let mut status = world.ble.status();
    status.wait_for(|all| all[0].state == Condition::Connected).await.unwrap();
    let log = world.end().await;
    assert_eq!(log[log.len() - 2..], ["closed".to_owned(), "disconnected".to_owned()]);
}

#[tokio::test]
async fn a_lost_link_is_closed_and_tried_again_under_a_new_one() {
    let world = World::new(true, true, vec![RadioError::Failed("once".to_owned())]);
    world.in_range().await;
    world.seen.until("subscribed", 1).await;
    world.seen.until("opened", 1).await;
    let (queue, down) = world.now();
    queue.push(Source::Gatt(0x2A37), &[0, 61]);
    down.cancel();
    world.seen.until("opened", 2).await;
    let log = world.end().await;
    let taken = log.iter().position(|said| said.contains("[0, 61]")).unwrap();
    assert!(taken < log.iter().position(|said| said == "closed").unwrap(), "what came before is taken: {log:?}");
}

#[tokio::test]
async fn whoever_the_door_refuses_is_heard_no_further() {
    let world = World::new(true, false, vec![]);
    world.in_range().await;
    world.seen.until("opened", 1).await;
    world.now().0.push(Source::Gatt(0x2A37), &[0, 60]);
    world.seen.until("disconnected", 1).await;
    let log = world.end().await;
    assert!(!log.iter().any(|said| said.starts_with("took")), "{log:?}");
}

#[tokio::test]
async fn a_revoked_device_is_disconnected_and_not_tried_again_soon() {
    let world = World::new(true, true, vec![]);
    world.in_range().await;
    world.ble.status().wait_for(|all| all.iter().any(|one| one.state == Condition::Connected)).await.unwrap();
    let link = world.door.link.lock().clone().unwrap();
    link.send(Outbound::Close(CloseReason::Revoked)).unwrap();
    world.seen.until("disconnected", 1).await;
    let mut status = world.ble.status();
    status.wait_for(|all| all[0].state == Condition::Resting && all[0].failures >= 5).await.unwrap();
    assert_eq!(world.end().await.iter().filter(|said| *said == "connect").count(), 1);
}

#[tokio::test]
async fn what_a_slow_intake_has_no_room_for_is_told_as_dropped() {
    let world = World::new(true, true, vec![]);
    world.in_range().await;
    world.seen.until("opened", 1).await;
    let held = Arc::clone(&world.door.gate).acquire_owned().await.unwrap();
    let queue = world.now().0;
    for beat in 0..=u8::MAX {
        queue.push(Source::Gatt(0x2A37), &[0, beat]);
    }
    // Whatever of these the intake has already taken: more come than the queue holds.
    for beat in 0..=u8::MAX {
        queue.push(Source::Gatt(0x2A37), &[1, beat]);
    }
    drop(held);
    world.seen.until("took 2a37 [1, 255]", 1).await;
    let log = world.end().await;
    let taken = log.iter().filter(|said| said.starts_with("took")).count() as u64;
    let dropped: u64 = log.iter().filter_map(|said| said.split("dropped ").nth(1)?.parse::<u64>().ok()).sum();
    assert_eq!(taken + dropped, 512);
    assert!(dropped > 0);
}

#[tokio::test]
async fn a_loss_is_told_again_if_the_value_that_told_it_is_not_stored() {
    let world = World::new(true, true, vec![]);
    world.in_range().await;
    world.seen.until("opened", 1).await;
    world.door.full.store(1, Ordering::SeqCst);
    let queue = world.now().0;
    // An empty value is a loss.
    queue.push(Source::Gatt(0x2A37), &[]);
    queue.push(Source::Gatt(0x2A37), &[0, 60]);
    world.seen.until("took 2a37 [0, 60] dropped 1", 1).await;
    // Which of the next values comes after that one's fate is known is for the tasks to say.
    let mut beat = 0;
    let told = loop {
        beat += 1;
        queue.push(Source::Gatt(0x2A37), &[1, beat]);
        let took = format!("took 2a37 [1, {beat}] dropped ");
        world.seen.until(&took, 1).await;
        let told = world.seen.log.lock().iter().find_map(|said| said.strip_prefix(&took).map(str::to_owned));
        if let Some(told) = told.filter(|told| told != "0") {
            break told;
        }
    };
    assert_eq!(told, "2");
    world.end().await;
}

#[tokio::test]
async fn what_waits_for_a_slow_intake_says_for_how_long() {
    let world = World::new(true, true, vec![]);
    world.in_range().await;
    world.seen.until("opened", 1).await;
    let held = Arc::clone(&world.door.gate).acquire_owned().await.unwrap();
    let queue = world.now().0;
    queue.push(Source::Gatt(0x2A37), &[0, 60]);
    while queue.holds() {
        yield_now().await;
    }
    // The first is on its way; the second waits until that is over.
    queue.push(Source::Gatt(0x2A37), &[0, 61]);
    let (pushed, long) = (Instant::now(), Duration::from_millis(20));
    while pushed.elapsed() < long {
        yield_now().await;
    }
    drop(held);
    world.seen.until("took 2a37 [0, 61]", 1).await;
    assert!(world.door.waited.lock()[1] >= long, "{:?}", world.door.waited.lock());
    world.end().await;
}

#[tokio::test]
async fn whoever_speaks_and_hangs_up_without_proof_has_failed_and_whoever_proves_itself_has_not() {
    let world = World::new(false, true, vec![]);
    world.in_range().await;
    let mut status = world.ble.status();
    for (at, (frame, failures)) in [(&b"anybody"[..], 1), (PROOF, 0)].into_iter().enumerate() {
        world.seen.until("opened bond false", at + 1).await;
        let (queue, down) = world.now();
        Splitter::default().split(frame, 20, |value| queue.push(Source::Ps1, value));
        world.seen.until(&format!("took Up of {} bytes", frame.len()), 1).await;
        down.cancel();
        world.seen.until("opened bond false", at + 2).await;
        let up = status.wait_for(|all| all[0].state == Condition::Connected).await.unwrap()[0].clone();
        assert_eq!(up.failures, failures, "after {frame:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn ps1_frames_are_put_together_and_answers_are_cut() {
    let world = World::new(false, true, vec![]);
    world.in_range().await;
    world.seen.until("opened bond false", 1).await;
    let queue = world.now().0;
    Splitter::default().split(&[7; 100], 20, |value| queue.push(Source::Ps1, value));
    world.seen.until("took Up of 100 bytes", 1).await;
    let link = world.door.link.lock().clone().unwrap();
    link.send(Outbound::Frame(bytes::Bytes::from_static(&[9; 30]))).unwrap();
    world.seen.until("wrote 20 bytes", 1).await;
    world.seen.until("wrote 12 bytes", 1).await;
    world.end().await;
}

#[tokio::test]
async fn a_sensor_that_lost_its_bond_is_reported_until_it_is_connected() {
    let world = World::new(true, true, vec![RadioError::BondLost("it has no key".to_owned())]);
    world.in_range().await;
    let mut status = world.ble.status();
    status.wait_for(|all| all.iter().any(|one| one.bond_lost)).await.unwrap();
    let connected = |all: &Vec<core::Status>| all[0].state == Condition::Connected && !all[0].bond_lost;
    status.wait_for(connected).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn what_a_sensor_says_and_hangs_up_before_it_is_subscribed_to_is_taken_and_no_failure() {
    let world = World::new(true, true, vec![]);
    *world.radio.early.lock() = Some((37, Then::HangsUp));
    world.in_range().await;
    // What it was asked comes before.
    world.seen.until("took 2a1c [37] dropped 0", 1).await;
    world.seen.until("subscribed", 1).await;
    let mut status = world.ble.status();
    let status = status.wait_for(|all| all[0].state == Condition::Connected).await.unwrap()[0].clone();
    assert_eq!(status.failures, 0);
    let log = world.end().await;
    let expected = [
        "connect",
        "subscribing",
        "opened bond true",
        "took 2a08 [0, 0, 0, 0, 0, 0, 0] dropped 0",
        "took 2a1c [37] dropped 0",
        "closed",
    ];
    assert_eq!(log[..expected.len()], expected.map(str::to_owned));
}

#[tokio::test]
async fn what_a_sensor_says_that_cannot_be_subscribed_to_is_taken_and_a_failure() {
    let world = World::new(true, true, vec![]);
    *world.radio.early.lock() = Some((38, Then::Refuses));
    world.in_range().await;
    world.seen.until("took 2a1c [38] dropped 0", 1).await;
    world.seen.until("subscribed", 1).await;
    let mut status = world.ble.status();
    let status = status.wait_for(|all| all[0].state == Condition::Connected).await.unwrap()[0].clone();
    assert_eq!(status.failures, 1);
    world.end().await;
}

#[tokio::test]
async fn what_a_sensor_said_is_taken_when_the_gateway_stops_while_it_is_being_subscribed_to() {
    let world = World::new(true, true, vec![]);
    *world.radio.early.lock() = Some((39, Then::NeverAnswers));
    world.in_range().await;
    world.seen.until("subscribing", 1).await;
    let log = world.end().await;
    let expected = ["took 2a1c [39] dropped 0", "closed", "disconnected"];
    assert_eq!(log[log.len() - expected.len()..], expected.map(str::to_owned));
}

#[tokio::test]
async fn what_is_said_over_a_link_that_the_door_refuses_is_not_taken() {
    let world = World::new(true, false, vec![]);
    *world.radio.early.lock() = Some((37, Then::HangsUp));
    world.in_range().await;
    world.seen.until("disconnected", 1).await;
    let log = world.end().await;
    // Not for want of somebody to take it.
    assert!(log.contains(&"opened bond true".to_owned()), "{log:?}");
    assert!(!log.iter().any(|said| said.starts_with("took")), "{log:?}");
}

#[tokio::test]
async fn a_sensor_that_told_another_address_when_it_bonded_is_found_by_that() {
    let world = World::new(true, true, vec![]);
    world.in_range_at(IDENTITY).await;
    world.seen.until("opened bond true", 1).await;
    world.end().await;
}
