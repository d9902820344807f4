//! A step in an alert's life as deterministic CBOR: a map with keys 1 to 13; a cleared alert ends with key 4, a raised one
//! leaves out key 8 if it is nobody's and key 11 if there is no value.

use minicbor::Decoder;
use minicbor::decode::Error;
use pitchside_model::{Alert, AlertEvent, AlertId, Decimal, Priority, RuleName, Timestamp};

use super::reading::{athlete, device, quantity, unit};
use crate::cbor::{Writer, array_of, fixed, key};

pub(super) const KIND: u64 = 2;
const RAISED: u64 = 0;
const CLEARED: u64 = 2;

/// An alert that was raised or cleared.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRecord(pub AlertEvent);

impl AlertRecord {
    /// Which alert.
    pub const fn id(&self) -> AlertId {
        match &self.0 {
            AlertEvent::Raised(alert) => alert.id,
            AlertEvent::Cleared { id, .. } => *id,
        }
    }

    /// Device time of the reading that raised or cleared it.
    pub const fn event_time(&self) -> Timestamp {
        match &self.0 {
            AlertEvent::Raised(alert) => alert.event_time,
            AlertEvent::Cleared { event_time, .. } => *event_time,
        }
    }

    pub(super) fn write(&self, out: &mut Writer) {
        let head = |out: &mut Writer, pairs: u64, state: u64| {
            out.map(pairs).uint(1).uint(KIND).uint(2).uint(state).uint(3).bytes(&self.id().0);
            out.uint(4).int(self.event_time().0);
        };
        let alert = match &self.0 {
            AlertEvent::Cleared { .. } => return head(out, 4, CLEARED),
            AlertEvent::Raised(alert) => alert,
        };
        let optional = u64::from(alert.athlete.is_some()) + u64::from(alert.value.is_some());
        head(out, 11 + optional, RAISED);
        out.uint(5).text(alert.rule.as_str()).uint(6).text(&alert.rule_version);
        out.uint(7).uint(alert.priority as u64);
        if let Some(athlete) = &alert.athlete {
            out.uint(8).text(athlete.as_str());
        }
        out.uint(9).text(alert.device.as_str()).uint(10).uint(u64::from(alert.quantity.code()));
        if let Some(value) = &alert.value {
            out.uint(11).array(2).int(value.mantissa).int(i64::from(value.exponent));
        }
        out.uint(12).uint(u64::from(alert.unit.code())).uint(13).text(&alert.message);
    }
}

/// The pairs after the kind.
pub(super) fn read(input: &mut Decoder<'_>, pairs: u64) -> Result<AlertRecord, Error> {
    key(input, 2)?;
    let state = input.u64()?;
    key(input, 3)?;
    let id = AlertId(fixed(input)?);
    key(input, 4)?;
    let event_time = Timestamp(input.i64()?);
    match (state, pairs) {
        (CLEARED, 4) => Ok(AlertRecord(AlertEvent::Cleared { id, event_time })),
        (RAISED, 11..=13) => {
            let alert = raised(input, pairs, id, event_time)?;
            Ok(AlertRecord(AlertEvent::Raised(alert)))
        }
        _ => Err(Error::message("unknown alert state")),
    }
}

fn raised(input: &mut Decoder<'_>, pairs: u64, id: AlertId, event_time: Timestamp) -> Result<Alert, Error> {
    key(input, 5)?;
    let rule = RuleName::parse(input.str()?).map_err(|_| Error::message("not a rule name"))?;
    key(input, 6)?;
    let rule_version = input.str()?.to_owned();
    key(input, 7)?;
    let priority = match input.u8()? {
        0 => Priority::Low,
        1 => Priority::Medium,
        2 => Priority::High,
        _ => return Err(Error::message("unknown priority")),
    };
    let mut next = input.u64()?;
    let mut optional = pairs - 11;
    let athlete = if next == 8 && optional > 0 {
        let athlete = athlete(input)?;
        optional -= 1;
        next = input.u64()?;
        Some(athlete)
    } else {
        None
    };
    if next != 9 {
        return Err(Error::message("wrong map key"));
    }
    let device = device(input)?;
    key(input, 10)?;
    let quantity = quantity(input)?;
    let value = if optional > 0 {
        key(input, 11)?;
        array_of(input, 2)?;
        Some(Decimal { mantissa: input.i64()?, exponent: input.i8()? })
    } else {
        None
    };
    key(input, 12)?;
    let unit = unit(input)?;
    key(input, 13)?;
    let message = input.str()?.to_owned();
    Ok(Alert { id, rule, rule_version, priority, athlete, device, quantity, value, unit, event_time, message })
}
