//! Rules that hear nothing of an input, for no plugin that makes it runs: its stream is switched off, left out or does not run as it is
//! set; and the box neither makes it itself nor reads it of a Bluetooth device. A rule that waits for what never comes raises nothing, and looks like one whose athletes are well.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use pitchside_auth::DeviceClass;
use pitchside_decode::gatt;
use pitchside_model::Quantity;
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_script::manifest::PluginKind;
use pitchside_store::Device;

use super::streams::Streams;
use super::wanted::{Inventory, Wanted};
use crate::cli::context::Context;
use crate::rulebook::standing;

/// A rule, one of its inputs, and why nothing comes of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deaf {
    /// The rule.
    pub rule: String,
    /// What it hears nothing of.
    pub quantity: &'static str,
    /// Each plugin that would make it, with what keeps it from that.
    pub why: Vec<String>,
}

/// Without the rule.
impl fmt::Display for Deaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hears no {}: {}", self.quantity, self.why.join(", "))
    }
}

/// The rules of a folder that can be read; none without one. What is wrong with the others is told elsewhere.
pub fn rules_in(folder: Option<&Path>) -> RuleSet {
    let read = folder.and_then(|folder| RuleSet::read_each(folder).ok());
    read.and_then(|(rules, _)| RuleSet::new(rules).ok()).unwrap_or_default()
}

/// Which rule hears which quantity through a stream.
pub fn heard(rules: &RuleSet, inventory: &Inventory) -> BTreeSet<(String, &'static str)> {
    let (set, _) = Streams::of(inventory).with(rules.clone());
    let made = |quantity: &Quantity| set.streams().iter().any(|stream| stream.makes == Some(*quantity));
    pairs(rules).filter(|(_, quantity)| made(quantity)).map(|(rule, quantity)| (named(rule), quantity.name())).collect()
}

/// The rules of a set that hear nothing of an input which only streams make that do not run. Those of `off` were switched off for their
/// faults. `by_radio`: there are devices that the box reads without a plugin.
pub fn deaf(rules: &RuleSet, inventory: &Inventory, off: &[String], by_radio: bool) -> Vec<Deaf> {
    let streams = Streams::of(inventory);
    let (set, left_out) = streams.with(rules.clone());
    let runs = |name: &str| set.streams().iter().any(|stream| stream.name().as_str() == name);
    let why = |name: &str, wanted: &Wanted| {
        let unset = wanted.unset();
        if !wanted.enabled {
            format!("{name} is switched off")
        } else if off.iter().any(|one| one == name) {
            format!("{name} was switched off for its faults")
        } else if !unset.is_empty() {
            format!("{name} does not run as it is set: {}", unset.join(", "))
        } else {
            let is_its = |file: &str| file.split('/').next() == Some(name);
            let problem = left_out.iter().find(|problem| is_its(&problem.file));
            let of_it = format!("plugin {name}: ");
            let unread = || streams.problems.iter().find(|problem| problem.starts_with(&of_it)).cloned();
            let problem = problem.map(ToString::to_string).or_else(unread);
            problem.unwrap_or_else(|| format!("{name} does not run"))
        }
    };
    let mut found = Vec::new();
    // What the box derives or reads itself needs no stream.
    let is_own = |quantity: Quantity| rules.derives(quantity) || (by_radio && gatt::tells(quantity));
    for (rule, quantity) in pairs(rules).filter(|(_, quantity)| !is_own(*quantity)) {
        let makers = inventory.plugins.iter().filter(|(_, wanted)| wanted.folder.manifest.outputs.contains(&quantity));
        let (streams, others): (Vec<_>, Vec<_>) =
            makers.partition(|(_, wanted)| wanted.folder.manifest.kind == PluginKind::Derived);
        let is_off = |name: &str| !runs(name) || off.iter().any(|one| one == name);
        // What a decoder reads, too, need not be derived.
        if streams.is_empty()
            || others.iter().any(|(_, wanted)| wanted.decodes())
            || streams.iter().any(|(name, _)| !is_off(name.as_str()))
        {
            continue;
        }
        let why = streams.iter().map(|(name, wanted)| why(name.as_str(), wanted)).collect();
        found.push(Deaf { rule: named(rule), quantity: quantity.name(), why });
    }
    found
}

/// The same of the rules in force on this box, as things stand.
pub fn on_box(context: &Context) -> anyhow::Result<Vec<Deaf>> {
    let rows = standing::read(&context.tables)?;
    let off: Vec<String> = rows.into_iter().filter(|row| row.stream && row.off).map(|row| row.rule).collect();
    let inventory = Inventory::read(context.settings.plugins.dir.as_deref(), &context.tables)?;
    let is_read = |device: &Device| {
        device.class == DeviceClass::Bonded.word() && device.decoder.is_none() && device.revoked_at.is_none()
    };
    let by_radio = !context.settings.ble.is_empty() && context.tables.devices()?.iter().any(is_read);
    Ok(deaf(&rules_in(context.settings.rules.dir.as_deref()), &inventory, &off, by_radio))
}

fn named(rule: &RuleSource) -> String {
    rule.name().to_string()
}

/// Every rule with each of its inputs.
fn pairs(rules: &RuleSet) -> impl Iterator<Item = (&RuleSource, Quantity)> {
    rules.rules().iter().flat_map(|rule| rule.manifest.inputs.iter().map(move |quantity| (rule, *quantity)))
}

#[cfg(test)]
mod tests {
    use pitchside_decode::plugin::Folder;

    use super::*;
    use crate::plugins::wanted::Source;

    fn wanted(name: &str, kind: &str, output: &str) -> Wanted {
        let manifest = format!(
            "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\nkind = \"{kind}\"\noutputs = [\"{output}\"]\n"
        );
        let manifest = if kind == "derived" { manifest + "inputs = [\"heart_rate\"]\n" } else { manifest };
        let folder = Folder::of_texts(&manifest, "value".to_owned(), String::new()).unwrap();
        Wanted { folder, source: Source::Library, enabled: true, row: None, granted: Vec::new(), secrets: Vec::new() }
    }

    fn inventory(plugins: impl IntoIterator<Item = Wanted>) -> Inventory {
        let named = |wanted: Wanted| (wanted.folder.manifest.name.clone(), wanted);
        Inventory { plugins: plugins.into_iter().map(named).collect(), ..Inventory::default() }
    }

    fn rules() -> RuleSet {
        let rule = |name: &str, input: &str| {
            let manifest = format!(
                "name = \"{name}\"\nversion = \"1.0.0\"\nsummary = \"A test.\"\npriority = \"low\"\ninputs = [\"{input}\"]\n"
            );
            RuleSource::parse(name, &manifest, "value > 1.0").unwrap()
        };
        RuleSet::new([rule("hot", "heat_index"), rule("fast", "heart_rate"), rule("close", "wbgt")]).unwrap()
    }

    fn said(inventory: &Inventory, off: &[String]) -> Vec<String> {
        deaf(&rules(), inventory, off, false).iter().map(|deaf| format!("{} {deaf}", deaf.rule)).collect()
    }

    #[test]
    fn no_rule_is_deaf_to_what_the_box_makes_itself_or_reads_of_a_bluetooth_station() {
        let off = |name: &str, output: &str| Wanted { enabled: false, ..wanted(name, "derived", output) };
        let both = inventory([off("felt", "heat_index"), off("globe", "wbgt")]);
        assert_eq!(said(&both, &[]), ["hot hears no heat_index: felt is switched off"], "wbgt is the box's own");
        assert_eq!(deaf(&rules(), &both, &[], true), [], "a station may send it");
    }

    #[test]
    fn a_rule_is_deaf_to_what_only_streams_make_that_do_not_run() {
        let felt = || wanted("felt", "derived", "heat_index");
        let off = || Wanted { enabled: false, ..felt() };
        assert_eq!(said(&inventory([felt()]), &[]), [""; 0]);
        assert_eq!(heard(&rules(), &inventory([felt()])), BTreeSet::from([("hot".to_owned(), "heat_index")]));
        assert_eq!(said(&inventory([off()]), &[]), ["hot hears no heat_index: felt is switched off"]);
        assert_eq!(heard(&rules(), &inventory([off()])), BTreeSet::new());
        let failed = said(&inventory([felt()]), &["felt".to_owned()]);
        assert_eq!(failed, ["hot hears no heat_index: felt was switched off for its faults"]);
        assert_eq!(said(&inventory([]), &[]), [""; 0], "nobody knows that a sensor would not send it");
    }

    #[test]
    fn a_stream_that_is_left_out_deafens_only_whoever_nobody_else_makes_it_for() {
        let (felt, zest) = (|| wanted("felt", "derived", "heat_index"), || wanted("zest", "derived", "heat_index"));
        assert_eq!(said(&inventory([felt(), zest()]), &[]), [""; 0], "felt makes it");
        let left = said(&inventory([wanted("hot", "derived", "heat_index")]), &[]);
        assert_eq!(left, ["hot hears no heat_index: hot/plugin.toml: the stream is left out: a rule has its name"]);
        let station = wanted("station", "decoder", "heat_index");
        let off = Wanted { enabled: false, ..felt() };
        assert_eq!(said(&inventory([off, station]), &[]), [""; 0], "a decoder reads it from a sensor");
    }
}
