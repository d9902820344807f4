//! What an output may ask for. The worker's answer is foreign: everything is checked here, in the host, before anything is done.

use serde::{Deserialize, Serialize};

use super::address::{MailServer, MailTls, Url, is_loopback, is_mail_address};
use crate::manifest::Capability;
use crate::manifest::capability::is_topic;

/// The most requests of one event.
pub const REQUESTS_MAX: usize = 8;
/// The most bytes one request sends.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of what is published, its topic and what MQTT puts around both included: what the gate takes for one packet.
pub const PACKET_BYTES_MAX: usize = 64 * 1024;
/// What MQTT puts around them, at most.
const PACKET_FRAME_BYTES: usize = 16;
/// The longest media type.
const TYPE_BYTES_MAX: usize = 80;
/// The longest subject of a mail, in characters.
const SUBJECT_CHARS_MAX: usize = 200;
/// The longest user name.
const USER_BYTES_MAX: usize = 128;
/// The most spans of a pattern, on and off in turn.
const PULSES_MAX: usize = 64;
/// What one of them may last, in milliseconds.
const PULSE_MS: std::ops::RangeInclusive<i64> = 10..=5_000;
/// What a pattern may last altogether, in milliseconds.
const PATTERN_MS_MAX: i64 = 15_000;
/// The most lines of a display.
pub const LCD_LINES_MAX: usize = 4;
/// The most characters of each.
pub const LCD_CHARS_MAX: usize = 20;
/// After so many seconds a buzzer is silent about a step.
const PULSE_MOOT_AFTER_S: u32 = 120;

/// How an HTTP request says whom it is from. Secrets are named; the host puts them in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A token (RFC 6750).
    Bearer(String),
    /// User and password (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The secret that is the password.
        password: String,
    },
}

/// One request, as the script said it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// POST to a URL.
    Http {
        /// Where to.
        url: String,
        /// Media type of the body.
        content_type: String,
        /// What is sent.
        body: String,
        /// Whom it is from.
        auth: Auth,
        /// The secret that signs it (Standard Webhooks).
        signed: Option<String>,
    },
    /// Publish, once for whoever is subscribed.
    Mqtt {
        /// Where.
        topic: String,
        /// What.
        body: String,
    },
    /// Write to a serial port.
    Serial {
        /// Its path.
        path: String,
        /// Bits a second.
        baud: i64,
        /// What is written.
        body: String,
        /// It takes the place of what was written before, as a display's text does.
        latest: bool,
    },
    /// A mail to one address.
    Mail {
        /// Server, as [`MailServer`] reads it.
        server: String,
        /// Whom it is from.
        from: String,
        /// Whom it is to.
        to: String,
        /// One line.
        subject: String,
        /// Plain text.
        text: String,
        /// User, and the secret that is the password.
        login: Option<(String, String)>,
    },
    /// Pulses on a GPIO line.
    Gpio {
        /// The chip: `gpiochip0`.
        chip: String,
        /// The line on it.
        line: i64,
        /// Milliseconds on, off, on, off …; it ends off.
        pattern: Vec<i64>,
        /// On is low.
        active_low: bool,
    },
    /// Text on a character display.
    Lcd {
        /// The bus: `i2c-1`.
        bus: String,
        /// Its address.
        address: i64,
        /// What it shows.
        lines: Vec<String>,
    },
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No URL of ours.
    #[error("{0:?} is no URL: write http:// or https://, a host in small letters, and a path; no user, no fragment")]
    Url(String),
    /// No topic to publish on.
    #[error("{0:?} is no topic for a plugin: no wildcards, a first level in ASCII, and none of the gateway's own")]
    Topic(String),
    /// No baud rate.
    #[error("{0} is no baud rate")]
    Baud(i64),
    /// No media type.
    #[error("{0:?} is no media type")]
    Type(String),
    /// No mail server.
    #[error(
        "{0:?} is no mail server: write smtps://HOST:PORT (TLS), smtp://HOST:PORT (STARTTLS) or smtp-clear://HOST:PORT"
    )]
    MailServer(String),
    /// No address.
    #[error("{0:?} is no mail address: one address in ASCII, without a name, e.g. doctor@example.org")]
    MailAddress(String),
    /// A subject that would be more than one line.
    #[error("a subject is one line of 1 to {SUBJECT_CHARS_MAX} characters")]
    Subject,
    /// Text that would leave with what is neither text nor a line's end.
    #[error("the text of a mail has lines and tabs, and no other control characters")]
    MailText,
    /// No user name.
    #[error("{0:?} is no user: 1 to {USER_BYTES_MAX} bytes, no colon, no control characters")]
    User(String),
    /// A password would be readable on the way.
    #[error("a password or token does not travel in clear: use TLS")]
    InClear,
    /// No pattern of ours.
    #[error("a pattern is a list of 1 to {PULSES_MAX} spans of 10 to 5000 ms, 15000 ms at most altogether")]
    Pattern,
    /// More than a display shows.
    #[error(
        "a display has at most {LCD_LINES_MAX} lines of {LCD_CHARS_MAX} characters, none of them control characters"
    )]
    Display,
    /// Too long.
    #[error("it sends {0} bytes; at most {BODY_BYTES_MAX}")]
    TooLong(usize),
    /// Too long for a packet.
    #[error("it publishes {0} bytes with its topic; at most {PACKET_BYTES_MAX}")]
    PacketTooLong(usize),
    /// Nobody granted it.
    #[error("{0} was not granted: pitchside plugin grant NAME CAPABILITY, if it asks for it")]
    NotGranted(String),
}

fn one_line(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A control character that is neither a tab nor the end of a line.
fn is_unprintable(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// Text as a mail may have it: any end of a line is one, other control characters are spaces. A rule's words may hold what came in
/// with a reading, and no alert is kept in for that.
pub(super) fn mail_text(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace(is_unprintable, " ")
}

fn check_user(user: &str) -> Result<(), RequestError> {
    if user.is_empty() || user.len() > USER_BYTES_MAX || !one_line(user) || user.contains(':') {
        return Err(RequestError::User(user.to_owned()));
    }
    Ok(())
}

fn check_http(url: &str, content_type: &str, auth: &Auth) -> Result<(), RequestError> {
    let media = |b: u8| b.is_ascii_alphanumeric() || b"/+-.;= ".contains(&b);
    if content_type.len() > TYPE_BYTES_MAX || !content_type.contains('/') || !content_type.bytes().all(media) {
        return Err(RequestError::Type(content_type.to_owned()));
    }
    Url::parse(url).ok_or_else(|| RequestError::Url(url.to_owned()))?;
    if let Auth::Basic { user, .. } = auth {
        check_user(user)?;
    }
    Ok(())
}

impl Request {
    /// What is sent.
    pub fn body(&self) -> String {
        match self {
            Self::Http { body, .. } | Self::Mqtt { body, .. } | Self::Serial { body, .. } => body.clone(),
            Self::Mail { subject, text, .. } => format!("{subject}\n\n{text}"),
            Self::Gpio { pattern, .. } => pattern.iter().map(i64::to_string).collect::<Vec<_>>().join(" "),
            Self::Lcd { lines, .. } => lines.join("\n"),
        }
    }

    /// Where it goes, for people; nothing of what is sent.
    pub fn target(&self) -> String {
        match self {
            Self::Http { url, .. } => format!("http {url}"),
            Self::Mqtt { topic, .. } => format!("mqtt {topic}"),
            Self::Serial { path, .. } => format!("serial {path}"),
            Self::Mail { to, .. } => format!("mail {to}"),
            Self::Gpio { chip, line, .. } => format!("gpio {chip}/{line}"),
            Self::Lcd { bus, address, .. } => format!("lcd {bus}/0x{address:02x}"),
        }
    }

    /// The secrets it names.
    pub fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Http { auth, signed, .. } => {
                let whose = match auth {
                    Auth::None => None,
                    Auth::Bearer(name) | Auth::Basic { password: name, .. } => Some(name.as_str()),
                };
                whose.into_iter().chain(signed.as_deref()).collect()
            }
            Self::Mail { login, .. } => login.iter().map(|(_, password)| password.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// How long after its step it tells nobody anything any more, in seconds; none if late is better than never. A buzzer of yesterday
    /// only startles; a display that was away catches up.
    pub const fn moot_after_s(&self) -> Option<u32> {
        if matches!(self, Self::Gpio { .. }) { Some(PULSE_MOOT_AFTER_S) } else { None }
    }

    /// Whether it takes the place of what the same request of an earlier step brought there: that one is moot once this is done.
    pub const fn replaces(&self) -> bool {
        matches!(self, Self::Lcd { .. } | Self::Serial { latest: true, .. })
    }

    /// Whether it is one that can be carried out at all.
    pub fn check(&self) -> Result<(), RequestError> {
        let length = self.body().len();
        if length > BODY_BYTES_MAX {
            return Err(RequestError::TooLong(length));
        }
        match self {
            Self::Http { url, content_type, auth, .. } => check_http(url, content_type, auth),
            Self::Mqtt { topic, .. } if !is_topic(topic) => Err(RequestError::Topic(topic.clone())),
            Self::Mqtt { topic, .. } => {
                let packet = topic.len() + length + PACKET_FRAME_BYTES;
                if packet > PACKET_BYTES_MAX { Err(RequestError::PacketTooLong(packet)) } else { Ok(()) }
            }
            Self::Serial { baud, .. } if (50..=4_000_000).contains(baud) => Ok(()),
            Self::Serial { baud, .. } => Err(RequestError::Baud(*baud)),
            Self::Mail { server, from, to, subject, text, login } => {
                let server = MailServer::parse(server).ok_or_else(|| RequestError::MailServer(server.clone()))?;
                if let Some(bad) = [from, to].into_iter().find(|address| !is_mail_address(address)) {
                    return Err(RequestError::MailAddress(bad.clone()));
                }
                if subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX || !one_line(subject) {
                    return Err(RequestError::Subject);
                }
                if text.chars().any(is_unprintable) {
                    return Err(RequestError::MailText);
                }
                let Some((user, _)) = login else { return Ok(()) };
                if server.tls == MailTls::Clear && !is_loopback(&server.host) {
                    return Err(RequestError::InClear);
                }
                check_user(user)
            }
            Self::Gpio { pattern, .. } => {
                let well = (1..=PULSES_MAX).contains(&pattern.len()) && pattern.iter().all(|ms| PULSE_MS.contains(ms));
                if well && pattern.iter().sum::<i64>() <= PATTERN_MS_MAX { Ok(()) } else { Err(RequestError::Pattern) }
            }
            Self::Lcd { lines, .. } => {
                let well = |line: &String| line.chars().count() <= LCD_CHARS_MAX && one_line(line);
                if lines.len() <= LCD_LINES_MAX && lines.iter().all(well) { Ok(()) } else { Err(RequestError::Display) }
            }
        }
    }

    /// Whether one of these lets it be carried out. Deny by default.
    pub fn is_granted(&self, granted: &[Capability]) -> Result<(), RequestError> {
        self.check()?;
        let allowed = granted.iter().any(|capability| match self {
            Self::Http { url, .. } => {
                Url::parse(url).is_some_and(|url| capability.allows_http(&url.host, url.port, url.tls))
            }
            Self::Mqtt { topic, .. } => capability.allows_mqtt(topic),
            Self::Serial { path, .. } => capability.allows_serial(path),
            Self::Mail { server, .. } => {
                MailServer::parse(server).is_some_and(|server| capability.allows_smtp(&server.host, server.port))
            }
            Self::Gpio { chip, line, .. } => capability.allows_gpio(chip, *line),
            Self::Lcd { bus, address, .. } => capability.allows_lcd(bus, *address),
        });
        if allowed { Ok(()) } else { Err(RequestError::NotGranted(self.target())) }
    }
}

#[cfg(test)]
mod tests;
