//! One rule made ready to run: compiled once, with one scope for all its subjects.

use std::cell::{Cell as Counter, RefCell};
use std::sync::{Arc, Mutex};

use pitchside_model::GapReason;
use pitchside_script::fault::deceives;
use pitchside_script::manifest::{Plain, RuleManifest};
use pitchside_script::scan::WordKind;
use pitchside_script::{Fault, FaultKind, Limits, Problem, Sandbox};
use rhai::{AST, Dynamic, ImmutableString, Scope};

use crate::answers::{Answers, Question, VALUES_MAX, bits};
use crate::asked::{Asked, asked};
use crate::baseline::Baseline;
use crate::functions::Desk;
use crate::input::{Cell, Input, register};
use crate::library::RuleSource;
use crate::machine::Timing;
use crate::names::{clashes, unknown_properties};
use crate::running::{SHARE_NANOS, SHARE_OPERATIONS};
use crate::series::Series;
use crate::state::{State, Track};
use crate::window::Wanted;

/// Variables every rule has beside its inputs, params and state.
pub const VARIABLES: &[(&str, &str)] = &[
    ("value", "the reading's value, or () for a gap or a waveform"),
    ("quantity", "the reading's quantity, as text"),
    ("time", "the latest device time of all inputs, in seconds"),
    ("gap", "the reason of a gap as text, or () for a value"),
    ("extent", "how much a gap says is missing: seconds, or a count; 0.0 if unknown"),
    ("raised", "whether this rule's alert is raised"),
];
/// Which of them is the time.
pub(crate) const TIME: usize = 2;
/// How many of them the script of a stream has, too: it is asked about no gap and raises nothing.
const VARIABLES_OF_STREAMS: usize = 3;
/// The longest text a state field holds, in bytes.
const STATE_TEXT_MAX: usize = 256;
/// What the state of a subject weighs without readings and baselines.
const STATE_WEIGHT: usize = 32;
/// The longest message of an alert, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// The variables a script has.
pub(crate) fn variables(source: &RuleSource) -> &'static [(&'static str, &'static str)] {
    if source.makes.is_some() { &VARIABLES[..VARIABLES_OF_STREAMS] } else { VARIABLES }
}

/// The engine of all rules, and what of the rule now running its helpers see.
pub(crate) struct Bench {
    pub sandbox: Sandbox,
    desk: Arc<Desk>,
    answers: RefCell<Answers>,
    /// Rules compiled so far.
    compiled: Counter<u32>,
}

pub(crate) fn sandbox() -> Bench {
    let desk = Arc::new(Desk::default());
    let sandbox = Sandbox::new(Limits::RULE, |engine| {
        register(engine);
        crate::functions::register(engine, &desk);
    });
    Bench { sandbox, desk, answers: RefCell::default(), compiled: Counter::new(0) }
}

/// What is evaluated: a value, a gap, or that a waveform came.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Value(f64),
    Gap(GapReason, f64),
    Wave,
}

/// What a rule answers: whether its condition holds, and what to say about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub holds: bool,
    pub message: Option<String>,
}

/// A rule ready to run.
pub(crate) struct Rule {
    pub source: RuleSource,
    pub timing: Timing,
    asked: Asked,
    ast: AST,
    scope: Scope<'static>,
    inputs: Vec<Input>,
    /// Which of the inputs the script mentions; only these are swapped in.
    mentioned: Vec<bool>,
    /// Which of [`VARIABLES`] it mentions.
    uses: [bool; VARIABLES.len()],
    names: Vec<ImmutableString>,
    /// Whether its answers may hang on nothing but a [`Question`]: so it seemed until now.
    may_be_known: bool,
    number: u32,
    cost: u64,
    spent: u64,
}

impl Rule {
    pub fn new(bench: &Bench, source: &RuleSource) -> Result<Self, Vec<Problem>> {
        let manifest = &source.manifest;
        let mut problems = clashes(source, |_| (0, 0));
        let mut scope = Scope::new();
        for (name, param) in &manifest.params {
            scope.push_constant(name.as_str(), param.default);
        }
        let mut inputs = Vec::new();
        for quantity in &manifest.inputs {
            let input = Input(Arc::new(Mutex::new(Cell::default())));
            scope.push_constant(quantity.name(), input.clone());
            inputs.push(input);
        }
        for (name, plain) in &manifest.state {
            scope.push_dynamic(name.as_str(), dynamic(plain));
        }
        for (name, _) in variables(source) {
            scope.push_dynamic(*name, Dynamic::UNIT);
        }
        let compiled = match bench.sandbox.compile(&source.file(), &source.script, &scope) {
            Ok(compiled) if problems.is_empty() => compiled,
            Ok(_) => return Err(problems),
            Err(found) => {
                problems.extend(found);
                return Err(problems);
            }
        };
        let words = &compiled.words;
        let mut problems = unknown_properties(source, words);
        let asked = asked(source, words).map_err(|found| problems.extend(found)).unwrap_or_default();
        if !problems.is_empty() {
            return Err(problems);
        }
        let says = |name: &str| words.iter().any(|w| w.kind != WordKind::Text && w.text == name);
        for input in &inputs {
            let mut cell = input.lock();
            (cell.spans, cell.gap_after) = (asked.texts.clone(), manifest.gap_after);
        }
        Ok(Self {
            timing: Timing {
                hold: manifest.hold,
                clear_after: manifest.clear_after,
                cool_down: manifest.cool_down,
                latch: manifest.latch,
            },
            // Values of time and state, and what helpers remember, are in no question.
            may_be_known: manifest.state.is_empty()
                && !asked.moments
                && !says(VARIABLES[TIME].0)
                && manifest.inputs.iter().filter(|quantity| says(quantity.name())).count() <= VALUES_MAX,
            asked,
            mentioned: manifest.inputs.iter().map(|q| says(q.name())).collect(),
            uses: std::array::from_fn(|i| says(VARIABLES[i].0)),
            names: manifest.inputs.iter().map(|q| q.name().into()).collect(),
            number: bench.compiled.replace(bench.compiled.get().wrapping_add(1)),
            cost: 0,
            spent: 0,
            source: source.clone(),
            ast: compiled.ast,
            scope,
            inputs,
        })
    }

    /// What one subject's state weighs at most before it keeps a reading, and what a reading weighs in it: in units of sixteen bytes or so.
    pub fn weights(&self) -> (usize, usize) {
        let baselines = (0..self.inputs.len()).flat_map(|input| self.asked.forms(input)).map(|form| form.weight());
        let Wanted { extremes, order, .. } = self.asked.wanted;
        let of_window = usize::from(extremes) + 2 * usize::from(order);
        (STATE_WEIGHT + baselines.sum::<usize>(), 1 + self.asked.spans.len() * of_window)
    }

    /// In microseconds; 0 without windows.
    pub fn longest_window(&self) -> i64 {
        self.asked.spans.iter().copied().max().unwrap_or(0)
    }

    pub fn manifest(&self) -> &RuleManifest {
        &self.source.manifest
    }

    /// What the last evaluation cost, in operations. It depends on the script and what it was asked only.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Processor time of the last evaluation, in nanoseconds; 0 of a short one.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// What the answer to the newest event of a state hangs on, if perhaps on nothing else.
    fn question(&self, state: &State, at: usize, event: Event) -> Option<Question> {
        if !self.may_be_known {
            return None;
        }
        let (kind, number) = match event {
            Event::Value(value) => (0, Some(value)),
            Event::Wave => (1, None),
            Event::Gap(reason, extent) => (2 + reason as u32, Some(extent)),
        };
        let mentioned = state.tracks.iter().zip(&self.mentioned).filter(|(_, mentioned)| **mentioned);
        let mut newest = mentioned.map(|(track, _)| bits(track.value(state.now, self.manifest().gap_after)));
        let mut next = || newest.next().unwrap_or_else(|| bits(None));
        let numbers = [bits(number), next(), next(), next()];
        let (rule, input) = (self.number, u32::try_from(at).ok()?);
        Some(Question { rule, input, kind, raised: state.phase.raised().is_some(), numbers })
    }

    /// Answers about the newest event of a state; `read` makes of the script's answer what it should be.
    pub fn evaluate<T>(
        &mut self,
        bench: &Bench,
        state: &mut State,
        (at, event): (usize, Event),
        read: impl FnOnce(&RuleSource, Dynamic) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let question = self.question(state, at, event);
        if let Some((answer, cost)) = question.as_ref().and_then(|question| bench.answers.borrow().find(question)) {
            (self.cost, self.spent) = (cost, 0);
            return read(&self.source, answer);
        }
        let answer = self.ask(bench, state, (at, event));
        (self.cost, self.spent) = (bench.sandbox.operations(), bench.sandbox.spent());
        let answer = answer?;
        self.may_be_known &= !self.inputs.iter().any(|input| input.lock().beyond);
        if let Some(question) = question.filter(|_| self.may_be_known) {
            bench.answers.borrow_mut().keep(question, &answer, self.cost);
        }
        let answer = read(&self.source, answer)?;
        for (i, (name, first)) in self.source.manifest.state.iter().enumerate() {
            let now = self.scope.get(name).cloned().unwrap_or(Dynamic::UNIT);
            state.fields[i] = plain(first, now)
                .map_err(|got| Fault::new(FaultKind::Answer, format!("the state field `{name}` was set to {got}")))?;
        }
        Ok(answer)
    }

    /// Asks the script.
    fn ask(&mut self, bench: &Bench, state: &mut State, (at, event): (usize, Event)) -> Result<Dynamic, Fault> {
        let raised = state.phase.raised().is_some();
        bench.desk.begin(raised, state.now);
        if self.asked.moments {
            bench.desk.swap(&mut state.moments);
        }
        for (i, input) in self.inputs.iter().enumerate().filter(|(i, _)| self.mentioned[*i]) {
            let mut cell = input.lock();
            std::mem::swap(&mut cell.track, &mut state.tracks[i]);
            (cell.now, cell.beyond) = (state.now, false);
        }
        let (value, gap, extent) = match event {
            Event::Value(value) => (Dynamic::from_float(value), Dynamic::UNIT, 0.0),
            Event::Wave => (Dynamic::UNIT, Dynamic::UNIT, 0.0),
            Event::Gap(reason, extent) => (Dynamic::UNIT, reason.name().into(), extent),
        };
        let mut set = |i: usize, value: Dynamic| {
            if self.uses[i]
                && let Some(slot) = self.scope.get_mut(VARIABLES[i].0)
            {
                *slot = value;
            }
        };
        set(0, value);
        if self.uses[1] {
            set(1, self.names[at].clone().into());
        }
        set(TIME, Dynamic::from_float(state.now as f64 / 1e6));
        set(3, gap);
        set(4, Dynamic::from_float(extent));
        set(5, Dynamic::from_bool(raised));
        for ((name, _), plain) in self.source.manifest.state.iter().zip(&state.fields) {
            if let Some(slot) = self.scope.get_mut(name) {
                *slot = dynamic(plain);
            }
        }

        let depth = self.scope.len();
        let (scope, ast) = (&mut self.scope, &self.ast);
        let run = || bench.sandbox.run(|engine| engine.eval_ast_with_scope::<Dynamic>(scope, ast));
        // Rhai is large and its inputs are hostile: a panic in it is this rule's fault, not the end of the others.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        self.scope.rewind(depth);
        for (i, input) in self.inputs.iter().enumerate().filter(|(i, _)| self.mentioned[*i]) {
            std::mem::swap(&mut input.lock().track, &mut state.tracks[i]);
        }
        if self.asked.moments {
            bench.desk.swap(&mut state.moments);
        }
        match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Fault::in_source(&error, &self.source.script)),
            Err(_) => {
                // Whatever the panic left half done is started afresh.
                state.tracks.iter_mut().for_each(|track| track.series = self.series());
                Err(Fault::new(FaultKind::Crash, "the script engine panicked"))
            }
        }
    }

    /// Whether something outlives a gap in what it remembers: what was heard before it may still be in the answer.
    pub fn outlives_gaps(&self) -> bool {
        let fields = !self.source.manifest.state.is_empty();
        fields || self.asked.moments || (0..self.inputs.len()).any(|input| self.asked.forms(input).next().is_some())
    }

    /// An empty series with this rule's windows.
    fn series(&self) -> Series {
        Series::new(&self.asked.spans, self.asked.wanted)
    }

    /// An input nothing was heard of, with the baselines the script asks of it.
    pub fn track(&self, input: usize) -> Track {
        Track::new(self.series(), self.asked.forms(input).map(Baseline::new).collect())
    }

    /// The fault of a rule that costs more than its share, on average: in operations, or in processor time. It names the first loop,
    /// if there is one.
    pub fn greedy(&self, kind: FaultKind) -> Fault {
        let told = match kind {
            FaultKind::Time => {
                format!("more than {} ms of the processor an evaluation, on average", SHARE_NANOS / 1_000_000)
            }
            _ => format!("more than {SHARE_OPERATIONS} operations an evaluation, on average"),
        };
        let (line, column) = self.asked.first_loop;
        Fault::new(kind, told).placed(line, column, &self.source.script)
    }
}

/// What the script of a rule answers.
pub(crate) fn verdict(_: &RuleSource, answer: Dynamic) -> Result<Verdict, Fault> {
    if let Ok(holds) = answer.as_bool() {
        return Ok(Verdict { holds, message: None });
    }
    let kind = answer.type_name();
    match answer.into_immutable_string() {
        Ok(text) => {
            let message: String =
                text.chars().take(MESSAGE_CHARS_MAX).map(|c| if deceives(c) { ' ' } else { c }).collect();
            // One that says nothing is none.
            let message = Some(message).filter(|message| !message.trim().is_empty());
            Ok(Verdict { holds: true, message })
        }
        Err(_) => Err(Fault::new(
            FaultKind::Answer,
            format!("a rule answers true, false or a message, not {kind}; does every `if` have an `else`?"),
        )),
    }
}

/// The value of a state field; `Err` says what it was set to. A field keeps its first kind; numbers stay finite, texts short.
fn plain(first: &Plain, value: Dynamic) -> Result<Plain, String> {
    let kind = value.type_name();
    let found = match first {
        Plain::Bool(_) => value.as_bool().ok().map(Plain::Bool),
        Plain::Integer(_) => value.as_int().ok().map(Plain::Integer),
        Plain::Float(_) => match value.as_float() {
            Ok(value) if !value.is_finite() => return Err(format!("{value}, and it holds finite numbers only")),
            value => value.ok().map(Plain::Float),
        },
        Plain::Text(_) => match value.into_immutable_string() {
            Ok(text) if text.len() > STATE_TEXT_MAX => {
                return Err(format!("a text of {} bytes, and it holds {STATE_TEXT_MAX} at most", text.len()));
            }
            text => text.ok().map(|text| Plain::Text(text.into())),
        },
        Plain::Nothing => None,
    };
    found.ok_or_else(|| format!("a {kind} it cannot hold; it keeps the kind of its first value"))
}

fn dynamic(plain: &Plain) -> Dynamic {
    match plain {
        Plain::Nothing => Dynamic::UNIT,
        Plain::Bool(value) => (*value).into(),
        Plain::Integer(value) => (*value).into(),
        Plain::Float(value) => (*value).into(),
        Plain::Text(value) => value.as_str().into(),
    }
}
