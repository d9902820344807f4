//! Text or JSON on standard output; complaints on standard error.

use std::io::{IsTerminal as _, Write as _};

use pitchside_script::fault::deceives;
use serde::Serialize;

/// Where a command's data goes, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    /// JSON if asked for.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON was asked for.
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a thing: as one JSON value, or as the text that `text` makes of it.
    pub fn print<T: Serialize>(self, thing: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json { put(&serde_json::to_string_pretty(thing)?) } else { line(&text(thing)) }
    }

    /// Prints rows: as a JSON array, or as aligned columns under their titles.
    pub fn table<T: Serialize>(
        self,
        rows: &[T],
        titles: &[&str],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if self.json {
            return put(&serde_json::to_string_pretty(rows)?);
        }
        let mut lines = vec![titles.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>()];
        // A cell begins no line of its own.
        let cells = |row: &T| cells(row).iter().map(|cell| plain(cell, &[])).collect::<Vec<_>>();
        lines.extend(rows.iter().map(cells));
        let width = |column: usize| {
            lines.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..titles.len()).map(width).collect();
        for cells in &lines {
            let padded: Vec<String> =
                cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
            line(padded.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A number of things: `1 block`, `2 blocks`.
pub fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Text for people. What others wrote into a file or a field may be in it: nothing of that steers a terminal or changes how the rest reads.
/// `but` stays as it is.
fn plain(text: &str, but: &[char]) -> String {
    text.chars().map(|c| if deceives(c) && !but.contains(&c) { ' ' } else { c }).collect()
}

/// What lines for people are made with.
const LAYOUT: &[char] = &['\n', '\t'];

/// One line, or several, on standard output, for people. A closed pipe is an error like any other.
pub fn line(text: &str) -> anyhow::Result<()> {
    put(&plain(text, LAYOUT))
}

fn put(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// One line on standard error, for people.
pub fn note(text: &str) {
    // Nobody reads standard error: then there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "{}", plain(text, LAYOUT));
}

/// Why a command failed.
pub fn complain(text: &str) {
    note(&format!("pitchside: {text}"));
}

/// Logs to standard error, at the level of `PITCHSIDE_LOG` (default: warnings, and our own information).
pub fn start_log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PITCHSIDE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,pitchside=info,gatewayd=info"));
    // A second start in one process (tests) keeps the first.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = log.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_steers_no_terminal() {
        let theirs = "a\u{1b}[2J\u{202e}b\r\tc\nd";
        assert_eq!(plain(theirs, LAYOUT), "a [2J b \tc\nd");
        assert_eq!(plain(theirs, &[]), "a [2J b  c d");
    }
}
