//! `pitchside firmware status`: what the ledger says about releases, every proof checked on the way, and how updates ended over all
//! boxes, by its word; and on a box, how far they have come on its sensors.

use ledger_block::ingest::{Cohort, HaltReason};
use ledger_block::release::{ReleaseId, Sum};
use pitchside_release::content::Standing;
use pitchside_release::known::Release;
use serde::Serialize;

use super::desk::{self, Desk};
use super::sensors::{self, Counts, SensorRow};
use crate::cli::Outcome;
use crate::cli::args::ConfigArg;
use crate::cli::output::{self, Output};
use crate::pipeline::firmware::own::Image;

#[derive(Serialize)]
struct Shown {
    releases: Vec<Row>,
    sensors: Vec<SensorRow>,
}

#[derive(Serialize)]
struct Row {
    release: String,
    target: &'static str,
    component: String,
    version: String,
    counter: u32,
    state: String,
    /// The member of the ledger that halted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted_by: Option<String>,
    rollouts: Vec<Progress>,
    expires: String,
    /// How much of the content is on this machine, in per cent; 100 only if it was checked as a whole.
    content_percent: u8,
    sensors: Counts,
    /// Over all boxes; none if the ledger does not add up.
    everywhere: Option<Everywhere>,
    publisher: String,
    published_at: String,
    leaf: u64,
}

#[derive(Serialize)]
struct Everywhere {
    confirmed: u32,
    failed: u32,
    /// Boxes that have counted it.
    boxes: u32,
    /// Those of them that saw it fail.
    boxes_failing: u32,
    too_many_failed: bool,
}

impl From<Sum> for Everywhere {
    fn from(sum: Sum) -> Self {
        let (tally, too_many_failed) = (sum.tally, sum.is_too_bad());
        let (confirmed, failed) = (tally.confirmed, tally.failed);
        Self { confirmed, failed, boxes: sum.gateways, boxes_failing: sum.failing, too_many_failed }
    }
}

impl Everywhere {
    fn text(&self) -> String {
        match (self.boxes, self.failed) {
            (0, _) => "-".to_owned(),
            (boxes, 0) => format!("{} on {boxes} box(es)", self.confirmed),
            (boxes, failed) => {
                format!("{} on {boxes} box(es), {failed} failed on {}", self.confirmed, self.boxes_failing)
            }
        }
    }
}

#[derive(Serialize)]
struct Progress {
    hardware: String,
    percent: u8,
    widest_percent: u8,
}

fn row(
    id: ReleaseId,
    release: &Release,
    expired: bool,
    sum: Option<Sum>,
    (sensors, contents): (&[SensorRow], &[Standing]),
) -> Row {
    let manifest = release.signed.manifest();
    let reached = |cohort: fn(&pitchside_release::known::Rollout) -> Cohort| {
        move |hardware| release.rollouts.get(hardware).map_or(0, |rollout| cohort(rollout).percent())
    };
    let (now, widest) = (reached(|rollout| rollout.now), reached(|rollout| rollout.widest));
    let rollouts: Vec<Progress> = (manifest.hardware.iter())
        .map(|hardware| Progress {
            hardware: hardware.to_string(),
            percent: now(hardware),
            widest_percent: widest(hardware),
        })
        .collect();
    let state = match release.halted {
        Some(HaltReason::Aborted) => "aborted",
        Some(HaltReason::Failures) => "halted: too many failures",
        None if sum.is_some_and(|sum| sum.is_too_bad()) => "failing",
        None if expired => "expired",
        None if rollouts.iter().all(|at| at.widest_percent == 0) => "published",
        None if rollouts.iter().all(|at| at.percent == 0) => "paused",
        None if rollouts.iter().all(|at| at.percent == 100) => "out",
        None => "rolling out",
    };
    Row {
        release: id.to_string(),
        target: manifest.target.word(),
        component: manifest.component.to_string(),
        version: manifest.version.to_string(),
        counter: manifest.counter.0,
        state: state.to_owned(),
        halted_by: release.halted_by.as_ref().map(ToString::to_string),
        rollouts,
        expires: manifest.expires.to_string(),
        content_percent: contents.iter().find(|at| at.content.id.0 == manifest.blake3).map_or(0, percent),
        sensors: Counts::of(&id.to_string(), sensors),
        everywhere: sum.map(Everywhere::from),
        publisher: release.publisher.to_string(),
        published_at: release.published_at.to_string(),
        leaf: release.place,
    }
}

fn percent(standing: &Standing) -> u8 {
    let part = u64::from(standing.groups) * 100 / u64::from(standing.content.shape.groups());
    if standing.whole { 100 } else { u8::try_from(part).unwrap_or(99).min(99) }
}

/// `firmware status`.
pub(super) fn status(release: Option<&str>, config: &ConfigArg, output: &Output) -> Outcome {
    let (releases, sensors) = desk::at(config, async |desk: &mut Desk| {
        let sensors = sensors::rows(config)?;
        let (now, contents) = (desk.clock().now(), desk.contents());
        if let Some(image) = desk.image()? {
            let Image { hardware, version, counter } = image;
            output::note(&format!("this box: {hardware} {version}, counter {counter}"));
        }
        let ids: Vec<ReleaseId> = match release {
            Some(text) => vec![desk.find(text)?.0],
            None => desk.known().releases().into_iter().map(|(id, _)| id).collect(),
        };
        let (mut releases, mut adds_up) = (Vec::new(), true);
        for id in ids {
            let sum = if adds_up { desk.sum(id).await } else { None };
            adds_up = sum.is_some();
            let Some(release) = desk.known().release(&id) else { continue };
            let expired = release.signed.manifest().expires <= now;
            releases.push(row(id, release, expired, sum, (&sensors, &contents)));
        }
        if !adds_up {
            output::note("this ledger does not add up how updates ended; its operator runs a newer ledgerd");
        }
        Ok((releases, sensors))
    })?;
    let sensors = match (release, releases.first()) {
        (Some(_), Some(one)) => sensors.into_iter().filter(|row| row.release.as_ref() == Some(&one.release)).collect(),
        _ => sensors,
    };
    if output.is_json() {
        output.print(&Shown { releases, sensors }, |_| String::new())?;
        return Ok(());
    }
    output.table(
        &releases,
        &["RELEASE", "COMPONENT", "VERSION", "STATE", "ROLLED OUT", "EVERYWHERE", "HERE", "SENSORS", "EXPIRES"],
        |row| {
            let short = row.release.get(..12).unwrap_or(&row.release).to_owned();
            let rollouts = row.rollouts.iter().map(|at| format!("{} {}%", at.hardware, at.percent));
            let rollouts = rollouts.collect::<Vec<_>>().join(", ");
            let day = row.expires.get(..10).unwrap_or(&row.expires).to_owned();
            let here = if row.content_percent == 0 { "-".to_owned() } else { format!("{}%", row.content_percent) };
            let counts = row.sensors.text();
            let state = match &row.halted_by {
                Some(by) => format!("{} (by {by})", row.state),
                None => row.state.clone(),
            };
            let everywhere = row.everywhere.as_ref().map_or_else(|| "-".to_owned(), Everywhere::text);
            vec![short, row.component.clone(), row.version.clone(), state, rollouts, everywhere, here, counts, day]
        },
    )?;
    sensors::show(&sensors, output)?;
    for row in releases.iter().filter(|row| row.state == "failing") {
        let short = row.release.get(..12).unwrap_or(&row.release);
        output::note(&format!(
            "{short} fails too often: it is rolled out no wider. See why, and: pitchside firmware abort {short}"
        ));
    }
    Ok(())
}
