//! A plugin that is not there, broken or switched off costs nobody a reading: real front, real store, real workers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gatewayd::adapters::keys::{StoreKeys, row};
use gatewayd::clock::{Clock, ClockJudge};
use gatewayd::pipeline::front::{Front, Gatehouse, Parts};
use gatewayd::pipeline::roster::{Roster, Row};
use gatewayd::pipeline::sealing::{Sealing, SealingParts};
use gatewayd::pipeline::undecoded::{Keeper, troubles};
use ledger_block::GatewayKey;
use pitchside_admin::{Board, BoardLimits, Events, Metrics};
use pitchside_auth::{Auth, GatewayIdentity, Kek, Limits, enrol};
use pitchside_collect::{Channel, CloseReason, Inbound, Intake as _, Link, Outbound, Outlet, Settled, Ticket};
use pitchside_decode::plugin::{Folder, PluginLimits};
use pitchside_decode::{Decoders, Plugin, Tolerances};
use pitchside_model::{DeviceId, GapReason, Medium, PluginName, Quantity, Reading, Timestamp, Value};
use pitchside_script::Program;
use pitchside_seal::{AthleteKey, ClosingPolicy, Generation, KeyRing, Whose};
use pitchside_store::{Options, RootKey, RowId, Store, Undecoded, UndecodedId};
use pitchside_wire::PrivateKey;
use tokio_util::task::TaskTracker;

const GOOD: &str = "if payload.u8(0) == 255 { throw \"bad_day\" }\n[reading(\"heart_rate\", payload.u8(1), \"/min\")]";
const ARRIVED: i64 = 1_800_000_000_000;

struct Bench {
    front: Arc<Front>,
    store: Store,
    clock: Arc<AtomicI64>,
    metrics: Arc<Metrics>,
    keeper: Keeper,
    gate: Gatehouse,
    link: Link,
    outlet: Outlet,
    sent: u64,
    /// How long what it says has waited at the gate.
    waited: Duration,
}

fn plugin_folder(dir: &Path, script: &str) -> Folder {
    let dir = dir.join("pod");
    std::fs::create_dir_all(&dir).unwrap();
    let manifest = "name = \"pod\"\nversion = \"1.0.0\"\nsummary = \"For tests.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n";
    std::fs::write(dir.join("plugin.toml"), manifest).unwrap();
    std::fs::write(dir.join("decode.rhai"), script).unwrap();
    std::fs::write(dir.join("cases.txt"), "case one\n  00 48 -> heart_rate 72 /min\n").unwrap();
    Folder::read(&dir).unwrap()
}

/// A gateway's front for one wired pod, with this script for a plugin or with none.
async fn bench(dir: &Path, script: Option<&str>, options: Options) -> Bench {
    let pod = DeviceId::parse("pod-1").unwrap();
    let decoder = PluginName::parse("pod").unwrap();
    let store = Store::open_with(dir, RootKey::new([1; 32]), options).unwrap();
    let _ = store.add_device(row(enrol::wired(pod.clone(), Some(decoder.clone()), Timestamp(0))));
    let mut plugins = Vec::new();
    if let Some(script) = script {
        let exe = env!("CARGO_BIN_EXE_pitchside").into();
        let program = Program { exe, args: vec!["script-worker".into(), "plugin".into()] };
        let limits = PluginLimits { faults_of_all: 8, ..PluginLimits::default() };
        plugins.push(Plugin::start(&plugin_folder(dir, script), &program, limits).await.unwrap());
    }
    let auth = Auth::open(
        Arc::new(StoreKeys(store.tables().clone())),
        Kek::new([2; 32]),
        GatewayIdentity::from_private(PrivateKey::new([3; 32])),
        Limits::default(),
    );
    let mut ring = KeyRing::default();
    ring.put(Whose::House, Generation(0), AthleteKey::new([4; 32]));
    let millis = Arc::new(AtomicI64::new(ARRIVED));
    let (clock, metrics) = (Clock::Manual(Arc::clone(&millis)), Metrics::new());
    let sealing = Sealing::new(SealingParts {
        store: store.clone(),
        key: GatewayKey::new(&[7; 32]),
        ring,
        policy: ClosingPolicy { interval_us: 1_000_000, weight_max: 1 << 20 },
        events: Events::new([1; 8]),
        metrics: Arc::clone(&metrics),
        clock: clock.clone(),
        judge: ClockJudge::new(dir.join("synchronised"), Timestamp::default()),
    });
    let roster = Roster::default();
    roster.replace([(pod.clone(), Row { athlete: None, decoder: Some(decoder) })].into());
    let front = Arc::new(
        Front::new(Parts {
            auth: Arc::new(auth.unwrap()),
            decoders: Arc::new(Decoders::new(Tolerances::default(), plugins)),
            store: store.clone(),
            roster: Arc::new(roster),
            board: Arc::new(Board::new(BoardLimits::default())),
            rules: gatewayd::pipeline::rules::channel(false).0,
            sealing: Arc::new(sealing),
            metrics: Arc::clone(&metrics),
            clock,
            firmware: None,
            tasks: TaskTracker::new(),
        })
        .unwrap(),
    );
    let gate = Gatehouse(Arc::clone(&front));
    let (link, outlet) = Link::open(Medium::Serial, "/dev/pod", Some(pod));
    gate.opened(link.clone()).await;
    let keeper = Keeper::new(Arc::clone(&front));
    Bench { front, store, clock: millis, metrics, keeper, gate, link, outlet, sent: 0, waited: Duration::ZERO }
}

impl Bench {
    async fn says(&mut self, bytes: &'static [u8]) -> Settled {
        self.says_after(0, bytes).await
    }

    /// So many lines before it were lost at the gate.
    async fn says_after(&mut self, dropped: u64, bytes: &'static [u8]) -> Settled {
        self.sent += 1;
        let (ticket, channel) = (Ticket(self.sent), Channel::Line { dropped });
        let item = Inbound { ticket, channel, bytes: bytes.into(), waited: self.waited };
        self.gate.take(&self.link, vec![item]).await;
        loop {
            match self.outlet.next().await.expect("the link stays up") {
                Outbound::Settled(settled) => return settled.into_iter().next().unwrap().1,
                Outbound::Frame(_) => {}
                Outbound::Close(reason) => panic!("closed: {reason}"),
            }
        }
    }

    fn waiting(&self) -> Vec<Undecoded> {
        let page = self.store.undecoded(UndecodedId(0), 256).unwrap();
        page.into_iter().map(|(_, kept)| kept.unwrap()).collect()
    }

    fn recorded(&self) -> impl Iterator<Item = Reading> {
        let rows = self.store.journal_since(RowId(0), 1 << 20).unwrap();
        rows.into_iter().flat_map(|row| row.entries).flat_map(|entry| entry.readings)
    }

    fn readings(&self) -> Vec<Reading> {
        self.recorded().filter(|reading| reading.quantity == Quantity::HEART_RATE).collect()
    }

    /// What is recorded of losses, and the values of heart rates, in order.
    fn losses_and_values(&self) -> Vec<(Quantity, i64)> {
        let told = |reading: Reading| match reading.value {
            Value::Gap(gap) if gap.reason == GapReason::Dropped => {
                Some((reading.quantity, -i64::try_from(gap.extent).unwrap()))
            }
            Value::Number(number) if reading.quantity == Quantity::HEART_RATE => {
                Some((reading.quantity, number.mantissa))
            }
            _ => None,
        };
        self.recorded().filter_map(told).collect()
    }

    fn values(&self) -> Vec<i64> {
        let value = |reading: &Reading| match &reading.value {
            Value::Number(number) => number.mantissa,
            other => panic!("{other:?}"),
        };
        self.readings().iter().map(value).collect()
    }

    fn troubles(&self) -> String {
        troubles(self.store.tables()).join("\n")
    }

    async fn close(self) {
        self.gate.closed(self.link.id).await;
        let Self { front, store, keeper, gate, outlet, .. } = self;
        drop((keeper, gate, outlet));
        front.tasks.close();
        front.tasks.wait().await;
        store.close();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_without_a_plugin_are_acknowledged_and_read_after_it_comes_with_the_time_they_came() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench1 = bench(dir.path(), None, Options::default()).await;
    for (payload, waited) in [([0u8, 61], 2_500), ([0, 62], 0)] {
        bench1.waited = Duration::from_millis(waited);
        let payload: &'static [u8] = Vec::leak(payload.to_vec());
        assert_eq!(bench1.says(payload).await, Settled::Stored);
    }
    bench1.keeper.round().await.unwrap();
    assert_eq!((bench1.waiting().len(), bench1.values()), (2, vec![]));
    assert!(bench1.troubles().contains("plugin pod is not loaded"), "{}", bench1.troubles());
    assert_eq!((bench1.metrics.plugins_off.get(), bench1.metrics.undecoded_waiting.get()), (1, 2));
    assert!(bench1.store.quarantined(10).unwrap().is_empty(), "nothing is refused");
    bench1.close().await;

    let mut bench2 = bench(dir.path(), Some(GOOD), Options::default()).await;
    bench2.clock.store(ARRIVED + 3_600_000, Ordering::Release);
    bench2.keeper.round().await.unwrap();
    assert_eq!((bench2.waiting().len(), bench2.values()), (0, vec![61, 62]), "in the order they came");
    let came: Vec<Timestamp> = bench2.readings().iter().map(|reading| reading.gateway_time).collect();
    assert_eq!(came, [ARRIVED - 2_500, ARRIVED].map(Timestamp::from_millis), "the first had waited at the gate");
    assert_eq!(bench2.troubles(), "");
    bench2.keeper.round().await.unwrap();
    assert_eq!(bench2.values(), [61, 62], "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_at_the_gate_is_dated_to_its_arrival_and_heard_in_the_order_in_which_it_was_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(dir.path(), Some(GOOD), Options::default()).await;
    assert_eq!(bench.says(&[0, 61]).await, Settled::Stored);
    bench.waited = Duration::from_micros(2_500_999);
    assert_eq!(bench.says(&[0, 62]).await, Settled::Stored);
    let times = |reading: &Reading| (reading.device_time, reading.gateway_time);
    let times: Vec<_> = bench.readings().iter().map(times).collect();
    let now = Timestamp::from_millis(ARRIVED);
    assert_eq!(times, [(now, now), (Timestamp::from_millis(ARRIVED - 2_500), now)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_lost_at_the_gate_are_a_gap_before_the_next_whatever_becomes_of_that() {
    let dir = tempfile::tempdir().unwrap();
    let mut none = bench(dir.path(), None, Options::default()).await;
    assert_eq!(none.says_after(1, &[0, 61]).await, Settled::Stored);
    assert_eq!(none.losses_and_values(), [(Quantity::HEALTH, -1)], "kept until its plugin comes");
    none.close().await;
    let mut good = bench(dir.path(), Some(GOOD), Options::default()).await;
    good.keeper.round().await.unwrap();
    assert_eq!(good.says_after(2, &[0, 62]).await, Settled::Stored);
    assert!(matches!(good.says_after(3, &[255]).await, Settled::Refused { .. }));
    assert_eq!(good.says_after(4, &[]).await, Settled::Stored);
    assert_eq!(good.says(&[0, 63]).await, Settled::Stored);
    let (health, heart) = (Quantity::HEALTH, Quantity::HEART_RATE);
    let expected = [(health, -1), (heart, 61), (heart, -2), (heart, 62), (health, -3), (health, -4), (heart, 63)];
    assert_eq!(good.losses_and_values(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_over_a_link_whose_login_has_ended_is_refused_and_is_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(dir.path(), None, Options::default()).await;
    bench.front.auth.revoke(&DeviceId::parse("pod-1").unwrap(), Timestamp::from_millis(ARRIVED)).unwrap();
    let nothing: &'static [u8] = &[];
    let channel = Channel::Line { dropped: 3 };
    let item = Inbound { ticket: Ticket(1), channel, bytes: nothing.into(), waited: Duration::ZERO };
    bench.gate.take(&bench.link, vec![item]).await;
    assert_eq!(bench.outlet.next().await, Some(Outbound::Close(CloseReason::Revoked)));
    match bench.outlet.next().await {
        Some(Outbound::Settled(settled)) => assert!(matches!(settled[..], [(Ticket(1), Settled::Refused { .. })])),
        other => panic!("{other:?}"),
    }
    assert!(bench.losses_and_values().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_fails_and_is_switched_off_costs_nothing_but_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut broken = bench(dir.path(), Some("[1][7]"), Options::default()).await;
    for _ in 0..20 {
        assert_eq!(broken.says(&[0, 72]).await, Settled::Stored);
    }
    for _ in 0..5 {
        broken.keeper.round().await.unwrap();
    }
    assert_eq!(broken.waiting().len(), 20);
    assert!(broken.troubles().contains("plugin pod is switched off for 1 device"), "{}", broken.troubles());
    broken.close().await;

    let mut corrected = bench(dir.path(), Some(GOOD), Options::default()).await;
    corrected.keeper.round().await.unwrap();
    assert_eq!((corrected.waiting().len(), corrected.values()), (0, vec![72; 20]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_working_plugin_refuses_is_refused_at_once_and_after_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let mut none = bench(dir.path(), None, Options::default()).await;
    assert_eq!(none.says(&[255]).await, Settled::Stored);
    assert_eq!(none.says(&[0, 64]).await, Settled::Stored);
    none.close().await;
    let mut good = bench(dir.path(), Some(GOOD), Options::default()).await;
    good.keeper.round().await.unwrap();
    assert_eq!((good.waiting().len(), good.values()), (0, vec![64]));
    assert!(matches!(good.says(&[255]).await, Settled::Refused { .. }));
    let refused = good.store.quarantined(10).unwrap();
    assert_eq!(refused.iter().filter(|refused| refused.reason.contains("bad_day")).count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_payload_does_not_hold_up_the_good_ones_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut none = bench(dir.path(), None, Options::default()).await;
    for payload in [&[7u8][..], &[0, 65], &[0, 66]] {
        let payload: &'static [u8] = Vec::leak(payload.to_vec());
        assert_eq!(none.says(payload).await, Settled::Stored);
    }
    none.close().await;
    let script = "if payload.u8(0) == 7 { [1][9] }\n[reading(\"heart_rate\", payload.u8(1), \"/min\")]";
    let mut bench = bench(dir.path(), Some(script), Options::default()).await;
    for _ in 0..5 {
        bench.keeper.round().await.unwrap();
    }
    assert_eq!((bench.waiting().len(), bench.values()), (1, vec![65, 66]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_no_more_may_wait_the_sender_keeps_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { undecoded_bytes_of_device_max: 1_100, ..Options::default() };
    let mut bench = bench(dir.path(), None, options).await;
    assert_eq!(bench.says(&[0, 61]).await, Settled::Stored);
    assert_eq!(bench.says(&[0, 62]).await, Settled::Stored);
    assert_eq!(bench.says(&[0, 63]).await, Settled::Unavailable, "neither kept nor refused");
    assert_eq!(bench.waiting().len(), 2);
}
