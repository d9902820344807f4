//! What `[delivery]` may hold: spans of time, escalation by priority, quiet hours, a zone, routes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use figment::value::{Dict, Value};
use jiff::tz::TimeZone;
use pitchside_model::{PluginName, Priority};
use serde::{Serialize, Serializer};

use crate::shape::{Shape, found, text};

/// The most routes.
const ROUTES_MAX: usize = 32;
/// The most levels of escalation, as the store counts them.
pub(crate) const LEVELS_MAX: u8 = 9;
/// The longest span.
const SPAN_MAX: Span = Span(7 * 86_400);

/// A span of whole seconds, written `90s`, `5min`, `2h` or `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u32);

impl Span {
    const UNITS: [(&str, u32); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

    /// Reads digits and one unit.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let (_, factor) = Self::UNITS.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u32>().ok()?.checked_mul(*factor).map(Self)
    }

    /// The same, for whoever waits.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = Self::UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.unwrap_or(&("s", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A span within bounds, or "off".
pub(crate) struct Period {
    pub(crate) min: Span,
    pub(crate) max: Span,
}

impl Shape for Period {
    type Out = Option<Span>;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<Option<Span>, String> {
        let (min, max) = (self.min, self.max);
        let wanted = format!("must be a span from {min} to {max}, such as \"5min\", or \"off\", not {}", found(value));
        match text(value, "a span of time").map_err(|_| wanted.clone())?.as_str() {
            "off" => Ok(None),
            written => Span::parse(written).filter(|span| (min..=max).contains(span)).map(Some).ok_or(wanted),
        }
    }
}

/// Written as it is read.
pub(crate) fn or_off<S: Serializer>(span: &Option<Span>, s: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => span.serialize(s),
        None => s.serialize_str("off"),
    }
}

/// A span, or "off".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Every(pub Option<Span>);

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        or_off(&self.0, s)
    }
}

/// As [`Period`], for a setting.
pub(crate) struct EveryOf(pub(crate) Period);

impl Shape for EveryOf {
    type Out = Every;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<Every, String> {
        self.0.parse(value, base).map(Every)
    }
}

/// After how long an alert of each priority escalates that nobody has acknowledged; none: it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EscalateAfter {
    /// High.
    #[serde(serialize_with = "or_off")]
    pub high: Option<Span>,
    /// Medium.
    #[serde(serialize_with = "or_off")]
    pub medium: Option<Span>,
    /// Low.
    #[serde(serialize_with = "or_off")]
    pub low: Option<Span>,
}

impl Default for EscalateAfter {
    fn default() -> Self {
        Self { high: Some(Span(300)), medium: Some(Span(900)), low: None }
    }
}

impl EscalateAfter {
    /// Of one priority.
    pub const fn of(&self, priority: Priority) -> Option<Span> {
        match priority {
            Priority::High => self.high,
            Priority::Medium => self.medium,
            Priority::Low => self.low,
        }
    }
}

/// A table of spans by priority; what it does not name stays as it is by default.
pub(crate) struct Waits;

impl Shape for Waits {
    type Out = EscalateAfter;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<EscalateAfter, String> {
        let table = table(value, "{ high = \"5min\", medium = \"off\" }")?;
        let mut after = EscalateAfter::default();
        for (name, value) in table {
            let span = Period { min: Span(10), max: SPAN_MAX };
            let span = span.parse(value, base).map_err(|error| format!("{name} {error}"))?;
            match name.as_str() {
                "high" => after.high = span,
                "medium" => after.medium = span,
                "low" => after.low = span,
                other => return Err(format!("names no priority {other:?}: there are high, medium and low")),
            }
        }
        Ok(after)
    }
}

fn table<'a>(value: &'a Value, such_as: &str) -> Result<&'a Dict, String> {
    value.as_dict().ok_or_else(|| format!("must be a table such as {such_as}, not {}", found(value)))
}

/// Hours of every day, by the clock on the wall: from one minute of the day to another, past midnight if that is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// Minutes after midnight when they begin.
    pub from: u16,
    /// When they end; not the same.
    pub to: u16,
}

impl QuietHours {
    /// Reads `22:00-07:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| -> Option<u16> {
            let (hour, minute) = text.split_once(':')?;
            let two = |text: &str, below: u16| {
                let plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
                text.parse::<u16>().ok().filter(|number| plain && *number < below)
            };
            Some(two(hour, 24)? * 60 + two(minute, 60)?)
        };
        let (from, to) = text.split_once('-')?;
        let hours = Self { from: minute(from)?, to: minute(to)? };
        (hours.from != hours.to).then_some(hours)
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Serialize for QuietHours {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// A name of the IANA time zone database.
pub(crate) struct Zone;

impl Shape for Zone {
    type Out = String;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<String, String> {
        let name = text(value, "a time zone")?;
        let known = TimeZone::get(&name).ok().and_then(|zone| zone.iana_name().map(str::to_owned));
        known.ok_or_else(|| {
            format!("must be a name of the IANA time zone database, such as \"Europe/Berlin\", not {}", found(value))
        })
    }
}

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// An athlete.
    Physiological,
    /// A sensor, or the box.
    Technical,
}

/// What one output hears of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Alerts of at least this priority.
    pub min_priority: Priority,
    /// Alerts about these; none is all.
    pub categories: Vec<Category>,
    /// Only alerts that have escalated to this level; 0: all.
    pub from_level: u8,
    /// When alerts below high priority are held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<QuietHours>,
}

impl Default for Route {
    fn default() -> Self {
        Self { min_priority: Priority::Low, categories: Vec::new(), from_level: 0, quiet: None }
    }
}

impl Route {
    fn parse(value: &Value) -> Result<Self, String> {
        let mut route = Self::default();
        for (name, value) in table(value, "[delivery.routes.NAME]")? {
            let said = |wanted: &str| format!("{name} must be {wanted}, not {}", found(value));
            match name.as_str() {
                "min_priority" => {
                    route.min_priority = match text(value, "").as_deref() {
                        Ok("low") => Priority::Low,
                        Ok("medium") => Priority::Medium,
                        Ok("high") => Priority::High,
                        _ => return Err(said("\"low\", \"medium\" or \"high\"")),
                    }
                }
                "categories" => {
                    let wanted = "a list of \"physiological\" and \"technical\"";
                    let Value::Array(_, values) = value else { return Err(said(wanted)) };
                    for value in values {
                        let category = match text(value, "").as_deref() {
                            Ok("physiological") => Category::Physiological,
                            Ok("technical") => Category::Technical,
                            _ => return Err(said(wanted)),
                        };
                        if !route.categories.contains(&category) {
                            route.categories.push(category);
                        }
                    }
                }
                "from_level" => {
                    let level = crate::shape::Whole { min: 0, max: LEVELS_MAX };
                    route.from_level = level.parse(value, None).map_err(|error| format!("{name} {error}"))?;
                }
                "quiet" => {
                    let hours = text(value, "").ok().and_then(|text| QuietHours::parse(&text));
                    route.quiet = Some(hours.ok_or_else(|| said("two times of the day such as \"22:00-07:00\""))?);
                }
                other => {
                    return Err(format!("has no {other:?}: there are min_priority, categories, from_level and quiet"));
                }
            }
        }
        Ok(route)
    }
}

/// Routes by the name of their output.
pub(crate) struct Routes;

impl Shape for Routes {
    type Out = BTreeMap<PluginName, Route>;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<Self::Out, String> {
        let table = table(value, "[delivery.routes.NAME]")?;
        if table.len() > ROUTES_MAX {
            return Err(format!("must have at most {ROUTES_MAX} routes, not {}", table.len()));
        }
        let mut routes = BTreeMap::new();
        for (name, value) in table {
            let output =
                PluginName::parse(name).map_err(|error| format!("has {name:?}, which names no output: {error}"))?;
            routes.insert(output, Route::parse(value).map_err(|error| format!(".{name}: {error}"))?);
        }
        Ok(routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_hours_read_as_they_are_written() {
        for text in ["90s", "5min", "2h", "1d", "0s"] {
            assert_eq!(Span::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "5", "min", "5 min", "-5s", "5m", "99999999999s", "4294967295d"] {
            assert_eq!(Span::parse(bad), None, "{bad}");
        }
        for text in ["22:00-07:00", "00:00-23:59"] {
            assert_eq!(QuietHours::parse(text).unwrap().to_string(), text);
        }
        for bad in
            ["", "22:00", "22:00-22:00", "24:00-07:00", "2:00-07:00", "22:60-07:00", "22:00-07:00-08:00", "+2:00-07:00"]
        {
            assert_eq!(QuietHours::parse(bad), None, "{bad}");
        }
    }
}
