//! The way to the ledger.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ledger_block::GatewayKey;
use ledger_block::channel::{Keypair, Psk, PublicKey};
use ledger_block::policy::Policy;
use parking_lot::RwLock;
use pitchside_admin::{Events, LedgerLink, Metrics};
use pitchside_config::{Ledger, Settings};
use pitchside_store::Store;
use pitchside_sync::{Link as SyncLink, Status as SyncStatus, SyncConfig};
use tokio::sync::watch as tokio_watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::adapters::outbox::{StoreOutbox, SystemEdge};
use crate::adapters::page::LedgerState;
use crate::adapters::releases::KnownReleases;
use crate::adapters::releases::trouble::{self, Whose};
use crate::clock::Clock;
use crate::identity::Identity;
use crate::named;
use crate::pipeline::firmware::Halter;
use crate::pipeline::health::{LedgerFault, Way};
use crate::pipeline::sealing::Sealing;

/// What the ledger has proven about firmware; none without a ledger or a release policy. A box whose releases cannot be
/// read still collects: it says so and updates nothing.
pub(super) fn releases(settings: &Settings, store: &Store, clock: &Clock) -> Option<Arc<KnownReleases>> {
    let ledger = settings.ledger.as_ref()?;
    let Ok(policy) = named::policy_of(ledger) else {
        // Said where sync is not started for it.
        trouble::keep_off(store, None);
        return None;
    };
    KnownReleases::open(&settings.firmware, policy, store, clock).unwrap_or_else(|error| {
        let why = format!("{error:#}");
        tracing::error!(error = why, "firmware is off: nothing is learnt about releases");
        trouble::keep_off(store, Some((why, Whose::Settings, clock.now())));
        None
    })
}

/// How this box asks for a halt; none without a ledger, or without a policy that says which log it keeps: then firmware is off, too.
pub(super) fn halter(settings: &Settings, identity: &Identity, sealing: &Arc<Sealing>) -> Option<Halter> {
    let policy = named::policy_of(settings.ledger.as_ref()?).ok()?;
    let origin = policy.logs().first()?.key.name().to_owned();
    let (name, key) = (settings.gateway.name.clone(), GatewayKey::new(&identity.sign));
    Some(Halter { name, origin, key, wake: Arc::clone(&sealing.sealed) })
}

/// Starts sync, if a ledger is configured: its state for the page, and how it is looked after. A box that cannot read who its ledger is
/// works without, and says so: readings, rules and blocks go on.
#[allow(clippy::too_many_arguments, reason = "wiring")]
pub(super) fn start_sync(
    settings: &Settings,
    identity: &Identity,
    store: &Store,
    sealing: &Arc<Sealing>,
    events: &Events,
    metrics: &Arc<Metrics>,
    clock: &Clock,
    releases: Option<Arc<KnownReleases>>,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<(Arc<RwLock<LedgerState>>, Way)> {
    let link = if settings.ledger.is_some() { LedgerLink::Unreachable } else { LedgerLink::NotConfigured };
    let state = Arc::new(RwLock::new(LedgerState { link, last_receipt_at: None }));
    let Some(ledger) = &settings.ledger else {
        crate::backup::chain::settle_alone(store)?;
        return Ok((state, Way::NotConfigured));
    };
    let (public, policy) = match who(ledger) {
        Ok(who) => who,
        Err((fault, error)) => {
            let why = format!("{error:#}");
            tracing::error!(error = why, "no sync until it is mended and this is started again: {}", fault.words());
            return Ok((state, Way::Off { fault, why }));
        }
    };
    let mut config = config_of(ledger, identity, public, policy)?;
    config.releases_every = Duration::from_secs(u64::from(settings.firmware.ask_s));
    let (on_receipt, doubted) = (Arc::clone(&state), releases.clone());
    let outbox = Arc::new(StoreOutbox {
        store: store.clone(),
        sealed: Arc::clone(&sealing.sealed),
        events: events.clone(),
        metrics: Arc::clone(metrics),
        clock: clock.clone(),
        sending: parking_lot::Mutex::default(),
        gateway: sealing.gateway(),
        keys: settings.gateway.key_dir.clone(),
        releases,
        on_resumed: Box::new({
            let sealing = Arc::clone(sealing);
            move || sealing.resume()
        }),
        on_receipt: Box::new(move |at| on_receipt.write().last_receipt_at = Some(at)),
    });
    let (sender, mut receiver) = tokio_watch::channel(SyncStatus::default());
    let synced = receiver.clone();
    tasks.spawn(pitchside_sync::run(config, outbox, Arc::new(SystemEdge(clock.clone())), sender, stop.clone()));
    let shown = Arc::clone(&state);
    tasks.spawn(async move {
        // Ends when sync does.
        while receiver.changed().await.is_ok() {
            let (connected, fault) = {
                let status = receiver.borrow_and_update();
                let fault = status.fault.as_ref().map(|(_, fault)| fault.clone());
                (matches!(status.link, SyncLink::Connected { .. }), fault)
            };
            shown.write().link = if connected { LedgerLink::Connected } else { LedgerLink::Unreachable };
            if let (Some(releases), Some(fault)) = (doubted.clone(), fault) {
                // It waits for the store.
                let kept = tokio::task::spawn_blocking(move || releases.doubted(&fault)).await;
                if let Err(error) = kept {
                    tracing::error!(%error, "that the ledger is not believed was not kept");
                }
            }
        }
    });
    Ok((state, Way::Sync(synced)))
}

/// Who the settings say that the ledger is, or what of that is of no use.
fn who(ledger: &Ledger) -> Result<(PublicKey, Policy), (LedgerFault, anyhow::Error)> {
    let public = named::key_of(ledger).map_err(|error| (LedgerFault::Key, error))?;
    let policy = named::policy_of(ledger).map_err(|error| (LedgerFault::Policy, error))?;
    Ok((public, policy))
}

/// How sync finds and knows the ledger.
pub fn sync_config(ledger: &Ledger, identity: &Identity) -> anyhow::Result<SyncConfig> {
    let (public, policy) = who(ledger).map_err(|(fault, error)| error.context(fault.words()))?;
    config_of(ledger, identity, public, policy)
}

fn config_of(ledger: &Ledger, identity: &Identity, public: PublicKey, policy: Policy) -> anyhow::Result<SyncConfig> {
    let keypair = Keypair::from_secret(identity.noise.clone())?;
    let vkey = policy.logs().first().context("the policy names no log")?.key.clone();
    let mut config =
        SyncConfig::new(ledger.address.clone(), public, Psk::new(identity.ledger_psk.clone()), keypair, vkey);
    config.policy = policy;
    config.silence = Duration::from_secs(30);
    Ok(config)
}
