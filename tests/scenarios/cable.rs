//! A sensor on a serial line: plugged in, pulled out, plugged in again, with noise on the wire.

use pitchside_config::{SerialMode, SerialPort};
use pitchside_model::{DeviceId, GapReason, Reading, Value};
use pitchside_tests::pty::Plug;
use pitchside_tests::{Clinic, Told, until};
use pitchside_wire::{Topic, cobs};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

#[tokio::test]
async fn an_amplifier_that_knows_only_packets_is_read_on_the_boxs_own_serial_line() {
    let clinic = Clinic::new()
        .library_plugin("serial-emg-amplifier")
        .wired("emg-1")
        .decoder("serial-emg-amplifier")
        .athlete("ada");
    let path = clinic.dir().join("tty").join("emg-1");
    let line = path.clone();
    let clinic = clinic.with(move |settings| {
        settings.serial = vec![SerialPort {
            mode: SerialMode::Packets,
            device: Some(DeviceId::parse("emg-1").unwrap()),
            packet_bytes: Some(33),
            packet_begins: Some("a0".parse().unwrap()),
            packet_ends: Some("c?".parse().unwrap()),
            hello: Some("b".to_owned()),
            ..SerialPort::ps1(line.clone())
        }];
    });
    let mut plug = Plug::plug_in(&path).unwrap();
    let clinic = clinic.start().await;
    let mut hello = [0];
    plug.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"b");
    plug.write_all(b"OpenBCI V3 8-16 channel\n$$$").await.unwrap();
    let mut sent = Vec::new();
    for number in 0..50 {
        let mut packet = [0; 33];
        (packet[0], packet[1], packet[4], packet[32]) = (0xa0, number, 100, 0xc0);
        sent.extend_from_slice(&packet);
    }
    plug.write_all(&sent).await.unwrap();
    until("two waveforms to be stored", || (clinic.readings("emg-1").len() >= 2).then_some(())).await;
    let samples = |reading: &Reading| match &reading.value {
        Value::Wave(wave) => (wave.samples.len(), wave.period_ns),
        other => panic!("{other:?}"),
    };
    let found: Vec<_> = clinic.readings("emg-1").iter().map(samples).collect();
    assert_eq!(found, [(25, 4_000_000), (25, 4_000_000)]);
}
