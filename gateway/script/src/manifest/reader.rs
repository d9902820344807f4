//! TOML with places: every key is taken once, what nobody took is refused, and all problems are kept.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Code, PROBLEMS_MAX, Problem, place};

pub(super) struct Reader<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub problems: Vec<Problem>,
}

/// A table whose keys are taken one by one.
pub(super) struct Table<'a> {
    /// What stands before its keys in messages, e.g. `params.limit_cel.`; empty for the file itself.
    pub prefix: String,
    pub span: Range<usize>,
    entries: Vec<(String, Range<usize>, Spanned<DeValue<'a>>)>,
    asked: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub fn open(file: &'a str, text: &'a str) -> (Self, Table<'a>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self { file, text, problems: Vec::new() };
        for error in errors {
            reader.problem(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        let span = table.span();
        (reader, Table::new(String::new(), span, table.into_inner()))
    }

    pub fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.file, place(self.text, span.start), message).code(Code::Manifest));
    }

    /// The problems in the order of the file.
    pub fn into_problems(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|p| (p.line, p.column));
        self.problems.truncate(PROBLEMS_MAX);
        self.problems
    }

    /// Refuses what was not taken.
    pub fn finish(&mut self, table: Table<'a>) {
        for (key, span, _) in table.entries {
            let (file, at) = (self.file, place(self.text, span.start));
            let problem = Problem::at(file, at, format!("unknown key `{}{key}`", table.prefix)).code(Code::UnknownKey);
            self.problems.push(problem.suggest(&key, table.asked.iter().copied()));
        }
    }

    pub fn optional<T>(
        &mut self,
        table: &mut Table<'a>,
        key: &'static str,
        read: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        let (_, value) = table.take(key)?;
        match read(value.get_ref()) {
            Ok(read) => Some(read),
            Err(message) => {
                self.problem(value.span(), format!("`{}{key}` {message}", table.prefix));
                None
            }
        }
    }

    pub fn required<T>(
        &mut self,
        table: &mut Table<'a>,
        key: &'static str,
        read: impl FnOnce(&DeValue<'a>) -> Result<T, String>,
    ) -> Option<T> {
        if !table.has(key) {
            table.asked.push(key);
            self.problem(table.span.clone(), format!("`{}{key}` is missing", table.prefix));
            return None;
        }
        self.optional(table, key, read)
    }

    /// The tables below `key`, by name: `[params.x]`, `[params.y]`.
    pub fn children(&mut self, table: &mut Table<'a>, key: &'static str) -> Vec<(String, Range<usize>, Table<'a>)> {
        let Some((_, value)) = table.take(key) else { return Vec::new() };
        let span = value.span();
        let DeValue::Table(inner) = value.into_inner() else {
            self.problem(span, format!("`{key}` holds tables, e.g. `[{key}.name]`"));
            return Vec::new();
        };
        let mut children = Vec::new();
        for (name, value) in inner {
            let (at, span) = (name.span(), value.span());
            match value.into_inner() {
                DeValue::Table(table) => {
                    let name = name.into_inner().into_owned();
                    children.push((name.clone(), at, Table::new(format!("{key}.{name}."), span, table)));
                }
                _ => self.problem(at, format!("`{key}.{}` must be a table", name.get_ref())),
            }
        }
        children
    }

    /// The plain values below `key`: `[state]`.
    pub fn values(
        &mut self,
        table: &mut Table<'a>,
        key: &'static str,
    ) -> Vec<(String, Range<usize>, Spanned<DeValue<'a>>)> {
        let Some((_, value)) = table.take(key) else { return Vec::new() };
        let span = value.span();
        let DeValue::Table(inner) = value.into_inner() else {
            self.problem(span, format!("`{key}` is a table of values"));
            return Vec::new();
        };
        inner.into_iter().map(|(name, value)| (name.get_ref().to_string(), name.span(), value)).collect()
    }
}

impl<'a> Table<'a> {
    fn new(prefix: String, span: Range<usize>, table: DeTable<'a>) -> Self {
        let entries = table.into_iter().map(|(key, value)| (key.get_ref().to_string(), key.span(), value)).collect();
        Self { prefix, span, entries, asked: Vec::new() }
    }

    /// Where a key stands, if it does.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        self.entries.iter().find(|(name, ..)| name == key).map(|(_, span, _)| span.clone())
    }

    fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, ..)| name == key)
    }

    fn take(&mut self, key: &'static str) -> Option<(Range<usize>, Spanned<DeValue<'a>>)> {
        self.asked.push(key);
        let at = self.entries.iter().position(|(name, ..)| name == key)?;
        let (_, span, value) = self.entries.remove(at);
        Some((span, value))
    }
}

pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("must be text, not {}", value.type_str()))
}

pub(super) fn truth(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, not {}", value.type_str()))
}

pub(super) fn number(value: &DeValue<'_>) -> Result<f64, String> {
    let written = match value {
        DeValue::Integer(n) if n.radix() == 10 => n.as_str(),
        DeValue::Float(n) => n.as_str(),
        _ => return Err(format!("must be a number, not {}", value.type_str())),
    };
    written
        .parse::<f64>()
        .ok()
        .filter(|n| n.is_finite())
        .ok_or_else(|| format!("must be a finite decimal number, not {written}"))
}

pub(super) fn list(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("must be a list of texts, not {}", value.type_str()))?;
    items
        .iter()
        .map(|item| text(item.get_ref()))
        .collect::<Result<_, _>>()
        .map_err(|e| format!("holds an item that {e}"))
}
