//! Is the pipeline making progress? Asked by `pitchside doctor --health` (the boot's health check, systemd) over a unix
//! socket in the data folder that only the gateway's own user and root may use: whoever connects is answered one JSON line.
//!
//! Healthy means: a probe went through the store's group commit in time, there is room to write, what is durable gets
//! sealed and the next block can be made, a synthetic reading raises its alert in the rules' worker, the alert path within the box was
//! walked by the last drill, and the way to the ledger is looked after, whether the ledger answers or not. All but the last drill is
//! proven while whoever asks waits: a program that has just started can't show what one before it did.

mod fault;
#[cfg(test)]
mod tests;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pitchside_model::Timestamp;
use pitchside_store::Store;
use pitchside_sync::{Link, Status as SyncStatus};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::rules::RulesFeed;
use super::sealing::Sealing;
use crate::backup::chain::is_waiting;
use crate::blocking;
use crate::clock::Clock;
use crate::delivery::drill::Report as DrillReport;
use crate::tls::Served;

pub use fault::{LedgerFault, Way};

/// The socket's name in the data folder.
pub const SOCKET: &str = "health.sock";
/// How long the probe may take.
const PROBE: Duration = Duration::from_secs(5);
/// How long an answer may take to be read.
const WRITE: Duration = Duration::from_secs(2);
/// Askers at a time.
const ASKERS_MAX: usize = 4;
/// What is durable and not sealed so long after it was due is stuck.
const SEALING_LATE_US: i64 = 60_000_000;
/// Where the probe is written.
const PROBE_NAME: &str = "health-probe";

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it is well.
    pub ok: bool,
    /// What was seen.
    pub evidence: String,
    /// Of the ledger: what keeps the two apart, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<LedgerFault>,
}

/// How the running gateway is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// All checks are well.
    pub healthy: bool,
    /// Each of them.
    pub checks: Vec<Check>,
    /// When the gateway started.
    pub started_at_us: i64,
    /// Until when the certificate it serves is valid.
    #[serde(default)]
    pub certificate_until_us: Option<i64>,
}

/// What the ledger's check is called.
const LEDGER: &str = "ledger";

impl Report {
    /// The ledger's check.
    pub fn ledger_link(&self) -> Option<&Check> {
        self.checks.iter().find(|check| check.what == LEDGER)
    }
}

/// What health looks at.
pub struct Health {
    store: Store,
    seals: Arc<Sealing>,
    rules: Option<RulesFeed>,
    ledger: Way,
    drills: bool,
    clock: Clock,
    interval_us: i64,
    reserve_bytes: u64,
    started_at: Timestamp,
    certificate: Served,
    offline_since: parking_lot::Mutex<Option<Timestamp>>,
}

/// What a [`Health`] is made of.
pub struct HealthParts {
    /// The store.
    pub store: Store,
    /// Makes blocks.
    pub seals: Arc<Sealing>,
    /// The way to the rules, if there are any.
    pub rules: Option<RulesFeed>,
    /// How the ledger is looked after.
    pub ledger: Way,
    /// Whether the alert path is proven by drills.
    pub drills: bool,
    /// The gateway's clock.
    pub clock: Clock,
    /// When a block closes, in microseconds.
    pub interval_us: i64,
    /// Bytes of disk that readings may not use up.
    pub reserve_bytes: u64,
    /// The certificate it serves.
    pub certificate: Served,
}

impl Health {
    /// Looks at these.
    pub fn new(parts: HealthParts) -> Self {
        let HealthParts { store, seals, rules, ledger, drills, clock, interval_us, reserve_bytes, certificate } = parts;
        let started_at = clock.now();
        let offline_since = parking_lot::Mutex::default();
        Self {
            store,
            seals,
            rules,
            ledger,
            drills,
            clock,
            interval_us,
            reserve_bytes,
            started_at,
            certificate,
            offline_since,
        }
    }

    /// Looks at everything, now. Takes at most a few seconds.
    pub async fn look(&self) -> Report {
        // Beside each other: whoever asks waits for the slowest only.
        let (commit, sealing, rules) = tokio::join!(self.probe(), self.sealing(), self.rules());
        let checks = vec![commit, self.room(), sealing, rules, self.alert_path(), self.ledger()];
        let healthy = checks.iter().all(|check| check.ok);
        let certificate_until_us = Some(self.certificate.until().0);
        Report { healthy, checks, started_at_us: self.started_at.0, certificate_until_us }
    }

    /// A value written the way everything is: through the one writer, with its fsync.
    async fn probe(&self) -> Check {
        let (store, now) = (self.store.clone(), self.clock.now());
        let write = tokio::task::spawn_blocking(move || store.set_meta(PROBE_NAME, &now.0.to_be_bytes()));
        let began = tokio::time::Instant::now();
        let (ok, evidence) = match tokio::time::timeout(PROBE, write).await {
            Ok(Ok(Ok(()))) => (true, format!("a probe was durable after {} ms", began.elapsed().as_millis())),
            Ok(Ok(Err(error))) => (false, error.to_string()),
            Ok(Err(error)) => (false, error.to_string()),
            Err(_) => (false, format!("a probe was not durable after {} s", PROBE.as_secs())),
        };
        check("commit", ok, evidence)
    }

    fn room(&self) -> Check {
        let health = self.store.health();
        let (ok, evidence) = match (health.problem, health.free_bytes) {
            (Some(problem), _) => (false, problem.to_string()),
            (None, Some(free)) => (
                free >= self.reserve_bytes,
                format!("{} MiB free, {} kept in reserve", free >> 20, self.reserve_bytes >> 20),
            ),
            (None, None) => (true, "the last write succeeded".to_owned()),
        };
        check("store writable", ok, evidence)
    }

    async fn sealing(&self) -> Check {
        let store = self.store.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let last = store.last_block()?.map(|block| block.sealed_at);
            Ok::<_, pitchside_store::StoreError>((store.unsealed_backlog()?, last, is_waiting(&store)?))
        });
        let (backlog, last, waiting) = match looked.await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => return check("sealing", false, error.to_string()),
            Err(error) => return check("sealing", false, error.to_string()),
        };
        let rows = backlog.rows;
        if waiting {
            let why = "restored, or without the end of its chain: the ledger has not said yet where the chain goes on";
            return check("sealing", true, format!("{why}; {rows} journal rows wait"));
        }
        // Late is what should have been sealed long ago, with nothing sealed since.
        let late = |at: Timestamp| self.clock.now().micros_since(at) > self.interval_us.saturating_add(SEALING_LATE_US);
        let stuck = backlog.oldest.is_some_and(late) && last.is_none_or(late);
        let since = last.map_or_else(|| "none sealed yet".to_owned(), |at| format!("last block at {at}"));
        let evidence = format!("{rows} journal rows to seal; {since}");
        match tokio::time::timeout(PROBE, self.seals.try_out()).await {
            Ok(Ok(())) => check("sealing", !stuck, evidence),
            Ok(Err(why)) => check("sealing", false, format!("no block can be made: {why}; {evidence}")),
            Err(_) => {
                check("sealing", false, format!("no block could be made within {} s; {evidence}", PROBE.as_secs()))
            }
        }
    }

    /// A drill that ends at the worker: nobody is told of its alert.
    async fn rules(&self) -> Check {
        let Some(feed) = &self.rules else { return check("rules", true, "none configured".to_owned()) };
        if !feed.is_alive() {
            let why = "no rule is running: the worker does not start, or is being restarted";
            return check("rules", false, why.to_owned());
        }
        // A drill would wait behind them. That they get on is what rules read them for.
        if feed.is_behind() {
            return check("rules", true, "the worker runs, and judges readings of before".to_owned());
        }
        let began = tokio::time::Instant::now();
        let raised = match feed.drill(self.clock.now()) {
            None => Err("their queue is full: readings come faster than the rules judge them".to_owned()),
            Some(told) => match tokio::time::timeout(PROBE, told).await {
                Ok(Ok(said)) => said.map(|_| began.elapsed()),
                Ok(Err(_)) => Err("they were stopped".to_owned()),
                Err(_) => Err(format!("a synthetic reading raised no alert within {} s", PROBE.as_secs())),
            },
        };
        match raised {
            Ok(took) => {
                check("rules", true, format!("a synthetic reading raised its alert after {} ms", took.as_millis()))
            }
            Err(why) => check("rules", false, why),
        }
    }

    /// Only the box's own legs count: that nobody answers an output outside is a finding of `doctor`, and no reason to take back an
    /// update or to start the gateway again.
    fn alert_path(&self) -> Check {
        if !self.drills {
            return check(
                "alert path",
                true,
                "no drills: there are no rules, or delivery.drill_every is off".to_owned(),
            );
        }
        let (ok, evidence) = match blocking::here(|| self.store.last_drill()) {
            Ok(None) => (true, "no drill yet".to_owned()),
            Ok(Some(drill)) => {
                let report: DrillReport = serde_json::from_str(&drill.report).unwrap_or_default();
                let at = drill.ended.map_or(drill.asked_at, |(at, _)| at);
                (
                    drill.ended.is_none_or(|(_, proved)| proved) || report.own_legs_proved(),
                    format!("drill at {at}: {report}"),
                )
            }
            Err(error) => (false, error.to_string()),
        };
        check("alert path", ok, evidence)
    }

    /// Remembers since when the ledger is away.
    fn note_link(&self, status: &SyncStatus) -> Timestamp {
        let mut since = self.offline_since.lock();
        let now = self.clock.now();
        if matches!(status.link, Link::Connected { .. }) {
            *since = None;
            return now;
        }
        *since.get_or_insert(now)
    }

    async fn follow_link(self: Arc<Self>) {
        let Way::Sync(mut receiver) = self.ledger.clone() else { return };
        loop {
            let status = receiver.borrow_and_update().clone();
            self.note_link(&status);
            if receiver.changed().await.is_err() {
                return;
            }
        }
    }

    /// Neither an unreachable ledger nor one that refuses, is not believed or is not known is unhealthy: the box works without, and a start
    /// or an older version would mend none of it. That nobody tries although somebody could would be.
    fn ledger(&self) -> Check {
        let receiver = match &self.ledger {
            Way::NotConfigured => return check(LEDGER, true, "none configured".to_owned()),
            Way::Off { fault, why } => {
                let evidence = format!("not asked since {}: {}: {why}", self.started_at, fault.words());
                return Check { fault: Some(*fault), ..check(LEDGER, true, evidence) };
            }
            Way::Sync(receiver) => receiver,
        };
        let status = receiver.borrow().clone();
        if let Link::Connected { since } = status.link {
            return check(LEDGER, true, format!("connected since {since}; {} to send", status.backlog));
        }
        let since = self.note_link(&status);
        let kind = status.fault.as_ref().map_or(LedgerFault::Unreachable, |(_, fault)| fault.into());
        let fault = status.fault.map_or_else(|| "connecting".to_owned(), |(_, fault)| fault.to_string());
        let tried = status.link != Link::Stopped && receiver.has_changed().is_ok();
        let evidence = format!("{} since {since}: {fault}; {} to send", kind.words(), status.backlog);
        let evidence = if tried { evidence } else { format!("nobody tries to reach it; {evidence}") };
        Check { fault: Some(kind), ..check(LEDGER, tried, evidence) }
    }
}

fn check(what: &str, ok: bool, evidence: String) -> Check {
    Check { what: what.to_owned(), ok, evidence, fault: None }
}

/// Opens the socket; one that a crash left behind makes room.
fn open(data: &Path) -> std::io::Result<(UnixListener, PathBuf)> {
    let path = data.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The folder lets nobody else in; the mode and the caller's user say so once more.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok((listener, path))
}

/// Answers until stopped. A gateway whose socket does not open runs all the same, and says so: nobody will call it healthy.
pub async fn serve(health: Arc<Health>, data: PathBuf, stop: CancellationToken) {
    let stop_following = stop.clone();
    let (listener, path) = match open(&data) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!(%error, socket = %data.join(SOCKET).display(), "health cannot be asked for");
            return;
        }
    };
    let following = Arc::clone(&health).follow_link();
    tokio::spawn(async move { stop_following.run_until_cancelled(following).await });
    let askers = Arc::new(Semaphore::new(ASKERS_MAX));
    loop {
        let asker = tokio::select! {
            asker = listener.accept() => asker,
            () = stop.cancelled() => break,
        };
        let Ok((stream, _)) = asker else {
            // Out of file descriptors, most likely: not at full speed again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Beyond that, whoever asks finds the connection closed, and asks again.
        let Ok(place) = Arc::clone(&askers).try_acquire_owned() else { continue };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            answer(stream, &health).await;
            drop(place);
        });
    }
    // Nobody is to wait at a door behind which nobody is.
    let _gone = std::fs::remove_file(path);
}

async fn answer(mut stream: UnixStream, health: &Health) {
    let own = rustix::process::geteuid().as_raw();
    let allowed = stream.peer_cred().is_ok_and(|caller| caller.uid() == own || caller.uid() == 0);
    if !allowed {
        return;
    }
    let Ok(mut line) = serde_json::to_vec(&health.look().await) else { return };
    line.push(b'\n');
    // Whoever hung up does not want to know.
    let _told = tokio::time::timeout(WRITE, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await;
}
