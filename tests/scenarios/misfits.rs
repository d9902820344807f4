//! Firmware that is not what it says, or that a sensor does not bear: what becomes of it, and of the sensor.

use ledger_block::ingest::Cohort;
use ledger_block::release::SignedManifest;
use pitchside_release::known::Known;
use pitchside_tests::maker::release;
use pitchside_tests::{Clinic, Image, Running, Sensor, until};
use pitchside_wire::firmware::{Battery, Phase, Reason, Report, Stage, Status, Up, Version};

use super::firmware::{NEW, flashed, for_a_while, is_said, of, published, status};

/// A strap that runs 1.0.0 and was offered [`NEW`].
async fn offered() -> (SignedManifest, Running, Sensor) {
    let image = Image::new(NEW, 3, true, 250_000);
    let signed = release(&image, NEW, 3);
    let (clinic, maker) = published(Clinic::new().strap("s7"), &signed, &image).await;
    maker.rollout_to_all(&signed);
    let mut s7 = flashed(&clinic, "s7").await;
    s7.run_until(|sensor| (!sensor.happened.is_empty()).then_some(())).await.expect("an offer");
    (signed, clinic, s7)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_says_another_version_than_its_manifest_is_flashed_once_and_counted_as_failed() {
    // Old bytes under a new number.
    let image = Image::new(Version::new(1, 0, 5), 3, true, 40_000);
    let signed = release(&image, NEW, 3);
    let (clinic, maker) = published(Clinic::new().strap("s7"), &signed, &image).await;
    maker.rollout_to_all(&signed);
    let mut s7 = flashed(&clinic, "s7").await;
    assert_eq!(s7.updates().await, "1.0.0", "the old image is back");
    assert_eq!(of(&clinic, "s7", "state"), "failed: version, and is not offered it again");
    s7.reset().await;
    for_a_while(&mut s7).await;
    assert!(s7.happened.is_empty(), "offered again: {:?}", s7.happened);
    assert_eq!(clinic.tables().firmware_tally(&signed.id().0).expect("the database answers"), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_that_confirms_and_runs_something_else_all_the_same_is_offered_nothing_again() {
    let (signed, clinic, mut s7) = offered().await;
    // As firmware of before does it, which does not look at what it is.
    let (release, stage, reason) = (signed.id().0, Stage::Confirmed, Reason::NONE);
    s7.says_firmware(&Up::Report(Report { number: 900, release, stage, reason, text: String::new() })).await;
    for_a_while(&mut s7).await;
    is_said(&clinic, "s7", "runs 1.0.0 after confirming 1.1.0, and is not offered it again").await;
    let sensors = &status(&clinic)["releases"][0]["sensors"];
    assert_eq!((&sensors["confirmed"], &sensors["failed"]), (&0.into(), &1.into()));
    assert_eq!(clinic.tables().firmware_tally(&signed.id().0).expect("the database answers"), (0, 1));
    s7.reset().await;
    for_a_while(&mut s7).await;
    assert!(s7.happened.is_empty(), "offered again: {:?}", s7.happened);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_that_confirms_before_it_says_what_it_runs_is_judged_by_what_it_says_then() {
    let (signed, clinic, mut s7) = offered().await;
    // In one session, over its start.
    for (number, stage) in [(900, Stage::Verified), (901, Stage::Confirmed)] {
        let (release, reason) = (signed.id().0, Reason::NONE);
        s7.says_firmware(&Up::Report(Report { number, release, stage, reason, text: String::new() })).await;
    }
    let tally = || clinic.tables().firmware_tally(&signed.id().0).expect("the database answers");
    until("the box to hear it", || (of(&clinic, "s7", "last_report") == "confirmed").then_some(())).await;
    assert_eq!(tally(), (0, 0), "what it said before its start counts for nothing");
    let status = Status {
        willing: true,
        battery: Battery::Percent(90),
        chunk_bytes_max: 1_024,
        version: NEW,
        counter: 3,
        phase: Phase::Idle,
        have: 0,
        release: [0; 32],
        hardware: "strap-r2".to_owned(),
        component: "strap-firmware".to_owned(),
    };
    s7.says_firmware(&Up::Status(status)).await;
    until("the box to count it", || (tally() == (1, 0)).then_some(())).await;
    is_said(&clinic, "s7", "confirmed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_on_which_the_newest_release_fails_gets_the_one_before_it() {
    let [good, bad] = [(NEW, true), (Version::new(1, 2, 0), false)]
        .map(|(version, is_good)| (version, Image::new(version, 3, is_good, 30_000)));
    let [first, second] = [&good, &bad].map(|(version, image)| release(image, *version, 3));
    let (clinic, maker) = published(Clinic::new().strap("s7"), &first, &good.1).await;
    maker.publish(&second, &bad.1).await;
    clinic.knows(&second).await;
    clinic.shelve(&bad.1.bytes);
    for signed in [&second, &first] {
        maker.rollout_to_all(signed);
    }
    let out = |known: &Known| {
        [&first, &second].iter().all(|signed| {
            known.release(&signed.id()).is_some_and(|known| known.rollouts.values().any(|at| at.now == Cohort::All))
        })
    };
    clinic.heard_of(out).await;
    let mut s7 = flashed(&clinic, "s7").await;
    assert_eq!(s7.updates().await, "1.0.0", "the newest fails its self test");
    s7.reset().await;
    // Told to wait while its failure is written down, it asks again.
    for_a_while(&mut s7).await;
    clinic.advance(60);
    assert_eq!(s7.updates().await, "1.1.0");
    assert_eq!(of(&clinic, "s7", "last_report"), "confirmed");
    s7.reset().await;
    for_a_while(&mut s7).await;
    assert!(s7.happened.is_empty(), "not in turn for ever: {:?}", s7.happened);
    let held = "held: 1.2.0: it came to nothing here before (self_test), and is not offered here again";
    is_said(&clinic, "s7", held).await;
}
