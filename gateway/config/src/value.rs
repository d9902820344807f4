//! The types of values. Each is made from what a file or variable says, or refused with a sentence; what exists is usable.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::value::Value;
use pitchside_model::DeviceId;

/// How a value is read from a setting and shown as TOML.
pub trait Setting: Sized {
    /// Reads it. `base` is the folder of the file it stands in, if it stands in one. The error says what is expected.
    fn parse(value: &Value, base: Option<&Path>) -> Result<Self, String>;
    /// As TOML; none if it is not set.
    fn show(&self) -> Option<String>;
}

/// What was found, for a message. Strings are shortened: a secret put here by mistake should not be spread.
fn found(value: &Value) -> String {
    match value {
        Value::String(_, text) if text.chars().count() > 40 => "a long text".to_owned(),
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(float)) => float.to_string(),
            (None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

fn text(value: &Value, wanted: &str) -> Result<String, String> {
    match value {
        Value::String(_, text) => Ok(text.clone()),
        Value::Char(_, letter) => Ok(letter.to_string()),
        other => Err(format!("expected {wanted} as text in quotes, found {}", found(other))),
    }
}

/// A text as TOML. Rust and TOML agree on `\"`, `\\`, `\n`, `\t`, `\r`; anything else that needs care is spelt out.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

fn whole(value: &Value, min: u64, max: u64, unit: &str) -> Result<u64, String> {
    let number = match value {
        Value::Num(_, number) => number.to_u128().or_else(|| number.to_i128().and_then(|n| u128::try_from(n).ok())),
        _ => None,
    };
    let number = number.and_then(|number| u64::try_from(number).ok()).filter(|number| (min..=max).contains(number));
    number.ok_or_else(|| format!("expected a whole number{unit} from {min} to {max}, found {}", found(value)))
}

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name<const MIN: u64, const MAX: u64>(u64);

        impl<const MIN: u64, const MAX: u64> $name<MIN, MAX> {
            /// Takes a number within the bounds.
            pub const fn new(number: u64) -> Option<Self> {
                if number < MIN || number > MAX { None } else { Some(Self(number)) }
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number as a size in memory.
            pub const fn size(self) -> usize {
                self.0 as usize
            }
        }
        impl<const MIN: u64, const MAX: u64> Setting for $name<MIN, MAX> {
            fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
                whole(value, MIN, MAX, $unit).map(Self)
            }
            fn show(&self) -> Option<String> {
                Some(self.0.to_string())
            }
        }
    };
}
bounded!(
    /// How many.
    Count,
    ""
);
bounded!(
    /// How many bytes.
    Bytes,
    " of bytes"
);
bounded!(
    /// How many milliseconds.
    Millis,
    " of milliseconds"
);
bounded!(
    /// How many seconds.
    Seconds,
    " of seconds"
);

impl<const MIN: u64, const MAX: u64> Millis<MIN, MAX> {
    /// As a span of time.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}
impl<const MIN: u64, const MAX: u64> Seconds<MIN, MAX> {
    /// As a span of time.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// In microseconds, as the model's clocks count.
    pub const fn micros(self) -> i64 {
        (self.0 as i64).saturating_mul(1_000_000)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn parse(value: &Value, base: Option<&Path>) -> Result<Self, String> {
        match value {
            Value::Empty(..) => Ok(None),
            value => T::parse(value, base).map(Some),
        }
    }
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Setting::show)
    }
}

/// The most entries of a list.
const LIST_MAX: usize = 64;

impl<T: Setting> Setting for Vec<T> {
    fn parse(value: &Value, base: Option<&Path>) -> Result<Self, String> {
        let Value::Array(_, values) = value else {
            return Err(format!("expected a list in [ ], found {}", found(value)));
        };
        if values.len() > LIST_MAX {
            return Err(format!("expected at most {LIST_MAX} entries, found {}", values.len()));
        }
        values.iter().map(|value| T::parse(value, base)).collect()
    }
    fn show(&self) -> Option<String> {
        let shown: Vec<String> = self.iter().filter_map(Setting::show).collect();
        Some(format!("[{}]", shown.join(", ")))
    }
}

/// A file or folder. Relative to the folder of the file that names it; in a variable or flag, to where we were started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(PathBuf);

impl FilePath {
    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}
impl AsRef<Path> for FilePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}
impl Setting for FilePath {
    fn parse(value: &Value, base: Option<&Path>) -> Result<Self, String> {
        let text = text(value, "a path")?;
        if text.is_empty() || text.contains('\0') {
            return Err("expected a path, found an empty text or one with a NUL".to_owned());
        }
        Ok(Self(base.unwrap_or_else(|| Path::new("")).join(text)))
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.0.to_string_lossy()))
    }
}

fn socket(value: &Value) -> Result<SocketAddr, String> {
    let text = text(value, "an address")?;
    text.parse().map_err(|_| format!("expected an IP address and port such as \"0.0.0.0:8883\" or \"[::1]:8883\", found {text:?}"))
}

/// An address to listen on; port 0 lets the system choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub SocketAddr);

impl Setting for Address {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        socket(value).map(Self)
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.0.to_string()))
    }
}

/// An address to listen on, or "off".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

impl Setting for Listen {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        match value {
            Value::String(_, text) if text == "off" => Ok(Self(None)),
            value => socket(value).map(|address| Self(Some(address))).map_err(|error| format!("{error} (or \"off\")")),
        }
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.0.map_or_else(|| "off".to_owned(), |address| address.to_string())))
    }
}

/// An address on this machine alone: what is not encrypted never leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// The address.
    pub const fn address(self) -> SocketAddr {
        self.0
    }
}
impl Setting for Loopback {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        let address = socket(value)?;
        if !address.ip().is_loopback() {
            return Err(format!("{address} can be reached from outside, and this listener does not encrypt: use 127.0.0.1 or [::1], or the TLS listener"));
        }
        Ok(Self(address))
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.0.to_string()))
    }
}

/// True for a DNS name or an IP address, without port.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    text.parse::<IpAddr>().is_ok() || (text.len() <= 253 && text.split('.').all(label))
}

/// A host name or IP address, without port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl Setting for HostName {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        let text = text(value, "a host name")?;
        if !is_host(&text) {
            return Err(format!("expected a host name or IP address without port, found {text:?}"));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// A host (name or address) and port to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// Host name or IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }
}
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}
impl Setting for Endpoint {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        let text = text(value, "a host and port")?;
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = match bracketed {
                Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(|_| inner)?,
                None => Some(host).filter(|host| !host.contains(':') && is_host(host))?,
            };
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some(Self { host: host.to_owned(), port })
        });
        parts.ok_or_else(|| format!("expected a host and port such as \"ledger.example:7440\", found {text:?}"))
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// A name: 1 to 48 letters, digits, `-`, `_`, `.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(DeviceId);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}
impl Setting for Name {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        DeviceId::parse(&text(value, "a name")?).map(Self).map_err(|error| error.to_string())
    }
    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

impl Setting for DeviceId {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        Self::parse(&text(value, "a device id")?).map_err(|error| error.to_string())
    }
    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

/// A ledger's key for checking its checkpoints: a C2SP signed-note verifier key, `NAME+HASH+KEY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey(String);

impl VerifierKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl Setting for VerifierKey {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        let text = text(value, "a verifier key")?;
        let mut parts = text.splitn(3, '+');
        let (name, hash, key) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        // One byte of algorithm and 32 of key: 44 characters of base64 without padding.
        let base64 = key.len() == 44 && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
        let hex = hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if name.is_empty() || name.contains(char::is_whitespace) || !hex || !base64 {
            return Err("expected a verifier key NAME+HASH+KEY as the ledger prints it (C2SP signed-note)".to_owned());
        }
        Ok(Self(text))
    }
    fn show(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// What is spoken on a serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SerialMode {
    /// PS/1 frames in COBS.
    Ps1,
    /// One SenML-JSON pack a line.
    Lines,
}

impl Setting for SerialMode {
    fn parse(value: &Value, _: Option<&Path>) -> Result<Self, String> {
        match text(value, "a mode")?.as_str() {
            "ps1" => Ok(Self::Ps1),
            "lines" => Ok(Self::Lines),
            other => Err(format!("expected \"ps1\" or \"lines\", found {other:?}")),
        }
    }
    fn show(&self) -> Option<String> {
        Some(quoted(match self {
            Self::Ps1 => "ps1",
            Self::Lines => "lines",
        }))
    }
}
