//! What is wrong with a script, a manifest or a case, and where.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::fault::deceives;

/// The most problems reported for one file; more would not be read.
pub const PROBLEMS_MAX: usize = 64;
/// The most letters of a name in what is told.
const NAME_CHARS_MAX: usize = 64;
/// The most characters of what is told. Lists of what there is need nearly all of them.
const TOLD_CHARS_MAX: usize = 2_000;

/// What kind of problem it is, for editors and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// None of the others.
    #[default]
    Other,
    /// Not the language.
    Syntax,
    /// A function that does not exist.
    UnknownFunction,
    /// A variable that does not exist.
    UnknownVariable,
    /// A property that does not exist.
    UnknownProperty,
    /// Something of Rhai that does not exist here.
    Unavailable,
    /// Too many or too few arguments.
    Arguments,
    /// A value of the wrong kind.
    Type,
    /// A text that should be a span of time and is none.
    Span,
    /// A value of the right kind that is not among those that are taken.
    Value,
    /// Code that never runs, or a condition that never changes.
    Unreachable,
    /// A rule that always answers the same.
    ConstantAnswer,
    /// Declared and not used.
    Unused,
    /// A manifest's value.
    Manifest,
    /// A manifest's key.
    UnknownKey,
    /// A name that is taken.
    Name,
    /// Cases that are missing or cannot be read.
    Cases,
    /// A file that is missing or cannot be read.
    File,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "other",
            Self::Syntax => "syntax",
            Self::UnknownFunction => "unknown-function",
            Self::UnknownVariable => "unknown-variable",
            Self::UnknownProperty => "unknown-property",
            Self::Unavailable => "unavailable",
            Self::Arguments => "arguments",
            Self::Type => "type",
            Self::Span => "span",
            Self::Value => "value",
            Self::Unreachable => "unreachable",
            Self::ConstantAnswer => "constant-answer",
            Self::Unused => "unused",
            Self::Manifest => "manifest",
            Self::UnknownKey => "unknown-key",
            Self::Name => "name",
            Self::Cases => "cases",
            Self::File => "file",
        })
    }
}

/// Whether it keeps the script from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It must be mended.
    #[default]
    Error,
    /// It should be looked at.
    Warning,
}

/// One thing to mend. Line and column count from 1; 0 means the whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file, as the reader knows it, e.g. `heat-illness/rule.rhai`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// What kind it is.
    pub code: Code,
    /// How bad it is.
    pub level: Level,
}

impl Problem {
    /// A problem at a place.
    pub fn at(file: &str, (line, column): (usize, usize), message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            file: file.to_owned(),
            line,
            column,
            message: shortened(&message),
            help: None,
            code: Code::Other,
            level: Level::Error,
        }
    }

    /// A problem of a whole file.
    pub fn of(file: &str, message: impl Into<String>) -> Self {
        Self::at(file, (0, 0), message)
    }

    /// The same problem, of this kind.
    #[must_use]
    pub fn code(self, code: Code) -> Self {
        Self { code, ..self }
    }

    /// The same problem as a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { level: Level::Warning, ..self }
    }

    /// Whether it must be mended.
    pub fn is_error(&self) -> bool {
        self.level == Level::Error
    }

    /// The same problem with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        let help: String = help.into();
        self.help = Some(shortened(&help));
        self
    }

    /// The same problem with this advice, if there is any.
    #[must_use]
    pub fn help_some(self, help: Option<String>) -> Self {
        Self { help: help.map(|help| shortened(&help)), ..self }
    }

    /// The same problem with advice, unless it has some.
    #[must_use]
    pub fn or_help(self, help: &str) -> Self {
        if self.help.is_some() { self } else { self.help(help) }
    }

    /// The same problem with "did you mean", if something known is close.
    #[must_use]
    pub fn suggest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match closest(wrong, known) {
            Some(right) => self.help(format!("did you mean `{right}`?")),
            None => self,
        }
    }
}

/// One line for logs and terminals: whose file it is may have put anything into it.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        plain(f, &self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        f.write_str(if self.level == Level::Warning { ": warning: " } else { ": " })?;
        plain(f, &self.message)?;
        let Some(help) = &self.help else { return Ok(()) };
        f.write_str(" (")?;
        plain(f, help)?;
        f.write_str(")")
    }
}

fn plain(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| f.write_char(if deceives(c) { ' ' } else { c }))
}

/// What a file says may be as long as the file: names keep their first letters, and all of it has an end.
pub(crate) fn shortened(text: &str) -> String {
    let mut letters = 0;
    let mut told = text.chars().filter_map(|c| {
        letters = if c.is_alphanumeric() || c == '_' { letters + 1 } else { 0 };
        match letters {
            0..=NAME_CHARS_MAX => Some(c),
            _ => (letters == NAME_CHARS_MAX + 1).then_some('…'),
        }
    });
    let mut out: String = told.by_ref().take(TOLD_CHARS_MAX).collect();
    if told.next().is_some() {
        out.push('…');
    }
    out
}

/// Line and column, from 1, of a byte offset.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The known word nearest to `wrong`, if at most a third of its letters differ.
pub fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wrong.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (distance(wrong, word), word))
        .filter(|(far, _)| *far > 0 && *far <= allowed)
        .min()
        .map(|(_, word)| word)
}

/// Words with commas between.
pub fn one_line_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().collect::<Vec<_>>().join(", ")
}

/// Edits (insert, delete, replace, swap of neighbours) from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use pitchside_model::Quantity;

    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_word_meant() {
        let known = ["slope", "mean", "percentile", "limit_cel"];
        assert_eq!(closest("slpoe", known), Some("slope"));
        assert_eq!(closest("limit_cell", known), Some("limit_cel"));
        assert_eq!(closest("precentile", known), Some("percentile"));
        assert_eq!(closest("raise", known), None);
        assert_eq!(closest("mean", known), None);
    }

    #[test]
    fn a_problem_is_one_line_that_steers_no_terminal_whatever_the_file_holds() {
        let problem =
            Problem::at("r\u{7}", (1, 2), "unknown key `\u{1b}[2J\n0 problems\u{202e}`").help("or \u{9b}1m\r?");
        assert_eq!(problem.to_string(), "r :1:2: unknown key ` [2J 0 problems ` (or  1m ?)");
        assert_eq!(Problem::of("r", "tab\there").warning().to_string(), "r: warning: tab here");
    }

    #[test]
    fn a_problem_is_short_whatever_the_file_holds() {
        let (name, known) = ("x".repeat(64_000), "y".repeat(64));
        let problem = Problem::at("r", (1, 2), format!("`{name}` is not `{known}` here")).help(format!("not {name}?"));
        let short = format!("{}…", "x".repeat(64));
        assert_eq!(problem.message, format!("`{short}` is not `{known}` here"));
        assert_eq!(problem.help, Some(format!("not {short}?")));
        assert_eq!(Problem::of("r", "").help_some(Some(name)).help, Some(short));
        // Names need not be made of letters.
        let told = Problem::of("r", format!("unknown key `{}`", "! ".repeat(32_000))).message;
        assert!(told.starts_with("unknown key `! !") && told.ends_with('…') && told.chars().count() == 2_001, "{told}");
        // Nothing that is told of files as people write them comes near.
        let all = one_line_list(Quantity::all().map(Quantity::name));
        assert_eq!(Problem::of("r", format!("there are {all}")).message, format!("there are {all}"));
    }

    #[test]
    fn places_count_characters_from_one() {
        assert_eq!(place("ab\ncd", 0), (1, 1));
        assert_eq!(place("ab\ncd", 4), (2, 2));
        assert_eq!(place("ä\nö=", "ä\nö".len()), (2, 2));
        assert_eq!(place("ab", 99), (1, 3));
    }
}
