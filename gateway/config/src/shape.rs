//! What values may look like. Each shape turns what a file or variable says into a type, or says what it expected.

use std::fmt::Display;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use figment::value::Value;
use pitchside_model::{BleAddress, DeviceId};

use crate::pattern::BytePattern;
use crate::settings::{BleScan, Discover, SerialMode};

/// The most entries of a list.
const LIST_MAX: usize = 64;
/// The longest first word to a device.
const HELLO_BYTES_MAX: usize = 64;

/// How a value is read.
pub(crate) trait Shape {
    type Out;
    /// `base` is the folder of the file the value stands in, if it stands in one.
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<Self::Out, String>;
}

/// What was found, for a message. Long texts are left out: a secret put here by mistake should not be spread.
pub(crate) fn found(value: &Value) -> String {
    match value {
        Value::String(_, text) if text.chars().count() > 40 => "a long text".to_owned(),
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (None, Some(whole), _) => whole.to_string(),
            (None, None, Some(float)) => float.to_string(),
            (None, None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

pub(crate) fn text(value: &Value, wanted: &str) -> Result<String, String> {
    match value {
        Value::String(_, text) => Ok(text.clone()),
        Value::Char(_, letter) => Ok(letter.to_string()),
        other => Err(format!("must be {wanted} in quotes, not {}", found(other))),
    }
}

/// A whole number within bounds.
pub(crate) struct Whole<T> {
    pub(crate) min: T,
    pub(crate) max: T,
}

impl<T: Copy + Display + PartialOrd + TryFrom<u128>> Shape for Whole<T> {
    type Out = T;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<T, String> {
        let number = match value {
            Value::Num(_, number) => {
                number.to_u128().or_else(|| number.to_i128().and_then(|number| u128::try_from(number).ok()))
            }
            _ => None,
        };
        let number = number.and_then(|number| T::try_from(number).ok());
        let number = number.filter(|number| (self.min..=self.max).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {} to {}, not {}", self.min, self.max, found(value)))
    }
}

/// 0 for none, or a whole number within bounds.
pub(crate) struct ZeroOr<T>(pub(crate) Whole<T>);

impl<T: Copy + Display + PartialOrd + TryFrom<u128> + From<u8>> Shape for ZeroOr<T> {
    type Out = T;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<T, String> {
        let zero = matches!(value, Value::Num(_, number) if number.to_u128() == Some(0) || number.to_i128() == Some(0));
        if zero {
            Ok(T::from(0))
        } else {
            self.0.parse(value, base).map_err(|error| format!("{error} (or 0 for none)"))
        }
    }
}

/// May be left out.
pub(crate) struct Maybe<S>(pub(crate) S);

impl<S: Shape> Shape for Maybe<S> {
    type Out = Option<S::Out>;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<Self::Out, String> {
        match value {
            Value::Empty(..) => Ok(None),
            value => self.0.parse(value, base).map(Some),
        }
    }
}

/// May be left out, or switched off with "off" where an earlier source has it on.
pub(crate) struct OrOff<S>(pub(crate) S);

impl<S: Shape> Shape for OrOff<S> {
    type Out = Option<S::Out>;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<Self::Out, String> {
        match value {
            Value::String(_, text) if text == "off" => Ok(None),
            value => self.0.parse(value, base).map(Some).map_err(|error| format!("{error} (or \"off\")")),
        }
    }
}

/// Several.
pub(crate) struct List<S>(pub(crate) S);

impl<S: Shape> Shape for List<S> {
    type Out = Vec<S::Out>;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<Self::Out, String> {
        let Value::Array(_, values) = value else {
            return Err(format!("must be a list in [ ], not {}", found(value)));
        };
        if values.len() > LIST_MAX {
            return Err(format!("must have at most {LIST_MAX} entries, not {}", values.len()));
        }
        values.iter().map(|value| self.0.parse(value, base)).collect()
    }
}

/// A file or folder, relative to the folder of the settings file, or to where we were started.
pub(crate) struct At;

impl Shape for At {
    type Out = PathBuf;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<PathBuf, String> {
        let text = text(value, "a path")?;
        if text.is_empty() || text.contains('\0') {
            return Err("must be a path, not an empty text or one with a NUL".to_owned());
        }
        let joined = base.map_or_else(|| PathBuf::from(&text), |base| base.join(&text));
        std::path::absolute(&joined).map_err(|error| format!("{} has no absolute path: {error}", joined.display()))
    }
}

/// An address and port to listen on; port 0 lets the system choose.
pub(crate) struct Socket;

impl Shape for Socket {
    type Out = SocketAddr;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<SocketAddr, String> {
        let text = text(value, "an address")?;
        text.parse()
            .map_err(|_| format!("must be an IP address and port, such as 0.0.0.0:8883 or [::]:8883, not {text:?}"))
    }
}

/// An address on this machine alone: what is not encrypted never leaves it.
pub(crate) struct Loopback;

impl Shape for Loopback {
    type Out = SocketAddr;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<SocketAddr, String> {
        let address = Socket.parse(value, base)?;
        if address.ip().is_loopback() {
            return Ok(address);
        }
        Err(format!(
            "{address} is not loopback: plaintext stays on this machine; use 127.0.0.1 or [::1] here, or mqtt.tls"
        ))
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

/// Host names or IP addresses without port, in lower case; at least one.
pub(crate) struct Hosts;

impl Shape for Hosts {
    type Out = Vec<String>;
    fn parse(&self, value: &Value, base: Option<&Path>) -> Result<Vec<String>, String> {
        let hosts = List(Host).parse(value, base)?;
        if hosts.is_empty() {
            return Err("must name at least one host".to_owned());
        }
        Ok(hosts)
    }
}

struct Host;

impl Shape for Host {
    type Out = String;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<String, String> {
        let text = text(value, "a host name")?;
        if !is_host(&text) {
            return Err(format!("must be host names or IP addresses without port, not {text:?}"));
        }
        Ok(text.to_ascii_lowercase())
    }
}

/// A host and a port to connect to.
pub(crate) struct HostPort;

impl Shape for HostPort {
    type Out = String;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<String, String> {
        let text = text(value, "a host and port")?;
        let good = text.rsplit_once(':').is_some_and(|(host, port)| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host =
                inner.map_or_else(|| !host.contains(':') && is_host(host), |inner| inner.parse::<Ipv6Addr>().is_ok());
            host && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if good { Ok(text) } else { Err(format!("must be HOST:PORT, such as ledger.example:7440, not {text:?}")) }
    }
}

/// 32 bytes.
pub(crate) struct Hex32;

impl Shape for Hex32 {
    type Out = String;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<String, String> {
        let text = text(value, "hexadecimal digits")?;
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("must be 64 hexadecimal digits".to_owned());
        }
        Ok(text.to_ascii_lowercase())
    }
}

/// A name.
pub(crate) struct Name;

impl Shape for Name {
    type Out = DeviceId;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<DeviceId, String> {
        DeviceId::parse(&text(value, "a name")?).map_err(|error| error.to_string())
    }
}

/// How a packet begins or ends.
pub(crate) struct Pattern;

impl Shape for Pattern {
    type Out = BytePattern;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<BytePattern, String> {
        text(value, "hexadecimal digits")?.parse()
    }
}

/// What a device is told first.
pub(crate) struct Hello;

impl Shape for Hello {
    type Out = String;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<String, String> {
        let text = text(value, "a text")?;
        if text.is_empty() || text.len() > HELLO_BYTES_MAX {
            return Err(format!("must be 1 to {HELLO_BYTES_MAX} bytes, not {}", text.len()));
        }
        Ok(text)
    }
}

/// What is spoken on a serial line.
pub(crate) struct Mode;

impl Shape for Mode {
    type Out = SerialMode;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<SerialMode, String> {
        match text(value, "a mode")?.as_str() {
            "ps1" => Ok(SerialMode::Ps1),
            "wired" => Ok(SerialMode::Wired),
            "packets" => Ok(SerialMode::Packets),
            other => Err(format!("must be \"ps1\", \"wired\" or \"packets\", not {other:?}")),
        }
    }
}

/// A Bluetooth adapter by name or address.
pub(crate) struct Adapter;

impl Shape for Adapter {
    type Out = String;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<String, String> {
        let text = text(value, "an adapter")?;
        if let Ok(address) = text.parse::<BleAddress>() {
            return Ok(address.to_string());
        }
        let number = text.strip_prefix("hci").filter(|number| number.len() <= 3 && !number.is_empty());
        if number.is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit())) {
            return Ok(text);
        }
        Err(format!(
            "must be an adapter such as \"hci0\" or its address such as \"C0:FF:EE:00:00:01\", not {}",
            found(value)
        ))
    }
}

/// How an adapter listens.
pub(crate) struct ScanMode;

impl Shape for ScanMode {
    type Out = BleScan;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<BleScan, String> {
        match text(value, "a way to scan")?.as_str() {
            "passive" => Ok(BleScan::Passive),
            "active" => Ok(BleScan::Active),
            other => Err(format!("must be \"passive\" or \"active\", not {other:?}")),
        }
    }
}

/// How other boxes are found.
pub(crate) struct DiscoverMode;

impl Shape for DiscoverMode {
    type Out = Discover;
    fn parse(&self, value: &Value, _: Option<&Path>) -> Result<Discover, String> {
        match text(value, "a way to find boxes")?.as_str() {
            "mdns" => Ok(Discover::Mdns),
            "off" => Ok(Discover::Off),
            other => Err(format!("must be \"mdns\" or \"off\", not {other:?}")),
        }
    }
}
