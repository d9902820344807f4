//! The child: what a decoder script can call, and one payload to its outcome. Runs inside `script`'s sandbox.

use std::collections::BTreeSet;

use pitchside_model::Decimal;
use pitchside_script::manifest::Kept;
use pitchside_script::{Compiled, Limits, Sandbox, ServeError, compile, fault};
use rhai::{AST, Array, Blob, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Scope};

use super::kept;
use super::message::{Answer, Ask, Decoded, Outcome, RawContent, RawNumber, RawReading, RawTime, Request};
use crate::json::{Kind, Reader};
use crate::number::{Number, rounded};
use crate::senml::reading::READINGS_MAX;

/// The longest name a script may throw to refuse a payload.
const REFUSAL_BYTES_MAX: usize = 48;

type Res<T> = Result<T, Box<EvalAltResult>>;

/// A script, ready to decode.
pub struct Decoder {
    sandbox: Sandbox,
    ast: AST,
    source: String,
    params: Vec<(String, f64)>,
    state: Vec<(String, Kept)>,
    /// The state before anything was kept.
    first: Vec<u8>,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// Compiles a script that keeps `state`; all problems at once, a line each.
    pub fn load(
        file: &str,
        source: &str,
        params: &[(String, f64)],
        state: &[(String, Kept)],
    ) -> Result<Self, Vec<String>> {
        let sandbox = Sandbox::new(Limits::DECODER, register);
        let first: Vec<Dynamic> = state.iter().map(|(_, kept)| kept::first(kept)).collect();
        let scope = scope(params, &Ask::default(), state, &first);
        let Compiled { ast, .. } = compile(sandbox.engine(), sandbox.limits(), file, source, &scope)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let first = kept::write(fields(state, &first)).map_err(|unkept| vec![unkept.fault().to_string()])?;
        Ok(Self { sandbox, ast, source: source.to_owned(), params: params.to_vec(), state: state.to_vec(), first })
    }

    /// What the script makes of one payload.
    pub fn decode(&self, ask: &Ask) -> Decoded {
        let before = kept::read(&ask.state, &self.state);
        let mut scope = scope(&self.params, ask, &self.state, &before);
        let depth = scope.len();
        let run = || self.sandbox.run(|engine| engine.eval_ast_with_scope::<Dynamic>(&mut scope, &self.ast));
        // Rhai is not ours and the script may be hostile: a panic is this payload's fault, not the end of the plugin.
        let outcome = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
            Ok(Ok(value)) => outcome(value),
            Ok(Err(error)) => refusal(&error).map_or_else(|| self.fault(&error), Outcome::Refused),
            Err(_) => Outcome::Fault("the script engine panicked".to_owned()),
        };
        if self.state.is_empty() || !matches!(outcome, Outcome::Readings(_)) {
            return Decoded { outcome, state: None };
        }
        // A variable of the script's own that is called as a field is not the field.
        scope.rewind(depth);
        // Looked at where they are: a copy of what a script made would be weighed by nobody.
        let after = self.state.iter().filter_map(|(name, _)| scope.get(name));
        match kept::write(fields(&self.state, after)) {
            Ok(bytes) => {
                let known = if ask.state.is_empty() { &self.first } else { &ask.state };
                let state = (bytes != *known).then_some(bytes);
                Decoded { outcome, state }
            }
            Err(unkept) => Decoded { outcome: Outcome::Unkept(unkept), state: None },
        }
    }
}

/// The fields with their values.
fn fields<'a>(
    state: &'a [(String, Kept)],
    values: impl IntoIterator<Item = &'a Dynamic>,
) -> impl Iterator<Item = (&'a str, &'a Kept, &'a Dynamic)> {
    state.iter().zip(values).map(|((name, kept), value)| (name.as_str(), kept, value))
}

impl Decoder {
    /// Every function its script can call.
    pub fn function_names(&self) -> &BTreeSet<String> {
        self.sandbox.function_names()
    }

    fn fault(&self, error: &EvalAltResult) -> Outcome {
        Outcome::Fault(fault::Fault::in_source(error, &self.source).to_string())
    }
}

/// Answers the parent until it closes the socket. The whole body of the worker command.
pub fn worker_main() -> Result<(), ServeError> {
    let mut loaded: Option<(String, Decoder)> = None;
    pitchside_script::serve(&mut |request| {
        let answer = match postcard::from_bytes(request) {
            Ok(Request::Load { name, source, params, state }) => {
                let decoder = Decoder::load("decode.rhai", &source, &params, &state);
                Answer::Loaded(decoder.map(|decoder| loaded = Some((name, decoder))))
            }
            Ok(Request::Decode(asked)) => match &loaded {
                Some((_, decoder)) => Answer::Decoded(asked.iter().map(|ask| decoder.decode(ask)).collect()),
                None => Answer::NotUnderstood,
            },
            Err(_) => Answer::NotUnderstood,
        };
        // Answers are plain data; should one not serialise, an empty frame is not understood by the parent either.
        postcard::to_allocvec(&answer).unwrap_or_default()
    })
}

/// What a script sees.
fn scope(params: &[(String, f64)], ask: &Ask, state: &[(String, Kept)], values: &[Dynamic]) -> Scope<'static> {
    let mut scope = Scope::new();
    for (name, value) in params {
        scope.push_constant(name.as_str(), *value);
    }
    scope.push("payload", ask.payload.clone());
    scope.push("topic", ImmutableString::from(ask.topic.as_str()));
    for ((name, _), value) in state.iter().zip(values) {
        scope.push_dynamic(name.as_str(), value.clone());
    }
    scope
}

fn outcome(value: Dynamic) -> Outcome {
    let kind = value.type_name();
    let Some(list) = value.try_cast::<Array>() else { return Outcome::NotReadings(kind.to_owned()) };
    // One more than allowed is enough for the parent to refuse.
    let mut readings = Vec::with_capacity(list.len().min(READINGS_MAX + 1));
    for item in list.into_iter().take(READINGS_MAX + 1) {
        let kind = item.type_name();
        match item.try_cast::<RawReading>() {
            Some(reading) => readings.push(reading),
            None => return Outcome::NotReadings(format!("a list with a {kind} in it")),
        }
    }
    Outcome::Readings(readings)
}

/// The name a script threw; none if it failed in another way. A thrown text that is no name is a fault of the script.
fn refusal(error: &EvalAltResult) -> Option<String> {
    let mut inner = error;
    while let EvalAltResult::ErrorInFunctionCall(_, _, next, _) | EvalAltResult::ErrorInModule(_, next, _) = inner {
        inner = next;
    }
    let EvalAltResult::ErrorRuntime(value, _) = inner else { return None };
    let name = value.clone().into_immutable_string().ok()?;
    let is_name = !name.is_empty()
        && name.len() <= REFUSAL_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    is_name.then(|| name.to_string())
}

fn throw<T>(name: &str) -> Res<T> {
    Err(Box::new(EvalAltResult::ErrorRuntime(name.into(), rhai::Position::NONE)))
}

/// Everything a decoder has beyond the sandbox's own packages.
pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Decimal>("decimal").register_type_with_name::<RawReading>("reading");
    numbers(engine);
    bytes(engine);
    readings(engine);
    engine.register_fn("json", |payload: &mut Blob| json(payload));
}

fn numbers(engine: &mut Engine) {
    engine
        .register_fn("decimal", |mantissa: i64, exponent: i64| -> Res<Decimal> {
            let exponent = i8::try_from(exponent).map_err(|_| out_of_range())?;
            Decimal::new(mantissa, exponent).map_err(|_| out_of_range())
        })
        .register_fn("decimal", |text: ImmutableString| -> Res<Decimal> {
            Decimal::parse(&text)
                .map_err(|_| Box::new(EvalAltResult::ErrorRuntime("bad_number".into(), rhai::Position::NONE)))
        })
        .register_get("mantissa", |decimal: &mut Decimal| decimal.mantissa)
        .register_get("exponent", |decimal: &mut Decimal| i64::from(decimal.exponent))
        .register_fn("to_string", |decimal: &mut Decimal| decimal.to_string())
        .register_fn("==", |a: Decimal, b: Decimal| a.compare(b).is_eq())
        .register_fn("!=", |a: Decimal, b: Decimal| a.compare(b).is_ne())
        .register_fn("<", |a: Decimal, b: Decimal| a.compare(b).is_lt())
        .register_fn("<=", |a: Decimal, b: Decimal| a.compare(b).is_le())
        .register_fn(">", |a: Decimal, b: Decimal| a.compare(b).is_gt())
        .register_fn(">=", |a: Decimal, b: Decimal| a.compare(b).is_ge());
}

fn out_of_range() -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime("out_of_range".into(), rhai::Position::NONE))
}

fn at<const N: usize>(payload: &Blob, at: i64) -> Res<[u8; N]> {
    let start = usize::try_from(at).ok();
    let bytes = start.and_then(|start| payload.get(start..start.checked_add(N)?)).and_then(|b| b.try_into().ok());
    bytes.map_or_else(|| throw("short_payload"), Ok)
}

/// Integers of a payload by position. Beyond its end: `short_payload`.
fn bytes(engine: &mut Engine) {
    engine
        .register_fn("u8", |p: &mut Blob, i: i64| at::<1>(p, i).map(|[b]| i64::from(b)))
        .register_fn("i8", |p: &mut Blob, i: i64| at::<1>(p, i).map(|b| i64::from(i8::from_le_bytes(b))))
        .register_fn("u16le", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(u16::from_le_bytes(b))))
        .register_fn("u16be", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(u16::from_be_bytes(b))))
        .register_fn("i16le", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(i16::from_le_bytes(b))))
        .register_fn("i16be", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(i16::from_be_bytes(b))))
        .register_fn("u32le", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(u32::from_le_bytes(b))))
        .register_fn("u32be", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(u32::from_be_bytes(b))))
        .register_fn("i32le", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(i32::from_le_bytes(b))))
        .register_fn("i32be", |p: &mut Blob, i: i64| at(p, i).map(|b| i64::from(i32::from_be_bytes(b))))
        .register_fn("i64le", |p: &mut Blob, i: i64| at(p, i).map(i64::from_le_bytes))
        .register_fn("i64be", |p: &mut Blob, i: i64| at(p, i).map(i64::from_be_bytes))
        .register_fn("sfloat", |p: &mut Blob, i: i64| sfloat(u16::from_le_bytes(at(p, i)?)))
        .register_fn("float32", |p: &mut Blob, i: i64| float32(u32::from_le_bytes(at(p, i)?)));
}

/// The 16-bit float of IEEE 11073-20601: 4 bits of exponent, 12 of mantissa.
fn sfloat(bits: u16) -> Res<Decimal> {
    let (mantissa, exponent) = (i64::from((bits << 4) as i16 >> 4), (bits as i16 >> 12) as i8);
    match bits & 0x0fff {
        // NaN, not at this resolution, reserved, and both infinities.
        0x07fe..=0x0802 => throw("not_finite"),
        _ => Ok(Decimal { mantissa, exponent }),
    }
}

/// The 32-bit float of IEEE 11073-20601: 8 bits of exponent, 24 of mantissa.
fn float32(bits: u32) -> Res<Decimal> {
    let (mantissa, exponent) = (i64::from((bits << 8) as i32 >> 8), (bits as i32 >> 24) as i8);
    match bits & 0x00ff_ffff {
        0x007f_fffe..=0x0080_0002 => throw("not_finite"),
        _ => Decimal::new(mantissa, exponent).map_err(|_| out_of_range()),
    }
}

fn raw(quantity: ImmutableString, content: RawContent) -> RawReading {
    RawReading { quantity: quantity.into(), content, time: RawTime::Ago(0), poor_contact: false }
}

/// Whether it has more than 64 bits: a number of JSON that no decimal holds.
fn is_too_large(value: f64) -> bool {
    value.abs() >= 2f64.powi(63)
}

fn sample(value: &Dynamic) -> Res<i64> {
    value.as_int().map_err(|_| match value.as_float() {
        Ok(float) if is_too_large(float) => out_of_range(),
        _ => Box::new(EvalAltResult::ErrorArithmetic("samples are whole numbers".into(), rhai::Position::NONE)),
    })
}

fn readings(engine: &mut Engine) {
    type Text = ImmutableString;
    let number = |q: Text, value: RawNumber, unit: Text| raw(q, RawContent::Number(value, unit.into()));
    engine
        .register_fn("reading", move |quantity: Text, value: i64, unit: Text| {
            number(quantity, RawNumber::Decimal(Decimal::integer(value)), unit)
        })
        .register_fn("reading", move |quantity: Text, value: Decimal, unit: Text| {
            number(quantity, RawNumber::Decimal(value), unit)
        })
        // Accepted here so that it can be refused by name there.
        .register_fn("reading", move |quantity: Text, value: f64, unit: Text| {
            number(quantity, if is_too_large(value) { RawNumber::TooLarge } else { RawNumber::Float }, unit)
        })
        .register_fn("gap", |quantity: Text, reason: Text| raw(quantity, RawContent::Gap(reason.into())))
        .register_fn("wave", |quantity: Text, period_ns: i64, exponent: i64, samples: Array| -> Res<RawReading> {
            let samples = samples.iter().map(sample).collect::<Res<Vec<i64>>>()?;
            Ok(raw(quantity, RawContent::Wave { period_ns, exponent, samples }))
        })
        .register_fn("at_ms", |r: RawReading, ms: i64| RawReading { time: RawTime::At(ms.saturating_mul(1_000)), ..r })
        .register_fn("at_us", |r: RawReading, us: i64| RawReading { time: RawTime::At(us), ..r })
        .register_fn("ago_ms", |r: RawReading, ms: i64| RawReading {
            time: RawTime::Ago(ms.saturating_mul(1_000)),
            ..r
        })
        .register_fn("ago_us", |r: RawReading, us: i64| RawReading { time: RawTime::Ago(us), ..r })
        .register_fn("poor_contact", |r: RawReading| RawReading { poor_contact: true, ..r });
}

/// JSON to maps and lists; whole numbers stay whole, others become decimals with the digits they were written with, as many as
/// one holds. What is too large for one is a float: whether that matters, the script decides, which may have no use for it.
fn json(payload: &Blob) -> Res<Dynamic> {
    let value = Reader::new(payload).and_then(|mut reader| {
        let value = value(&mut reader, 16)?;
        if reader.is_done() { Ok(value) } else { Err(crate::Fault::Trailing) }
    });
    value.or_else(|_| throw("bad_json"))
}

fn value(reader: &mut Reader<'_>, depth: usize) -> Result<Dynamic, crate::Fault> {
    let deeper = depth.checked_sub(1).ok_or(crate::Fault::BadJson("it is nested too deep"))?;
    Ok(match reader.kind()? {
        Kind::Null => reader.null().map(|()| Dynamic::UNIT)?,
        Kind::Boolean => Dynamic::from(reader.boolean()?),
        Kind::String => Dynamic::from(reader.string()?.into_owned()),
        Kind::Number => number(reader.number()?),
        Kind::Array => {
            let mut list = Array::new();
            reader.array(|reader| {
                list.push(value(reader, deeper)?);
                Ok(())
            })?;
            Dynamic::from(list)
        }
        Kind::Object => {
            let mut map = Map::new();
            reader.object(|reader, name| {
                let member = value(reader, deeper)?;
                // The last of two members of one name must not quietly win.
                match map.insert(name.as_ref().into(), member) {
                    None => Ok(()),
                    Some(_) => Err(crate::Fault::BadJson("a name stands twice in an object")),
                }
            })?;
            Dynamic::from(map)
        }
    })
}

fn number(text: &str) -> Dynamic {
    match (text.parse::<i64>(), Number::from_json(text)) {
        (Ok(whole), _) => Dynamic::from(whole),
        (_, Some(Number::Exact(decimal))) => Dynamic::from(decimal),
        _ => match rounded(text) {
            Some(decimal) => Dynamic::from(decimal),
            // Its grammar is that of a float; beyond the largest it is infinite.
            None => Dynamic::from(text.parse().unwrap_or(f64::INFINITY)),
        },
    }
}

#[cfg(test)]
mod tests;
