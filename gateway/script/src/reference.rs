//! The reference of a kind of script, from one source: a page for people, JSON for the web editor, definitions for editors
//! that speak Rhai. What is documented comes from tables, what exists from the engine; a test holds them together.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::builtin::DEFINED;
use crate::lint::{Signature, Type};
use crate::sandbox::Sandbox;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Set by the box before each call.
    Variable,
    /// Read after a dot.
    Property,
    /// Called after a dot.
    Method,
    /// Called by itself.
    Function,
}

/// One thing a script can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// As it is written: `percentile(percent, span)`.
    pub signature: String,
    /// What it is.
    pub kind: EntryKind,
    /// The section of the page.
    pub group: String,
    /// What it does or is, in a line.
    pub doc: String,
    /// A script that uses it; a test runs each.
    pub example: String,
    /// The version of the box that brought it.
    pub since: String,
}

/// Rows of a table: kind, signature, what it is, an example.
pub type Rows = &'static [(EntryKind, &'static str, &'static str, &'static str)];

impl Entry {
    /// The entries of a section.
    pub fn section(group: &str, rows: Rows) -> impl Iterator<Item = Self> {
        rows.iter().map(move |(kind, signature, doc, example)| Self::new(group, *kind, signature, doc, example))
    }

    /// An entry of a section. The name is what stands before the bracket.
    pub fn new(group: &str, kind: EntryKind, signature: &str, doc: &str, example: &str) -> Self {
        let name = signature.split('(').next().unwrap_or(signature);
        Self {
            name: name.to_owned(),
            signature: signature.to_owned(),
            kind,
            group: group.to_owned(),
            doc: doc.to_owned(),
            example: example.to_owned(),
            since: SINCE.to_owned(),
        }
    }

    /// The names of its parameters; of a text written out, the text.
    fn parameters(&self) -> Vec<&str> {
        let inner = self.signature.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
        inner.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
    }
}

/// What leads the name of the function behind a property, as Rhai tells it.
const GETTER: &str = "get$";
/// All entries so far came with the first version.
const SINCE: &str = "0.1.0";

/// A reference: what scripts of one kind can use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `rules` or `plugins`.
    pub of: String,
    /// The entries, section by section.
    pub entries: Vec<Entry>,
}

impl Reference {
    /// As a page. `about` stands below its title; `command` writes it anew.
    pub fn markdown(&self, about: &str, command: &str) -> String {
        let mut page = format!("# Reference for {}\n\n{about}\n\nGenerated; `{command}` writes it anew.\n", self.of);
        let mut group = "";
        for entry in &self.entries {
            if entry.group != group {
                group = &entry.group;
                page.push_str(&format!("\n## {group}\n| | is | example |\n| --- | --- | --- |\n"));
            }
            let dot = if matches!(entry.kind, EntryKind::Method | EntryKind::Property) { "." } else { "" };
            let (doc, example) = (cell(&entry.doc), cell(&entry.example));
            // Text into memory does not fail.
            let _ = writeln!(page, "| `{dot}{}` | {doc} | {} |", cell(&entry.signature), code(&example));
        }
        page
    }

    /// As JSON, for the web editor.
    pub fn json(&self) -> String {
        let kind = |kind: EntryKind| match kind {
            EntryKind::Variable => "variable",
            EntryKind::Property => "property",
            EntryKind::Method => "method",
            EntryKind::Function => "function",
        };
        let entry = |entry: &Entry| {
            let fields = [
                ("name", entry.name.as_str()),
                ("signature", &entry.signature),
                ("kind", kind(entry.kind)),
                ("group", &entry.group),
                ("doc", &entry.doc),
                ("example", &entry.example),
                ("since", &entry.since),
            ];
            let fields: Vec<String> =
                fields.iter().map(|(name, text)| format!("\"{name}\": {}", quoted(text))).collect();
            format!("    {{ {} }}", fields.join(", "))
        };
        let entries: Vec<String> = self.entries.iter().map(entry).collect();
        format!("{{\n  \"of\": {},\n  \"entries\": [\n{}\n  ]\n}}\n", quoted(&self.of), entries.join(",\n"))
    }

    /// As definitions in Rhai's own form (the book, "Define a Module in a Definition File"), from what `sandbox` has.
    pub fn definitions(&self, sandbox: &Sandbox, command: &str) -> String {
        let mut text =
            format!("// Definitions for {}. Generated; `{command}` writes them anew.\nmodule static;\n", self.of);
        for entry in self.entries.iter().filter(|entry| entry.kind == EntryKind::Variable) {
            let _ = write!(text, "\n/// {}\nlet {}: ?;\n", entry.doc, entry.name);
        }
        // Members of maps are properties without a function behind them: those Rhai has no form for.
        for entry in self.entries.iter().filter(|entry| entry.kind == EntryKind::Property) {
            for signature in sandbox.signatures().get(&format!("{GETTER}{}", entry.name)).into_iter().flatten() {
                let _ = write!(text, "\n/// {}\nfn {};\n", entry.doc, written(signature, None));
            }
        }
        let mut documented: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in self.entries.iter().filter(|e| matches!(e.kind, EntryKind::Method | EntryKind::Function)) {
            documented.entry(&entry.name).or_default().push(entry);
        }
        for (name, entries) in documented {
            // What Rhai answers itself no engine tells of.
            if let Some(form) = DEFINED.iter().find(|form| form.split('(').next() == Some(name)) {
                let _ = write!(text, "\n/// {}\nfn {form};\n", doc(entries.first()));
            }
            for signature in sandbox.signatures().get(name).map(Vec::as_slice).unwrap_or_default() {
                let hidden = |entry: &Entry| usize::from(entry.kind == EntryKind::Method);
                let fits = |entry: &&&Entry| entry.parameters().len() + hidden(entry) == signature.params.len();
                // Functions of ours have parameters without names.
                let ours = signature.params.first().is_some_and(|(name, _)| name == "_");
                let right = |entry: &&&Entry| fits(entry) && (entry.kind == EntryKind::Method) == ours;
                let entry = entries.iter().find(right).or(entries.iter().find(fits)).or(entries.first());
                let names = entry.filter(|entry| fits(entry)).map(|entry| (hidden(entry), entry.parameters()));
                let _ = write!(text, "\n/// {}\nfn {};\n", doc(entry), written(signature, names));
            }
        }
        text
    }
}

fn doc<'a>(entry: Option<&&'a Entry>) -> &'a str {
    entry.map_or("", |entry| entry.doc.as_str())
}

/// A signature in Rhai's form, with the reference's names where the engine has none.
fn written(signature: &Signature, names: Option<(usize, Vec<&str>)>) -> String {
    let (hidden, names) = names.unwrap_or_default();
    let param = |(i, (name, kind)): (usize, &(String, Type))| {
        let ours = i.checked_sub(hidden).and_then(|i| names.get(i));
        let name = match (name.as_str(), ours) {
            // One that takes a word written out is named after it.
            ("_", Some(ours)) => ours.trim_matches('"').to_owned(),
            ("_", None) if *kind == Type::Own("Input".to_owned()) => "input".to_owned(),
            ("_", None) => format!("x{i}"),
            (name, _) => name.trim_start_matches('_').to_owned(),
        };
        format!("{name}: {}", rhai_name(kind))
    };
    let params: Vec<String> = signature.params.iter().enumerate().map(param).collect();
    let getter = signature.name.strip_prefix(GETTER).map(|name| format!("get {name}"));
    let name = getter.unwrap_or_else(|| signature.name.clone());
    format!("{name}({}) -> {}", params.join(", "), rhai_name(&signature.returns))
}

/// A type as definitions name it: a word, and in `<…>` what it holds.
fn rhai_name(kind: &Type) -> String {
    let name = match kind {
        Type::Any | Type::Number => "?",
        Type::Nothing => "()",
        Type::Bool => "bool",
        Type::Integer => "int",
        Type::Float => "float",
        Type::Text => "String",
        Type::Char => "char",
        Type::Array => "Array",
        Type::Blob => "Blob",
        Type::Map => "Map",
        Type::Function => "Fn",
        // As Rhai's own definitions call what the engine tells by its signs.
        Type::Own(name) if name == "range" => "Range<int>",
        Type::Own(name) if name == "range=" => "RangeInclusive<int>",
        Type::Own(name) => match name.strip_suffix('>').and_then(|name| name.split_once('<')) {
            Some((outer, held)) => return format!("{outer}<{}>", rhai_name(&Type::parse(held))),
            None => name.as_str(),
        },
    };
    name.to_owned()
}

/// A JSON string (RFC 8259 §7). Flat texts are all there is: no reason for a JSON library within the worker.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// As code within a table: with two back quotes if it holds one.
fn code(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.contains('`') => format!("`` {text} ``"),
        text => format!("`{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn one_entry_becomes_a_row_an_object_and_a_definition() {
        let sandbox = Sandbox::new(Limits::RULE, |engine| {
            engine.register_fn("warmer", |_: f64, _: f64| true);
        });
        let entry = Entry::new("Helpers", EntryKind::Function, "warmer(x, y)", "whether x | y", "warmer(1.0, 2.0)");
        let reference = Reference { of: "rules".to_owned(), entries: vec![entry] };
        let page = reference.markdown("About.", "make it");
        assert!(page.ends_with("| `warmer(x, y)` | whether x \\| y | `warmer(1.0, 2.0)` |\n"), "{page}");
        assert!(reference.json().contains("\"signature\": \"warmer(x, y)\""));
        let text = reference.definitions(&sandbox, "make it");
        assert!(text.ends_with("/// whether x | y\nfn warmer(x: float, y: float) -> bool;\n"), "{text}");
    }

    #[test]
    fn a_parameter_that_takes_a_word_is_defined_by_its_name() {
        let sandbox = Sandbox::new(Limits::RULE, |engine| {
            engine.register_fn("usual", |_: f64, _: &str| 1.0);
        });
        let entry = Entry::new("Helpers", EntryKind::Function, "usual(x, \"hour\")", "how much", "");
        let text = Reference { of: "rules".to_owned(), entries: vec![entry] }.definitions(&sandbox, "make it");
        assert!(text.ends_with("fn usual(x: float, hour: String) -> float;\n"), "{text}");
    }

    #[test]
    fn everything_of_rhai_is_defined_by_types_and_names_that_definitions_have() {
        let sandbox = Sandbox::new(Limits::RULE, |_| {});
        let entries = crate::builtin::entries();
        let names: Vec<String> = entries.iter().map(|entry| entry.name.clone()).collect();
        let text = Reference { of: "rules".to_owned(), entries }.definitions(&sandbox, "make it");
        let missing: Vec<&String> = names.iter().filter(|name| !text.contains(&format!("\nfn {name}("))).collect();
        assert!(missing.is_empty(), "without a definition: {missing:?}");
        for written in [
            "fn append(string: String, item: ?) -> ();",
            "fn call(f: Fn, ...args: ?) -> ?;",
            "fn contains(range: Range<int>, value: int) -> bool;",
            "fn contains(range: RangeInclusive<int>, value: int) -> bool;",
            "fn range(from: int, to: int) -> Range<int>;",
            "fn range(from: float, to: float, step: float) -> StepRange<float>;",
            "fn to_float(x: ?) -> ?;",
        ] {
            assert!(text.contains(&format!("\n{written}\n")), "{written}");
        }
    }

    #[test]
    fn a_property_is_defined_as_rhai_writes_what_is_read_after_a_dot() {
        #[derive(Clone)]
        struct Input;
        let sandbox = Sandbox::new(Limits::RULE, |engine| {
            engine.register_type_with_name::<Input>("Input");
            engine.register_get("age", |_: &mut Input| 1.5);
        });
        let row = |name: &str| Entry::new("Properties", EntryKind::Property, name, "how old", "x.age > 1.0");
        let reference = Reference { of: "rules".to_owned(), entries: vec![row("age"), row("of_a_map")] };
        let text = reference.definitions(&sandbox, "make it");
        assert!(text.ends_with("module static;\n\n/// how old\nfn get age(input: Input) -> float;\n"), "{text}");
    }
}
