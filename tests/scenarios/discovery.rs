//! A hub that announces its sensors as Home Assistant discovers them, and what the box keeps of what it announced.

use pitchside_model::PluginName;
use pitchside_tests::clinic::copy;
use pitchside_tests::mqtt::codec::Packet;
use pitchside_tests::program::repository;
use pitchside_tests::{Client, Clinic, Running, until};

const PLUGIN: &str = "home-assistant-sensor";

async fn clinic() -> Running {
    let clinic = Clinic::new().hub("hall").decoder(PLUGIN).hub("roof").decoder(PLUGIN);
    copy(&repository().join("plugins").join(PLUGIN), &clinic.dir().join("plugins").join(PLUGIN));
    clinic.start().await
}

/// Publishes below the hub's own place, and waits for the answer: it is stored by then, or refused.
async fn says(hub: &mut Client, name: &str, topic: &str, payload: &str) {
    let id = hub.publish(&format!("in/{name}/{topic}"), payload.as_bytes()).await.unwrap();
    assert_eq!(hub.packet().await, Ok(Packet::PubAck(id)), "{topic}");
}

/// Announces a thermometer with a template, in Fahrenheit, and a hygrometer without one.
async fn announces(hub: &mut Client, name: &str) {
    let thermometer = format!(
        r#"{{"dev_cla":"temperature","unit_of_meas":"°F","stat_t":"in/{name}/z/pitch","val_tpl":"{{{{ value_json['air'].t | round(1) }}}}"}}"#
    );
    says(hub, name, "homeassistant/sensor/pitch/t/config", &thermometer).await;
    let hygrometer =
        format!(r#"{{"~":"in/{name}/pitch","dev_cla":"humidity","unit_of_meas":"%","stat_t":"~/humidity"}}"#);
    says(hub, name, "homeassistant/sensor/pitch/h/config", &hygrometer).await;
}

async fn measures(hub: &mut Client, name: &str) {
    says(hub, name, "z/pitch", r#"{"air":{"t":70.0},"linkquality":80}"#).await;
    says(hub, name, "pitch/humidity", "45.5").await;
}

const MEASURED: [&str; 2] = ["ambient_temperature 21.11", "relative_humidity 45.5"];

/// Whether the database has what a plugin keeps of so many devices.
fn written_down(clinic: &Running, plugin: &str, devices: usize) -> Option<()> {
    let kept = clinic.tables().decoder_states(&PluginName::parse(plugin).unwrap()).unwrap();
    (kept.len() == devices).then_some(())
}

#[tokio::test]
async fn what_a_hub_announced_is_read_by_its_template_in_our_units_and_another_hubs_is_not() {
    let clinic = clinic().await;
    let (mut hall, mut roof) = (clinic.hub("hall").await, clinic.hub("roof").await);
    measures(&mut hall, "hall").await;
    assert!(clinic.values("hall").is_empty(), "nobody announced it");
    announces(&mut hall, "hall").await;
    measures(&mut hall, "hall").await;
    assert_eq!(clinic.values("hall"), MEASURED);
    let units: Vec<_> = clinic.readings("hall").iter().map(|reading| reading.unit.ucum()).collect();
    assert_eq!(units, ["Cel", "%"]);
    measures(&mut roof, "roof").await;
    assert!(clinic.values("roof").is_empty(), "the other hub announced nothing");
    let bad =
        r#"{"dev_cla":"temperature","unit_of_meas":"°C","stat_t":"z/pitch","val_tpl":"{{ value_json.air.t * 2 }}"}"#;
    says(&mut hall, "hall", "homeassistant/sensor/pitch/t/config", bad).await;
    assert_eq!(clinic.refused("payload"), 1);
    measures(&mut hall, "hall").await;
    assert_eq!(clinic.values("hall"), [MEASURED, MEASURED].concat(), "what was announced before counts");
    says(&mut hall, "hall", "homeassistant/sensor/pitch/t/config", "").await;
    measures(&mut hall, "hall").await;
    assert_eq!(clinic.values("hall")[4..], ["relative_humidity 45.5"], "it was taken back");
}

#[tokio::test]
async fn what_was_announced_is_known_after_a_restart_and_forgotten_with_the_device() {
    let mut clinic = clinic().await;
    let mut hall = clinic.hub("hall").await;
    announces(&mut hall, "hall").await;
    clinic.stop().await;
    clinic.start().await;
    measures(&mut clinic.hub("hall").await, "hall").await;
    assert_eq!(clinic.values("hall"), MEASURED);
    let mut roof = clinic.hub("roof").await;
    announces(&mut roof, "roof").await;
    until("both are written down", || written_down(&clinic, PLUGIN, 2)).await;
    clinic.kill().await;
    clinic.start().await;
    measures(&mut clinic.hub("roof").await, "roof").await;
    assert_eq!(clinic.values("roof"), MEASURED);
    clinic.pitchside(&["device", "revoke", "hall"]).ok();
    written_down(&clinic, PLUGIN, 1).expect("what a revoked hub announced is gone");
}

#[tokio::test]
async fn the_end_of_the_decoders_process_costs_nothing_that_was_announced() {
    let clinic = clinic().await;
    let mut hall = clinic.hub("hall").await;
    announces(&mut hall, "hall").await;
    clinic.kill_plugin(PLUGIN);
    // What finds it dead is kept, and read when it is back.
    measures(&mut hall, "hall").await;
    until("both are read", || (clinic.values("hall").len() == 2).then_some(())).await;
    let mut values = clinic.values("hall");
    values.sort();
    assert_eq!(values, MEASURED);
}
