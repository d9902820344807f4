//! Scripts and native code that attack a real worker process: each is stopped by what is named, and the next call works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use pitchside_script::{Program, Worker, WorkerError, WorkerLimits};

const PATIENCE: Duration = Duration::from_secs(20);

async fn probe() -> Worker {
    let program = Program { exe: env!("CARGO_BIN_EXE_script-probe").into(), args: Vec::new() };
    Worker::spawn(&program, WorkerLimits::default()).await.unwrap()
}

async fn ask(worker: &mut Worker, request: &str) -> Result<String, WorkerError> {
    worker.call(request.as_bytes(), PATIENCE).await.map(|answer| String::from_utf8(answer).unwrap())
}

/// What stops it, and the script.
const SCRIPTS: &[(&str, &str)] = &[
    ("too many operations", "loop { }"),
    ("too many operations", "while true { let x = 1; }"),
    ("too many operations", "let x = 0; for i in 0..9000000000 { x += i; } x"),
    ("too many operations", "fn f(n) { if n > 0 { for i in 0..100 { f(n - 1); } } } f(10)"),
    ("calls nested too deep", "fn f() { f() } f()"),
    ("calls nested too deep", "fn a() { b() } fn b() { a() } a()"),
    ("a value grew too large", "let s = \"x\"; loop { s += s; }"),
    ("a value grew too large", "let a = [1]; loop { a += a; }"),
    ("a value grew too large", "let a = []; loop { a.push(1); }"),
    ("a value grew too large", "let a = [1]; a.pad(1000000000, 2); a"),
    ("a value grew too large", "let s = \"x\"; s.pad(1000000000, \"y\"); s"),
    ("a value grew too large", "blob(1000000000)"),
    ("a value grew too large", "let a = [\"x\".to_string()]; loop { a = [a, a, a, a]; }"),
    (
        "too much memory",
        "let m = #{}; let s = \"x\"; for i in 0..11 { s += s; } for i in 0..1000000 { m[`${i}`] = s + s; }",
    ),
    ("too many operations", "let m = #{}; for i in 0..1000000 { m[`${i}`] = i; } m.len()"),
    ("thrown by the script: boo", "throw \"boo\""),
    ("thrown by the script: 42", "throw 42"),
    ("thrown by the script: a b", "throw \"a\\nb\""),
    ("wrong value", "let a = [1]; a[99]"),
    ("wrong value", "1 / 0"),
    ("wrong value", "9223372036854775807 + 1"),
    ("not available", "let f = Fn(\"eval\"); f.call(\"1 + 1\")"),
    ("not available", "call(Fn(\"ev\" + \"al\"), \"1 + 1\")"),
    ("not available", "Fn(\"sleep\").call(3600)"),
    ("not available", "Fn(\"print\").call(\"x\")"),
    ("not available", "Fn(\"nothing\").call()"),
    ("not available", "eval(\"1 + 1\")"),
    ("not available", "import \"/etc/passwd\" as p;"),
    ("not available", "export let x = 1;"),
    ("not available", "sleep(3600)"),
    ("not available", "print(\"spam\")"),
    ("not available", "debug(\"spam\")"),
    ("not available", "timestamp()"),
    ("no function", "open_file(\"/etc/passwd\")"),
    ("no function", "parse_json(\"{}\")"),
    ("refused", "let x = "),
    ("refused", "fn eval(x) { x }"),
];

#[tokio::test]
async fn each_hostile_script_is_named_and_the_worker_goes_on() {
    let mut worker = probe().await;
    for (stopper, script) in SCRIPTS {
        let answer = ask(&mut worker, script).await.unwrap_or_else(|e| panic!("{script}: {e}"));
        println!("{script}\n    {answer}");
        // On a busy machine the clock may be first.
        let busy = stopper.starts_with("too") && answer.contains("too slow");
        assert!(answer.contains(stopper) || busy, "{script}\n  expected: {stopper}\n  got: {answer}");
        assert_eq!(ask(&mut worker, "40 + 2").await.unwrap(), "ok 42", "after {script}");
    }
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
    for deed in ["open", "write", "socket", "unix", "process", "thread", "sleep"] {
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
    assert!(matches!(ask(&mut worker, "!large").await, Err(WorkerError::Died { .. })));
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
        assert!(Worker::spawn(&program, limits).await.is_err(), "{exe}");
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
