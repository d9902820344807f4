//! What happens to every request before and after its route.
//!
//! Before: is it addressed to us, does it come from our own page, does the route exist, may this person use it, is the
//! body small and quick enough. After: the headers that keep the page safe. A request that fails never reaches warp.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, timeout};
use warp::filters::BoxedFilter;
use warp::reply::Response;

use crate::assets;
use crate::config::Limits;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::signin::{COOKIE, SignIns, SignedIn};
use crate::table::{self, Access, Found, RouteEntry};
use crate::view::Role;

/// Where a request comes from; an extension of every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The checks, and the routes behind them.
pub struct Gate {
    /// Lower-case host names and addresses this gateway answers to.
    pub hosts: Vec<String>,
    /// The bounds.
    pub limits: Limits,
    /// Who is signed in.
    pub sign_ins: SignIns,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The routes.
    pub routes: BoxedFilter<(Response,)>,
}

impl Gate {
    /// Answers one request.
    pub async fn answer(&self, peer: Peer, request: Request<Incoming>) -> Response {
        let host = request.headers().get(header::HOST).cloned();
        let route = match table::find(request.method(), request.uri().path()) {
            Found::Route(entry) => entry.path,
            Found::File => "file",
            Found::Method(_) | Found::Nothing => "none",
        };
        let method = request.method().clone();
        let mut response = self.pass(peer, request).await.unwrap_or_else(|problem| problem.response());
        let status = response.status();
        self.metrics.request(route, status.as_u16());
        tracing::debug!(peer = %peer.0, %method, route, status = status.as_u16(), "answered");
        protect(response.headers_mut(), route, host.as_ref());
        response
    }

    async fn pass(&self, peer: Peer, request: Request<Incoming>) -> Result<Response, Problem> {
        self.check_host(&request)?;
        check_origin(&request)?;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let route = match table::find(&method, &path) {
            Found::File => return Ok(assets::serve(&path, request.headers())),
            Found::Method(allowed) => return Err(Problem::Method(allowed)),
            Found::Nothing => return Err(Problem::NotFound),
            Found::Route(route) => route,
        };
        let who = cookie(request.headers()).and_then(|cookie| self.sign_ins.find(cookie, &self.limits, Instant::now()));
        check_access(route, who.as_ref(), peer)?;
        let (mut parts, body) = request.into_parts();
        let body = self.collect(route, &parts.headers, body).await?;
        parts.extensions.insert(peer);
        if let Some(who) = who {
            parts.extensions.insert(who);
        }
        let service = TowerToHyperService::new(warp::service(self.routes.clone()));
        match timeout(self.limits.handler_time_max, service.call(Request::from_parts(parts, body))).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(impossible)) => match impossible {},
            Err(_) => {
                tracing::warn!(route = route.path, "a request took longer than allowed and was given up");
                Err(Problem::Unavailable)
            }
        }
    }

    fn check_host<B>(&self, request: &Request<B>) -> Result<(), Problem> {
        // This is no proxy: a request names a path, and its host in exactly one header.
        if request.uri().authority().is_some() || request.uri().scheme().is_some() {
            return Err(Problem::BadRequest("The request names a whole URL where only a path belongs."));
        }
        if request.version() < Version::HTTP_11 {
            return Err(Problem::BadRequest("HTTP/1.1 is needed."));
        }
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return Err(Problem::BadRequest("Exactly one Host header is needed."));
        };
        let name = host.to_str().ok().and_then(host_name).ok_or(Problem::WrongHost)?;
        self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name)).then_some(()).ok_or(Problem::WrongHost)
    }

    /// Reads the whole body: it is small. What has no body by the table gets none.
    async fn collect(&self, route: &RouteEntry, headers: &HeaderMap, mut body: Incoming) -> Result<String, Problem> {
        let limit = if route.body { self.limits.body_bytes_max } else { 0 };
        let too_large = || Problem::TooLarge(limit);
        if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
            return Err(too_large());
        }
        if route.body && !is_json(headers) {
            return Err(Problem::Body("its Content-Type is not application/json".to_owned()));
        }
        let read = async {
            let mut bytes = Vec::new();
            while let Some(frame) =
                std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
            {
                let frame = frame.map_err(|_| Problem::BadRequest("The body was cut off."))?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > limit {
                    return Err(too_large());
                }
                bytes.extend_from_slice(&data);
            }
            String::from_utf8(bytes).map_err(|_| Problem::Body("it is not UTF-8".to_owned()))
        };
        timeout(self.limits.body_time_max, read).await.map_err(|_| Problem::Slow)?
    }
}

/// The host of a Host header without its port; none if it is malformed.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, after) = rest.split_once(']')?;
            (name, after.strip_prefix(':').or(after.is_empty().then_some("0"))?)
        }
        None => host.split_once(':').unwrap_or((host, "0")),
    };
    (!name.is_empty() && port.parse::<u16>().is_ok() && !port.starts_with('+')).then_some(name)
}

/// A browser names the page that sent a request in Origin. It must be our own; and what changes something must have one,
/// since a program can add it and a browser always does.
fn check_origin<B>(request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => matches!(*request.method(), Method::GET | Method::HEAD).then_some(()).ok_or(Problem::WrongOrigin),
        (Some(origin), None) => {
            let ours =
                headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| format!("https://{host}"));
            let same = origin.to_str().ok().zip(ours).is_some_and(|(origin, ours)| origin.eq_ignore_ascii_case(&ours));
            same.then_some(()).ok_or(Problem::WrongOrigin)
        }
        (Some(_), Some(_)) => Err(Problem::WrongOrigin),
    }
}

fn check_access(route: &RouteEntry, who: Option<&SignedIn>, peer: Peer) -> Result<(), Problem> {
    match (route.access, who) {
        (Access::Public, _) => Ok(()),
        (Access::SignedIn(_), None) => Err(Problem::NotSignedIn),
        (Access::SignedIn(role), Some(who)) if who.role >= role => Ok(()),
        (Access::SignedIn(role), Some(_)) => Err(Problem::Forbidden(role)),
        (Access::AdminOrLoopback, Some(who)) if who.role >= Role::Admin => Ok(()),
        (Access::AdminOrLoopback, _) if peer.0.to_canonical().is_loopback() => Ok(()),
        (Access::AdminOrLoopback, _) => Err(Problem::MetricsForbidden),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let essence = |text: &str| text.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("application/json");
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(essence)
}

/// Our cookie's value. If it comes twice somebody is playing tricks, and neither counts.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut ours = pairs
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value);
    ours.next().filter(|_| ours.next().is_none())
}

/// No script, style, picture or connection but our own; nobody may frame the page; Svelte's templates are the only
/// thing that may write HTML.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types svelte-trusted-html";

fn protect(headers: &mut HeaderMap, route: &str, host: Option<&HeaderValue>) {
    let fixed = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // On `localhost` it would bind every other local server of the machine too.
    let local = host.is_some_and(|host| host.as_bytes().to_ascii_lowercase().starts_with(b"localhost"));
    if !local {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    if route != "file" || !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests;
