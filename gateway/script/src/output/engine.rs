//! The child: what an output's script can call, and one event to its requests.

use pitchside_model::Decimal;
use rhai::{AST, Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Scope};
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::json;
use super::request::{REQUESTS_MAX, Request};
use crate::fault::Fault;
use crate::{Compiled, Limits, Sandbox, compile};

/// The longest name a script may throw.
const REFUSAL_BYTES_MAX: usize = 48;

type Res<T> = Result<T, Box<EvalAltResult>>;

/// What a script made of one event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// These are to be carried out, in order; none if the event is not for it.
    Requests(Vec<Request>),
    /// The script threw this name: it can make nothing of the event.
    Refused(String),
    /// The script failed or exceeded a limit.
    Fault(String),
}

/// A script, ready to be told of alerts.
pub struct Output {
    sandbox: Sandbox,
    ast: AST,
    params: Vec<(String, f64)>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Output {
    /// Compiles a script; all problems at once, a line each.
    pub fn load(file: &str, source: &str, params: &[(String, f64)]) -> Result<Self, Vec<String>> {
        let sandbox = sandbox();
        let mut scope = constants(params);
        // No constant here: that would be folded in, and every event be this one.
        scope.push("event", Map::new());
        let Compiled { ast, .. } = compile(sandbox.engine(), sandbox.limits(), file, source, &scope)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        Ok(Self { sandbox, ast, params: params.to_vec() })
    }

    /// What the script makes of one event.
    pub fn tell(&self, event: &Event) -> Outcome {
        let mut scope = constants(&self.params);
        scope.push_constant("event", event.to_map());
        let result: Res<Dynamic> = self.sandbox.run(|engine| engine.eval_ast_with_scope(&mut scope, &self.ast));
        match result {
            Ok(value) => requests(value),
            Err(error) => {
                refusal(&error).map_or_else(|| Outcome::Fault(Fault::from_rhai(&error).to_string()), Outcome::Refused)
            }
        }
    }
}

fn constants(params: &[(String, f64)]) -> Scope<'static> {
    let mut scope = Scope::new();
    for (name, value) in params {
        scope.push_constant(name.as_str(), *value);
    }
    scope
}

fn requests(value: Dynamic) -> Outcome {
    let kind = value.type_name();
    let Some(list) = value.try_cast::<Array>() else {
        return Outcome::Fault(format!("it returned {kind}, not a list of requests"));
    };
    if list.len() > REQUESTS_MAX {
        return Outcome::Fault(format!("it asks for {} things at once; at most {REQUESTS_MAX}", list.len()));
    }
    let mut found = Vec::with_capacity(list.len());
    for item in list {
        let kind = item.type_name();
        let Some(request) = item.try_cast::<Request>() else {
            return Outcome::Fault(format!("it returned a list with a {kind} in it, not one of requests"));
        };
        if let Err(error) = request.check() {
            return Outcome::Fault(error.to_string());
        }
        found.push(request);
    }
    Outcome::Requests(found)
}

/// The name a script threw; none if it failed in another way.
fn refusal(error: &EvalAltResult) -> Option<String> {
    let mut inner = error;
    while let EvalAltResult::ErrorInFunctionCall(_, _, next, _) | EvalAltResult::ErrorInModule(_, next, _) = inner {
        inner = next;
    }
    let EvalAltResult::ErrorRuntime(value, _) = inner else { return None };
    let name = value.clone().into_immutable_string().ok()?;
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (!name.is_empty() && name.len() <= REFUSAL_BYTES_MAX && name.bytes().all(plain)).then(|| name.to_string())
}

/// What runs outputs' scripts.
pub fn sandbox() -> Sandbox {
    Sandbox::new(Limits::DECODER, register)
}

/// Everything an output has beyond the sandbox's own packages.
fn register(engine: &mut Engine) {
    type Text = ImmutableString;
    engine.register_type_with_name::<Decimal>("decimal").register_type_with_name::<Request>("request");
    engine
        .register_fn("to_string", |decimal: &mut Decimal| decimal.to_string())
        .register_fn("<", |a: Decimal, b: Decimal| a.compare(b).is_lt())
        .register_fn(">", |a: Decimal, b: Decimal| a.compare(b).is_gt())
        .register_fn("==", |a: Decimal, b: Decimal| a.compare(b).is_eq())
        .register_fn("json_text", |map: Map| -> Res<String> { json_text(&Dynamic::from(map)) })
        .register_fn("json_text", |list: Array| -> Res<String> { json_text(&Dynamic::from(list)) })
        .register_fn("http_post", |url: Text, content_type: Text, body: Text| Request::Http {
            url: url.into(),
            content_type: content_type.into(),
            body: body.into(),
        })
        .register_fn("mqtt_publish", |topic: Text, body: Text| Request::Mqtt { topic: topic.into(), body: body.into() })
        .register_fn("serial_write", |path: Text, baud: i64, body: Text| Request::Serial {
            path: path.into(),
            baud,
            body: body.into(),
        });
}

fn json_text(value: &Dynamic) -> Res<String> {
    json::text(value).map_err(|kind| {
        let text = format!("{kind} has no JSON here: use whole numbers, decimals, texts, lists and maps");
        Box::new(EvalAltResult::ErrorArithmetic(text, rhai::Position::NONE))
    })
}
