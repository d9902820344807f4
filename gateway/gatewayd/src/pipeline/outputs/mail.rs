//! Mail: one message to one address over SMTP (RFC 5321), by `lettre`. The same step of the same alert has the same Message-ID however
//! often it is sent, and all mails of an alert refer to one id that none of them has, so that mail programs put them into one thread.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder};
use lettre::transport::smtp::extension::ClientId;
use pitchside_model::Timestamp;
use pitchside_script::output::{MailServer, MailTls};
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;

use super::address::Resolver;
use super::authorities::Authorities;
use super::carry::CarryError;

/// How long each address of the server may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
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
    resolver: Resolver,
}

fn never(error: impl std::fmt::Display) -> CarryError {
    CarryError::Never(error.to_string())
}

impl Mailer {
    /// Trusts these; has names looked up there.
    pub const fn new(authorities: Authorities, resolver: Resolver) -> Self {
        Self { authorities, resolver }
    }

    /// Sends one mail under a key that names it for good: `ALERT-STEP-NUMBER`.
    pub async fn send(&self, letter: &Letter<'_>, key: &str, now: Timestamp) -> Result<(), CarryError> {
        let message = message(letter, key, now)?;
        let own = self.authorities.own().map_err(|error| CarryError::Later(format!("{error:#}")))?;
        let MailServer { host, port, .. } = letter.server;
        let sent = timeout(WITHIN, async {
            let addresses = self.resolver.addresses(host, *port).await;
            let addresses = addresses.map_err(|error| CarryError::Later(format!("{error:#}")))?;
            deliver(letter, &message, &addresses, &own).await.map_err(|error| refused(&error))
        });
        sent.await.unwrap_or_else(|_| {
            Err(CarryError::Later(format!("the mail server took longer than {} s", WITHIN.as_secs())))
        })
    }
}

/// One mail in a conversation of its own with one of these addresses, the first that answers. In TLS it is to prove the name that was
/// granted, whatever its address.
async fn deliver(
    letter: &Letter<'_>,
    message: &Message,
    addresses: &[SocketAddr],
    own: &[CertificateDer<'_>],
) -> Result<(), Error> {
    let parameters = || {
        let all = TlsParameters::builder(letter.server.host.clone());
        let own = own.iter().map(|one| Certificate::from_der(one.to_vec())).collect::<Result<Vec<_>, _>>()?;
        own.into_iter().fold(all, TlsParametersBuilder::add_root_certificate).build()
    };
    let (wrapped, starttls) = match letter.server.tls {
        MailTls::Wrapped => (Some(parameters()?), None),
        MailTls::Starttls => (None, Some(parameters()?)),
        MailTls::Clear => (None, None),
    };
    let hello = ClientId::default();
    // Addresses, not the name: a name would be looked up anew.
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(addresses, Some(CONNECT_WITHIN), &hello, wrapped, None).await?;
    if let Some(parameters) = starttls {
        // Without STARTTLS nothing is said, so nobody on the way can take it out.
        connection.starttls(parameters, &hello).await?;
    }
    if let Some((user, password)) = letter.login {
        let login = Credentials::new(user.to_owned(), password.to_owned());
        connection.auth(DEFAULT_MECHANISMS, &login).await?;
    }
    connection.send(message.envelope(), &message.formatted()).await?;
    // It has the mail: what it says to a goodbye changes nothing.
    connection.abort().await;
    Ok(())
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
        // RFC 2045, 4: without it nobody needs to heed the type and the encoding below.
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.to_owned())
        .map_err(never)
}

fn said(error: &Error) -> String {
    error.to_string().chars().filter(|c| !c.is_control()).take(SAID_CHARS_MAX).collect()
}

/// What the server refused for good stays refused: an address it does not know will not be known tomorrow.
fn refused(error: &Error) -> CarryError {
    let code = error.status().map(u16::from);
    if error.is_permanent() && !code.is_some_and(|code| ABOUT_LOGIN.contains(&code)) {
        return CarryError::Never(format!("the mail server refuses it: {}", said(error)));
    }
    CarryError::Later(said(error))
}

#[cfg(test)]
mod tests;
