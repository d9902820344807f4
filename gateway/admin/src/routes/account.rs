//! Signing in and out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use serde::{Deserialize, Deserializer};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::api::Me;
use crate::gate::Peer;
use crate::openapi::Refused;
use crate::password::PASSWORD_BYTES_MAX;
use crate::problem::Problem;
use crate::routes::{Answer, App, json, set_cookie};
use crate::signin::{COOKIE, SignedIn};
use crate::throttle::{Rate, Throttle};
use crate::view::{StoredUser, UserName};

/// Somebody's name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    /// The user's name.
    name: String,
    /// The password.
    #[schema(value_type = String, format = Password)]
    #[serde(deserialize_with = "secret")]
    password: Zeroizing<String>,
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

/// How often somebody may guess.
pub(crate) struct Guesses {
    /// From one address (for IPv6: from one /64).
    peers: Throttle<IpAddr>,
    /// For one name: slow enough against guessing from many addresses, quick enough that guessing for somebody else's
    /// name hardly locks them out.
    names: Throttle<UserName>,
    /// By anybody.
    all: Throttle<()>,
}

impl Guesses {
    pub(crate) fn new() -> Self {
        let rate = |burst, refill_s| Rate { burst, refill: Duration::from_secs(refill_s) };
        Self {
            peers: Throttle::new(rate(10, 6), 4_096),
            names: Throttle::new(rate(20, 3), 4_096),
            all: Throttle::new(rate(60, 1), 1),
        }
    }

    fn take(&mut self, peer: IpAddr, name: &UserName, now: Instant) -> Result<(), Duration> {
        self.peers.take(&network(peer), now)?;
        self.names.take(name, now)?;
        self.all.take(&(), now)
    }

    fn refund(&mut self, peer: IpAddr, name: &UserName) {
        self.peers.refund(&network(peer));
        self.names.refund(name);
        self.all.refund(&());
    }
}

/// Whoever has an IPv6 address has its whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

/// Signs somebody in and sets the cookie.
#[utoipa::path(post, path = "/api/v1/login", tag = "people", request_body = Login, security(()), responses(
    (status = 200, description = "Signed in; the cookie is set", body = Me),
    (status = 401, description = "Name and password do not fit", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    (status = 429, description = "Too many attempts", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn login(app: Arc<App>, peer: Peer, body: Bytes) -> Answer {
    let login: Login = serde_json::from_slice(&body).map_err(|error| Problem::Body(what_is_wrong(&error)))?;
    // A name nobody can have and a password nobody can have set are refused as any wrong ones are.
    let name = UserName::parse(&login.name).filter(|_| login.password.len() <= PASSWORD_BYTES_MAX);
    let name = name.ok_or(Problem::LoginRefused)?;
    app.guesses.lock().take(peer.0, &name, Instant::now()).map_err(|wait| {
        app.parts.metrics.sign_in("throttled");
        tracing::warn!(peer = %peer.0, "too many attempts to sign in");
        Problem::TooMany(wait)
    })?;
    let Some(stored) = check(&app, name.clone(), login.password).await? else {
        app.parts.metrics.sign_in("refused");
        // The name may be a password typed into the wrong field: it stays out of the log.
        tracing::warn!(peer = %peer.0, "an attempt to sign in is refused");
        return Err(Problem::LoginRefused);
    };
    app.guesses.lock().refund(peer.0, &name);
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|error| {
        tracing::error!(%error, "no randomness");
        Problem::Internal
    })?;
    let (cookie, who) = app.parts.sign_ins.begin(name, &stored, random, &app.limits, Instant::now());
    app.parts.metrics.sign_in("accepted");
    tracing::info!(peer = %peer.0, user = %who.user, role = %who.role, "signed in");
    let mut response = json(&describe(&who))?;
    let age_s = app.limits.sign_in_time_max.as_secs();
    let cookie = format!("{COOKIE}={cookie}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={age_s}");
    set_cookie(response.headers_mut(), &cookie)?;
    Ok(response)
}

/// Looks the user up and checks the password, with the same effort whether the name exists or not.
async fn check(app: &Arc<App>, name: UserName, password: Zeroizing<String>) -> Result<Option<StoredUser>, Problem> {
    let waiting = Arc::clone(&app.password_checks).acquire_owned();
    let Ok(Ok(permit)) = timeout(Duration::from_secs(5), waiting).await else {
        return Err(Problem::TooMany(Duration::from_secs(5)));
    };
    let app = Arc::clone(app);
    let check = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let stored = app.parts.users.find(&name)?;
        let hash = stored.as_ref().map_or(&app.nobody, |stored| &stored.password);
        let right = hash.verify(password.as_bytes());
        Ok::<_, Problem>(stored.filter(|_| right))
    });
    check.await.map_err(|_| Problem::Internal)?
}

/// serde_json's messages may quote the input; position and kind do not.
fn what_is_wrong(error: &serde_json::Error) -> String {
    format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column()).to_lowercase()
}

/// Signs the asker out and takes the cookie back.
#[utoipa::path(post, path = "/api/v1/logout", tag = "people", responses(
    (status = 204, description = "Signed out"),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn logout(app: Arc<App>, who: SignedIn) -> Answer {
    app.parts.sign_ins.end(&who);
    let mut response = warp::reply::Response::default();
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    set_cookie(response.headers_mut(), &format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"))?;
    Ok(response)
}

/// Who is asking.
#[utoipa::path(get, path = "/api/v1/me", tag = "people", responses(
    (status = 200, description = "Who is signed in", body = Me),
    (status = 401, description = "Nobody is signed in", body = crate::problem::ProblemBody, content_type = "application/problem+json"),
    Refused
))]
pub(crate) async fn me(_app: Arc<App>, who: SignedIn) -> Answer {
    json(&describe(&who))
}

fn describe(who: &SignedIn) -> Me {
    let expires_in_s = who.expires.saturating_duration_since(Instant::now()).as_secs();
    Me { name: who.user.clone(), role: who.role, expires_in_s }
}
