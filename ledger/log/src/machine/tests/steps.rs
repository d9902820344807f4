//! Steps of rollouts: bounded from version 3 of a log on, counted alike by every program that opens it.

use std::path::Path;

use ledger_block::checkpoint::Checkpoint;
use ledger_block::ingest::{Cohort, HaltReason};
use ledger_block::merkle;

use super::firmware::{establish, first_policy, manifest, publish, widen, world};
use super::*;
use crate::index::{End, Signed};
use crate::log::{Log, Storage};
use crate::state::FactKind;
use crate::tests::{assert_sound, log_key, reopen};
use crate::tree::Growth;

#[test]
fn a_rollout_that_goes_back_and_forth_ends_paused() {
    let mut world = world();
    world.operator(Act::Upgrade { version: 3 }).unwrap();
    let release = manifest(0, 1);
    world.maker(publish(&release, &[101, 102])).unwrap();
    for _ in 0..16 {
        assert_eq!(world.maker(widen(release.id(), "r2", Cohort::One)), Ok(()));
        assert_eq!(world.maker(widen(release.id(), "r2", Cohort::Paused)), Ok(()));
    }
    assert_eq!(world.maker(widen(release.id(), "r2", Cohort::One)), Err(Code::NotAllowed));
    assert_eq!(world.maker(widen(release.id(), "r3", Cohort::One)), Ok(()), "other hardware");
    assert_eq!(world.maker(Act::Halt { release: release.id(), why: HaltReason::Aborted }), Ok(()));
}

#[test]
fn steps_of_before_version_3_are_judged_by_the_rules_of_their_time() {
    let mut world = world();
    let release = manifest(0, 1);
    world.maker(publish(&release, &[101, 102])).unwrap();
    let by_turns = |world: &mut World, times: usize| -> Vec<Result<(), Code>> {
        let cohorts = [Cohort::One, Cohort::Paused].into_iter().cycle().take(times);
        cohorts.map(|cohort| world.maker(widen(release.id(), "r2", cohort))).collect()
    };
    assert_eq!(by_turns(&mut world, 40), [Ok(()); 40]);
    let values = |world: &World| -> Vec<Vec<u8>> {
        let steps = world.state.facts.iter().filter(|((kind, _), _)| *kind == FactKind::Step);
        steps.map(|(_, fact)| fact.value.clone()).collect()
    };
    assert_eq!(values(&world), [vec![0, 1]], "as it was written then");
    world.operator(Act::Upgrade { version: 3 }).unwrap();
    assert_eq!(by_turns(&mut world, 32), [Ok(()); 32], "counted from here");
    assert_eq!(values(&world), [vec![0, 1, 32]]);
    assert_eq!(by_turns(&mut world, 1), [Err(Code::NotAllowed)]);
}

/// A log on files as a program of version 2 founded it.
fn found_version_2(dir: &Path) {
    let storage = Storage::files(dir).unwrap();
    let leaf = by_operator(Act::Found { key: operator().id().0, version: 2 });
    let hash = merkle::leaf_hash(&leaf);
    let written = storage.index.write(&mut |draft| {
        draft.found(ORIGIN, 2)?;
        let Verdict::Admit(changes) = admit(draft, ORIGIN, None, &Leaf::read(&leaf).unwrap())? else {
            panic!("the first leaf was refused");
        };
        draft.place(0, &hash, changes)?;
        let mut growth = Growth::new(storage.objects.as_ref(), 0);
        growth.push(leaf.clone(), hash)?;
        storage.objects.put_all(&growth.objects()?)?;
        let root = growth.root()?;
        let note = Checkpoint::new(ORIGIN, 1, root).sign(&log_key(), 0).unwrap();
        draft.signed(&Signed { size: 1, root, note: note.to_string().into_bytes() })?;
        Ok(End::Commit)
    });
    written.unwrap();
}

/// Enters what these sign; each is another leaf.
fn enter(log: &Log, clock: &mut i64, signer: &str, key: &GatewayKey, act: Act) {
    *clock += 1;
    let leaf = Transaction { signer: id(signer), time: Timestamp(*clock), act }.sign(ORIGIN, key).unwrap();
    log.enter_now(leaf, NOW).unwrap().unwrap();
}

/// Makes the index one that a program of before migration 3 left, with this in place of what is known of steps.
fn as_an_older_program_left_it(dir: &Path, step: &[u8]) {
    let connection = rusqlite::Connection::open(dir.join("index.sqlite")).unwrap();
    assert_eq!(connection.execute("UPDATE fact SET value = ?1 WHERE kind = 17", [step]).unwrap(), 1);
    connection.execute_batch("PRAGMA user_version = 2").unwrap();
}

#[test]
fn logs_of_older_programs_are_sound_before_and_after_their_upgrade() {
    // What they had written after three steps in version 2, and after one more in version 3: without a count, with one over all
    // versions, or since they were installed.
    let left: [(&[u8], &[u8]); 3] = [(&[1, 1], &[0, 1, 1]), (&[1, 1, 3], &[0, 1, 4]), (&[1, 1, 1], &[0, 1, 2])];
    for (second, third) in left {
        let dir = tempfile::tempdir().unwrap();
        found_version_2(dir.path());
        let (log, mut clock, release) = (reopen(dir.path()), 0, manifest(0, 1));
        let step = |cohort| widen(release.id(), "r2", cohort);
        log.enter_now(enrol("maker", &publisher(), Role::Publisher), NOW).unwrap().unwrap();
        enter(&log, &mut clock, OPERATOR, &operator(), establish(&first_policy(), &[101, 102]));
        enter(&log, &mut clock, "maker", &publisher(), publish(&release, &[101, 102]));
        for cohort in [Cohort::One, Cohort::Paused, Cohort::One] {
            enter(&log, &mut clock, "maker", &publisher(), step(cohort));
        }
        drop(log);
        as_an_older_program_left_it(dir.path(), second);
        assert_sound(dir.path());
        let log = reopen(dir.path());
        enter(&log, &mut clock, OPERATOR, &operator(), Act::Upgrade { version: 3 });
        enter(&log, &mut clock, "maker", &publisher(), step(Cohort::Paused));
        drop(log);
        assert_sound(dir.path());
        as_an_older_program_left_it(dir.path(), third);
        assert_sound(dir.path());
        let log = reopen(dir.path());
        enter(&log, &mut clock, "maker", &publisher(), step(Cohort::One));
        drop(log);
        assert_sound(dir.path());
    }
}
