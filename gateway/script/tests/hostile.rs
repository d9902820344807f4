//! Scripts and native code that attack a real worker process: each is stopped by what is named, and the next call works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::time::{Duration, Instant};

use pitchside_script::{Program, Worker, WorkerError, WorkerLimits};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tokio::io::{AsyncBufReadExt, BufReader};

const PATIENCE: Duration = Duration::from_secs(20);

async fn probe() -> Worker {
    let program = Program { exe: env!("CARGO_BIN_EXE_script-probe").into(), args: Vec::new() };
    Worker::spawn(&program, WorkerLimits::default()).await.unwrap()
}

async fn ask(worker: &mut Worker, request: &str) -> Result<String, WorkerError> {
    worker.call(request.as_bytes(), PATIENCE).await.map(|answer| String::from_utf8(answer).unwrap())
}

/// A script of `tests/hostile/`: its name, what may stop it (`nothing`: it does no harm), its source.
struct Attack {
    name: String,
    stoppers: Vec<String>,
    source: String,
}

fn corpus() -> Vec<Attack> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile");
    let mut attacks: Vec<Attack> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let source = std::fs::read_to_string(&path).unwrap();
            let header = source.lines().next().and_then(|line| line.strip_prefix("// stopped by: "));
            let stoppers = header.unwrap_or_else(|| panic!("{}: says not what stops it", path.display()));
            let stoppers = stoppers.split(" | ").map(str::to_owned).collect();
            Attack { name: path.file_stem().unwrap().to_string_lossy().into_owned(), stoppers, source }
        })
        .collect();
    attacks.sort_by(|a, b| a.name.cmp(&b.name));
    attacks
}

/// Runs every script of the corpus; prints what stopped each, and holds the worker to going on.
async fn attack(limits: &str) {
    let program = Program { exe: env!("CARGO_BIN_EXE_script-probe").into(), args: vec![limits.into()] };
    let mut worker = Worker::spawn(&program, WorkerLimits::default()).await.unwrap();
    let (mut wrong, corpus) = (Vec::new(), corpus());
    assert!(corpus.len() >= 60, "{}", corpus.len());
    for Attack { name, stoppers, source } in &corpus {
        let begun = Instant::now();
        let answer = ask(&mut worker, source).await;
        let (took, told) = (begun.elapsed(), answer.as_ref().map_or_else(ToString::to_string, String::clone));
        println!("{name:32} {:>4} ms  {told}", took.as_millis());
        let stopped = match &answer {
            Ok(answer) if answer.starts_with("ok ") => stoppers.iter().any(|s| s == "nothing"),
            // On a busy machine the clock may be first.
            Ok(answer) => stoppers.iter().any(|s| answer.contains(s.as_str()) || answer.contains("too slow")),
            Err(_) => false,
        };
        if !stopped {
            wrong.push(format!("{name}: expected {stoppers:?}, got {told}"));
        }
        let shown = told.chars().all(|c| !c.is_control() && !is_invisible(c)) && told.chars().count() < 1_000;
        if !shown {
            wrong.push(format!("{name}: in {took:?}: {told:?}"));
        }
        if !worker.is_up() {
            worker.restart().await.unwrap();
        }
        assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42", "after {name}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Characters that change how a log reads without being seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[tokio::test]
async fn each_hostile_script_is_stopped_by_what_it_names_within_the_limits_of_a_rule() {
    attack("rule").await;
}

#[tokio::test]
async fn each_hostile_script_is_stopped_by_what_it_names_within_the_limits_of_a_decoder() {
    attack("decoder").await;
}

#[tokio::test]
async fn monstrous_sources_are_refused_or_stopped() {
    let mut worker = probe().await;
    let monsters = [
        "(".repeat(60_000),
        format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("1{}", "+1".repeat(20_000)),
        format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000)),
        (0..1_000).map(|i| format!("let a{i} = {i};")).collect(),
        "fn f(){}".repeat(5_000),
        "\u{202e}\0\u{7f}".repeat(100),
        "x".repeat(4 * 1024 * 1024),
        format!("{}{{}}{}", "if true {".repeat(2_000), "}".repeat(2_000)),
        format!("-{}1", "-".repeat(3_000)),
        "`${".repeat(5_000),
    ];
    for monster in monsters {
        let head: String = monster.chars().take(20).collect();
        let answer = ask(&mut worker, &monster).await.unwrap_or_else(|e| panic!("{head}: {e}"));
        println!("{head}… {answer}");
        assert!(answer.starts_with("refused") || answer.starts_with("fault"), "{head}: {answer}");
        assert!(!answer.contains('\n') && answer.len() < 1_000, "{head}: {answer}");
    }
    assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42");
}

#[tokio::test]
async fn native_code_that_trespasses_dies_and_the_next_worker_serves() {
    let mut worker = probe().await;
    let files = ["open", "write", "stat", "list", "unlink", "rename", "chdir", "duplicate", "memory-file"];
    let others = ["socket", "unix", "udp", "pipe", "process", "exec", "thread", "signal", "sleep"];
    for deed in files.into_iter().chain(others) {
        let error = ask(&mut worker, &format!("!{deed}")).await.unwrap_err();
        assert!(error.to_string().contains("a system call it may not make"), "{deed}: {error}");
        assert!(!worker.is_up());
        assert!(matches!(ask(&mut worker, "1").await, Err(WorkerError::Down)));
        worker.restart().await.unwrap();
        assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42");
    }
    assert!(!std::path::Path::new("/tmp/pitchside-probe").exists());
}

#[tokio::test]
async fn a_worker_may_open_nothing_start_nothing_and_leave_no_core() {
    let worker = probe().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", worker.id().unwrap())).unwrap();
    for (name, bound) in [
        ("Max open files", "0"),
        ("Max processes", "0"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max locked memory", "0"),
        ("Max msgqueue size", "0"),
        ("Max pending signals", "0"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let numbers: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        assert_eq!(numbers, [bound, bound], "{line}");
    }
    let space = limits.lines().find(|line| line.starts_with("Max address space")).unwrap();
    assert!(!space.contains("unlimited"), "{space}");
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.id().unwrap())).unwrap();
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Threads:\t1"] {
        assert!(status.contains(line), "{status}");
    }
}

#[tokio::test]
async fn memory_ends_at_the_worker_and_is_named() {
    let mut worker = probe().await;
    let error = ask(&mut worker, "!allocate").await.unwrap_err();
    assert!(error.to_string().contains("memory allocation of"), "{error}");
    worker.restart().await.unwrap();
    assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42");
}

#[tokio::test]
async fn a_late_worker_is_killed_and_what_it_ran_is_named() {
    let mut worker = probe().await;
    ask(&mut worker, "1").await.unwrap();
    let id = worker.id().unwrap();
    let error = worker.call(b"!spin", Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, WorkerError::Late { .. }), "{error}");
    assert!(!std::path::Path::new(&format!("/proc/{id}/stat")).exists(), "it is gone, not a zombie");
    worker.restart().await.unwrap();
    assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42");
}

fn signal(worker: &Worker, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(worker.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

#[tokio::test]
async fn a_worker_that_hardly_ran_is_late_by_the_clock_on_the_wall_and_what_it_ran_is_spared() {
    let mut worker = probe().await;
    // As on a machine that has no time for it.
    signal(&worker, Signal::STOP);
    let error = worker.call(b"1", Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, WorkerError::Late { starved: true, .. }), "{error}");
    assert!(error.is_from_outside());
    worker.restart().await.unwrap();
    let error = worker.call(b"!spin", Duration::from_millis(100)).await.unwrap_err();
    assert!(matches!(error, WorkerError::Late { starved: false, .. }), "{error}");
    assert!(!error.is_from_outside());
}

#[tokio::test]
async fn how_a_worker_ended_tells_whether_what_it_ran_did_it() {
    for outside in [Signal::KILL, Signal::TERM] {
        let mut worker = probe().await;
        signal(&worker, outside);
        let error = worker.call(b"1", PATIENCE).await.unwrap_err();
        assert!(matches!(error, WorkerError::Died { from_outside: true, .. }), "{outside:?}: {error}");
        assert!(error.is_from_outside());
    }
    for deed in ["!allocate", "!panic", "!open"] {
        let error = probe().await.call(deed.as_bytes(), PATIENCE).await.unwrap_err();
        assert!(matches!(error, WorkerError::Died { from_outside: false, .. }), "{deed}: {error}");
        assert!(!error.is_from_outside());
    }
}

#[tokio::test]
async fn a_second_answer_to_one_question_is_never_that_to_the_next() {
    let program = Program { exe: env!("CARGO_BIN_EXE_script-probe").into(), args: vec!["twice".into()] };
    let mut worker = Worker::spawn(&program, WorkerLimits::default()).await.unwrap();
    assert_eq!(ask(&mut worker, "one").await.unwrap(), "one");
    let error = ask(&mut worker, "two").await.unwrap_err();
    assert!(error.is_from_outside() && error.to_string().contains("it said what is no answer"), "{error}");
    assert!(!worker.is_up());
    worker.restart().await.unwrap();
    assert_eq!(ask(&mut worker, "three").await.unwrap(), "three");
}

#[tokio::test]
async fn a_worker_holds_nothing_that_its_parent_was_started_with() {
    let inherited = tempfile::tempfile().unwrap();
    // As whoever started the gateway may have left it.
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::empty()).unwrap();
    let worker = probe().await;
    rustix::io::fcntl_setfd(&inherited, rustix::io::FdFlags::CLOEXEC).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", worker.id().unwrap())).unwrap();
    let open: Vec<_> = open.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap()).collect();
    // The standard three, the socket by the number the jail knows, and its own size.
    assert_eq!(open.len(), 5, "{open:?}");
}

#[tokio::test]
async fn a_worker_that_spins_is_gone_with_a_parent_that_is_killed() {
    let mut parent = tokio::process::Command::new(env!("CARGO_BIN_EXE_script-probe"))
        .arg("parent")
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(parent.stdout.take().unwrap()).lines();
    let id: i32 = said.next_line().await.unwrap().unwrap().parse().unwrap();
    let worker = Pid::from_raw(id).unwrap();
    let process = pidfd_open(worker, PidfdFlags::empty()).unwrap();
    parent.kill().await.unwrap();
    // Readable once the process has ended (pidfd_open(2)).
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    let gone = poll(&mut ended, Some(&PATIENCE.try_into().unwrap())).unwrap() == 1;
    if !gone {
        let _ = rustix::process::kill_process(worker, Signal::KILL);
    }
    assert!(gone, "{id} spins on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_outlives_the_thread_that_asked_for_it() {
    let runtime = tokio::runtime::Handle::current();
    let mut worker = std::thread::spawn(move || runtime.block_on(probe())).join().unwrap();
    // That a thread was waited for is not yet that the kernel is done with it.
    for _ in 0..100 {
        assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42");
    }
}

#[tokio::test]
async fn a_panic_ends_the_worker_with_its_message() {
    let mut worker = probe().await;
    let error = ask(&mut worker, "!panic").await.unwrap_err();
    assert!(error.to_string().contains("on purpose"), "{error}");
}

#[tokio::test]
async fn requests_and_answers_are_bounded() {
    let mut worker = probe().await;
    let request = vec![b' '; 17 * 1024 * 1024];
    assert!(matches!(worker.call(&request, PATIENCE).await, Err(WorkerError::TooLarge { .. })));
    assert!(worker.is_up(), "a request that was never sent harms nobody");
    assert_eq!(
        ask(&mut worker, "!large").await.unwrap(),
        "",
        "an answer that is too large is none, and nothing else is lost"
    );
    assert_eq!(ask(&mut worker, "1 + 1").await.unwrap(), "ok 2");
}

#[tokio::test]
async fn an_abandoned_call_never_answers_the_next_one() {
    let mut worker = probe().await;
    {
        let call = worker.call(b"1 + 1", PATIENCE);
        let mut call = Box::pin(call);
        std::future::poll_fn(|cx| {
            let _ = call.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    if !worker.is_up() {
        assert!(matches!(ask(&mut worker, "40 + 2").await, Err(WorkerError::Down)));
        worker.restart().await.unwrap();
    }
    assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42");
}

#[tokio::test]
async fn what_is_no_worker_is_refused() {
    let limits = WorkerLimits { start: Duration::from_millis(500), ..WorkerLimits::default() };
    for exe in ["/bin/true", "/bin/cat", "/nonexistent/worker"] {
        let program = Program { exe: exe.into(), args: Vec::new() };
        let error = Worker::spawn(&program, limits).await.unwrap_err();
        assert!(error.is_from_outside(), "no fault of what it was to run: {exe}: {error}");
    }
}

#[test]
fn the_child_refuses_to_serve_a_stranger() {
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_script-probe"))
        .stdin(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(!status.success());
}
