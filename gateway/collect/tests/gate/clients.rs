//! rumqttc, somebody else's client, in both versions.

use bytes::Bytes;
use pitchside_collect::Outbound;
use pitchside_collect::mqtt::Qos;
use tokio::time::timeout;

use super::desk::{Front, PATIENCE};

/// Sends so many messages and counts the acknowledgements.
macro_rules! publishes {
    ($name:ident, $module:path) => {
        #[tokio::test]
        async fn $name() {
            use $module as mqtt;
            let mut front = Front::new().await;
            let address = front.gate.local_addrs().tcp[0];
            let mut options = mqtt::MqttOptions::new("s7", address.ip().to_string(), address.port());
            options.set_keep_alive(std::time::Duration::from_secs(5));
            let (client, mut events) = mqtt::AsyncClient::new(options, 100);
            let count = 1_000;
            let sender = client.clone();
            let sending = tokio::spawn(async move {
                sender.subscribe("ps/1/s7/dn", mqtt::mqttbytes::QoS::AtLeastOnce).await.unwrap();
                sender.publish("ps/1/s7/hs", mqtt::mqttbytes::QoS::AtLeastOnce, false, "hello").await.unwrap();
                for number in 1..count {
                    let payload = format!("{number}");
                    let qos = mqtt::mqttbytes::QoS::AtLeastOnce;
                    sender.publish("ps/1/s7/up", qos, false, payload).await.unwrap();
                }
            });
            let mut acknowledged = 0;
            let mut subscribed = false;
            while acknowledged < count || !subscribed {
                let event = timeout(PATIENCE, events.poll()).await.unwrap().unwrap();
                let text = format!("{event:?}");
                acknowledged += usize::from(text.starts_with("Incoming(PubAck"));
                subscribed |= text.starts_with("Incoming(SubAck");
            }
            sending.await.unwrap();
            let link = front.opened().await;
            let took = front.took(count).await;
            let payloads = took.iter().skip(1).map(|inbound| String::from_utf8(inbound.bytes.to_vec()).unwrap());
            assert!(payloads.eq((1..count).map(|number| number.to_string())));

            link.send(Outbound::Frame(Bytes::from_static(b"receipt"))).unwrap();
            loop {
                let event = timeout(PATIENCE, events.poll()).await.unwrap().unwrap();
                if let mqtt::Event::Incoming(mqtt::mqttbytes::Packet::Publish(message)) = event {
                    let topic: &[u8] = message.topic.as_ref();
                    assert_eq!((topic, &message.payload[..]), (&b"ps/1/s7/dn"[..], &b"receipt"[..]));
                    break;
                }
            }
            client.disconnect().await.unwrap();
            while events.poll().await.is_ok() {}
            assert_eq!(front.closed().await, link.id);
        }
    };
}

mod v4 {
    pub use rumqttc::{AsyncClient, Event, MqttOptions};
    pub mod mqttbytes {
        pub use rumqttc::{Packet, QoS};
    }
}

mod v5 {
    pub use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    pub mod mqttbytes {
        pub use rumqttc::v5::mqttbytes::{QoS, v5::Packet};
    }
}

publishes!(a_device_with_rumqttc_of_mqtt_3_publishes_and_is_acknowledged, super::clients::v4);
publishes!(a_device_with_rumqttc_of_mqtt_5_publishes_and_is_acknowledged, super::clients::v5);

#[tokio::test]
async fn an_app_with_rumqttc_gets_alerts_it_missed_and_new_ones() {
    let front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    front.gate.publish("alerts/a7", Bytes::from_static(b"before"), true, Qos::AtLeastOnce).unwrap();
    let mut options = rumqttc::v5::MqttOptions::new("viewer", address.ip().to_string(), address.port());
    options.set_credentials("app1", "secret");
    let (client, mut events) = rumqttc::v5::AsyncClient::new(options, 10);
    client.subscribe("alerts/#", rumqttc::v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let event = timeout(PATIENCE, events.poll()).await.unwrap().unwrap();
        if let rumqttc::v5::Event::Incoming(rumqttc::v5::mqttbytes::v5::Packet::Publish(message)) = event {
            heard.push((message.retain, message.payload));
            if heard.len() == 1 {
                front.gate.publish("alerts/a8", Bytes::from_static(b"after"), true, Qos::AtLeastOnce).unwrap();
            }
        }
    }
    assert_eq!(heard, [(true, Bytes::from_static(b"before")), (false, Bytes::from_static(b"after"))]);
}

#[tokio::test]
async fn an_app_that_asks_for_a_session_finds_after_it_was_away_what_is_retained_and_nothing_else() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let front = Front::new().await;
    let address = front.gate.local_addrs().tcp[0];
    let mut options = MqttOptions::new("viewer", address.ip().to_string(), address.port());
    options.set_credentials("app1", "secret");
    options.set_clean_session(false);

    let (client, mut events) = AsyncClient::new(options.clone(), 10);
    client.subscribe("alerts/#", QoS::AtLeastOnce).await.unwrap();
    while !matches!(timeout(PATIENCE, events.poll()).await.unwrap().unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    client.disconnect().await.unwrap();
    while events.poll().await.is_ok() {}
    for (topic, retain) in [("alerts/a7", true), ("alerts/a8", false)] {
        front.gate.publish(topic, Bytes::from_static(b"away"), retain, Qos::AtLeastOnce).unwrap();
    }

    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("alerts/#", QoS::AtLeastOnce).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        match timeout(PATIENCE, events.poll()).await.unwrap().unwrap() {
            Event::Incoming(Packet::ConnAck(welcome)) => assert!(!welcome.session_present),
            Event::Incoming(Packet::Publish(message)) => {
                if heard.is_empty() {
                    front.gate.publish("alerts/a9", Bytes::from_static(b"there"), false, Qos::AtLeastOnce).unwrap();
                }
                heard.push(message.topic);
            }
            _ => {}
        }
    }
    assert_eq!(heard, ["alerts/a7", "alerts/a9"]);
}
