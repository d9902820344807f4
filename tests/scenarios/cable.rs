//! A sensor on a serial line: plugged in, pulled out, plugged in again, with noise on the wire.

use pitchside_model::GapReason;
use pitchside_tests::{Clinic, Told, until};
use pitchside_wire::{Topic, cobs};

#[tokio::test]
async fn a_sensor_on_a_cable_is_heard_pulled_out_missed_and_heard_again() {
    let clinic = Clinic::new().strap("s7").athlete("ada").on_a_cable().start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(71).await;
    // Told while the plug is out.
    s7.unlink();
    until("the gap to be recorded", || clinic.gaps("s7").contains(&GapReason::Disconnected).then_some(())).await;
    let seq = s7.push_heart_rate(72);
    s7.connect().await;
    assert_eq!(s7.answer(seq).await, Told::Stored);
    s7.heart_rate(73).await;
    assert_eq!(clinic.values("s7"), ["heart_rate 71", "heart_rate 72", "heart_rate 73"]);
}

#[tokio::test]
async fn noise_and_half_frames_on_the_wire_cost_only_themselves() {
    let clinic = Clinic::new().strap("s7").athlete("ada").on_a_cable().start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.noise(&[0x55; 100]).await;
    s7.noise(&[0]).await;
    // Half a frame, then a whole one: the delimiter between them is all there is.
    s7.push_heart_rate(71);
    let whole = s7.due().remove(0).frame;
    let mut wire = Vec::new();
    cobs::encode(&whole, &mut wire);
    s7.noise(&wire[..wire.len() / 2]).await;
    s7.noise(&[0]).await;
    // A byte at a time.
    for byte in &wire {
        s7.noise(&[*byte]).await;
    }
    s7.run_until(|sensor| (sensor.unanswered() == 0).then_some(())).await.unwrap();
    // Longer than any frame, without a delimiter.
    s7.noise(&vec![0x66; 40_000]).await;
    s7.noise(&[0]).await;
    s7.heart_rate(72).await;
    assert_eq!(clinic.values("s7"), ["heart_rate 71", "heart_rate 72"]);
    s7.throw(Topic::Up, b"").await.unwrap();
    s7.heart_rate(73).await;
}
