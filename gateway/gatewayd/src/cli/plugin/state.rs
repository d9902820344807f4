//! `plugin list`, `logs`, `enable`, `disable`, `grant`, `revoke`: how plugins stand on this box.

use pitchside_model::PluginName;
use pitchside_script::manifest::Capability;
use pitchside_store::{PluginChange, Tables};
use serde::Serialize;

use super::hearing::Hearing;
use super::install::{change, present, still_trusted, tell_unfit};
use crate::cli::args::ConfigArg;
use crate::cli::context;
use crate::cli::output::{self, Output};
use crate::cli::{Failure, Outcome};
use crate::plugins::wanted::{Inventory, Source, Wanted, package};

/// How one stands.
#[derive(Serialize)]
struct Item {
    name: String,
    version: String,
    kind: String,
    /// `library`, or who signed it.
    from: String,
    state: String,
    /// The version on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    trying: Option<String>,
    /// What it asks for, and whether that was granted.
    capabilities: Vec<Asked>,
    /// What it was granted and does not ask for (any more): it is not honoured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    granted_in_vain: Vec<String>,
    /// What keeps it from running though it is on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Asked {
    capability: String,
    granted: bool,
}

fn item(name: &PluginName, wanted: &Wanted, tables: &Tables) -> Item {
    let manifest = &wanted.folder.manifest;
    let trying = wanted.candidate().map(|candidate| match package(tables, candidate.sha256) {
        Ok((package, _)) => package.manifest.version.clone(),
        Err(error) => format!("{error:#}"),
    });
    let (asks, open) = manifest.asks(&wanted.folder.chosen);
    let asked = |capability: &Capability| {
        let capability = capability.to_string();
        Asked { granted: wanted.granted.contains(&capability), capability }
    };
    // What it asks for once more is set is granted then.
    let open =
        manifest.wanted.iter().filter(|text| open.iter().any(|why| why.starts_with(&format!("it asks for {text}:"))));
    let open = open.map(|text| Asked { capability: text.clone(), granted: false });
    Item {
        name: name.to_string(),
        version: manifest.version.clone(),
        kind: manifest.kind.to_string(),
        from: match &wanted.source {
            Source::Library => "library".to_owned(),
            Source::Package(_, signer) => signer.name().to_owned(),
        },
        state: if wanted.enabled { "on" } else { "off" }.to_owned(),
        trying,
        capabilities: asks.iter().map(asked).chain(open).collect(),
        granted_in_vain: wanted.granted_in_vain(),
        missing: wanted.missing(),
    }
}

/// `plugin list`.
pub(super) fn list(config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let items: Vec<Item> = inventory.plugins.iter().map(|(name, wanted)| item(name, wanted, &context.tables)).collect();
    output.table(&items, &["PLUGIN", "VERSION", "KIND", "FROM", "STATE", "MAY"], |item| {
        let may = item.capabilities.iter().map(|asked| match asked.granted {
            true => asked.capability.clone(),
            false => format!("{} (not granted)", asked.capability),
        });
        let in_vain = item.granted_in_vain.iter().map(|grant| format!("{grant} (granted, not asked for)"));
        let may = may.chain(in_vain).collect::<Vec<_>>().join(", ");
        // Grants are told beside what it asks for.
        let unset: Vec<&str> =
            item.missing.iter().map(String::as_str).filter(|why| !why.ends_with("is not granted")).collect();
        let state =
            if unset.is_empty() { item.state.clone() } else { format!("{} ({})", item.state, unset.join(", ")) };
        vec![
            item.name.clone(),
            item.version.clone(),
            item.kind.clone(),
            item.from.clone(),
            item.trying.as_ref().map_or_else(|| state.clone(), |new| format!("{state}, trying {new}")),
            if may.is_empty() { "-".to_owned() } else { may },
        ]
    })?;
    if inventory.problems.is_empty() {
        return Ok(());
    }
    inventory.problems.iter().for_each(|problem| output::note(problem));
    Err(Failure::Failed(anyhow::anyhow!("{} problem(s)", inventory.problems.len())))
}

#[derive(Serialize)]
struct Line {
    at: String,
    /// None: it is about whom the box trusts.
    plugin: Option<String>,
    /// `done` or `trouble`.
    what: &'static str,
    text: String,
}

/// `plugin logs`.
pub(super) fn logs(name: Option<&PluginName>, last: u32, config: &ConfigArg, output: &Output) -> Outcome {
    let lines: Vec<Line> = context::open(config)?
        .tables
        .plugin_log(name, last)?
        .into_iter()
        .map(|line| Line {
            at: line.at.to_string(),
            plugin: line.name.map(|name| name.to_string()),
            what: if line.deed { "done" } else { "trouble" },
            text: line.text,
        })
        .collect();
    output.table(&lines, &["WHEN", "PLUGIN", "WHAT", "TEXT"], |line| {
        let plugin = line.plugin.clone().unwrap_or_else(|| "-".to_owned());
        vec![line.at.clone(), plugin, line.what.to_owned(), line.text.replace('\n', "; ")]
    })?;
    Ok(())
}

/// `plugin enable` and `disable`.
pub(super) fn enable(name: &PluginName, on: bool, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    // One that cannot be read, or is gone, is switched off all the same: so nobody misses it.
    let is_missed = !on && context.tables.outputs_set_up()?.contains(name);
    let there = present(&context, name)?;
    if there.is_none() && !is_missed {
        return Err(Failure::Usage(format!("there is no plugin {name}: pitchside plugin list")));
    }
    // One that is on starts anew: nothing comes into force that is not.
    if let Some(Wanted { source: Source::Package(digest, _), enabled: false, .. }) = there.filter(|_| on)
        && let Some(kept) = context.tables.plugin_package(digest.0)?
    {
        still_trusted(&context.tables, &kept, "enable")?;
    }
    let deed = if on { "was switched on, its faults forgotten" } else { "was switched off" };
    let hearing = Hearing::now(&context)?;
    change(&context.tables, name, PluginChange::Enable(on), (deed, ""), output)?;
    if on {
        tell_unfit(&context, name)?;
    }
    hearing.tell_lost(&context)
}

/// `plugin grant`.
pub(super) fn grant(name: &PluginName, capability: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let Some(wanted) = present(&context, name)? else {
        return Err(Failure::Usage(format!("there is no plugin {name}: pitchside plugin list")));
    };
    let all = wanted.asks();
    if !all.iter().any(|asked| asked == capability) {
        let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
        return Err(Failure::Usage(format!("{name} does not ask for {capability}; it asks for {all}")));
    }
    let deed = format!("was granted {capability}");
    change(&context.tables, name, PluginChange::Grant(capability.to_owned()), (&deed, ""), output)
}

/// `plugin revoke`.
pub(super) fn revoke(name: &PluginName, capability: &str, config: &ConfigArg, output: &Output) -> Outcome {
    let context = context::open(config)?;
    let (deed, nothing) = (format!("may no longer {capability}"), format!("was not granted {capability}"));
    change(&context.tables, name, PluginChange::Withdraw(capability.to_owned()), (&deed, &nothing), output)
}
