//! Where settings come from. Given by the caller, environment included: the same sources give the same settings.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider, Source};
use toml::de::{DeTable, DeValue};

use crate::problem::Problem;

/// The largest settings file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The most files of a folder.
const FILES_MAX: usize = 64;
/// How our environment variables begin.
pub const PREFIX: &str = "PITCHSIDE_";

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// Every `*.toml` of a folder, by name; later ones win. A missing folder holds none.
    Folder(PathBuf),
    /// This one, which must be there.
    One(PathBuf),
}

/// Everything settings may come from; each wins over the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The files.
    pub files: Files,
    /// The environment; only `PITCHSIDE_SECTION__KEY` (and `PITCHSIDE_SERIAL`) counts.
    pub environment: Vec<(String, String)>,
    /// Flags: the key as `section.key`, and its value as in the environment.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// As the command line has it: one file or all of /etc/pitchside, and this process' environment.
    pub fn system(file: Option<PathBuf>) -> Self {
        // Whatever is not text is none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self {
            files: file.map_or_else(|| Files::Folder(PathBuf::from("/etc/pitchside")), Files::One),
            environment: std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(PREFIX)).collect(),
            flags: Vec::new(),
        }
    }

    /// With one more flag.
    #[must_use]
    pub fn with_flag(mut self, key: &str, value: &str) -> Self {
        self.flags.push((key.to_owned(), value.to_owned()));
        self
    }
}

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
        let problem = |message: String, help: Option<&str>| Problem {
            origin: path.display().to_string(),
            key: String::new(),
            message,
            help: help.map(str::to_owned),
        };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text));
        read.map_err(|error| problem(format!("the file cannot be read: {error}"), None))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(problem(format!("the file has more than {FILE_BYTES_MAX} bytes"), None));
        }
        let table: toml::Table = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            problem(format!("line {line}: {}", error.message()), Some("settings are written in TOML (toml.io)"))
        })?;
        let values = Value::serialize(&table).ok().and_then(Value::into_dict);
        let values = values.ok_or_else(|| problem("the file holds no table".to_owned(), None))?;
        let metadata = Metadata::from("settings file", Source::File(path.to_owned()));
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

    /// Where a key stands: the file and its line, or the variable.
    pub(crate) fn place(&self, path: &[&str]) -> String {
        let line = self.text.as_ref().and_then(|text| {
            let table = DeTable::parse(text).ok()?;
            Some(line_at(text, offset(table.get_ref(), path)?))
        });
        line.map_or_else(|| self.origin.clone(), |line| format!("{}:{line}", self.origin))
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

/// Where the key begins in the text. In a list of tables, in whichever has it first.
fn offset(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let (first, rest) = path.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let deeper = match value.get_ref() {
        _ if rest.is_empty() => None,
        DeValue::Table(inner) => offset(inner, rest),
        DeValue::Array(entries) => entries.iter().find_map(|entry| offset(entry.get_ref().as_table()?, rest)),
        _ => None,
    };
    deeper.or_else(|| Some(key.span().start))
}

/// Reads all sources, lowest first.
pub(crate) fn layers(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<Layer> {
    let mut layers = Vec::new();
    for path in files(&sources.files, problems) {
        match Layer::file(&path) {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    let mut variables: Vec<_> = sources.environment.iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    for (name, value) in variables {
        let key = name.strip_prefix(PREFIX).unwrap_or(name).to_ascii_lowercase();
        // A list of tables has no keys of its own to name: PITCHSIDE_SERIAL=[{path="/dev/ttyUSB0"}].
        if key.contains("__") || crate::load::is_list(&key) {
            layers.push(Layer::one(name.clone(), &key.split("__").collect::<Vec<_>>(), value));
        } else if let Some(meant) = crate::load::key_with_one_underscore(&key) {
            problems.push(Problem {
                origin: name.clone(),
                key: String::new(),
                message: "it would have no effect".to_owned(),
                help: Some(format!("two underscores part section and key: did you mean {PREFIX}{meant}?")),
            });
        }
    }
    for (key, value) in &sources.flags {
        layers.push(Layer::one(format!("flag {key}"), &key.split('.').collect::<Vec<_>>(), value));
    }
    layers
}

fn files(files: &Files, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let folder = match files {
        Files::One(path) => return vec![path.clone()],
        Files::Folder(folder) => folder,
    };
    let mut problem = |message: String| {
        problems.push(Problem { origin: folder.display().to_string(), key: String::new(), message, help: None });
        Vec::new()
    };
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => return problem(format!("the folder cannot be read: {error}")),
    };
    let mut found = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) => found.push(entry.path()),
            Err(error) => return problem(format!("the folder cannot be read: {error}")),
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    if found.len() > FILES_MAX {
        return problem(format!("more than {FILES_MAX} settings files"));
    }
    found.sort();
    found
}
