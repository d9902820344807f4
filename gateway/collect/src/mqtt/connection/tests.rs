use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, duplex, split};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::super::doors::Doors;
use super::super::gate::Shared;
use super::super::limits::Limits;
use super::*;
use crate::intake::{Intake, Settled};
use crate::link::Outbound;

/// Lets everybody in and stores nothing.
struct Sink;

#[async_trait]
impl Intake for Sink {
    async fn admit(&self, ask: Admission) -> Result<Rights, Refused> {
        Ok(match ask.username {
            None => Rights::Ps1 { device: ask.client },
            Some(_) => Rights::App { name: ask.client, filters: vec!["#".to_owned()] },
        })
    }
    async fn opened(&self, _link: Link) {}
    async fn take(&self, link: &Link, inbound: Vec<Inbound>) {
        let settled = inbound.into_iter().map(|inbound| (inbound.ticket, Settled::Stored)).collect();
        link.send(Outbound::Settled(settled)).ok();
    }
    async fn closed(&self, _link: LinkId) {}
}

/// Sends `stream` in pieces over a connection and waits until the gate is through with it.
fn survives(stream: &[u8], pieces: &[usize]) -> Result<(), TestCaseError> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limits = Arc::new(Limits::default());
        let shared = Arc::new(Shared::for_tests(limits.clone(), Arc::new(Sink)));
        let doors = Arc::new(Doors::new(&limits));
        let (place, unproven) = doors.enter("127.0.0.1".parse().unwrap()).unwrap();
        let arrival = Arrival {
            medium: Medium::Mqtt,
            peer: Arc::from("test"),
            prove_until: Instant::now() + Duration::from_secs(60),
            place,
            unproven,
        };
        let (near, far) = duplex(256);
        let (reader, writer) = split(near);
        let served = tokio::spawn(serve(shared, reader, writer, arrival));
        let (mut answers, mut questions) = split(far);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            answers.read_to_end(&mut all).await.ok();
        });
        let mut rest = stream;
        for piece in pieces.iter().chain([&usize::MAX]) {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            rest = later;
            if questions.write_all(now).await.is_err() {
                break;
            }
        }
        questions.shutdown().await.ok();
        prop_assert!(timeout(Duration::from_secs(20), served).await.is_ok_and(|served| served.is_ok()));
        prop_assert_eq!(doors.counts(), (0, 0));
        reading.await.ok();
        Ok(())
    })
}

const V4: &[u8] = b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02s7";
const V5: &[u8] = b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x02s7";
const APP: &[u8] = b"\x10\x15\x00\x04MQTT\x05\x82\x00\x00\x00\x00\x02s7\x00\x04app1";

/// Bytes that look like packets more often than chance would have it.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![prop::sample::select(b"\x30\x32\x34\x40\x62\x82\xa2\xc0\xe0".to_vec()), any::<u8>()];
    let packet = (first, prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(first, body)| [vec![first, body.len() as u8], body].concat());
    let publish = (0u8..3, 1u16.., prop::collection::vec(any::<u8>(), 0..100)).prop_map(|(qos, id, payload)| {
        let id = if qos > 0 { id.to_be_bytes().to_vec() } else { Vec::new() };
        let body = [b"\x00\x0aps/1/s7/up".to_vec(), id, vec![0], payload].concat();
        [vec![0x30 | qos << 1, body.len() as u8], body].concat()
    });
    prop::collection::vec(prop_oneof![2 => publish, 1 => packet], 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_stream_of_bytes_makes_a_connection_panic_or_hang(
        hello in prop_oneof![Just(V4), Just(V5), Just(APP), Just(&b""[..])],
        noise in noise(),
        pieces in prop::collection::vec(0usize..50, 0..20),
    ) {
        survives(&[hello, &noise].concat(), &pieces)?;
    }
}
