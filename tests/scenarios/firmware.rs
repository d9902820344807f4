//! Firmware to sensors: from a publisher's desk through a real ledger and a real gateway into flash, over TCP and a serial
//! line; and everything that must keep it from getting there. The commands ask a ledger that runs in this process: hence
//! several threads.

use std::time::Duration;

use ledger_block::ingest::Cohort;
use ledger_block::release::SignedManifest;
use pitchside_device_sdk::update::{Happened, manifest};
use pitchside_model::Timestamp;
use pitchside_release::rollout::is_in;
use pitchside_tests::clinic::Made;
use pitchside_tests::maker::{Maker, release, write_policy};
use pitchside_tests::{Clinic, Image, Running, Sensor, until};
use pitchside_wire::Content;
use pitchside_wire::firmware::{Battery, Phase, Pull, Reason, Up, Version};

const OLD: Version = Version::new(1, 0, 0);
pub const NEW: Version = Version::new(1, 1, 0);

fn old() -> Image {
    Image::new(OLD, 3, true, 20_000)
}

/// A name that comes into a release's rollout with this cohort and not before.
fn name(signed: &SignedManifest, cohort: Cohort) -> String {
    let before = match cohort {
        Cohort::Paused | Cohort::One => Cohort::Paused,
        Cohort::Ten => Cohort::One,
        Cohort::All => Cohort::Ten,
    };
    let mut names = (0..).map(|n| format!("s{n}"));
    names.find(|name| is_in(&signed.id(), name, cohort) && !is_in(&signed.id(), name, before)).expect("a name")
}

fn settings(clinic: Clinic) -> Clinic {
    let policy = write_policy(clinic.dir());
    clinic.ledger().with(move |settings| {
        settings.firmware.release_policy = Some(policy);
        settings.firmware.ask_s = 1;
    })
}

/// A clinic that knows who signs releases, its publisher, and a release that is published and on the shelf.
pub async fn published(clinic: Clinic, signed: &SignedManifest, image: &Image) -> (Running, Maker) {
    published_at(settings(clinic).make().await, signed, image).await
}

/// As [`published`], at a clinic that is made.
async fn published_at(made: Made, signed: &SignedManifest, image: &Image) -> (Running, Maker) {
    let mut clinic = Running::start_new(made).await;
    let dir = clinic.dir().to_owned();
    let maker = Maker::new(&dir, clinic.ledger());
    maker.publish(signed, image).await;
    until("the box to hear of the release", || {
        let news = clinic.pitchside(&["firmware", "status", "--json"]);
        (news.code == 0 && !news.json()["releases"].as_array().expect("a list").is_empty()).then_some(())
    })
    .await;
    clinic.knows(signed).await;
    clinic.shelve(&image.bytes);
    (clinic, maker)
}

pub fn status(clinic: &Running) -> serde_json::Value {
    clinic.pitchside(&["firmware", "status", "--json"]).ok().json()
}

/// What `firmware status` says of a sensor.
pub fn of(clinic: &Running, device: &str, field: &str) -> serde_json::Value {
    let status = status(clinic);
    let sensors = status["sensors"].as_array().expect("a list");
    sensors.iter().find(|row| row["device"] == device).map_or(serde_json::Value::Null, |row| row[field].clone())
}

pub async fn flashed(clinic: &Running, id: &str) -> Sensor {
    let mut sensor = clinic.device(id).flashed(&old());
    sensor.connect().await;
    sensor
}

/// Waits until `firmware status` says this of how it stands with a sensor.
pub async fn is_said(clinic: &Running, device: &str, state: &str) {
    until(&format!("{device} to be said to be {state}"), || (of(clinic, device, "state") == state).then_some(())).await;
}

/// Lets the sensor speak for a while of real time.
pub async fn for_a_while(sensor: &mut Sensor) {
    let end = std::time::Instant::now() + Duration::from_millis(2_500);
    let ended = tokio::time::timeout(
        Duration::from_secs(3),
        sensor.run_until(|_| (std::time::Instant::now() > end).then_some(())),
    );
    if let Ok(result) = ended.await {
        assert_eq!(result, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_reaches_the_first_few_then_a_tenth_then_all() {
    let image = Image::new(NEW, 3, true, 70_000);
    let signed = release(&image, NEW, 3);
    let [first, tenth, last] = [Cohort::One, Cohort::Ten, Cohort::All].map(|cohort| name(&signed, cohort));
    let clinic = Clinic::new().strap(&first).tiny(&tenth).patch(&last).on_a_cable();
    let (clinic, maker) = published(clinic, &signed, &image).await;
    let mut first = flashed(&clinic, &first).await;
    let mut tenth = flashed(&clinic, &tenth).await;
    let mut last = flashed(&clinic, &last).await;
    for_a_while(&mut first).await;
    assert!(first.happened.is_empty(), "published is not rolled out");
    is_said(&clinic, first.id(), "held: 1.1.0: the release is not rolled out to strap-r2 yet").await;
    maker.rollout(&signed, "1");
    assert_eq!(first.updates().await, "1.1.0");
    for_a_while(&mut tenth).await;
    for_a_while(&mut last).await;
    assert!(tenth.happened.is_empty() && last.happened.is_empty(), "it is not their turn");
    maker.rollout(&signed, "10");
    assert_eq!(tenth.updates().await, "1.1.0");
    maker.rollout(&signed, "100");
    // On the serial line, while it measures nothing.
    assert_eq!(last.updates().await, "1.1.0");
    for device in [&first, &tenth, &last] {
        let id = device.id().to_owned();
        let read = |field: &str| of(&clinic, &id, field);
        assert_eq!((read("running"), read("state"), read("percent")), ("1.1.0".into(), "confirmed".into(), 100.into()));
    }
    let one = &status(&clinic)["releases"][0];
    assert_eq!((&one["state"], &one["sensors"]["confirmed"]), (&"out".into(), &3.into()));
    // Readings go on as ever.
    first.heart_rate(72).await;
    println!("{}", clinic.pitchside(&["firmware", "status"]).ok().out);
}

#[tokio::test(flavor = "multi_thread")]
async fn training_and_low_batteries_hold_an_update_back() {
    let image = Image::new(NEW, 3, true, 30_000);
    let signed = release(&image, NEW, 3);
    let clinic = Clinic::new().strap("s7").athlete("ada").strap("s8");
    let (clinic, maker) = published(clinic, &signed, &image).await;
    let mut s7 = flashed(&clinic, "s7").await;
    s7.heart_rate(140).await;
    let mut s8 = clinic.device("s8").flashed(&old());
    s8.updater().set_battery(Battery::Percent(20));
    s8.connect().await;
    maker.rollout_to_all(&signed);
    until("the box to hold both back", || {
        let held = |id| of(&clinic, id, "state");
        (held("s7") == "held: its athlete trains" && held("s8") == "held: its battery is low").then_some(())
    })
    .await;
    for_a_while(&mut s7).await;
    assert!(s7.happened.is_empty());
    // The battery is said in a reading, too; the athlete rests.
    s8.says(Content::SenmlJson, battery(clinic.now(), 80)).await;
    assert_eq!(s8.updates().await, "1.1.0");
    clinic.advance(181);
    s7.pulls().await;
    // It has asked, it may start; but now its athlete trains again, and it asks once more after a reset.
    s7.heart_rate(150).await;
    s7.reset().await;
    for_a_while(&mut s7).await;
    assert!(s7.happened.is_empty(), "nothing starts during training");
    assert_eq!(s7.updater().start(), Ok(false));
    clinic.advance(181);
    assert_eq!(s7.updates().await, "1.1.0");
}

fn battery(now: Timestamp, percent: u8) -> Vec<u8> {
    let seconds = now.millis() / 1_000;
    format!(r#"[{{"n":"battery","u":"%EL","t":{seconds},"v":{percent}}}]"#).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_is_undone_reported_and_halted_for_everybody() {
    let image = Image::new(NEW, 3, false, 40_000);
    let signed = release(&image, NEW, 3);
    let clinic = Clinic::new().strap("s7").strap("s8").strap("s9");
    let (clinic, maker) = published(clinic, &signed, &image).await;
    maker.rollout_to_all(&signed);
    let (mut s7, mut s8) = (flashed(&clinic, "s7").await, flashed(&clinic, "s8").await);
    assert_eq!(s7.updates().await, "1.0.0", "the old image is back");
    assert_eq!(of(&clinic, "s7", "state"), "failed: self_test, and is not offered it again");
    assert_eq!(status(&clinic)["releases"][0]["state"], "out", "one failure says little");
    until("the publisher to hear of it", || {
        let everywhere = &maker.firmware(&["status", "--json"]).ok().json()["releases"][0]["everywhere"];
        (everywhere["failed"] == 1 && everywhere["boxes"] == 1).then_some(())
    })
    .await;
    assert_eq!(s8.updates().await, "1.0.0");
    // At once here, and in the ledger as soon as it has heard of it.
    let mut s9 = flashed(&clinic, "s9").await;
    for_a_while(&mut s9).await;
    assert!(s9.happened.is_empty());
    until("the ledger to say that the release is halted", || {
        let status = maker.firmware(&["status", "--json"]).ok().json();
        (status["releases"][0]["state"] == "halted: too many failures").then_some(())
    })
    .await;
    for_a_while(&mut s7).await;
    // Offered once more it may be, between its status after the reset and its report; it knows what failed on it.
    let known = Happened::Refused(Reason::FAILED_BEFORE);
    assert!(s7.happened.iter().all(|happened| *happened == known), "tried again: {:?}", s7.happened);
    let state = of(&clinic, "s7", "state");
    assert_eq!(state, "failed: self_test, and is not offered it again", "that is still what it failed of");
    until("nothing waits for the ledger any more", || {
        clinic.tables().waiting_acts(8).expect("the database answers").is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_rots_on_the_shelf_is_fetched_again_and_the_update_arrives_all_the_same() {
    let image = Image::new(NEW, 3, true, 70_000);
    let signed = release(&image, NEW, 3);
    let mut made = settings(Clinic::new().strap("s7")).make().await;
    made.settings.firmware.ledger_store = made.ledger.as_ref().map(|ledger| ledger.http.to_string());
    made.settings.firmware.ledger_store_wait_s_max = 0;
    let (clinic, maker) = published_at(made, &signed, &image).await;
    let content = data_encoding::HEXLOWER.encode(&signed.manifest().blake3);
    let data = clinic.dir().join("data/content").join(content).join("data");
    let mut rotten = std::fs::read(&data).unwrap();
    rotten[40_000] ^= 1;
    std::fs::write(&data, rotten).unwrap();
    maker.rollout_to_all(&signed);
    let mut s7 = flashed(&clinic, "s7").await;
    assert_eq!(s7.updates().await, "1.1.0");
    assert_eq!(std::fs::read(&data).unwrap(), image.bytes, "and it is whole again");
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_and_abort_stop_what_is_under_way() {
    let image = Image::new(NEW, 3, true, 250_000);
    let signed = release(&image, NEW, 3);
    let (clinic, maker) = published(Clinic::new().strap("s7"), &signed, &image).await;
    maker.rollout_to_all(&signed);
    let mut s7 = flashed(&clinic, "s7").await;
    let begun = s7.run_until(|sensor| {
        let have = sensor.updater.as_ref().map_or(0, |updater| updater.record().have);
        (have >= 32_768).then_some(())
    });
    assert_eq!(begun.await, Ok(()));
    // Receipts come while an image does (promise 7): below, most of it is still to come.
    s7.heart_rate(61).await;
    let id = signed.id().to_string();
    maker.firmware(&["pause", &id]).ok();
    clinic
        .heard_of(|known| {
            known.release(&signed.id()).is_some_and(|r| r.rollouts.values().all(|r| r.now == Cohort::Paused))
        })
        .await;
    for_a_while(&mut s7).await;
    let have = s7.updater().record().have;
    for_a_while(&mut s7).await;
    assert_eq!((s7.updater().record().have, s7.updater().record().phase), (have, Phase::Pulling));
    assert!(have < 250_000, "it was stopped on the way");
    maker.rollout_to_all(&signed);
    let on = s7.run_until(|sensor| {
        let now = sensor.updater.as_ref().map_or(0, |updater| updater.record().have);
        (now > have).then_some(())
    });
    assert_eq!(on.await, Ok(()), "it goes on where it was");
    maker.firmware(&["abort", &id]).ok();
    clinic.heard_of(|known| known.release(&signed.id()).is_some_and(|r| r.halted.is_some())).await;
    for_a_while(&mut s7).await;
    assert_ne!(s7.updater().record().phase, Phase::Verified);
    assert!(!s7.happened.contains(&Happened::MayStart));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_gets_nothing_that_is_not_for_it_and_takes_nothing_it_should_not() {
    let image = Image::new(NEW, 3, true, 30_000);
    let signed = release(&image, NEW, 3);
    let clinic = Clinic::new().strap("s7").strap("s8").strap("s9").strap("s10");
    let (clinic, maker) = published(clinic, &signed, &image).await;
    maker.rollout_to_all(&signed);
    // Other hardware; a higher counter than the release has.
    let mut s7 = clinic.device("s7").flashed(&old());
    let mut board = s7.updater.take().expect("flash").into_flash();
    board.hardware = "strap-r9".to_owned();
    s7.updater = Some(board.boot(pitchside_wire::Millis(0)));
    s7.connect().await;
    let mut s8 = clinic.device("s8").flashed(&Image::new(OLD, 4, true, 9_000));
    s8.connect().await;
    for sensor in [&mut s7, &mut s8] {
        for_a_while(sensor).await;
        assert!(sensor.happened.is_empty());
    }
    // Other keys in its image than those that signed: it refuses, says why, counts against nobody, and is not asked again.
    let mut s9 = clinic.device("s9").flashed(&old());
    let mut board = s9.updater.take().expect("flash").into_flash();
    board.keys = vec![4, 5, 6];
    s9.updater = Some(board.boot(pitchside_wire::Millis(0)));
    s9.connect().await;
    for_a_while(&mut s9).await;
    s9.reported().await;
    assert_eq!(s9.happened, [Happened::Refused(Reason::SIGNATURES)]);
    assert_eq!(
        (of(&clinic, "s9", "state"), of(&clinic, "s9", "reason")),
        ("failed: signatures, and is not offered it again".into(), "signatures".into())
    );
    assert_eq!(clinic.tables().firmware_tally(&signed.id().0).expect("the database answers"), (0, 0));
    // Pulls of what was not offered, of what nobody published, and from beyond the end: refused, and nothing else happens.
    let mut s10 = flashed(&clinic, "s10").await;
    s10.run_until(|sensor| (!sensor.happened.is_empty()).then_some(())).await.expect("an offer");
    let before = clinic.refused("firmware_pull");
    let mine = signed.manifest().blake3;
    for (digest, offset) in [([9; 32], 0), (mine, 30_000), (mine, u32::MAX)] {
        s10.says_firmware(&Up::Pull(Pull { digest, offset, length: 4_096 })).await;
    }
    for_a_while(&mut s10).await;
    until("three pulls to be refused", || (clinic.refused("firmware_pull") >= before + 3).then_some(())).await;
    s10.throw_firmware(b"\x01\x07nonsense").await;
    s10.heart_rate(72).await;
    // Readings do not wait for the desk, nor is it done with what came before them.
    until("the nonsense to be refused", || (clinic.refused("firmware_word") >= 1).then_some(())).await;
    clinic.advance(61);
    assert_eq!(s10.updates().await, "1.1.0", "and its own update goes on");
}

#[test]
fn a_sensor_reads_a_manifest_as_the_ledger_does() {
    let image = Image::new(NEW, 7, true, 5_000);
    let signed = release(&image, NEW, 7);
    let publics: Vec<[u8; 32]> = [1, 2, 3].map(|seed| pitchside_tests::maker::key(seed).public()).to_vec();
    let keys = manifest::Keys::new(2, &publics).expect("keys");
    let read = manifest::read(&signed.to_bytes(), &keys, "strap-firmware", "strap-r2").expect("signed by two");
    let theirs = signed.manifest();
    assert_eq!((read.release, read.version, read.counter), (signed.id().0, NEW, 7));
    assert_eq!((read.size, read.sha256, read.blake3), (theirs.size, theirs.sha256, theirs.blake3));
    assert_eq!((read.expires_us, read.from, read.fits), (theirs.expires.0, None, true));
    let other = manifest::read(&signed.to_bytes(), &keys, "strap-firmware", "strap-r3").expect("signed by two");
    assert!(!other.fits);
}
