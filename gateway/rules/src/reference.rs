//! The reference for those who write rules: what a script sees and calls, from the tables of the rooms that make it.

use pitchside_script::builtin;
use pitchside_script::reference::{Entry, EntryKind, Reference};

use crate::functions::HELPERS;
use crate::input::{METHODS, PROPERTIES};
use crate::rule::{VARIABLES, sandbox};

/// What a reader understands sooner than what is made up from a signature.
const EXAMPLES: &[(&str, &str)] = &[
    ("value", "value > 180.0"),
    ("quantity", "quantity == \"heart_rate\""),
    ("time", "time > 1767225600.0"),
    ("gap", "gap == \"contact_lost\""),
    ("extent", "gap == \"dropped\" && extent > 10.0"),
    ("raised", "raised || value > 180.0"),
    ("age", "heart_rate.age < 30.0"),
    ("count", "heart_rate.count(\"1min\") >= 30"),
    ("mean", "heart_rate.mean(\"5min\") > 160.0"),
    ("percentile", "heart_rate.percentile(90, \"5min\") > 170.0"),
    ("slope", "heart_rate.slope(\"5min\") > 0.5"),
    ("time_above", "heart_rate.time_above(170, \"10min\") > 120.0"),
    ("ago", "let before = heart_rate.ago(\"1min\"); before != () && value - before > 20.0"),
    ("covers", "heart_rate.covers(\"5min\")"),
    ("above", "above(value, 180.0, 5.0)"),
    ("below", "below(value, 40.0, 2.0)"),
];

const ABOUT: &str = "What the script of a rule can use. How rules work, what a gap is and what the answer means stands in\n\
                     [gateway/rules/README.md](../gateway/rules/README.md). In examples the rule's input is `heart_rate`.";
/// Writes the committed files anew.
pub const COMMAND: &str = "UPDATE=1 cargo test -p pitchside-rules --test reference";

/// Everything the script of a rule can use.
pub fn reference() -> Reference {
    let table = |group: &str, kind: EntryKind, rows: &[(&str, &str)]| -> Vec<Entry> {
        let row = |(signature, doc): &(&str, &str)| Entry::new(group, kind, signature, doc, &example(signature, kind));
        rows.iter().map(row).collect()
    };
    let mut entries = table("Variables", EntryKind::Variable, VARIABLES);
    entries.extend(table("Properties of an input", EntryKind::Property, PROPERTIES));
    entries.extend(table("Functions of an input", EntryKind::Method, METHODS));
    entries.extend(table("Helpers", EntryKind::Function, HELPERS));
    entries.extend(builtin::entries());
    Reference { of: "rules".to_owned(), entries }
}

/// The files made from it, by their names in the folder of rules.
pub fn files() -> [(&'static str, String); 3] {
    let reference = reference();
    [
        ("REFERENCE.md", reference.markdown(ABOUT, COMMAND)),
        ("reference.json", reference.json()),
        ("rules.d.rhai", reference.definitions(&sandbox().sandbox, COMMAND)),
    ]
}

fn example(signature: &str, kind: EntryKind) -> String {
    let (name, rest) = signature.split_once('(').unwrap_or((signature, ""));
    let plain = !rest.contains('"') && (kind, name) != (EntryKind::Property, "value");
    if let Some((_, example)) = EXAMPLES.iter().find(|(known, _)| *known == name && plain) {
        return (*example).to_owned();
    }
    let sample = |parameter: &str| match parameter {
        "span" => "\"5min\"".to_owned(),
        "half_life" => "\"7d\"".to_owned(),
        "percent" => "90".to_owned(),
        "limit" => "150".to_owned(),
        "name" => "\"hard\"".to_owned(),
        "condition" | "first" | "then" => "value > 150.0".to_owned(),
        // A text written out.
        text if text.starts_with('"') => text.to_owned(),
        _ => "1.0".to_owned(),
    };
    let parameters = rest.trim_end_matches(')').split(',').map(str::trim).filter(|p| !p.is_empty());
    let arguments: Vec<String> = parameters.map(sample).collect();
    let call = if rest.is_empty() { name.to_owned() } else { format!("{name}({})", arguments.join(", ")) };
    match kind {
        EntryKind::Method | EntryKind::Property => format!("heart_rate.{call} != ()"),
        EntryKind::Variable | EntryKind::Function => format!("{call} != ()"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_rules_is_named() {
        let (bench, reference) = (sandbox(), reference());
        for name in bench.sandbox.function_names() {
            assert!(reference.entries.iter().any(|entry| entry.name == *name), "`{name}` is in no table");
        }
    }
}
