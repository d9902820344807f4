//! What an MQTT client may not do. Whoever does it is alone with the consequences.

use pitchside_tests::mqtt::codec::{self, Packet};
use pitchside_tests::{Client, Clinic, Running};

use crate::{all_goes_on, goes_on};

async fn clinic() -> Running {
    Clinic::new().strap("s7").athlete("ada").strap("s8").start().await
}

async fn welcomed(clinic: &Running, id: &str) -> Client {
    let mut client = Client::plain(clinic.mqtt()).await.unwrap();
    assert_eq!(client.hello(id, None).await, Ok(0));
    client
}

/// A PUBLISH of any bytes as its topic.
fn publish(topic: &[u8], retain: bool) -> Vec<u8> {
    let mut packet = vec![if retain { 0x33 } else { 0x32 }, (topic.len() + 5) as u8, 0, topic.len() as u8];
    packet.extend_from_slice(topic);
    packet.extend([0, 1, b'x']);
    packet
}

#[tokio::test]
async fn topics_of_others_wildcards_and_bytes_that_are_no_text_end_the_connection() {
    let clinic = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    let topics: [&[u8]; 12] = [
        b"ps/1/s7/up",
        b"ps/1/s7/dn",
        b"ps/1/s8/dn",
        b"ps/1/+/up",
        b"ps/1/#",
        b"#",
        b"+",
        b"alerts/x",
        b"in/s8/live",
        b"$SYS/x",
        b"ps/1/\xff\xfe/up",
        b"",
    ];
    for topic in topics {
        let mut client = welcomed(&clinic, "s8").await;
        client.send(&publish(topic, false)).await.unwrap();
        assert_eq!(client.ends().await, [], "{:?}", String::from_utf8_lossy(topic));
    }
    let mut client = welcomed(&clinic, "s8").await;
    client.send(&publish(b"ps/1/s8/up", true)).await.unwrap();
    assert_eq!(client.ends().await, [], "a retained message");
    goes_on(&clinic, &mut s7).await;
    assert!(clinic.values("s8").is_empty());
}

#[tokio::test]
async fn a_device_hears_its_own_answers_and_nobody_elses() {
    let clinic = clinic().await;
    let mut client = welcomed(&clinic, "s8").await;
    for filter in ["ps/1/s7/dn", "ps/1/+/dn", "ps/1/#", "#", "$SYS/#", "alerts/#", "live/#", "$share/g/ps/1/s8/dn"] {
        assert_eq!(client.subscribe(filter).await, Ok(0x80), "{filter}");
    }
    assert!(client.subscribe("ps/1/s8/dn").await.unwrap() < 0x80);
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn client_ids_that_are_no_names_are_turned_away() {
    let clinic = clinic().await;
    // Two of the first kind are what stops the broker this gate stands in front of.
    for id in ["a/b", "a/b", "a+b", "a#", "+", "#", "$SYS", "$", "a b", "\u{e4}", "", &"x".repeat(49)] {
        let mut client = Client::plain(clinic.mqtt()).await.unwrap();
        assert_eq!(client.hello(id, None).await, Ok(2), "{id:?}");
        assert_eq!(client.ends().await, []);
    }
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn another_devices_client_id_gets_nothing_and_disturbs_nobody() {
    let clinic = clinic().await;
    let mut s7 = clinic.sensor("s7").await;
    let mut impostor = welcomed(&clinic, "s7").await;
    assert!(impostor.subscribe("ps/1/s7/dn").await.unwrap() < 0x80);
    goes_on(&clinic, &mut s7).await;
    assert_eq!(impostor.ping().await, Ok(vec![]), "nothing of the session is heard");
    impostor.publish("ps/1/s7/up", b"\x15nonsense").await.unwrap();
    goes_on(&clinic, &mut s7).await;
}

#[tokio::test]
async fn a_device_leaves_no_will() {
    let clinic = clinic().await;
    let mut connect = b"\0\x04MQTT\x04\x06\0\0\0\x02s8".to_vec();
    for field in [&b"ps/1/s7/up"[..], b"boo"] {
        connect.extend((field.len() as u16).to_be_bytes());
        connect.extend_from_slice(field);
    }
    let packet = [&[0x10, connect.len() as u8][..], &connect].concat();
    let mut client = Client::plain(clinic.mqtt()).await.unwrap();
    client.send(&packet).await.unwrap();
    let answer = client.ends().await;
    assert!(!answer.contains(&Packet::ConnAck(0)), "{answer:?}");
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn ten_thousand_topics_of_one_client_end_its_connection_and_nobody_elses() {
    let clinic = Clinic::new().strap("s7").athlete("ada").hub("hub").athlete("ben").start().await;
    let mut s7 = clinic.sensor("s7").await;
    let mut hub = clinic.hub("hub").await;
    let body = pitchside_tests::frames::heart_rate(clinic.now().millis(), 88);
    let mut sent = 0;
    for topic in 0..10_000 {
        if hub.publish(&format!("in/hub/{topic}"), &body).await.is_err() {
            break;
        }
        sent += 1;
    }
    let acknowledged = hub.ends().await.iter().filter(|packet| matches!(packet, Packet::PubAck(_))).count();
    assert!(acknowledged <= 256, "{acknowledged} topics of {sent} were taken");
    assert!(clinic.values("hub").len() >= acknowledged, "what was acknowledged is stored");
    goes_on(&clinic, &mut s7).await;
}

#[tokio::test]
async fn ten_thousand_topics_of_one_device_end_its_connection_at_the_first() {
    let clinic = clinic().await;
    let mut client = welcomed(&clinic, "s8").await;
    let mut out = Vec::new();
    for topic in 0..10_000 {
        codec::publish(&mut out, &format!("ps/1/s8/{topic}"), 1, b"x");
    }
    let _ = client.send(&out).await;
    assert_eq!(client.ends().await, []);
    all_goes_on(&clinic).await;
}

#[tokio::test]
async fn bytes_that_are_not_mqtt_get_no_answer() {
    let clinic = clinic().await;
    let http = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n".to_vec();
    for bytes in
        [http, vec![0xff; 64], vec![0; 64], publish(b"ps/1/s7/up", false), vec![0x10, 0xff, 0xff, 0xff, 0xff, 0x7f]]
    {
        let mut client = Client::plain(clinic.mqtt()).await.unwrap();
        client.send(&bytes).await.unwrap();
        assert_eq!(client.ends().await, []);
    }
    all_goes_on(&clinic).await;
}
