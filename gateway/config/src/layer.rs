//! One file, variable or flag, read: values, and where they stand.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use crate::explain;
use crate::load::{Problem, Source};

/// The largest settings file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most files of a folder.
const FILES_MAX: usize = 64;
/// How our environment variables begin.
const PREFIX: &str = "PITCHSIDE_";

/// One source, read.
pub(crate) struct Layer {
    metadata: Metadata,
    /// As a problem names it.
    pub(crate) origin: String,
    pub(crate) values: Dict,
    /// The file's text, for line numbers.
    text: Option<String>,
}

impl Layer {
    fn file(path: &Path) -> Result<Self, Problem> {
        let problem = |what: String| Problem::of_place(path.display().to_string(), what);
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
        read.map_err(|error| problem(format!("can't be read ({error}); `pitchside init` makes a box with settings")))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(problem(format!("has more than {FILE_BYTES_MAX} bytes")));
        }
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let what = match in_the_way(&text, at) {
                Some(lines) => format!("not TOML: {}: {lines}", error.message()),
                None => format!("not TOML: {}", error.message()),
            };
            Problem::of_place(format!("{}:{}", path.display(), line_at(&text, at)), what)
        })?;
        let values = Value::serialize(&table).ok().and_then(Value::into_dict);
        let values = values.ok_or_else(|| problem("holds no settings".to_owned()))?;
        let metadata = Metadata::from("settings file", figment::Source::File(path.to_owned()));
        Ok(Self { metadata, origin: path.display().to_string(), values, text: Some(text) })
    }

    /// One variable or flag. What is no number, list or table is text.
    fn one(origin: String, path: &[&str], value: &str) -> Self {
        let infallible: Result<Value, std::convert::Infallible> = value.parse();
        let mut value = infallible.unwrap_or_else(|never| match never {});
        for key in path.iter().skip(1).rev() {
            value = Value::from(Dict::from([((*key).to_owned(), value)]));
        }
        let values = path.first().map(|first| Dict::from([((*first).to_owned(), value)])).unwrap_or_default();
        Self { metadata: Metadata::named(origin.clone()), origin, values, text: None }
    }

    /// The file and line a key stands at, if this layer is the file `place`.
    pub(crate) fn line(&self, place: &str, path: &[&str]) -> Option<String> {
        let text = self.text.as_ref().filter(|_| self.origin == place)?;
        let table = DeTable::parse(text).ok()?;
        Some(format!("{place}:{}", line_at(text, offset(table.get_ref(), path)?)))
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }
    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// What is to be removed where an empty list stands in the way of the `[[serial]]` at `at`: `init` of earlier versions wrote `serial = []`
/// and `ble = []`, and TOML takes no table of a list that is there already.
fn in_the_way(text: &str, at: usize) -> Option<String> {
    let begins = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let (before, rest) = text.split_at_checked(begins)?;
    let table = DeTable::parse(before).ok()?;
    let is_head = |line: &str, name: &str| {
        let inside = line.trim_start().strip_prefix("[[").and_then(|rest| rest.split_once("]]"));
        inside.is_some_and(|(inside, _)| inside.trim() == name)
    };
    let mut empty: Vec<(usize, &str)> = Vec::new();
    for (key, value) in table.get_ref().iter() {
        let name: &str = key.get_ref();
        let is_empty = matches!(value.get_ref(), DeValue::Array(entries) if entries.is_empty());
        if is_empty && rest.lines().any(|line| is_head(line, name)) {
            empty.push((key.span().start, name));
        }
    }
    // Another fault stands first, and is told as it is.
    rest.lines().next().filter(|line| empty.iter().any(|(_, name)| is_head(line, name)))?;
    empty.sort_unstable();
    let lines = empty.iter().map(|(at, name)| format!("line {} (`{name} = []`)", line_at(text, *at)));
    let lines = lines.collect::<Vec<_>>().join(" and ");
    Some(format!(
        "remove {lines}: `pitchside init` of an earlier version wrote that, and it stands in the way of tables"
    ))
}

/// Where the key begins in the text, or whatever of its path is there.
fn offset(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let deeper = match value.get_ref() {
        DeValue::Table(inner) => offset(inner, rest),
        DeValue::Array(entries) => rest.split_first().and_then(|(at, rest)| {
            let entry = entries.get(at.parse::<usize>().ok()?)?;
            offset(entry.get_ref().as_table()?, rest).or_else(|| Some(entry.span().start))
        }),
        _ => None,
    };
    deeper.or_else(|| Some(key.span().start))
}

/// Reads all layers, lowest first.
pub(crate) fn layers(
    source: &Source,
    environment: &[(String, String)],
    flags: &[(String, String)],
    problems: &mut Vec<Problem>,
) -> (Vec<Layer>, Vec<PathBuf>) {
    let mut layers = Vec::new();
    let files = files(source, problems);
    for path in &files {
        match Layer::file(path) {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    let mut variables: Vec<_> = environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        let key = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
        // A list of tables has no keys of its own to name: PITCHSIDE_SERIAL=[{path="/dev/ttyUSB0"}].
        if key.contains("__") || key == "serial" {
            layers.push(Layer::one(name.clone(), &key.split("__").collect::<Vec<_>>(), value));
        } else if let Some(meant) = explain::keys().find(|known| known.replacen('.', "_", 1) == key) {
            let meant = meant.replacen('.', "__", 1).to_uppercase();
            let what = format!("has no effect: two underscores part section and key; did you mean {PREFIX}{meant}?");
            problems.push(Problem::of_place(name.clone(), what));
        }
    }
    for (key, value) in flags {
        layers.push(Layer::one(format!("flag {key}"), &key.split('.').collect::<Vec<_>>(), value));
    }
    (layers, files)
}

fn files(source: &Source, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let (folder, listed) = match source {
        // Absolute, so that relative paths in it stay where they are when we change folder.
        Source::File(path) => return vec![std::path::absolute(path).unwrap_or_else(|_| path.clone())],
        Source::Folder(folder) => (folder, std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>)),
    };
    let mut refuse = |what: String| {
        problems.push(Problem::of_place(folder.display().to_string(), what));
        Vec::new()
    };
    let mut found: Vec<PathBuf> = match listed {
        Ok(entries) => entries.iter().map(std::fs::DirEntry::path).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return refuse(format!("can't be read ({error})")),
    };
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    if found.len() > FILES_MAX {
        return refuse(format!("has more than {FILES_MAX} settings files"));
    }
    found.sort();
    found
}
