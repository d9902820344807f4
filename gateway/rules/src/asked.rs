//! What a script asks of the native side, read from its source before the first reading: windows, baselines, helpers.

use pitchside_script::scan::{Word, WordKind};
use pitchside_script::{Problem, span};
use rhai::ImmutableString;

use crate::baseline::{BASELINES_MAX, Form};
use crate::functions::{HELPERS_BY_NAME, SPAN_MAX};
use crate::library::RuleSource;
use crate::window::Wanted;

/// The most spans one rule has windows of, on each of its inputs.
const SPANS_MAX: usize = 16;
/// The functions of an input that ask for a baseline.
const OF_BASELINES: [&str; 3] = ["typical", "spread", "deviations"];

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Spans of windows, shortest first, in microseconds; and as they are written.
    pub spans: Vec<i64>,
    pub texts: Vec<ImmutableString>,
    pub wanted: Wanted,
    /// Baselines, of one input or, if the source does not tell which, of all.
    baselines: Vec<(Option<usize>, Form)>,
    /// Whether a helper that remembers by name is called.
    pub moments: bool,
    /// Line and column of the first loop; 0 if there is none.
    pub first_loop: (usize, usize),
}

impl Asked {
    /// The baselines of an input.
    pub fn forms(&self, input: usize) -> impl Iterator<Item = Form> + '_ {
        let mut forms: Vec<Form> = Vec::new();
        for (of, form) in &self.baselines {
            if of.is_none_or(|of| of == input) && !forms.contains(form) {
                forms.push(*form);
            }
        }
        forms.into_iter()
    }
}

/// Reads the words of a script.
pub(crate) fn asked(source: &RuleSource, words: &[Word]) -> Result<Asked, Vec<Problem>> {
    // A text counts as well: a function may be called by a pointer to it, as `Fn("stddev")`.
    let says = |name: &str| words.iter().any(|w| w.text == name);
    let is_loop = |w: &&Word| w.kind != WordKind::Text && ["for", "while", "loop", "do"].contains(&w.text.as_str());
    let mut asked = Asked {
        wanted: Wanted { extremes: says("min") || says("max"), order: says("percentile"), squares: says("stddev") },
        moments: words.iter().any(|w| HELPERS_BY_NAME.contains(&w.text.as_str())),
        first_loop: words.iter().find(is_loop).map_or((0, 0), |w| (w.line, w.column)),
        ..Asked::default()
    };
    // A function of the script's own has the name for itself.
    let is_own = |name: &str| words.windows(2).any(|two| two[0].text == "fn" && is_call_of(&two[1], name));
    let is_of_baselines = |word: &Word| {
        OF_BASELINES.contains(&word.text.as_str()) && (word.kind == WordKind::Method || !is_own(&word.text))
    };
    let mut problems = Vec::new();
    let (mut spans, mut half_life): (Vec<(i64, &str)>, Option<usize>) = (Vec::new(), None);
    for (i, word) in words.iter().enumerate() {
        let before = |back: usize| i.checked_sub(back).and_then(|i| words.get(i));
        match word.kind {
            // Rhai lets a method be called as a function, with what would stand before its dot as the first argument.
            WordKind::Method | WordKind::Call if is_of_baselines(word) => {
                let (of, at) =
                    if word.kind == WordKind::Method { (before(1), i + 1) } else { (words.get(i + 1), i + 2) };
                half_life = Some(at);
                match form(words, &word.text, at) {
                    Ok(form) => {
                        let of = of.filter(|w| w.kind == WordKind::Name);
                        let of = of.and_then(|w| source.manifest.inputs.iter().position(|q| q.name() == w.text));
                        if !asked.baselines.contains(&(of, form)) {
                            asked.baselines.push((of, form));
                        }
                    }
                    Err(why) => problems.push(Problem::at(&source.file(), (word.line, word.column), why)),
                }
            }
            WordKind::Text => {
                let of_baseline = half_life == Some(i);
                let of_helper =
                    before(2).is_some_and(|w| w.kind == WordKind::Call && HELPERS_BY_NAME.contains(&w.text.as_str()));
                let micros = span::parse(&word.text).filter(|micros| (1..=SPAN_MAX).contains(micros));
                if let Some(micros) = micros.filter(|_| !of_baseline && !of_helper) {
                    spans.push((micros, word.text.as_str()));
                }
            }
            _ => {}
        }
    }
    let most = (0..source.manifest.inputs.len()).map(|input| asked.forms(input).count()).max().unwrap_or(0);
    if most > BASELINES_MAX {
        let why = format!("{most} baselines of one input; at most {BASELINES_MAX} are kept");
        problems.push(Problem::of(&source.file(), why));
    }
    spans.sort_unstable();
    spans.dedup();
    if spans.len() > SPANS_MAX {
        let why = format!("{} different spans of time; at most {SPANS_MAX} are kept", spans.len());
        problems.push(Problem::of(&source.file(), why));
    }
    (asked.spans, asked.texts) = spans.into_iter().map(|(micros, text)| (micros, ImmutableString::from(text))).unzip();
    if problems.is_empty() { Ok(asked) } else { Err(problems) }
}

fn is_call_of(word: &Word, name: &str) -> bool {
    word.kind == WordKind::Call && word.text == name
}

/// The baseline that a call of `name` asks for, whose half-life is to stand at `at`.
fn form(words: &[Word], name: &str, at: usize) -> Result<Form, String> {
    let text = |i: usize| words.get(i).filter(|w| w.kind == WordKind::Text).map(|w| w.text.as_str());
    let Some(half_life) = text(at) else {
        return Err(format!("`{name}` takes its half-life as a text in the call, such as {name}(\"7d\")"));
    };
    let Some(micros) = span::parse(half_life) else {
        return Err(format!("\"{half_life}\" is no half-life; write it such as \"7d\""));
    };
    let form = Form { half_life: micros, by_hour: text(at + 1) == Some(BY_HOUR) };
    form.problem().map_or(Ok(form), |why| Err(format!("\"{half_life}\": {why}")))
}

/// The argument after the half-life that asks for a baseline by hour of day.
pub(crate) const BY_HOUR: &str = "hour";
