//! What an admin sets of a plugin, within what its manifest allows: numbers, and for outputs texts and secrets.
//!
//! ```text
//! [params.port]                 a number; `{port}` in a capability stands for it
//! default = 443
//! min = 1
//! max = 65535
//! whole = true                  9901.5 is none; without it, any number within the bounds
//! [texts.host]                  one line of text; `{host}` in a capability stands for it
//! example = "ntfy.example.org"  must be chosen, and cases run with this; or `default`: unless chosen, may be empty
//! max = 100                     bytes; and `one_of = ["tls", "starttls"]`: one of these
//! [secrets.token]               the script only names it, the host puts it in
//! summary = "An access token."
//! kind = "text"                 or "signing": whsec_… of Standard Webhooks
//! optional = true               it runs without, too
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::reader::{self, Reader, Table};
use super::{Capability, FIELDS_MAX, Param, PluginManifest, is_variable, summary, variable};

/// The longest text an admin may choose.
pub const TEXT_BYTES_MAX: usize = 256;
/// The longest secret.
pub const SECRET_BYTES_MAX: usize = 512;

/// What was chosen, by name, as it was written.
pub type Chosen = BTreeMap<String, String>;

/// A text an admin may choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextParam {
    /// What it is unless chosen; none: it must be chosen before the output runs.
    pub default: Option<String>,
    /// What it may look like. Cases run with this where there is no default.
    pub example: String,
    /// The most bytes.
    pub max: usize,
    /// The only choices; empty if any will do.
    pub one_of: Vec<String>,
}

/// What a secret looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretKind {
    /// Any line of text: a password, a token.
    Text,
    /// A key that signs: `whsec_` and base64 (Standard Webhooks).
    Signing,
}

/// A secret that an output names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretParam {
    /// What it is for, in a line.
    pub summary: String,
    /// What it looks like.
    pub kind: SecretKind,
    /// The output runs without it, too, and then goes without what it is for.
    pub optional: bool,
}

/// A constant of a script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Constant {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

fn plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

impl Param {
    fn read(&self, written: &str) -> Result<f64, String> {
        let number = written.parse::<f64>().ok().filter(|n| n.is_finite());
        let number = number.ok_or_else(|| format!("`{written}` is no number"))?;
        if number < self.min || number > self.max {
            return Err(format!("{written} is not within {} and {}", self.min, self.max));
        }
        if self.whole && number.fract() != 0.0 {
            return Err(format!("{written} is no whole number"));
        }
        Ok(number)
    }
}

impl TextParam {
    /// Whether this may be chosen; else why not.
    pub fn check(&self, text: &str) -> Result<(), String> {
        if !plain(text) {
            return Err("a text is one line, and not empty".to_owned());
        }
        if text.len() > self.max {
            return Err(format!("it has {} bytes; at most {}", text.len(), self.max));
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|one| one == text) {
            return Err(format!("`{text}` is none of {}", self.one_of.join(", ")));
        }
        Ok(())
    }

    fn fallback(&self) -> &str {
        self.default.as_deref().unwrap_or(&self.example)
    }
}

impl PluginManifest {
    /// Whether an admin may choose this; else why not.
    pub fn may_choose(&self, key: &str, written: &str) -> Result<(), String> {
        if let Some((_, param)) = self.params.iter().find(|(name, _)| name == key) {
            return param.read(written).map(drop);
        }
        if let Some((_, text)) = self.texts.iter().find(|(name, _)| name == key) {
            return text.check(written);
        }
        let all: Vec<&str> =
            self.params.iter().map(|(name, _)| &**name).chain(self.texts.iter().map(|(name, _)| &**name)).collect();
        let all = if all.is_empty() { "nothing".to_owned() } else { all.join(", ") };
        Err(format!("there is no `{key}` to set; there is {all}"))
    }

    /// Whether it could be granted what it asks for if this were chosen beside the rest; else why not. What is only not set yet will be.
    pub fn may_ask(&self, chosen: &Chosen, key: &str, written: &str) -> Result<(), String> {
        let mut then = chosen.clone();
        then.insert(key.to_owned(), written.to_owned());
        let (before, after) = (self.asks(chosen).1, self.asks(&then).1);
        // What was wrong before is not this choice's fault.
        let new = after.into_iter().find(|why| !why.ends_with("is not set") && !before.contains(why));
        new.map_or(Ok(()), Err)
    }

    /// What keeps it from running as it is set: texts that must be chosen, choices that are none any more. A sentence each.
    pub fn unset(&self, chosen: &Chosen) -> Vec<String> {
        let missing = self.texts.iter().filter(|(name, text)| text.default.is_none() && !chosen.contains_key(name));
        let mut found: Vec<String> = missing.map(|(name, _)| format!("{name} is not set")).collect();
        let known = |key: &String| {
            self.params.iter().any(|(name, _)| name == key) || self.texts.iter().any(|(name, _)| name == key)
        };
        // What another version asked for is nobody's fault.
        for (key, written) in chosen.iter().filter(|(key, _)| known(key)) {
            if let Err(why) = self.may_choose(key, written) {
                found.push(format!("{key} must be set again: {why}"));
            }
        }
        found
    }

    /// The numbers of its script.
    pub fn numbers(&self, chosen: &Chosen) -> Vec<(String, f64)> {
        let number = |(name, param): &(String, Param)| {
            let read = chosen.get(name).and_then(|written| param.read(written).ok());
            (name.clone(), read.unwrap_or(param.default))
        };
        self.params.iter().map(number).collect()
    }

    /// The constants of its script: numbers and texts.
    pub fn constants(&self, chosen: &Chosen) -> Vec<(String, Constant)> {
        let numbers = self.numbers(chosen).into_iter().map(|(name, number)| (name, Constant::Number(number)));
        let texts = self.texts.iter().map(|(name, text)| {
            let fit = chosen.get(name).filter(|written| text.check(written).is_ok());
            (name.clone(), Constant::Text(fit.map_or_else(|| text.fallback().to_owned(), Clone::clone)))
        });
        numbers.chain(texts).collect()
    }

    /// What it asks for, as it is set; and what it asks for that cannot be told before more is set, a sentence each.
    pub fn asks(&self, chosen: &Chosen) -> (Vec<Capability>, Vec<String>) {
        let constants = self.constants(chosen);
        let open = |text: &str| {
            let mut unset =
                self.texts.iter().filter(|(name, text)| text.default.is_none() && !chosen.contains_key(name));
            unset.find(|(name, _)| text.contains(&format!("{{{name}}}"))).map(|(name, _)| format!("{name} is not set"))
        };
        let (mut asked, mut unknown) = (Vec::new(), Vec::new());
        for text in &self.wanted {
            let told = open(text)
                .map_or_else(|| fill(text, &constants), Err)
                .and_then(|text| Capability::parse(&text).map_err(|why| format!("`{text}` {why}")));
            match told {
                Ok(capability) => asked.push(capability),
                Err(why) => unknown.push(format!("it asks for {text}: {why}")),
            }
        }
        (asked, unknown)
    }
}

/// A capability with what was chosen in the place of its names.
pub(super) fn fill(text: &str, constants: &[(String, Constant)]) -> Result<String, String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("has a `{` without its `}`")?;
        let value = constants.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        filled.push_str(before);
        match value {
            Some(Constant::Text(text)) => filled.push_str(text),
            // A port, a line: whole numbers only.
            Some(Constant::Number(number)) if number.fract() == 0.0 => filled.push_str(&format!("{number:.0}")),
            Some(Constant::Number(number)) => return Err(format!("has `{{{name}}}`, and {number} is no whole number")),
            None => return Err(format!("has `{{{name}}}`, which is neither a param nor a text")),
        }
        rest = after;
    }
    filled.push_str(rest);
    // Kind and colon are the maker's word, not the admin's.
    if text.find('{').is_some_and(|at| !text.get(..at).is_some_and(|led| led.contains(':'))) {
        return Err("must begin with its kind, e.g. `http:`".to_owned());
    }
    Ok(filled)
}

pub(super) fn texts<'a>(
    r: &mut Reader<'a>,
    table: &mut Table<'a>,
    params: &[(String, Param)],
) -> Vec<(String, TextParam)> {
    let mut texts = Vec::new();
    for (name, at, mut table) in r.children(table, "texts") {
        let default = r.optional(&mut table, "default", reader::text);
        let example = r.optional(&mut table, "example", reader::text);
        let max = r.required(&mut table, "max", |value| match reader::number(value)? {
            max if max >= 1.0 && max <= TEXT_BYTES_MAX as f64 && max.fract() == 0.0 => Ok(max as usize),
            _ => Err(format!("must be a whole number from 1 to {TEXT_BYTES_MAX}")),
        });
        let one_of = r.optional(&mut table, "one_of", reader::list).unwrap_or_default();
        r.finish(table);
        named(r, &at, &name, texts.len(), params);
        let Some(max) = max else { continue };
        let Some(example) = default.clone().or(example.clone()).filter(|_| default.is_none() || example.is_none())
        else {
            r.problem(
                at,
                format!("`texts.{name}` must have a `default`, or an `example` if it must be chosen; not both"),
            );
            continue;
        };
        let text = TextParam { default, example, max, one_of };
        // An empty default is none at all: the script sees that nothing was chosen.
        let empty = text.default.as_deref() == Some("");
        if let Some(why) = text.check(&text.example).err().filter(|_| !empty) {
            r.problem(at, format!("`texts.{name}`: {why}"));
        }
        texts.push((name, text));
    }
    texts
}

pub(super) fn secrets<'a>(r: &mut Reader<'a>, table: &mut Table<'a>) -> Vec<(String, SecretParam)> {
    let mut secrets = Vec::new();
    for (name, at, mut table) in r.children(table, "secrets") {
        let summary = r.required(&mut table, "summary", summary);
        let kind = r.optional(&mut table, "kind", |value| match reader::text(value)?.as_str() {
            "text" => Ok(SecretKind::Text),
            "signing" => Ok(SecretKind::Signing),
            _ => Err("must be \"text\" or \"signing\"".to_owned()),
        });
        let optional = r.optional(&mut table, "optional", reader::truth);
        r.finish(table);
        if !is_variable(&name) {
            r.problem(at.clone(), format!("`{name}` cannot be a name: use ASCII letters, digits and `_`"));
        }
        if secrets.len() >= FIELDS_MAX {
            r.problem(at, format!("at most {FIELDS_MAX} of these"));
        }
        let Some(summary) = summary else { continue };
        let (kind, optional) = (kind.unwrap_or(SecretKind::Text), optional.unwrap_or(false));
        secrets.push((name, SecretParam { summary, kind, optional }));
    }
    secrets
}

fn named(r: &mut Reader<'_>, at: &Range<usize>, name: &str, so_far: usize, params: &[(String, Param)]) {
    variable(r, at, name, so_far);
    if params.iter().any(|(param, _)| param == name) {
        r.problem(at.clone(), format!("`{name}` is a param and a text"));
    }
    // Scripts have it already.
    if name == "event" {
        r.problem(at.clone(), "`event` is what an output is told: choose another name");
    }
}
