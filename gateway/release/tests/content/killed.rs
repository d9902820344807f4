//! A box that is killed while it fetches.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;

use data_encoding::HEXLOWER;
use pitchside_release::content::Content;

use crate::house::{House, bytes, content};

fn start(dir: &Path, content: &Content, publisher: SocketAddr) -> (Child, BufReader<ChildStdout>) {
    // Examples are built with the tests, beside them.
    let program = std::env::current_exe().unwrap();
    let program = program.parent().unwrap().parent().unwrap().join("examples/content_box");
    let mut child = Command::new(program)
        .arg(dir)
        .args(["127.0.0.1:0", "8000000", &content.id.to_string(), &HEXLOWER.encode(&content.sha256)])
        .args([content.shape.size().to_string(), publisher.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    (child, said)
}

fn until(said: &mut BufReader<ChildStdout>, enough: impl Fn(&str) -> bool) {
    let found = said.lines().map(Result::unwrap).any(|line| enough(&line));
    assert!(found, "it ended before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_killed_while_it_fetches_goes_on_where_it_was() {
    let bytes = bytes(16 << 20);
    let whole = content(&bytes);
    let publisher = House::with(&bytes).await;
    let dir = tempfile::tempdir().unwrap();
    let at = |groups: u32| {
        move |line: &str| line.strip_prefix("groups ").is_some_and(|n| n.parse::<u32>().unwrap() > groups)
    };
    tokio::task::block_in_place(|| {
        let (mut child, mut said) = start(dir.path(), &whole, publisher.address());
        // More than is made durable at once: 512 groups.
        until(&mut said, at(600));
        child.kill().unwrap();
        child.wait().unwrap();
        let sent = publisher.service.served().bytes.load(Ordering::Relaxed);
        let (mut child, mut said) = start(dir.path(), &whole, publisher.address());
        until(&mut said, |line| line.starts_with("whole "));
        child.kill().unwrap();
        child.wait().unwrap();
        let again = publisher.service.served().bytes.load(Ordering::Relaxed) - sent;
        assert!(again < 9 << 20, "{again} bytes came after the restart: more than half of it");
    });
    let data = dir.path().join(whole.id.to_string()).join("data");
    assert!(std::fs::read(data).unwrap() == bytes);
}
