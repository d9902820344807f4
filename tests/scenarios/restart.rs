//! What a gateway knows after it was ended in the middle of things.

use pitchside_model::GapReason;
use pitchside_tests::{Clinic, Told, until};
use pitchside_wire::{Kind, Topic};

#[tokio::test]
async fn a_session_outlives_the_gateway_and_so_does_its_replay_window() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    let mut s7 = clinic.sensor("s7").await;
    let seq = s7.push_heart_rate(71);
    let heard = s7.due().remove(0).frame;
    s7.throw(Topic::Up, &heard).await.unwrap();
    assert_eq!(s7.answer(seq).await, Told::Stored);
    s7.push_heart_rate(72);
    let unheard = s7.due().remove(0).frame;
    s7.heard.clear();
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    assert!(!s7.heard.contains(&Kind::Reply), "no handshake: {:?}", s7.heard);
    assert!(s7.heard.contains(&Kind::Ready));
    // An old frame, heard or not, may have been heard before: neither is taken.
    for frame in [&heard, &unheard] {
        s7.throw(Topic::Up, frame).await.unwrap();
    }
    let refused = || clinic.refused("below_floor") + clinic.refused("replayed");
    until("two refusals", || (refused() >= 2).then_some(())).await;
    s7.heart_rate(73).await;
    s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.unwrap();
    assert_eq!(clinic.values("s7"), ["heart_rate 71", "heart_rate 72", "heart_rate 73"]);
}

#[tokio::test]
async fn what_was_receipted_is_there_after_every_end() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").hub("hub").athlete("ben").start().await;
    let mut s7 = clinic.sensor("s7").await;
    let mut expected = Vec::new();
    for round in 0..4 {
        for rate in 0..25 {
            s7.heart_rate(60 + rate).await;
            expected.push(format!("heart_rate {}", 60 + rate));
        }
        if round % 2 == 0 {
            clinic.kill().await
        } else {
            clinic.stop().await
        }
        assert_eq!(clinic.values("s7"), expected);
        clinic.start().await;
        s7.connect().await;
    }
    clinic.pitchside(&["blocks", "verify"]).ok();
}

#[tokio::test]
async fn a_message_without_a_receipt_when_the_gateway_ends_is_sent_again_and_stored_once() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    let mut s7 = clinic.sensor("s7").await;
    let seqs: Vec<_> = (0..500).map(|n| s7.push_heart_rate(60 + n % 100)).collect();
    s7.send_due().await.unwrap();
    until("the first of them to be stored", || (!clinic.values("s7").is_empty()).then_some(())).await;
    clinic.kill().await;
    clinic.start().await;
    s7.connect().await;
    for seq in seqs {
        assert_eq!(s7.answer(seq).await, Told::Stored);
    }
    assert_eq!(clinic.values("s7").len(), 500);
}

#[tokio::test]
async fn a_stopped_gateway_has_sealed_everything() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(72).await;
    clinic.stop().await;
    assert!(clinic.tables().unsealed(1 << 20).unwrap().is_empty());
    assert_eq!(clinic.values("s7"), ["heart_rate 72"]);
    clinic.start().await;
    s7.connect().await;
    s7.heart_rate(73).await;
    assert_eq!(clinic.values("s7"), ["heart_rate 72", "heart_rate 73"]);
}

#[tokio::test]
async fn a_sensor_that_died_with_the_gateway_is_missed_and_one_that_said_goodbye_is_not() {
    let straps = Clinic::new().strap("s7").athlete("ada").strap("s8").athlete("ben");
    let mut clinic = straps.library(&["sensor-silent"]).start().await;
    let (mut s7, mut s8) = (clinic.sensor("s7").await, clinic.sensor("s8").await);
    for sensor in [&mut s7, &mut s8] {
        for rate in 70..75 {
            sensor.heart_rate(rate).await;
            clinic.advance(1);
        }
    }
    s8.say_goodbye().await;
    until("the goodbye to be stored", || (clinic.gaps("s8") == [GapReason::Ended]).then_some(())).await;
    clinic.kill().await;
    clinic.start().await;
    clinic.advance(60);
    until("the gap to be stored", || (clinic.gaps("s7") == [GapReason::Silent]).then_some(())).await;
    let alert = clinic.alerted(1).await.remove(0).alert;
    assert_eq!((alert.rule.as_str(), alert.device.as_str()), ("sensor-silent", "s7"));
    clinic.stop().await;
    assert_eq!((clinic.gaps("s8"), clinic.alerts().len()), (vec![GapReason::Ended], 1));
}

#[tokio::test]
async fn rules_hear_on_from_where_they_were_whatever_the_clock_says() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").rule("good", "value > 180.0").start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(190).await;
    let alert = clinic.alerted(1).await.remove(0).alert;
    clinic.stop().await;
    clinic.advance(9 * 24 * 3_600);
    clinic.start().await;
    clinic.stop().await;
    assert_eq!(clinic.alerts().into_iter().map(|row| row.alert).collect::<Vec<_>>(), [alert]);
}
