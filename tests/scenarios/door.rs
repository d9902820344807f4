//! Who gets in, and who is put out.

use std::time::{Duration, Instant};

use pitchside_model::{Assurance, DeviceId};
use pitchside_tests::mqtt::codec::Packet;
use pitchside_tests::{Client, Clinic, Running, Sensor, frames, until};
use pitchside_wire::{Credential, Kind, PrivateKey, Psk};

use crate::all_goes_on;

/// Tries until the gateway says no, or something that this device cannot believe.
async fn is_not_let_in(clinic: &Running, mut device: Sensor) {
    device.link().await.unwrap();
    // A closed connection is an answer, too.
    let _ = device.run_until(|sensor| (!sensor.heard.is_empty()).then_some(())).await;
    // Whatever follows from the first answer has followed when a ping comes back.
    let _ = device.send_due().await;
    let _ = device.listen_until_ping().await;
    assert_eq!(device.connections, 0, "{} heard {:?}", device.id(), device.heard);
    // Whoever was in before is counted out a moment after the door is shut.
    until("nobody to be in", || (clinic.metric("devices_connected") == 0).then_some(())).await;
}

#[tokio::test]
async fn a_device_with_a_wrong_pre_shared_key_is_not_let_in() {
    let clinic = Clinic::new().strap("s7").athlete("ada").tiny("t1").patch("p1").start().await;
    let psk = Psk::new([9; 32]);
    is_not_let_in(&clinic, clinic.device_with("s7", Credential::P1 { psk: psk.clone() })).await;
    is_not_let_in(&clinic, clinic.device_with("t1", Credential::P0 { psk: psk.clone() })).await;
    let Credential::P2 { private, gateway, .. } = clinic.card("p1") else { panic!("a patch has its own key") };
    is_not_let_in(&clinic, clinic.device_with("p1", Credential::P2 { psk, private, gateway })).await;
    // The reply to a P2 hello is the first thing the pre-shared key is in: that device does not believe its gateway.
    assert_eq!(clinic.refused("forged"), 2);
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn a_device_with_a_wrong_static_key_is_not_let_in() {
    let clinic = Clinic::new().strap("s7").athlete("ada").patch("p1").start().await;
    let Credential::P2 { psk, gateway, .. } = clinic.card("p1") else { panic!("a patch has its own key") };
    let private = PrivateKey::new([5; 32]);
    is_not_let_in(&clinic, clinic.device_with("p1", Credential::P2 { psk, private, gateway })).await;
    assert_eq!(clinic.refused("wrong_static"), 1);
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn a_device_that_talks_to_another_gateway_is_not_let_in() {
    let clinic = Clinic::new().strap("s7").athlete("ada").patch("p1").start().await;
    let Credential::P2 { psk, private, .. } = clinic.card("p1") else { panic!("a patch has its own key") };
    let gateway = PrivateKey::new([6; 32]).public();
    is_not_let_in(&clinic, clinic.device_with("p1", Credential::P2 { psk, private, gateway })).await;
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn an_unknown_device_hears_what_a_wrong_key_hears() {
    let clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    is_not_let_in(&clinic, clinic.device_with("stranger", Credential::P1 { psk: Psk::new([9; 32]) })).await;
    assert_eq!(clinic.refused("unknown_device"), 1);
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn a_device_of_another_class_than_it_was_enrolled_in_is_not_let_in() {
    let clinic = Clinic::new().strap("s7").athlete("ada").start().await;
    let Credential::P1 { psk } = clinic.card("s7") else { panic!("a strap has a pre-shared key") };
    is_not_let_in(&clinic, clinic.device_with("s7", Credential::P0 { psk })).await;
    assert_eq!(clinic.refused("wrong_class"), 1);
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn a_revoked_device_is_out_within_a_second_and_stays_out() {
    let clinic = Clinic::new().strap("s7").athlete("ada").strap("s8").strap("s9").strap("s10").start().await;
    let mut took = Vec::new();
    for name in ["s8", "s9", "s10"] {
        let mut strap = clinic.sensor(name).await;
        strap.heart_rate(99).await;
        let revoked = Instant::now();
        clinic.tables().revoke_device(&DeviceId::parse(name).unwrap(), clinic.now()).unwrap();
        let closed = strap.run_until(|sensor| sensor.heard.contains(&Kind::Close).then_some(())).await;
        took.push(revoked.elapsed());
        assert_eq!(closed, Ok(()), "it is told");
        is_not_let_in(&clinic, clinic.device(name)).await;
        assert!(clinic.refused("revoked") >= took.len() as u64);
        assert_eq!(clinic.values(name), ["heart_rate 99"]);
    }
    took.sort_unstable();
    // The one in the middle: a machine that does something else for a moment says nothing of the gateway.
    assert!(took[1] < Duration::from_secs(1), "{took:?}");
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn what_a_device_without_an_athlete_measures_is_kept_as_nobodys() {
    let clinic = Clinic::new().strap("s7").start().await;
    clinic.sensor("s7").await.heart_rate(72).await;
    clinic.seal().await;
    let entries: Vec<_> = clinic.entries().into_iter().filter(|entry| !entry.readings.is_empty()).collect();
    assert!(entries.iter().all(|entry| entry.athlete.is_none()));
    assert_eq!(clinic.values("s7"), ["heart_rate 72"]);
}

#[tokio::test]
async fn every_class_comes_in_with_its_own_assurance() {
    let clinic = Clinic::new().tiny("t1").strap("s7").patch("p1").start().await;
    for device in ["t1", "s7", "p1"] {
        clinic.sensor(device).await.heart_rate(72).await;
    }
    let assurance =
        |device: &str| clinic.entries().iter().find(|entry| entry.device.as_str() == device).unwrap().assurance;
    assert_eq!(["t1", "s7", "p1"].map(assurance), [Assurance::Psk, Assurance::Noise, Assurance::Noise]);
}

#[tokio::test]
async fn a_hub_with_a_password_is_taken_at_its_word_and_marked_so() {
    let clinic = Clinic::new().hub("hub").athlete("ada").start().await;
    let mut hub = clinic.hub("hub").await;
    let body = frames::heart_rate(clinic.now().millis(), 88);
    let id = hub.publish("in/hub/live", &body).await.unwrap();
    assert_eq!(hub.packet().await, Ok(Packet::PubAck(id)));
    assert_eq!(clinic.values("hub"), ["heart_rate 88"]);
    assert!(clinic.entries().iter().all(|entry| entry.assurance == Assurance::Password));
    let (address, authority) = clinic.mqtt_tls();
    let mut impostor = Client::tls(address, authority).await;
    assert_eq!(impostor.hello("hub", Some(("hub", "a guess"))).await, Ok(4));
}
