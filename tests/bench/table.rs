//! The table: what was measured, in what unit, against what was aimed at, and beside which peer.

use std::fmt;

/// One line.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Each run's figure.
    pub figures: Vec<f64>,
    /// Their unit.
    pub unit: &'static str,
    /// The aim, and whether more is better.
    pub aim: Option<(f64, bool)>,
    /// A peer or limit measured in the same run, and its name.
    pub beside: Option<(f64, &'static str)>,
}

impl Row {
    /// A line without aim or peer.
    pub fn new(what: impl Into<String>, unit: &'static str, figures: Vec<f64>) -> Self {
        Self { what: what.into(), figures, unit, aim: None, beside: None }
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

    /// Measured beside this.
    pub fn beside(mut self, figure: f64, name: &'static str) -> Self {
        self.beside = Some((figure, name));
        self
    }

    /// The median of the runs.
    pub fn median(&self) -> f64 {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = self.figures.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        write!(f, "| {:<44} | {:>12} | {:>25} | {:<14} |", self.what, short(self.median()), format!("{} .. {}", short(low), short(high)), self.unit)?;
        match self.aim {
            Some((aim, more)) => {
                let met = if more { self.median() >= aim } else { self.median() <= aim };
                write!(f, " {} {:<9} {:<6} |", if more { ">=" } else { "<=" }, short(aim), if met { "met" } else { "missed" })?;
            }
            None => write!(f, " {:<19} |", "")?,
        }
        match self.beside {
            Some((figure, name)) => write!(f, " {:.2} x {name} ({})", self.median() / figure, short(figure)),
            None => Ok(()),
        }
    }
}

fn short(figure: f64) -> String {
    if figure >= 1_000_000.0 {
        format!("{:.2} M", figure / 1_000_000.0)
    } else if figure >= 10_000.0 {
        format!("{:.0} k", figure / 1_000.0)
    } else if figure >= 100.0 {
        format!("{figure:.0}")
    } else {
        format!("{figure:.2}")
    }
}
