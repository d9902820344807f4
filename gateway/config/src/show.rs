//! Showing: effective settings with their origin, and the meaning of a key.

use std::fmt::Write as _;

use crate::load::{Chapter, Loaded, chapters};
use crate::schema::Section;
use crate::suggest::nearest;

/// The effective settings as TOML, each with where it came from. Reading it back gives the same settings.
pub fn show(loaded: &Loaded) -> String {
    let settings = &loaded.settings;
    let mut out = String::new();
    section(&mut out, loaded, &settings.gateway, "gateway");
    section(&mut out, loaded, &settings.mqtt, "mqtt");
    for (at, port) in settings.serial.iter().enumerate() {
        section(&mut out, loaded, port, &format!("serial[{at}]"));
    }
    section(&mut out, loaded, &settings.tls, "tls");
    section(&mut out, loaded, &settings.http, "http");
    section(&mut out, loaded, &loaded.ledger, "ledger");
    section(&mut out, loaded, &settings.blocks, "blocks");
    section(&mut out, loaded, &settings.rules, "rules");
    section(&mut out, loaded, &settings.plugins, "plugins");
    section(&mut out, loaded, &settings.clock, "clock");
    section(&mut out, loaded, &settings.journal, "journal");
    out
}

fn section<S: Section>(out: &mut String, loaded: &Loaded, values: &S, path: &str) {
    let brackets = if path.ends_with(']') { format!("[[{}]]", S::NAME) } else { format!("[{path}]") };
    let gap = if out.is_empty() { "" } else { "\n" };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{gap}{brackets}");
    for (name, value) in values.shown() {
        let origin = loaded.origins.get(&format!("{path}.{name}")).map_or("default", String::as_str);
        let _ = match value {
            Some(value) => writeln!(out, "{name} = {value} # {}", origin.replace(char::is_control, "?")),
            None => writeln!(out, "# {name} is not set"),
        };
    }
}

/// What a key (`section.key`), a section, or everything (an empty text) means. The error says what might be meant.
pub fn explain(key: &str) -> Result<String, String> {
    let chapters = chapters();
    if key.is_empty() {
        return Ok(chapters.iter().map(|chapter| explain_chapter(chapter, None)).collect::<Vec<_>>().join("\n"));
    }
    let (section, name) = key.split_once('.').map_or((key, None), |(section, name)| (section, Some(name)));
    let section = section.trim_matches(['[', ']']);
    let Some(chapter) = chapters.iter().find(|chapter| chapter.name == section) else {
        let meant = nearest(section, chapters.iter().map(|chapter| chapter.name));
        return Err(unknown("section", section, meant.map(str::to_owned), chapters.iter().map(|chapter| chapter.name)));
    };
    match name {
        Some(name) if !chapter.keys.iter().any(|known| known.name == name) => {
            let meant = nearest(name, chapter.keys.iter().map(|known| known.name)).map(|meant| format!("{section}.{meant}"));
            Err(unknown("key", key, meant, chapter.keys.iter().map(|known| known.name)))
        }
        name => Ok(explain_chapter(chapter, name)),
    }
}

fn unknown<'a>(what: &str, name: &str, meant: Option<String>, all: impl Iterator<Item = &'a str>) -> String {
    match meant {
        Some(meant) => format!("there is no {what} {name}; did you mean {meant}?"),
        None => format!("there is no {what} {name}; there are {}", all.collect::<Vec<_>>().join(", ")),
    }
}

fn explain_chapter(chapter: &Chapter, only: Option<&str>) -> String {
    let brackets = if chapter.list { format!("[[{}]]", chapter.name) } else { format!("[{}]", chapter.name) };
    let mut out = format!("{brackets}: {}\n", joined(chapter.about));
    for key in chapter.keys.iter().filter(|key| only.is_none_or(|only| key.name == only)) {
        let default = key.default_shown.as_deref().map_or_else(|| "no default".to_owned(), |shown| format!("default {shown}"));
        let variable = if chapter.list {
            String::new()
        } else {
            format!("; PITCHSIDE_{}__{}", chapter.name.to_uppercase(), key.name.to_uppercase())
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{}.{}: {}; {default}{variable}\n    {}", chapter.name, key.name, key.shape, joined(key.doc));
    }
    out
}

/// A comment's lines as one.
fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}
