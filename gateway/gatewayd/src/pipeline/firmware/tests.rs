//! What no other test can bring about: a store that refuses a request, and a release whose content nobody has.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use ledger_block::GatewayKey;
use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::{Act, Cohort, HaltReason, Proven, ProvenLeaf, Releases, SignedTransaction, Transaction};
use ledger_block::merkle::{inclusion_proof, leaf_hash, root};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::policy::Policy;
use ledger_block::release::{
    Manifest, PolicyId, ReleaseId, ReleaseKey, ReleasePolicy, SecurityCounter, SignedManifest, SignedPolicy, Target,
    Version,
};
use pitchside_admin::Metrics;
use pitchside_auth::{Auth, GatewayIdentity, Kek, Limits};
use pitchside_config::Settings;
use pitchside_model::{DeviceId, Timestamp};
use pitchside_release::content::ContentId;
use pitchside_store::{FirmwareOutcome, RootKey, SensorFirmware, Store};
use pitchside_wire::PrivateKey;
use pitchside_wire::firmware::{Reason, Stage};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::lines::Line;
use super::*;
use crate::adapters::keys::StoreKeys;
use crate::adapters::releases::KnownReleases;
use crate::pipeline::roster::Roster;

const ORIGIN: &str = "ledger.example/clinic";
/// 2026-11-21.
const NOW: Timestamp = Timestamp(1_795_219_200_000_000);

fn signed(version: u32) -> SignedManifest {
    let mut signed = SignedManifest::draft(Manifest {
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: vec!["r2".parse().unwrap()],
        version: Version::new(1, version, 0),
        counter: SecurityCounter(1),
        size: 100_000,
        sha256: [version as u8; 32],
        blake3: [version as u8 + 100; 32],
        from: None,
        expires: NOW.plus_micros(30 * 86_400_000_000),
    })
    .unwrap();
    [101, 102].iter().for_each(|seed| signed.sign(&ReleaseKey::new(&[*seed; 32])).unwrap());
    signed
}

fn policy() -> SignedPolicy {
    let mut keys: Vec<[u8; 32]> = [101, 102, 103].map(|seed| ReleaseKey::new(&[seed; 32]).public()).to_vec();
    keys.sort_unstable();
    let policy = ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold: 2, keys, single: false };
    let mut signed = SignedPolicy::draft(policy).unwrap();
    [101, 102].iter().for_each(|seed| signed.sign(&ReleaseKey::new(&[*seed; 32])).unwrap());
    signed
}

/// A box that a ledger has told of releases, each rolled out to all straps.
struct House {
    dir: TempDir,
    store: Store,
    shelf: Arc<Shelf>,
    clock: Clock,
}

impl House {
    fn told(releases: &[SignedManifest]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let clock = Clock::Manual(Arc::new(AtomicI64::new(NOW.millis())));
        let mut settings = Settings::default();
        settings.gateway.data_dir = dir.path().to_owned();
        let first = dir.path().join("first.policy");
        std::fs::write(&first, policy().to_bytes()).unwrap();
        settings.firmware.release_policy = Some(first);
        let key = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap();
        let ledger = Policy::of_logs([key.verifier().clone()]);
        let known = KnownReleases::open(&settings.firmware, ledger, &store, &clock).unwrap().unwrap();
        let mut acts = vec![Act::ReleasePolicy { signed: policy().to_bytes() }];
        for signed in releases {
            acts.push(Act::Release { signed: signed.to_bytes() });
            for cohort in [Cohort::One, Cohort::Ten, Cohort::All] {
                acts.push(Act::Rollout { release: signed.id(), hardware: "r2".parse().unwrap(), cohort });
            }
        }
        known.told(&reply(acts, &key)).unwrap();
        let shelf = Shelf::open(&settings, Some(known), &store, clock.clone()).unwrap();
        let (target, component, hardware) = (Target::Sensor, "strap".parse().unwrap(), "r2".parse().unwrap());
        shelf.lines().has(Line { target, component, hardware }).unwrap();
        Self { dir, store, shelf, clock }
    }

    fn desk(&self) -> Desk {
        let auth = Auth::open(
            Arc::new(StoreKeys(self.store.tables().clone())),
            Kek::new([2; 32]),
            GatewayIdentity::from_private(PrivateKey::new([3; 32])),
            Limits::default(),
        );
        let (name, origin) = (DeviceId::parse("box").unwrap(), ORIGIN.to_owned());
        let halter = Halter { name, origin, key: GatewayKey::new(&[7; 32]), wake: Arc::new(Notify::new()) };
        let parts = DeskParts {
            shelf: Arc::clone(&self.shelf),
            auth: Arc::new(auth.unwrap()),
            store: self.store.clone(),
            roster: Arc::new(Roster::default()),
            metrics: Metrics::new(),
            clock: self.clock.clone(),
            halter,
        };
        Desk::new(parts, &Door::new().0).unwrap()
    }

    /// A sensor says that the release came to nothing on it.
    fn fails_on(&self, device: &str, release: ReleaseId) {
        let device = DeviceId::parse(device).unwrap();
        let row = SensorFirmware {
            device: device.clone(),
            hardware: "r2".to_owned(),
            component: "strap".to_owned(),
            version: "1.0.0".to_owned(),
            counter: 1,
            seen_at: NOW,
            release: Some(release.0),
            target: Some("1.1.0".to_owned()),
            size: 100_000,
            have: 100_000,
            attempts: 1,
            stage: Some(Stage::Failed as u8),
            reason: Reason::SELF_TEST.0,
            text: String::new(),
            reported_at: Some(NOW),
            held: None,
        };
        let (release, reason) = (release.0, Reason::SELF_TEST.0);
        let outcome = FirmwareOutcome { release, device, confirmed: false, reason, counts: true, at: NOW };
        self.store.put_sensor_firmware(row, Some(outcome)).unwrap();
    }

    /// The halts that wait for the ledger.
    fn asked(&self) -> Vec<Act> {
        let act = |leaf: Vec<u8>| SignedTransaction::parse(&leaf).unwrap().transaction().act.clone();
        self.store.waiting_acts(8).unwrap().into_iter().map(act).collect()
    }
}

/// What an honest ledger answers.
fn reply(acts: Vec<Act>, key: &SignerKey) -> Releases {
    let signer = DeviceId::parse("maker").unwrap();
    let transaction = |(at, act)| Transaction { signer: signer.clone(), time: NOW.plus_micros(at), act };
    let leaves: Vec<Vec<u8>> =
        (0..).zip(acts).map(transaction).map(|one| one.sign(ORIGIN, &GatewayKey::new(&[50; 32])).unwrap()).collect();
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let size = hashes.len() as u64;
    let note = Checkpoint::new(ORIGIN, size, root(&hashes)).sign(key, 0).unwrap().to_string().into_bytes();
    let proven = |(place, leaf)| ProvenLeaf { place, leaf, path: inclusion_proof(&hashes, place).unwrap() };
    let leaves = (0..).zip(leaves).map(proven).collect();
    Releases { checkpoint: Proven { note, from: 0, proof: Vec::new() }, leaves, next: size }
}

#[tokio::test]
async fn a_request_for_a_halt_that_could_not_be_kept_is_repeated() {
    let release = signed(1).id();
    let house = House::told(&[signed(1)]);
    ["s1", "s2"].iter().for_each(|device| house.fails_on(device, release));
    let database = rusqlite::Connection::open(house.dir.path().join("pitchside.db")).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON acts BEGIN SELECT RAISE(ABORT, 'no room'); END";
    database.execute_batch(refuse).unwrap();
    let mut desk = house.desk();
    desk.look(true);
    assert!(desk.halted.contains(&release), "here it is halted at once");
    assert!(house.asked().is_empty() && !desk.asked.contains(&release));
    // A start in between forgets neither: what failed is counted again.
    let mut desk = house.desk();
    desk.look(true);
    assert!(desk.halted.contains(&release) && house.asked().is_empty());
    database.execute_batch("DROP TRIGGER refuse").unwrap();
    desk.look(true);
    let halt = [Act::Halt { release, why: HaltReason::Failures }];
    assert_eq!(house.asked(), halt);
    desk.look(true);
    assert_eq!(house.asked(), halt, "asked for once is enough");
    assert!(house.desk().halted.contains(&release), "and it stays halted here");
}

#[tokio::test]
async fn a_content_nobody_has_lets_the_others_have_their_turn() {
    let releases = [signed(1), signed(2)];
    let house = House::told(&releases);
    let [older, newest] = releases.map(|signed| ContentId(signed.manifest().blake3));
    let settings = service_settings(&Settings::default());
    let patience = carrier::Patience { stuck: Duration::from_millis(200), turn: Duration::from_secs(60) };
    let stop = CancellationToken::new();
    let carrying = tokio::spawn(carrier::run(Arc::clone(&house.shelf), settings, patience, stop.clone()));
    let begun = async |content: ContentId| {
        let wait = async {
            while house.shelf.contents().standing(content).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok()
    };
    assert!(begun(newest).await, "the newest is wanted most");
    assert!(begun(older).await, "nobody has that, and the older one waits for it still");
    stop.cancel();
    carrying.await.unwrap();
}
