//! An output's process that dies of something else than its script is asked again: no alert is lost by it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use pitchside_script::Program;
use pitchside_script::cases::parse_output_cases;
use pitchside_script::output::worker::OutputProcess;
use pitchside_script::output::{Event, Outcome, reference};

const SCRIPT: &str = "[http_post(\"http://127.0.0.1:1/\", \"text/plain\", event.rule)]";

fn event() -> Event {
    parse_output_cases("the example", reference::EXAMPLE_CASE).unwrap()[0].steps[0].event.clone()
}

async fn asks_for_something(process: &mut OutputProcess) -> bool {
    matches!(process.tell(&event()).await, Ok(Outcome::Requests(requests)) if requests.len() == 1)
}

/// Kills whatever runs a program, as a machine without memory does.
fn kill(exe: &Path) {
    let mut killed = 0;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<i32>() else { continue };
        if std::fs::read_link(process.path().join("exe")).is_ok_and(|runs| runs == exe) {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            killed += 1;
        }
    }
    assert_eq!(killed, 1, "{} runs once", exe.display());
}

#[tokio::test]
async fn a_process_that_is_killed_or_cannot_be_had_for_a_while_loses_no_event() {
    let built = Path::new(env!("CARGO_BIN_EXE_script-probe"));
    let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let place = folder.path().canonicalize().unwrap();
    // A name of its own, so that no other test's process is killed. No copy: what another test starts meanwhile would hold that open for
    // writing, and it could not be run.
    let (exe, away) = (place.join("probe"), place.join("away"));
    std::fs::hard_link(built, &exe).unwrap();
    let program = Program { exe: exe.clone(), args: vec!["output".into()] };
    let mut process = OutputProcess::start(SCRIPT, Vec::new(), &program).await.unwrap();
    assert!(asks_for_something(&mut process).await);
    kill(&exe);
    assert!(asks_for_something(&mut process).await, "it is started again and asked again");
    std::fs::rename(&exe, &away).unwrap();
    kill(&away);
    let told = process.tell(&event()).await;
    assert!(told.is_err(), "there is no process to ask, which is no fault of the script: {told:?}");
    std::fs::rename(&away, &exe).unwrap();
    assert!(asks_for_something(&mut process).await);
}

#[tokio::test]
async fn an_event_whose_process_ends_again_and_again_for_what_no_script_does_waits() {
    let program = Program { exe: env!("CARGO_BIN_EXE_script-probe").into(), args: vec!["leaves".into()] };
    let mut process = OutputProcess::start(SCRIPT, Vec::new(), &program).await.unwrap();
    let told = process.tell(&event()).await;
    assert!(matches!(&told, Err(error) if error.is_from_outside()), "no fault of the script: {told:?}");
}
