//! Streams that plugins derive: quantities made by a script, for rules to name as inputs like any other.
//!
//! A stream is evaluated as a rule is, by the same code: its inputs have windows and baselines, it pays the same budget, is
//! switched off for the same faults and lies in the same snapshot. It is asked after the native formulas and before the rules,
//! and only if some rule of the set names what it makes. What it answers is a reading of its quantity
//!
//! - for the same athlete, of the device that counts for its first input, which leads: while that was not heard, or has a gap,
//!   nothing is made;
//! - at the time of the reading it was asked about;
//! - with the weakest assurance of what it is made of, and its flags.
//!
//! A gap of an input is a gap of the stream. To rules its device is one of several: if a sensor sends the same quantity, the
//! one heard first counts until it has a gap.
//!
//! | file | holds |
//! | --- | --- |
//! | [`source`] | a plugin's texts, and which streams go with a set of rules |
//! | [`marks`] | assurance and flags, passed on |
//! | [`ends`] | what rules hear of a stream's end |
//! | [`rehearsal`] | a new version over history, beside the one that runs |

use pitchside_model::{Assurance, Decimal, DeviceId, Gap, GapReason, Quality, RuleName};
use pitchside_script::{Fault, FaultKind};
use rhai::Dynamic;

use crate::arrivals::Order;
use crate::derive::decimal;
use crate::engine::Fed;
use crate::item::{Point, PointContent, Routes};
use crate::library::RuleSource;
use crate::running::{Running, Turn, routes};

pub(crate) mod ends;
pub(crate) mod marks;
pub mod rehearsal;
pub mod source;

/// Decimals an answer is rounded to: what windows keep.
const DECIMALS: u8 = 6;

/// The streams of a set at work.
#[derive(Default)]
pub(crate) struct Scripted {
    pub running: Vec<Running>,
    /// Which streams hear what.
    routes: Routes,
}

/// A reading or gap of a stream, on its way to the rules.
pub(crate) struct Derived {
    pub device: DeviceId,
    pub assurance: Assurance,
    pub point: Point,
}

impl Scripted {
    /// Whose readings go where, after other streams came into force.
    pub fn route(&mut self) {
        self.routes = routes(&self.running);
    }

    /// What follows from a reading, in the order of the streams' names.
    pub fn derive(&mut self, turn: &Turn<'_>, fed: &mut Fed, watch: &mut dyn FnMut(&RuleName)) -> Vec<Derived> {
        let mut made = Vec::new();
        for (at, input) in self.routes.of(turn.heard.point.quantity) {
            let Some(running) = self.running.get_mut(*at).filter(|running| !running.status.off) else { continue };
            hear(running, &Turn { input: *input, ..*turn }, fed, watch, &mut made);
        }
        made
    }
}

/// A stream hears a reading.
fn hear(
    running: &mut Running,
    turn: &Turn<'_>,
    fed: &mut Fed,
    watch: &mut dyn FnMut(&RuleName),
    made: &mut Vec<Derived>,
) {
    let heard = turn.heard;
    running.ask(turn, fed, watch, value, |rule, state, _, answer, _| {
        let (Some(quantity), Some(marks)) = (rule.source.makes, &state.marks) else { return };
        // Before the first input was ever heard there is no stream, and so no gap of it.
        let Some(device) = marks.lead() else { return };
        let (assurance, flags) = marks.passed_on(&state.tracks, state.now, rule.longest_window());
        let mut tell = |quality: Quality, content: PointContent| {
            let point = Point { quantity, time: heard.point.time, quality, content };
            made.push(Derived { device: device.clone(), assurance: assurance.unwrap_or(heard.assurance), point });
        };
        match heard.point.content {
            PointContent::Gap(gap) => tell(heard.point.quality, PointContent::Gap(gap)),
            PointContent::Number(_) if heard.order == Order::SetBack => {
                // What was made lies in a future that will not come: the stream begins anew.
                let gap = Gap { reason: GapReason::ClockStep, extent: 0 };
                tell(heard.point.quality, PointContent::Gap(gap));
            }
            _ => {}
        }
        if let Some(Some(value)) = answer {
            tell(flags, PointContent::Number(value));
        }
    });
}

/// What the script of a stream answers: a value in its quantity's unit, or nothing.
fn value(source: &RuleSource, answer: Dynamic) -> Result<Option<Decimal>, Fault> {
    let refused = |why: String| Err(Fault::new(FaultKind::Answer, why));
    let kind = answer.type_name();
    if answer.is_unit() {
        return Ok(None);
    }
    let number = answer.as_float().or_else(|_| answer.as_int().map(|number| number as f64));
    let (Ok(number), Some(quantity)) = (number, source.makes) else {
        return refused(format!(
            "a derived stream answers a number or (), not {kind}; does every `if` have an `else`?"
        ));
    };
    let (low, high) = quantity.plausible();
    if !(low as f64..=high as f64).contains(&number) {
        return refused(format!("{number} {} is no {quantity}: {low} to {high} is", quantity.unit()));
    }
    let Some(mut value) = decimal(number, DECIMALS) else { return refused(format!("{number} is too large")) };
    while value.exponent < 0 && value.mantissa % 10 == 0 {
        value = Decimal { mantissa: value.mantissa / 10, exponent: value.exponent + 1 };
    }
    Ok(Some(value))
}
