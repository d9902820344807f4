//! What no other test can bring about: a store that refuses a request, and a release whose content nobody has.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ledger_block::GatewayKey;
use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::{Act, Cohort, HaltReason, Proven, ProvenLeaf, Releases, SignedTransaction, Transaction};
use ledger_block::merkle::{consistency_proof, inclusion_proof, leaf_hash, root};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::policy::Policy;
use ledger_block::release::{
    Manifest, PolicyId, ReleaseId, ReleaseKey, ReleasePolicy, SecurityCounter, SignedManifest, SignedPolicy, Tally,
    Target, Version,
};
use pitchside_admin::Metrics;
use pitchside_auth::{Auth, GatewayIdentity, Kek, Limits};
use pitchside_config::Settings;
use pitchside_model::{
    Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Quality, Quantity, Reading, Seq, Timestamp, Value,
};
use pitchside_release::content::{Content, ContentId, Shape};
use pitchside_release::policy::Thing;
use pitchside_release::rollout::is_in;
use pitchside_store::{Counted, FirmwareOutcome, RootKey, SensorFirmware, Store};
use pitchside_wire::PrivateKey;
use pitchside_wire::firmware::{Reason, Stage};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::counting::Counting;
use super::lines::Line;
use super::own::{Own, OwnParts};
use super::vitals::Vitals;
use super::*;
use crate::adapters::keys::StoreKeys;
use crate::adapters::releases::{self, KnownReleases};
use crate::clock::Clock;
use crate::pipeline::roster::Roster;

pub(crate) const ORIGIN: &str = "ledger.example/clinic";
/// 2026-11-21.
const NOW: Timestamp = Timestamp(1_795_219_200_000_000);
const DAY: i64 = 86_400_000_000;
const MINUTE: i64 = 60_000_000;

pub(crate) fn signed(version: u32) -> SignedManifest {
    endorsed(Manifest {
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: vec!["r2".parse().unwrap()],
        version: Version::new(1, version, 0),
        counter: SecurityCounter(1),
        size: 100_000,
        sha256: [version as u8; 32],
        blake3: [version as u8 + 100; 32],
        from: None,
        expires: NOW.plus_micros(30 * DAY),
    })
}

/// A release for boxes, and its bundle.
fn bundle(version: u32) -> (SignedManifest, Vec<u8>) {
    let bytes = vec![version as u8; 50_000];
    let signed = endorsed(Manifest {
        target: Target::Box,
        component: "box".parse().unwrap(),
        size: bytes.len() as u64,
        sha256: Sha256::digest(&bytes).into(),
        blake3: *blake3::hash(&bytes).as_bytes(),
        ..signed(version).manifest().clone()
    });
    (signed, bytes)
}

fn endorsed(manifest: Manifest) -> SignedManifest {
    let mut signed = SignedManifest::draft(manifest).unwrap();
    [101, 102].iter().for_each(|seed| signed.sign(&ReleaseKey::new(&[*seed; 32])).unwrap());
    signed
}

pub(crate) fn policy() -> SignedPolicy {
    let mut keys: Vec<[u8; 32]> = [101, 102, 103].map(|seed| ReleaseKey::new(&[seed; 32]).public()).to_vec();
    keys.sort_unstable();
    let policy = ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold: 2, keys, single: false };
    let mut signed = SignedPolicy::draft(policy).unwrap();
    [101, 102].iter().for_each(|seed| signed.sign(&ReleaseKey::new(&[*seed; 32])).unwrap());
    signed
}

/// A strap of revision r2 that runs 1.0.0.
fn a_strap(name: &str) -> Thing {
    Thing {
        name: name.to_owned(),
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: "r2".parse().unwrap(),
        installed: Some(Version::new(1, 0, 0)),
        counter: SecurityCounter(1),
    }
}

/// A box that a ledger has told of releases, each rolled out to all straps.
struct House {
    dir: TempDir,
    store: Store,
    shelf: Arc<Shelf>,
    clock: Clock,
    /// By the ledger.
    said: Releases,
    vitals: Arc<Vitals>,
}

impl House {
    fn told(releases: &[SignedManifest]) -> Self {
        Self::told_up_to(releases, Cohort::All)
    }

    /// Rolled out so far.
    fn told_up_to(releases: &[SignedManifest], widest: Cohort) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let clock = Clock::Manual(Arc::new(AtomicI64::new(NOW.millis())));
        let settings = Self::settings(&dir);
        std::fs::write(dir.path().join("first.policy"), policy().to_bytes()).unwrap();
        let key = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap();
        let ledger = Policy::of_logs([key.verifier().clone()]);
        let known = KnownReleases::open(&settings.firmware, ledger, &store, &clock).unwrap().unwrap();
        let mut acts = vec![Act::ReleasePolicy { signed: policy().to_bytes() }];
        for signed in releases {
            acts.push(Act::Release { signed: signed.to_bytes() });
            for cohort in [Cohort::One, Cohort::Ten, Cohort::All].into_iter().filter(|cohort| *cohort <= widest) {
                acts.push(Act::Rollout { release: signed.id(), hardware: "r2".parse().unwrap(), cohort });
            }
        }
        let said = reply(acts, &key);
        known.told(&said).unwrap();
        let shelf = Shelf::open(&settings, Some(known), &store, clock.clone()).unwrap().unwrap();
        shelf.seen(&a_strap("s7"));
        Self { dir, store, shelf, clock, said, vitals: Arc::default() }
    }

    fn settings(dir: &TempDir) -> Settings {
        let mut settings = Settings::default();
        settings.gateway.data_dir = dir.path().to_owned();
        settings.firmware.release_policy = Some(dir.path().join("first.policy"));
        settings
    }

    /// The gateway starts again: what it knows is what it kept.
    fn restarts(&mut self) {
        let (known, settings) = (Arc::clone(self.shelf.releases()), Self::settings(&self.dir));
        self.shelf = Shelf::open(&settings, Some(known), &self.store, self.clock.clone()).unwrap().unwrap();
        self.shelf.seen(&a_strap("s7"));
    }

    /// What should be here for these, by version, and how many wait for it.
    fn wants(&self, things: &[Thing]) -> Vec<(u32, usize)> {
        let line = Line::from(&a_strap("any"));
        let wanted = self.shelf.wanted(&line, things).unwrap();
        wanted.into_iter().map(|wanted| (wanted.version.minor, wanted.waiting)).collect()
    }

    fn halter() -> Arc<Halter> {
        let (name, origin) = (DeviceId::parse("box").unwrap(), ORIGIN.to_owned());
        Arc::new(Halter { name, origin, key: GatewayKey::new(&[7; 32]), wake: Arc::new(Notify::new()) })
    }

    /// The box itself, as an image of this version sees it at its start.
    fn own(&self, name: &str, version: &str) -> Own {
        let image = self.dir.path().join("image");
        std::fs::write(&image, format!("hardware = \"r2\"\nversion = \"{version}\"\ncounter = 1\n")).unwrap();
        let parts = OwnParts {
            shelf: Arc::clone(&self.shelf),
            store: self.store.clone(),
            clock: self.clock.clone(),
            vitals: Arc::clone(&self.vitals),
            halter: Self::halter(),
        };
        Own::open(parts, &DeviceId::parse(name).unwrap(), &image, self.dir.path()).unwrap().unwrap()
    }

    fn counting(&self) -> Counting {
        let (shelf, store, clock) = (Arc::clone(&self.shelf), self.store.clone(), self.clock.clone());
        Counting { shelf, store, clock, halter: Self::halter() }
    }

    /// A bundle is here, whole.
    fn has(&self, (signed, bytes): &(SignedManifest, Vec<u8>)) {
        let Manifest { blake3, sha256, size, .. } = *signed.manifest();
        let content = Content { id: ContentId(blake3), sha256, shape: Shape::new(size).unwrap() };
        let file = self.dir.path().join("bundle");
        std::fs::write(&file, bytes).unwrap();
        self.shelf.contents().import(&file, &content, &[]).unwrap();
    }

    /// The fetch of a content is begun; false if it is not before long.
    async fn begins(&self, content: ContentId) -> bool {
        let wait = async {
            while self.shelf.contents().standing(content).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok()
    }

    /// Time passes, and the ledger is heard at its end.
    fn after(&self, micros: i64) {
        let Clock::Manual(millis) = &self.clock else { unreachable!("turned by hand") };
        millis.fetch_add(micros / 1_000, Ordering::AcqRel);
        self.shelf.releases().told(&Releases { leaves: Vec::new(), ..self.said.clone() }).unwrap();
        let heard = self.shelf.known().seen().map(|seen| seen.confirmed_at);
        assert_eq!(heard, Some(self.clock.now()));
    }

    /// What the installer left behind, of a request it took.
    fn installer_says(&self, result: &str) {
        std::fs::remove_file(self.update("request")).unwrap();
        std::fs::write(self.update("result"), result).unwrap();
    }

    /// The installer takes the request, if it has not yet, and asks whether it may restart.
    fn may_restart(&self, own: &Own) -> String {
        if self.update("request").exists() {
            std::fs::rename(self.update("request"), self.update("taken")).unwrap();
        }
        let _asked = std::fs::remove_file(self.update("restart"));
        own.look().unwrap();
        std::fs::read_to_string(self.update("restart")).unwrap().trim().to_owned()
    }

    /// The ledger says more, behind what it said.
    fn told_more(&self, acts: Vec<Act>) {
        let said = |leaf: &ProvenLeaf| SignedTransaction::parse(&leaf.leaf).unwrap().transaction().act.clone();
        let before = self.said.leaves.iter().map(said);
        let key = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap();
        let said = reply(before.chain(acts).collect(), &key);
        let (since, _) = self.shelf.known().wanted();
        let hashes: Vec<_> = said.leaves.iter().map(|leaf| leaf_hash(&leaf.leaf)).collect();
        let proof = consistency_proof(&hashes, since).unwrap();
        let leaves = said.leaves.into_iter().filter(|leaf| leaf.place >= since).collect();
        let checkpoint = Proven { from: since, proof, ..said.checkpoint };
        self.shelf.releases().told(&Releases { checkpoint, leaves, next: said.next }).unwrap();
        assert!(self.shelf.known().is_up_to_date());
    }

    fn update(&self, name: &str) -> PathBuf {
        self.dir.path().join("update").join(name)
    }

    fn is_asked_for(&self, release: &(SignedManifest, Vec<u8>)) -> bool {
        let request = std::fs::read_to_string(self.update("request")).unwrap_or_default();
        request.starts_with(&format!("release {}\n", release.0.id()))
    }

    fn desk(&self) -> Desk {
        let auth = Auth::open(
            Arc::new(StoreKeys(self.store.tables().clone())),
            Kek::new([2; 32]),
            GatewayIdentity::from_private(PrivateKey::new([3; 32])),
            Limits::default(),
        );
        let halter = Self::halter();
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
pub(crate) fn reply(acts: Vec<Act>, key: &SignerKey) -> Releases {
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
    let mut house = House::told(&[signed(1)]);
    ["s1", "s2"].iter().for_each(|device| house.fails_on(device, release));
    let database = rusqlite::Connection::open(house.dir.path().join("pitchside.db")).unwrap();
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON acts BEGIN SELECT RAISE(ABORT, 'no room'); END";
    database.execute_batch(refuse).unwrap();
    let mut desk = house.desk();
    desk.look(true);
    assert!(house.shelf.barred().is_halted(&release), "here it is halted at once");
    assert!(house.asked().is_empty() && !desk.asked.contains(&release));
    // A start in between forgets neither: what failed is counted again.
    house.restarts();
    let mut desk = house.desk();
    desk.look(true);
    assert!(house.shelf.barred().is_halted(&release) && house.asked().is_empty());
    database.execute_batch("DROP TRIGGER refuse").unwrap();
    desk.look(true);
    let tally = Act::Tally { release, tally: Tally { confirmed: 0, failed: 2 } };
    let halt = [tally, Act::Halt { release, why: HaltReason::Failures }];
    assert_eq!(house.asked(), halt, "after a halt nobody takes the count it stands on");
    desk.look(true);
    assert_eq!(house.asked(), halt, "asked for once is enough");
    house.restarts();
    assert!(house.shelf.barred().is_halted(&release), "and it stays halted here");
}

#[tokio::test]
async fn a_content_nobody_has_lets_the_others_have_their_turn() {
    // The newest installs over the older one alone.
    let from = Some(Version::new(1, 1, 0));
    let releases = [signed(1), endorsed(Manifest { from, ..signed(2).manifest().clone() })];
    let house = House::told(&releases);
    let [older, newest] = releases.map(|signed| ContentId(signed.manifest().blake3));
    let settings = service_settings(&Settings::default());
    let patience = carrier::Patience { stuck: Duration::from_millis(200), turn: Duration::from_secs(60) };
    let stop = CancellationToken::new();
    let carrying = tokio::spawn(carrier::run(Arc::clone(&house.shelf), settings, patience, stop.clone()));
    assert!(house.begins(older).await, "what a sensor waits for is wanted most");
    assert!(house.begins(newest).await, "nobody has that, and the newest waits for it still");
    stop.cancel();
    carrying.await.unwrap();
    let missing = missing::missing(&house.store).unwrap();
    assert_eq!(missing.iter().map(|row| row.since).collect::<Vec<_>>(), [NOW, NOW], "doctor can tell");
}

/// Of 1.1.0 to 1.4.0, the first is out to all, and the others are tried on one in a hundred.
fn three_that_are_tried() -> (House, [SignedManifest; 4]) {
    let releases = [1, 2, 3, 4].map(signed);
    let house = House::told(&releases[..1]);
    let mut acts = Vec::new();
    for signed in &releases[1..] {
        acts.push(Act::Release { signed: signed.to_bytes() });
        let (release, hardware) = (signed.id(), "r2".parse().unwrap());
        acts.push(Act::Rollout { release, hardware, cohort: Cohort::One });
    }
    house.told_more(acts);
    (house, releases)
}

/// A strap that is among the first one in a hundred of just these.
fn tries(releases: &[SignedManifest], which: [bool; 3]) -> Thing {
    let first = |name: &String| releases.iter().map(|signed| is_in(&signed.id(), name, Cohort::One)).eq(which);
    a_strap(&(0..).map(|n| format!("s{n}")).find(first).unwrap())
}

#[tokio::test]
async fn what_is_out_to_all_is_here_for_whoever_tries_none_of_the_newer_ones() {
    let (house, releases) = three_that_are_tried();
    let [usual, tries_one] = [[false; 3], [true, false, false]].map(|which| tries(&releases[1..], which));
    assert_eq!(house.shelf.choose(&usual).unwrap().unwrap().id, releases[0].id());
    assert_eq!(house.wants(std::slice::from_ref(&usual)), [(1, 1), (4, 0)], "and the newest, before anybody asks");
    let many = [usual.clone(), tries_one, a_strap(&usual.name)];
    assert_eq!(house.wants(&many), [(1, 2), (2, 1), (4, 0)], "one a sensor, and the newest");
    let up_to_date = Thing { installed: Some(Version::new(1, 4, 0)), ..usual.clone() };
    assert!(house.wants(std::slice::from_ref(&up_to_date)).is_empty(), "what all run is wanted no more");
    assert_eq!(house.wants(&[up_to_date, usual]), [(1, 1), (4, 0)]);
}

#[tokio::test]
async fn each_step_of_a_long_way_is_here_when_it_is_needed() {
    let over = |version: u32| {
        let from = Some(Version::new(1, version - 1, 0));
        endorsed(Manifest { from, ..signed(version).manifest().clone() })
    };
    let house = House::told(&[1, 2, 3, 4, 5].map(over));
    let runs = |version: u32| Thing { installed: Some(Version::new(1, version, 0)), ..a_strap("s7") };
    assert_eq!([0, 1, 3, 4].map(|version| house.wants(&[runs(version)])[0]), [(1, 1), (2, 1), (4, 1), (5, 1)]);
}

#[tokio::test]
async fn the_next_one_down_is_for_a_sensor_on_which_the_newest_came_to_nothing() {
    let releases = [signed(1), signed(2)];
    let mut house = House::told(&releases);
    house.fails_on("s7", releases[1].id());
    house.restarts();
    let chosen = |house: &House, name: &str| house.shelf.choose(&a_strap(name)).unwrap().map(|offer| offer.id);
    assert_eq!(chosen(&house, "s7"), Some(releases[0].id()));
    assert_eq!(chosen(&house, "s8"), Some(releases[1].id()), "it may be that sensor's fault");
    assert_eq!(house.wants(&[a_strap("s7")]), [(1, 1)], "and its image is fetched");
    // A second one: this box halts it by its own count, and no ledger is in reach.
    house.fails_on("s8", releases[1].id());
    house.desk().look(false);
    assert_eq!(chosen(&house, "s9"), Some(releases[0].id()));
    assert_eq!(house.wants(&[a_strap("s9")]), [(1, 1)]);
    // Who runs the next one down hears why there is nothing newer.
    let why = |name: &str| house.shelf.why_not(&Thing { installed: Some(Version::new(1, 1, 0)), ..a_strap(name) });
    assert_eq!(why("s9").as_deref(), Some("1.2.0: this box halted it, for it failed on sensors here"));
    assert_eq!(why("s7"), None, "how it ended is told with what it was offered last");
}

#[tokio::test]
async fn a_sensor_that_says_it_is_something_else_at_every_moment_keeps_nobody_from_its_turn() {
    // Three components: what the liar says of itself comes first by its name.
    let of = |version, component: &str| {
        let component = component.parse().unwrap();
        endorsed(Manifest { component, ..signed(version).manifest().clone() })
    };
    let releases = [of(1, "belt"), of(2, "patch"), of(3, "strap")];
    let house = House::told(&releases);
    let [belt, patch, strap] = releases.each_ref().map(|signed| ContentId(signed.manifest().blake3));
    let says = |component: &str| {
        house.shelf.seen(&Thing { component: component.parse().unwrap(), ..a_strap("liar") });
    };
    says("belt");
    let (settings, stop) = (service_settings(&Settings::default()), CancellationToken::new());
    let patience = carrier::Patience { stuck: Duration::from_secs(3_600), turn: Duration::from_secs(3_600) };
    let carrying = tokio::spawn(carrier::run(Arc::clone(&house.shelf), settings, patience, stop.clone()));
    assert!(house.begins(belt).await);
    says("patch");
    assert!(house.begins(patch).await, "what it was is wanted no more");
    says("belt");
    assert!(house.begins(strap).await, "s7 is a strap and waits for its turn");
    stop.cancel();
    carrying.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_that_rotted_is_fetched_again_before_the_installer_sees_it() {
    let update = bundle(1);
    let house = House::told(std::slice::from_ref(&update.0));
    house.has(&update);
    let data = house.dir.path().join("content").join(ContentId(update.0.manifest().blake3).to_string()).join("data");
    let mut rotten = update.1.clone();
    rotten[20_000] ^= 1;
    std::fs::write(data, rotten).unwrap();
    let own = house.own("box", "1.0.0");
    own.look().unwrap_err();
    assert!(!house.is_asked_for(&update), "RAUC would refuse it, and the release would be left alone for good");
    own.look().unwrap();
    assert!(!house.is_asked_for(&update), "it is not here");
    house.has(&update);
    own.look().unwrap();
    assert!(house.is_asked_for(&update));
}

/// Something that was measured now, of an athlete or of a room.
fn measured(house: &House, athlete: Option<&str>) -> Entry {
    let now = house.clock.now();
    let quantity = Quantity::HEART_RATE;
    let (value, quality) = (Value::Number(Decimal::integer(60)), Quality::empty());
    let reading = Reading { quantity, unit: quantity.unit(), device_time: now, gateway_time: now, quality, value };
    Entry {
        device: DeviceId::parse("s7").unwrap(),
        athlete: athlete.map(|name| AthleteId::parse(name).unwrap()),
        assurance: Assurance::Noise,
        epoch: Epoch(1),
        seq: Seq(now.0.unsigned_abs()),
        readings: vec![reading],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_the_box_never_begins_while_somebody_trains_however_long_it_waits() {
    let update = bundle(1);
    let house = House::told(std::slice::from_ref(&update.0));
    house.has(&update);
    let own = house.own("box", "1.0.0");
    for _ in 0..10 {
        house.vitals.observe(&measured(&house, Some("ada")));
        own.look().unwrap();
        house.after(DAY - 5 * MINUTE);
        // Nobody trains in a pause this short, but until a week is over a longer one is waited for.
        house.vitals.observe(&measured(&house, Some("ada")));
        house.after(2 * MINUTE);
        own.look().unwrap();
        assert!(!house.is_asked_for(&update), "in the middle of training");
        house.after(3 * MINUTE);
    }
    let waits = own::waiting(&house.store).unwrap().unwrap();
    assert_eq!((waits.since(), waits.release), (NOW, update.0.id().to_string()));
    own.look().unwrap();
    assert!(house.is_asked_for(&update), "after a week the first pause will do");
    assert_eq!(own::waiting(&house.store).unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_of_the_box_waits_for_ten_minutes_without_training_and_for_no_room() {
    let update = bundle(1);
    let house = House::told(std::slice::from_ref(&update.0));
    house.has(&update);
    // The journal is all that a start knows of training.
    house.store.journal_append(vec![measured(&house, Some("ada"))]).await.unwrap();
    let look = |after: i64| {
        house.after(after);
        house.vitals.observe(&measured(&house, None));
        house.own("box", "1.0.0").look().unwrap();
        house.is_asked_for(&update)
    };
    assert!(!look(0) && !look(9 * MINUTE), "a pause between two halves");
    assert!(look(MINUTE), "the room's thermometer is always at it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_goes_back_stops_a_release_that_is_being_tried() {
    let (update, older) = (bundle(2), bundle(1));
    let names = || (0..).map(|n| format!("box-{n}"));
    let in_both = |name: &String| [&update, &older].iter().all(|one| is_in(&one.0.id(), name, Cohort::Ten));
    let name = names().find(in_both).unwrap();
    let mut house = House::told_up_to(&[older.0.clone(), update.0.clone()], Cohort::Ten);
    [&older, &update].into_iter().for_each(|one| house.has(one));
    house.own(&name, "1.0.0").look().unwrap();
    assert!(house.is_asked_for(&update));
    // It came up, and the machine went back later.
    house.installer_says("installed, restarting into it");
    house.own(&name, "1.2.0").look().unwrap();
    assert_eq!(house.store.firmware_tally(&update.0.id().0).unwrap(), (1, 0));
    assert!(house.asked().is_empty());
    house.own(&name, "1.0.0").look().unwrap();
    assert_eq!(house.store.firmware_tally(&update.0.id().0).unwrap(), (0, 1));
    let tally = Act::Tally { release: update.0.id(), tally: Tally { confirmed: 0, failed: 1 } };
    let halt = [tally, Act::Halt { release: update.0.id(), why: HaltReason::Failures }];
    assert_eq!(house.asked(), halt, "for everybody, and behind what it stands on");
    house.own(&name, "1.0.0").look().unwrap();
    assert_eq!(house.asked(), halt, "once");
    assert!(house.is_asked_for(&older), "the next one down is out for this box, too");
    let tried = own::tried(&house.store).unwrap().unwrap();
    assert!(tried.in_place_of.unwrap().starts_with("1.2.0 (release "), "doctor says why");
    // And that one, too, comes to nothing: there is no third, however often it looks, and starts.
    house.installer_says("installed, restarting into it");
    for _ in 0..2 {
        house.own(&name, "1.0.0").look().unwrap();
        house.restarts();
    }
    assert!(!house.is_asked_for(&older) && !house.is_asked_for(&update));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_somebody_takes_back_later_stops_nothing() {
    let update = bundle(1);
    let name = (0..).map(|n| format!("box-{n}")).find(|name| is_in(&update.0.id(), name, Cohort::Ten)).unwrap();
    let house = House::told_up_to(std::slice::from_ref(&update.0), Cohort::Ten);
    house.has(&update);
    house.own(&name, "1.0.0").look().unwrap();
    house.installer_says("installed, restarting into it");
    house.own(&name, "1.1.0").look().unwrap();
    house.after(2 * DAY);
    house.own(&name, "1.0.0").look().unwrap();
    assert!(house.asked().is_empty(), "it had proven itself");
    assert_eq!(house.store.firmware_tally(&update.0.id().0).unwrap(), (0, 0));
    assert!(!house.is_asked_for(&update), "and is left alone here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_alone_stops_neither_what_is_out_nor_what_it_could_not_install() {
    let update = bundle(1);
    let id = update.0.id();
    let name = (0..).map(|n| format!("box-{n}")).find(|name| is_in(&id, name, Cohort::One)).unwrap();
    for (widest, said, tally) in [
        (Cohort::All, "installed, restarting into it", (0, 1)),
        (Cohort::One, "refused: signature verification failed", (0, 0)),
        (Cohort::One, "not now: a copy of the bundle needs 90000000 bytes on the data partition", (0, 0)),
        (Cohort::One, "", (0, 0)),
    ] {
        let house = House::told_up_to(std::slice::from_ref(&update.0), widest);
        house.has(&update);
        house.own(&name, "1.0.0").look().unwrap();
        house.installer_says(said);
        for _ in 0..2 {
            house.own(&name, "1.0.0").look().unwrap();
            assert!(house.asked().is_empty() && !house.is_asked_for(&update), "{widest:?}: {said}");
        }
        assert_eq!(house.store.firmware_tally(&id.0).unwrap(), tally, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_tells_what_it_counted_and_asks_for_a_halt_when_all_boxes_counted_too_much() {
    let release = signed(1).id();
    let house = House::told(&[signed(1)]);
    let counting = house.counting();
    counting.look().unwrap();
    assert!(house.asked().is_empty(), "nothing has ended");
    house.fails_on("s1", release);
    counting.look().unwrap();
    let tally = |confirmed, failed| Act::Tally { release, tally: Tally { confirmed, failed } };
    assert_eq!(house.asked(), [tally(0, 1)], "one failure is too few to judge by here");
    house.fails_on("s2", release);
    counting.look().unwrap();
    assert_eq!(house.asked(), [tally(0, 1)], "not every minute");
    house.after(60 * MINUTE);
    counting.look().unwrap();
    assert_eq!(house.asked(), [tally(0, 2)], "the newest alone");
    let all = |confirmed, failed| Counted { release: release.0, confirmed, failed };
    house.store.note_sum(all(90, 10)).unwrap();
    counting.look().unwrap();
    assert_eq!(house.asked(), [tally(0, 2)], "a tenth is not too much");
    house.store.note_sum(all(90, 11)).unwrap();
    counting.look().unwrap();
    let halt = Act::Halt { release, why: HaltReason::Failures };
    assert_eq!(house.asked(), [tally(0, 2), halt.clone()]);
    counting.look().unwrap();
    assert_eq!(house.asked(), [tally(0, 2), halt], "asked for once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_that_goes_back_from_what_is_out_is_counted_for_everybody() {
    let update = bundle(1);
    let id = update.0.id();
    let house = House::told_up_to(std::slice::from_ref(&update.0), Cohort::All);
    house.has(&update);
    house.own("box", "1.0.0").look().unwrap();
    house.installer_says("installed, restarting into it");
    house.own("box", "1.0.0").look().unwrap();
    house.counting().look().unwrap();
    assert_eq!(house.asked(), [Act::Tally { release: id, tally: Tally { confirmed: 0, failed: 1 } }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_does_not_restart_into_its_update_while_somebody_trains() {
    let update = bundle(1);
    let house = House::told(std::slice::from_ref(&update.0));
    house.has(&update);
    let own = house.own("box", "1.0.0");
    own.look().unwrap();
    assert!(house.is_asked_for(&update) && !house.update("restart").exists(), "nobody asks yet");
    // Training begins while the bundle is copied and written.
    house.vitals.observe(&measured(&house, Some("ada")));
    assert_eq!(house.may_restart(&own), "waits: somebody trains, or did a moment ago");
    own.look().unwrap();
    assert_eq!(own::waiting(&house.store).unwrap().unwrap().release, update.0.id().to_string(), "doctor says so");
    house.after(9 * MINUTE);
    assert!(house.may_restart(&own).starts_with("waits"), "a pause between two halves");
    house.after(MINUTE);
    assert_eq!(house.may_restart(&own), "go");
    // A room's thermometer is worn by nobody; and who trained before the gateway was started anew trains still.
    house.vitals.observe(&measured(&house, None));
    assert_eq!(house.may_restart(&own), "go");
    house.store.journal_append(vec![measured(&house, Some("ada"))]).await.unwrap();
    assert!(house.may_restart(&house.own("box", "1.0.0")).starts_with("waits"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_halted_or_overtaken_before_the_restart_is_withdrawn() {
    let (update, newer) = (bundle(1), bundle(2));
    let house = House::told(std::slice::from_ref(&update.0));
    [&update, &newer].into_iter().for_each(|one| house.has(one));
    let own = house.own("box", "1.0.0");
    own.look().unwrap();
    house.vitals.observe(&measured(&house, Some("ada")));
    assert!(house.may_restart(&own).starts_with("waits"));
    let (release, hardware) = (update.0.id(), "r2".parse().unwrap());
    let pause = Act::Rollout { release, hardware, cohort: Cohort::Paused };
    house.told_more(vec![pause.clone()]);
    house.vitals.observe(&measured(&house, None));
    let out = |cohort| Act::Rollout { release: newer.0.id(), hardware: "r2".parse().unwrap(), cohort };
    let mut published = vec![pause, Act::Release { signed: newer.0.to_bytes() }];
    published.extend([Cohort::One, Cohort::Ten, Cohort::All].map(out));
    house.told_more(published.clone());
    assert_eq!(house.may_restart(&own), "withdrawn: 1.2.0 takes its place", "whoever trains");
    published.push(Act::Halt { release, why: HaltReason::Failures });
    house.told_more(published);
    let said = house.may_restart(&own);
    assert_eq!(said, "withdrawn: its release was halted (failures) before the box restarted");
    // The installer takes it back and says so: the next one is asked for, once nobody trains.
    std::fs::remove_file(house.update("taken")).unwrap();
    std::fs::write(house.update("result"), said.replace("withdrawn", "refused")).unwrap();
    own.look().unwrap();
    assert!(!house.update("restart").exists() && !house.is_asked_for(&newer));
    assert_eq!(house.store.firmware_tally(&release.0).unwrap(), (0, 0), "that speaks against nobody");
    let Clock::Manual(millis) = &house.clock else { unreachable!("turned by hand") };
    millis.fetch_add(10 * MINUTE / 1_000, Ordering::AcqRel);
    own.look().unwrap();
    assert!(house.is_asked_for(&newer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_that_was_only_cut_short_is_tried_five_times_and_one_that_was_refused_once() {
    const HOUR: i64 = 60 * MINUTE;
    for (said, tries) in [("", 5), ("not now: no room", 5), ("refused: signature verification failed", 1)] {
        let update = bundle(1);
        let house = House::told(std::slice::from_ref(&update.0));
        house.has(&update);
        let mut asked_at = Vec::new();
        for hour in 0..40 {
            // Every look is another start of the box.
            house.own("box", "1.0.0").look().unwrap();
            if house.is_asked_for(&update) {
                asked_at.push(hour);
                house.installer_says(said);
                house.own("box", "1.0.0").look().unwrap();
                assert!(!house.is_asked_for(&update), "not at once: {said}");
            }
            house.after(HOUR);
        }
        assert_eq!(asked_at, [0, 1, 3, 7, 15][..tries], "{said}");
        let failed = house.store.failed_outcomes().unwrap();
        assert_eq!(
            failed.iter().map(|one| (one.release, one.device.as_str())).collect::<Vec<_>>(),
            [(update.0.id().0, "box")]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ledger_says_and_nobody_believes_is_kept_for_doctor_until_it_is_believed() {
    let house = House::told(&[signed(1)]);
    let key = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[1; 32]).unwrap();
    let first = Some(house.dir.path().join("first.policy"));
    let settings = pitchside_config::Firmware { release_policy: first, ..Default::default() };
    let anchors = releases::anchors(&settings, Policy::of_logs([key.verifier().clone()])).unwrap().unwrap();
    let refused = || releases::trouble::refused(&house.store, &anchors).unwrap();
    assert_eq!(refused(), None);
    let older = reply(vec![Act::ReleasePolicy { signed: policy().to_bytes() }], &key);
    house.shelf.releases().told(&older).unwrap();
    let trouble = refused().unwrap();
    assert!(trouble.why.contains("somebody shows an old log"), "{trouble:?}");
    assert_eq!((trouble.since, trouble.whose), (NOW, releases::trouble::Whose::Ledger));
    house.after(DAY);
    assert_eq!(refused(), None, "the newest is back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_settings_begin_anew_and_the_old_ones_find_what_was_known() {
    let house = House::told(&[signed(1)]);
    let (first, other) = (house.dir.path().join("first.policy"), house.dir.path().join("other.policy"));
    let mut keys: Vec<[u8; 32]> = [101, 102, 104].map(|seed| ReleaseKey::new(&[seed; 32]).public()).to_vec();
    keys.sort_unstable();
    let policy = ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold: 2, keys, single: false };
    std::fs::write(&other, SignedPolicy::draft(policy).unwrap().to_bytes()).unwrap();
    let believing = |policy: &PathBuf, log: u8| {
        let settings = pitchside_config::Firmware { release_policy: Some(policy.clone()), ..Default::default() };
        let key = SignerKey::new(ORIGIN, KeyKind::Ed25519, &[log; 32]).unwrap();
        (settings, Policy::of_logs([key.verifier().clone()]))
    };
    let known = |policy: &PathBuf, log: u8| {
        let (settings, ledger) = believing(policy, log);
        let opened = KnownReleases::open(&settings, ledger, &house.store, &house.clock)?;
        anyhow::Ok(opened.map_or(0, |opened| opened.known().releases().len()))
    };
    assert_eq!(known(&other, 1).unwrap(), 0, "other keys");
    assert_eq!(known(&first, 2).unwrap(), 0, "another log");
    assert_eq!(known(&first, 1).unwrap(), 1, "back again");
    let (settings, ledger) = believing(&first, 1);
    let anchors = releases::anchors(&settings, ledger).unwrap().unwrap();
    house.store.set_meta(&format!("firmware-known/{}", anchors.name()), b"noise").unwrap();
    assert!(known(&first, 1).is_err(), "damage is no other setting");
    releases::forget(&house.store, &anchors).unwrap();
    assert_eq!(known(&first, 1).unwrap(), 0, "the ledger tells it again");
}
