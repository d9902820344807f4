//! A clinic that follows a script, behind the real server: for the tests here and for the browser's.

#![allow(dead_code)] // each user of this module needs another part of it

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use pitchside_admin::{
    AboutRule, AlertCategory, AlertView, At, BlockView, Board, BoardLimits, Clock, CommandError, Commands, Event,
    Events, Health, HttpConfig, Ledger, LedgerLink, Limits, Metrics, Page, Parts, PasswordHash, Receipt, Role,
    STEPS_MAX, Server, SignIns, StartError, Status, Steps, StoredUser, UserName, Users, View, ViewError,
};
use pitchside_model::{
    Alert, AlertId, AlertState, Assurance, AthleteId, Decimal, DeviceId, Entry, Epoch, Priority, Quality, Quantity,
    Reading, RuleName, Seq, Value,
};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls;

/// The names the scripted gateway answers to.
pub const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];
/// Everybody's password in tests.
pub const PASSWORD: &str = "a password of tests";

/// Everything the scripted gateway knows.
pub struct Clinic {
    pub board: Arc<Board>,
    pub events: Events,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub alerts: Mutex<Vec<AlertView>>,
    /// What happened to them; step 1 comes first.
    pub steps: Mutex<Vec<Event>>,
    /// Nobody reads them while somebody holds this.
    pub reading_steps: tokio::sync::Mutex<()>,
    pub blocks: Mutex<Vec<BlockView>>,
    pub users: Mutex<BTreeMap<String, StoredUser>>,
    pub broken: Mutex<bool>,
}

impl Clinic {
    /// Three users, one of each role, named as their roles.
    pub fn new(password: &str) -> Arc<Self> {
        Self::with(password, BoardLimits::default())
    }

    /// The same with a board of one's own.
    pub fn with(password: &str, limits: BoardLimits) -> Arc<Self> {
        let password = PasswordHash::new(password.as_bytes(), &[9; 16]).unwrap();
        let user = |role: Role| (role.name().to_owned(), StoredUser { role, password: password.clone() });
        let mut run = [0u8; 8];
        getrandom::fill(&mut run).unwrap();
        Arc::new(Self {
            board: Arc::new(Board::new(limits)),
            events: Events::new(run),
            metrics: Metrics::new(),
            clock: Clock::system(),
            alerts: Mutex::default(),
            steps: Mutex::default(),
            reading_steps: tokio::sync::Mutex::default(),
            blocks: Mutex::default(),
            users: Mutex::new([Role::Viewer, Role::Clinician, Role::Admin].map(user).into()),
            broken: Mutex::new(false),
        })
    }

    /// Starts a real server over it.
    pub async fn serve(
        self: &Arc<Self>,
        address: SocketAddr,
        certificate: &Certificate,
        limits: Limits,
        sign_ins: SignIns,
    ) -> Result<Server, StartError> {
        let hosts = HOSTS.map(str::to_owned).to_vec();
        let config = HttpConfig { address, hosts, tls: Arc::clone(&certificate.server), limits };
        let parts = Parts {
            view: self.clone(),
            commands: self.clone(),
            users: self.clone(),
            board: Arc::clone(&self.board),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
            sign_ins,
            clock: self.clock.clone(),
        };
        Server::start(config, parts).await
    }

    /// One reading arrives.
    pub fn reading(&self, athlete: Option<&str>, device: &str, quantity: Quantity, value: Value) {
        let now = self.clock.now();
        self.board.observe(&Entry {
            device: DeviceId::parse(device).unwrap(),
            athlete: athlete.map(|name| AthleteId::parse(name).unwrap()),
            assurance: if device.starts_with("hub") { Assurance::Password } else { Assurance::Noise },
            epoch: Epoch(1),
            seq: Seq(0),
            readings: vec![Reading {
                quantity,
                unit: quantity.unit(),
                device_time: now,
                gateway_time: now,
                quality: Quality::empty(),
                value,
            }],
        });
    }

    /// A rule raises an alert.
    pub fn raise(&self, id: u8, athlete: &str, value: &str) -> AlertId {
        self.raise_about(id, athlete, value, AboutRule { category: AlertCategory::Physiological, latches: false })
    }

    /// A rule that latches raises an alert.
    pub fn latch(&self, id: u8, athlete: &str, value: &str) -> AlertId {
        self.raise_about(id, athlete, value, AboutRule { category: AlertCategory::Physiological, latches: true })
    }

    /// The same of a rule that says this.
    pub fn raise_about(&self, id: u8, athlete: &str, value: &str, about: AboutRule) -> AlertId {
        let quantity = Quantity::CORE_TEMPERATURE;
        let alert = Alert {
            id: AlertId([id; 16]),
            rule: RuleName::parse("heat-illness").unwrap(),
            rule_version: "1.0.0".to_owned(),
            priority: Priority::High,
            athlete: Some(AthleteId::parse(athlete).unwrap()),
            device: DeviceId::parse("pill-1").unwrap(),
            quantity,
            value: Some(Decimal::parse(value).unwrap()),
            unit: quantity.unit(),
            event_time: self.clock.now(),
            message: "Core temperature is high and still rising.".to_owned(),
        };
        let alert = AlertView::raised(&alert, about);
        self.alerts.lock().insert(0, alert.clone());
        self.record(Event::AlertRaised { alert });
        AlertId([id; 16])
    }

    /// The condition of an alert no longer holds.
    pub fn clear(&self, id: AlertId) {
        let at = At(self.clock.now());
        for alert in self.alerts.lock().iter_mut().filter(|alert| alert.id == id) {
            alert.cleared_at = Some(at);
            alert.state = AlertState::Cleared;
        }
        self.record(Event::AlertCleared { id, at, by: None });
    }

    /// A block is sealed.
    pub fn seal(&self, readings: u64) -> u64 {
        let mut blocks = self.blocks.lock();
        let index = blocks.first().map_or(0, |last| last.index + 1);
        let hash = HEXLOWER.encode(&Sha256::digest(index.to_be_bytes()));
        let sealed_at = At(self.clock.now());
        let block = BlockView { index, hash, sealed_at, readings, payload_bytes: readings * 3, receipt: Receipt::R0 };
        blocks.insert(0, block.clone());
        blocks.truncate(100);
        drop(blocks);
        self.events.publish(&Event::BlockSealed { block });
        index
    }

    /// A receipt comes from the ledger.
    pub fn receipt(&self, index: u64, receipt: Receipt) {
        for block in self.blocks.lock().iter_mut().filter(|block| block.index == index) {
            block.receipt = receipt;
        }
        self.events.publish(&Event::Receipt { index, receipt });
    }

    /// A step in an alert's life goes on the record, and out.
    pub fn record(&self, event: Event) {
        let mut steps = self.steps.lock();
        steps.push(event.clone());
        self.events.publish_step(steps.len() as u64, &event);
    }

    fn ask<T>(&self, answer: impl FnOnce() -> T) -> Result<T, ViewError> {
        if *self.broken.lock() { Err(ViewError::Unavailable("scripted".to_owned())) } else { Ok(answer()) }
    }
}

#[async_trait]
impl View for Clinic {
    async fn status(&self) -> Result<Status, ViewError> {
        self.ask(|| Status {
            gateway: "touchline-1".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: At(self.clock.now().plus_micros(-3_600_000_000)),
            devices_connected: 9,
            readings: 123_456,
            ledger: Ledger {
                link: LedgerLink::Connected,
                blocks_waiting: self.blocks.lock().iter().filter(|block| block.receipt == Receipt::R0).count() as u64,
                last_receipt_at: None,
            },
        })
    }

    async fn open_alerts(&self, rows: u32) -> Result<Vec<AlertView>, ViewError> {
        let open = || self.alerts.lock().iter().filter(|alert| alert.open()).take(rows as usize).cloned().collect();
        self.ask(open)
    }

    async fn alerts(&self, rows: u32) -> Result<Vec<AlertView>, ViewError> {
        self.ask(|| self.alerts.lock().iter().take(rows as usize).cloned().collect())
    }

    async fn last_step(&self) -> Result<u64, ViewError> {
        self.ask(|| self.steps.lock().len() as u64)
    }

    async fn steps_after(&self, step: u64) -> Result<Option<Steps>, ViewError> {
        let _held = self.reading_steps.lock().await;
        self.ask(|| {
            let steps = self.steps.lock();
            let numbered = (1..).zip(steps.iter().cloned());
            let events: Vec<_> = numbered.skip_while(|(id, _)| *id <= step).collect();
            let up_to = steps.len() as u64;
            (step <= up_to && events.len() <= STEPS_MAX as usize).then_some(Steps { events, up_to })
        })
    }

    async fn blocks(&self, page: Page) -> Result<Vec<BlockView>, ViewError> {
        let before = page.before.unwrap_or(u64::MAX);
        let blocks =
            || self.blocks.lock().iter().filter(|b| b.index < before).take(page.rows as usize).cloned().collect();
        self.ask(blocks)
    }

    async fn health(&self) -> Health {
        let ok = !*self.broken.lock();
        Health { ok, problems: if ok { vec![] } else { vec!["the store does not answer".to_owned()] } }
    }
}

#[async_trait]
impl Commands for Clinic {
    async fn acknowledge(&self, id: AlertId, by: &UserName) -> Result<AlertView, CommandError> {
        let at = At(self.clock.now());
        let (alert, first) = {
            let mut alerts = self.alerts.lock();
            let alert = alerts.iter_mut().find(|alert| alert.id == id).ok_or(CommandError::UnknownAlert(id))?;
            let first = alert.acknowledged_at.is_none();
            if first {
                alert.acknowledged_by = Some(by.clone());
                alert.acknowledged_at = Some(at);
                if alert.state == AlertState::Raised {
                    alert.state = AlertState::Acknowledged;
                }
            }
            (alert.clone(), first)
        };
        if first {
            self.record(Event::AlertAcknowledged { id, by: by.clone(), at });
        }
        Ok(alert)
    }

    async fn reset(&self, id: AlertId, by: &UserName, note: Option<&str>) -> Result<AlertView, CommandError> {
        let at = At(self.clock.now());
        let alert = {
            let mut alerts = self.alerts.lock();
            let alert = alerts.iter_mut().find(|alert| alert.id == id).ok_or(CommandError::UnknownAlert(id))?;
            if alert.cleared_at.is_some() {
                return Err(CommandError::AlertOver(id));
            }
            alert.cleared_at = Some(at);
            alert.state = AlertState::Cleared;
            (alert.reset_by, alert.reset_note) = (Some(by.clone()), note.map(str::to_owned));
            alert.clone()
        };
        self.record(Event::AlertCleared { id, at, by: Some(by.clone()) });
        Ok(alert)
    }
}

impl Users for Clinic {
    fn find(&self, name: &UserName) -> Result<Option<StoredUser>, ViewError> {
        self.ask(|| self.users.lock().get(name.as_str()).cloned())
    }
}

/// A certificate for the test, and somebody who trusts it.
pub struct Certificate {
    pub server: Arc<rustls::ServerConfig>,
    pub client: Arc<rustls::ClientConfig>,
}

impl Certificate {
    pub fn new() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(HOSTS.map(str::to_owned)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = rustls::pki_types::PrivateKeyDer::try_from(KeyPair::serialize_der(&signing_key)).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }
}
