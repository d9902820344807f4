//! From sources to settings, or to everything that is wrong with them; and where each value came from.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use figment::Figment;
use figment::value::{Dict, Value};

use crate::explain;
use crate::layer::{Layer, layers};
use crate::listeners::{Listener, collisions, listeners, same};
use crate::schema::{Key, Section, Table};
use crate::settings::{
    BleAdapter, Blocks, Bluetooth, ClockTolerance, Delivery, Firmware, Gateway, Http, Journal, Ledger, Library, Mqtt,
    Plugins, Rules, SerialMode, SerialPort, Settings,
};

/// The most serial lines.
const SERIAL_MAX: usize = 16;
/// The most Bluetooth adapters.
const BLE_MAX: usize = 8;

/// Where settings are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Every `*.toml` in a folder, in name order; a missing folder holds none. The default is `/etc/pitchside`.
    Folder(PathBuf),
    /// One file, which must be there.
    File(PathBuf),
}

impl Source {
    /// The file or folder if one is given, else `/etc/pitchside`.
    pub fn or_default(given: Option<PathBuf>) -> Self {
        match given {
            // Absolute, so that relative paths in its files stay where they are when we change folder.
            Some(path) if path.is_dir() => Self::Folder(std::path::absolute(&path).unwrap_or(path)),
            Some(path) => Self::File(path),
            None => Self::Folder(PathBuf::from("/etc/pitchside")),
        }
    }
}

/// Something wrong with the settings: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// File and line, variable or flag.
    pub place: String,
    /// The setting, or `settings` if no single one.
    pub key: String,
    /// What is wrong and what to do.
    pub what: String,
    /// Which of a list of tables.
    pub(crate) entry: Option<usize>,
}

impl Problem {
    pub(crate) fn of_place(place: String, what: String) -> Self {
        Self { place, key: "settings".to_owned(), what, entry: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.key, self.what)
    }
}

/// Where one value came from, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(pub String);

/// Settings and where they came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings in force, paths resolved.
    pub settings: Settings,
    /// The files that were read.
    pub files: Vec<PathBuf>,
    origins: HashMap<String, String>,
}

impl Loaded {
    /// Reads all layers, this process' environment among them, and reports every problem that can be seen at once.
    /// Nothing is bound, opened or made.
    pub fn load(source: &Source) -> Result<Self, Vec<Problem>> {
        // Whatever is not text is none of ours.
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let environment: Vec<_> = std::env::vars_os().filter_map(text).collect();
        Self::load_with(source, &environment, &[])
    }

    /// As [`Loaded::load`], with the environment given, and flags (`section.key` and a value, written as in a variable)
    /// above it: the same sources give the same settings.
    pub fn load_with(
        source: &Source,
        environment: &[(String, String)],
        flags: &[(String, String)],
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let (layers, files) = layers(source, environment, flags, &mut problems);
        layers.iter().for_each(|layer| refuse_unknown(layer, &mut problems));
        let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
        let data = figment.find_value("").ok().and_then(Value::into_dict).unwrap_or_default();
        let mut reading = Reading { figment: &figment, data: &data, origins: HashMap::new(), problems };
        let settings = reading.settings();
        let Reading { origins, mut problems, .. } = reading;
        match settings {
            Some(settings) if problems.is_empty() => Ok(Self { settings, files, origins }),
            _ => {
                problems.iter_mut().for_each(|problem| locate(problem, &layers));
                problems.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
                problems.dedup();
                Err(problems)
            }
        }
    }

    /// Where the value of `key` came from.
    pub fn origin(&self, key: &str) -> Origin {
        // What stands inside a setting came with it.
        let inside = key.match_indices('.').nth(1).and_then(|(at, _)| key.get(..at));
        let origin = self.origins.get(key).or_else(|| self.origins.get(inside?));
        Origin(origin.cloned().unwrap_or_else(|| "default".to_owned()))
    }
}

struct Reading<'a> {
    figment: &'a Figment,
    data: &'a Dict,
    origins: HashMap<String, String>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn settings(&mut self) -> Option<Settings> {
        // Each before any `?`: all faults are told at once.
        let (gateway, mqtt, serial) = (self.section::<Gateway>(), self.section::<Mqtt>(), self.serial());
        let (ble, bluetooth) = (self.ble(), self.section::<Bluetooth>());
        let (http, ledger, blocks) = (self.section::<Http>(), self.ledger(), self.section::<Blocks>());
        let (journal, clock) = (self.section::<Journal>(), self.section::<ClockTolerance>());
        let firmware = self.section::<Firmware>();
        let (rules, plugins) = (self.section::<Rules>(), self.section::<Plugins>());
        let delivery = self.section::<Delivery>();
        if let (Some(mqtt), Some(http)) = (&mqtt, &http) {
            self.refuse_collisions(&listeners(mqtt, http));
        }
        Some(Settings {
            gateway: gateway?,
            mqtt: mqtt?,
            serial: serial?,
            ble: ble?,
            bluetooth: bluetooth?,
            http: http?,
            ledger: ledger?,
            blocks: blocks?,
            firmware: firmware?,
            journal: journal?,
            clock: clock?,
            rules: Library { dir: rules?.dir },
            plugins: Library { dir: plugins?.dir },
            delivery: delivery?,
        })
    }

    /// Told of the setting that was set: a default gives way.
    fn refuse_collisions(&mut self, listeners: &[Listener]) {
        for (before, late) in collisions(listeners) {
            let set = |(key, _): &Listener| self.origins.get(*key).cloned();
            let ((key, address), (other, there), place) = match (set(&late), set(&before)) {
                (None, Some(place)) => (before, late, place),
                (place, _) => (late, before, place.unwrap_or_else(|| "settings".to_owned())),
            };
            let what = same(address, other, there);
            self.problems.push(Problem { key: key.to_owned(), ..Problem::of_place(place, what) });
        }
    }

    fn section<S: Section>(&mut self) -> Option<S> {
        let nothing = Dict::new();
        // What is no table has been refused with its layer.
        let values = self.data.get(S::NAME).and_then(Value::as_dict).unwrap_or(&nothing);
        self.table(None, values)
    }

    fn table<S: Section>(&mut self, entry: Option<usize>, values: &Dict) -> Option<S> {
        let table = Table { figment: self.figment, section: S::NAME, entry, values };
        for name in values.keys() {
            if let Some(origin) = table.origin(name) {
                self.origins.insert(format!("{}.{name}", S::NAME), origin.clone());
                self.origins.insert(S::NAME.to_owned(), origin);
            }
        }
        S::read(&table, &mut self.problems)
    }

    /// The outer none is a fault; the inner none means that there is no ledger.
    fn ledger(&mut self) -> Option<Option<Ledger>> {
        if self.data.contains_key(Ledger::NAME) { self.section::<Ledger>().map(Some) } else { Some(None) }
    }

    /// The tables of a list; none if there was a fault, among them that there are more than `max`.
    fn list<S: Section>(&mut self, max: usize, mut each: impl FnMut(&Table<'_>, S, &mut Vec<Problem>)) -> Option<()> {
        let Some(Value::Array(_, entries)) = self.data.get(S::NAME) else { return Some(()) };
        let mut whole = entries.len() <= max;
        if !whole {
            let place = entries
                .first()
                .and_then(|entry| self.figment.get_metadata(entry.tag()))
                .map(|data| data.name.to_string());
            let what = format!("at most {max} of them, not {}", entries.len());
            self.problems
                .push(Problem { key: S::NAME.to_owned(), ..Problem::of_place(place.unwrap_or_default(), what) });
        }
        let nothing = Dict::new();
        for (at, entry) in entries.iter().take(max).enumerate() {
            let values = entry.as_dict().unwrap_or(&nothing);
            let Some(read) = self.table::<S>(Some(at), values) else {
                whole = false;
                continue;
            };
            let table = Table { figment: self.figment, section: S::NAME, entry: Some(at), values };
            each(&table, read, &mut self.problems);
        }
        whole.then_some(())
    }

    fn serial(&mut self) -> Option<Vec<SerialPort>> {
        let mut ports: Vec<SerialPort> = Vec::new();
        self.list(SERIAL_MAX, |table, port: SerialPort, problems| {
            let mut refuse = |name, what: &str| problems.push(table.problem(name, what.to_owned()));
            match (port.mode, &port.device) {
                (SerialMode::Wired | SerialMode::Packets, None) => {
                    refuse("device", "a line without PS/1 must name its device")
                }
                (SerialMode::Ps1, Some(_)) => {
                    refuse("device", "only a line without PS/1 names its device; PS/1 proves it")
                }
                _ => {}
            }
            if port.mode == SerialMode::Packets {
                if port.packet_bytes.is_none() {
                    refuse("packet_bytes", "packets must say how long they are");
                }
                if port.packet_begins.is_none() {
                    refuse("packet_begins", "packets must say how they begin, or none is ever found again after noise");
                }
                let marks =
                    [&port.packet_begins, &port.packet_ends].map(|mark| mark.as_ref().map_or(0, |m| m.bytes().len()));
                if port.packet_bytes.is_some_and(|bytes| usize::from(bytes) < marks.iter().sum()) {
                    refuse("packet_bytes", "a packet is longer than how it begins and ends");
                }
            } else if port.packet_bytes.is_some() || port.packet_begins.is_some() || port.packet_ends.is_some() {
                refuse("mode", "only packets have a length, a beginning and an end");
            }
            if port.mode == SerialMode::Ps1 && port.hello.is_some() {
                refuse("hello", "a device that speaks PS/1 needs no word to begin");
            }
            if ports.iter().any(|other| other.path == port.path) {
                refuse("path", "an earlier [[serial]] has the same line");
            }
            ports.push(port);
        })?;
        Some(ports)
    }

    fn ble(&mut self) -> Option<Vec<BleAdapter>> {
        let mut adapters: Vec<BleAdapter> = Vec::new();
        self.list(BLE_MAX, |table, adapter: BleAdapter, problems| {
            if adapters.iter().any(|other| other.adapter == adapter.adapter) {
                problems.push(table.problem("adapter", "an earlier [[ble]] has the same adapter".to_owned()));
            }
            adapters.push(adapter);
        })?;
        Some(adapters)
    }
}

/// Adds the line to a fault that came from a file.
fn locate(problem: &mut Problem, layers: &[Layer]) {
    let entry = problem.entry.map(|entry| entry.to_string());
    let mut path: Vec<&str> = problem.key.split('.').collect();
    if let Some(entry) = &entry {
        path.insert(1, entry);
    }
    if let Some(place) = layers.iter().find_map(|layer| layer.line(&problem.place, &path)) {
        problem.place = place;
    }
}

/// A section without its type: its name, its keys, and whether it is written as `[[name]]`.
pub(crate) struct Chapter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static [&'static str],
    pub(crate) keys: &'static [Key],
    pub(crate) list: bool,
}

const fn chapter<S: Section>(list: bool) -> Chapter {
    Chapter { name: S::NAME, about: S::ABOUT, keys: S::KEYS, list }
}

/// All sections, in the order of the manual.
pub(crate) const CHAPTERS: &[Chapter] = &[
    chapter::<Gateway>(false),
    chapter::<Mqtt>(false),
    chapter::<SerialPort>(true),
    chapter::<BleAdapter>(true),
    chapter::<Bluetooth>(false),
    chapter::<Http>(false),
    chapter::<Ledger>(false),
    chapter::<Blocks>(false),
    chapter::<Firmware>(false),
    chapter::<Journal>(false),
    chapter::<ClockTolerance>(false),
    chapter::<Rules>(false),
    chapter::<Plugins>(false),
    chapter::<Delivery>(false),
];

/// Finds every key of a layer that is none of ours, also where a later layer would win.
fn refuse_unknown(layer: &Layer, problems: &mut Vec<Problem>) {
    for (name, value) in &layer.values {
        let mut refuse = |entry: Option<usize>, key: String, what: String| {
            problems.push(Problem { place: layer.origin.clone(), key, what, entry });
        };
        let unknown = |key: &str| format!("there is no such setting; {}", explain::hint(key));
        let Some(chapter) = CHAPTERS.iter().find(|chapter| chapter.name == name) else {
            refuse(None, name.clone(), unknown(name));
            continue;
        };
        let tables: Vec<&Dict> = match value {
            Value::Dict(_, table) if !chapter.list => vec![table],
            Value::Array(_, entries) if chapter.list && entries.iter().all(|entry| entry.as_dict().is_some()) => {
                entries.iter().filter_map(Value::as_dict).collect()
            }
            _ if chapter.list => {
                refuse(None, name.clone(), format!("is a list of tables; write [[{name}]] for each"));
                continue;
            }
            _ => {
                refuse(
                    None,
                    name.clone(),
                    format!("is a section; write [{name}] on a line of its own, its keys below"),
                );
                continue;
            }
        };
        for (at, table) in tables.into_iter().enumerate() {
            for key in table.keys().filter(|key| !chapter.keys.iter().any(|known| known.name == *key)) {
                let key = format!("{name}.{key}");
                refuse(chapter.list.then_some(at), key.clone(), unknown(&key));
            }
        }
    }
}
