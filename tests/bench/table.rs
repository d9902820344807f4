//! The table: what was measured, in what unit, against what was aimed at, and beside which peers.

use std::fmt;

/// One line.
pub struct Row {
    /// What was measured.
    what: String,
    /// Each run's figure.
    figures: Vec<f64>,
    /// Their unit.
    unit: &'static str,
    /// The aim, and whether more is better.
    aim: Option<(f64, bool)>,
    /// Peers or limits measured in the same run, with their names.
    beside: Vec<(f64, &'static str)>,
}

impl Row {
    /// A line without aim or peer.
    pub fn new(what: impl Into<String>, unit: &'static str, figures: Vec<f64>) -> Self {
        Self { what: what.into(), figures, unit, aim: None, beside: Vec::new() }
    }

    /// At least this much is wanted.
    pub fn at_least(mut self, aim: f64) -> Self {
        self.aim = Some((aim, true));
        self
    }

    /// At most this much is wanted.
    pub fn at_most(mut self, aim: f64) -> Self {
        self.aim = Some((aim, false));
        self
    }

    /// Measured beside this, if that was measured.
    pub fn beside(mut self, figure: Option<f64>, name: &'static str) -> Self {
        self.beside.extend(figure.map(|figure| (figure, name)));
        self
    }

    /// The median of the runs.
    pub fn median(&self) -> f64 {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The table's first two lines.
    pub fn head() -> String {
        let line = |what: &str, fill: &str| {
            format!("| {what:<58} | {:>9} | {:>19} | {:<12} | {:<18} |", fill, fill, fill, fill)
        };
        let titles = format!(
            "| {:<58} | {:>9} | {:>19} | {:<12} | {:<18} | beside",
            "what", "median", "lowest .. highest", "unit", "aim"
        );
        format!("{titles}\n{} ---", line("---", "---"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.figures.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = if self.figures.len() > 1 { format!("{} .. {}", short(low), short(high)) } else { String::new() };
        write!(f, "| {:<58} | {:>9} | {range:>19} | {:<12} |", self.what, short(self.median()), self.unit)?;
        let aim = self.aim.map_or_else(String::new, |(aim, more)| {
            let met = if more { self.median() >= aim } else { self.median() <= aim };
            format!("{} {} {}", if more { ">=" } else { "<=" }, short(aim), if met { "met" } else { "missed" })
        });
        write!(f, " {aim:<18} |")?;
        for (i, (figure, name)) in self.beside.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma} {:.2} x {name}", self.median() / figure)?;
        }
        Ok(())
    }
}

fn short(figure: f64) -> String {
    match figure {
        _ if figure >= 1_000_000.0 => format!("{:.2} M", figure / 1_000_000.0),
        _ if figure >= 10_000.0 => format!("{:.0} k", figure / 1_000.0),
        _ if figure >= 100.0 => format!("{figure:.0}"),
        _ => format!("{figure:.2}"),
    }
}
