//! What a script sees: one variable an input, and the functions on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use crate::series::Series;

type Answer<T> = Result<T, Box<EvalAltResult>>;

/// What scripts may read of an input.
pub const PROPERTIES: &[(&str, &str)] =
    &[("value", "the newest value, or () after a gap"), ("age", "seconds since the newest reading, or ()")];

/// The functions scripts may call on an input, for the reference and for what windows must keep.
pub const METHODS: &[(&str, &str)] = &[
    ("count(span)", "readings in the window"),
    ("mean(span)", "their mean"),
    ("min(span)", "the smallest"),
    ("max(span)", "the largest"),
    ("percentile(percent, span)", "nearest-rank percentile"),
    ("slope(span)", "least-squares slope, units a minute"),
    ("rate(span)", "change from first to last, units a minute"),
    ("time_above(limit, span)", "seconds at or above the limit"),
    ("ago(span)", "the value a span ago"),
    ("covers(span)", "whether there was no gap for that long"),
];

/// The series of one input while its rule runs. The engine swaps the subject's series in and out, so that one scope serves
/// all subjects.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub series: Series,
    /// Event time of the state.
    pub now: i64,
    /// Older than this at `now`: as if there were none.
    pub gap_after: i64,
    /// Texts of the spans, in the order of the series' windows.
    pub spans: Vec<ImmutableString>,
}

impl Cell {
    /// A stream not heard for longer than a gap says nothing.
    fn fresh(&self) -> bool {
        self.series.last().is_some_and(|last| self.now.saturating_sub(last.time) <= self.gap_after)
    }

    fn span(&self, text: &str) -> Answer<usize> {
        self.spans.iter().position(|known| known.as_str() == text).ok_or_else(|| {
            let why = format!("\"{text}\" is not a span written in the script; write it as a text such as \"5min\"");
            EvalAltResult::ErrorRuntime(why.into(), Position::NONE).into()
        })
    }
}

/// The variable.
#[derive(Debug, Clone)]
pub(crate) struct Input(pub Arc<Mutex<Cell>>);

impl Input {
    pub fn lock(&self) -> MutexGuard<'_, Cell> {
        // A panic while it was held leaves numbers, not broken invariants; the engine replaces the series after one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window<T>(
        &mut self,
        span: &str,
        read: impl FnOnce(&mut crate::window::Window, &crate::series::Run, i64) -> T,
    ) -> Answer<Option<T>> {
        let mut cell = self.lock();
        let at = cell.span(span)?;
        if !cell.fresh() {
            return Ok(None);
        }
        let now = cell.now;
        Ok(cell.series.window(at, now).map(|(window, run)| read(window, run, now)))
    }
}

fn number(value: Option<f64>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from_float)
}

/// Adds the input type and the helpers of rules to an engine. `raised` is set before each call.
pub(crate) fn register(engine: &mut Engine, raised: &Arc<AtomicBool>) {
    engine.register_type_with_name::<Input>("Input");
    engine.register_get("value", |input: &mut Input| {
        let cell = input.lock();
        number(cell.series.last().filter(|_| cell.fresh()).map(|last| last.value()))
    });
    engine.register_get("age", |input: &mut Input| {
        let cell = input.lock();
        number(cell.series.last().map(|last| cell.now.saturating_sub(last.time) as f64 / 1e6))
    });
    engine.register_fn("count", |input: &mut Input, span: &str| -> Answer<i64> {
        let count = input.window(span, |window, _, _| window.count())?.unwrap_or(0);
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    });
    engine.register_fn("mean", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, _, _| window.mean())?.flatten()))
    });
    engine.register_fn("min", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, run, _| window.min(run))?.flatten()))
    });
    engine.register_fn("max", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, run, _| window.max(run))?.flatten()))
    });
    engine.register_fn("percentile", |input: &mut Input, percent: f64, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, _, _| window.percentile(percent))?.flatten()))
    });
    engine.register_fn("percentile", |input: &mut Input, percent: i64, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, _, _| window.percentile(percent as f64))?.flatten()))
    });
    engine.register_fn("slope", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, _, _| window.slope())?.flatten()))
    });
    engine.register_fn("rate", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, run, _| window.rate(run))?.flatten()))
    });
    engine.register_fn("time_above", |input: &mut Input, limit: f64, span: &str| -> Answer<f64> {
        Ok(input.window(span, |window, run, _| window.time_above(run, limit))?.unwrap_or(0.0))
    });
    engine.register_fn("time_above", |input: &mut Input, limit: i64, span: &str| -> Answer<f64> {
        Ok(input.window(span, |window, run, _| window.time_above(run, limit as f64))?.unwrap_or(0.0))
    });
    engine.register_fn("ago", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, run, now| window.ago(run, now))?.flatten()))
    });
    engine.register_fn("covers", |input: &mut Input, span: &str| -> Answer<bool> {
        let mut cell = input.lock();
        let at = cell.span(span)?;
        let (fresh, now, began) = (cell.fresh(), cell.now, cell.series.began());
        let reach = cell.series.window(at, now).map(|(window, _)| window.span());
        Ok(fresh && reach.is_some_and(|span| now.saturating_sub(began) >= span))
    });
    let was = Arc::clone(raised);
    engine.register_fn(
        "above",
        move |value: f64, limit: f64, back: f64| {
            if was.load(Ordering::Relaxed) { value > limit - back } else { value >= limit }
        },
    );
    let was = Arc::clone(raised);
    engine.register_fn(
        "below",
        move |value: f64, limit: f64, back: f64| {
            if was.load(Ordering::Relaxed) { value < limit + back } else { value <= limit }
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
}
