//! Outputs: plugins that make requests of alerts, and the host that carries them out. Each output has a task and a process of its
//! own, so that none waits for another; it is told of every step in order, after the step is recorded, and the step counts as
//! done when everything asked for was carried out or refused for good. So after a crash it is told again: whoever receives sees
//! the same key. Nothing here is on the way of readings or of the other ways alerts take.
//!
//! | module | holds |
//! | --- | --- |
//! | [`carry`] | one request carried out, if it was granted |
//! | [`given`] | what an admin gave an output: grants and secrets |
//! | [`http`] | POST over TLS or in clear |
//! | [`signed`] | signatures of webhooks |
//! | [`mail`] | one mail over SMTP |
//! | [`gpio`] | pulses on a line |
//! | [`hd44780`], [`lcd`] | what a character display is told, and through which bus |

pub mod carry;
pub mod given;
pub mod gpio;
pub mod hd44780;
pub mod http;
pub mod lcd;
pub mod mail;
pub mod signed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{AlertEvent, PluginName, Timestamp};
use pitchside_script::Program;
use pitchside_script::manifest::{Constant, PluginKind, SecretParam};
use pitchside_script::output::worker::{OutputProcess, StartError};
use pitchside_script::output::{Event, Outcome, Request, Step};
use pitchside_store::{AlertStep, AlertStepId, Store, StoreError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::plugins::Seen;
use crate::blocking;
use crate::clock::Clock;
use crate::plugins::wanted::{Inventory, Wanted};
use carry::{Carrier, CarryError};
use given::Given;

/// How often library, database and alerts are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Steps read at a time.
const PAGE: u32 = 32;
/// How long before an output is started again whose process did not come up.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// The first pause before a request is tried again; it doubles.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How long after its step was recorded a request is tried, in microseconds.
const GIVE_UP_AFTER_US: i64 = 24 * 3_600 * MICROS_PER_SECOND;

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
    stop: CancellationToken,
}

/// Runs every output until stopped: those that are installed, corrected, switched off or on are so within a second.
pub async fn run(parts: OutputsParts, stop: CancellationToken) {
    let (tasks, mut running) = (TaskTracker::new(), BTreeMap::<PluginName, Running>::new());
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
            Ok(Some((now, Inventory::read(parts.library.as_deref(), &parts.store)?)))
        });
        match looked {
            Ok(None) => {}
            Ok(Some((now, inventory))) => {
                reconcile(&parts, &inventory, &mut running, &tasks, &stop);
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
    inventory: &Inventory,
    running: &mut BTreeMap<PluginName, Running>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    // One of the library that nobody granted anything does not run, and says nothing; nor does one that is not set up.
    let is_output = |wanted: &Wanted| {
        wanted.enabled && wanted.folder.manifest.kind == PluginKind::Output && wanted.missing().is_empty()
    };
    running.retain(|name, running| {
        let stays = match inventory.plugins.get(name) {
            Some(wanted) => is_output(wanted) && wanted.fingerprint() == running.fingerprint,
            None => inventory.unreadable.iter().any(|folder| folder == name.as_str()),
        };
        if !stays {
            running.stop.cancel();
            let missing = inventory.plugins.get(name).map(Wanted::missing).unwrap_or_default();
            if !missing.is_empty() {
                parts.trouble(name, format!("it runs no more: {}", missing.join(", ")));
            }
        }
        stays
    });
    for (name, wanted) in inventory.plugins.iter().filter(|(_, wanted)| is_output(wanted)) {
        if running.contains_key(name) {
            continue;
        }
        let stop = stop.child_token();
        let secrets = wanted.folder.manifest.secrets.clone();
        let task = OutputTask { name: name.clone(), parts: parts.clone(), process: None, secrets };
        let (source, constants) = (wanted.folder.source.clone(), wanted.folder.constants());
        tasks.spawn(task.run(source, constants, stop.clone()));
        running.insert(name.clone(), Running { fingerprint: wanted.fingerprint(), stop });
    }
}

/// One output.
struct OutputTask {
    name: PluginName,
    parts: OutputsParts,
    process: Option<OutputProcess>,
    /// Those it may name.
    secrets: Vec<(String, SecretParam)>,
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
        let mut told = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = every.tick() => {}
            }
            // Cut off in the middle, it is told again.
            let round = stop.run_until_cancelled(self.round(&mut told)).await;
            if let Some(Err(error)) = round {
                tracing::warn!(plugin = %self.name, %error, "alerts could not be read for an output; they stay");
            }
        }
        if let Some(mut process) = self.process.take() {
            process.stop().await;
        }
    }

    /// Tells it of everything that is new. One that is new itself hears of nothing that was before it.
    async fn round(&mut self, told: &mut Option<AlertStepId>) -> Result<(), StoreError> {
        let store = self.parts.store.clone();
        let mut up_to = match *told {
            Some(up_to) => up_to,
            None => blocking::here(|| match store.plugin_told(&self.name)? {
                Some(up_to) => Ok(up_to),
                None => {
                    let last = store.last_alert_step()?;
                    store.set_plugin_told(&self.name, last)?;
                    Ok::<_, StoreError>(last)
                }
            })?,
        };
        *told = Some(up_to);
        loop {
            let steps = blocking::here(|| store.alert_steps_after(up_to, PAGE))?;
            let Some(last) = steps.last().map(|step| step.id) else { return Ok(()) };
            for step in &steps {
                self.tell(step).await?;
                blocking::here(|| store.set_plugin_told(&self.name, step.id))?;
                *told = Some(step.id);
            }
            up_to = last;
        }
    }

    async fn tell(&mut self, step: &AlertStep) -> Result<(), StoreError> {
        let Some(event) = self.event(step)? else { return Ok(()) };
        let Some(process) = &mut self.process else { return Ok(()) };
        match process.tell(&event).await {
            Outcome::Requests(requests) => {
                for (number, request) in requests.iter().enumerate() {
                    self.carry(request, &event.key(number), step.recorded_at).await;
                }
            }
            Outcome::Refused(name) => self.trouble(format!("it can make nothing of alert {}: {name}", event.alert.id)),
            Outcome::Fault(why) => {
                tracing::error!(plugin = %self.name, alert = %event.alert.id, "an output failed; of this alert it sends nothing");
                self.trouble(format!("it failed on alert {}, and sends nothing of it: {why}", event.alert.id));
            }
        }
        Ok(())
    }

    fn event(&self, step: &AlertStep) -> Result<Option<Event>, StoreError> {
        Ok(match &step.event {
            AlertEvent::Raised(alert) => Some(Event { step: Step::Raised, at: alert.event_time, alert: alert.clone() }),
            AlertEvent::Cleared { id, event_time } => blocking::here(|| self.parts.store.alert(*id))?
                .map(|row| Event { step: Step::Cleared, at: *event_time, alert: row.alert }),
        })
    }

    /// Carries a request out, and tries again for as long as that may help.
    async fn carry(&self, request: &Request, key: &str, recorded_at: Timestamp) {
        let mut pause = RETRY_MIN;
        let mut said = false;
        let moot_after_us = request.moot_after_s().map(|seconds| i64::from(seconds) * MICROS_PER_SECOND);
        let age_us = || self.parts.clock.now().micros_since(recorded_at);
        if moot_after_us.is_some_and(|moot| age_us() > moot) {
            return self.trouble(format!("{} {key} comes too late to be worth it, and is left out", request.target()));
        }
        loop {
            let done = match self.given() {
                Ok(given) => self.parts.carrier.carry(request, key, &given).await,
                Err(error) => Err(CarryError::Later(error.to_string())),
            };
            let why = match done {
                Ok(()) if said => return self.trouble(format!("{} {key} went out after all", request.target())),
                Ok(()) => return,
                Err(CarryError::Never(why)) => {
                    tracing::error!(plugin = %self.name, key, "what an output asks for is refused");
                    return self.trouble(format!("{} {key} is refused: {why}", request.target()));
                }
                Err(CarryError::Later(why)) => why,
            };
            if age_us() > moot_after_us.unwrap_or(GIVE_UP_AFTER_US) {
                tracing::error!(plugin = %self.name, key, "what an output asks for could not be done in time and is given up");
                return self.trouble(format!("{} {key} is given up, it is too late: {why}", request.target()));
            }
            if !said {
                said = true;
                tracing::warn!(plugin = %self.name, key, "what an output asks for does not succeed yet; it is tried again");
                self.trouble(format!("{} {key} does not go out yet, and is tried on: {why}", request.target()));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// What it may do and which secrets it has now: what is taken back counts at once.
    fn given(&self) -> Result<Given, StoreError> {
        blocking::here(|| Given::read(&self.parts.store, &self.name, &self.secrets))
    }

    fn trouble(&self, text: String) {
        self.parts.trouble(&self.name, text);
    }
}
