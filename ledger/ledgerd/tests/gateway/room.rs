//! A ledger on a disk that fills up: firmware is refused before blocks are, and blocks before a halt is.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

use ledger_block::content::ContentId;
use ledger_block::ingest::{Act, Code, Cohort, HaltReason, Reply, Request};
use ledger_block::release::Manifest;
use pitchside_sync::connection::Connection;
use tempfile::TempDir;

use crate::contents::{offer, piece, release};
use crate::releases::{call, enter, hear, manifest, signed, with_policy};
use crate::support::{Gateway, Ledger};

const MIB: u64 = 1 << 20;

/// A file system of 64 MiB, where mounting is permitted; unmounted when dropped. Contents leave 8 MiB of it free, payloads 4.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"]).arg(dir.path());
        command.output().is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }

    /// Somebody else takes all but so many bytes.
    fn fill_but(&self, free: u64) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.0.path().join("others")).unwrap();
        let block = vec![1u8; 1 << 16];
        while file.write_all(&block).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length - free).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

async fn refusal(connection: &mut Connection) -> Code {
    match hear(connection).await {
        Reply::Refused { refusal, .. } => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_takes_a_halt_last_of_all() {
    let Some(disk) = SmallDisk::mount() else {
        writeln!(std::io::stderr(), "not permitted to mount a small file system here: nothing was tried").unwrap();
        return;
    };
    let (mut gateway, maker) = (Gateway::new("box-1", 20), Gateway::new("maker", 40));
    let below = Ledger::below(tempfile::tempdir_in(disk.0.path()).unwrap());
    let mut ledger = with_policy(below, &gateway, &maker);
    ledger.start().await;
    let (mut publisher, mut at_box) = (call(&ledger, &maker).await, call(&ledger, &gateway).await);
    // More than fits, though the setting would allow it.
    let huge = Manifest { size: 60 * MIB, ..manifest(1) };
    enter(&mut publisher, &maker, signed(&huge, &[101, 102])).await.unwrap();
    assert_eq!(offer(&mut publisher, ContentId(huge.blake3)).await, Err(Code::Storage));
    let bytes = vec![7u8; 200_000];
    let (small, content) = release(2, &bytes);
    enter(&mut publisher, &maker, signed(&small, &[101, 102])).await.unwrap();
    assert_eq!(offer(&mut publisher, content).await, Ok((0, false)));
    // Firmware finds no more room, and gives up what it has; blocks go on.
    disk.fill_but(7 * MIB);
    assert_eq!(piece(&mut publisher, content, &bytes, 0).await, Err(Code::Storage));
    assert_eq!(std::fs::read_dir(ledger.path().join("log/arriving")).unwrap().count(), 0);
    gateway.seal(100_000);
    let mut sync = gateway.sync(gateway.config(&ledger));
    sync.drained(1).await;
    sync.stop().await;
    // Blocks find none either; what the log says does.
    disk.fill_but(3 * MIB);
    let header = gateway.seal(100_000);
    at_box.requests.send(Request::Begin { header: header.bytes().to_vec() }).await.unwrap();
    assert!(matches!(hear(&mut at_box).await, Reply::Resume { offset: 0, .. }));
    let chunk = Request::Chunk { payload: header.header().payload_digest, offset: 0, bytes: vec![1; 1_000] };
    at_box.requests.send(chunk).await.unwrap();
    assert_eq!(refusal(&mut at_box).await, Code::Storage);
    let step = Act::Rollout { release: small.id(), hardware: "r2".parse().unwrap(), cohort: Cohort::One };
    assert_eq!(enter(&mut publisher, &maker, step).await, Ok(()));
    let halt = Act::Halt { release: small.id(), why: HaltReason::Failures };
    assert_eq!(enter(&mut at_box, &gateway, halt).await, Ok(()));
    ledger.stop().await;
    ledger.assert_sound();
}
