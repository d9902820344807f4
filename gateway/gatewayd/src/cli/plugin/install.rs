//! `plugin install`, `update`, `rollback`, `remove`, `trust`, `distrust`, `signers`: what this box lets in. The running gateway
//! notices by itself.

use anyhow::Context as _;
use ledger_block::note::VerifierKey;
use pitchside_decode::plugin::Folder;
use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{PluginName, Timestamp};
use pitchside_script::manifest::{Chosen, PluginKind};
use pitchside_script::package::{PACKAGE_BYTES_MAX, Package};
use pitchside_store::plugins::PackageDigest;
use pitchside_store::{Candidate, PluginChange, PluginPackage, PluginRow, Tables};
use serde::Serialize;

use super::hearing::Hearing;
use super::package::{note_file, read_note, read_public};
use super::rehearse::{self, Rehearsed};
use crate::cli::args::{ConfigArg, PackageArgs, TrialArgs};
use crate::cli::context::{self, Context};
use crate::cli::output::{Output, note};
use crate::cli::{Failure, Outcome};
use crate::clock::Clock;
use crate::files::read_file;
use crate::plugins::apart::Apart;
use crate::plugins::signature::{self, Signer};
use crate::plugins::wanted::{Inventory, Wanted};
use crate::plugins::weigh::{Accepts, Maker, Present, Refusal, Scales, vouch, weigh};

/// What was done, for people.
#[derive(Serialize)]
pub(super) struct Done {
    plugin: String,
    done: String,
}

/// Changes a plugin, and says so.
pub(super) fn change(
    tables: &Tables,
    name: &PluginName,
    to: PluginChange,
    (deed, nothing): (&str, &str),
    output: &Output,
) -> Outcome {
    let changed = tables.change_plugin(name, to, deed, Clock::System.now())?;
    let done = Done { plugin: name.to_string(), done: if changed { deed } else { nothing }.to_owned() };
    output.print(&done, |done| format!("{}: {}", done.plugin, done.done))?;
    Ok(())
}

/// How a command ends that lets nothing in.
fn refused(refusal: Refusal) -> Failure {
    if refusal.is_tampered() { Failure::Tampered(refusal.to_string()) } else { Failure::Failed(refusal.into()) }
}

/// Keys whose plugins are let in.
fn trusted(tables: &Tables) -> anyhow::Result<Vec<VerifierKey>> {
    let keys = tables.plugin_signers()?;
    keys.iter().map(|(key, _)| VerifierKey::parse(key).map_err(|error| anyhow::anyhow!("{key}: {error}"))).collect()
}

/// What is there, of a name.
pub(super) fn present(context: &Context, name: &PluginName) -> anyhow::Result<Option<Wanted>> {
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    Ok(inventory.plugins.into_iter().find(|(known, _)| known == name).map(|(_, wanted)| wanted))
}

/// One that is called so, but for the size of letters.
fn namesake(context: &Context, name: &PluginName) -> anyhow::Result<Option<PluginName>> {
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let rows = context.tables.plugins()?.into_iter().filter(|row| row.current.is_some()).map(|row| row.name);
    let mut known = inventory.plugins.into_keys().chain(rows);
    Ok(known.find(|known| known != name && known.as_str().eq_ignore_ascii_case(name.as_str())))
}

/// Whose the plugin of a name is. One that was installed stays its signer's though its package cannot be read any more, and so does
/// one of the library.
fn maker(
    context: &Context,
    name: &PluginName,
    installed: Option<PackageDigest>,
    there: bool,
) -> anyhow::Result<Option<Maker>> {
    let Some(sha256) = installed else {
        let library = context.settings.plugins.dir.as_ref().map(|dir| dir.join(name.as_str()));
        return Ok((there || library.is_some_and(|folder| folder.exists())).then_some(Maker::Library));
    };
    let kept = context.tables.plugin_package(sha256)?;
    let kept = kept.with_context(|| format!("the package of {name} is gone: pitchside plugin remove {name}"))?;
    Ok(Some(Maker::Signer(Signer::kept(kept.signer))))
}

/// A package that may come in, and what is there.
struct Admitted {
    package: PluginPackage,
    /// The plugin in it, with what is set of it.
    folder: Folder,
    present: Option<Wanted>,
    /// The package that ran when this was decided.
    after: Option<PackageDigest>,
    grants: Vec<String>,
    /// Who signed it, and what was accepted on purpose.
    signed: String,
    may: String,
    /// That it stays switched off, if it is.
    off: &'static str,
}

fn admit(context: &Context, verb: &str, args: &PackageArgs, now: Timestamp) -> Result<Admitted, Failure> {
    let archive = read_file(&args.package, PACKAGE_BYTES_MAX)?;
    let note_path = args.note.clone().unwrap_or_else(|| note_file(&args.package));
    if !note_path.exists() {
        return Err(refused(Refusal::Unsigned(note_path.display().to_string())));
    }
    let note = read_note(&note_path)?;
    let trusted = trusted(&context.tables)?;
    let package = Package::open(&archive).map_err(|error| {
        let changed = signature::changed(&archive, &note, &error);
        refused(changed.map_or_else(|| error.into(), Refusal::from))
    })?;
    let name = package.manifest.name.clone();
    // First: whatever is changed after this is noticed when it is written down.
    let row = context.tables.plugin(&name)?;
    let off = if row.as_ref().is_some_and(|row| !row.enabled) { "; it stays switched off" } else { "" };
    let after = row.and_then(|row| row.current);
    let there = present(context, &name)?;
    let maker = maker(context, &name, after, there.is_some())?;
    if maker.is_none()
        && let Some(other) = namesake(context, &name)?
    {
        return Err(refused(Refusal::Namesake { name, other }));
    }
    let vouched = vouch(package, &note, &trusted, maker.as_ref()).map_err(refused)?;
    let granted = context.tables.plugin_grants(&name)?;
    let chosen: Chosen = context.tables.plugin_settings(&name)?.into_iter().collect();
    let command = format!("pitchside plugin {verb} {}", args.package.display());
    let accepts = Accepts { new_signer: args.new_signer, downgrade: args.allow_downgrade };
    let scales = Scales {
        maker: maker.as_ref(),
        accepts,
        command: &command,
        granted: &granted,
        grants: &args.grant,
        chosen: &chosen,
        failures: &|folder| Apart::start()?.failures(&folder),
    };
    weigh(&vouched, there.as_ref().map(Wanted::present).as_ref(), &scales).map_err(refused)?;
    let signer = Signer::of(&vouched.signer);
    let mut signed = format!("signed by {}", signer.name());
    // Not needed is refused: what was accepted, was.
    if let Some(maker) = maker.filter(|_| accepts.new_signer) {
        signed.push_str(&format!(" (--new-signer: {signer} in place of what was {maker})"));
    }
    if accepts.downgrade {
        signed.push_str(" (--allow-downgrade)");
    }
    let manifest = &vouched.package.manifest;
    let asked: Vec<String> = manifest.asks(&chosen).0.iter().map(ToString::to_string).collect();
    let may = if asked.is_empty() { "reaches out to nothing".to_owned() } else { format!("may {}", asked.join(", ")) };
    let mut folder = crate::plugins::folder(&vouched.package)?;
    folder.chosen = chosen;
    let package = PluginPackage {
        sha256: vouched.package.digest.0,
        name,
        version: manifest.version.clone(),
        signer: vouched.signer.to_string(),
        archive,
        note,
        installed_at: now,
    };
    Ok(Admitted { package, folder, present: there, after, grants: args.grant.clone(), signed, may, off })
}

fn instead_of(present: Option<&Present>) -> String {
    present.map_or_else(String::new, |present| format!(" instead of {}", present.version))
}

/// `plugin install`.
pub(super) fn install(args: &PackageArgs, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let Admitted { package, present, after, grants, signed, may, off, .. } =
        admit(&context, "install", args, Clock::System.now())?;
    let before = present.as_ref().map(Wanted::present);
    let deed = format!("{} was installed{}, {signed}; it {may}{off}", package.version, instead_of(before.as_ref()));
    let name = package.name.clone();
    let hearing = Hearing::now(&context)?;
    change(&context.tables, &name, PluginChange::Install { package, grants, after }, (&deed, ""), output)?;
    tell_unfit(&context, &name)?;
    hearing.tell_lost(&context)
}

/// What was set of a plugin and does not fit this version of it.
fn set_again(folder: &Folder) -> Option<String> {
    let mut unset = folder.manifest.unset(&folder.chosen);
    // What is only not set yet will be, once the version is there.
    unset.retain(|why| !why.ends_with("is not set"));
    (!unset.is_empty()).then(|| unset.join(", "))
}

/// Says that what is there now does not run for what was set of it before.
pub(super) fn tell_unfit(context: &Context, name: &PluginName) -> Outcome {
    if let Some(wanted) = present(context, name)?
        && let Some(why) = set_again(&wanted.folder)
    {
        note(&format!(
            "{name} {} does not run as it is set: {why}; pitchside plugin set {name} KEY VALUE, or pitchside plugin unset {name} KEY",
            wanted.folder.manifest.version
        ));
    }
    Ok(())
}

/// `plugin update`.
pub(super) fn update(args: &PackageArgs, trial: &TrialArgs, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let now = Clock::System.now();
    let Admitted { package, folder, present, after, grants, signed, may, off } = admit(&context, "update", args, now)?;
    let name = package.name.clone();
    let Some(present) = present else {
        return Err(Failure::Usage(format!("there is no {name} to update: pitchside plugin install")));
    };
    let old = &present.folder;
    if let Some(why) = set_again(&folder) {
        let why =
            format!("it could not run as it is set: {why}; set what both allow, or: pitchside plugin unset {name} KEY");
        return refuse_update(&context.tables, &name, (&package.version, &old.manifest.version), &why);
    }
    let rehearsed = match old.manifest.kind {
        PluginKind::Decoder => None,
        PluginKind::Output => Some(rehearse::output(&context, old, &folder, trial.payloads, now)),
        PluginKind::Derived => Some(rehearse::stream(&context, old, &folder, trial.since, now)),
    };
    if let Some(rehearsed) = rehearsed {
        let stays =
            |why: String| refuse_update(&context.tables, &name, (&package.version, &old.manifest.version), &why);
        let Rehearsed { compared, nothing, difference, failure } = match rehearsed {
            Ok(rehearsed) => rehearsed,
            // One whose process does not come up, ends or takes too long.
            Err(Failure::Failed(error)) => return stays(format!("it could not be tried: {error:#}")),
            Err(failure) => return Err(failure),
        };
        if let Some(failure) = failure {
            return stays(format!("it fails: {failure}"));
        }
        let found = match (difference, compared) {
            (Some(difference), _) if !trial.allow_differences => {
                return stays(format!(
                    "it does something else ({difference}); if that is why it comes: --allow-differences"
                ));
            }
            (None, None) if !trial.allow_differences => {
                return stays(format!(
                    "there was nothing to compare it on: {nothing}, or, whatever it does: --allow-differences"
                ));
            }
            (Some(_), Some(compared)) => format!("it does something else, as was allowed, on {compared}"),
            (Some(_), None) => "it does something else, as was allowed".to_owned(),
            (None, Some(compared)) => format!("it does the same on {compared}"),
            (None, None) => "there was nothing to compare it on, as was allowed".to_owned(),
        };
        let deed =
            format!("{} takes over from {}, {signed}: {found}; it {may}{off}", package.version, old.manifest.version);
        let hearing = Hearing::now(&context)?;
        change(&context.tables, &name, PluginChange::Install { package, grants, after }, (&deed, ""), output)?;
        return hearing.tell_lost(&context);
    }
    let seconds = i64::try_from(trial.within.as_secs()).unwrap_or(i64::MAX);
    let candidate = Candidate {
        sha256: package.sha256,
        payloads: trial.payloads,
        until: now.plus_micros(seconds.saturating_mul(MICROS_PER_SECOND)),
        differ: trial.allow_differences,
    };
    let deed = format!(
        "{} is tried beside {} for {} payloads or {} s, {signed}; it {may}{off}",
        package.version,
        present.present().version,
        trial.payloads,
        trial.within.as_secs(),
    );
    change(&context.tables, &name, PluginChange::Try { package, grants, candidate, after }, (&deed, ""), output)
}

/// Says, and writes down, that a version does not take over.
fn refuse_update(tables: &Tables, name: &PluginName, (new, old): (&str, &str), why: &str) -> Outcome {
    let text = format!("{new} is refused, {old} stays: {why}");
    tables.note_plugin_trouble(name, std::slice::from_ref(&text), Clock::System.now())?;
    Err(Failure::Failed(anyhow::anyhow!("{name}: {text}")))
}

/// Whether the signer of a version that is to be in force again is trusted. What is in force of one who is not stays; but what takes a place
/// anew has all that was granted and set.
pub(super) fn still_trusted(tables: &Tables, kept: &PluginPackage, command: &str) -> Outcome {
    let (trusted, signer) = (trusted(tables)?, Signer::kept(kept.signer.clone()));
    let is_trusted = match signer.key() {
        Some(_) => trusted.iter().any(|key| signer.is(key)),
        // It came before whole keys were kept: its note tells.
        None => signature::verify(&Package::open(&kept.archive)?, &kept.note, &trusted, None).is_ok(),
    };
    if is_trusted {
        return Ok(());
    }
    let (name, version, key) = (&kept.name, &kept.version, signer.key().unwrap_or("KEY"));
    Err(Failure::Failed(anyhow::anyhow!(
        "{name} {version} is signed by {signer}, whom this box does not trust: it would have what was granted and set for {name}, secrets too. \
         To accept that on purpose: pitchside plugin trust {key}, then pitchside plugin {command} {name}"
    )))
}

/// `plugin rollback`.
pub(super) fn rollback(name: &PluginName, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let row = context.tables.plugin(name)?;
    let (to, deed) = match row {
        Some(row) if row.candidate.is_some() => (None, "the new version is tried no more".to_owned()),
        Some(PluginRow { previous: Some(previous), .. }) => {
            let kept = context.tables.plugin_package(previous)?;
            let kept = kept.with_context(|| format!("the version of {name} before this one is not kept"))?;
            still_trusted(&context.tables, &kept, "rollback")?;
            let signer = Signer::kept(kept.signer);
            let deed = format!("went back to the version before, {}, signed by {}", kept.version, signer.name());
            (Some(previous), deed)
        }
        _ => return Err(Failure::Usage(format!("{name} has no version to go back to"))),
    };
    let hearing = Hearing::now(&context)?;
    change(&context.tables, name, PluginChange::RollBack { to }, (&deed, ""), output)?;
    tell_unfit(&context, name)?;
    hearing.tell_lost(&context)
}

/// `plugin remove`.
pub(super) fn remove(name: &PluginName, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    // Of one that is there no more, what it was granted is left: without it nobody misses it.
    let is_left = present(&context, name)?.is_none() && context.tables.outputs_set_up()?.contains(name);
    if !is_left && context.tables.plugin(name)?.is_none_or(|row| row.current.is_none()) {
        return Err(Failure::Usage(format!(
            "{name} was not installed; one of the library is switched off by `pitchside plugin disable {name}`"
        )));
    }
    let hearing = Hearing::now(&context)?;
    change(&context.tables, name, PluginChange::Remove, ("was removed, with all it was granted", ""), output)?;
    hearing.tell_lost(&context)
}

/// `plugin trust`.
pub(super) fn trust(key: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let (key, what) = (read_public(key)?, "is trusted: plugins it signs may be installed");
    let deed = format!("{} {what}", Signer::of(&key));
    context::open(config)?.tables.trust_plugin_signer(&key.to_string(), &deed, Clock::System.now())?;
    say_signer(&key, what, output)
}

/// `plugin distrust`.
pub(super) fn distrust(key: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let (key, what) = (read_public(key)?, "is trusted no more; what it signed stays until it is removed");
    let deed = format!("{} {what}", Signer::of(&key));
    if context::open(config)?.tables.distrust_plugin_signer(&key.to_string(), &deed, Clock::System.now())? {
        return say_signer(&key, what, output);
    }
    Err(Failure::Usage(format!("{key} was not trusted")))
}

#[derive(Serialize)]
struct Trusted {
    key: String,
    since: Option<String>,
}

fn say_signer(key: &VerifierKey, what: &str, output: &Output) -> Outcome {
    output.print(&Trusted { key: key.to_string(), since: None }, |_| format!("{} {what}", key.name()))?;
    Ok(())
}

/// `plugin signers`.
pub(super) fn signers(config: &ConfigArg, output: &Output) -> Outcome {
    let keys = context::open(config)?.tables.plugin_signers()?;
    let rows: Vec<Trusted> = keys.into_iter().map(|(key, at)| Trusted { key, since: Some(at.to_string()) }).collect();
    output
        .table(&rows, &["KEY", "TRUSTED SINCE"], |row| vec![row.key.clone(), row.since.clone().unwrap_or_default()])?;
    Ok(())
}
