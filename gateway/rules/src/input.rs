//! What a script sees: one variable an input, and the functions on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pitchside_script::span;
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position};

use crate::asked::BY_HOUR;
use crate::baseline::{Form, Usual};
use crate::series::Run;
use crate::state::Track;
use crate::window::{Kept, NotKept, Window};

type Answer<T> = Result<T, Box<EvalAltResult>>;

/// What scripts may read of an input.
pub const PROPERTIES: &[(&str, &str)] = &[
    ("value", "the newest value, or () after a gap"),
    ("age", "seconds since the newest reading, or ()"),
    (
        "since_gap",
        "seconds since the last gap ended, or since the first reading; 0.0 in a gap, () if nothing was heard yet",
    ),
];

/// The functions scripts may call on an input, for the reference and for what windows must keep.
pub const METHODS: &[(&str, &str)] = &[
    ("count(span)", "readings in the window"),
    ("mean(span)", "their mean, or ()"),
    ("min(span)", "the smallest, or ()"),
    ("max(span)", "the largest, or ()"),
    ("stddev(span)", "their standard deviation (n - 1), or () with fewer than two"),
    (
        "percentile(percent, span)",
        "nearest-rank percentile, or (); the percent is from 0 to 100, anything else is a fault",
    ),
    ("slope(span)", "least-squares slope, units a minute, or () with fewer than two"),
    ("rate(span)", "change from first to last, units a minute, or ()"),
    ("time_above(limit, span)", "seconds at or above the limit; each reading counts until the next"),
    ("time_below(limit, span)", "seconds at or below the limit; each reading counts until the next"),
    ("ago(span)", "the value a span ago, or ()"),
    ("covers(span)", "whether there was no gap for that long"),
    ("gaps(span)", "how many gaps became known within the span, at most 64"),
    ("typical(half_life)", "what is usual for the subject: the fading median, or () until enough is known"),
    ("spread(half_life)", "how far from it is usual: 1.4826 times the fading median absolute deviation, or ()"),
    ("deviations(half_life)", "how many spreads the newest value is above what is usual (below: negative), or ()"),
    ("typical(half_life, \"hour\")", "the same for this hour of the day (UTC)"),
    ("spread(half_life, \"hour\")", "the same for this hour of the day (UTC)"),
    ("deviations(half_life, \"hour\")", "the same for this hour of the day (UTC)"),
];

/// One input while its rule runs. The engine swaps the subject's track in and out, so that one scope serves all
/// subjects.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    pub track: Track,
    /// Event time of the state.
    pub now: i64,
    /// Older than this at `now`: as if there were none.
    pub gap_after: i64,
    /// Texts of the spans, in the order of the series' windows.
    pub spans: Vec<ImmutableString>,
    /// Whether the script looked at more of it than its newest value.
    pub beyond: bool,
}

impl Cell {
    /// The newest value; a stream not heard for longer than a gap says nothing.
    fn value(&self) -> Option<f64> {
        self.track.value(self.now, self.gap_after)
    }

    fn fresh(&self) -> bool {
        self.value().is_some()
    }

    fn span(&self, text: &str) -> Answer<usize> {
        self.spans.iter().position(|known| known.as_str() == text).ok_or_else(|| {
            refused(format!("\"{text}\" is not a span written in the script; write it as a text such as \"5min\""))
        })
    }

    fn usual(&self, half_life: &str, by: &str) -> Answer<Option<Usual>> {
        let form = span::parse(half_life).map(|half_life| Form { half_life, by_hour: by == BY_HOUR });
        let known = |form| self.track.baselines.iter().find(|baseline| baseline.form() == form);
        match form.filter(|_| by.is_empty() || by == BY_HOUR).and_then(known) {
            Some(baseline) => Ok(baseline.usual(self.now)),
            None => Err(refused(format!(
                "there is no baseline of \"{half_life}\"; write the half-life in the call, such as typical(\"7d\") or \
                 typical(\"7d\", \"hour\")"
            ))),
        }
    }
}

fn refused(why: String) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(why.into(), Position::NONE).into()
}

/// The variable.
#[derive(Debug, Clone)]
pub(crate) struct Input(pub Arc<Mutex<Cell>>);

impl Input {
    pub fn lock(&self) -> MutexGuard<'_, Cell> {
        // A panic while it was held leaves numbers, not broken invariants; the engine replaces the series after one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For whoever looks at more than the newest value.
    fn lock_beyond(&self) -> MutexGuard<'_, Cell> {
        let mut cell = self.lock();
        cell.beyond = true;
        cell
    }

    fn window<T>(&mut self, span: &str, read: impl FnOnce(&mut Window, &Run, i64) -> T) -> Answer<Option<T>> {
        let mut cell = self.lock_beyond();
        let at = cell.span(span)?;
        if !cell.fresh() {
            return Ok(None);
        }
        let now = cell.now;
        Ok(cell.track.series.window(at, now).map(|(window, run)| read(window, run, now)))
    }

    fn percentile(&mut self, percent: f64, span: &str) -> Answer<Dynamic> {
        // No number is none of them, either.
        if !(0.0..=100.0).contains(&percent) {
            return Err(refused(format!("`percentile` takes a percent from 0 to 100, not {percent:?}")));
        }
        kept("percentile", self.window(span, |window, _, _| window.percentile(percent))?)
    }
}

fn number(value: Option<f64>) -> Dynamic {
    value.map_or(Dynamic::UNIT, Dynamic::from_float)
}

/// An answer that was counted only if the script is known to ask for it.
fn kept(name: &str, read: Option<Kept>) -> Answer<Dynamic> {
    let value = read.unwrap_or(Ok(None));
    value.map(number).map_err(|NotKept| refused(format!("`{name}` must be written in the script as it is called")))
}

/// Adds the input type to an engine.
pub(crate) fn register(engine: &mut Engine) {
    register_windows(engine);
    register_baselines(engine);
    engine.register_type_with_name::<Input>("Input");
    engine.register_get("value", |input: &mut Input| number(input.lock().value()));
    engine.register_get("age", |input: &mut Input| {
        let cell = input.lock_beyond();
        number(cell.track.series.last().map(|last| cell.now.saturating_sub(last.time) as f64 / 1e6))
    });
    engine.register_get("since_gap", |input: &mut Input| {
        let cell = input.lock_beyond();
        let heard = cell.track.series.last().is_some() || cell.track.gaps.any();
        let since = cell.now.saturating_sub(cell.track.series.began()) as f64 / 1e6;
        number(heard.then_some(if cell.fresh() { since } else { 0.0 }))
    });
}

fn register_windows(engine: &mut Engine) {
    engine.register_fn("count", |input: &mut Input, span: &str| -> Answer<i64> {
        let count = input.window(span, |window, _, _| window.count())?.unwrap_or(0);
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    });
    engine.register_fn("mean", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, _, _| window.mean())?.flatten()))
    });
    engine.register_fn("min", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        kept("min", input.window(span, |window, run, _| window.min(run))?)
    });
    engine.register_fn("max", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        kept("max", input.window(span, |window, run, _| window.max(run))?)
    });
    engine.register_fn("stddev", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        kept("stddev", input.window(span, |window, _, _| window.stddev())?)
    });
    engine.register_fn("percentile", |input: &mut Input, percent: f64, span: &str| input.percentile(percent, span));
    engine.register_fn("percentile", |input: &mut Input, percent: i64, span: &str| {
        input.percentile(percent as f64, span)
    });
    engine.register_fn("slope", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, _, _| window.slope())?.flatten()))
    });
    engine.register_fn("rate", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, run, _| window.rate(run))?.flatten()))
    });
    for (name, above) in [("time_above", true), ("time_below", false)] {
        engine.register_fn(name, move |input: &mut Input, limit: f64, span: &str| -> Answer<f64> {
            Ok(input.window(span, |window, run, _| window.time_beyond(run, limit, above))?.unwrap_or(0.0))
        });
        engine.register_fn(name, move |input: &mut Input, limit: i64, span: &str| -> Answer<f64> {
            Ok(input.window(span, |window, run, _| window.time_beyond(run, limit as f64, above))?.unwrap_or(0.0))
        });
    }
    engine.register_fn("ago", |input: &mut Input, span: &str| -> Answer<Dynamic> {
        Ok(number(input.window(span, |window, run, now| window.ago(run, now))?.flatten()))
    });
    engine.register_fn("covers", |input: &mut Input, span: &str| -> Answer<bool> {
        let mut cell = input.lock_beyond();
        let at = cell.span(span)?;
        let (fresh, now, began) = (cell.fresh(), cell.now, cell.track.series.began());
        let reach = cell.track.series.window(at, now).map(|(window, _)| window.span());
        Ok(fresh && reach.is_some_and(|span| now.saturating_sub(began) >= span))
    });
    engine.register_fn("gaps", |input: &mut Input, span: &str| -> Answer<i64> {
        let mut cell = input.lock_beyond();
        let at = cell.span(span)?;
        let now = cell.now;
        let span = cell.track.series.window(at, now).map_or(0, |(window, _)| window.span());
        Ok(i64::try_from(cell.track.gaps.within(span, now)).unwrap_or(i64::MAX))
    });
}

fn register_baselines(engine: &mut Engine) {
    /// What a baseline function tells of what is usual, given the newest value.
    type Tell = fn(Usual, Option<f64>) -> Option<f64>;
    let told: [(&str, Tell); 3] = [
        ("typical", |usual, _| Some(usual.typical)),
        ("spread", |usual, _| Some(usual.spread)),
        ("deviations", |usual, value| value.map(|value| (value - usual.typical) / usual.spread)),
    ];
    for (name, tell) in told {
        let ask = move |input: &mut Input, half_life: &str, by: &str| -> Answer<Dynamic> {
            let cell = input.lock_beyond();
            let value = cell.value();
            Ok(number(cell.usual(half_life, by)?.and_then(|usual| tell(usual, value))))
        };
        engine.register_fn(name, move |input: &mut Input, half_life: &str| ask(input, half_life, ""));
        engine.register_fn(name, move |input: &mut Input, half_life: &str, by: &str| ask(input, half_life, by));
    }
}
