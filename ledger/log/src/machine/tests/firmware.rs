use ledger_block::cbor::Deterministic as _;
use ledger_block::ingest::{Cohort, HaltReason};
use ledger_block::release::{
    DEVICES_MAX, Manifest, PolicyId, ReleaseId, ReleaseKey, ReleasePolicy, SecurityCounter, SignedManifest,
    SignedPolicy, Sum, Tally, Target, Version,
};

use super::super::tally;
use super::*;

const DAY: i64 = 86_400_000_000;

fn release_key(seed: u8) -> ReleaseKey {
    ReleaseKey::new(&[seed; 32])
}

fn policy(number: u32, previous: PolicyId, seeds: &[u8]) -> ReleasePolicy {
    let mut keys: Vec<[u8; 32]> = seeds.iter().map(|seed| release_key(*seed).public()).collect();
    keys.sort_unstable();
    ReleasePolicy { number, previous, threshold: 2, keys, single: false }
}

pub(super) fn first_policy() -> ReleasePolicy {
    policy(1, PolicyId([0; 32]), &[101, 102, 103])
}

pub(super) fn establish(policy: &ReleasePolicy, seeds: &[u8]) -> Act {
    let mut signed = SignedPolicy::draft(policy.clone()).unwrap();
    seeds.iter().for_each(|seed| signed.sign(&release_key(*seed)).unwrap());
    Act::ReleasePolicy { signed: signed.to_bytes() }
}

pub(super) fn manifest(version: u32, counter: u32) -> Manifest {
    Manifest {
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: vec!["r2".parse().unwrap(), "r3".parse().unwrap()],
        version: Version::new(1, version, 0),
        counter: SecurityCounter(counter),
        size: 1_000,
        sha256: [version as u8; 32],
        blake3: [version as u8 + 100; 32],
        from: None,
        expires: Timestamp(DAY),
    }
}

pub(super) fn publish(manifest: &Manifest, seeds: &[u8]) -> Act {
    let mut signed = SignedManifest::draft(manifest.clone()).unwrap();
    seeds.iter().for_each(|seed| signed.sign(&release_key(*seed)).unwrap());
    Act::Release { signed: signed.to_bytes() }
}

pub(super) fn widen(release: ReleaseId, hardware: &str, cohort: Cohort) -> Act {
    Act::Rollout { release, hardware: hardware.parse().unwrap(), cohort }
}

/// A log of version 2, with a box, two publishers and a release policy of two in three.
pub(super) fn world() -> World {
    let mut world = World { state: Contents::default(), clock: 0 };
    world.put(&by_operator(Act::Found { key: operator().id().0, version: 2 })).unwrap();
    world.put(&enrol("box-1", &gateway(), Role::Gateway)).unwrap();
    world.put(&enrol("maker", &publisher(), Role::Publisher)).unwrap();
    world.put(&enrol("rival", &rival(), Role::Publisher)).unwrap();
    world.operator(establish(&first_policy(), &[101, 102])).unwrap();
    world
}

fn rival() -> GatewayKey {
    GatewayKey::new(&[11; 32])
}

impl World {
    pub(super) fn operator(&mut self, act: Act) -> Result<(), Code> {
        self.act(OPERATOR, &operator(), act)
    }
    pub(super) fn maker(&mut self, act: Act) -> Result<(), Code> {
        self.act("maker", &publisher(), act)
    }
}

#[test]
fn a_release_enters_with_enough_signatures_and_once() {
    let mut world = world();
    let release = manifest(1, 0);
    assert_eq!(world.maker(publish(&release, &[101])), Err(Code::NotAllowed), "one of two");
    assert_eq!(world.maker(publish(&release, &[101, 109])), Err(Code::NotAllowed), "a stranger's key");
    assert_eq!(world.act("box-1", &gateway(), publish(&release, &[101, 102])), Err(Code::NotAllowed));
    assert_eq!(world.operator(publish(&release, &[101, 102])), Err(Code::NotAllowed));
    assert_eq!(world.maker(publish(&release, &[101, 102])), Ok(()));
    // Replay: the same manifest, with the same signatures, with others, and by somebody else.
    assert_eq!(world.maker(publish(&release, &[101, 102])), Err(Code::NotAllowed));
    assert_eq!(world.maker(publish(&release, &[102, 103])), Err(Code::NotAllowed));
    assert_eq!(world.act("rival", &rival(), publish(&release, &[101, 103])), Err(Code::NotAllowed));
    assert_eq!(world.maker(Act::Release { signed: vec![1, 2, 3] }), Err(Code::Malformed));
}

#[test]
fn counters_and_versions_only_rise_on_each_hardware() {
    let mut world = world();
    assert_eq!(world.maker(publish(&manifest(2, 5), &[101, 102])), Ok(()));
    assert_eq!(world.maker(publish(&manifest(3, 4), &[101, 102])), Err(Code::NotAllowed), "a mended weakness");
    assert_eq!(world.maker(publish(&manifest(1, 5), &[101, 102])), Err(Code::NotAllowed), "an older version");
    let same_version = Manifest { sha256: [9; 32], blake3: [9; 32], ..manifest(2, 5) };
    assert_eq!(world.maker(publish(&same_version, &[101, 102])), Err(Code::NotAllowed), "two contents of one version");
    // One hardware that has seen more is enough to refuse it for all.
    let r3 = Manifest { hardware: vec!["r3".parse().unwrap()], ..manifest(4, 7) };
    assert_eq!(world.maker(publish(&r3, &[101, 102])), Ok(()));
    assert_eq!(world.maker(publish(&manifest(5, 6), &[101, 102])), Err(Code::NotAllowed));
    assert_eq!(world.maker(publish(&manifest(5, 7), &[101, 102])), Ok(()));
    // Another component, another kind of target: lines of their own.
    let other = Manifest { component: "bootloader".parse().unwrap(), ..manifest(1, 0) };
    assert_eq!(world.maker(publish(&other, &[101, 102])), Ok(()));
    assert_eq!(world.maker(publish(&Manifest { target: Target::Box, ..manifest(1, 0) }, &[101, 102])), Ok(()));
}

#[test]
fn a_mix_of_two_releases_is_refused() {
    let mut world = world();
    assert_eq!(world.maker(publish(&manifest(1, 0), &[101, 102])), Ok(()));
    let blake3 = manifest(1, 0).blake3;
    let mixed = Manifest { blake3, ..manifest(2, 0) };
    assert_eq!(world.maker(publish(&mixed, &[101, 102])), Err(Code::NotAllowed), "BLAKE3 of one, SHA-256 of the other");
    let longer = Manifest { blake3, sha256: manifest(1, 0).sha256, size: 1_001, ..manifest(2, 0) };
    assert_eq!(world.maker(publish(&longer, &[101, 102])), Err(Code::NotAllowed));
    let again = Manifest { blake3, sha256: manifest(1, 0).sha256, ..manifest(2, 0) };
    assert_eq!(world.maker(publish(&again, &[101, 102])), Ok(()), "the same content under a new number is no mix");
}

#[test]
fn an_expired_release_neither_enters_nor_widens() {
    let mut world = world();
    assert_eq!(world.maker(publish(&Manifest { expires: Timestamp(3), ..manifest(1, 0) }, &[101, 102])), Ok(()));
    let id = Manifest { expires: Timestamp(3), ..manifest(1, 0) }.id();
    world.clock = 3;
    assert_eq!(world.maker(widen(id, "r2", Cohort::One)), Err(Code::NotAllowed));
    assert_eq!(
        world.maker(publish(&Manifest { expires: Timestamp(4), ..manifest(2, 0) }, &[101, 102])),
        Err(Code::NotAllowed)
    );
}

#[test]
fn a_rollout_widens_step_by_step_pauses_and_goes_on() {
    let mut world = world();
    world.maker(publish(&manifest(1, 0), &[101, 102])).unwrap();
    let id = manifest(1, 0).id();
    let refused = Err(Code::NotAllowed);
    assert_eq!(world.maker(widen(ReleaseId([7; 32]), "r2", Cohort::One)), refused, "no such release");
    assert_eq!(world.maker(widen(id, "r9", Cohort::One)), refused, "unknown hardware");
    assert_eq!(world.act("box-1", &gateway(), widen(id, "r2", Cohort::One)), refused, "a gateway rolls nothing out");
    assert_eq!(world.act("rival", &rival(), widen(id, "r2", Cohort::One)), refused, "nor another publisher");
    for early in [Cohort::Paused, Cohort::Ten, Cohort::All] {
        assert_eq!(world.maker(widen(id, "r2", early)), refused, "{early:?} first");
    }
    assert_eq!(world.maker(widen(id, "r2", Cohort::One)), Ok(()));
    assert_eq!(world.maker(widen(id, "r2", Cohort::One)), refused, "already");
    assert_eq!(world.maker(widen(id, "r2", Cohort::All)), refused, "over a step");
    assert_eq!(world.maker(widen(id, "r3", Cohort::Ten)), refused, "each hardware for itself");
    assert_eq!(world.maker(widen(id, "r2", Cohort::Ten)), Ok(()));
    assert_eq!(world.maker(widen(id, "r2", Cohort::Paused)), Ok(()));
    assert_eq!(world.maker(widen(id, "r2", Cohort::Paused)), refused);
    assert_eq!(world.maker(widen(id, "r2", Cohort::All)), Ok(()), "after ten was reached");
    assert_eq!(world.operator(widen(id, "r3", Cohort::One)), Ok(()), "the operator, when the publisher is gone");
}

#[test]
fn a_halt_is_final() {
    let mut world = world();
    world.maker(publish(&manifest(1, 0), &[101, 102])).unwrap();
    world.maker(publish(&manifest(2, 0), &[101, 102])).unwrap();
    world.maker(publish(&manifest(3, 0), &[101, 102])).unwrap();
    let halt = |version| Act::Halt { release: manifest(version, 0).id(), why: HaltReason::Failures };
    assert_eq!(world.act("rival", &rival(), halt(1)), Err(Code::NotAllowed));
    assert_eq!(world.act("box-1", &gateway(), halt(1)), Ok(()), "a gateway that saw it fail");
    assert_eq!(world.maker(halt(2)), Ok(()));
    assert_eq!(world.operator(halt(3)), Ok(()));
    for version in 1..=3 {
        assert_eq!(world.maker(widen(manifest(version, 0).id(), "r2", Cohort::One)), Err(Code::NotAllowed));
        assert_eq!(world.maker(halt(version)), Err(Code::NotAllowed), "twice");
    }
    assert_eq!(world.maker(publish(&manifest(3, 0), &[101, 102])), Err(Code::NotAllowed), "it does not come back");
}

#[test]
fn release_keys_change_only_with_their_own_consent() {
    let mut world = world();
    let next = policy(2, first_policy().id(), &[103, 104, 105]);
    assert_eq!(world.maker(establish(&next, &[101, 102, 104, 105])), Err(Code::NotAllowed), "not the operator");
    assert_eq!(world.operator(establish(&next, &[104, 105])), Err(Code::NotAllowed), "the operator alone");
    assert_eq!(world.operator(establish(&first_policy(), &[101, 102])), Err(Code::NotAllowed), "the first again");
    assert_eq!(world.operator(establish(&next, &[101, 102, 104, 105])), Ok(()));
    assert_eq!(world.maker(publish(&manifest(1, 0), &[101, 102])), Err(Code::NotAllowed), "replaced keys");
    assert_eq!(world.maker(publish(&manifest(1, 0), &[104, 105])), Ok(()));
    // A key that was replaced does not come back, nor does a release key become anything else, nor the reverse.
    let back = policy(3, next.id(), &[101, 104, 105]);
    assert_eq!(world.operator(establish(&back, &[101, 104, 105])), Err(Code::NotAllowed));
    let own = policy(3, next.id(), &[10, 104, 105]);
    assert_eq!(world.operator(establish(&own, &[10, 104, 105])), Err(Code::NotAllowed), "the publisher's own key");
    assert_eq!(world.put(&enrol("box-2", &GatewayKey::new(&[104; 32]), Role::Gateway)), Err(Code::NotAllowed));
}

#[test]
fn a_threshold_of_one_enters_only_if_it_was_chosen() {
    let mut bare = World { state: Contents::default(), clock: 0 };
    bare.put(&by_operator(Act::Found { key: operator().id().0, version: 2 })).unwrap();
    bare.put(&enrol("maker", &publisher(), Role::Publisher)).unwrap();
    assert_eq!(bare.maker(publish(&manifest(1, 0), &[101, 102])), Err(Code::NotAllowed), "no policy yet");
    let one = ReleasePolicy { threshold: 1, single: true, ..first_policy() };
    let mut signed = SignedPolicy::draft(one.clone()).unwrap();
    signed.sign(&release_key(101)).unwrap();
    // The byte of `single` is the last of the policy; a drafted policy cannot lack it, a forged one can.
    let at = signed.to_bytes().windows(one.to_cbor().len()).position(|w| w == one.to_cbor()).unwrap();
    let mut forged = signed.to_bytes();
    forged[at + one.to_cbor().len() - 1] = 0;
    assert_eq!(bare.operator(Act::ReleasePolicy { signed: forged }), Err(Code::Malformed));
    assert_eq!(bare.operator(Act::ReleasePolicy { signed: signed.to_bytes() }), Ok(()));
    assert_eq!(bare.maker(publish(&manifest(1, 0), &[102])), Ok(()));
}

#[test]
fn a_log_of_version_1_takes_no_firmware_before_its_operator_upgrades_it() {
    let mut old = World::new();
    assert_eq!(old.operator(establish(&first_policy(), &[101, 102])), Err(Code::Version));
    assert_eq!(old.maker(publish(&manifest(1, 0), &[101, 102])), Err(Code::Version));
    assert_eq!(old.maker(Act::OldRelease { manifest: [8; 32] }), Ok(()));
    assert_eq!(old.maker(Act::Upgrade { version: 2 }), Err(Code::NotAllowed));
    assert_eq!(old.operator(Act::Upgrade { version: 2 }), Ok(()));
    assert_eq!(old.operator(Act::Upgrade { version: 2 }), Err(Code::NotAllowed));
    assert_eq!(old.maker(Act::OldRelease { manifest: [9; 32] }), Err(Code::Version));
    assert_eq!(old.operator(establish(&first_policy(), &[101, 102])), Ok(()));
    assert_eq!(old.maker(publish(&manifest(1, 0), &[101, 102])), Ok(()));
    assert_eq!(old.operator(Act::Found { key: operator().id().0, version: 2 }), Err(Code::NotAllowed));
}

/// A log of version 3 with a release, out to a tenth.
fn counting() -> (World, ReleaseId) {
    let mut world = world();
    assert_eq!(world.operator(Act::Upgrade { version: 3 }), Ok(()));
    world.maker(publish(&manifest(1, 0), &[101, 102])).unwrap();
    let id = manifest(1, 0).id();
    [Cohort::One, Cohort::Ten].into_iter().for_each(|cohort| world.maker(widen(id, "r2", cohort)).unwrap());
    (world, id)
}

/// A key of its own for each of many gateways.
fn clinic(number: u8) -> GatewayKey {
    GatewayKey::new(&[number + 200; 32])
}

impl World {
    fn counts(&mut self, number: u8, release: ReleaseId, confirmed: u32, failed: u32) -> Result<(), Code> {
        let act = Act::Tally { release, tally: Tally { confirmed, failed } };
        self.act(&format!("clinic-{number}"), &clinic(number), act)
    }

    fn sum(&self, release: &ReleaseId) -> Sum {
        tally::sum(&self.state, release).unwrap()
    }
}

#[test]
fn failures_too_few_in_each_clinic_stop_a_rollout_together() {
    let (mut world, id) = counting();
    for number in 0..10 {
        world.put(&enrol(&format!("clinic-{number}"), &clinic(number), Role::Gateway)).unwrap();
        // Four are too few to judge by, and one failure after a success is none of the first two.
        assert_eq!(world.counts(number, id, 3, 1), Ok(()));
    }
    assert_eq!(world.sum(&id), Sum { tally: Tally { confirmed: 30, failed: 10 }, gateways: 10, failing: 10 });
    assert_eq!(world.maker(widen(id, "r2", Cohort::All)), Err(Code::NotAllowed));
    assert_eq!(world.maker(widen(id, "r3", Cohort::One)), Err(Code::NotAllowed), "other hardware, the same release");
    assert_eq!(world.operator(widen(id, "r2", Cohort::All)), Err(Code::NotAllowed), "nor the operator");
    assert_eq!(world.maker(widen(id, "r2", Cohort::One)), Ok(()), "narrower it may become");
    assert_eq!(world.maker(widen(id, "r2", Cohort::Paused)), Ok(()));
    assert_eq!(world.maker(widen(id, "r2", Cohort::One)), Err(Code::NotAllowed), "a pause mends nothing");
    // What failed and came right in the end counts once, as what it is now.
    (0..10).for_each(|number| assert_eq!(world.counts(number, id, 4, 0), Ok(())));
    assert_eq!(world.sum(&id), Sum { tally: Tally { confirmed: 40, failed: 0 }, gateways: 10, failing: 0 });
    assert_eq!(world.maker(widen(id, "r2", Cohort::All)), Ok(()));
}

#[test]
fn a_tally_is_a_gateways_own_says_something_new_and_ends_with_the_release() {
    let (mut world, id) = counting();
    let act = |release| Act::Tally { release, tally: Tally { confirmed: 1, failed: 0 } };
    assert_eq!(world.maker(act(id)), Err(Code::NotAllowed), "a publisher has no devices");
    assert_eq!(world.operator(act(id)), Err(Code::NotAllowed));
    assert_eq!(world.act("box-1", &publisher(), act(id)), Err(Code::BadSignature), "somebody else's name");
    assert_eq!(world.act("box-1", &gateway(), act(ReleaseId([7; 32]))), Err(Code::NotAllowed), "no such release");
    assert_eq!(world.act("box-1", &gateway(), act(id)), Ok(()));
    assert_eq!(world.act("box-1", &gateway(), act(id)), Err(Code::NotAllowed), "nothing new");
    let firmware = world.state.firmware.len();
    let more = Act::Tally { release: id, tally: Tally { confirmed: DEVICES_MAX, failed: 0 } };
    assert_eq!(world.act("box-1", &gateway(), more), Ok(()));
    assert_eq!(world.state.firmware.len(), firmware, "no leaf that gateways ask for: older ones could not read it");
    assert_eq!(world.sum(&id), Sum { tally: Tally { confirmed: DEVICES_MAX, failed: 0 }, gateways: 1, failing: 0 });
    world.maker(Act::Halt { release: id, why: HaltReason::Aborted }).unwrap();
    assert_eq!(world.act("box-1", &gateway(), act(id)), Err(Code::NotAllowed), "there is nothing left to decide");
}

#[test]
fn a_gateway_counts_a_release_a_thousand_times_and_no_more() {
    let (mut world, id) = counting();
    let act = |confirmed| Act::Tally { release: id, tally: Tally { confirmed, failed: 0 } };
    for count in 0..1_000 {
        assert_eq!(world.act("box-1", &gateway(), act(1 + count % 2)), Ok(()), "{count}");
    }
    assert_eq!(world.act("box-1", &gateway(), act(3)), Err(Code::NotAllowed));
}

#[test]
fn tallies_enter_once_the_operator_has_upgraded_the_log() {
    let mut world = world();
    world.maker(publish(&manifest(1, 0), &[101, 102])).unwrap();
    let act = Act::Tally { release: manifest(1, 0).id(), tally: Tally { confirmed: 0, failed: 1 } };
    assert_eq!(world.act("box-1", &gateway(), act.clone()), Err(Code::Version));
    assert_eq!(world.operator(Act::Upgrade { version: 2 }), Err(Code::NotAllowed), "it runs that");
    assert_eq!(world.operator(Act::Upgrade { version: 3 }), Ok(()));
    assert_eq!(world.act("box-1", &gateway(), act), Ok(()));
    // Straight from the oldest, too; and a log that begins today needs no upgrade.
    let mut old = World::new();
    assert_eq!(old.operator(Act::Upgrade { version: 3 }), Ok(()));
    assert_eq!(old.operator(Act::Upgrade { version: 2 }), Err(Code::NotAllowed), "not back");
    let mut new = World { state: Contents::default(), clock: 0 };
    new.put(&by_operator(Act::Found { key: operator().id().0, version: 3 })).unwrap();
    assert_eq!(new.operator(Act::Upgrade { version: 3 }), Err(Code::NotAllowed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_published_no_hardware_ever_goes_back(
        tries in prop::collection::vec((0u32..6, 0u32..4, prop::sample::subsequence(vec!["r1", "r2", "r3"], 1..=3)), 1..12),
    ) {
        let mut world = world();
        let mut newest: std::collections::BTreeMap<&str, (u32, u32)> = Default::default();
        for (number, (version, counter, hardware)) in tries.into_iter().enumerate() {
            let content = [number as u8 + 1; 32];
            let made = Manifest {
                hardware: hardware.iter().map(|id| id.parse().unwrap()).collect(),
                sha256: content,
                blake3: content,
                ..manifest(version, counter)
            };
            let rises = hardware.iter().all(|id| newest.get(id).is_none_or(|(v, c)| version > *v && counter >= *c));
            prop_assert_eq!(world.maker(publish(&made, &[101, 103])).is_ok(), rises);
            if rises {
                hardware.iter().for_each(|id| { newest.insert(id, (version, counter)); });
            }
        }
    }

    #[test]
    fn a_rollout_never_jumps_whoever_asks_for_what(steps in prop::collection::vec(0usize..4, 1..20), halt in 0usize..30) {
        let mut world = world();
        world.maker(publish(&manifest(1, 0), &[101, 102])).unwrap();
        let id = manifest(1, 0).id();
        let (mut now, mut widest, mut halted) = (None, 0usize, false);
        for (at, step) in steps.into_iter().enumerate() {
            if at == halt {
                world.maker(Act::Halt { release: id, why: HaltReason::Aborted }).unwrap();
                halted = true;
            }
            let taken = world.maker(widen(id, "r2", Cohort::STEPS[step])).is_ok();
            let may = !halted && now != Some(step) && step <= widest + 1 && !(step == 0 && now.is_none());
            prop_assert_eq!(taken, may);
            if taken {
                (now, widest) = (Some(step), widest.max(step));
            }
        }
    }
}
