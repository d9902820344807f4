//! What an output may ask for. The worker's answer is foreign: everything is checked here, in the host, before anything is done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::Capability;
use crate::manifest::capability::{is_host, is_topic};

/// The most requests of one event.
pub const REQUESTS_MAX: usize = 8;
/// The most bytes one request sends.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest URL.
const URL_BYTES_MAX: usize = 512;
/// The longest media type.
const TYPE_BYTES_MAX: usize = 80;

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
    },
}

/// Where an HTTP request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Over TLS.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub path: String,
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No URL of ours.
    #[error("{0:?} is no URL: write http:// or https://, a host in small letters, and a path; no user, no fragment")]
    Url(String),
    /// No topic to publish on.
    #[error("{0:?} is no topic for a plugin: no wildcards, and none of the gateway's own")]
    Topic(String),
    /// No baud rate.
    #[error("{0} is no baud rate")]
    Baud(i64),
    /// No media type.
    #[error("{0:?} is no media type")]
    Type(String),
    /// Too long.
    #[error("it sends {0} bytes; at most {BODY_BYTES_MAX}")]
    TooLong(usize),
    /// Nobody granted it.
    #[error("{0} was not granted: pitchside plugin grant NAME CAPABILITY, if it asks for it")]
    NotGranted(String),
}

impl Url {
    /// Reads an absolute URL of printable ASCII.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > URL_BYTES_MAX || !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains(['#', '\\', '"'])
        {
            return None;
        }
        let (tls, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (host, port) = match authority.split_once(':') {
            None => (authority, if tls { 443 } else { 80 }),
            Some((host, port)) => (host, port.parse().ok().filter(|n: &u16| *n > 0 && n.to_string() == port)?),
        };
        is_host(host).then(|| Self { tls, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", if self.tls { "https" } else { "http" }, self.host, self.port, self.path)
    }
}

impl Request {
    /// What is sent.
    pub fn body(&self) -> &str {
        match self {
            Self::Http { body, .. } | Self::Mqtt { body, .. } | Self::Serial { body, .. } => body,
        }
    }

    /// Where it goes, for people; nothing of what is sent.
    pub fn target(&self) -> String {
        match self {
            Self::Http { url, .. } => format!("http {url}"),
            Self::Mqtt { topic, .. } => format!("mqtt {topic}"),
            Self::Serial { path, .. } => format!("serial {path}"),
        }
    }

    /// Whether it is one that can be carried out at all.
    pub fn check(&self) -> Result<(), RequestError> {
        if self.body().len() > BODY_BYTES_MAX {
            return Err(RequestError::TooLong(self.body().len()));
        }
        match self {
            Self::Http { url, content_type, .. } => {
                let media = |b: u8| b.is_ascii_alphanumeric() || b"/+-.;= ".contains(&b);
                if content_type.len() > TYPE_BYTES_MAX
                    || !content_type.contains('/')
                    || !content_type.bytes().all(media)
                {
                    return Err(RequestError::Type(content_type.clone()));
                }
                Url::parse(url).map(drop).ok_or_else(|| RequestError::Url(url.clone()))
            }
            Self::Mqtt { topic, .. } if is_topic(topic) => Ok(()),
            Self::Mqtt { topic, .. } => Err(RequestError::Topic(topic.clone())),
            Self::Serial { baud, .. } if (50..=4_000_000).contains(baud) => Ok(()),
            Self::Serial { baud, .. } => Err(RequestError::Baud(*baud)),
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
        });
        if allowed { Ok(()) } else { Err(RequestError::NotGranted(self.target())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(url: &str) -> Request {
        Request::Http { url: url.to_owned(), content_type: "application/json".to_owned(), body: "{}".to_owned() }
    }

    #[test]
    fn nothing_goes_where_nobody_granted_it() {
        let granted = [
            Capability::parse("http:hooks.example.org").unwrap(),
            Capability::parse("http:10.0.0.2:8123").unwrap(),
            Capability::parse("mqtt:clinic/#").unwrap(),
            Capability::parse("serial:/dev/ttyS1").unwrap(),
        ];
        let mqtt = |topic: &str| Request::Mqtt { topic: topic.to_owned(), body: String::new() };
        let serial = |path: &str| Request::Serial { path: path.to_owned(), baud: 9_600, body: String::new() };
        for good in [
            post("https://hooks.example.org/a?b=c"),
            post("https://hooks.example.org:443"),
            post("http://10.0.0.2:8123/api"),
            mqtt("clinic/hall"),
            serial("/dev/ttyS1"),
        ] {
            assert_eq!(good.is_granted(&granted), Ok(()), "{good:?}");
        }
        for bad in [
            post("http://hooks.example.org/a"),
            post("https://hooks.example.org:8443/a"),
            post("https://hooks.example.org.evil.org/a"),
            post("https://evil.org/https://hooks.example.org"),
            mqtt("elsewhere"),
            serial("/dev/ttyS2"),
        ] {
            assert!(matches!(bad.is_granted(&granted), Err(RequestError::NotGranted(_))), "{bad:?}");
        }
        assert!(post("https://hooks.example.org/").is_granted(&[]).is_err(), "deny by default");
    }

    #[test]
    fn what_is_no_url_topic_or_rate_is_refused() {
        for bad in [
            "",
            "https://",
            "ftp://a.org/",
            "https://user:pw@hooks.example.org/",
            "https://hooks.example.org@evil.org/",
            "https://hooks.example.org/a b",
            "https://hooks.example.org/\r\nx: y",
            "https://hooks.example.org/#x",
            "https://hooks.example.org\\@evil.org/",
            "https://Hooks.example.org/",
            "https://[::1]/",
            "https://a.org:0/",
            "https://a.org:65536/",
        ] {
            assert!(matches!(post(bad).check(), Err(RequestError::Url(_))), "{bad}");
        }
        let typed = Request::Http {
            url: "https://a.org/".to_owned(),
            content_type: "text/plain\r\nx: y".to_owned(),
            body: String::new(),
        };
        assert!(matches!(typed.check(), Err(RequestError::Type(_))));
        let long = Request::Mqtt { topic: "a".to_owned(), body: "x".repeat(BODY_BYTES_MAX + 1) };
        assert!(matches!(long.check(), Err(RequestError::TooLong(_))));
        for topic in ["alerts/x", "a/#", "", "$SYS"] {
            let to = Request::Mqtt { topic: topic.to_owned(), body: String::new() };
            assert!(matches!(to.check(), Err(RequestError::Topic(_))), "{topic}");
        }
    }
}
