//! The rules in a real worker process: hostile rules, a worker that is killed, reloads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pitchside_model::*;
use pitchside_rules::{Engine, RuleSet, RulesError, RulesWorker};
use pitchside_script::Program;

use common::{program, rate};

fn write(folder: &Path, name: &str, script: &str) {
    common::write(folder, name, "[state]\nn = 0\ntext = \"\"\n", script);
}

/// Up and down, so that `value > 180.0` is raised and cleared every twenty readings.
fn wave(from: u64, to: u64) -> Vec<Entry> {
    (from..to).map(|i| rate(i, if i % 20 < 10 { 150 } else { 190 })).collect()
}

/// What stops it, and the script. Each is asked about every reading.
const HOSTILE: &[(&str, &str)] = &[
    ("too many operations", "loop {}"),
    ("too many operations", "while value > 0.0 { n += 1; } true"),
    ("too many operations", "let m = #{}; for i in 0..10000000 { m[`k${i}`] = i; } true"),
    (
        "too much memory",
        "let m = #{}; let s = \"x\"; for i in 0..11 { s += s; } for i in 0..10000000 { m[`${i}`] = s + s; } true",
    ),
    ("a value grew too large", "let s = \"x\"; loop { s += s; } true"),
    ("a value grew too large", "let a = [0]; loop { a += a; } true"),
    ("a value grew too large", "let a = []; a.pad(100000000, 0); true"),
    ("a value grew too large", "let b = blob(4000); loop { b += b; } true"),
    ("calls nested too deep", "fn f(x) { f(x + 1) } f(0)"),
    ("thrown by the script: out", "throw \"out\""),
    ("thrown by the script: two lines", "throw \"two\\nlines\""),
    ("not available", "let f = Fn(\"sleep\"); f.call(3600); true"),
    ("not available", "let f = Fn(\"eval\"); f.call(\"true\")"),
    ("not available", "let f = Fn(\"print\"); loop { f.call(\"spam\"); }"),
    ("not available", "let x = heart_rate; x.series"),
    ("wrong value", "[1, 2][7] > 1"),
    ("wrong value", "1 / 0 == 1"),
    ("wrong answer", "text = \"x\"; for i in 0..10 { text += text; } true"),
    ("wrong answer", "#{ raised: true }"),
    ("wrong answer", "()"),
];

#[tokio::test]
async fn hostile_rules_are_named_switched_off_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good", "value > 180.0");
    let mut alone = Engine::new(Arc::new(RuleSet::read(folder.path()).unwrap())).unwrap();
    let expected = alone.feed(&wave(0, 200)).events;
    assert_eq!(expected.len(), 19);
    for (i, (_, script)) in HOSTILE.iter().enumerate() {
        write(folder.path(), &format!("hostile-{i:02}"), script);
    }
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    let (mut events, mut faults) = (Vec::new(), Vec::new());
    for batch in wave(0, 200).chunks(2) {
        let fed = rules.feed(batch).await.unwrap();
        events.extend(fed.events);
        faults.extend(fed.faults);
    }
    for (i, (stopper, script)) in HOSTILE.iter().enumerate() {
        let name = format!("hostile-{i:02}");
        let mine: Vec<_> = faults.iter().filter(|f| f.rule.as_str() == name).collect();
        println!("{script}\n    {}", mine.first().map(|f| f.fault.to_string()).unwrap_or_default());
        assert_eq!(mine.len(), 8, "{script}");
        let told = mine[0].fault.to_string();
        // On a busy machine the clock may be first.
        let busy = stopper.starts_with("too") && told.contains("too slow");
        assert!(told.contains(stopper) || busy, "{script}: {told}");
        assert!(mine[7].off && !mine[6].off && mine[0].fault.line > 0 || *stopper == "wrong answer", "{script}");
    }
    let good: Vec<AlertEvent> = events.into_iter().filter(|e| expected.contains(e)).collect();
    assert_eq!(good, expected);
    assert_eq!(rules.status().await.unwrap().iter().filter(|s| s.off).count(), HOSTILE.len());
    assert_eq!(rules.restarts(), 0, "none of them reached the process");
}

#[tokio::test]
async fn a_rule_that_ends_the_process_is_found_and_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good", "value > 180.0");
    write(folder.path(), "worse", "value > 185.0");
    write(folder.path(), "zebra", "value > 170.0");
    for (deed, told) in [("abort", "crashed: the worker died"), ("spin", "too slow: the worker was late")] {
        let program = Program { args: vec![deed.into(), "worse".into()], ..program() };
        let mut rules = RulesWorker::spawn(&program, folder.path()).await.unwrap();
        let fed = rules.feed(&wave(0, 40)).await.unwrap();
        assert_eq!(fed.events.len(), 6, "{fed:?}");
        let [fault] = &fed.faults[..] else { panic!("{fed:?}") };
        assert!(fault.off && fault.rule.as_str() == "worse", "{fault:?}");
        assert!(fault.fault.to_string().starts_with(told), "{fault:?}");
        let status = rules.status().await.unwrap();
        assert_eq!(status.iter().map(|s| s.off).collect::<Vec<_>>(), [false, true, false]);
        let fed = rules.feed(&wave(40, 60)).await.unwrap();
        assert_eq!((fed.events.len(), fed.faults.len()), (4, 0));
    }
}

/// Rules of which one takes that long for each reading, and what they say of the readings.
async fn burning(folder: &Path, micros: u32, entries: &[Entry]) -> (RulesWorker, Vec<AlertEvent>) {
    write(folder, "good", "value > 180.0");
    write(folder, "heavy", "value > 185.0");
    let mut alone = Engine::new(Arc::new(RuleSet::read(folder).unwrap())).unwrap();
    let args = vec!["burn".into(), "heavy".into(), micros.to_string().into()];
    let rules = RulesWorker::spawn(&Program { args, ..program() }, folder).await.unwrap();
    (rules, alone.feed(entries).events)
}

#[tokio::test]
async fn a_long_batch_of_a_rule_within_its_share_is_not_late() {
    let folder = tempfile::tempdir().unwrap();
    let entries = wave(0, 2_000);
    let (mut rules, expected) = burning(folder.path(), 1_200, &entries).await;
    let fed = rules.feed(&entries).await.unwrap();
    assert_eq!((fed.events, fed.faults), (expected, Vec::new()));
    assert_eq!(rules.restarts(), 0, "two seconds and more of two thousand readings are no sign of a script that hangs");
}

#[tokio::test]
async fn a_batch_that_is_late_as_a_whole_is_heard_piece_by_piece_and_names_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let entries = wave(0, 150);
    let (mut rules, expected) = burning(folder.path(), 40_000, &entries).await;
    let fed = rules.feed(&entries[..100]).await.unwrap();
    assert_eq!(fed.faults, [], "no reading took long by itself");
    // A worker that gets half of a processor is not even late.
    let restarts = rules.restarts();
    assert!(restarts <= 1, "{restarts}");
    let mut events = fed.events;
    // One in its place has heard each piece, and none twice.
    kill(&rules);
    let fed = rules.feed(&entries[100..]).await.unwrap();
    assert_eq!((fed.faults, rules.restarts()), (Vec::new(), restarts + 1));
    events.extend(fed.events);
    assert_eq!(events, expected);
}

/// Kills whatever runs a program, so often or until told to stop.
fn killer(exe: &Path, times: usize, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let (exe, stop) = (exe.to_owned(), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut killed = HashSet::new();
        while killed.len() < times && !stop.load(Ordering::Relaxed) {
            for process in std::fs::read_dir("/proc").unwrap().flatten() {
                let Ok(id) = process.file_name().to_string_lossy().parse::<i32>() else { continue };
                let runs = std::fs::read_link(process.path().join("exe"));
                if killed.len() < times && runs.is_ok_and(|runs| runs == exe) && killed.insert(id) {
                    // It may be gone meanwhile.
                    let _ = rustix::process::kill_process(
                        rustix::process::Pid::from_raw(id).unwrap(),
                        rustix::process::Signal::KILL,
                    );
                }
            }
            std::thread::yield_now();
        }
    })
}

#[tokio::test]
async fn workers_that_are_killed_from_outside_cost_no_rule_and_in_the_end_the_caller_is_told() {
    let built = program().exe;
    let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let rules_folder = folder.path().join("rules");
    let entries = wave(0, 60);
    // A name of its own, so that no other test's worker is killed. No copy: what another test starts meanwhile would hold that open for
    // writing, and it could not be run.
    let exe = folder.path().canonicalize().unwrap().join("worker");
    std::fs::hard_link(built, &exe).unwrap();
    write(&rules_folder, "good", "value > 180.0");
    write(&rules_folder, "heavy", "value > 185.0");
    let mut alone = Engine::new(Arc::new(RuleSet::read(&rules_folder).unwrap())).unwrap();
    let args = vec!["burn".into(), "heavy".into(), "20000".into()];
    let program = Program { exe: exe.clone(), args };
    let mut rules = RulesWorker::spawn(&program, &rules_folder).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let thread = killer(&exe, 3, &stop);
    let fed = rules.feed(&entries).await.unwrap();
    thread.join().unwrap();
    assert_eq!((fed.events, fed.faults), (alone.feed(&entries).events, Vec::new()));
    assert_eq!(rules.restarts(), 3);

    let thread = killer(&exe, usize::MAX, &stop);
    let error = rules.feed(&wave(60, 120)).await.unwrap_err();
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
    assert!(error.is_from_outside(), "{error}");
    assert!(rules.status().await.unwrap().iter().all(|status| !status.off), "nobody is to blame");
}

#[tokio::test]
async fn a_rule_switched_off_is_put_back_when_the_admin_asks() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good", "value > 180.0");
    write(folder.path(), "worse", "// Fine at first sight.\nif value > 185.0 { throw \"out\" } else { false }");
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    let fed = rules.feed(&wave(0, 40)).await.unwrap();
    assert_eq!((fed.events.len(), fed.faults.len()), (3, 8), "the other rule's answers are not lost");
    rules.reload().await.unwrap();
    let worse = rules.status().await.unwrap().into_iter().find(|status| status.rule.as_str() == "worse").unwrap();
    assert!(worse.off, "a reload of what did not change puts nothing back");
    let fault = worse.last_fault.unwrap();
    assert_eq!((fault.message.as_str(), fault.line), ("out", 2));
    assert_eq!(fault.text, "if value > 185.0 { throw \"out\" } else { false }");
    let name = RuleName::parse("worse").unwrap();
    assert!(rules.again(&name).await.unwrap());
    assert!(!rules.again(&name).await.unwrap());
    // Whatever happens to the process, it stays back.
    kill(&rules);
    let fed = rules.feed(&wave(40, 60)).await.unwrap();
    assert_eq!(fed.faults.len(), 8);
    assert!(!rules.again(&RuleName::parse("nobody").unwrap()).await.unwrap());
}

#[tokio::test]
async fn a_rule_that_ended_the_process_is_put_back_and_taken_out_again() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good", "value > 180.0");
    write(folder.path(), "worse", "value > 185.0");
    let program = Program { args: vec!["abort".into(), "worse".into()], ..program() };
    let mut rules = RulesWorker::spawn(&program, folder.path()).await.unwrap();
    for from in [0, 40] {
        let fed = rules.feed(&wave(from, from + 40)).await.unwrap();
        assert_eq!((fed.events.len(), fed.faults.len()), (if from == 0 { 3 } else { 4 }, 1), "{fed:?}");
        assert!(rules.again(&RuleName::parse("worse").unwrap()).await.unwrap());
    }
}

#[tokio::test]
async fn sources_that_reach_out_do_not_load_and_what_ran_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "good", "value > 180.0");
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    let hash = rules.hash();
    let sources = [
        "eval(\"true\")",
        "import \"x\" as x; true",
        "sleep(10); true",
        "print(\"spam\"); true",
        "debug(value); true",
        "timestamp(); true",
        "valeu > 180.0",
        "heart_rate.vlaue > 180.0",
        "value > ",
        &"(".repeat(50_000),
    ];
    for source in sources {
        write(folder.path(), "new", source);
        let Err(RulesError::Problems(problems)) = rules.reload().await else { panic!("{source} loaded") };
        assert_eq!(problems[0].file, "new/rule.rhai");
        assert!(problems[0].line > 0 && problems[0].column > 0, "{}", problems[0]);
    }
    assert_eq!(rules.hash(), hash);
    assert_eq!(rules.feed(&wave(0, 20)).await.unwrap().events.len(), 1);
}

fn kill(rules: &RulesWorker) {
    let id = rustix::process::Pid::from_raw(i32::try_from(rules.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn a_worker_killed_at_any_moment_loses_and_repeats_no_alert() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "high", "value > 180.0");
    write(folder.path(), "count", "n += 1; n % 7 == 0 && heart_rate.mean(\"30s\") > 160.0");
    let entries = wave(0, 3_000);
    let mut alone = Engine::new(Arc::new(RuleSet::read(folder.path()).unwrap())).unwrap();
    let expected = alone.feed(&entries).events;
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    let mut events = Vec::new();
    for (i, batch) in entries.chunks(100).enumerate() {
        if i % 4 == 3 {
            kill(&rules);
        }
        let fed = rules.feed(batch).await.unwrap();
        assert!(fed.faults.is_empty(), "{fed:?}");
        events.extend(fed.events);
    }
    assert!(rules.restarts() >= 5);
    assert_eq!(events, expected);
}

#[tokio::test]
async fn after_a_restart_the_journal_gives_the_same_alerts_and_a_snapshot_none_twice() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "high", "value > 180.0");
    let mut first = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    let events = first.feed(&wave(0, 100)).await.unwrap().events;
    let snapshot = first.snapshot().await.unwrap();
    drop(first);
    let mut second = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    assert_eq!(second.feed(&wave(0, 100)).await.unwrap().events, events);
    let mut third = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    // Killed meanwhile, it takes it up all the same.
    kill(&third);
    third.resume(&snapshot).await.unwrap();
    assert_eq!(third.restarts(), 1);
    assert!(third.feed(&wave(0, 100)).await.unwrap().events.is_empty());
    assert_eq!(third.feed(&wave(100, 120)).await.unwrap(), second.feed(&wave(100, 120)).await.unwrap());
    assert!(matches!(third.resume(b"rubbish").await, Err(RulesError::Forgotten)));
}

#[tokio::test]
async fn a_reload_counts_no_reading_twice_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "count", "n += 1; n >= 150");
    write(folder.path(), "other", "value > 180.0");
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    assert_eq!(rules.feed(&wave(0, 100)).await.unwrap().events.len(), 9);
    write(folder.path(), "other", "value > 185.0");
    write(folder.path(), "third", "false");
    rules.reload().await.unwrap();
    kill(&rules);
    let fed = rules.feed(&wave(100, 149)).await.unwrap();
    assert!(fed.events.iter().all(|e| !matches!(e, AlertEvent::Raised(a) if a.rule.as_str() == "count")));
    let fed = rules.feed(&wave(149, 150)).await.unwrap();
    assert!(fed.events.iter().any(|e| matches!(e, AlertEvent::Raised(a) if a.rule.as_str() == "count")), "{fed:?}");
}

#[tokio::test]
async fn what_no_rule_wants_does_not_cross_the_pipe() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "high", "value > 180.0");
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    kill(&rules);
    let mut other = rate(0, 150);
    other.readings[0].quantity = Quantity::POWER;
    other.readings[0].unit = Unit::WATT;
    assert_eq!(rules.feed(&[other]).await.unwrap(), pitchside_rules::Fed::default());
    assert_eq!(rules.restarts(), 0, "nobody was asked");
}

#[tokio::test]
async fn the_worker_stands_back_for_whoever_takes_readings_in() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "high", "value > 180.0");
    let mut rules = RulesWorker::spawn(&program(), folder.path()).await.unwrap();
    let nice = |id: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        // The fields after the name, which may hold anything; nice is the 19th of all (proc(5)).
        let after = stat.rsplit_once(") ").unwrap().1.to_owned();
        after.split(' ').nth(16).unwrap().parse::<i32>().unwrap()
    };
    let expected = (nice(std::process::id()) + 5).min(19);
    assert_eq!(nice(rules.id().unwrap()), expected);
    kill(&rules);
    rules.feed(&wave(0, 20)).await.unwrap();
    assert_eq!(nice(rules.id().unwrap()), expected, "the one in its place, too");
}
