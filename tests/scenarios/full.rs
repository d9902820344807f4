//! A disk without room: nothing is acknowledged, nothing acknowledged is lost, and it goes on when there is room again.

use std::process::Command;
use std::time::Duration;

use pitchside_model::Quantity;
use pitchside_tests::{Clinic, Running, Sensor, Told, soon, until};
use pitchside_wire::waveform::Waveform;
use pitchside_wire::{Content, Seq};
use tempfile::TempDir;

use crate::delivery::apart;

/// A file system of that size, where mounting is permitted; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"]).arg(dir.path());
        command.output().is_ok_and(|output| output.status.success()).then(|| Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}

/// A waveform of nearly 16 KiB that does not compress.
fn large(at_ms: i64, number: u64) -> Vec<u8> {
    let mut noise = number;
    let sample = |_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 36) as i32 - (1 << 27)
    };
    let samples = (0..4_000).map(sample).collect();
    let (quantity, start_us) = (Quantity::ECG.code(), at_ms * 1_000);
    let wave = Waveform { quantity, exponent: -3, offset: 0, period_ns: 250_000, start_us, samples };
    wave.encode().unwrap()
}

/// Messages under way at once.
const IN_FLIGHT: usize = 16;

/// Sends until something is not stored; the numbers sent.
async fn fill(clinic: &Running, s7: &mut Sensor) -> Vec<Seq> {
    let mut sent = Vec::new();
    while clinic.refused("not_stored") == 0 {
        for _ in 0..IN_FLIGHT {
            sent.push(s7.push(Content::Waveform, large(clinic.now().millis(), sent.len() as u64)));
        }
        // Either its receipt comes, or it is counted as not stored; then the gate may give up the link, too.
        let last = *sent.last().unwrap();
        let settled = |sensor: &Sensor| sensor.told(last).is_some() || clinic.refused("not_stored") > 0;
        if s7.run_until(|sensor| settled(sensor).then_some(())).await.is_err() {
            until("the loss to be counted", || (clinic.refused("not_stored") > 0).then_some(())).await;
        }
        assert!(sent.len() < 20_000, "the disk is small");
    }
    sent
}

/// What is stored of a device, message by message.
fn numbers(clinic: &Running, s7: &Sensor) -> Vec<Seq> {
    let entries =
        clinic.entries().into_iter().filter(|entry| entry.device.as_str() == "s7" && entry.epoch.0 == s7.epoch().0);
    let mut numbers: Vec<Seq> = entries.map(|entry| Seq(entry.seq.0)).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_loses_nothing_and_recovers_by_itself() {
    let Some(disk) = SmallDisk::mount("12m") else {
        println!("not permitted to mount a small file system here: the limit of the database stands in for it");
        return;
    };
    let (data, ballast) = (disk.0.path().join("data"), disk.0.path().join("ballast"));
    let clinic = Clinic::new().strap("s7").athlete("ada").with(|settings| {
        settings.gateway.data_dir = data;
        settings.journal.reserve_bytes = 0;
    });
    let clinic = clinic.start().await;
    std::fs::write(&ballast, vec![0; 6 << 20]).unwrap();
    let mut s7 = clinic.sensor("s7").await;
    let sent = fill(&clinic, &mut s7).await;
    let told: Vec<Seq> = sent.iter().copied().filter(|seq| s7.told(*seq) == Some(&Told::Stored)).collect();
    assert!(!told.is_empty() && told.len() < sent.len(), "{} of {} told", told.len(), sent.len());
    let stored = numbers(&clinic, &s7);
    assert!(told.iter().all(|seq| stored.contains(seq)), "what was acknowledged is there");
    std::fs::remove_file(&ballast).unwrap();
    // The device asks again, on this link or on a new one.
    if s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.is_err() {
        s7.connect().await;
        s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.unwrap();
    }
    assert_eq!(numbers(&clinic, &s7), sent, "each is there, and once");
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
    let stored = numbers(&clinic, &s7);
    assert!(told.iter().all(|seq| stored.contains(seq)), "what was acknowledged is there");
    clinic.settings().journal.database_bytes_max = 64 << 20;
    clinic.start().await;
    s7.connect().await;
    s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.unwrap();
    assert_eq!(numbers(&clinic, &s7), sent);
}

/// The service manager waits so long for a gateway that it stops, and then kills it (`DefaultTimeoutStopSec` of the image).
const STOPS_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_box_whose_disk_takes_no_alerts_starts_and_stops_and_says_each_once_it_does() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("fast", "value > 180.0").start().await;
    let mut s7 = clinic.sensor("s7").await;
    // What a full disk does to this record, and to no other.
    let database = rusqlite::Connection::open(clinic.dir().join("data/pitchside.db")).unwrap();
    database.busy_timeout(Duration::from_secs(30)).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON alert_steps BEGIN SELECT RAISE(ABORT, 'disk is full'); END;";
    database.execute_batch(full).unwrap();
    // Each is raised and cleared: more than may be on their way to the disk, so that the rules wait for it.
    let alerts = 40;
    apart(&clinic, &mut s7, 190, alerts).await;
    let stops = tokio::time::timeout(STOPS_WITHIN, clinic.stop()).await;
    assert!(stops.is_ok(), "the service manager would kill it");
    // What the journal tells of them is no more to be recorded now than before.
    soon("a start", clinic.start()).await;
    let stops = tokio::time::timeout(STOPS_WITHIN, clinic.stop()).await;
    assert!(stops.is_ok(), "the service manager would kill it");
    assert_eq!(clinic.alerts().len(), 0);
    database.execute_batch("DROP TRIGGER full;").unwrap();
    clinic.start().await;
    let told = clinic.alerted(alerts).await;
    assert_eq!(told.len(), alerts);
    until("the last to be over", || clinic.alerts().iter().all(|row| row.cleared.is_some()).then_some(())).await;
    assert_eq!(clinic.trouble(), None);
}
