//! No answer before the commit: while somebody else holds the database, nothing is acknowledged.

use pitchside_tests::mqtt::codec::Packet;
use pitchside_tests::{Client, Clinic, Running, Told, frames, until};
use rusqlite::Connection;

/// Holds the write lock of the clinic's database.
fn hold(clinic: &mut Running) -> Connection {
    let path = clinic.settings().gateway.data_dir.join("pitchside.db");
    let holder = Connection::open(path).unwrap();
    holder.busy_timeout(pitchside_tests::PATIENCE).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    holder
}

#[tokio::test]
async fn a_receipt_comes_after_the_commit_and_so_does_the_mqtt_acknowledgement() {
    let mut clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    let mut s7 = clinic.sensor("s7").await;
    s7.heart_rate(71).await;
    s7.listen_until_ping().await.unwrap();
    let acknowledged = s7.acknowledged.len();
    let holder = hold(&mut clinic);
    let seq = s7.push_heart_rate(72);
    s7.send_due().await.unwrap();
    // The message has been taken in, and is not stored.
    until("the message to be taken in", || (clinic.metric("messages_total") == 2).then_some(())).await;
    assert_eq!(clinic.values("s7"), ["heart_rate 71"]);
    assert_eq!(s7.told(seq), None);
    s7.listen_until_ping().await.unwrap();
    assert_eq!((s7.told(seq), s7.acknowledged.len()), (None, acknowledged));
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(s7.answer(seq).await, Told::Stored);
    assert_eq!(clinic.values("s7"), ["heart_rate 71", "heart_rate 72"]);
    let more = |sensor: &pitchside_tests::Sensor| (sensor.acknowledged.len() > acknowledged).then_some(());
    s7.run_until(more).await.unwrap();
}

#[tokio::test]
async fn a_hub_hears_its_acknowledgement_after_the_commit() {
    let mut clinic = Clinic::new().hub("hub").athlete("ada").start().await;
    let mut hub = clinic.hub("hub").await;
    let holder = hold(&mut clinic);
    let body = frames::heart_rate(clinic.now().millis(), 88);
    let id = hub.publish("in/hub/live", &body).await.unwrap();
    until("the message to be taken in", || (clinic.metric("messages_total") == 1).then_some(())).await;
    assert_eq!(hub.ping().await, Ok(vec![]));
    holder.execute_batch("ROLLBACK").unwrap();
    assert_eq!(hub.packet().await, Ok(Packet::PubAck(id)));
    assert_eq!(clinic.values("hub"), ["heart_rate 88"]);
}

#[tokio::test]
async fn a_hub_that_is_still_there_on_another_connection_has_no_gap() {
    let clinic = Clinic::new().hub("hub").athlete("ada").start().await;
    let says = async |hub: &mut Client, value| {
        let body = frames::heart_rate(clinic.now().millis(), value);
        let id = hub.publish("in/hub/live", &body).await.unwrap();
        assert_eq!(hub.packet().await, Ok(Packet::PubAck(id)));
    };
    let mut first = clinic.hub("hub").await;
    says(&mut first, 88).await;
    // The same client: the box closes the old connection, after it has let the new one in.
    let mut second = clinic.hub("hub").await;
    says(&mut second, 89).await;
    assert!(first.packet().await.is_err(), "taken over");
    says(&mut second, 90).await;
    drop(second);
    until("the gap to be stored", || (!clinic.gaps("hub").is_empty()).then_some(())).await;
    let said = clinic.entries().into_iter().filter(|entry| entry.device.as_str() == "hub");
    let said: Vec<String> =
        said.flat_map(|entry| entry.readings).map(|reading| format!("{:?}", reading.value)).collect();
    assert_eq!(said.iter().position(|value| value.contains("Gap")), Some(said.len() - 1), "the last word: {said:?}");
}
