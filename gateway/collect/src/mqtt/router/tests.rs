use std::time::Duration;

use tokio::time::timeout;

use super::super::packet::{Subscribe as Ask, Version};
use super::super::pump::{Command, Pump};
use super::super::session::Session;
use super::*;
use crate::link::{CloseReason, Link, Out, Outlet};
use pitchside_model::Medium;

struct Client {
    link: Link,
    outlet: Outlet,
    ask: mpsc::Sender<Command>,
    heard: Vec<Out>,
}

impl Client {
    fn new(router: &Arc<Router>) -> Self {
        let (link, outlet) = Link::open(Medium::Mqtt, "test", None);
        let session = Session {
            version: Version::V4,
            silence_max: None,
            receive_max: 100,
            packet_bytes_max: usize::MAX,
            problem_information: true,
            wants_session: false,
            down_topic: None,
            limits: router.limits.clone(),
        };
        let grants = vec!["alerts/#".to_owned()];
        let (mut pump, ask) = Pump::new(link.clone(), Arc::new(session), grants, router.clone());
        tokio::spawn(async move { pump.run().await });
        Self { link, outlet, ask, heard: Vec::new() }
    }

    async fn subscribe(&mut self) {
        let filter = Filter {
            path: "alerts/#".to_owned(),
            qos: QoS::AtLeastOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::OnEverySubscribe,
        };
        self.ask.send(Command::Subscribe(Ask { packet_id: 1, filters: vec![filter] })).await.unwrap();
        assert!(matches!(self.next().await, Out::Packet(suback) if suback[0] == 0x90));
    }

    async fn next(&mut self) -> Out {
        if self.heard.is_empty() {
            timeout(Duration::from_secs(20), self.outlet.take_many(&mut self.heard, 100)).await.unwrap();
        }
        self.heard.remove(0)
    }

    async fn message(&mut self) -> (String, bool) {
        match self.next().await {
            Out::Routed(message) => (String::from_utf8(message.payload.to_vec()).unwrap(), message.retain),
            other => panic!("{other:?}"),
        }
    }
}

async fn router() -> (Arc<Router>, CancellationToken) {
    let (router, waiting) = Router::new(&Arc::new(Limits::default()));
    let stop = CancellationToken::new();
    tokio::spawn(router.clone().supervise(waiting, stop.clone()));
    generation(&router).await;
    (router, stop)
}

async fn generation(router: &Router) -> Generation {
    router.generations().wait_for(Option::is_some).await.unwrap().clone().unwrap()
}

fn publish(router: &Router, payload: &'static str, retain: bool) {
    router.publish("alerts/a7", Bytes::from_static(payload.as_bytes()), retain, 1).unwrap();
}

#[tokio::test]
async fn a_router_that_panics_is_replaced_and_its_clients_hear_of_the_last_state_and_of_what_follows() {
    let (router, stop) = router().await;
    let mut client = Client::new(&router);
    client.subscribe().await;
    publish(&router, "before", true);
    assert_eq!(client.message().await, ("before".to_owned(), false));

    for round in 1..=3 {
        let current = generation(&router).await;
        let victim = attach(&current, "victim".to_owned(), Vec::new()).await.unwrap();
        victim.crash().await;
        // Attached again, the pump sends the retained message again.
        assert_eq!(client.message().await, ("before".to_owned(), true));
        assert_eq!(router.restarts(), round);
        publish(&router, "after", false);
        assert_eq!(client.message().await, ("after".to_owned(), false));
    }
    assert!(!client.link.stop().is_cancelled());
    stop.cancel();
}

#[tokio::test]
async fn names_are_used_again_so_that_the_router_has_few_to_remember() {
    let (router, _stop) = router().await;
    for _ in 0..20 {
        let mut client = Client::new(&router);
        client.subscribe().await;
        client.link.close_now(CloseReason::Finished);
        client.ask.closed().await;
    }
    assert!(router.state.lock().fresh <= 2);
}

#[tokio::test]
async fn a_client_that_does_not_keep_up_is_closed_and_the_others_get_everything() {
    let (router, _stop) = router().await;
    let mut slow = Client::new(&router);
    let mut steady = Client::new(&router);
    slow.subscribe().await;
    steady.subscribe().await;
    let total = 3_000;
    for number in 0..total {
        publish(&router, "x", false);
        steady.message().await;
        if number == total - 1 {
            assert_eq!(slow.link.reason(), CloseReason::SlowConsumer);
        }
    }
    assert!(slow.link.stop().is_cancelled());
}
