//! `pitchside config`.

use pitchside_config::explain;
use serde::Serialize;

use super::args::{ConfigArg, ConfigCommand};
use super::output::Output;
use super::{Failure, Outcome, context};

#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    origin: String,
}

/// `pitchside config`.
pub fn config(command: &ConfigCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        ConfigCommand::Check => {
            let loaded = context::settings(config)?;
            output.print(&loaded.files, |files| format!("ok: {} file(s) read, no problem found", files.len()))?;
        }
        ConfigCommand::Show => {
            let loaded = context::settings(config)?;
            let table = toml::Table::try_from(&loaded.settings)?;
            let mut rows = Vec::new();
            flatten("", &toml::Value::Table(table), &mut |key, value| {
                let origin = loaded.origin(&key).0;
                rows.push(Row { key, value: value.to_string(), origin });
            });
            output.table(&rows, &["SETTING", "VALUE", "FROM"], |r| {
                vec![r.key.clone(), r.value.clone(), r.origin.clone()]
            })?;
        }
        ConfigCommand::Explain { key } => {
            let found = explain::explain(key);
            if found.is_empty() {
                let hint = explain::nearest(key).map_or_else(String::new, |near| format!("; did you mean {near}?"));
                return Err(Failure::Usage(format!("there is no setting '{key}'{hint}")));
            }
            output.table(&found, &["SETTING", "MEANING"], |(key, text)| vec![(*key).to_owned(), (*text).to_owned()])?;
        }
    }
    Ok(())
}

fn flatten(prefix: &str, value: &toml::Value, each: &mut dyn FnMut(String, &toml::Value)) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, each);
            }
        }
        leaf => each(prefix.to_owned(), leaf),
    }
}
