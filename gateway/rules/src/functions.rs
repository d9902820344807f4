//! The helpers of rules: functions that are not of one input.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pitchside_script::span;
use rhai::{Engine, EvalAltResult, Position};

use crate::moments::Moments;

/// The helpers scripts may call, for the reference.
pub const HELPERS: &[(&str, &str)] = &[
    ("above(x, limit, back)", "`x >= limit`; once raised, `x > limit - back`; false if x is ()"),
    ("below(x, limit, back)", "`x <= limit`; once raised, `x < limit + back`; false if x is ()"),
    ("held(name, span, condition)", "whether the condition held whenever it was asked, for that long without a gap"),
    ("times(name, span, condition)", "how often the condition became true within the span, at most 64"),
    (
        "sequence(name, span, first, then)",
        "whether `then` holds and `first` held before it, within the span; a gap between them changes nothing",
    ),
];

/// Those that remember by name: name and span are their first two arguments.
pub(crate) const HELPERS_BY_NAME: [&str; 3] = ["held", "times", "sequence"];
/// The longest span of a window or helper: a day, in microseconds.
pub(crate) const SPAN_MAX: i64 = 86_400_000_000;

/// What helpers see of the subject whose rule runs.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    raised: AtomicBool,
    now: AtomicI64,
    /// Whether the moments below are those of the subject: if not, nobody may write there.
    laid: AtomicBool,
    moments: Mutex<Moments>,
}

impl Desk {
    /// Before each call of a script.
    pub fn begin(&self, raised: bool, now: i64) {
        self.raised.store(raised, Ordering::Relaxed);
        self.now.store(now, Ordering::Relaxed);
    }

    /// Lays a subject's moments on the desk, and takes them off again.
    pub fn swap(&self, moments: &mut Moments) {
        self.laid.fetch_xor(true, Ordering::Relaxed);
        std::mem::swap(moments, &mut self.moments.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    fn ask<T>(
        &self,
        text: &str,
        ask: impl FnOnce(&mut Moments, i64, i64) -> Result<T, String>,
    ) -> Result<T, Box<EvalAltResult>> {
        let refused = |why: String| Box::new(EvalAltResult::ErrorRuntime(why.into(), Position::NONE));
        if !self.laid.load(Ordering::Relaxed) {
            return Err(refused("a helper that remembers must be called by its name as written".to_owned()));
        }
        let span = span::parse(text).filter(|span| (1..=SPAN_MAX).contains(span));
        let span = span.ok_or_else(|| refused(format!("\"{text}\" is no span of at most a day, such as \"5min\"")))?;
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&mut moments, span, self.now.load(Ordering::Relaxed)).map_err(refused)
    }
}

/// Adds the helpers to an engine.
pub(crate) fn register(engine: &mut Engine, desk: &Arc<Desk>) {
    let at = Arc::clone(desk);
    engine.register_fn(
        "above",
        move |value: f64, limit: f64, back: f64| {
            if at.raised() { value > limit - back } else { value >= limit }
        },
    );
    let at = Arc::clone(desk);
    engine.register_fn(
        "below",
        move |value: f64, limit: f64, back: f64| {
            if at.raised() { value < limit + back } else { value <= limit }
        },
    );
    // What is not known is neither above nor below.
    engine.register_fn("above", |_: (), _: f64, _: f64| false);
    engine.register_fn("below", |_: (), _: f64, _: f64| false);
    for operator in ["<", "<=", ">", ">="] {
        engine.register_fn(operator, |_: (), _: f64| false);
        engine.register_fn(operator, |_: f64, _: ()| false);
        engine.register_fn(operator, |_: (), _: i64| false);
        engine.register_fn(operator, |_: i64, _: ()| false);
    }
    let at = Arc::clone(desk);
    engine.register_fn("held", move |name: &str, span: &str, holds: bool| {
        at.ask(span, |moments, span, now| moments.held(name, span, holds, now))
    });
    let at = Arc::clone(desk);
    engine.register_fn("times", move |name: &str, span: &str, holds: bool| {
        let times = at.ask(span, |moments, span, now| moments.times(name, span, holds, now))?;
        Ok::<_, Box<EvalAltResult>>(i64::try_from(times).unwrap_or(i64::MAX))
    });
    let at = Arc::clone(desk);
    engine.register_fn("sequence", move |name: &str, span: &str, first: bool, then: bool| {
        at.ask(span, |moments, span, now| moments.sequence(name, span, first, then, now))
    });
}
