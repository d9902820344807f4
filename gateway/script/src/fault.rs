//! Why a script was stopped.

use std::fmt;

use rhai::{Dynamic, EvalAltResult, Position};
use serde::{Deserialize, Serialize};

/// What stopped it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// More operations than allowed.
    Operations,
    /// More wall-clock time than allowed.
    Time,
    /// The process grew too much.
    Memory,
    /// Calls nested too deep.
    Depth,
    /// A string, array or map grew too large, or too many variables.
    Size,
    /// The script threw.
    Thrown,
    /// A function, variable, property or module that does not exist (`eval`, `sleep`, `import`, … among them).
    Unknown,
    /// Types that do not fit, arithmetic, an index out of bounds.
    Value,
    /// What the script returned is not what was asked for.
    Answer,
    /// Native code failed or the worker died of it.
    Crash,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operations => "too many operations",
            Self::Time => "too slow",
            Self::Memory => "too much memory",
            Self::Depth => "calls nested too deep",
            Self::Size => "a value grew too large",
            Self::Thrown => "thrown by the script",
            Self::Unknown => "not available",
            Self::Value => "wrong value",
            Self::Answer => "wrong answer",
            Self::Crash => "crashed",
        })
    }
}

/// A script that was stopped: what stopped it and where. Line and column count from 1; 0 if unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {message}{}", at(*line, *column, text))]
pub struct Fault {
    /// What stopped it.
    pub kind: FaultKind,
    /// The particulars, in one line without control characters, at most 200 characters.
    pub message: String,
    /// Offending line.
    pub line: usize,
    /// Offending column.
    pub column: usize,
    /// The offending line as written, made one line as `message` is; empty if unknown.
    pub text: String,
}

fn at(line: usize, column: usize, text: &str) -> String {
    match (line, text) {
        (0, _) => String::new(),
        (_, "") => format!(" at line {line}, column {column}"),
        _ => format!(" at line {line}, column {column}: {text}"),
    }
}

/// The words by which the progress callback says why it ended a script.
pub(crate) const OUT_OF_TIME: &str = "pitchside:time";
/// See [`OUT_OF_TIME`].
pub(crate) const OUT_OF_MEMORY: &str = "pitchside:memory";
/// See [`OUT_OF_TIME`].
pub(crate) const OUT_OF_OPERATIONS: &str = "pitchside:operations";

impl Fault {
    /// A fault without a place.
    pub fn new(kind: FaultKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: one_line(message.as_ref()), line: 0, column: 0, text: String::new() }
    }

    /// What Rhai's error means.
    pub fn from_rhai(error: &EvalAltResult) -> Self {
        // The innermost error says what happened; its place is the offending line.
        let inner = innermost(error);
        let kind = kind_of(inner);
        let place = if inner.position().is_none() { error.position() } else { inner.position() };
        let message = match (kind, inner) {
            (FaultKind::Time, _) => "the call took longer than its limit".to_owned(),
            (FaultKind::Operations, _) => "the call took more operations than its limit".to_owned(),
            (FaultKind::Memory, _) => "the call grew the process beyond its memory limit".to_owned(),
            (_, EvalAltResult::ErrorRuntime(value, _)) => thrown(value),
            _ => inner.clone_message(),
        };
        let (line, column) = line_column(place);
        Self { kind, message: one_line(&message), line, column, text: String::new() }
    }

    /// What Rhai's error means, with the offending line of `source`.
    pub fn in_source(error: &EvalAltResult, source: &str) -> Self {
        let fault = Self::from_rhai(error);
        let (line, column) = (fault.line, fault.column);
        fault.placed(line, column, source)
    }

    /// The fault at that place of `source`.
    pub fn placed(self, line: usize, column: usize, source: &str) -> Self {
        let written = line.checked_sub(1).and_then(|before| source.lines().nth(before));
        Self { line, column, text: one_line(written.unwrap_or_default().trim()), ..self }
    }
}

/// What was thrown, if it is plain. A list or map may be deep or endless as text; its kind must do.
fn thrown(value: &Dynamic) -> String {
    match value.clone().into_immutable_string() {
        Ok(text) => text.to_string(),
        Err(_) if value.is_int() || value.is_float() || value.is_bool() || value.is_char() => value.to_string(),
        Err(_) => format!("a value of type {}", value.type_name()),
    }
}

trait CloneMessage {
    fn clone_message(&self) -> String;
}
impl CloneMessage for EvalAltResult {
    /// The message without its position, which we keep apart.
    fn clone_message(&self) -> String {
        let text = self.to_string();
        match text.rfind(" (line ") {
            Some(at) => text[..at].to_owned(),
            None => text,
        }
    }
}

fn innermost(mut error: &EvalAltResult) -> &EvalAltResult {
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) = error {
        error = inner;
    }
    error
}

fn kind_of(error: &EvalAltResult) -> FaultKind {
    use EvalAltResult as E;
    match error {
        E::ErrorTooManyOperations(_) => FaultKind::Operations,
        E::ErrorTerminated(why, _) => match why.clone().into_immutable_string().as_deref() {
            Ok(word) if word == OUT_OF_MEMORY => FaultKind::Memory,
            Ok(word) if word == OUT_OF_OPERATIONS => FaultKind::Operations,
            _ => FaultKind::Time,
        },
        E::ErrorStackOverflow(_) => FaultKind::Depth,
        E::ErrorDataTooLarge(..) | E::ErrorTooManyVariables(_) => FaultKind::Size,
        E::ErrorRuntime(..) => FaultKind::Thrown,
        E::ErrorFunctionNotFound(..)
        | E::ErrorVariableNotFound(..)
        | E::ErrorPropertyNotFound(..)
        | E::ErrorDotExpr(..)
        | E::ErrorModuleNotFound(..)
        | E::ErrorTooManyModules(_)
        | E::ErrorForbiddenVariable(..)
        | E::ErrorParsing(..) => FaultKind::Unknown,
        E::ErrorMismatchOutputType(..) => FaultKind::Answer,
        E::ErrorSystem(..) => FaultKind::Crash,
        _ => FaultKind::Value,
    }
}

pub(crate) fn line_column(place: Position) -> (usize, usize) {
    (place.line().unwrap_or(0), place.position().unwrap_or(0))
}

/// Text from a script, safe in a log: one line, no control characters, none that are not seen but change how the rest
/// reads (directions, line separators, zero widths), at most 200 characters.
pub fn one_line(text: &str) -> String {
    let mut out: String = text.chars().take(200).map(|c| if deceives(c) { ' ' } else { c }).collect();
    if text.chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

/// Unicode TR 36 §3.1 and TR 9 §2: controls, bidirectional formatting, separators, zero widths, tags, interlinear marks.
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
