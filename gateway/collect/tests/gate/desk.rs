//! An intake that notes what it is told and settles at once, or when the test says so.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pitchside_collect::mqtt::{Gate, GateConfig, Limits};
use pitchside_collect::{Admission, Channel, Inbound, Intake, Link, Outbound, Refused, Rights, Settled, Ticket};
use pitchside_model::{DeviceId, LinkId};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Calls of `take` that may run at a time; a test that takes all of them holds `take` up.
pub const PASSES: usize = 1_000;
/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub enum Event {
    Opened(Link),
    Took(Vec<Inbound>),
    Closed(LinkId),
}

pub struct Desk {
    events: mpsc::Sender<Event>,
    links: Mutex<HashMap<LinkId, Link>>,
    /// Settle everything as stored, and take the first handshake frame for proof.
    pub kind: AtomicBool,
    /// Held by a test that wants `take` to wait.
    pub gate: tokio::sync::Semaphore,
}

/// A gate, its desk and what the desk noted.
pub struct Front {
    pub gate: Gate,
    pub desk: Arc<Desk>,
    pub events: mpsc::Receiver<Event>,
}

pub fn id(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

impl Front {
    pub async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let local = "127.0.0.1:0".parse().unwrap();
        Self::configured(GateConfig { tcp: vec![local], ws: vec![local], limits, ..GateConfig::default() }).await
    }

    pub async fn configured(config: GateConfig) -> Self {
        let (sender, events) = mpsc::channel(100_000);
        let desk = Arc::new(Desk {
            events: sender,
            links: Mutex::default(),
            kind: AtomicBool::new(true),
            gate: tokio::sync::Semaphore::new(PASSES),
        });
        let gate = Gate::start(config, desk.clone()).await.unwrap();
        Self { gate, desk, events }
    }

    /// From now on the test settles.
    pub fn by_hand(self) -> Self {
        self.desk.kind.store(false, Ordering::SeqCst);
        self
    }

    pub async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv()).await.expect("the desk hears nothing").unwrap()
    }

    pub async fn opened(&mut self) -> Link {
        loop {
            if let Event::Opened(link) = self.event().await {
                return link;
            }
        }
    }

    pub async fn closed(&mut self) -> LinkId {
        loop {
            if let Event::Closed(link) = self.event().await {
                return link;
            }
        }
    }

    /// Waits until so many messages were taken.
    pub async fn took(&mut self, count: usize) -> Vec<Inbound> {
        let mut all = Vec::new();
        while all.len() < count {
            if let Event::Took(inbound) = self.event().await {
                all.extend(inbound);
            }
        }
        all
    }
}

pub fn stored(tickets: impl IntoIterator<Item = Ticket>) -> Outbound {
    Outbound::Settled(tickets.into_iter().map(|ticket| (ticket, Settled::Stored)).collect())
}

#[async_trait]
impl Intake for Desk {
    async fn admit(&self, ask: Admission) -> Result<Rights, Refused> {
        let password = ask.password.as_ref().map(|password| password.as_slice());
        match (ask.username.as_deref(), password) {
            (None, None) => Ok(Rights::Ps1 { device: ask.client }),
            (Some(hub), Some(b"secret")) if hub.starts_with("hub") => Ok(Rights::Hub { device: id(hub) }),
            (Some(app), Some(b"secret")) if app.starts_with("app") => {
                Ok(Rights::App { name: id(app), filters: vec!["alerts/#".into(), "live/#".into()] })
            }
            _ => Err(Refused::BadCredentials),
        }
    }

    async fn opened(&self, link: Link) {
        self.links.lock().insert(link.id, link.clone());
        self.events.try_send(Event::Opened(link)).ok();
    }

    async fn take(&self, link: &Link, inbound: Vec<Inbound>) {
        let _pass = self.gate.acquire().await.unwrap();
        if self.kind.load(Ordering::SeqCst) {
            if inbound.iter().any(|inbound| inbound.channel == Channel::Handshake) {
                link.authenticated();
            }
            link.send(stored(inbound.iter().map(|inbound| inbound.ticket))).ok();
        }
        self.events.try_send(Event::Took(inbound)).ok();
    }

    async fn closed(&self, link: LinkId) {
        self.links.lock().remove(&link);
        self.events.try_send(Event::Closed(link)).ok();
    }
}
