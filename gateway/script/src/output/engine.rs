//! The child: what an output's script can call, and one event to its requests.

use pitchside_model::Decimal;
use rhai::{AST, Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Scope};
use serde::{Deserialize, Serialize};

use super::address::mail_address;
use super::event::Event;
use super::json;
use super::request::{Auth, REQUESTS_MAX, Request, mail_text};
use crate::fault::Fault;
use crate::manifest::Constant;
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
    params: Vec<(String, Constant)>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Output {
    /// Compiles a script; all problems at once, a line each.
    pub fn load(file: &str, source: &str, params: &[(String, Constant)]) -> Result<Self, Vec<String>> {
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

fn constants(params: &[(String, Constant)]) -> Scope<'static> {
    let mut scope = Scope::new();
    for (name, value) in params {
        match value {
            Constant::Number(number) => scope.push_constant(name.as_str(), *number),
            Constant::Text(text) => scope.push_constant(name.as_str(), text.clone()),
        };
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
            auth: Auth::None,
            signed: None,
        })
        .register_fn("mqtt_publish", |topic: Text, body: Text| Request::Mqtt { topic: topic.into(), body: body.into() })
        .register_fn("serial_write", |path: Text, baud: i64, body: Text| Request::Serial {
            path: path.into(),
            baud,
            body: body.into(),
            latest: false,
        })
        .register_fn("mail", |server: Text, from: Text, to: Text, subject: Text, text: Text| Request::Mail {
            server: server.into(),
            from: mail_address(&from),
            to: mail_address(&to),
            subject: subject.into(),
            text: mail_text(&text),
            login: None,
        })
        .register_fn("gpio_pulse", |chip: Text, line: i64, pattern: Array| -> Res<Request> {
            let pattern = list(pattern, "milliseconds", |item| item.as_int().ok())?;
            Ok(Request::Gpio { chip: chip.into(), line, pattern, active_low: false })
        })
        .register_fn("lcd", |bus: Text, address: i64, lines: Array| -> Res<Request> {
            let lines = list(lines, "lines of text", |item| item.into_string().ok())?;
            Ok(Request::Lcd { bus: bus.into(), address, lines })
        })
        .register_fn("lcd", |bus: Text, address: Text, lines: Array| -> Res<Request> {
            let lines = list(lines, "lines of text", |item| item.into_string().ok())?;
            let number = address.strip_prefix("0x").and_then(|hex| i64::from_str_radix(hex, 16).ok());
            let Some(address) = number else { return wrong("an address is a number, or written 0x27") };
            Ok(Request::Lcd { bus: bus.into(), address, lines })
        });
    register_ways(engine);
}

/// How a request is carried out: who it is from, what signs it. Secrets are named here and known to the host alone.
fn register_ways(engine: &mut Engine) {
    type Text = ImmutableString;
    engine
        .register_fn("bearer", |request: Request, secret: Text| match request {
            Request::Http { url, content_type, body, signed, .. } => {
                Ok(Request::Http { url, content_type, body, auth: Auth::Bearer(secret.into()), signed })
            }
            _ => wrong("only a request of http_post has a bearer token"),
        })
        .register_fn("basic", |request: Request, user: Text, secret: Text| match request {
            Request::Http { url, content_type, body, signed, .. } => {
                let auth = Auth::Basic { user: user.into(), password: secret.into() };
                Ok(Request::Http { url, content_type, body, auth, signed })
            }
            _ => wrong("only a request of http_post has a user and a password; a mail has a login"),
        })
        .register_fn("signed", |request: Request, secret: Text| match request {
            Request::Http { url, content_type, body, auth, .. } => {
                Ok(Request::Http { url, content_type, body, auth, signed: Some(secret.into()) })
            }
            _ => wrong("only a request of http_post is signed"),
        })
        .register_fn("login", |request: Request, user: Text, secret: Text| match request {
            Request::Mail { server, from, to, subject, text, .. } => {
                let login = Some((user.into(), secret.into()));
                Ok(Request::Mail { server, from, to, subject, text, login })
            }
            _ => wrong("only a mail has a login"),
        })
        .register_fn("latest", |request: Request| match request {
            Request::Serial { path, baud, body, .. } => Ok(Request::Serial { path, baud, body, latest: true }),
            _ => wrong("only a request of serial_write is the latest; that of lcd always is"),
        })
        .register_fn("active_low", |request: Request| match request {
            Request::Gpio { chip, line, pattern, .. } => Ok(Request::Gpio { chip, line, pattern, active_low: true }),
            _ => wrong("only a request of gpio_pulse is active low"),
        });
}

fn wrong<T>(text: &str) -> Res<T> {
    Err(Box::new(EvalAltResult::ErrorArithmetic(text.to_owned(), rhai::Position::NONE)))
}

fn list<T>(items: Array, of: &str, read: impl Fn(Dynamic) -> Option<T>) -> Res<Vec<T>> {
    let found: Option<Vec<T>> = items.into_iter().map(read).collect();
    found.map_or_else(|| wrong(&format!("it takes a list of {of}, and nothing else")), Ok)
}

fn json_text(value: &Dynamic) -> Res<String> {
    json::text(value)
        .or_else(|kind| wrong(&format!("{kind} has no JSON here: use whole numbers, decimals, texts, lists and maps")))
}
