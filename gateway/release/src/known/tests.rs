use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::{Act, Proven, Transaction};
use ledger_block::merkle::{consistency_proof, inclusion_proof, root};
use ledger_block::note::{KeyKind, SignerKey};
use ledger_block::release::{Manifest, ReleaseKey, SignedPolicy};
use ledger_block::{ClockState, GatewayKey, Hash};
use proptest::prelude::*;

use super::*;
use crate::policy::{Clock, Limits, Refused, may_decide};

pub(crate) const ORIGIN: &str = "ledger.example/clinic";
pub(crate) const DAY: i64 = 86_400_000_000;
/// 2026-11-21.
pub(crate) const NOW: Timestamp = Timestamp(1_795_219_200_000_000);

fn log_key(seed: u8) -> SignerKey {
    SignerKey::new(ORIGIN, KeyKind::Ed25519, &[seed; 32]).unwrap()
}

pub(crate) fn release_key(seed: u8) -> ReleaseKey {
    ReleaseKey::new(&[seed; 32])
}

pub(crate) fn release_policy(threshold: u8) -> ReleasePolicy {
    let mut keys = vec![release_key(101).public(), release_key(102).public(), release_key(103).public()];
    keys.sort_unstable();
    ReleasePolicy { number: 1, previous: PolicyId([0; 32]), threshold, keys, single: threshold == 1 }
}

pub(crate) fn manifest(version: u32) -> Manifest {
    Manifest {
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: vec!["r2".parse().unwrap(), "r3".parse().unwrap()],
        version: Version::new(1, version, 0),
        counter: SecurityCounter(version / 10),
        size: 1_000,
        sha256: [version as u8; 32],
        blake3: [version as u8 + 100; 32],
        from: None,
        expires: NOW.plus_micros(30 * DAY),
    }
}

pub(crate) fn publish(manifest: &Manifest, seeds: &[u8]) -> Act {
    let mut signed = SignedManifest::draft(manifest.clone()).unwrap();
    seeds.iter().for_each(|seed| signed.sign(&release_key(*seed)).unwrap());
    Act::Release { signed: signed.to_bytes() }
}

pub(crate) fn establish(policy: &ReleasePolicy, seeds: &[u8]) -> Act {
    let mut signed = SignedPolicy::draft(policy.clone()).unwrap();
    seeds.iter().for_each(|seed| signed.sign(&release_key(*seed)).unwrap());
    Act::ReleasePolicy { signed: signed.to_bytes() }
}

pub(crate) fn widen(release: ReleaseId, hardware: &str, cohort: Cohort) -> Act {
    Act::Rollout { release, hardware: hardware.parse().unwrap(), cohort }
}

pub(crate) fn halt(release: ReleaseId) -> Act {
    Act::Halt { release, why: HaltReason::Failures }
}

/// A log that lets anything in: a ledger that has gone bad, or a good one that is used well.
pub(crate) struct Log {
    pub leaves: Vec<Vec<u8>>,
    pub firmware: Vec<u64>,
    pub key: SignerKey,
}

impl Log {
    /// With some other leaves first.
    pub fn new() -> Self {
        Self { leaves: vec![vec![1], vec![2], vec![3]], firmware: Vec::new(), key: log_key(1) }
    }

    /// With a release policy of two in three.
    pub fn ready() -> Self {
        let mut log = Self::new();
        log.put(establish(&release_policy(2), &[101, 102]));
        log
    }

    pub fn put(&mut self, act: Act) {
        let key = GatewayKey::new(&[50; 32]);
        let time = NOW.plus_micros(self.leaves.len() as i64);
        let transaction = Transaction { signer: DeviceId::parse("maker").unwrap(), time, act };
        self.firmware.push(self.leaves.len() as u64);
        self.leaves.push(transaction.sign(ORIGIN, &key).unwrap());
        // A leaf of somebody else's in between.
        self.leaves.push(self.leaves.len().to_be_bytes().to_vec());
    }

    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|leaf| leaf_hash(leaf)).collect()
    }

    /// What an honest ledger answers, at most `most` leaves at a time.
    pub fn answer(&self, question: &Request, most: usize) -> Releases {
        let Request::Releases { since, seen } = *question else { panic!("not that question") };
        let hashes = self.hashes();
        let size = hashes.len() as u64;
        let note = Checkpoint::new(ORIGIN, size, root(&hashes)).sign(&self.key, 0).unwrap().to_string().into_bytes();
        let proof = if (1..size).contains(&seen) { consistency_proof(&hashes, seen).unwrap() } else { Vec::new() };
        let mut wanted = self.firmware.iter().copied().filter(|place| *place >= since);
        let leaves: Vec<ProvenLeaf> = (wanted.by_ref().take(most))
            .map(|place| ProvenLeaf {
                place,
                leaf: self.leaves[usize::try_from(place).unwrap()].clone(),
                path: inclusion_proof(&hashes, place).unwrap(),
            })
            .collect();
        let next = wanted.next().unwrap_or(size);
        Releases { checkpoint: Proven { note, from: seen, proof }, leaves, next }
    }

    pub fn anchors(&self) -> Anchors {
        let ledger = Policy::of_logs([self.key.verifier().clone()]);
        Anchors { ledger, first_policy: release_policy(2).id() }
    }

    /// Everything, learnt now.
    pub fn known(&self) -> Known {
        let mut known = Known::default();
        self.tell(&mut known).unwrap();
        known
    }

    pub fn tell(&self, known: &mut Known) -> Result<Vec<News>, LearnError> {
        self.tell_at(known, NOW)
    }

    pub fn tell_at(&self, known: &mut Known, now: Timestamp) -> Result<Vec<News>, LearnError> {
        let mut news = Vec::new();
        loop {
            news.extend(known.learn(&self.answer(&known.question(), 2), &self.anchors(), now)?);
            if known.is_up_to_date() {
                return Ok(news);
            }
        }
    }
}

/// What a bad ledger's last leaf is refused for.
fn broken(log: &Log) -> Rule {
    match log.tell(&mut Known::default()) {
        Err(LearnError::Broken { rule, .. }) => rule,
        other => panic!("taken: {other:?}"),
    }
}

#[test]
fn what_an_honest_ledger_says_is_learnt_once_and_in_order() {
    let mut log = Log::ready();
    let mut known = log.known();
    assert_eq!(known.policy(), Some(&release_policy(2)));
    assert!(log.tell(&mut known).unwrap().is_empty(), "nothing new");
    let id = manifest(1).id();
    log.put(publish(&manifest(1), &[101, 103]));
    log.put(widen(id, "r2", Cohort::One));
    log.put(widen(id, "r2", Cohort::Ten));
    log.put(halt(id));
    let news = log.tell(&mut known).unwrap();
    assert_eq!(news.len(), 4);
    assert_eq!(news[0], News::Released(id));
    assert_eq!(news[3], News::Halted { release: id, why: HaltReason::Failures });
    let release = known.release(&id).unwrap();
    assert_eq!((release.place, release.threshold, release.publisher.as_str()), (5, 2, "maker"));
    assert_eq!(release.halted_by, DeviceId::parse("maker").ok(), "who stopped it can be asked why");
    assert_eq!(release.rollouts[&"r2".parse().unwrap()], Rollout { now: Cohort::Ten, widest: Cohort::Ten });
    assert_eq!(known.content(&manifest(1).blake3), Some((1_000, manifest(1).sha256)));
    assert_eq!(known.content(&[0; 32]), None);
    // Over a restart.
    assert_eq!(Known::from_bytes(&known.to_bytes(), &log.anchors()), Ok(known));
}

#[test]
fn a_checkpoint_smaller_than_one_seen_or_of_another_log_is_refused() {
    let mut log = Log::ready();
    let old = log.answer(&Known::default().question(), 9);
    log.put(publish(&manifest(1), &[101, 102]));
    let mut known = log.known();
    let before = known.clone();
    assert_eq!(
        known.learn(&old, &log.anchors(), NOW),
        Err(LearnError::Older { shown: 5, seen: 7 }),
        "a replayed reply"
    );
    // Another history under the same name and key.
    let mut other = Log::ready();
    other.put(publish(&manifest(2), &[101, 102]));
    other.put(publish(&manifest(3), &[101, 102]));
    let told = other.answer(&known.question(), 9);
    assert_eq!(known.learn(&told, &log.anchors(), NOW), Err(LearnError::Forked { shown: 9, seen: 7 }));
    let stranger = Log { key: log_key(2), ..Log::ready() };
    let told = stranger.answer(&Known::default().question(), 9);
    assert!(matches!(known.learn(&told, &log.anchors(), NOW), Err(LearnError::Untrusted(_))));
    assert_eq!(known, before, "nothing was taken");
}

#[test]
fn whoever_knows_a_checkpoint_alone_learns_from_no_older_log_and_decides_nothing_before_the_ledger_speaks() {
    let mut log = Log::ready();
    log.put(publish(&manifest(1), &[101, 102]));
    let older = log.answer(&Known::default().question(), 9);
    log.put(halt(manifest(1).id()));
    let note = log.known().seen().unwrap().note.clone();
    let mut known = Known::since(note, &log.anchors()).unwrap();
    assert_eq!(known.question(), Request::Releases { since: 0, seen: 9 });
    assert_eq!(known.learn(&older, &log.anchors(), NOW), Err(LearnError::Older { shown: 7, seen: 9 }));
    let (limits, clock) = (Limits::usual(Timestamp(0)), Clock { now: NOW, state: ClockState::Free });
    assert!(matches!(may_decide(&known, &limits, clock), Err(Refused::StaleCheckpoint { .. })));
    assert_eq!(Known::from_bytes(&known.to_bytes(), &log.anchors()).as_ref(), Ok(&known), "over a restart, too");
    log.put(publish(&manifest(2), &[101, 102]));
    log.tell(&mut known).unwrap();
    assert!(known.release(&manifest(1).id()).unwrap().halted.is_some());
    assert_eq!(may_decide(&known, &limits, clock), Ok(()));
    let stranger = Log { key: log_key(2), ..Log::ready() };
    let note = stranger.known().seen().unwrap().note.clone();
    assert_eq!(Known::since(note, &log.anchors()), Ok(Known::default()), "another log's says nothing of this one");
    assert!(matches!(Known::since(b"noise".to_vec(), &log.anchors()), Err(LearnError::Untrusted(_))));
}

#[test]
fn a_release_without_its_proof_is_not_learnt() {
    let mut log = Log::ready();
    log.put(publish(&manifest(1), &[101, 102]));
    let told = log.answer(&Known::default().question(), 9);
    let learn = |told: &Releases| Known::default().learn(told, &log.anchors(), NOW);
    assert!(learn(&told).is_ok());
    // Another release in its place, with that one's proof: the mix a proof is there to find.
    let mut other = Log::ready();
    other.put(publish(&manifest(2), &[101, 102]));
    let mut mixed = told.clone();
    mixed.leaves[1].leaf = other.leaves[5].clone();
    assert_eq!(learn(&mixed), Err(LearnError::NotIncluded { place: 5 }));
    let mut elsewhere = told.clone();
    elsewhere.leaves[1].place = 6;
    assert_eq!(learn(&elsewhere), Err(LearnError::NotIncluded { place: 6 }));
    let mut bare = told.clone();
    bare.leaves[1].path.pop();
    assert_eq!(learn(&bare), Err(LearnError::NotIncluded { place: 5 }));
    let mut endless = told.clone();
    (endless.leaves, endless.next) = (Vec::new(), 2);
    assert_eq!(learn(&endless), Err(LearnError::OutOfPlace { since: 0 }), "a reply that leads nowhere");
    let mut beyond = told;
    beyond.next = 8;
    assert_eq!(learn(&beyond), Err(LearnError::OutOfPlace { since: 0 }));
}

#[test]
fn another_first_policy_than_the_settings_name_is_refused() {
    let mut log = Log::new();
    log.put(establish(&release_policy(1), &[101]));
    assert!(matches!(broken(&log), Rule::FirstPolicy { .. }), "the operator made one up, with a threshold of one");
    let mut log = Log::new();
    log.put(publish(&manifest(1), &[101, 102]));
    assert_eq!(broken(&log), Rule::NoPolicy);
    let mut log = Log::new();
    log.put(establish(&release_policy(2), &[101]));
    assert!(matches!(broken(&log), Rule::Policy(_)));
}

#[test]
fn a_ledger_that_lets_in_what_it_must_not_is_not_followed() {
    let release = |log: &mut Log, version: u32| log.put(publish(&manifest(version), &[101, 102]));
    let after = |made: &dyn Fn(&mut Log)| {
        let mut log = Log::ready();
        release(&mut log, 25);
        made(&mut log);
        broken(&log)
    };
    let id = manifest(25).id();
    let one = EndorseError::Threshold { have: 1, want: 2 };
    assert_eq!(after(&|log| log.put(publish(&manifest(26), &[101]))), Rule::Signatures(one));
    assert!(matches!(
        after(&|log| log.put(publish(&manifest(26), &[101, 102, 109]))),
        Rule::Signatures(EndorseError::UnknownKey(_))
    ));
    assert_eq!(after(&|log| release(log, 25)), Rule::Replayed);
    assert_eq!(
        after(&|log| log.put(publish(&manifest(25), &[102, 103]))),
        Rule::Replayed,
        "other signers, same release"
    );
    let lower = Rule::LowerCounter { have: SecurityCounter(1), seen: SecurityCounter(2) };
    assert_eq!(after(&|log| release(log, 19)), lower);
    let older = Rule::NotNewer { have: Version::new(1, 24, 0), seen: Version::new(1, 25, 0) };
    assert_eq!(after(&|log| release(log, 24)), older);
    let mixed = Manifest { blake3: manifest(25).blake3, ..manifest(26) };
    assert_eq!(after(&|log| log.put(publish(&mixed, &[101, 102]))), Rule::Mixed);
    assert_eq!(after(&|log| log.put(widen(manifest(26).id(), "r2", Cohort::One))), Rule::NoRelease);
    assert_eq!(after(&|log| log.put(widen(id, "r9", Cohort::One))), Rule::UnknownHardware("r9".parse().unwrap()));
    assert_eq!(after(&|log| log.put(widen(id, "r2", Cohort::All))), Rule::Step(100));
    let twice = |log: &mut Log| {
        log.put(halt(id));
        log.put(widen(id, "r2", Cohort::One));
    };
    assert_eq!(after(&twice), Rule::Halted);
}

#[test]
fn other_transactions_are_not_taken_for_firmware() {
    let mut log = Log::ready();
    log.put(Act::Rule { rules: [1; 32] });
    assert_eq!(log.tell(&mut Known::default()), Err(LearnError::OtherKind { place: 5 }));
    let mut log = Log::ready();
    log.firmware.push(4);
    assert!(matches!(log.tell(&mut Known::default()), Err(LearnError::NotFirmware { place: 4, .. })));
}

#[test]
fn what_was_kept_is_checked_against_the_settings_of_today() {
    let mut log = Log::ready();
    log.put(publish(&manifest(1), &[101, 102]));
    let bytes = log.known().to_bytes();
    let other_keys = Anchors { first_policy: PolicyId([9; 32]), ..log.anchors() };
    assert!(matches!(Known::from_bytes(&bytes, &other_keys), Err(KeptError::Anchors(LearnError::Broken { .. }))));
    let other_log = Anchors { ledger: Policy::of_logs([log_key(2).verifier().clone()]), ..log.anchors() };
    assert!(matches!(Known::from_bytes(&bytes, &other_log), Err(KeptError::Anchors(LearnError::Untrusted(_)))));
}

#[test]
fn what_is_known_is_kept_by_another_name_for_another_log_or_other_keys_and_by_the_same_for_other_witnesses() {
    let log = Log::ready();
    let name = log.anchors().name();
    let other_keys = Anchors { first_policy: PolicyId([9; 32]), ..log.anchors() };
    let other_log = Anchors { ledger: Policy::of_logs([log_key(2).verifier().clone()]), ..log.anchors() };
    assert!(name.len() == 32 && other_keys.name() != name && other_log.name() != name);
    let (bytes, witness) =
        (log.known().to_bytes(), SignerKey::new("w.example", KeyKind::Cosignature, &[5; 32]).unwrap());
    let witnessed = format!("log {}\nwitness w {}\nquorum w\n", log.key.verifier(), witness.verifier());
    let witnessed = Anchors { ledger: Policy::parse(witnessed.as_bytes()).unwrap(), ..log.anchors() };
    assert_eq!(witnessed.name(), name);
    let read = Known::from_bytes(&bytes, &witnessed).unwrap();
    assert_eq!(read.wanted(), log.known().wanted(), "no older log is believed than before the witness");
    let (limits, clock) = (Limits::usual(Timestamp(0)), Clock { now: NOW, state: ClockState::Free });
    assert!(matches!(may_decide(&read, &limits, clock), Err(Refused::StaleCheckpoint { .. })), "but it has to speak");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn one_changed_bit_of_what_was_kept_is_found_or_harmless(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut log = Log::ready();
        log.put(publish(&manifest(1), &[101, 102]));
        let known = log.known();
        let mut bytes = known.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Times, places and the signature of the transaction (whose key only the ledger knows) are the disk's to keep; no
        // changed bit makes another release.
        if let Ok(read) = Known::from_bytes(&bytes, &log.anchors()) {
            prop_assert_eq!(read.releases.keys().collect::<Vec<_>>(), known.releases.keys().collect::<Vec<_>>());
            prop_assert_eq!(read.policy(), known.policy());
        }
    }

    #[test]
    fn replies_cut_into_any_pieces_teach_the_same(versions in prop::collection::btree_set(1u32..60, 0..6), most in 1usize..5) {
        let mut log = Log::ready();
        versions.iter().for_each(|version| log.put(publish(&manifest(*version), &[102, 103])));
        let mut known = Known::default();
        while !known.is_up_to_date() {
            known.learn(&log.answer(&known.question(), most), &log.anchors(), NOW).unwrap();
        }
        prop_assert_eq!(known, log.known());
    }

    #[test]
    fn no_bytes_make_the_shelf_stumble(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Known::from_bytes(&noise, &Log::new().anchors()).is_err());
    }
}
