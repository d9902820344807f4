use ledger_block::release::Manifest;

use super::*;
use crate::known::tests::{DAY, Log, NOW, establish, halt, manifest, publish, release_policy, widen};

const EARLIEST: Timestamp = Timestamp(NOW.0 - 100 * DAY);
const LIMITS: Limits = Limits::usual(EARLIEST);
const CLOCK: Clock = Clock { now: NOW, state: ClockState::Synchronised };

fn strap() -> Thing {
    Thing {
        name: "strap-7".to_owned(),
        target: Target::Sensor,
        component: "strap".parse().unwrap(),
        hardware: "r2".parse().unwrap(),
        installed: Some(Version::new(1, 0, 0)),
        counter: SecurityCounter(0),
    }
}

/// Nothing is barred.
const fn none(_: &ReleaseId, _: Version) -> bool {
    false
}

/// A log with release 1.20.0, rolled out to all of r2.
fn log() -> Log {
    let mut log = Log::ready();
    release(&mut log, &manifest(20));
    log
}

fn release(log: &mut Log, manifest: &Manifest) -> ReleaseId {
    let id = manifest.id();
    log.put(publish(manifest, &[101, 102]));
    [Cohort::One, Cohort::Ten, Cohort::All].into_iter().for_each(|cohort| log.put(widen(id, "r2", cohort)));
    id
}

fn decide(log: &Log, thing: &Thing) -> Result<(), Refused> {
    accept(&log.known(), &manifest(20).id(), thing, &LIMITS, CLOCK).map(|_| ())
}

#[test]
fn a_release_that_is_proven_new_and_rolled_out_is_accepted() {
    assert_eq!(decide(&log(), &strap()), Ok(()));
    let known = log().known();
    let (id, chosen) = choose(&known, &strap(), &LIMITS, CLOCK, none).unwrap().unwrap();
    assert_eq!((id, chosen.signed.manifest()), (manifest(20).id(), &manifest(20)));
}

#[test]
fn nothing_is_decided_before_the_ledger_has_shown_itself() {
    let known = Known::default();
    assert_eq!(accept(&known, &manifest(20).id(), &strap(), &LIMITS, CLOCK).err(), Some(Refused::NoCheckpoint));
    let mut half = Known::default();
    half.learn(&log().answer(&half.question(), 2), &log().anchors(), NOW).unwrap();
    assert_eq!(
        choose(&half, &strap(), &LIMITS, CLOCK, none).err(),
        Some(Refused::Behind),
        "a halt may be among the rest"
    );
    let unknown = manifest(21).id();
    assert_eq!(accept(&log().known(), &unknown, &strap(), &LIMITS, CLOCK).err(), Some(Refused::NotInLedger(unknown)));
}

#[test]
fn a_clock_at_1970_decides_nothing_and_says_so() {
    let known = log().known();
    let id = manifest(20).id();
    for (now, state) in [
        (Timestamp(0), ClockState::Unset),
        (Timestamp(5_000_000), ClockState::Free),
        (NOW, ClockState::Unset),
        (Timestamp(EARLIEST.0 - 1), ClockState::Synchronised),
    ] {
        let refused = accept(&known, &id, &strap(), &LIMITS, Clock { now, state }).err();
        assert_eq!(refused, Some(Refused::ClockUnset { now }), "an expired release must not pass for a fresh one");
        assert!(
            refused
                .is_some_and(|refused| refused.is_general() && refused.to_string().contains("1970") == (now.0 < DAY))
        );
    }
    // What was learnt under such a clock is stale once it is set: the ledger is asked again.
    let mut early = Known::default();
    log().tell_at(&mut early, Timestamp(0)).unwrap();
    let stale = Refused::StaleCheckpoint { confirmed_at: Timestamp(0) };
    assert_eq!(accept(&early, &id, &strap(), &LIMITS, CLOCK).err(), Some(stale));
}

#[test]
fn a_clock_that_went_back_or_a_ledger_long_unheard_of_decides_nothing() {
    let known = log().known();
    let at = |micros: i64| {
        let clock = Clock { now: NOW.plus_micros(micros), state: ClockState::Free };
        accept(&known, &manifest(20).id(), &strap(), &LIMITS, clock).err()
    };
    assert_eq!(at(-BACK_MAX_US), None);
    assert!(matches!(at(-BACK_MAX_US - 1), Some(Refused::ClockBehind { .. })));
    assert_eq!(at(7 * DAY), None);
    assert_eq!(at(7 * DAY + 1), Some(Refused::StaleCheckpoint { confirmed_at: NOW }), "freeze");
}

#[test]
fn what_is_for_something_else_is_refused() {
    let is = |thing: Thing| decide(&log(), &thing).err();
    let target = is(Thing { target: Target::Box, ..strap() });
    assert_eq!(target, Some(Refused::OtherTarget { have: Target::Sensor, want: Target::Box }));
    assert!(matches!(
        is(Thing { component: "pill".parse().unwrap(), ..strap() }),
        Some(Refused::OtherComponent { .. })
    ));
    let r9: HardwareId = "r9".parse().unwrap();
    assert_eq!(is(Thing { hardware: r9.clone(), ..strap() }), Some(Refused::UnknownHardware(r9)));
}

#[test]
fn nothing_older_or_weaker_is_installed() {
    let is = |thing: Thing| decide(&log(), &thing).err();
    assert_eq!(is(Thing { counter: SecurityCounter(2), ..strap() }), None, "an equal counter");
    let lower = Refused::LowerCounter { have: SecurityCounter(2), accepted: SecurityCounter(3) };
    assert_eq!(is(Thing { counter: SecurityCounter(3), ..strap() }), Some(lower));
    let installed = Version::new(1, 20, 0);
    let same = Refused::NotNewer { have: installed, installed };
    assert_eq!(is(Thing { installed: Some(installed), ..strap() }), Some(same));
    let mut stepped = Log::ready();
    let from = Some(Version::new(1, 5, 0));
    let id = release(&mut stepped, &Manifest { from, ..manifest(20) });
    let over =
        |installed| accept(&stepped.known(), &id, &Thing { installed, ..strap() }, &LIMITS, CLOCK).map(|_| ()).err();
    assert_eq!(over(from), None);
    assert_eq!(over(Some(Version::new(1, 4, 9))), Some(Refused::TooOld { from: Version::new(1, 5, 0) }));
    assert_eq!(over(None), Some(Refused::TooOld { from: Version::new(1, 5, 0) }), "unknown is not new enough");
}

#[test]
fn an_expired_or_halted_release_is_refused() {
    let mut late = Log::ready();
    let id = release(&mut late, &Manifest { expires: NOW, ..manifest(20) });
    assert_eq!(accept(&late.known(), &id, &strap(), &LIMITS, CLOCK).err(), Some(Refused::Expired(NOW)));
    let mut halted = log();
    halted.put(halt(manifest(20).id()));
    assert_eq!(decide(&halted, &strap()), Err(Refused::Halted(HaltReason::Failures)));
    assert_eq!(choose(&halted.known(), &strap(), &LIMITS, CLOCK, none), Ok(None));
}

#[test]
fn a_threshold_of_one_counts_only_where_the_settings_allow_it() {
    let mut single = Log::new();
    single.put(establish(&release_policy(1), &[103]));
    single.put(publish(&manifest(20), &[102]));
    for cohort in [Cohort::One, Cohort::Ten, Cohort::All] {
        single.put(widen(manifest(20).id(), "r2", cohort));
    }
    let anchors = crate::known::Anchors { first_policy: release_policy(1).id(), ..single.anchors() };
    let mut known = Known::default();
    known.learn(&single.answer(&known.question(), 16), &anchors, NOW).unwrap();
    let with = |threshold_min| {
        let limits = Limits { threshold_min, ..LIMITS };
        accept(&known, &manifest(20).id(), &strap(), &limits, CLOCK).map(|_| ()).err()
    };
    assert_eq!(with(2), Some(Refused::ThresholdTooLow { have: 1, want: 2 }));
    assert_eq!(with(1), None);
}

#[test]
fn a_rollout_reaches_each_in_its_turn() {
    let mut log = Log::ready();
    let id = manifest(20).id();
    log.put(publish(&manifest(20), &[101, 102]));
    assert_eq!(decide(&log, &strap()), Err(Refused::NotRolledOut("r2".parse().unwrap())));
    let names: Vec<String> = (0..500).map(|n| format!("strap-{n}")).collect();
    let mut reached = Vec::new();
    for cohort in [Cohort::One, Cohort::Ten, Cohort::All] {
        log.put(widen(id, "r2", cohort));
        let known = log.known();
        let turn = |name: &String| accept(&known, &id, &Thing { name: name.clone(), ..strap() }, &LIMITS, CLOCK);
        assert!(names.iter().filter_map(|name| turn(name).err()).all(|r| matches!(r, Refused::OutsideCohort { .. })));
        reached.push(names.iter().filter(|name| turn(name).is_ok()).count());
    }
    assert!(reached[0] < 20 && (25..90).contains(&reached[1]) && reached[2] == 500, "{reached:?}");
    let other = decide(&log, &Thing { hardware: "r3".parse().unwrap(), ..strap() });
    assert_eq!(other, Err(Refused::NotRolledOut("r3".parse().unwrap())), "each hardware for itself");
    log.put(widen(id, "r2", Cohort::Paused));
    assert_eq!(decide(&log, &strap()), Err(Refused::Paused));
}

#[test]
fn the_newest_release_that_is_acceptable_is_chosen() {
    let mut log = log();
    let newer = release(&mut log, &manifest(21));
    let known = log.known();
    assert_eq!(choose(&known, &strap(), &LIMITS, CLOCK, none).unwrap().map(|(id, _)| id), Some(newer));
    log.put(halt(newer));
    let known = log.known();
    let chosen = choose(&known, &strap(), &LIMITS, CLOCK, none).unwrap().map(|(id, _)| id);
    assert_eq!(chosen, Some(manifest(20).id()), "the one before, while the newest is halted");
}

#[test]
fn the_next_one_down_is_chosen_where_the_newest_is_barred() {
    let mut log = log();
    let newer = release(&mut log, &manifest(21));
    let known = log.known();
    let but = |barred: &[ReleaseId]| {
        let barred = |id: &ReleaseId, _| barred.contains(id);
        choose(&known, &strap(), &LIMITS, CLOCK, barred).unwrap().map(|(id, _)| id)
    };
    assert_eq!(but(&[newer]), Some(manifest(20).id()));
    assert_eq!(but(&[newer, manifest(20).id()]), None);
}

#[test]
fn why_the_newest_release_is_not_for_a_thing_is_told_unless_it_is_or_runs() {
    let mut log = log();
    let why = |log: &Log, thing: &Thing| why_not(&log.known(), thing, &LIMITS, CLOCK);
    assert_eq!(why(&log, &strap()), None, "it is");
    let weak = Thing { counter: SecurityCounter(9), ..strap() };
    let have = manifest(20).counter;
    let lower = Refused::LowerCounter { have, accepted: SecurityCounter(9) };
    assert_eq!(why(&log, &weak), Some((Version::new(1, 20, 0), lower)));
    let newer = Some(Version::new(1, 20, 0));
    assert_eq!(why(&log, &Thing { installed: newer, ..weak }), None, "it runs");
    log.put(publish(&manifest(21), &[101, 102]));
    let r2: HardwareId = "r2".parse().unwrap();
    let told = Some((Version::new(1, 21, 0), Refused::NotRolledOut(r2)));
    assert_eq!(why(&log, &strap()), told, "of the newest alone");
    log.put(halt(manifest(21).id()));
    assert_eq!(why(&log, &strap()), None, "one that is halted is none");
    assert_eq!(why(&log, &Thing { hardware: "r9".parse().unwrap(), ..strap() }), None, "none was made for it");
}
