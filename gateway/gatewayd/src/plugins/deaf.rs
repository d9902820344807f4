//! Rules that hear nothing of an input, for no plugin that makes it runs: its stream is switched off, left out or does not run as it is
//! set; and the box does not make it itself. A rule that waits for what never comes raises nothing, and looks like one whose athletes are well.
//!
//! Bonded Bluetooth devices are read without a plugin, and nobody knows beforehand what one tells: a heart strap is asked for a heat index, too.
//! So what counts is that one of them told it lately.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use pitchside_auth::DeviceClass;
use pitchside_decode::gatt;
use pitchside_model::{DeviceId, Quantity, Value};
use pitchside_rules::{RuleSet, RuleSource};
use pitchside_script::manifest::PluginKind;
use pitchside_store::{Device, RowId, StoreError, Tables};

use super::streams::Streams;
use super::wanted::{Inventory, Wanted};
use crate::cli::context::Context;
use crate::rulebook::standing;

/// Bytes of journal looked at in one go.
const BITE: usize = 1 << 20;
/// What was told so long before the newest reading counts, in microseconds.
const LATELY: i64 = 3_600_000_000;
/// Weather stations speak every 10 to 15 minutes: a journal that is kept for less says nothing of what does not come.
const KEPT_S_MIN: u32 = 900;

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

/// The rules of a set that hear nothing of an input which only streams make that do not run, if no Bluetooth device tells it. Those of
/// `off` were switched off for their faults.
fn deaf(rules: &RuleSet, inventory: &Inventory, off: &[String]) -> Vec<Deaf> {
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
    // What the box derives itself needs no stream.
    for (rule, quantity) in pairs(rules).filter(|(_, quantity)| !rules.derives(*quantity)) {
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
    let found = deaf(&rules_in(context.settings.rules.dir.as_deref()), &inventory, &off);
    let is_read = |device: &Device| {
        device.class == DeviceClass::Bonded.word() && device.decoder.is_none() && device.revoked_at.is_none()
    };
    if found.is_empty() || context.settings.ble.is_empty() {
        return Ok(found);
    }
    let read = context.tables.devices()?.into_iter().filter(is_read).map(|device| device.id).collect::<BTreeSet<_>>();
    if read.is_empty() {
        return Ok(found);
    }
    let may_tell = |deaf: &Deaf| Quantity::parse(deaf.quantity).is_some_and(gatt::tells);
    if context.settings.journal.horizon_s < KEPT_S_MIN {
        return Ok(found.into_iter().filter(|deaf| !may_tell(deaf)).collect());
    }
    Ok(unless_told(found, &told_by(&read, &context.tables)?))
}

/// What these devices told lately, as far as the journal goes back.
fn told_by(devices: &BTreeSet<DeviceId>, tables: &Tables) -> Result<BTreeSet<&'static str>, StoreError> {
    let (_, newest) = tables.journal_end()?;
    let (mut told, mut after) = (BTreeSet::new(), RowId(0));
    loop {
        let bite = tables.replay(newest.plus_micros(-LATELY), after, BITE)?;
        let Some(last) = bite.last else { return Ok(told) };
        after = last;
        let entries = bite.rows.iter().flat_map(|row| &row.entries).filter(|entry| devices.contains(&entry.device));
        let values = entries.flat_map(|entry| &entry.readings).filter(|one| !matches!(one.value, Value::Gap(_)));
        told.extend(values.map(|reading| reading.quantity.name()));
    }
}

/// Without what was told; of the rest it is said that nobody told it, if somebody might have.
fn unless_told(mut found: Vec<Deaf>, told: &BTreeSet<&'static str>) -> Vec<Deaf> {
    found.retain(|deaf| !told.contains(deaf.quantity));
    for deaf in found.iter_mut().filter(|deaf| Quantity::parse(deaf.quantity).is_some_and(gatt::tells)) {
        deaf.why.push("no Bluetooth device told it lately".to_owned());
    }
    found
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
    use pitchside_model::{Assurance, Decimal, Entry, Epoch, Gap, GapReason, Quality, Reading, Seq, Timestamp};
    use pitchside_store::{RootKey, Store};

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
        deaf(&rules(), inventory, off).iter().map(|deaf| format!("{} {deaf}", deaf.rule)).collect()
    }

    #[test]
    fn no_rule_is_deaf_to_what_the_box_makes_itself() {
        let off = |name: &str, output: &str| Wanted { enabled: false, ..wanted(name, "derived", output) };
        let both = inventory([off("felt", "heat_index"), off("globe", "wbgt")]);
        assert_eq!(said(&both, &[]), ["hot hears no heat_index: felt is switched off"], "wbgt is the box's own");
    }

    #[tokio::test]
    async fn a_bluetooth_device_counts_for_what_it_told_and_not_for_what_it_might() {
        let off = Wanted { enabled: false, ..wanted("felt", "derived", "heat_index") };
        let found = || deaf(&rules(), &inventory([off.clone()]), &[]);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let [strap, station, other] = ["strap", "station", "other"].map(|name| DeviceId::parse(name).unwrap());
        let bonded = BTreeSet::from([strap.clone(), station.clone()]);
        let entry = |device: &DeviceId, seq: u64, quantity: Quantity, value: Value| Entry {
            device: device.clone(),
            athlete: None,
            assurance: Assurance::Bonded,
            epoch: Epoch(1),
            seq: Seq(seq),
            readings: vec![Reading {
                quantity,
                unit: quantity.unit(),
                device_time: Timestamp(seq as i64),
                gateway_time: Timestamp(seq as i64),
                quality: Quality::empty(),
                value,
            }],
        };
        let number = || Value::Number(Decimal::integer(30));
        let gap = Value::Gap(Gap { reason: GapReason::Silent, extent: 0 });
        let heard = vec![
            entry(&strap, 1, Quantity::HEART_RATE, number()),
            entry(&station, 1, Quantity::HEAT_INDEX, gap),
            entry(&other, 1, Quantity::HEAT_INDEX, number()),
        ];
        store.journal_append(heard).await.unwrap();
        let said = |found: Vec<Deaf>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        let told = told_by(&bonded, &store).unwrap();
        assert_eq!(told, BTreeSet::from(["heart_rate"]), "a gap tells nothing, nor does who is not bonded");
        let why = "hears no heat_index: felt is switched off, no Bluetooth device told it lately";
        assert_eq!(said(unless_told(found(), &told)), [why]);
        store.journal_append(vec![entry(&station, 2, Quantity::HEAT_INDEX, number())]).await.unwrap();
        assert_eq!(unless_told(found(), &told_by(&bonded, &store).unwrap()), []);
        let later = Reading {
            gateway_time: Timestamp(3 + LATELY),
            ..entry(&strap, 3, Quantity::HEART_RATE, number()).readings.remove(0)
        };
        let later = Entry { readings: vec![later], ..entry(&strap, 3, Quantity::HEART_RATE, number()) };
        store.journal_append(vec![later]).await.unwrap();
        assert_eq!(said(unless_told(found(), &told_by(&bonded, &store).unwrap())), [why], "that was long ago");
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
