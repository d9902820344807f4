//! From the router to one client: its subscriptions, its connection to the router, and what that brings.
//!
//! One task does all of it in order, so that a retained message never comes after a newer one of the same topic.

use std::sync::Arc;
use std::time::Duration;

use rumqttd::protocol::{QoS, RetainForwardRule, SubscribeReasonCode, UnsubAckReason};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::answer;
use super::filter;
use super::packet::{Subscribe, Unsubscribe};
use super::reader::denied_filter;
use super::router::envelope::Envelope;
use super::router::{self, Attached, Generation, Name, Router};
use super::session::Session;
use crate::link::{CloseReason, Link, LinkGone, Out, Routed};

/// Messages handled before the connection's reader and writer get their turn.
const TURN_MAX: usize = 64;

/// How long a subscription waits for a router that is being started again.
const ROUTER_WITHIN: Duration = Duration::from_secs(5);

/// What the reader asks of the pump.
#[derive(Debug)]
pub(crate) enum Command {
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
}

#[derive(Debug)]
struct Subscription {
    filter: String,
    /// 0 or 1.
    qos: u8,
    /// MQTT 5: the retain flag stays as it was published.
    as_published: bool,
}

/// The pump of one client.
pub(crate) struct Pump {
    link: Link,
    session: Arc<Session>,
    grants: Vec<String>,
    router: Arc<Router>,
    commands: mpsc::Receiver<Command>,
    subscriptions: Vec<Subscription>,
    generations: watch::Receiver<Option<Generation>>,
    // Dropped in this order: goodbye under the name, then the name is free.
    attached: Option<Attached>,
    name: Option<Name>,
}

impl Pump {
    pub(crate) fn new(
        link: Link,
        session: Arc<Session>,
        grants: Vec<String>,
        router: Arc<Router>,
    ) -> (Self, mpsc::Sender<Command>) {
        let (ask, commands) = mpsc::channel(4);
        let generations = router.generations();
        let pump = Self {
            link,
            session,
            grants,
            router,
            commands,
            subscriptions: Vec::new(),
            generations,
            attached: None,
            name: None,
        };
        (pump, ask)
    }

    /// Pumps until the link ends.
    pub(crate) async fn run(&mut self) -> CloseReason {
        let stop = self.link.stop().clone();
        let mut turn = 0;
        loop {
            let waiting = self.attached.is_none() && !self.subscriptions.is_empty();
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return self.link.reason(),
                Some(command) = self.commands.recv() => self.command(command).await,
                message = next(&mut self.attached) => match message {
                    Some(message) => self.forward(&message),
                    None => Ok(()),
                },
                Ok(()) = self.generations.changed(), if waiting => {
                    if self.attach().await { self.again().await } else { Ok(()) }
                }
            };
            if done.is_err() {
                return self.link.reason();
            }
            turn += 1;
            if turn >= TURN_MAX {
                turn = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), LinkGone> {
        match command {
            Command::Subscribe(subscribe) => self.subscribe(subscribe).await,
            Command::Unsubscribe(unsubscribe) => {
                let reasons = unsubscribe.filters.iter().map(|filter| {
                    let before = self.subscriptions.len();
                    self.subscriptions.retain(|known| known.filter != *filter);
                    if self.subscriptions.len() < before {
                        UnsubAckReason::Success
                    } else {
                        UnsubAckReason::NoSubscriptionExisted
                    }
                });
                let reasons = reasons.collect();
                let packet = answer::unsuback(self.session.version, unsubscribe.packet_id, reasons);
                self.link.push_wait(Out::Packet(packet)).await
            }
        }
    }

    async fn subscribe(&mut self, subscribe: Subscribe) -> Result<(), LinkGone> {
        let ready = self.attached.is_some() || self.attach().await;
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        let mut welcome: Vec<(String, u8)> = Vec::new();
        for asked in subscribe.filters {
            let qos = u8::from(asked.qos != QoS::AtMostOnce);
            let known = self.subscriptions.iter().position(|known| known.filter == asked.path);
            if !self.grants.iter().any(|grant| filter::is_filter(&asked.path) && filter::covers(grant, &asked.path)) {
                tracing::warn!(link = self.link.id.0, peer = %self.link.peer, "a subscription is refused: not granted");
                codes.push(denied_filter(&asked.path));
                continue;
            }
            if known.is_none() && self.subscriptions.len() >= self.session.limits.subscriptions_max {
                codes.push(SubscribeReasonCode::QuotaExceeded);
                continue;
            }
            if !ready {
                codes.push(SubscribeReasonCode::Unspecified);
                continue;
            }
            codes.push(if qos == 0 { SubscribeReasonCode::QoS0 } else { SubscribeReasonCode::QoS1 });
            let retained = match asked.retain_forward_rule {
                RetainForwardRule::OnEverySubscribe => true,
                RetainForwardRule::OnNewSubscribe => known.is_none(),
                RetainForwardRule::Never => false,
            };
            if retained {
                welcome.push((asked.path.clone(), qos));
            }
            let subscription = Subscription { filter: asked.path, qos, as_published: asked.preserve_retain };
            match known.and_then(|at| self.subscriptions.get_mut(at)) {
                Some(known) => *known = subscription,
                None => self.subscriptions.push(subscription),
            }
        }
        let packet = answer::suback(self.session.version, subscribe.packet_id, codes);
        self.link.push_wait(Out::Packet(packet)).await?;
        for (filter, qos) in welcome {
            self.retained(&filter, qos).await?;
        }
        Ok(())
    }

    /// Attaches to the router that is up, or to the next one if that comes soon; whether it is attached.
    async fn attach(&mut self) -> bool {
        let generation = tokio::select! {
            biased;
            () = self.link.stop().cancelled() => return false,
            up = timeout(ROUTER_WITHIN, self.generations.wait_for(Option::is_some)) => match up {
                Ok(Ok(up)) => up.clone(),
                _ => None,
            },
        };
        let Some(generation) = generation else { return false };
        let name = self.name.get_or_insert_with(|| self.router.name()).text();
        match router::attach(&generation, name, self.router.roots(&self.grants)).await {
            Ok(attached) => self.attached = Some(attached),
            Err(error) => tracing::warn!(%error, "a client could not be attached to the MQTT router"),
        }
        self.attached.is_some()
    }

    /// After the router was started again: what was published meanwhile is lost but for the retained messages.
    async fn again(&mut self) -> Result<(), LinkGone> {
        let subscriptions: Vec<_> = self.subscriptions.iter().map(|known| (known.filter.clone(), known.qos)).collect();
        for (filter, qos) in subscriptions {
            self.retained(&filter, qos).await?;
        }
        Ok(())
    }

    async fn retained(&self, filter: &str, qos: u8) -> Result<(), LinkGone> {
        for message in self.router.retained(filter, qos) {
            self.link.push_wait(Out::Routed(message)).await?;
        }
        Ok(())
    }

    /// Sends a message once, however many of the client's filters match it (3.3.5), with the best QoS among them.
    fn forward(&self, message: &Envelope) -> Result<(), LinkGone> {
        let Ok(topic) = std::str::from_utf8(&message.topic) else { return Ok(()) };
        let matching = self.subscriptions.iter().filter(|known| filter::matches(&known.filter, topic));
        let Some((qos, as_published)) =
            matching.map(|known| (known.qos, known.as_published)).reduce(|a, b| (a.0.max(b.0), a.1 || b.1))
        else {
            return Ok(());
        };
        self.link.push(Out::Routed(Routed {
            topic: message.topic.clone(),
            payload: message.payload.clone(),
            qos: qos.min(message.qos),
            retain: as_published && message.retain,
        }))
    }
}

/// The next message of `attached`, which becomes `None` when its router is gone; waits for ever while it is `None`.
async fn next(attached: &mut Option<Attached>) -> Option<Envelope> {
    let Some(link) = attached else { return std::future::pending().await };
    match link.next().await {
        Ok(message) => message,
        Err(error) => {
            tracing::debug!(%error, "a client lost the MQTT router");
            *attached = None;
            None
        }
    }
}
