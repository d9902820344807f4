//! The gate itself: listeners, the list of connections, and the end of it all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use pitchside_model::{DeviceId, LinkId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::{GateConfig, GateError};
use super::doors::Doors;
use super::limits::Limits;
use super::listen::{self, LocalAddrs};
use super::router::{PublishError, Router};
use crate::intake::{Intake, Rights};
use crate::link::{CloseReason, Link};

/// How long the router may take to start.
const ROUTER_WITHIN: Duration = Duration::from_secs(10);

/// How a message of the gateway is delivered to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Once at most.
    AtMostOnce,
    /// Until the client acknowledges it, as long as it is connected.
    AtLeastOnce,
}

/// What every connection shares.
pub(crate) struct Shared {
    pub limits: Arc<Limits>,
    pub intake: Arc<dyn Intake>,
    pub router: Arc<Router>,
    pub doors: Arc<Doors>,
    pub stats: Counters,
    /// Fires when the gate stops: nobody is let in any more.
    pub stop: CancellationToken,
    guests: Mutex<Guests>,
}

#[derive(Default)]
struct Guests {
    links: HashMap<LinkId, Link>,
    /// Who proved itself by a password: a second connection of the same user and client id takes over (3.1.4).
    owners: HashMap<Owner, LinkId>,
}

/// User and client id.
type Owner = (DeviceId, DeviceId);

/// Numbers for metrics; none of them names a device.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    turned_away: AtomicU64,
    denied: AtomicU64,
    closed: AtomicU64,
}

impl Counters {
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.fetch_add(1, Ordering::Relaxed) + 1
    }
    pub(crate) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }
    pub(crate) fn closed(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// How the gate is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Open connections.
    pub connections: usize,
    /// Of these, those that have not proven who they are.
    pub unauthenticated: usize,
    /// Connections closed at the door because a limit was reached, since the start.
    pub turned_away: u64,
    /// Clients refused in CONNECT or before, since the start.
    pub denied: u64,
    /// Connections the gate closed with a reason, since the start.
    pub closed: u64,
    /// How often the router had to be started again.
    pub router_restarts: u64,
    /// Topics with a retained message.
    pub retained_topics: usize,
}

/// A connection's entry in the list, taken out when dropped.
pub(crate) struct Listed<'a> {
    shared: &'a Shared,
    id: LinkId,
    owner: Option<Owner>,
    older: Option<Link>,
}

impl Shared {
    /// What every connection of a gate without listeners and without a router that runs would share.
    #[cfg(test)]
    pub(crate) fn for_tests(limits: Arc<Limits>, intake: Arc<dyn Intake>) -> Self {
        Self {
            doors: Arc::new(Doors::new(&limits)),
            intake,
            router: Router::new(&limits).0,
            stats: Counters::default(),
            stop: CancellationToken::new(),
            guests: Mutex::default(),
            limits,
        }
    }

    /// Enters a connection into the list. A hub's or app's older connection under the same client id is
    /// closed once this one [takes over](Listed::take_over).
    pub(crate) fn list(&self, link: &Link, rights: &Rights, client: &DeviceId) -> Listed<'_> {
        let owner = match rights {
            Rights::Ps1 { .. } => None,
            Rights::Hub { device } => Some((device.clone(), client.clone())),
            Rights::App { name, .. } => Some((name.clone(), client.clone())),
        };
        let mut guests = self.guests.lock();
        guests.links.insert(link.id, link.clone());
        let older = owner.as_ref().and_then(|owner| guests.owners.insert(owner.clone(), link.id));
        let older = older.and_then(|older| guests.links.get(&older).cloned());
        drop(guests);
        // Between the last look at `stop` and here the gate may have closed everything in the list.
        if self.stop.is_cancelled() {
            link.close_now(CloseReason::ShuttingDown);
        }
        Listed { shared: self, id: link.id, owner, older }
    }
}

impl Listed<'_> {
    /// The gateway knows of this connection: closed sooner, the older one would leave a device that nobody hears.
    pub(crate) fn take_over(&mut self) {
        if let Some(older) = self.older.take() {
            older.close_now(CloseReason::Superseded);
        }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let mut guests = self.shared.guests.lock();
        guests.links.remove(&self.id);
        if let Some(owner) = &self.owner
            && guests.owners.get(owner) == Some(&self.id)
        {
            guests.owners.remove(owner);
        }
    }
}

/// The only MQTT front of the gateway.
pub struct Gate {
    shared: Arc<Shared>,
    addrs: LocalAddrs,
    tasks: TaskTracker,
    /// Fires when the time for stopping is over.
    abandon: CancellationToken,
    stop_router: CancellationToken,
}

impl Gate {
    /// Binds every listener of `config` and serves them until [`Gate::shutdown`]. To be called inside a tokio runtime.
    pub async fn start(config: GateConfig, intake: Arc<dyn Intake>) -> Result<Self, GateError> {
        config.check()?;
        let limits = Arc::new(config.limits.clone());
        let (router, waiting) = Router::new(&limits);
        let shared = Arc::new(Shared {
            doors: Arc::new(Doors::new(&limits)),
            limits,
            intake,
            router: router.clone(),
            stats: Counters::default(),
            stop: CancellationToken::new(),
            guests: Mutex::default(),
        });
        let (listeners, addrs) = listen::bind(&config).await?;
        let gate = Self {
            shared,
            addrs,
            tasks: TaskTracker::new(),
            abandon: CancellationToken::new(),
            stop_router: CancellationToken::new(),
        };
        let mut generations = router.generations();
        gate.tasks.spawn(router.supervise(waiting, gate.stop_router.clone()));
        let up = timeout(ROUTER_WITHIN, generations.wait_for(Option::is_some)).await;
        if !matches!(up, Ok(Ok(_))) {
            gate.stop_router.cancel();
            return Err(GateError::Router);
        }
        for listener in listeners {
            let serving = listener.serve(gate.shared.clone(), gate.tasks.clone(), gate.abandon.clone());
            gate.tasks.spawn(serving);
        }
        Ok(gate)
    }

    /// The addresses that are listened on, with the ports the system chose where 0 was asked for.
    pub fn local_addrs(&self) -> &LocalAddrs {
        &self.addrs
    }

    /// Publishes to the clients that are subscribed, and to later ones if `retain`. Never blocks.
    pub fn publish(&self, topic: &str, payload: Bytes, retain: bool, qos: Qos) -> Result<(), PublishError> {
        self.shared.router.publish(topic, payload, retain, u8::from(qos == Qos::AtLeastOnce))
    }

    /// Puts another message in place of a topic's retained one, for those who subscribe later, without telling anybody. Where none is
    /// retained none is put.
    pub fn replace(&self, topic: &str, payload: &Bytes) -> Result<(), PublishError> {
        self.shared.router.replace(topic, payload)
    }

    /// Takes the retained message of a topic away, without telling anybody.
    pub fn forget(&self, topic: &str) {
        self.shared.router.forget(topic);
    }

    /// How the gate is doing.
    pub fn stats(&self) -> Stats {
        let (connections, unauthenticated) = self.shared.doors.counts();
        Stats {
            connections,
            unauthenticated,
            turned_away: self.shared.stats.turned_away.load(Ordering::Relaxed),
            denied: self.shared.stats.denied.load(Ordering::Relaxed),
            closed: self.shared.stats.closed.load(Ordering::Relaxed),
            router_restarts: self.shared.router.restarts(),
            retained_topics: self.shared.router.retained_topics(),
        }
    }

    /// Stops: lets nobody in, reads no more, acknowledges what the intake settles, says goodbye. What is not over within
    /// [`Limits::shutdown_within`] is cut off.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        let links: Vec<_> = self.shared.guests.lock().links.values().cloned().collect();
        for link in links {
            link.close_now(CloseReason::ShuttingDown);
        }
        self.stop_router.cancel();
        if timeout(self.shared.limits.shutdown_within, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "connections are cut off: they did not end in time");
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("addrs", &self.addrs).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
