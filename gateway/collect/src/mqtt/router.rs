//! rumqttd's router behind the gate, and the supervisor that keeps one running.
//!
//! What is known to be safe, and why each thing here is as it is:
//! - The router sees no client id and no topic of a client. Connections get names from a small pool (`c0`, `c1`, ...: it
//!   remembers every name it ever heard), topics are reduced to their first level (it keeps a log for every filter and a
//!   table entry for every topic it ever heard), and the whole topic travels in the [`envelope`].
//! - It panics on a `ready()` that arrives after a Disconnect, so one owner sends both, in order ([`Attached`]).
//! - It never ends by itself: its thread holds a sender to itself. One gate has one router at a time; the thread of the
//!   last one stays parked until the process ends.
//! - When it panics every link to it fails at once. The supervisor starts another; each [`super::pump`] attaches again,
//!   subscribes again and sends the retained messages again. Ingest never touches it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rumqttd::local::{LinkBuilder, LinkError, LinkRx, LinkTx};
use rumqttd::protocol::{Disconnect, DisconnectReasonCode, Filter, Packet, Publish, QoS, RetainForwardRule, Subscribe};
use rumqttd::{Notification, RouterConfig};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::filter;
use super::limits::Limits;
use super::shelf::Shelf;
use envelope::Envelope;

pub(crate) mod envelope;

/// Messages the router may lag behind the publisher before it is taken for dead.
const LAG_MAX: usize = 8_192;
const RESTART_AFTER_MIN: Duration = Duration::from_millis(10);
const RESTART_AFTER_MAX: Duration = Duration::from_secs(1);

/// Why a message cannot be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Not a topic name, or one that begins with `$`, or whose first level is not ASCII.
    #[error("this is not a topic to publish to")]
    Topic,
    /// Larger than a packet may be.
    #[error("the message is larger than a packet may be")]
    TooLarge,
    /// A first level beyond [`Limits::roots_max`].
    #[error("more different first levels of topics than the router is allowed")]
    Roots,
    /// A retained message beyond [`Limits::retained_topics_max`] or [`Limits::retained_bytes_max`].
    #[error("more retained messages than are kept; clear some by publishing an empty one")]
    Retained,
    /// The router does not keep up. A retained message is kept all the same.
    #[error("messages for clients come faster than the router takes them")]
    Busy,
}

/// One run of the router.
#[derive(Clone)]
pub(crate) struct Generation {
    connect: Arc<dyn Fn(&str) -> Result<(LinkTx, LinkRx), LinkError> + Send + Sync>,
}

/// The router as the gate sees it.
pub(crate) struct Router {
    limits: Arc<Limits>,
    current: watch::Sender<Option<Generation>>,
    state: Mutex<State>,
    restarts: AtomicU64,
}

struct State {
    shelf: Shelf,
    roots: HashSet<String>,
    queue: mpsc::Sender<Envelope>,
    /// Names of connections that are free again, and the first that was never used.
    free: Vec<usize>,
    fresh: usize,
}

impl Router {
    /// A router that [`Router::supervise`] will run.
    pub(crate) fn new(limits: &Arc<Limits>) -> (Arc<Self>, mpsc::Receiver<Envelope>) {
        let (queue, waiting) = mpsc::channel(limits.publish_queue_max.max(1));
        let state = State { shelf: Shelf::new(limits), roots: HashSet::new(), queue, free: Vec::new(), fresh: 0 };
        let router = Self {
            limits: limits.clone(),
            current: watch::Sender::new(None),
            state: Mutex::new(state),
            restarts: AtomicU64::new(0),
        };
        (Arc::new(router), waiting)
    }

    /// Publishes to all subscribers and, if `retain`, puts the message on the shelf. The order of calls is the order in
    /// which each subscriber gets a topic's messages.
    pub(crate) fn publish(&self, topic: &str, payload: Bytes, retain: bool, qos: u8) -> Result<(), PublishError> {
        // The router cuts a topic after its first byte and panics if that is inside a character.
        let root = filter::root(topic);
        if filter::topic_name(topic.as_bytes()).is_err() || topic.starts_with('$') || !root.is_ascii() {
            return Err(PublishError::Topic);
        }
        if topic.len() + payload.len() + 16 > self.limits.packet_bytes_max {
            return Err(PublishError::TooLarge);
        }
        let envelope = Envelope { topic: Bytes::copy_from_slice(topic.as_bytes()), payload, qos, retain };
        let mut state = self.state.lock();
        if !self.know(&mut state, root) {
            return Err(PublishError::Roots);
        }
        if retain {
            state.shelf.put(&envelope.topic, &envelope.payload, qos).map_err(|_| PublishError::Retained)?;
        }
        state.queue.try_send(envelope).map_err(|_| PublishError::Busy)
    }

    /// Puts another message in place of a topic's on the shelf, if one is there; nobody is told.
    pub(crate) fn replace(&self, topic: &str, payload: &Bytes) -> Result<(), PublishError> {
        if topic.len() + payload.len() + 16 > self.limits.packet_bytes_max {
            return Err(PublishError::TooLarge);
        }
        let topic = Bytes::copy_from_slice(topic.as_bytes());
        self.state.lock().shelf.replace(&topic, payload).map_err(|_| PublishError::Retained)
    }

    /// Takes a topic's message off the shelf; nobody is told.
    pub(crate) fn forget(&self, topic: &str) {
        // An empty message always finds room.
        let _ = self.state.lock().shelf.put(&Bytes::copy_from_slice(topic.as_bytes()), &Bytes::new(), 0);
    }

    fn know(&self, state: &mut State, root: &str) -> bool {
        let room = state.roots.len() < self.limits.roots_max;
        state.roots.contains(root) || (room && root.is_ascii() && state.roots.insert(root.to_owned()))
    }

    /// The router filters that bring everything these granted filters may match: first levels, or `#`.
    pub(crate) fn roots(&self, grants: &[String]) -> Vec<String> {
        let mut state = self.state.lock();
        let mut roots: Vec<String> = Vec::new();
        for grant in grants {
            match filter::root(grant) {
                "+" | "#" => return vec!["#".to_owned()],
                root if roots.iter().any(|known| known == root) => {}
                root if self.know(&mut state, root) => roots.push(root.to_owned()),
                root => tracing::warn!(root, "a granted filter has one first level too many; nothing comes through it"),
            }
        }
        roots
    }

    /// Retained messages for a new subscription.
    pub(crate) fn retained(&self, filter: &str, qos: u8) -> Vec<crate::link::Routed> {
        self.state.lock().shelf.matching(filter, qos)
    }

    /// Topics with a retained message.
    pub(crate) fn retained_topics(&self) -> usize {
        self.state.lock().shelf.len()
    }

    /// How often the router had to be started again.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// The run that is up, and news of the next ones.
    pub(crate) fn generations(&self) -> watch::Receiver<Option<Generation>> {
        self.current.subscribe()
    }

    /// A name for a connection to the router.
    pub(crate) fn name(self: &Arc<Self>) -> Name {
        let mut state = self.state.lock();
        let number = state.free.pop().unwrap_or_else(|| {
            state.fresh += 1;
            state.fresh - 1
        });
        Name { router: self.clone(), number }
    }

    /// Runs routers, one after the other, until `stop`.
    pub(crate) async fn supervise(self: Arc<Self>, mut waiting: mpsc::Receiver<Envelope>, stop: CancellationToken) {
        let mut pause = RESTART_AFTER_MIN;
        loop {
            let generation = start(&self.limits);
            match attach(&generation, "gate".to_owned(), Vec::new()).await {
                Ok(publisher) => {
                    self.current.send_replace(Some(generation));
                    let took = feed(publisher, &mut waiting, &stop).await;
                    pause = if took { RESTART_AFTER_MIN } else { pause };
                }
                Err(error) => tracing::error!(%error, "the MQTT router did not start"),
            }
            if stop.is_cancelled() {
                return;
            }
            self.current.send_replace(None);
            let restarts = self.restarts.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::error!(restarts, "the MQTT router died; starting another (readings are not affected)");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RESTART_AFTER_MAX),
            }
        }
    }
}

/// Hands messages to the router until it dies or `stop`; whether it took any.
async fn feed(mut publisher: Attached, waiting: &mut mpsc::Receiver<Envelope>, stop: &CancellationToken) -> bool {
    let mut took = false;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return took,
            message = publisher.next() => if message.is_err() { return took },
            Some(envelope) = waiting.recv() => {
                if publisher.publish(&envelope).await.is_err() {
                    return took;
                }
                took = true;
            }
        }
    }
}

fn start(limits: &Limits) -> Generation {
    let config = RouterConfig {
        max_connections: limits.connections_max + 16,
        max_outgoing_packet_count: 100,
        max_segment_size: 256 * 1024,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    let sender = rumqttd::Router::new(0, config).spawn();
    let connect = move |name: &str| LinkBuilder::new(name, sender.clone()).build().map(|(tx, rx, _)| (tx, rx));
    Generation { connect: Arc::new(connect) }
}

/// A name among the router's connections, given back when dropped.
pub(crate) struct Name {
    router: Arc<Router>,
    number: usize,
}

impl Name {
    pub(crate) fn text(&self) -> String {
        format!("c{}", self.number)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.router.state.lock().free.push(self.number);
    }
}

/// A connection to one run of the router. Says goodbye when dropped, unless the router is gone.
pub(crate) struct Attached {
    tx: LinkTx,
    rx: LinkRx,
    alive: bool,
}

/// Connects under `name` and subscribes to `filters`. Not to be cancelled: a half-made connection would stay.
pub(crate) async fn attach(
    generation: &Generation,
    name: String,
    filters: Vec<String>,
) -> Result<Attached, AttachError> {
    let connect = generation.connect.clone();
    // Waits for the router's thread without yielding.
    let (tx, rx) = tokio::task::spawn_blocking(move || connect(&name)).await??;
    let mut attached = Attached { tx, rx, alive: true };
    if !filters.is_empty() {
        let filter = |path| Filter {
            path,
            qos: QoS::AtMostOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::Never,
        };
        let filters = filters.into_iter().map(filter).collect();
        attached.tx.send(Packet::Subscribe(Subscribe { pkid: 1, filters }, None)).await?;
    }
    Ok(attached)
}

/// Why a connection to the router could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    #[error("the router refused: {0}")]
    Link(#[from] LinkError),
    #[error("the attempt was given up: {0}")]
    Join(#[from] tokio::task::JoinError),
}

impl Attached {
    /// The next message; `None` for the router's own affairs. Cancelling loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Option<Envelope>, LinkError> {
        let answered = match self.rx.next().await {
            Ok(Some(Notification::Forward(forward))) => return Ok(Envelope::open(forward.publish.payload)),
            // It paused this connection at 200 waiting messages and waits to hear that they were taken.
            Ok(Some(Notification::Unschedule)) => self.rx.ready().map(|()| None),
            Ok(Some(Notification::Disconnect(..))) => Err(LinkError::NotConnectionAck),
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        if answered.is_err() {
            self.alive = false;
        }
        answered
    }

    async fn publish(&mut self, envelope: &Envelope) -> Result<(), LinkError> {
        let publish = Publish::new(envelope.root(), envelope.seal(), false);
        match self.tx.send(Packet::Publish(publish, None)).await {
            Ok(lag) if lag < LAG_MAX => Ok(()),
            Ok(_) => Err(LinkError::NotConnectionAck),
            Err(error) => {
                self.alive = false;
                Err(error)
            }
        }
    }

    /// Makes the router panic, as its own faults do.
    #[cfg(test)]
    pub(crate) async fn crash(mut self) {
        self.alive = false;
        let goodbye = Packet::Disconnect(Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection }, None);
        self.tx.send(goodbye).await.unwrap();
        self.rx.ready().unwrap();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.alive {
            let goodbye =
                Packet::Disconnect(Disconnect { reason_code: DisconnectReasonCode::NormalDisconnection }, None);
            // The future is ready at once; it only fails if the router is gone, and then nothing is left to tell.
            let _ = futures_util::FutureExt::now_or_never(self.tx.send(goodbye));
        }
    }
}

#[cfg(test)]
mod tests;
