//! `rule.toml`.

use std::fmt;

use pitchside_model::{Assurance, Priority, Quality, Quantity, RuleName};
use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::reader::{self, Reader};
use super::{Param, Plain, params, quantities, summary, variable, version};
use crate::problem::Problem;
use crate::span;

/// Whose readings share one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleScope {
    /// All devices of one athlete together; a device nobody wears stands for itself.
    Athlete,
    /// Every device by itself.
    Device,
}

/// What an alert of a rule is about, so that a silent strap is never read as a sick athlete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleCategory {
    /// Athletes, or the conditions they train in: somebody should assess.
    Physiological,
    /// Sensors and their links: somebody should look at the equipment.
    Technical,
}

impl fmt::Display for RuleCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Physiological => "physiological",
            Self::Technical => "technical",
        })
    }
}

/// What a rule declares about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleManifest {
    /// Its name, as its folder is called.
    pub name: RuleName,
    /// Three numbers.
    pub version: String,
    /// One line for people.
    pub summary: String,
    /// How soon somebody should look.
    pub priority: Priority,
    /// What its alerts are about.
    pub category: RuleCategory,
    /// What it wants to see.
    pub inputs: Vec<Quantity>,
    /// Numbers the admin may choose.
    pub params: Vec<(String, Param)>,
    /// Fields that survive from call to call, with their first values.
    pub state: Vec<(String, Plain)>,
    /// Whose readings share one state.
    pub scope: RuleScope,
    /// The weakest assurance it listens to.
    pub assurance: Assurance,
    /// Flags that do not keep a reading from the rule.
    pub accept: Quality,
    /// Whether the script is asked about gaps, too. They always end windows and holds.
    pub gaps: bool,
    /// A hole in the readings longer than this is a gap (microseconds).
    pub gap_after: i64,
    /// How long the condition must hold before the alert is raised (microseconds).
    pub hold: i64,
    /// How long it must not hold before the alert is cleared (microseconds).
    pub clear_after: i64,
    /// How long after clearing nothing is raised (microseconds).
    pub cool_down: i64,
    /// Whether a raised alert stays until somebody resets the rule.
    pub latch: bool,
    /// The longest an alert of this rule may wait for somebody to acknowledge it before it escalates (microseconds); none: as the
    /// settings say.
    pub escalate: Option<i64>,
}

/// Flags that are always worth a look unless the manifest says otherwise: late readings are true, only old.
pub(super) const ACCEPT_DEFAULT: Quality = Quality::LATE.union(Quality::NO_CLOCK);
pub(super) const GAP_AFTER_DEFAULT: &str = "2min";
/// Nobody acknowledges sooner (microseconds).
const ESCALATE_MIN: i64 = 10_000_000;

impl RuleManifest {
    /// Whether what it knows of a device is about whoever wears that, and not about the device itself.
    pub fn is_about_wearer(&self) -> bool {
        self.scope == RuleScope::Device && self.category == RuleCategory::Physiological
    }

    /// Reads a manifest. `file` names it in problems.
    pub fn parse(file: &str, source: &str) -> Result<Self, Vec<Problem>> {
        let (mut reader, mut table) = Reader::open(file, source);
        if !reader.problems.is_empty() {
            return Err(reader.into_problems());
        }
        let r = &mut reader;
        let name = r.required(&mut table, "name", |v| RuleName::parse(&reader::text(v)?).map_err(|e| e.to_string()));
        let version = r.required(&mut table, "version", version);
        let summary = r.required(&mut table, "summary", summary);
        let priority = r.required(&mut table, "priority", |v| match reader::text(v)?.as_str() {
            "low" => Ok(Priority::Low),
            "medium" => Ok(Priority::Medium),
            "high" => Ok(Priority::High),
            _ => Err("must be \"low\", \"medium\" or \"high\"".to_owned()),
        });
        let category = r.optional(&mut table, "category", |v| match reader::text(v)?.as_str() {
            "physiological" => Ok(RuleCategory::Physiological),
            "technical" => Ok(RuleCategory::Technical),
            _ => Err("must be \"physiological\" or \"technical\"".to_owned()),
        });
        let inputs = r.required(&mut table, "inputs", quantities);
        let scope = r.optional(&mut table, "scope", |v| match reader::text(v)?.as_str() {
            "athlete" => Ok(RuleScope::Athlete),
            "device" => Ok(RuleScope::Device),
            _ => Err("must be \"athlete\" or \"device\"".to_owned()),
        });
        let assurance = r.optional(&mut table, "assurance", |v| {
            let text = reader::text(v)?;
            (0..=4)
                .filter_map(Assurance::from_code)
                .find(|a| a.to_string() == text)
                .ok_or_else(|| "must be \"wired\", \"password\", \"bonded\", \"psk\" or \"noise\"".to_owned())
        });
        let accept = r.optional(&mut table, "accept", accept);
        let gaps = r.optional(&mut table, "gaps", flag);
        let gap_after = r.optional(&mut table, "gap_after", duration);
        let hold = r.optional(&mut table, "hold", duration);
        let clear_after = r.optional(&mut table, "clear_after", duration);
        let cool_down = r.optional(&mut table, "cool_down", duration);
        let latch = r.optional(&mut table, "latch", flag);
        let escalate = r.optional(&mut table, "escalate", |v| {
            duration(v).and_then(|span| {
                if span < ESCALATE_MIN { Err("must be at least \"10s\"".to_owned()) } else { Ok(span) }
            })
        });
        let params = params(r, &mut table);
        let state = state(r, &mut table, &params);
        r.finish(table);
        match (name, version, summary, priority, inputs) {
            (Some(name), Some(version), Some(summary), Some(priority), Some(inputs)) if r.problems.is_empty() => {
                Ok(Self {
                    name,
                    version,
                    summary,
                    priority,
                    category: category.unwrap_or(RuleCategory::Physiological),
                    inputs,
                    params,
                    state,
                    scope: scope.unwrap_or(RuleScope::Athlete),
                    assurance: assurance.unwrap_or(Assurance::Wired),
                    accept: accept.unwrap_or(ACCEPT_DEFAULT),
                    gaps: gaps.unwrap_or(false),
                    gap_after: gap_after.or_else(|| span::parse(GAP_AFTER_DEFAULT)).unwrap_or(i64::MAX),
                    hold: hold.unwrap_or(0),
                    clear_after: clear_after.unwrap_or(0),
                    cool_down: cool_down.unwrap_or(0),
                    latch: latch.unwrap_or(false),
                    escalate,
                })
            }
            _ => Err(reader.into_problems()),
        }
    }
}

fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, not {}", value.type_str()))
}

pub(super) fn duration(value: &DeValue<'_>) -> Result<i64, String> {
    let text = reader::text(value)?;
    span::parse(&text)
        .filter(|micros| *micros <= 86_400_000_000)
        .ok_or_else(|| format!("must be a span of at most a day, e.g. \"90s\" or \"5min\", not \"{text}\""))
}

pub(super) fn accept(value: &DeValue<'_>) -> Result<Quality, String> {
    reader::list(value)?.iter().try_fold(Quality::empty(), |all, name| {
        // Readings from the future are never evaluated: they would hold up those of the present.
        let flag = crate::cases::quality(name).filter(|flag| *flag != Quality::FUTURE);
        flag.map(|flag| all | flag).ok_or_else(|| {
            format!("names no flag `{name}` a rule may accept; there are implausible, late, no_clock, poor_contact")
        })
    })
}

pub(super) fn state<'a>(
    r: &mut Reader<'a>,
    table: &mut super::Table<'a>,
    params: &[(String, Param)],
) -> Vec<(String, Plain)> {
    fields(r, table, params, (plain, "a number, a bool or a short text"))
}

/// A plain first value.
pub(super) fn plain(value: &DeValue<'_>) -> Option<Plain> {
    match value {
        DeValue::Boolean(b) => Some(Plain::Bool(*b)),
        DeValue::Integer(n) => n.as_str().parse().ok().map(Plain::Integer),
        DeValue::Float(n) => n.as_str().parse().ok().filter(|n: &f64| n.is_finite()).map(Plain::Float),
        DeValue::String(text) if text.len() <= 256 => Some(Plain::Text(text.to_string())),
        _ => None,
    }
}

/// The fields of `[state]`, each with its first value; `may` says which values those are, for the reader and for people.
pub(super) fn fields<'a, T>(
    r: &mut Reader<'a>,
    table: &mut super::Table<'a>,
    params: &[(String, Param)],
    (first, may): (impl Fn(&DeValue<'_>) -> Option<T>, &str),
) -> Vec<(String, T)> {
    let mut fields: Vec<(String, T)> = Vec::new();
    for (name, at, value) in r.values(table, "state") {
        variable(r, &at, &name, fields.len());
        if params.iter().any(|(param, _)| *param == name) {
            r.problem(at, format!("`{name}` is a param and a state field"));
            continue;
        }
        match first(value.get_ref()) {
            Some(first) => fields.push((name, first)),
            None => r.problem(value.span(), format!("`state.{name}` must be {may}")),
        }
    }
    fields
}
