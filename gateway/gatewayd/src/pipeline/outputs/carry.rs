//! One request carried out, if it was granted. The script has said what it wants; here is decided whether, and done.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use pitchside_collect::mqtt::{Gate, PublishError, Qos};
use pitchside_script::output::{Auth, MailServer, Request, RequestError, Url, is_loopback};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_serial::SerialPortBuilderExt as _;
use zeroize::Zeroizing;

use super::address::Resolver;
use super::authorities::Authorities;
use super::given::Given;
use super::http::{Client, Post};
use super::mail::{Letter, Mailer};
use super::signed::SigningKeys;
use super::{gpio, lcd};
use crate::clock::Clock;

/// How long a serial port may take.
const SERIAL_WITHIN: Duration = Duration::from_secs(5);

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CarryError {
    /// It never will be: not granted, or no request at all.
    Never(String),
    /// It may be later: nobody answers, or not well.
    Later(String),
    /// The other end asks to be left alone for so long.
    Busy(String, Duration),
    /// The other end says that the request itself is wrong. Whoever looks after it may mend that, but not for long.
    Unwanted(String),
}

/// Carries requests out.
pub struct Carrier {
    gate: Arc<Gate>,
    http: Client,
    mailer: Mailer,
    clock: Clock,
    /// Ports the box itself reads.
    own_ports: Vec<PathBuf>,
}

impl Carrier {
    /// Publishes through this gate; never writes to these ports, which are the box's own; trusts these authorities.
    pub fn new(gate: Arc<Gate>, own_ports: Vec<PathBuf>, authorities: Authorities, clock: Clock) -> Self {
        let resolver = Resolver::default();
        let (http, mailer) = (Client::new(authorities.clone(), resolver.clone()), Mailer::new(authorities, resolver));
        Self { gate, http, mailer, clock, own_ports }
    }

    /// Carries a request out under a key that names it for good.
    pub async fn carry(&self, request: &Request, key: &str, given: &Given) -> Result<(), CarryError> {
        request.is_granted(&given.granted).map_err(|error| CarryError::Never(error.to_string()))?;
        match request {
            Request::Http { url, content_type, body, auth, signed } => {
                let url = Url::parse(url).ok_or_else(|| CarryError::Never(format!("{url:?} is no URL")))?;
                let mut headers = authorization(auth, &url, given)?;
                let signature = match signed {
                    Some(name) => self.signature(name, key, body.as_bytes(), given)?,
                    None => Vec::new(),
                };
                let signed = !signature.is_empty();
                headers.extend(signature);
                let what = Post { content_type, key, headers, signed, body: Bytes::from(body.clone()) };
                self.http.post(&url, what).await
            }
            Request::Mqtt { topic, body } => {
                self.gate.publish(topic, Bytes::from(body.clone()), false, Qos::AtLeastOnce).map_err(unpublished)
            }
            Request::Serial { path, baud, body, .. } => self.write(path, *baud, body.as_bytes()).await,
            Request::Mail { server, from, to, subject, text, login } => {
                let server = MailServer::parse(server)
                    .ok_or_else(|| CarryError::Never(format!("{server:?} is no mail server")))?;
                let login = match login {
                    Some((user, name)) => given.secret(name)?.map(|password| (user.as_str(), password)),
                    None => None,
                };
                let letter = Letter { server: &server, from, to, subject, text, login };
                self.mailer.send(&letter, key, self.clock.now()).await
            }
            Request::Gpio { chip, line, pattern, active_low } => {
                gpio::pulse_chip(chip, *line, *active_low, pattern).await
            }
            Request::Lcd { bus, address, lines } => lcd::display(bus, *address, lines).await,
        }
    }

    /// The headers of Standard Webhooks, for this attempt.
    fn signature(
        &self,
        name: &str,
        key: &str,
        body: &[u8],
        given: &Given,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, CarryError> {
        let Some(secret) = given.secret(name)? else { return Ok(Vec::new()) };
        let keys = SigningKeys::parse(secret)
            .map_err(|error| CarryError::Later(format!("the secret {name} does not sign: {error}")))?;
        let seconds = self.clock.now().0.div_euclid(1_000_000);
        let value = |text: &str| HeaderValue::from_str(text).map_err(|error| CarryError::Never(error.to_string()));
        Ok(vec![
            (HeaderName::from_static("webhook-id"), value(key)?),
            (HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds)),
            (HeaderName::from_static("webhook-signature"), value(&keys.sign(key, seconds, body))?),
        ])
    }

    async fn write(&self, path: &str, baud: i64, bytes: &[u8]) -> Result<(), CarryError> {
        // A link may be another name for the same port.
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.own_ports.iter().any(|own| real(own) == real(Path::new(path))) {
            return Err(CarryError::Never(format!("the box itself listens on {path}")));
        }
        let baud = u32::try_from(baud).map_err(|_| CarryError::Never(format!("{baud} is no baud rate")))?;
        let written = timeout(SERIAL_WITHIN, async {
            let mut port = tokio_serial::new(path, baud).open_native_async()?;
            port.write_all(bytes).await?;
            port.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CarryError::Later(error.to_string())),
            Err(_) => Err(CarryError::Later(format!("the port took longer than {} s", SERIAL_WITHIN.as_secs()))),
        }
    }
}

/// What nobody can publish will not be published by waiting.
fn unpublished(error: PublishError) -> CarryError {
    match error {
        PublishError::Topic | PublishError::TooLarge => CarryError::Never(error.to_string()),
        PublishError::Roots | PublishError::Retained | PublishError::Busy => CarryError::Later(error.to_string()),
    }
}

/// Who it is from, as a header. A token that is set never travels in clear, but to this machine itself.
fn authorization(auth: &Auth, url: &Url, given: &Given) -> Result<Vec<(HeaderName, HeaderValue)>, CarryError> {
    let (name, written) = match auth {
        Auth::None => return Ok(Vec::new()),
        Auth::Bearer(name) => (name, given.secret(name)?.map(|token| Zeroizing::new(format!("Bearer {token}")))),
        Auth::Basic { user, password: name } => {
            let pair = |password: &str| {
                let pair = Zeroizing::new(format!("{user}:{password}"));
                Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())))
            };
            (name, given.secret(name)?.map(pair))
        }
    };
    let Some(written) = written else { return Ok(Vec::new()) };
    if !url.tls && !is_loopback(&url.host) {
        return Err(CarryError::Never(RequestError::InClear.to_string()));
    }
    let mut value = HeaderValue::from_str(&written)
        .map_err(|_| CarryError::Later(format!("the secret {name} has characters that no header can have")))?;
    value.set_sensitive(true);
    Ok(vec![(AUTHORIZATION, value)])
}

#[cfg(test)]
mod tests {
    use pitchside_collect::mqtt::Limits;
    use pitchside_script::output::request::PACKET_BYTES_MAX;

    use super::*;

    #[test]
    fn what_cannot_be_published_is_not_tried_for_a_day() {
        for (error, for_good) in [
            (PublishError::Topic, true),
            (PublishError::TooLarge, true),
            (PublishError::Roots, false),
            (PublishError::Retained, false),
            (PublishError::Busy, false),
        ] {
            assert_eq!(matches!(unpublished(error), CarryError::Never(_)), for_good, "{error}");
        }
        assert_eq!(
            PACKET_BYTES_MAX,
            Limits::default().packet_bytes_max,
            "what scripts may ask for, and what the gate takes"
        );
    }

    #[test]
    fn a_token_goes_over_tls_or_to_this_machine_and_where_none_is_set_there_is_none_to_protect() {
        let auth = Auth::Bearer("token".to_owned());
        let sent = |url: &str, token: Option<&str>| {
            authorization(&auth, &Url::parse(url).unwrap(), &Given::of_test("token", token))
                .map(|headers| headers.len())
        };
        for url in ["https://a.org/", "http://127.0.0.1:8080/"] {
            assert_eq!(sent(url, Some("tk")), Ok(1), "{url}");
        }
        let refused = sent("http://10.0.0.2/", Some("tk")).unwrap_err();
        assert_eq!(refused, CarryError::Never(RequestError::InClear.to_string()));
        assert_eq!(sent("http://10.0.0.2/", None), Ok(0));
    }
}
