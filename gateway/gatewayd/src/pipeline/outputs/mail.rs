//! Mail: one message to one address over SMTP (RFC 5321), by `lettre`. The same step of the same alert has the same Message-ID however
//! often it is sent, and all mails of an alert refer to one id that none of them has, so that mail programs put them into one thread.

mod line;

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::response::Severity;
use pitchside_model::Timestamp;
use pitchside_script::output::MailServer;
use tokio::time::timeout;

use super::address::Resolver;
use super::authorities::Authorities;
use super::carry::CarryError;

/// How long all may take up to where the text is sent.
const WITHIN: Duration = Duration::from_secs(45);
/// How long the text may, and the server to take it: it may do all its work before it says so, and whoever asks again meanwhile has it
/// twice (RFC 5321, 4.5.3.2.6).
const KEPT_WITHIN: Duration = Duration::from_secs(600);
/// How long a goodbye may.
const GOODBYE_WITHIN: Duration = Duration::from_secs(5);
/// The most characters of what a server says that are repeated.
const SAID_CHARS_MAX: usize = 300;
/// What is about the recipient when it is said of the recipient, and nothing beside the code says more (RFC 5321, 4.2.3). Said of the text,
/// 550 and 554 are what servers have against the box, its sender, or how the mail looks to them today.
const ABOUT_RECIPIENT: [u16; 3] = [550, 551, 553];

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
        let MailServer { host, port, .. } = letter.server;
        let introduced = timeout(WITHIN, async {
            let addresses = self.resolver.addresses(host, *port).await;
            let addresses = addresses.map_err(|error| CarryError::Later(format!("{error:#}")))?;
            let mut line = line::open(letter.server, &addresses, &self.authorities, letter.login.is_some()).await?;
            let introduced = introduce(&mut line, letter, &message).await;
            Ok::<_, CarryError>((line, introduced))
        });
        let (mut line, introduced) = introduced.await.unwrap_or_else(|_| Err(too_late(WITHIN)))?;
        let sent = match introduced {
            Ok(()) => {
                let kept = timeout(KEPT_WITHIN, hand_over(&mut line, &message));
                kept.await.unwrap_or_else(|_| Err(too_late(KEPT_WITHIN)))
            }
            Err(error) => Err(error),
        };
        // What it says to a goodbye changes nothing, and nobody waits for it.
        tokio::spawn(async move { timeout(GOODBYE_WITHIN, line.abort()).await.is_ok() });
        sent
    }
}

fn too_late(within: Duration) -> CarryError {
    CarryError::Later(format!("the mail server took longer than {} s", within.as_secs()))
}

/// Everything up to where the text is asked for. A server that turns the box away before it knows whom the mail is for (554 for a greeting,
/// 550 for the sender) refuses the box, as it stands today, and not the mail; many say that only when they hear for whom it is.
async fn introduce(line: &mut AsyncSmtpConnection, letter: &Letter<'_>, message: &Message) -> Result<(), CarryError> {
    if let Some((user, password)) = letter.login {
        let login = Credentials::new(user.to_owned(), password.to_owned());
        line.auth(DEFAULT_MECHANISMS, &login).await.map_err(later)?;
    }
    // Nothing is asked of the server beyond ASCII: addresses are checked for it, and the rest is encoded.
    line.command(Mail::new(message.envelope().from().cloned(), Vec::new())).await.map_err(later)?;
    for to in message.envelope().to() {
        line.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(|error| refused(&error, &ABOUT_RECIPIENT))?;
    }
    let go_on = line.command(Data).await.map_err(|error| refused(&error, &[]))?;
    if go_on.has_code(354) { Ok(()) } else { Err(later(format!("the mail server says {} to DATA", go_on.code()))) }
}

/// The text, and the word that the server has it.
async fn hand_over(line: &mut AsyncSmtpConnection, message: &Message) -> Result<(), CarryError> {
    let kept = line.message(&message.formatted()).await.map_err(|error| refused(&error, &[]))?;
    if kept.code().severity == Severity::PositiveCompletion {
        return Ok(());
    }
    Err(later(format!("the mail server says {} to the mail", kept.code())))
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

/// What a server says, as it may stand in a log.
fn printable(said: &str) -> String {
    let plain = said.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(SAID_CHARS_MAX).collect()
}

fn later(error: impl std::fmt::Display) -> CarryError {
    CarryError::Later(printable(&error.to_string()))
}

/// What comes of a refusal: it is for good only if it is about the mailbox or the mail itself, for those will be the same tomorrow. What a
/// server has against the box or its sender an admin, there or here, can mend, and servers say it wherever they like: at the recipient
/// (Postfix: `smtpd_delay_reject`), or when they have the text (Exchange: `554 5.2.252 SendAsDenied`).
///
/// `bare` are the codes that say so without an enhanced one beside them.
fn refused(error: &Error, bare: &[u16]) -> CarryError {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    let for_good = match enhanced(&said) {
        Some(code) => is_for_good(code),
        None => error.status().is_some_and(|code| bare.contains(&u16::from(code))),
    };
    if error.is_permanent() && for_good {
        return CarryError::Never(format!("the mail server refuses it: {}", printable(&error.to_string())));
    }
    later(error)
}

/// By the enhanced code, which says more than the code beside it (RFC 3463, 3.2 to 3.7; RFC 7505 for 5.1.10): no such mailbox, or none that
/// takes anything; too long for it, or for the server; a text that it cannot take as it is.
const fn is_for_good(code: [u16; 3]) -> bool {
    matches!(code, [5, 1, 1 | 2 | 3 | 6 | 10] | [5, 2, 1..=3] | [5, 3, 4] | [5, 6, _])
}

/// The enhanced code that a reply begins with; some write it `#5.1.1` or `5.1.1:`.
fn enhanced(said: &str) -> Option<[u16; 3]> {
    let word = said.split_whitespace().next()?.trim_matches(|c: char| !c.is_ascii_digit());
    let numbers: Option<Vec<u16>> = word.split('.').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok().filter(|code: &[u16; 3]| matches!(code, [2 | 4 | 5, ..]))
}

#[cfg(test)]
mod tests;
