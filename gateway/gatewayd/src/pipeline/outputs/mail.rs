//! Mail: one message to one address over SMTP (RFC 5321), by `lettre`. The same step of the same alert has the same Message-ID however
//! often it is sent, and all mails of an alert refer to one id that none of them has, so that mail programs put them into one thread.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters, TlsParametersBuilder};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use pitchside_model::Timestamp;
use pitchside_script::output::{MailServer, MailTls};
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;

use super::address;
use super::authorities::Authorities;
use super::carry::CarryError;

/// How long each answer of the server may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long all of it may.
const WITHIN: Duration = Duration::from_secs(45);
/// The most characters of what a server says that are repeated.
const SAID_CHARS_MAX: usize = 300;
/// Refusals for good that an admin can mend: authentication, and being told that it is needed (RFC 4954, 6).
const ABOUT_LOGIN: [u16; 4] = [530, 534, 535, 538];

/// A mail, checked: see [`pitchside_script::output::Request`].
pub struct Letter<'a> {
    /// Who takes it.
    pub server: &'a MailServer,
    /// From whom.
    pub from: &'a str,
    /// To whom.
    pub to: &'a str,
    /// One line.
    pub subject: &'a str,
    /// Plain text.
    pub text: &'a str,
    /// User and password.
    pub login: Option<(&'a str, &'a str)>,
}

/// Sends mail.
#[derive(Default)]
pub struct Mailer {
    /// Its own are trusted beside those of the system.
    authorities: Authorities,
}

fn never(error: impl std::fmt::Display) -> CarryError {
    CarryError::Never(error.to_string())
}

impl Mailer {
    /// Trusts these.
    pub const fn new(authorities: Authorities) -> Self {
        Self { authorities }
    }

    /// Sends one mail under a key that names it for good: `ALERT-STEP-NUMBER`.
    pub async fn send(&self, letter: &Letter<'_>, key: &str, now: Timestamp) -> Result<(), CarryError> {
        let message = message(letter, key, now)?;
        // The name is looked up again to connect: a server that answers otherwise then is found out by TLS.
        let server = letter.server;
        address::of(&server.host, server.port).await.map_err(|error| CarryError::Later(format!("{error:#}")))?;
        let own = self.authorities.own().map_err(|error| CarryError::Later(format!("{error:#}")))?;
        let transport = transport(letter, &own).map_err(|error| later(&error))?;
        match timeout(WITHIN, transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(refused(&error)),
            Err(_) => Err(CarryError::Later(format!("the mail server took longer than {} s", WITHIN.as_secs()))),
        }
    }
}

fn transport(letter: &Letter<'_>, own: &[CertificateDer<'_>]) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
    let host = letter.server.host.clone();
    let parameters = || {
        let all = TlsParameters::builder(host.clone());
        let own = own.iter().map(|one| Certificate::from_der(one.to_vec())).collect::<Result<Vec<_>, _>>()?;
        own.into_iter().fold(all, TlsParametersBuilder::add_root_certificate).build()
    };
    let tls = match letter.server.tls {
        MailTls::Wrapped => Tls::Wrapper(parameters()?),
        // Required: without STARTTLS nothing is said, so nobody on the way can take it out.
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Clear => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
        .port(letter.server.port)
        .tls(tls)
        .timeout(Some(ANSWER_WITHIN));
    Ok(match letter.login {
        Some((user, password)) => builder.credentials(Credentials::new(user.to_owned(), password.to_owned())).build(),
        None => builder.build(),
    })
}

fn message(letter: &Letter<'_>, key: &str, now: Timestamp) -> Result<Message, CarryError> {
    let mailbox = |address: &str| address.parse::<Address>().map(|address| Mailbox::new(None, address)).map_err(never);
    let domain = letter.from.split_once('@').map_or("invalid", |(_, domain)| domain);
    let alert = key.split_once('-').map_or(key, |(alert, _)| alert);
    let seconds = u64::try_from(now.0.div_euclid(1_000_000)).unwrap_or_default();
    Message::builder()
        .from(mailbox(letter.from)?)
        .to(mailbox(letter.to)?)
        .subject(letter.subject)
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
        .message_id(Some(format!("<{key}@{domain}>")))
        .references(format!("<{alert}@{domain}>"))
        // RFC 3834: out-of-office programs leave it alone.
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()))
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.to_owned())
        .map_err(never)
}

fn said(error: &Error) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
}

fn later(error: &Error) -> CarryError {
    CarryError::Later(said(error))
}

/// What the server refused for good stays refused: an address it does not know will not be known tomorrow.
fn refused(error: &Error) -> CarryError {
    let code = error.status().map(u16::from);
    if error.is_permanent() && !code.is_some_and(|code| ABOUT_LOGIN.contains(&code)) {
        return CarryError::Never(format!("the mail server refuses it: {}", said(error)));
    }
    later(error)
}

#[cfg(test)]
mod tests;
