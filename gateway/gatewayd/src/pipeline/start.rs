//! Putting it all together, back to front: nothing is let in before everything behind it stands.

mod database;
mod delivery;
mod ledger;
mod ports;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use anyhow::Context as _;
use ledger_block::GatewayKey;
use pitchside_admin::{Board, BoardLimits, Events, HttpConfig, Limits as PageLimits, Metrics, Server, SignIns};
use pitchside_auth::{Auth, GatewayIdentity, Kek, Limits as AuthLimits};
use pitchside_collect::mqtt::{Gate, GateConfig, Limits as GateLimits};
use pitchside_collect::serial;
use pitchside_config::Settings;
use pitchside_decode::{Decoders, Tolerances};
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_script::Program;
use pitchside_seal::ClosingPolicy;
use pitchside_store::Store;
use pitchside_wire::PrivateKey;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::alerts::{Alerts, Standing};
use super::bluetooth;
use super::firmware::own::OwnParts;
use super::firmware::{self, Desk, DeskParts, Door, Shelf};
use super::front::{Front, Gatehouse, Parts};
use super::health::{self, Health, HealthParts};
use super::live;
use super::outputs::{self, OutputsParts, authorities::Authorities, carry::Carrier};
use super::plugins::{PluginsParts, PluginsTask};
use super::recall::recall_since;
use super::roster::Roster;
use super::rules::{self, RulesParts, RulesTask};
use super::sealing::{Sealing, SealingParts};
use super::shadow::Shadows;
use super::undecoded::Keeper;
use super::watch::{self, Watch};
use super::{AUTH_KEK, Gateway};
use crate::adapters::athletes::sealing_ring;
use crate::adapters::commits;
use crate::adapters::keys::StoreKeys;
use crate::adapters::page::PageAdapter;
use crate::clock::{self, Clock, ClockJudge};
use crate::identity::Identity;
use crate::random::OsRandom;
use crate::{script_worker, tls};

use database::open_store;
use delivery::DeliveryWires;
pub use ledger::sync_config;

/// How far before its end the journal tells which streams lived, in microseconds.
const RECALLED_US: i64 = 3 * 60 * MICROS_PER_SECOND;

/// What a gateway is started with.
pub struct Startup {
    /// Its settings.
    pub settings: Settings,
    /// Its clock.
    pub clock: Clock,
    /// The program that runs script workers: this one, unless a test says otherwise.
    pub program: PathBuf,
}

impl Startup {
    /// With the system's clock and this program.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let program = script_worker::own_file()?;
        Ok(Self { settings, clock: Clock::System, program })
    }

    fn worker(&self, kind: &str) -> Program {
        script_worker::program(self.program.clone(), kind)
    }
}

impl Gateway {
    /// Starts everything.
    pub async fn start(startup: Startup) -> anyhow::Result<Self> {
        let Startup { settings, clock, .. } = &startup;
        // All of this program is read for that: beside what comes before the first block.
        let program = startup.program.clone();
        let firmware = tokio::task::spawn_blocking(move || firmware_hash(&program));
        let identity = Arc::new(Identity::load(&settings.gateway.key_dir)?);
        let store = open_store(settings, &identity)?;
        let metrics = Metrics::new();
        commits::count(&store, &metrics);
        let events = Events::new(OsRandom.bytes()?);
        let auth = Auth::open(
            Arc::new(StoreKeys(store.tables().clone())),
            Kek::new(*identity.derive(AUTH_KEK)?),
            GatewayIdentity::from_private(PrivateKey::new(*identity.noise)),
            AuthLimits::default(),
        )
        .context("opening the door")?;
        let decoders = Arc::new(bluetooth::read_by(settings, Decoders::new(tolerances(settings), []))?);
        let plugins = PluginsTask::start(PluginsParts {
            library: settings.plugins.dir.clone(),
            store: store.clone(),
            program: startup.worker("plugin"),
            decoders: Arc::clone(&decoders),
            clock: clock.clone(),
        })
        .await;
        let sealing = Arc::new(Sealing::new(SealingParts {
            store: store.clone(),
            key: GatewayKey::new(&identity.sign),
            ring: sealing_ring(&store, &identity)?.0,
            policy: ClosingPolicy {
                interval_us: i64::try_from(settings.blocks.interval_ms.saturating_mul(1_000)).unwrap_or(i64::MAX),
                weight_max: usize::try_from(settings.blocks.bytes_max).unwrap_or(usize::MAX),
            },
            events: events.clone(),
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            judge: ClockJudge::new(settings.clock.synchronised_file.clone(), clock::floor()),
        }));
        sealing.set_plugins(plugins.hash());
        let releases = ledger::releases(settings, &store, clock);
        let shelf = Shelf::open(settings, releases.clone(), &store, clock.clone())?;
        let (door, words) = Door::new();
        let roster = Arc::new(Roster::default());
        roster.replace(watch::roster(&store)?);
        let board = Arc::new(Board::new(BoardLimits::default()));
        let (feed, queue) = rules::channel(settings.rules.dir.is_some());
        let health_feed = feed.clone();
        let heard_up_to = Arc::new(AtomicI64::new(if settings.rules.dir.is_some() { 0 } else { i64::MAX }));
        let (front_tasks, back_tasks) = (TaskTracker::new(), TaskTracker::new());
        let front = Arc::new(Front::new(Parts {
            auth: Arc::new(auth),
            decoders,
            store: store.clone(),
            roster,
            board: Arc::clone(&board),
            rules: feed.clone(),
            sealing: Arc::clone(&sealing),
            metrics: Arc::clone(&metrics),
            firmware: shelf.as_ref().map(|_| door.clone()),
            clock: clock.clone(),
            tasks: front_tasks.clone(),
        })?);
        recall(&front, &store).await?;
        let (stop_ports, stop_back, stop_sync) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let (ledger, synced) = ledger::start_sync(
            settings,
            &identity,
            &store,
            &sealing,
            &events,
            &metrics,
            clock,
            releases,
            &stop_sync,
            &back_tasks,
        )?;

        let halter = ledger::halter(settings, &identity, &sealing).map(Arc::new);
        // Before anything comes in, and without waiting for the rules: what the last run left is sealed however often the
        // box is cut off while starting.
        sealing.set_firmware(firmware.await??);
        back_tasks.spawn(Arc::clone(&sealing).run(stop_back.clone()));
        let gatehouse = Arc::new(Gatehouse(Arc::clone(&front)));
        let (tls, certificate) = server_tls(settings, clock)?;
        // Before the next one comes in.
        let (_, last_reading) = store.journal_end()?;
        let gate = Arc::new(Gate::start(gate_config(settings, &tls), Arc::<Gatehouse>::clone(&gatehouse) as _).await?);
        let live = live::publish(Arc::clone(&board), Arc::clone(&gate));
        back_tasks.spawn(stop_back.clone().run_until_cancelled_owned(live));
        let delivery = DeliveryWires::new(settings);
        let telling = Arc::new(delivery.telling(&store, &events)?);
        let alerts = Alerts {
            store: store.clone(),
            events: events.clone(),
            telling: Arc::clone(&telling),
            gate: Arc::clone(&gate),
            ends: Arc::default(),
            stating: Arc::default(),
            metrics: Arc::clone(&metrics),
            sealing: Arc::clone(&sealing),
            notes: Arc::clone(&delivery.notes),
            standing: Standing::default(),
            clock: clock.clone(),
        };
        let told = alerts.restore(last_reading).await?;
        back_tasks.spawn(alerts.clone().forget_ends(stop_back.clone()));
        let watch_alerts = alerts.clone();
        if let Some(folder) = &settings.rules.dir {
            let (rules_sealing, notes) = (Arc::clone(&sealing), Arc::clone(&delivery.notes));
            let parts = RulesParts {
                alerts: alerts.clone(),
                store: store.clone(),
                plugins: settings.plugins.dir.clone(),
                metrics: Arc::clone(&metrics),
                clock: clock.clone(),
                horizon_us: horizon_us(settings),
                kept_up_to: Arc::clone(&heard_up_to),
                on_loaded: Box::new(move |rules, is_recorded| {
                    rules_sealing.set_rules(if is_recorded { rules.hash() } else { [0; 32] });
                    notes.replace(rules);
                }),
                stop: stop_back.clone(),
            };
            let drill_feed = feed.clone();
            let task = RulesTask::start(queue, feed, folder, startup.worker("rules"), parts).await;
            back_tasks.spawn(task.run());
            let drills = delivery.drills(settings, drill_feed, &alerts, &gate, clock)?;
            back_tasks.spawn(drills.run(stop_back.clone()));
            let shadows = Shadows::new(settings, startup.worker("rules"), &store, clock);
            back_tasks.spawn(shadows.run(stop_back.clone()));
        } else {
            sealing.set_rules([0; 32]);
        }
        back_tasks.spawn(delivery.escalator(settings, alerts, told, clock).run(stop_back.clone()));
        let health = Health::new(HealthParts {
            store: store.clone(),
            seals: Arc::clone(&sealing),
            rules: settings.rules.dir.is_some().then_some(health_feed),
            ledger: synced,
            drills: settings.rules.dir.is_some() && settings.delivery.drill_every.0.is_some(),
            clock: clock.clone(),
            interval_us: i64::try_from(settings.blocks.interval_ms.saturating_mul(1_000)).unwrap_or(i64::MAX),
            reserve_bytes: settings.journal.reserve_bytes,
            certificate,
        });
        back_tasks.spawn(health::serve(Arc::new(health), settings.gateway.data_dir.clone(), stop_back.clone()));
        let watch = Watch {
            front: Arc::clone(&front),
            alerts: watch_alerts,
            sealing: Arc::clone(&sealing),
            store: store.clone(),
            identity: Arc::clone(&identity),
            clock: clock.clone(),
            silent_after_us: i64::from(settings.gateway.silent_after_s) * MICROS_PER_SECOND,
            horizon_us: horizon_us(settings),
            heard_up_to,
        };
        back_tasks.spawn(watch.run(stop_back.clone()));
        if let (Some(shelf), Some(halter)) = (&shelf, &halter) {
            let parts = DeskParts {
                shelf: Arc::clone(shelf),
                auth: Arc::clone(&front.auth),
                store: store.clone(),
                roster: Arc::clone(&front.roster),
                metrics: Arc::clone(&metrics),
                clock: clock.clone(),
                halter: Arc::clone(halter),
            };
            back_tasks.spawn(Desk::new(parts, &door)?.run(words, stop_back.clone()));
        }
        let outputs = OutputsParts {
            library: settings.plugins.dir.clone(),
            store: store.clone(),
            program: startup.worker("output"),
            carrier: Arc::new(Carrier::new(
                Arc::clone(&gate),
                settings.serial.iter().map(|port| port.path.clone()).collect(),
                Authorities::new(settings.delivery.authorities.clone()),
                clock.clone(),
            )),
            clock: clock.clone(),
            hearing: delivery.hearing(settings),
        };
        back_tasks.spawn(outputs::run(outputs, stop_back.clone()));
        let plugins_sealing = Arc::clone(&sealing);
        back_tasks.spawn(plugins.run(move |hash| plugins_sealing.set_plugins(hash), stop_back.clone()));
        back_tasks.spawn(Keeper::new(Arc::clone(&front)).run(stop_back.clone()));
        let ports = settings
            .serial
            .iter()
            .map(|port| {
                serial::start(ports::config(port), Arc::<Gatehouse>::clone(&gatehouse) as _, stop_ports.clone())
            })
            .collect();
        let intake = Arc::<Gatehouse>::clone(&gatehouse) as _;
        let ble = bluetooth::start(settings, &front, intake, &back_tasks, stop_ports.clone())?;
        let page = Arc::new(PageAdapter {
            store: store.clone(),
            telling,
            metrics: Arc::clone(&metrics),
            clock: clock.clone(),
            name: settings.gateway.name.to_string(),
            started_at: clock.now(),
            ledger,
            notes: Arc::clone(&delivery.notes),
        });
        let page_clock = clock.clone();
        let server = Server::start(
            HttpConfig {
                address: settings.http.address,
                hosts: settings.http.hosts.clone(),
                tls,
                limits: PageLimits::default(),
            },
            pitchside_admin::Parts {
                view: Arc::<PageAdapter>::clone(&page) as _,
                commands: Arc::<PageAdapter>::clone(&page) as _,
                users: page as _,
                board,
                events,
                metrics: Arc::clone(&metrics),
                sign_ins: SignIns::default(),
                clock: pitchside_admin::Clock::new(move || page_clock.now()),
            },
        )
        .await?;
        // Last: a door whose place `firmware.listen` names, too, has it already.
        if let (Some(shelf), Some(halter)) = (&shelf, halter) {
            let (shelf, vitals) = (Arc::clone(shelf), Arc::clone(door.vitals()));
            let parts = OwnParts { shelf, store: store.clone(), clock: clock.clone(), vitals, halter };
            firmware::start(parts, settings, &back_tasks, &stop_back);
        }
        Ok(Self {
            gate,
            decoders: Arc::clone(&front.decoders),
            ports,
            ble,
            page_address: server.local_addr(),
            page: server,
            store,
            sealing,
            metrics,
            shelf,
            front_tasks,
            back_tasks,
            stop_ports,
            stop_back,
            stop_sync,
        })
    }
}

/// What lived when the last run ended: the last rows of the journal, to the table of streams and the page.
async fn recall(front: &Arc<Front>, store: &Store) -> anyhow::Result<()> {
    let (front, store) = (Arc::clone(front), store.clone());
    tokio::task::spawn_blocking(move || {
        let (_, newest) = store.journal_end()?;
        Ok(recall_since(&store, newest.plus_micros(-RECALLED_US), |entries| front.recall(entries))?)
    })
    .await?
}

fn horizon_us(settings: &Settings) -> i64 {
    i64::from(settings.journal.horizon_s) * MICROS_PER_SECOND
}

fn tolerances(settings: &Settings) -> Tolerances {
    let micros = |seconds: u32| i64::from(seconds) * MICROS_PER_SECOND;
    Tolerances {
        future_us: micros(settings.clock.future_s),
        late_us: micros(settings.clock.late_s),
        ..Tolerances::default()
    }
}

/// BLAKE3 of this program's file: what the block header calls firmware.
fn firmware_hash(program: &Path) -> anyhow::Result<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let file = std::fs::File::open(program).with_context(|| format!("reading {}", program.display()))?;
    hasher.update_reader(file).with_context(|| format!("reading {}", program.display()))?;
    Ok(*hasher.finalize().as_bytes())
}

/// One certificate for the page and the gate.
fn server_tls(settings: &Settings, clock: &Clock) -> anyhow::Result<(Arc<ServerConfig>, tls::Served)> {
    tls::serving(&settings.gateway.key_dir, settings.gateway.name.as_str(), clock.clone(), &settings.http.hosts, &[])
}

fn gate_config(settings: &Settings, tls: &Arc<ServerConfig>) -> GateConfig {
    let mqtt = &settings.mqtt;
    let with = |address: Option<std::net::SocketAddr>| address.map(|address| (address, Arc::clone(tls)));
    GateConfig {
        tcp: mqtt.tcp.clone(),
        tls: with(mqtt.tls),
        ws: Vec::new(),
        wss: with(mqtt.websocket),
        limits: GateLimits {
            connections_max: usize::try_from(mqtt.connections_max).unwrap_or(usize::MAX),
            ..GateLimits::default()
        },
    }
}
