//! A disk without room: nothing is acknowledged, nothing acknowledged is lost, and it goes on when there is room again.

use std::path::{Path, PathBuf};
use std::process::Command;

use pitchside_tests::{Clinic, Running, Sensor, Told, until};
use pitchside_wire::{Content, Seq};

/// A file system of that size, where mounting is permitted; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(at);
        command.output().is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// A SenML pack of nearly 16 KiB that does not compress.
fn large(at_ms: i64, number: u64) -> Vec<u8> {
    let mut pack = format!(r#"[{{"bt":{},"n":"heart_rate","u":"beat/min","v":{}}}"#, pitchside_tests::frames::seconds(at_ms), number % 200);
    let mut noise = number;
    for step in 1..260 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        pack.push_str(&format!(r#",{{"n":"heart_rate","u":"beat/min","t":-{step}.{:03},"v":{}}}"#, noise % 1_000, noise >> 40));
    }
    pack.push(']');
    pack.into_bytes()
}

/// Sends until the store says that it cannot write; the numbers sent.
async fn fill(clinic: &Running, s7: &mut Sensor) -> Vec<Seq> {
    let mut sent = Vec::new();
    while clinic.trouble().is_none() {
        let number = sent.len() as u64;
        sent.push(s7.push(Content::SenmlJson, large(clinic.now().millis(), number)));
        // Either its receipt comes, or the gate gives up the link because it cannot store, or trouble is known.
        let last = *sent.last().unwrap();
        let told = s7.run_until(|sensor| (sensor.told(last).is_some() || clinic.trouble().is_some()).then_some(())).await;
        if told.is_err() {
            until("the trouble to be known", || clinic.trouble()).await;
        }
        assert!(number < 20_000, "the disk is small");
    }
    sent
}

fn numbers(clinic: &Running) -> Vec<Seq> {
    let entries = clinic.entries().into_iter().filter(|entry| entry.device.as_str() == "s7" && entry.readings.len() > 1);
    let mut numbers: Vec<Seq> = entries.map(|entry| Seq(entry.seq.0)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_loses_nothing_and_recovers_by_itself() {
    let clinic = Clinic::new().strap("s7").athlete("ada");
    let Some(disk) = SmallDisk::mount(&clinic.dir().join("data"), "12m") else {
        println!("not permitted to mount a small file system here: the limit of the database stands in for it");
        return;
    };
    let clinic = clinic.with(|settings| settings.journal.reserve_bytes = 0).start().await;
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let mut s7 = clinic.sensor("s7").await;
    let sent = fill(&clinic, &mut s7).await;
    let told: Vec<Seq> = sent.iter().copied().filter(|seq| s7.told(*seq) == Some(&Told::Stored)).collect();
    assert!(!told.is_empty() && told.len() < sent.len(), "{} of {} told", told.len(), sent.len());
    assert!(clinic.refused("not_stored") >= 1);
    let stored = numbers(&clinic);
    assert!(told.iter().all(|seq| stored.contains(seq)), "what was acknowledged is there");
    std::fs::remove_file(&ballast).unwrap();
    // The device asks again, on this link or on a new one.
    if s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.is_err() {
        s7.connect().await;
        s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.unwrap();
    }
    assert_eq!(numbers(&clinic), sent, "each is there, and once");
    assert_eq!(clinic.trouble(), None);
}

#[tokio::test]
async fn a_database_at_its_limit_acknowledges_nothing_and_goes_on_with_a_higher_one() {
    let clinic = Clinic::new().strap("s7").athlete("ada");
    let mut clinic = clinic.with(|settings| settings.journal.database_bytes_max = 16 << 20).start().await;
    let mut s7 = clinic.sensor("s7").await;
    let sent = fill(&clinic, &mut s7).await;
    let told: Vec<Seq> = sent.iter().copied().filter(|seq| s7.told(*seq) == Some(&Told::Stored)).collect();
    assert!(!told.is_empty() && told.len() < sent.len(), "{} of {} told", told.len(), sent.len());
    clinic.kill().await;
    assert_eq!(numbers(&clinic), told, "exactly what was acknowledged is there");
    clinic.settings().journal.database_bytes_max = 64 << 20;
    clinic.start().await;
    s7.connect().await;
    s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.unwrap();
    assert_eq!(numbers(&clinic), sent);
}
