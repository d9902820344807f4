//! From sources to settings, or to everything that is wrong with them.

use std::collections::HashMap;

use figment::value::{Dict, Value};
use figment::Figment;

use crate::problem::{Problem, Problems};
use crate::schema::{Key, Section, Table};
use crate::settings::{
    Blocks, Clock, Gateway, Http, Journal, Ledger, LedgerKeys, Mqtt, Plugins, Rules, SerialPort, Settings, Tls,
};
use crate::source::{Layer, Sources, layers};
use crate::suggest::nearest;
use crate::value::SerialMode;

/// The most serial ports.
const SERIAL_MAX: usize = 16;

/// A section without its type.
pub(crate) struct Chapter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static [&'static str],
    pub(crate) keys: Vec<Key>,
    /// Written as `[[name]]`.
    pub(crate) list: bool,
}

fn chapter<S: Section>() -> Chapter {
    Chapter { name: S::NAME, about: S::ABOUT, keys: S::keys(), list: false }
}

/// All sections, in the order of the manual.
pub(crate) fn chapters() -> Vec<Chapter> {
    vec![
        chapter::<Gateway>(),
        chapter::<Mqtt>(),
        Chapter { list: true, ..chapter::<SerialPort>() },
        chapter::<Tls>(),
        chapter::<Http>(),
        chapter::<LedgerKeys>(),
        chapter::<Blocks>(),
        chapter::<Rules>(),
        chapter::<Plugins>(),
        chapter::<Clock>(),
        chapter::<Journal>(),
    ]
}

/// Settings, and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// The ledger's keys as they were given, for showing.
    pub(crate) ledger: LedgerKeys,
    /// Origin by `section.key`; what is not here is the default.
    pub(crate) origins: HashMap<String, String>,
}

/// Reads and parses everything. Nothing is bound, opened or made.
pub fn check(sources: &Sources) -> Result<Settings, Problems> {
    load(sources).map(|loaded| loaded.settings)
}

/// As [`check`], and remembers where each value came from.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let layers = layers(sources, &mut problems);
    layers.iter().for_each(|layer| refuse_unknown(layer, &mut problems));
    let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
    let data = figment.find_value("").ok().and_then(Value::into_dict).unwrap_or_default();
    let mut reading = Reading { figment: &figment, data: &data, origins: HashMap::new(), problems };
    let parsed = reading.settings();
    match parsed {
        Some((settings, ledger)) if reading.problems.is_empty() => Ok(Loaded { settings, ledger, origins: reading.origins }),
        _ => {
            let mut problems = reading.problems;
            problems.sort_by(|a, b| (&a.origin, &a.key).cmp(&(&b.origin, &b.key)));
            problems.dedup();
            Err(Problems(problems))
        }
    }
}

struct Reading<'a> {
    figment: &'a Figment,
    data: &'a Dict,
    origins: HashMap<String, String>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn settings(&mut self) -> Option<(Settings, LedgerKeys)> {
        // Each before any `?`: all faults are told at once.
        let (gateway, mqtt, serial) = (self.section::<Gateway>(), self.section::<Mqtt>(), self.serial());
        let (tls, http, keys) = (self.section::<Tls>(), self.section::<Http>(), self.section::<LedgerKeys>());
        let (blocks, rules, plugins) = (self.section::<Blocks>(), self.section::<Rules>(), self.section::<Plugins>());
        let (clock, journal) = (self.section::<Clock>(), self.section::<Journal>());
        tls.iter().for_each(|tls| self.pair(tls));
        clock.iter().for_each(|clock| self.tolerances(clock));
        let ledger = keys.as_ref().map(|keys| self.ledger(keys));
        let (tls, http, ledger) = (tls?, http?, ledger?);
        let (gateway, mqtt, serial) = (gateway?, mqtt?, serial?);
        let (blocks, rules, plugins, clock, journal) = (blocks?, rules?, plugins?, clock?, journal?);
        Some((Settings { gateway, mqtt, serial, tls, http, ledger, blocks, rules, plugins, clock, journal }, keys?))
    }

    fn section<S: Section>(&mut self) -> Option<S> {
        let nothing = Dict::new();
        // What is no table has been refused by its layer.
        let values = self.data.get(S::NAME).and_then(Value::as_dict).unwrap_or(&nothing);
        self.table(S::NAME.to_owned(), values)
    }

    fn table<S: Section>(&mut self, path: String, values: &Dict) -> Option<S> {
        let table = Table { figment: self.figment, path, values };
        for name in values.keys() {
            if let Some(origin) = table.origin(name) {
                self.origins.insert(format!("{}.{name}", table.path), origin);
            }
        }
        S::read(&table, &mut self.problems)
    }

    fn serial(&mut self) -> Option<Vec<SerialPort>> {
        let Some(Value::Array(_, entries)) = self.data.get(SerialPort::NAME) else { return Some(Vec::new()) };
        if entries.len() > SERIAL_MAX {
            self.refuse("serial", &format!("at most {SERIAL_MAX} ports, found {}", entries.len()));
        }
        let mut ports: Vec<SerialPort> = Vec::new();
        let mut whole = true;
        for (at, entry) in entries.iter().take(SERIAL_MAX).enumerate() {
            let path = format!("serial[{at}]");
            match entry.as_dict().and_then(|values| self.table::<SerialPort>(path.clone(), values)) {
                None => whole = false,
                Some(port) => {
                    if (port.mode == SerialMode::Lines) != port.device.is_some() {
                        self.refuse(&format!("{path}.device"), "mode \"lines\" needs the device whose readings they are, and mode \"ps1\" must not have one");
                    }
                    if ports.iter().any(|other| other.path == port.path) {
                        self.refuse(&format!("{path}.path"), "two [[serial]] tables name the same port");
                    }
                    ports.push(port);
                }
            }
        }
        whole.then_some(ports)
    }

    /// All of the ledger's keys, or none.
    fn ledger(&mut self, keys: &LedgerKeys) -> Option<Ledger> {
        if let LedgerKeys { address: Some(address), public_key_file: Some(public), vkey: Some(vkey), psk_file: Some(psk) } = keys {
            let (public_key_file, psk_file) = (public.clone(), psk.clone());
            return Some(Ledger { address: address.clone(), public_key_file, vkey: vkey.clone(), psk_file });
        }
        let shown = keys.shown();
        let missing: Vec<&str> = shown.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
        if missing.len() < shown.len() {
            self.refuse("ledger", &format!("{} not set: a ledger needs all of its keys, or no [ledger] at all", missing.join(", ")));
        }
        None
    }

    fn pair(&mut self, tls: &Tls) {
        if tls.certificate_file.is_some() != tls.key_file.is_some() {
            self.refuse("tls", "certificate_file and key_file belong together: set both, or neither for a certificate of the box's own");
        }
    }

    fn tolerances(&mut self, clock: &Clock) {
        if clock.future_tolerance_s.get() > clock.future_refused_s.get() {
            self.refuse("clock.future_tolerance_s", "it is beyond future_refused_s: nothing would ever be marked");
        }
        if clock.late_tolerance_s.get() > clock.late_refused_s.get() {
            self.refuse("clock.late_tolerance_s", "it is beyond late_refused_s: nothing would ever be marked");
        }
    }

    fn refuse(&mut self, key: &str, message: &str) {
        let within = |(at, _): &(&String, &String)| *at == key || at.starts_with(&format!("{key}."));
        let origin = self.origins.iter().filter(within).map(|(_, origin)| origin).min().cloned();
        let origin = origin.unwrap_or_else(|| "settings".to_owned());
        self.problems.push(Problem { origin, key: key.to_owned(), message: message.to_owned(), help: None });
    }
}

/// Finds every key of a source that is none of ours, also where a later source would win.
fn refuse_unknown(layer: &Layer, problems: &mut Vec<Problem>) {
    let chapters = chapters();
    for (name, value) in &layer.values {
        let mut refuse = |path: &[&str], message: &str, help: Option<String>| {
            problems.push(Problem { origin: layer.place(path), key: path.join("."), message: message.to_owned(), help });
        };
        let Some(chapter) = chapters.iter().find(|chapter| chapter.name == name) else {
            refuse(&[name], "there is no such section", unknown_section(name, &chapters));
            continue;
        };
        let tables: Vec<&Dict> = match value {
            Value::Dict(_, table) if !chapter.list => vec![table],
            Value::Array(_, entries) if chapter.list && entries.iter().all(|entry| entry.as_dict().is_some()) => {
                entries.iter().filter_map(Value::as_dict).collect()
            }
            _ if chapter.list => {
                refuse(&[name], "it is a list of tables", Some(format!("write [[{name}]] for each")));
                continue;
            }
            _ => {
                refuse(&[name], "it is a section", Some(format!("write [{name}] on a line of its own, its keys below")));
                continue;
            }
        };
        for key in tables.iter().flat_map(|table| table.keys()) {
            if !chapter.keys.iter().any(|known| known.name == key) {
                refuse(&[name, key], "there is no such key", unknown_key(key, chapter, &chapters));
            }
        }
    }
}

fn unknown_section(name: &str, chapters: &[Chapter]) -> Option<String> {
    let meant = nearest(name, chapters.iter().map(|chapter| chapter.name)).map(|meant| format!("did you mean [{meant}]?"));
    // A key outside its section is the other way to get this wrong.
    let home = chapters.iter().find(|chapter| chapter.keys.iter().any(|key| key.name == name));
    home.map(|chapter| format!("did you mean {}.{name}?", chapter.name)).or(meant)
}

fn unknown_key(key: &str, chapter: &Chapter, chapters: &[Chapter]) -> Option<String> {
    let by_file = format!("{key}_file");
    if chapter.keys.iter().any(|known| known.name == by_file) {
        return Some(format!("secrets and keys are given by file: use {}.{by_file}", chapter.name));
    }
    let elsewhere = chapters.iter().find(|other| other.keys.iter().any(|known| known.name == key));
    let near = nearest(key, chapter.keys.iter().map(|known| known.name)).map(|near| format!("did you mean {}.{near}?", chapter.name));
    near.or_else(|| elsewhere.map(|other| format!("did you mean {}.{key}?", other.name)))
}

/// True for a section that is a list of tables.
pub(crate) fn is_list(name: &str) -> bool {
    chapters().iter().any(|chapter| chapter.list && chapter.name == name)
}

/// `mqtt_tls` is meant as `MQTT__TLS`.
pub(crate) fn key_with_one_underscore(text: &str) -> Option<String> {
    chapters().iter().find_map(|chapter| {
        let key = text.strip_prefix(chapter.name)?.strip_prefix('_')?;
        let known = chapter.keys.iter().any(|known| known.name == key);
        known.then(|| format!("{}__{}", chapter.name.to_uppercase(), key.to_uppercase()))
    })
}
