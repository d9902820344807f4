//! Outputs: plugins that make requests of alerts, and the host that carries them out. Each output has a task and a process of its
//! own, so that none waits for another; it is told of every step, the most urgent first, after the step is recorded, and the step counts
//! as done when everything asked for was carried out, refused for good, or put aside in the record to be tried on; what is kept in the
//! record, as its script failed on it, is told again. So it is after a crash: whoever receives sees the same key. Nothing here is on the
//! way of readings or of the other ways alerts take.
//!
//! | module | holds |
//! | --- | --- |
//! | [`carry`] | one request carried out, if it was granted |
//! | `round` | everything there is to be told, and what becomes of it |
//! | `agenda` | which step is next |
//! | `kept` | steps that are told again, as the script failed on them or something had no room to wait |
//! | `places` | how much may wait, of one receiver and in all |
//! | `telling` | one step told to the script, and what it asks for done |
//! | `aside` | what was put aside, tried again |
//! | `trial` | trying again, putting aside, and giving up |
//! | `moot` | what is given up as something newer replaced it, or its step's time is over |
//! | [`given`] | what an admin gave an output: grants and secrets |
//! | `record` | what is written of all that, and waits while nothing can be |
//! | [`address`] | where a name may lead: HTTP and mail go by names, nothing else does |
//! | [`authorities`] | whose certificates are trusted |
//! | `connect` | one connection to whichever address answers first |
//! | [`http`] | POST over TLS or in clear |
//! | `numbered` | which request of a step is which, when it is asked for again |
//! | `patience` | when what was put aside is tried again |
//! | `underway` | what is under way while later steps are told |
//! | `chains` | what waits, receiver by receiver |
//! | `turn` | of requests that replace each other, the newest stays |
//! | [`signed`] | signatures of webhooks |
//! | [`mail`] | one mail over SMTP |
//! | [`gpio`] | pulses on a line |
//! | [`hd44780`], [`lcd`] | what a character display is told, and through which bus |
//! | [`hearing`] | what an output hears of a step: now, after its quiet hours, or never |

pub mod address;
mod agenda;
mod aside;
pub mod authorities;
pub mod carry;
mod chains;
mod connect;
pub mod given;
pub mod gpio;
pub mod hd44780;
pub mod hearing;
pub mod http;
mod kept;
pub mod lcd;
pub mod mail;
mod moot;
mod numbered;
mod patience;
mod places;
mod record;
mod round;
pub mod signed;
mod telling;
mod trial;
mod turn;
mod underway;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pitchside_model::PluginName;
use pitchside_script::Program;
use pitchside_script::manifest::{Constant, PluginKind};
use pitchside_script::output::Step;
use pitchside_script::output::worker::{OutputProcess, StartError};
use pitchside_store::{DeliveryStepId, Store};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plugins::Seen;
use crate::blocking;
use crate::clock::Clock;
use crate::plugins::wanted::{Inventory, Wanted};
use agenda::Agenda;
use carry::Carrier;
use hearing::{Hearing, OutputEar};
use kept::Kept;
use patience::Patience;
use record::Record;
use trial::Courier;
use turn::Turns;
use underway::UnderWay;

/// How often library, database and alerts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long before an output is started again whose process did not come up.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What outputs need of the rest.
#[derive(Clone)]
pub struct OutputsParts {
    /// The library's folder, if there is one.
    pub library: Option<PathBuf>,
    /// What was installed and granted; alerts; the log.
    pub store: Store,
    /// Runs one output.
    pub program: Program,
    /// Carries requests out.
    pub carrier: Arc<Carrier>,
    /// The gateway's clock.
    pub clock: Clock,
    /// Who hears of what, and when.
    pub hearing: Hearing,
}

impl OutputsParts {
    fn trouble(&self, name: &PluginName, text: String) {
        let now = self.clock.now();
        if let Err(error) = blocking::here(|| self.store.note_plugin_trouble(name, &[text], now)) {
            tracing::warn!(plugin = %name, %error, "an output's troubles could not be written down");
        }
    }
}

struct Running {
    fingerprint: [u8; 32],
    hears: Vec<Step>,
    stop: CancellationToken,
    /// Nothing of it is under way any more once this is cancelled.
    ended: CancellationToken,
}

/// What there is, and which outputs that were set up cannot run as it stands.
struct Looked {
    inventory: Inventory,
    down: BTreeMap<PluginName, String>,
}

/// Runs every output until stopped: those that are installed, corrected, switched off or on are so within a second.
pub async fn run(parts: OutputsParts, stop: CancellationToken) {
    let (tasks, mut running) = (TaskTracker::new(), BTreeMap::<PluginName, Running>::new());
    // Not known, every step counts as one of before.
    let before_start = blocking::here(|| parts.store.last_delivery_step()).unwrap_or(DeliveryStepId(i64::MAX));
    let mut seen: Option<Seen> = None;
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = every.tick() => {}
        }
        let looked = blocking::here(|| {
            let now = Seen::now(parts.library.as_deref(), &parts.store)?;
            if seen.as_ref() == Some(&now) {
                return anyhow::Ok(None);
            }
            let inventory = Inventory::read(parts.library.as_deref(), &parts.store)?;
            let down = inventory.outputs_down(&parts.store)?;
            Ok(Some((now, Looked { inventory, down })))
        });
        match looked {
            Ok(None) => {}
            Ok(Some((now, looked))) => {
                if seen.is_none() {
                    parts.hearing.warn_of_routes(&looked.inventory);
                }
                reconcile(&parts, before_start, looked, &mut running, &tasks, &stop);
                seen = Some(now);
            }
            Err(error) => tracing::error!(error = %format!("{error:#}"), "outputs could not be looked at; they go on"),
        }
    }
    running.values().for_each(|running| running.stop.cancel());
    tasks.close();
    tasks.wait().await;
}

fn reconcile(
    parts: &OutputsParts,
    before_start: DeliveryStepId,
    looked: Looked,
    running: &mut BTreeMap<PluginName, Running>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let Looked { inventory, mut down } = looked;
    // One of the library that nobody granted anything does not run, and says nothing; nor does one that is not set up.
    let is_output = |wanted: &Wanted| {
        wanted.enabled && wanted.folder.manifest.kind == PluginKind::Output && wanted.missing().is_empty()
    };
    let mut leaving = BTreeMap::new();
    running.retain(|name, running| {
        let stays = match inventory.plugins.get(name) {
            Some(wanted) => is_output(wanted) && wanted.fingerprint() == running.fingerprint,
            None => inventory.unreadable.iter().any(|folder| folder == name.as_str()),
        };
        if !stays {
            running.stop.cancel();
            leaving.insert(name.clone(), running.ended.clone());
            if let Some(why) = down.get(name) {
                parts.trouble(name, format!("it runs no more: {why}"));
            }
        }
        stays
    });
    for (name, wanted) in inventory.plugins.iter().filter(|(_, wanted)| is_output(wanted)) {
        if running.contains_key(name) {
            continue;
        }
        let stop = stop.child_token();
        let ear = match parts.hearing.ear(name, &wanted.folder.manifest.hears) {
            Ok(ear) => ear,
            Err(error) => {
                let why = format!("its route cannot be followed: {error:#}");
                parts.trouble(name, why.clone());
                down.insert(name.clone(), why);
                continue;
            }
        };
        let (asks, _) = wanted.folder.manifest.asks(&wanted.folder.chosen);
        let secrets = wanted.folder.manifest.secrets.clone();
        let record = Record::new(name.clone(), parts.store.clone());
        let courier = Courier {
            name: name.clone(),
            parts: parts.clone(),
            record,
            asks,
            secrets,
            before_start,
            patience: Patience::default(),
            turns: Turns::default(),
            under_way: UnderWay::default(),
            told: Arc::default(),
        };
        let task = OutputTask {
            name: name.clone(),
            parts: parts.clone(),
            process: None,
            ear,
            courier,
            agenda: Agenda::default(),
            kept: Kept::default(),
            waiting_at: None,
            away: JoinSet::new(),
        };
        let (source, constants) = (wanted.folder.source.clone(), wanted.folder.constants());
        let (until_stopped, before, ended) = (stop.clone(), leaving.remove(name), CancellationToken::new());
        let guard = ended.clone().drop_guard();
        tasks.spawn(async move {
            let _ended = guard;
            // What is under way there is not known here: it would go out beside it once more.
            if let Some(before) = before {
                before.cancelled().await;
            }
            task.run(source, constants, until_stopped).await;
        });
        let (fingerprint, hears) = (wanted.fingerprint(), wanted.folder.manifest.hears.clone());
        running.insert(name.clone(), Running { fingerprint, hears, stop, ended });
    }
    // What cannot be read any more and runs on is asked in a drill like any other.
    down.retain(|name, _| !running.contains_key(name));
    parts.hearing.note_outputs(running.iter().map(|(name, running)| (name, running.hears.as_slice())), down);
}

/// One output.
struct OutputTask {
    name: PluginName,
    parts: OutputsParts,
    process: Option<OutputProcess>,
    ear: OutputEar,
    courier: Courier,
    /// What it is still to be told.
    agenda: Agenda,
    /// What it is not done with though later steps were told.
    kept: Kept,
    /// When what was put aside was last looked at, by the gateway's uptime.
    waiting_at: Option<Duration>,
    /// Who is about what is under way and writes down what becomes of it: no more than may be under way or wait, and drills.
    away: JoinSet<()>,
}

impl OutputTask {
    async fn run(mut self, source: String, constants: Vec<(String, Constant)>, stop: CancellationToken) {
        while self.process.is_none() {
            match OutputProcess::start(&source, constants.clone(), &self.parts.program).await {
                Ok(process) => self.process = Some(process),
                Err(error) => {
                    tracing::error!(plugin = %self.name, %error, "an output does not start");
                    self.trouble(format!("it does not start: {error}"));
                    let later = tokio::time::sleep(AGAIN_AFTER);
                    // A script that does not compile will not by waiting; the box may be less busy then.
                    if matches!(error, StartError::Script(_)) || stop.run_until_cancelled(later).await.is_none() {
                        return;
                    }
                }
            }
        }
        tracing::info!(plugin = %self.name, "output runs");
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut goes_on = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = every.tick() => {}
            }
            // Cut off in the middle, it is told again.
            let round = stop.run_until_cancelled(self.round()).await;
            // Once, not four times a second for as long as the disk is full.
            if let (true, Some(Err(error))) = (goes_on, &round) {
                tracing::warn!(plugin = %self.name, %error, "an output cannot go on; alerts wait for it");
            }
            goes_on = !matches!(round, Some(Err(_)));
        }
        // First: what is merely slow would go on beside whoever comes after this one.
        self.away.shutdown().await;
        if let Some(mut process) = self.process.take() {
            process.stop().await;
        }
    }
}
