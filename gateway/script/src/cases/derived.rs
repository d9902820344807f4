//! The cases of derived streams.
//!
//! ```text
//! step = times [ who ] input "->" [ "nothing" / made *( "," made ) ]    the left side as in the cases of rules
//! made = quantity number unit *flag                                     to as many decimals as are written
//!      / "gap" [ reason ]
//! ```
//! What is expected is what comes of the line's last reading.

use std::fmt;

use pitchside_model::{Decimal, GapReason, Quality, Quantity};

use super::rule::{Came, RuleCase, parse_with, reason, run_with};
use super::{Line, Report, Token, quality, quantity, unit, value};
use crate::problem::Problem;

/// What a stream makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Made {
    /// Nothing: only written, never made.
    Nothing,
    /// A reading, in its quantity's unit, with its flags.
    Reading(Quantity, Decimal, Quality),
    /// A gap; in a case the reason need not be given.
    Gap(Option<GapReason>),
}

impl Came for Made {
    fn meets(&self, got: &Self) -> bool {
        match (self, got) {
            (Self::Gap(None), Self::Gap(_)) => true,
            (Self::Reading(quantity, wanted, flags), Self::Reading(of, value, got)) => {
                let scale = 10f64.powi(i32::from(-wanted.exponent));
                let rounded = (value.to_f64() * scale).round() == (wanted.to_f64() * scale).round();
                (quantity, flags) == (of, got) && rounded
            }
            _ => self == got,
        }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Reading(quantity, value, flags) => {
                write!(f, "{quantity} {value} {}", quantity.unit())?;
                let flags = flags.iter_names().map(|(name, _)| name.to_ascii_lowercase());
                flags.into_iter().try_for_each(|flag| write!(f, " {flag}"))
            }
            Self::Gap(None) => f.write_str("gap"),
            Self::Gap(Some(reason)) => write!(f, "gap {}", reason.name()),
        }
    }
}

/// Reads the cases of a derived stream.
pub fn parse_derived_cases(file: &str, source: &str) -> Result<Vec<RuleCase<Made>>, Vec<Problem>> {
    let mut cases = parse_with(file, source, made)?;
    let mut problems = Vec::new();
    for step in cases.iter_mut().flat_map(|case| &mut case.steps) {
        if step.expected.len() > 1 && step.expected.contains(&Made::Nothing) {
            problems.push(Problem::at(file, (step.line, 1), "write `nothing` alone"));
        }
        step.expected.retain(|made| *made != Made::Nothing);
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

/// Runs cases. `run` gets a case and answers, for each of its steps, what came of the last reading; or why it could not.
pub fn run_derived_cases(
    of: &str,
    file: &str,
    cases: &[RuleCase<Made>],
    run: impl FnMut(&RuleCase<Made>) -> Result<Vec<Vec<Made>>, String>,
) -> Report {
    run_with(of, file, cases, run)
}

fn made(line: &Line<'_>, group: &[Token<'_>], end: Token<'_>) -> Result<Made, Problem> {
    let mut words = group.iter().copied();
    let first = words.next().unwrap_or(end);
    let mut next = |what: &str| words.next().ok_or_else(|| line.problem(end, format!("{what} is missing")));
    match first.text {
        "nothing" if group.len() == 1 => return Ok(Made::Nothing),
        "gap" if group.len() == 1 => return Ok(Made::Gap(None)),
        "gap" if group.len() == 2 => return Ok(Made::Gap(Some(reason(line, next("a reason")?)?))),
        "nothing" | "gap" => return Err(line.problem(first, "write `nothing`, `gap` or `gap REASON`")),
        _ => {}
    }
    let of = quantity(line, first)?;
    let number = value(line, next("a value")?)?;
    let in_unit = next("a unit")?;
    if unit(line, in_unit, of)? != of.unit() {
        return Err(line.problem(in_unit, format!("{of} is made in {}", of.unit())));
    }
    let mut flags = Quality::empty();
    for word in words {
        flags |= quality(word.text).ok_or_else(|| {
            let known = ["implausible", "late", "no_clock", "poor_contact"];
            line.problem(word, format!("`{}` is no flag", word.text)).suggest(word.text, known)
        })?;
    }
    Ok(Made::Reading(of, number, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CASES: &str = "case hot\n  +0s relative_humidity 60 % -> nothing\n  +1s ambient_temperature 35 Cel -> heat_index 45.1 Cel late\n\
                         case gap\n  +0s ambient_temperature gap silent -> gap, gap silent\n  +1s ambient_temperature 35 Cel ->\n";

    #[test]
    fn what_a_stream_makes_reads_and_is_compared_to_the_decimals_written() {
        let cases = parse_derived_cases("c", CASES).unwrap();
        let expected: Vec<&[Made]> = cases.iter().flat_map(|c| &c.steps).map(|s| s.expected.as_slice()).collect();
        let value = |text: &str| Decimal::parse(text).unwrap();
        let hot = Made::Reading(Quantity::HEAT_INDEX, value("45.1"), Quality::LATE);
        let gaps = [Made::Gap(None), Made::Gap(Some(GapReason::Silent))];
        assert_eq!(expected, [&[][..], std::slice::from_ref(&hot), &gaps, &[]]);
        assert_eq!(hot.to_string(), "heat_index 45.1 Cel late");
        let got = |text: &str, flags| Made::Reading(Quantity::HEAT_INDEX, value(text), flags);
        assert!(hot.meets(&got("45.0812", Quality::LATE)) && !hot.meets(&got("45.2", Quality::LATE)));
        assert!(!hot.meets(&got("45.1", Quality::empty())) && gaps[0].meets(&gaps[1]) && !gaps[1].meets(&gaps[0]));
        let good =
            run_derived_cases("heat", "c", &cases, |case| Ok(case.steps.iter().map(|s| s.expected.clone()).collect()));
        assert!(good.cases.len() == 2 && good.cases.iter().all(|case| case.failures.is_empty()), "{good:?}");
        let none = run_derived_cases("heat", "c", &cases, |case| Ok(case.steps.iter().map(|_| Vec::new()).collect()));
        assert!(none.cases.iter().all(|case| case.failures.len() == 1), "{none:?}");
    }

    #[test]
    fn what_is_wrong_with_an_outcome_is_named_with_its_place() {
        let step = |outcome: &str| format!("case a\n  +0s heart_rate 72 /min -> {outcome}\n");
        for (outcome, told) in [
            ("heat_indx 45 Cel", "c:2:29: `heat_indx` is not a quantity (did you mean `heat_index`?)"),
            ("heat_index 45 K", "heat_index is made in Cel"),
            ("heat_index 45", "a unit is missing"),
            ("heat_index 45 Cel lat", "`lat` is no flag (did you mean `late`?)"),
            ("gap sometimes", "`sometimes` is no reason for a gap"),
            ("nothing, gap", "write `nothing` alone"),
        ] {
            let found = parse_derived_cases("c", &step(outcome)).unwrap_err()[0].to_string();
            assert!(found.contains(told), "{outcome}: {found}");
        }
    }
}
