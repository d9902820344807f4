//! Frames that come again, in another order, cut, changed or too long. None is taken twice, none that is not genuine is
//! taken at all, and the session lives on.

use pitchside_tests::{Clinic, Running, Told, until};
use pitchside_wire::{Content, FRAME_BYTES_MAX, Seq, Topic};

use crate::goes_on;

async fn strap() -> Running {
    Clinic::new().strap("s7").athlete("ada").strap("s8").start().await
}

#[tokio::test]
async fn a_frame_that_is_replayed_is_taken_once() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let seq = s7.push_heart_rate(72);
    let frames = s7.due();
    s7.throw(Topic::Up, &frames[0].frame).await.unwrap();
    assert_eq!(s7.answer(seq).await, Told::Stored);
    for _ in 0..3 {
        s7.throw(Topic::Up, &frames[0].frame).await.unwrap();
    }
    until("three refusals", || (clinic.refused("replayed") == 3).then_some(())).await;
    assert_eq!(clinic.values("s7"), ["heart_rate 72"]);
    goes_on(&clinic, &mut s7).await;
}

#[tokio::test]
async fn frames_in_another_order_are_all_taken_and_stored_in_theirs() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let seqs: Vec<Seq> = (60..160).map(|rate| s7.push_heart_rate(rate)).collect();
    let frames = s7.due();
    assert_eq!(frames.len(), 100);
    for frame in frames.iter().rev() {
        s7.throw(frame.topic, &frame.frame).await.unwrap();
    }
    for seq in seqs {
        assert_eq!(s7.answer(seq).await, Told::Stored);
    }
    let expected: Vec<String> = (60..160).map(|rate| format!("heart_rate {rate}")).collect();
    assert_eq!(clinic.values("s7"), expected);
}

#[tokio::test]
async fn a_frame_cut_anywhere_or_changed_anywhere_is_not_taken_and_the_whole_one_is() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let seq = s7.push_heart_rate(72);
    let whole = s7.due().remove(0).frame;
    let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
    let changed = (0..whole.len()).map(|at| {
        let mut frame = whole.clone();
        frame[at] ^= 1 << (at % 8);
        frame
    });
    for (number, frame) in cut.chain(changed).enumerate() {
        // The clock goes on, so that refusals stay rarer than what ends a link.
        clinic.advance(1);
        s7.throw(Topic::Up, &frame).await.unwrap();
        until("a refusal", || (clinic.refusals() > number as u64).then_some(())).await;
    }
    assert_eq!(s7.told(seq), None);
    s7.throw(Topic::Up, &whole).await.unwrap();
    assert_eq!(s7.answer(seq).await, Told::Stored);
    assert_eq!(clinic.values("s7"), ["heart_rate 72"]);
    goes_on(&clinic, &mut s7).await;
}

#[tokio::test]
async fn first_words_cut_anywhere_or_changed_anywhere_begin_no_session() {
    let clinic = strap().await;
    for device in ["s7", "s8"] {
        let mut sensor = clinic.device(device);
        sensor.open().await.unwrap();
        let hello = sensor.first_words().remove(0);
        for length in 0..hello.frame.len() {
            clinic.advance(2);
            let mut changed = hello.frame.clone();
            changed[length] ^= 0x40;
            for frame in [&hello.frame[..length], &changed] {
                if sensor.throw(hello.topic, frame).await.is_err() {
                    sensor.open().await.unwrap();
                }
            }
        }
        assert_eq!(sensor.connections, 0);
        sensor.connect().await;
        sensor.heart_rate(72).await;
    }
}

#[tokio::test]
async fn a_link_that_only_says_nonsense_is_closed() {
    let clinic = strap().await;
    let mut s8 = clinic.sensor("s8").await;
    for _ in 0..100 {
        if s8.throw(Topic::Up, b"nonsense").await.is_err() {
            break;
        }
    }
    assert!(s8.run_until(|_| None::<()>).await.is_err(), "the gate closes the link");
    clinic.advance(60);
    crate::all_goes_on(&clinic).await;
}

#[tokio::test]
async fn a_frame_over_the_limit_is_refused_and_a_packet_over_the_limit_ends_the_link() {
    let clinic = strap().await;
    let (mut s7, mut s8) = (clinic.sensor("s7").await, clinic.sensor("s8").await);
    s7.throw(Topic::Up, &vec![0x15; FRAME_BYTES_MAX + 1]).await.unwrap();
    until("a refusal", || (clinic.refused("not_a_frame") == 1).then_some(())).await;
    goes_on(&clinic, &mut s7).await;
    // The gate may close before everything is written.
    let _ = s8.throw(Topic::Up, &vec![0x15; 70_000]).await;
    assert!(s8.run_until(|_| None::<()>).await.is_err(), "the gate closes the link");
    goes_on(&clinic, &mut s7).await;
}

#[tokio::test]
async fn a_message_sent_again_under_a_new_session_is_stored_once_and_receipted_again() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    let seq = s7.push_heart_rate(72);
    s7.send_due().await.unwrap();
    until("the message to be stored", || (clinic.values("s7").len() == 1).then_some(())).await;
    s7.forget_session();
    s7.connect().await;
    assert_eq!(s7.answer(seq).await, Told::Stored);
    assert_eq!(clinic.refused("duplicate"), 1);
    assert_eq!(clinic.values("s7"), ["heart_rate 72"]);
}

#[tokio::test]
async fn a_frame_of_an_ended_session_is_not_taken() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.push_heart_rate(72);
    let old = s7.due().remove(0);
    s7.forget_session();
    s7.connect().await;
    s7.throw(old.topic, &old.frame).await.unwrap();
    until("a refusal", || (clinic.refused("no_session") == 1).then_some(())).await;
}

#[tokio::test]
async fn a_frame_of_one_device_on_the_link_of_another_is_not_taken() {
    let clinic = strap().await;
    let (mut s7, mut s8) = (clinic.sensor("s7").await, clinic.sensor("s8").await);
    let seq = s7.push_heart_rate(72);
    let frame = s7.due().remove(0);
    s8.throw(frame.topic, &frame.frame).await.unwrap();
    until("a refusal", || (clinic.refused("another_device") + clinic.refused("another_link") == 1).then_some(())).await;
    assert!(clinic.values("s7").is_empty() && clinic.values("s8").is_empty());
    s7.throw(frame.topic, &frame.frame).await.unwrap();
    assert_eq!(s7.answer(seq).await, Told::Stored);
}

#[tokio::test]
async fn after_two_hours_a_device_gets_new_keys_and_loses_nothing() {
    let clinic = strap().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(71).await;
    clinic.advance(2 * 3_600 + 60);
    let before = s7.connections;
    s7.heart_rate(72).await;
    assert!(s7.connections > before, "a new session");
    assert_eq!(
        s7.says(Content::SenmlJson, pitchside_tests::frames::heart_rate(clinic.now().millis(), 73)).await,
        Told::Stored
    );
    assert_eq!(clinic.values("s7"), ["heart_rate 71", "heart_rate 72", "heart_rate 73"]);
}
