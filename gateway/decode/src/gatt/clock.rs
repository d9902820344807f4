//! What a device's clock keeps: UTC, if it was set or seen to; else the time of a zone, as the device's display shows it.

use std::fmt;

use pitchside_model::time::MICROS_PER_SECOND;
use pitchside_model::{Quality, Timestamp};

use super::fields::Fields;
use super::{Context, date};
use crate::error::GattFault;
use crate::tolerance::{Judge, Moment};

/// Date Time and Current Time: what a clock shows, when it is asked or has just been set.
pub const DATE_TIME: u16 = 0x2a08;
/// As [`DATE_TIME`].
pub const CURRENT_TIME: u16 = 0x2a2b;

/// Clocks that show the same to within so many microseconds are one.
const SAME_US: i64 = 120 * MICROS_PER_SECOND;

/// The zone whose time the clocks of sensors keep that nobody can set.
pub trait Zone: fmt::Debug + Send + Sync {
    /// How many seconds such a clock is ahead of UTC while it shows `shown` (as if that were UTC): at the first and at the second
    /// coming of a time that comes twice, else twice the same. Of a time that a change skips: as before the change, since a
    /// clock that shows it was not changed.
    fn ahead_s(&self, shown: Timestamp) -> [i32; 2];
}

/// UTC.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utc;

impl Zone for Utc {
    fn ahead_s(&self, _: Timestamp) -> [i32; 2] {
        [0; 2]
    }
}

/// When it was that a clock of the context's zone showed `shown`. Of a time that comes twice the second coming, unless that is
/// still to come. None if the tolerances do not believe it: a clock that was never set counts from anywhere, and what is measured
/// by it is as good as any.
pub fn instant(shown: Timestamp, context: &Context<'_>) -> Option<Timestamp> {
    let judge = Judge::new(context.now, context.tolerances);
    let [first, second] =
        context.zone.ahead_s(shown).map(|ahead_s| shown.plus_micros(-i64::from(ahead_s) * MICROS_PER_SECOND));
    let has_come = judge.time(Moment::Absolute(second)).is_ok_and(|(_, quality)| !quality.contains(Quality::FUTURE));
    let time = if has_come { second } else { first };
    judge.time(Moment::Absolute(time)).is_ok().then_some(time)
}

/// Whether a clock that shows this keeps UTC.
pub fn shows_utc(characteristic: u16, bytes: &[u8], context: &Context<'_>) -> Result<bool, GattFault> {
    let mut fields = Fields::new(bytes);
    let shown = date::read(fields.octets("the date and time")?)?;
    if characteristic == CURRENT_TIME {
        let weekday = fields.u8("the day of the week")?;
        if weekday > 7 {
            return Err(GattFault::Reserved("the day of the week", u32::from(weekday)));
        }
        fields.u8("the fractions of a second")?;
        fields.u8("the reason for adjustment")?;
    }
    fields.end(false)?;
    Ok(shown.is_some_and(|shown| (-SAME_US..=SAME_US).contains(&shown.micros_since(context.now))))
}
