//! An output's script, asked by a command: in a process of its own, as the gateway asks it. And steps that never happened, to ask it
//! about.

use anyhow::Context as _;
use pitchside_decode::plugin::Folder;
use pitchside_model::{Alert, AlertId, AthleteId, Decimal, DeviceId, Priority, Quantity, RuleName, Timestamp};
use pitchside_script::manifest::RuleCategory;
use pitchside_script::output::worker::OutputProcess;
use pitchside_script::output::{Auth, Event, Outcome, Request, Step};
use pitchside_store::{DeliveryKind, DeliveryStep, DeliveryStepId};
use tokio::runtime::{Builder, Runtime};

use crate::cli::Failure;
use crate::clock::Clock;
use crate::pipeline::outputs::hearing;
use crate::script_worker;

/// How an alert that never was is called, and whoever and whatever is in it.
const SAMPLE: &str = "sample";

/// The script of an output, as it is set. Dropped, its process ends.
pub(super) struct Script {
    process: OutputProcess,
    runtime: Runtime,
}

impl Script {
    /// Starts its process. What does not compile is a failure that says so.
    pub fn start(folder: &Folder) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
        let program = script_worker::program(script_worker::own_file()?, "output");
        let started = runtime.block_on(OutputProcess::start(&folder.source, folder.constants(), &program));
        let process = started.with_context(|| format!("{} {}", folder.manifest.name, folder.manifest.version))?;
        Ok(Self { process, runtime })
    }

    /// What it makes of a step.
    pub fn tell(&mut self, event: &Event) -> Result<Outcome, Failure> {
        let told = self.runtime.block_on(self.process.tell(event));
        Ok(told.context("an output's script could not be asked")?)
    }
}

/// Whether an output, as it is set, sends a secret as a bearer token for a sample of some step it hears of.
pub(super) fn sends_as_token(folder: &Folder, secret: &str) -> Result<bool, Failure> {
    let mut script = Script::start(folder)?;
    let is_token =
        |request: &Request| matches!(request, Request::Http { auth: Auth::Bearer(name), .. } if name == secret);
    for event in samples(&folder.manifest.hears, Clock::System.now())? {
        if let Outcome::Requests(requests) = script.tell(&event)?
            && requests.iter().any(is_token)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A drill that nobody asked for.
fn drill(now: Timestamp) -> Result<Event, Failure> {
    let step =
        DeliveryStep { id: DeliveryStepId(0), recorded_at: now, alert: AlertId([0; 16]), kind: DeliveryKind::Drill };
    Ok(hearing::drill(&step).map_err(anyhow::Error::msg)?)
}

/// Each of these steps of alerts that never were, of medium and of high priority: with athlete, value and message, so that a script has
/// all it may look at. A drill comes once.
pub(super) fn samples(steps: &[Step], now: Timestamp) -> Result<Vec<Event>, Failure> {
    let mut samples = Vec::new();
    for step in steps {
        match step {
            Step::Drill => samples.push(drill(now)?),
            Step::Raised | Step::Escalated | Step::Acknowledged | Step::Cleared => {
                for priority in [Priority::Medium, Priority::High] {
                    samples.push(sample(*step, priority, now).context("making a sample")?);
                }
            }
        }
    }
    Ok(samples)
}

fn sample(step: Step, priority: Priority, at: Timestamp) -> anyhow::Result<Event> {
    let alert = Alert {
        id: AlertId([0; 16]),
        rule: RuleName::parse(SAMPLE)?,
        rule_version: "1.0.0".to_owned(),
        priority,
        athlete: Some(AthleteId::parse(SAMPLE)?),
        device: DeviceId::parse(SAMPLE)?,
        quantity: Quantity::HEART_RATE,
        value: Some(Decimal::integer(180)),
        unit: Quantity::HEART_RATE.unit(),
        event_time: at,
        message: "This is a sample.".to_owned(),
    };
    let by = (step == Step::Acknowledged).then(|| SAMPLE.to_owned());
    Ok(Event { step, at, level: u8::from(step == Step::Escalated), by, category: RuleCategory::Physiological, alert })
}

/// A step in words.
pub(super) fn named(event: &Event) -> String {
    match event.step {
        Step::Drill => "a drill".to_owned(),
        step => format!("{} of {} priority", step.word(), event.alert.priority),
    }
}

/// Why it sends nothing of a step, if it does not for being unable to.
pub(super) fn fault(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Requests(_) => None,
        Outcome::Refused(name) => Some(format!("its script refuses it: {name}")),
        Outcome::Fault(why) => Some(format!("its script fails: {why}")),
    }
}
