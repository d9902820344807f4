//! Where a request goes: URLs, mail servers, mail addresses. One spelling each, printable ASCII: what is granted is compared as text,
//! and nothing that ends a line gets through.

use std::fmt;

use crate::manifest::capability::is_host;

/// The longest URL.
const URL_BYTES_MAX: usize = 512;
/// The longest mail address (RFC 5321, 4.5.3.1.3, less its brackets).
const MAIL_BYTES_MAX: usize = 254;
/// The longest part before its `@` (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;

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

/// How a mail server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// TLS from the first byte (RFC 8314): `smtps://`.
    Wrapped,
    /// STARTTLS (RFC 3207), and nothing without it: `smtp://`.
    Starttls,
    /// In clear, for a relay in the clinic's own network: `smtp-clear://`.
    Clear,
}

/// A mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// How it is spoken to.
    pub tls: MailTls,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Whether what goes to this host never leaves the machine.
pub fn is_loopback(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a text is made of what a URI is made of (RFC 3986, 2), without a fragment: unreserved and reserved characters, and `%` with
/// the two digits that belong to it. No brackets: hosts here are names and IPv4 addresses.
fn is_uri_text(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&b);
    let mut escapes = text.split('%').skip(1).map(|rest| rest.as_bytes().get(..2));
    text.len() <= URL_BYTES_MAX
        && text.bytes().all(plain)
        && escapes.all(|digits| digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

fn number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|n: &u16| *n > 0 && n.to_string() == text)
}

impl Url {
    /// Reads an absolute URL.
    pub fn parse(text: &str) -> Option<Self> {
        if !is_uri_text(text) {
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
            Some((host, port)) => (host, number(port)?),
        };
        is_host(host).then(|| Self { tls, host: host.to_owned(), port, path: path.to_owned() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", if self.tls { "https" } else { "http" }, self.host, self.port, self.path)
    }
}

impl MailServer {
    /// Reads `smtps://HOST:PORT`, `smtp://HOST:PORT` or `smtp-clear://HOST:PORT`.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").filter(|_| is_uri_text(text))?;
        let tls = match scheme {
            "smtps" => MailTls::Wrapped,
            "smtp" => MailTls::Starttls,
            "smtp-clear" => MailTls::Clear,
            _ => return None,
        };
        let (host, port) = rest.split_once(':')?;
        let port = number(port)?;
        is_host(host).then(|| Self { tls, host: host.to_owned(), port })
    }
}

/// Whether a text is a mail address one can write to: a dot-atom of RFC 5322, `@`, a host of ours. No name beside it, no quotes.
pub fn is_mail_address(text: &str) -> bool {
    let atom = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b))
    };
    text.len() <= MAIL_BYTES_MAX
        && text
            .split_once('@')
            .is_some_and(|(local, host)| local.len() <= LOCAL_BYTES_MAX && local.split('.').all(atom) && is_host(host))
}

/// A mail address in the one spelling it has here: its host in small letters, which are the same to everybody (RFC 5321, 2.4); what stands
/// before the `@` is its server's affair.
pub(super) fn mail_address(text: &str) -> String {
    match text.split_once('@') {
        Some((local, host)) => format!("{local}@{}", host.to_ascii_lowercase()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mail_server_says_how_it_is_spoken_to() {
        let of = |text: &str| MailServer::parse(text).map(|server| (server.tls, server.port));
        assert_eq!(of("smtps://mail.example.org:465"), Some((MailTls::Wrapped, 465)));
        assert_eq!(of("smtp://mail.example.org:587"), Some((MailTls::Starttls, 587)));
        assert_eq!(of("smtp-clear://10.0.0.2:25"), Some((MailTls::Clear, 25)));
        for bad in [
            "",
            "smtp://mail.example.org",
            "smtp://user:pw@mail.example.org:25",
            "http://a.org:25",
            "smtp://a.org:25/x",
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_mail_address_is_one_and_nothing_beside() {
        for good in ["doctor@example.org", "night.shift+alerts@clinic.example.org", "o'neill@10.0.0.2"] {
            assert!(is_mail_address(good), "{good}");
        }
        for bad in [
            "",
            "doctor",
            "@example.org",
            "doctor@",
            ".doctor@example.org",
            "a..b@example.org",
            "Doctor <doctor@example.org>",
            "a@example.org,b@example.org",
            "a@example.org\r\nBcc: b@example.org",
            "\"a b\"@example.org",
            "a@b@example.org",
            "döctor@example.org",
            "a@Example.org",
            "a>@example.org",
        ] {
            assert!(!is_mail_address(bad), "{bad}");
        }
        assert!(!is_mail_address(&format!("{}@example.org", "a".repeat(65))));
    }

    #[test]
    fn capitals_in_the_host_of_a_mail_address_are_small_letters_and_what_is_before_it_stays() {
        for (written, is) in [
            ("Dr.Ann@Clinic.Example.ORG", "Dr.Ann@clinic.example.org"),
            ("ann@clinic.example.org", "ann@clinic.example.org"),
        ] {
            assert_eq!(mail_address(written), is);
            assert!(is_mail_address(is), "{is}");
        }
        // What is none stays none.
        for bad in ["", "Doctor", "A@B@C", "Doctor <Doctor@Example.org>", "a@Example.org\r\nBcc: b@example.org"] {
            assert!(!is_mail_address(&mail_address(bad)), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_ends_a_line(text in "(https?|smtps?)?(://)?[ -~\r\n\t]{0,40}") {
            let quiet = !text.chars().any(|c| c.is_control() || c == ' ');
            prop_assert!(quiet || Url::parse(&text).is_none());
            prop_assert!(quiet || MailServer::parse(&text).is_none());
            prop_assert!(quiet || !is_mail_address(&text));
        }
    }
}
