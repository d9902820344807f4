//! Firmware over the whole way: policy and releases into the log, and what a gateway learns of them.

use ledger_block::GatewayKey;
use ledger_block::ingest::{Act, Code, Cohort, DeviceId, HaltReason, Reply, Request, Summed, Timestamp, Transaction};
use ledger_block::merkle::leaf_hash;
use ledger_block::policy::Policy;
use ledger_block::release::{
    HardwareId, Manifest, PolicyId, ReleaseKey, ReleasePolicy, SecurityCounter, SignedManifest, SignedPolicy, Sum,
    Tally, Target, Version,
};
use pitchside_release::known::{Anchors, Known, News};
use pitchside_sync::connection::{Connection, connect};

use crate::cli::{code, complaint, ledgerd, said};
use crate::support::{Gateway, Ledger, ORIGIN, PATIENCE, World};

fn key(seed: u8) -> ReleaseKey {
    ReleaseKey::new(&[seed; 32])
}

fn first_policy() -> ReleasePolicy {
    let mut keys: Vec<[u8; 32]> = [101, 102, 103].map(|seed| key(seed).public()).to_vec();
    keys.sort_unstable();
    ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold: 2, keys, single: false }
}

pub fn manifest(version: u32) -> Manifest {
    Manifest {
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: vec!["r2".parse().unwrap()],
        version: Version::new(1, version, 0),
        counter: SecurityCounter(1),
        size: 10,
        sha256: [version as u8; 32],
        blake3: [version as u8; 32],
        from: None,
        expires: ledgerd::clock::now().plus_micros(86_400_000_000),
    }
}

pub fn signed(manifest: &Manifest, seeds: &[u8]) -> Act {
    let mut signed = SignedManifest::draft(manifest.clone()).unwrap();
    seeds.iter().for_each(|seed| signed.sign(&key(*seed)).unwrap());
    Act::Release { signed: signed.to_bytes() }
}

/// A ledger with a box, a publisher and a release policy, entered as its operator does.
pub fn ledger(gateway: &Gateway, maker: &Gateway) -> Ledger {
    with_policy(Ledger::new(), gateway, maker)
}

/// Enters those into this ledger.
pub fn with_policy(ledger: Ledger, gateway: &Gateway, maker: &Gateway) -> Ledger {
    ledger.enrol(gateway);
    ledger.enrol_publisher(maker);
    let mut policy = SignedPolicy::draft(first_policy()).unwrap();
    [101, 103].into_iter().for_each(|seed| policy.sign(&key(seed)).unwrap());
    let file = ledger.dir.path().join("first.policy");
    std::fs::write(&file, policy.to_bytes()).unwrap();
    let (entered, _) = ledgerd::firmware::release_policy(&ledger.path(), &file).unwrap();
    assert_eq!(entered, first_policy());
    ledger
}

pub async fn hear(connection: &mut Connection) -> Reply {
    tokio::time::timeout(PATIENCE, connection.replies.next()).await.unwrap().unwrap()
}

pub async fn call(ledger: &Ledger, member: &Gateway) -> Connection {
    let mut connection = connect(&member.config(ledger), &World).await.unwrap();
    connection.requests.send(Request::Hello { seen: 0 }).await.unwrap();
    assert!(matches!(hear(&mut connection).await, Reply::Welcome { .. }));
    connection
}

/// Hands a transaction in and waits until it is published, or refused.
pub async fn enter(connection: &mut Connection, member: &Gateway, act: Act) -> Result<(), Code> {
    let transaction = Transaction { signer: member.name.clone(), time: ledgerd::clock::now(), act };
    let leaf = transaction.sign(ORIGIN, &member.key).unwrap();
    connection.requests.send(Request::Transact { transaction: leaf.clone() }).await.unwrap();
    let mut receipts = 0;
    loop {
        match hear(connection).await {
            Reply::Refused { refusal, .. } => return Err(refusal.code),
            Reply::Receipt { leaf: about, .. } if about == leaf_hash(&leaf) => receipts += 1,
            _ => {}
        }
        if receipts == 2 {
            return Ok(());
        }
    }
}

fn anchors(ledger: &Ledger) -> Anchors {
    Anchors { ledger: Policy::of_logs([ledger.vkey()]), first_policy: first_policy().id() }
}

/// Asks until all is known; how many replies that took, and the news.
async fn learn(connection: &mut Connection, known: &mut Known, ledger: &Ledger) -> (usize, Vec<News>) {
    let (mut replies, mut news) = (0, Vec::new());
    loop {
        connection.requests.send(known.question()).await.unwrap();
        let Reply::Releases(told) = hear(connection).await else { panic!("another answer") };
        news.extend(known.learn(&told, &anchors(ledger), Timestamp(5)).unwrap());
        replies += 1;
        if known.is_up_to_date() {
            return (replies, news);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_learns_of_releases_with_their_proofs() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let (mut publisher, mut at_box) = (call(&ledger, &maker).await, call(&ledger, &gateway).await);
    let mut known = Known::default();
    assert_eq!(learn(&mut at_box, &mut known, &ledger).await.1, [News::Policy(1)]);
    let (first, second) = (manifest(1), manifest(2));
    assert_eq!(enter(&mut publisher, &maker, signed(&first, &[101])).await, Err(Code::NotAllowed));
    assert_eq!(enter(&mut publisher, &maker, signed(&first, &[101, 102])).await, Ok(()));
    let step =
        |manifest: &Manifest, cohort| Act::Rollout { release: manifest.id(), hardware: "r2".parse().unwrap(), cohort };
    assert_eq!(enter(&mut publisher, &maker, step(&first, Cohort::All)).await, Err(Code::NotAllowed));
    assert_eq!(enter(&mut publisher, &maker, step(&first, Cohort::One)).await, Ok(()));
    assert_eq!(enter(&mut at_box, &gateway, step(&first, Cohort::Ten)).await, Err(Code::NotAllowed));
    let halt = Act::Halt { release: first.id(), why: HaltReason::Failures };
    assert_eq!(enter(&mut at_box, &gateway, halt).await, Ok(()));
    assert_eq!(enter(&mut publisher, &maker, signed(&second, &[102, 103])).await, Ok(()));
    let news = learn(&mut at_box, &mut known, &ledger).await.1;
    assert_eq!(news.len(), 4);
    assert_eq!(news[2], News::Halted { release: first.id(), why: HaltReason::Failures });
    assert_eq!(known.release(&second.id()).unwrap().publisher, DeviceId::parse("maker").unwrap());
    assert_eq!(learn(&mut at_box, &mut known, &ledger).await, (1, Vec::new()));
    ledger.stop().await;
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_hears_what_all_gateways_counted_and_rolls_out_no_wider_what_fails() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let other = Gateway::new("box-2", 60);
    let mut ledger = ledger(&gateway, &maker);
    ledger.enrol(&other);
    ledger.start().await;
    let (mut publisher, mut at_box) = (call(&ledger, &maker).await, call(&ledger, &gateway).await);
    let mut at_other = call(&ledger, &other).await;
    let release = manifest(1);
    assert_eq!(enter(&mut publisher, &maker, signed(&release, &[101, 102])).await, Ok(()));
    let step = |cohort| Act::Rollout { release: release.id(), hardware: "r2".parse().unwrap(), cohort };
    assert_eq!(enter(&mut publisher, &maker, step(Cohort::One)).await, Ok(()));
    let tally = |confirmed, failed| Act::Tally { release: release.id(), tally: Tally { confirmed, failed } };
    assert_eq!(enter(&mut at_box, &gateway, tally(3, 0)).await, Ok(()));
    assert_eq!(enter(&mut at_other, &other, tally(2, 1)).await, Ok(()));
    assert_eq!(enter(&mut publisher, &maker, step(Cohort::Ten)).await, Ok(()), "one broken device");
    assert_eq!(enter(&mut at_other, &other, tally(2, 2)).await, Ok(()));
    publisher.requests.send(Request::Sum { release: release.id() }).await.unwrap();
    let Reply::Sum(summed) = hear(&mut publisher).await else { panic!("another answer") };
    let sum = Sum { tally: Tally { confirmed: 5, failed: 2 }, gateways: 2, failing: 1 };
    assert_eq!((summed.release, summed.sum), (release.id(), sum));
    assert_eq!(enter(&mut publisher, &maker, step(Cohort::All)).await, Err(Code::NotAllowed));
    // Boxes of before, which know no tallies, are told of none.
    let mut known = Known::default();
    assert_eq!(learn(&mut at_box, &mut known, &ledger).await.1.len(), 4);
    ledger.stop().await;
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_tells_what_it_counted_hears_what_all_have_counted() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let other = Gateway::new("box-2", 60);
    let mut ledger = ledger(&gateway, &maker);
    ledger.enrol(&other);
    ledger.start().await;
    let (mut publisher, mut at_other) = (call(&ledger, &maker).await, call(&ledger, &other).await);
    let release = manifest(1);
    assert_eq!(enter(&mut publisher, &maker, signed(&release, &[101, 102])).await, Ok(()));
    let tally = |confirmed, failed| Act::Tally { release: release.id(), tally: Tally { confirmed, failed } };
    assert_eq!(enter(&mut at_other, &other, tally(4, 1)).await, Ok(()));
    let leaf = |act| {
        let transaction = Transaction { signer: gateway.name.clone(), time: ledgerd::clock::now(), act };
        transaction.sign(ORIGIN, &gateway.key).unwrap()
    };
    let settled = async || tokio::time::timeout(PATIENCE, gateway.outbox.settled.notified()).await.unwrap();
    gateway.outbox.held.lock().acts.push(leaf(tally(0, 2)));
    let sync = gateway.sync(gateway.config(&ledger));
    settled().await;
    let sum = Sum { tally: Tally { confirmed: 4, failed: 3 }, gateways: 2, failing: 2 };
    assert_eq!(gateway.outbox.held.lock().sums, [Summed { release: release.id(), sum }]);
    // Anything else is done with at its receipt, and no sum comes of it; nor of a tally that is refused.
    gateway.outbox.held.lock().acts.push(leaf(Act::Halt { release: release.id(), why: HaltReason::Failures }));
    gateway.outbox.news.notify_one();
    settled().await;
    gateway.outbox.held.lock().acts.push(leaf(tally(1, 2)));
    gateway.outbox.news.notify_one();
    settled().await;
    assert_eq!(gateway.outbox.held.lock().sums.len(), 1);
    sync.stop().await;
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_leaves_come_in_several_replies() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let (mut publisher, mut at_box) = (call(&ledger, &maker).await, call(&ledger, &gateway).await);
    for version in 1..=35 {
        assert_eq!(enter(&mut publisher, &maker, signed(&manifest(version), &[101, 102])).await, Ok(()));
    }
    let mut known = Known::default();
    let (replies, news) = learn(&mut at_box, &mut known, &ledger).await;
    assert_eq!((replies, news.len(), known.releases().len()), (3, 36, 35));
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_hands_in_releases_and_nothing_else() {
    let (gateway, mut maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let mut publisher = call(&ledger, &maker).await;
    let header = maker.seal(64).bytes().to_vec();
    for request in [
        Request::Begin { header },
        Request::Keep { name: [1; 32], body: vec![1] },
        Request::Drop { name: [1; 32] },
        Request::Copies { after: None },
        Request::Recall { index: 0 },
        Request::Fetch { payload: [1; 32], offset: 0 },
    ] {
        publisher.requests.send(request.clone()).await.unwrap();
        match hear(&mut publisher).await {
            Reply::Refused { refusal, .. } => assert_eq!(refusal.code, Code::NotAllowed, "{request:?}"),
            other => panic!("not refused: {other:?}"),
        }
    }
    publisher.requests.send(Request::Ping { number: 3 }).await.unwrap();
    assert_eq!(hear(&mut publisher).await, Reply::Pong { number: 3 });
    ledger.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_publisher_rolled_out_the_operator_pauses_resumes_widens_and_halts_while_the_ledger_runs() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let mut publisher = call(&ledger, &maker).await;
    let (first, second) = (manifest(1), manifest(2));
    let step = |cohort| Act::Rollout { release: first.id(), hardware: "r2".parse().unwrap(), cohort };
    for act in [signed(&first, &[101, 102]), signed(&second, &[101, 102]), step(Cohort::One)] {
        assert_eq!(enter(&mut publisher, &maker, act).await, Ok(()));
    }
    drop(publisher);
    let name = first.id().to_string();
    let beginning = &name[..12];
    assert!(said(&ledger, &["pause", beginning]).contains(&format!("{name}: paused on r2, leaf ")));
    assert!(complaint(&ledger, &["pause", beginning]).contains("nothing of this release is being rolled out"));
    let to = |percent| ["rollout", beginning, "--hardware", "r2", "--to", percent];
    assert!(complaint(&ledger, &to("100")).contains("widens step by step"));
    assert!(said(&ledger, &to("1")).contains("1 per cent of r2"), "it goes on");
    assert!(said(&ledger, &to("10")).contains("10 per cent of r2"));
    let other = ["pause", beginning, "--hardware", "r9"];
    assert!(complaint(&ledger, &other).contains("nothing of this release is being rolled out there"));
    let built_for = ["rollout", beginning, "--hardware", "r9", "--to", "1"];
    assert!(complaint(&ledger, &built_for).contains("not built for r9"));
    assert!(complaint(&ledger, &["halt", "000000000000"]).contains("no release whose name begins with 000000000000"));
    for nonsense in [["halt", "abc"], ["halt", "ABCDEF"], ["pause", "release"]] {
        assert_eq!(code(&ledgerd(&ledger, &nonsense)), 2, "{nonsense:?}");
    }
    let halted = second.id().to_string();
    assert!(said(&ledger, &["halt", &halted, "--json"]).contains("\"halted\":true"));
    assert!(complaint(&ledger, &["halt", &halted]).contains("is halted, for good"));
    // What gateways are told of it once it is shown, at the latest at a start.
    ledger.stop().await;
    ledger.start().await;
    let (mut at_box, mut known) = (call(&ledger, &gateway).await, Known::default());
    learn(&mut at_box, &mut known, &ledger).await;
    let r2: HardwareId = "r2".parse().unwrap();
    let rollout = known.release(&first.id()).unwrap().rollouts[&r2];
    assert_eq!((rollout.now, rollout.widest), (Cohort::Ten, Cohort::Ten));
    let stopped = known.release(&second.id()).unwrap();
    assert_eq!((stopped.halted, &stopped.halted_by), (Some(HaltReason::Aborted), &DeviceId::parse("operator").ok()));
    ledger.stop().await;
    ledger.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_with_a_new_signing_key_goes_on_with_its_releases_and_the_one_before_signs_nothing() {
    let (gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let mut ledger = ledger(&gateway, &maker);
    ledger.start().await;
    let mut publisher = call(&ledger, &maker).await;
    let release = manifest(1);
    assert_eq!(enter(&mut publisher, &maker, signed(&release, &[101, 102])).await, Ok(()));
    let new = Gateway { key: GatewayKey::new(&[90; 32]), ..Gateway::new("maker", 40) };
    let file = ledger.dir.path().join("new.toml");
    let (signing, channel) = (new.key.id(), new.identity.public());
    let keys = format!("signing = \"{signing}\"\nchannel = \"{channel}\"\npsk_file = \"maker.psk\"\n");
    std::fs::write(&file, format!("gateway = \"maker\"\n{keys}")).unwrap();
    said(&ledger, &["rotate", "maker", file.to_str().unwrap()]);
    let step = |cohort| Act::Rollout { release: release.id(), hardware: "r2".parse().unwrap(), cohort };
    assert_eq!(enter(&mut publisher, &maker, step(Cohort::One)).await, Err(Code::BadSignature));
    assert_eq!(enter(&mut publisher, &new, step(Cohort::One)).await, Ok(()), "on the same channel");
    ledger.stop().await;
    ledger.assert_sound();
}
