//! `pitchside config`.

use std::path::Path;

use pitchside_config::explain;
use serde::Serialize;

use super::args::{ConfigArg, ConfigCommand};
use super::output::{Output, note};
use super::{Failure, Outcome, context};
use crate::named;

#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    origin: String,
}

/// `pitchside config`.
pub fn config(command: &ConfigCommand, config: &ConfigArg, output: &Output) -> Outcome {
    match command {
        ConfigCommand::Check { file: Some(file) } => check_file(file, output)?,
        ConfigCommand::Check { file: None } => {
            let loaded = context::settings(config)?;
            let unusable = named::unusable(&loaded.settings);
            if !unusable.is_empty() {
                unusable.iter().for_each(|one| note(&format!("{}: {one}", loaded.origin(one.key).0)));
                return Err(Failure::Failed(anyhow::anyhow!("the settings have {} problem(s)", unusable.len())));
            }
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

/// A file that is to be put where a setting names it.
fn check_file(asked: &str, output: &Output) -> Outcome {
    let usage = |why: &str| Failure::Usage(format!("{why}: --file SETTING=FILE, e.g. {}=FILE", named::LEDGER_POLICY));
    let (key, file) = asked.split_once('=').ok_or_else(|| usage("a setting and a file are needed"))?;
    let looked = named::look_at(key, Path::new(file));
    looked.ok_or_else(|| usage(&format!("'{key}' names no file that can be looked at")))??;
    output.print(&file, |file| format!("ok: {file} can be {key}"))?;
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
