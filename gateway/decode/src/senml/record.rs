//! A record as written, the base values in force, and the record as resolved (RFC 8428, 4).

use std::borrow::Cow;

use pitchside_model::Timestamp;

use crate::error::{Fault, Text};
use crate::number::Number;
use crate::tolerance::Moment;

/// Times below this many seconds are relative to now (RFC 8428, 4.5.3).
const RELATIVE_BELOW_NS: i64 = (1 << 28) * 1_000_000_000;
/// The version a pack has if it names none.
const VERSION_DEFAULT: u64 = 10;
/// The default and the feature "secondary units" (RFC 9100, 4): 10 + 2^4.
const VERSION_SECONDARY_UNITS: u64 = 26;

/// Where records come from: a pack, read once from front to back.
pub trait Source<'a> {
    /// The next record, or none at the end of the pack (all bytes used).
    fn next_record(&mut self) -> Result<Option<Record<'a>>, Fault>;
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Written<'a> {
    /// `v`
    Number(Number),
    /// `vb`
    Boolean(bool),
    /// `vs`
    Text(Cow<'a, str>),
    /// `vd`: the bytes in CBOR, their base64 text in JSON.
    Data(Cow<'a, [u8]>),
}

/// A record as written: only what stood in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record<'a> {
    /// `bver`
    pub version: Option<u64>,
    /// `bn`
    pub base_name: Option<Cow<'a, str>>,
    /// `bt`
    pub base_time: Option<Number>,
    /// `bu`
    pub base_unit: Option<Cow<'a, str>>,
    /// `bv`
    pub base_value: Option<Number>,
    /// `bs`
    pub base_sum: Option<Number>,
    /// `n`
    pub name: Option<Cow<'a, str>>,
    /// `u`
    pub unit: Option<Cow<'a, str>>,
    /// `v`, `vb`, `vs` or `vd`
    pub value: Option<Written<'a>>,
    /// `s`
    pub sum: Option<Number>,
    /// `t`
    pub time: Option<Number>,
    /// `ut`
    pub update_time: Option<Number>,
}

impl<'a> Record<'a> {
    /// Sets the value; a record has one.
    pub(crate) fn set_value(&mut self, value: Written<'a>) -> Result<(), Fault> {
        if self.value.replace(value).is_some() { Err(Fault::TwoValues) } else { Ok(()) }
    }

    fn only_base_fields(&self) -> bool {
        self.name.is_none()
            && self.unit.is_none()
            && self.value.is_none()
            && self.sum.is_none()
            && self.time.is_none()
            && self.update_time.is_none()
    }
}

/// Puts a field's value in its place; a label stands once in a record.
pub(crate) fn once<T>(place: &mut Option<T>, value: T, label: &'static str) -> Result<(), Fault> {
    if place.replace(value).is_some() { Err(Fault::DuplicateLabel(label)) } else { Ok(()) }
}

/// The base values in force.
#[derive(Debug, Clone, Default)]
pub struct Base<'a> {
    version: Option<u64>,
    name: Cow<'a, str>,
    time_ns: i64,
    unit: Option<Cow<'a, str>>,
    value: Option<Number>,
    sum: Option<Number>,
}

/// A record with the base values applied (RFC 8428, 4.6), but for a time relative to now.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved<'b, 'a> {
    /// First part of the name.
    pub base_name: &'b Cow<'a, str>,
    /// Second part of the name. Both together are not empty and have only permitted characters.
    pub name: Cow<'a, str>,
    /// The unit.
    pub unit: Option<Cow<'b, str>>,
    /// The value with the base value added; none if there is only a sum.
    pub value: Option<Written<'a>>,
    /// The sum with the base sum added.
    pub sum: Option<Number>,
    /// When.
    pub time: Moment,
    /// Seconds until the next reading at the latest.
    pub update_time: Option<Number>,
}

impl Resolved<'_, '_> {
    /// The whole name.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.base_name, self.name)
    }
}

impl<'a> Base<'a> {
    /// Takes over the record's base values and applies them to the rest of it. None if there is no rest.
    pub fn resolve(&mut self, record: Record<'a>) -> Result<Option<Resolved<'_, 'a>>, Fault> {
        self.check_version(record.version)?;
        let only_base = record.only_base_fields();
        if let Some(name) = record.base_name {
            self.name = name;
        }
        if let Some(time) = record.base_time {
            self.time_ns = time.nanoseconds().ok_or(Fault::TimeRange)?;
        }
        if record.base_unit.is_some() {
            self.unit = record.base_unit;
        }
        self.value = record.base_value.or(self.value);
        self.sum = record.base_sum.or(self.sum);
        if only_base {
            return Ok(None);
        }
        let name = record.name.unwrap_or_default();
        check_name(&self.name, &name)?;
        let value = match (record.value, self.value) {
            (Some(Written::Number(v)), Some(base)) => Some(Written::Number(v.plus(base).ok_or(Fault::Range)?)),
            (value, _) => value,
        };
        let sum = match (record.sum, self.sum) {
            (Some(sum), Some(base)) => Some(sum.plus(base).ok_or(Fault::Range)?),
            (sum, base) => sum.or(base),
        };
        if value.is_none() && sum.is_none() {
            return Err(Fault::NoValue);
        }
        Ok(Some(Resolved {
            base_name: &self.name,
            name,
            unit: record.unit.or_else(|| self.unit.as_deref().map(Cow::Borrowed)),
            value,
            sum,
            time: moment(self.time_ns, record.time)?,
            update_time: record.update_time,
        }))
    }

    fn check_version(&mut self, version: Option<u64>) -> Result<(), Fault> {
        if let Some(version) = version
            && (version == 0 || (version > VERSION_DEFAULT && version != VERSION_SECONDARY_UNITS))
        {
            return Err(Fault::Version(version));
        }
        let now = version.or(self.version).unwrap_or(VERSION_DEFAULT);
        match self.version.replace(now) {
            Some(before) if before != now => Err(Fault::VersionChanged),
            _ => Ok(()),
        }
    }
}

fn moment(base_ns: i64, time: Option<Number>) -> Result<Moment, Fault> {
    let time_ns = time.map_or(Some(0), Number::nanoseconds).ok_or(Fault::TimeRange)?;
    let sum_ns = base_ns.checked_add(time_ns).ok_or(Fault::TimeRange)?;
    // To the nearest microsecond: what a reading carries.
    let micros = sum_ns.div_euclid(1_000) + i64::from(sum_ns.rem_euclid(1_000) >= 500);
    Ok(if sum_ns < RELATIVE_BELOW_NS { Moment::Relative(micros) } else { Moment::Absolute(Timestamp(micros)) })
}

fn check_name(base: &str, name: &str) -> Result<(), Fault> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'.' | b'/' | b'_');
    match base.bytes().chain(name.bytes()).next() {
        None => Err(Fault::NoName),
        Some(first) if first.is_ascii_alphanumeric() && base.bytes().all(allowed) && name.bytes().all(allowed) => {
            Ok(())
        }
        Some(_) => Err(Fault::BadName(Text::from(format!("{base}{name}").as_str()))),
    }
}
