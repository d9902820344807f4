//! `publish`, `rollout`, `pause`, `abort`: transactions, each refused here already if the ledger would refuse it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ledger_block::ingest::{Act, Cohort, HaltReason};
use ledger_block::release::{HardwareId, ReleaseId, SignedManifest};
use pitchside_release::manifest::ContentError;
use serde::Serialize;

use super::desk::{self, Desk};
use super::files::{self, ReleaseSaid};
use crate::cli::args::{ConfigArg, StepArg};
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Outcome};

#[derive(Serialize)]
struct Published {
    #[serde(flatten)]
    release: ReleaseSaid,
    leaf: u64,
    uploaded: bool,
}

/// Puts the signers' files together: all must be of one draft.
fn collect(paths: &[PathBuf]) -> Result<SignedManifest, Failure> {
    let mut collected: Option<SignedManifest> = None;
    for path in paths {
        let signed = files::read_release(path)?;
        match &mut collected {
            None => collected = Some(signed),
            Some(together) => together.merge(&signed).with_context(|| path.display().to_string())?,
        }
    }
    collected.ok_or_else(|| Failure::Usage("name the release's file".to_owned()))
}

/// `firmware publish`.
pub(super) fn publish(paths: &[PathBuf], content: Option<&Path>, config: &ConfigArg, output: &Output) -> Outcome {
    let signed = collect(paths)?;
    if let Some(path) = content {
        output::note(&format!("checking {} ({} bytes)", path.display(), signed.manifest().size));
        match files::names_of(path)?.check(signed.manifest()) {
            Ok(()) => {}
            Err(ContentError::Io(error)) => {
                return Err(anyhow::Error::from(error).context(path.display().to_string()).into());
            }
            Err(error) => return Err(Failure::Tampered(format!("{}: {error}", path.display()))),
        }
    }
    let leaf = desk::at(config, async |desk: &mut Desk| {
        let policy = desk.known().policy().context("no release policy stands in the ledger; its operator enters it")?;
        let standing = desk.known().release(&signed.id()).map(|standing| standing.place);
        let leaf = match (standing, content) {
            (Some(place), None) => {
                return Err(anyhow::anyhow!("this release stands already, at leaf {place}").into());
            }
            // Its content may still be missing, or half there.
            (Some(place), Some(_)) => {
                output::note(&format!("this release stands already, at leaf {place}"));
                place
            }
            (None, _) => {
                // One that stands was signed by those who might when it was entered.
                signed.verify(policy).context("the release")?;
                output::note("handing the release in");
                desk.enter(Act::Release { signed: signed.to_bytes() }).await?.place
            }
        };
        if let Some(path) = content {
            output::note("uploading its content");
            desk.upload(path, signed.manifest()).await?;
        }
        Ok(leaf)
    })?;
    let uploaded = content.is_some();
    output.print(&Published { release: ReleaseSaid::of(&signed), leaf, uploaded }, |said| {
        let content =
            if uploaded { "in the ledger's store" } else { "not uploaded: run this again with --content FILE" };
        format!(
            "{}\nleaf       {leaf}\ncontent    {content}\nNobody gets it before: pitchside firmware rollout",
            said.release.text()
        )
    })?;
    Ok(())
}

/// What was changed.
#[derive(Serialize)]
struct Changed {
    release: String,
    hardware: Option<String>,
    percent: Option<u8>,
    halted: bool,
    leaf: u64,
}

fn say(changed: &[Changed], output: &Output) -> Outcome {
    if output.is_json() {
        output.print(&changed, |_| String::new())?;
        return Ok(());
    }
    for one in changed {
        output::line(&match (&one.hardware, one.percent) {
            (Some(hardware), Some(0)) => format!("{}: paused on {hardware}, leaf {}", one.release, one.leaf),
            (Some(hardware), Some(percent)) => {
                format!("{}: {percent} per cent of {hardware}, leaf {}", one.release, one.leaf)
            }
            _ => format!("{}: halted for good, leaf {}", one.release, one.leaf),
        })?;
    }
    Ok(())
}

async fn widen(desk: &mut Desk, release: ReleaseId, hardware: HardwareId, cohort: Cohort) -> Result<Changed, Failure> {
    let act = Act::Rollout { release, hardware: hardware.clone(), cohort };
    let leaf = desk.enter(act).await?.place;
    let percent = Some(cohort.percent());
    Ok(Changed { release: release.to_string(), hardware: Some(hardware.to_string()), percent, halted: false, leaf })
}

/// `firmware rollout`.
pub(super) fn rollout(
    release: &str,
    hardware: &HardwareId,
    to: StepArg,
    config: &ConfigArg,
    output: &Output,
) -> Outcome {
    let cohort = match to {
        StepArg::One => Cohort::One,
        StepArg::Ten => Cohort::Ten,
        StepArg::All => Cohort::All,
    };
    let changed = desk::at(config, async |desk: &mut Desk| {
        let id = desk.find(release)?.0;
        widen(desk, id, hardware.clone(), cohort).await
    })?;
    say(&[changed], output)
}

/// `firmware pause`.
pub(super) fn pause(release: &str, hardware: Option<&HardwareId>, config: &ConfigArg, output: &Output) -> Outcome {
    let changed = desk::at(config, async |desk: &mut Desk| {
        let (id, found) = desk.find(release)?;
        let wanted = |id: &HardwareId| hardware.is_none_or(|wanted| wanted == id);
        let open = found.rollouts.iter().filter(|(id, rollout)| wanted(id) && rollout.now != Cohort::Paused);
        let open: Vec<HardwareId> = open.map(|(id, _)| id.clone()).collect();
        if open.is_empty() {
            return Err(anyhow::anyhow!("nothing of this release is being rolled out there").into());
        }
        let mut changed = Vec::new();
        for hardware in open {
            changed.push(widen(desk, id, hardware, Cohort::Paused).await?);
        }
        Ok(changed)
    })?;
    say(&changed, output)
}

/// `firmware abort`.
pub(super) fn abort(release: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let changed = desk::at(config, async |desk: &mut Desk| {
        let id = desk.find(release)?.0;
        let leaf = desk.enter(Act::Halt { release: id, why: HaltReason::Aborted }).await?.place;
        Ok(Changed { release: id.to_string(), hardware: None, percent: None, halted: true, leaf })
    })?;
    say(&[changed], output)
}
