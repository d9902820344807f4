//! What a plugin asks to have done for it outside the sandbox. It never does it itself: it answers with a request, and the host
//! carries out what was granted.
//!
//! ```text
//! capability = "http:" host [ ":" port ]           https to that host; with a port, http or https to that port
//!            / "mqtt:" topic                       publishing on this topic; ending in `/#`, on all below it
//!            / "serial:" path                      writing to this port, e.g. serial:/dev/ttyUSB1
//!            / "smtp:" host ":" port               mail to that server, e.g. smtp:mail.example.org:587
//!            / "gpio:" chip "/" line               pulses on this line, e.g. gpio:gpiochip0/17
//!            / "lcd:" bus "/" address              text on a display there, e.g. lcd:i2c-1/0x27
//! ```
//! One spelling each: what is granted is compared as text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest.
const TEXT_BYTES_MAX: usize = 200;
/// Topics that are the gateway's own: nobody else may speak there.
const OWN_TOPICS: [&str; 4] = ["ps", "alerts", "live", "drills"];

/// Something a plugin may ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Capability {
    /// Requests over HTTP.
    Http {
        /// A DNS name in small letters, or an IPv4 address.
        host: String,
        /// Only this port, and without TLS if the plugin says so; without it 443 over TLS.
        port: Option<u16>,
    },
    /// Messages to subscribers of this box.
    Mqtt {
        /// A topic, or all below it if it ends in `/#`.
        filter: String,
    },
    /// Bytes to a serial port.
    Serial {
        /// Its path.
        path: String,
    },
    /// Mail.
    Smtp {
        /// The server: a DNS name in small letters, or an IPv4 address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Pulses on a line of a GPIO chip.
    Gpio {
        /// The chip: `gpiochip0` and so on.
        chip: String,
        /// The line on it.
        line: u32,
    },
    /// Text on a character display behind a PCF8574.
    Lcd {
        /// The I2C bus: `i2c-1` and so on.
        bus: String,
        /// The address on it, 7 bits.
        address: u8,
    },
}

/// The most lines of a GPIO chip.
const LINES_MAX: u32 = 1024;

impl Capability {
    /// Reads one spelling of one capability; else what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("{} bytes; at most {TEXT_BYTES_MAX}", text.len()));
        }
        match text.split_once(':') {
            Some(("http", rest)) => http(rest),
            Some(("mqtt", rest)) => mqtt(rest),
            Some(("serial", rest)) => serial(rest),
            Some(("smtp", rest)) => smtp(rest),
            Some(("gpio", rest)) => gpio(rest),
            Some(("lcd", rest)) => lcd(rest),
            _ => Err("is no capability: write http:HOST, http:HOST:PORT, mqtt:TOPIC, serial:PATH, smtp:HOST:PORT, \
                      gpio:CHIP/LINE or lcd:BUS/ADDRESS"
                .to_owned()),
        }
    }

    /// Whether it lets a request go to `host` at `port`, over TLS or in clear.
    pub fn allows_http(&self, to: &str, at: u16, tls: bool) -> bool {
        match self {
            Self::Http { host, port: None } => host == to && at == 443 && tls,
            Self::Http { host, port: Some(port) } => host == to && at == *port,
            _ => false,
        }
    }

    /// Whether it lets a message go out on `topic`.
    pub fn allows_mqtt(&self, topic: &str) -> bool {
        let Self::Mqtt { filter } = self else { return false };
        match filter.strip_suffix("/#") {
            Some(above) => topic.strip_prefix(above).is_some_and(|rest| rest.starts_with('/')),
            None => filter == topic,
        }
    }

    /// Whether it lets bytes go to the port at `path`.
    pub fn allows_serial(&self, to: &str) -> bool {
        matches!(self, Self::Serial { path } if path == to)
    }

    /// Whether it lets mail go through `to` at port `at`.
    pub fn allows_smtp(&self, to: &str, at: u16) -> bool {
        matches!(self, Self::Smtp { host, port } if host == to && *port == at)
    }

    /// Whether it lets line `on` of `of` be pulsed.
    pub fn allows_gpio(&self, of: &str, on: i64) -> bool {
        matches!(self, Self::Gpio { chip, line } if chip == of && i64::from(*line) == on)
    }

    /// Whether it lets text go to the display at `at` on bus `on`.
    pub fn allows_lcd(&self, on: &str, at: i64) -> bool {
        matches!(self, Self::Lcd { bus, address } if bus == on && i64::from(*address) == at)
    }
}

/// A DNS name in small letters (RFC 1123, 2.1), or an IPv4 address.
pub fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numbers = text.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 120
        && text.split('.').all(label)
        && (!numbers || text.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.to_string() == text))
}

/// A topic one can publish on: no wildcard, no empty level, not the broker's own and not the gateway's; the first level in ASCII, for the
/// router cuts it after its first byte.
pub fn is_topic(text: &str) -> bool {
    let level = |level: &str| !level.is_empty() && !level.chars().any(|c| c.is_control() || matches!(c, '+' | '#'));
    let is_taken = |first: &str| !first.is_ascii() || first.starts_with('$') || OWN_TOPICS.contains(&first);
    let is_free = text.split('/').next().is_some_and(|first| !is_taken(first));
    is_free && text.len() <= 180 && text.split('/').all(level)
}

fn port(text: &str) -> Result<u16, String> {
    let number = text.parse::<u16>().ok().filter(|n| *n > 0 && n.to_string() == text);
    number.ok_or_else(|| format!("has no port `{text}`: write a number from 1 to 65535"))
}

fn host(text: &str) -> Result<String, String> {
    if is_host(text) {
        return Ok(text.to_owned());
    }
    Err(format!("has no host `{text}`: write a name in small letters or an IPv4 address, without wildcards"))
}

fn http(rest: &str) -> Result<Capability, String> {
    let (name, number) = match rest.split_once(':') {
        None => (rest, None),
        Some((name, number)) => (name, Some(port(number)?)),
    };
    Ok(Capability::Http { host: host(name)?, port: number })
}

fn smtp(rest: &str) -> Result<Capability, String> {
    let (name, number) = rest.split_once(':').ok_or("has no port: write smtp:HOST:PORT")?;
    Ok(Capability::Smtp { host: host(name)?, port: port(number)? })
}

/// A device's name: a word and a number, in one spelling.
fn is_numbered(text: &str, word: &str) -> bool {
    text.strip_prefix(word).and_then(|number| number.parse::<u8>().ok().filter(|n| n.to_string() == number)).is_some()
}

fn gpio(rest: &str) -> Result<Capability, String> {
    let wrong = || format!("has no line `{rest}`: write a chip and a line, e.g. gpio:gpiochip0/17");
    let (chip, line) = rest.split_once('/').ok_or_else(wrong)?;
    let number = line.parse::<u32>().ok().filter(|n| *n < LINES_MAX && n.to_string() == line).ok_or_else(wrong)?;
    if !is_numbered(chip, "gpiochip") {
        return Err(wrong());
    }
    Ok(Capability::Gpio { chip: chip.to_owned(), line: number })
}

fn lcd(rest: &str) -> Result<Capability, String> {
    let wrong = || format!("has no display `{rest}`: write a bus and an address, e.g. lcd:i2c-1/0x27");
    let (bus, address) = rest.split_once('/').ok_or_else(wrong)?;
    let number = address.strip_prefix("0x").and_then(|hex| u8::from_str_radix(hex, 16).ok()).ok_or_else(wrong)?;
    if !is_numbered(bus, "i2c-") || format!("0x{number:02x}") != address {
        return Err(wrong());
    }
    // NXP PCF8574/74A, 7.1: what else may sit on the bus (a clock, a power supply) is nobody's display.
    if !matches!(number, 0x20..=0x27 | 0x38..=0x3f) {
        return Err(format!("has no PCF8574 at {address}: those are at 0x20 to 0x27 and 0x38 to 0x3f"));
    }
    Ok(Capability::Lcd { bus: bus.to_owned(), address: number })
}

fn mqtt(rest: &str) -> Result<Capability, String> {
    if is_topic(rest.strip_suffix("/#").unwrap_or(rest)) {
        return Ok(Capability::Mqtt { filter: rest.to_owned() });
    }
    Err(format!(
        "has no topic `{rest}`: write a topic, or one ending in `/#`, its first level in ASCII; not `$…` and not below {}",
        OWN_TOPICS.join(", ")
    ))
}

fn serial(rest: &str) -> Result<Capability, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    let whole = rest.strip_prefix("/dev/").is_some_and(|name| !name.is_empty() && name.chars().all(plain));
    if whole && rest.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..") {
        return Ok(Capability::Serial { path: rest.to_owned() });
    }
    Err(format!("has no port `{rest}`: write a path such as /dev/ttyUSB1"))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { host, port: None } => write!(f, "http:{host}"),
            Self::Http { host, port: Some(port) } => write!(f, "http:{host}:{port}"),
            Self::Mqtt { filter } => write!(f, "mqtt:{filter}"),
            Self::Serial { path } => write!(f, "serial:{path}"),
            Self::Smtp { host, port } => write!(f, "smtp:{host}:{port}"),
            Self::Gpio { chip, line } => write!(f, "gpio:{chip}/{line}"),
            Self::Lcd { bus, address } => write!(f, "lcd:{bus}/0x{address:02x}"),
        }
    }
}
impl TryFrom<String> for Capability {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).map_err(|why| format!("`{text}` {why}"))
    }
}
impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_capability_has_one_spelling() {
        for good in [
            "http:hooks.example.org",
            "http:192.168.1.5:8123",
            "mqtt:clinic/alerts",
            "mqtt:clinic/#",
            "mqtt:hall/lämp",
            "serial:/dev/ttyUSB1",
            "serial:/dev/serial/by-id/usb-FTDI_X:1-if00",
            "smtp:mail.example.org:587",
            "gpio:gpiochip0/17",
            "lcd:i2c-1/0x27",
            "lcd:i2c-22/0x3f",
        ] {
            assert_eq!(Capability::parse(good).unwrap().to_string(), good);
        }
        for bad in [
            "http:",
            "http:*",
            "http:Example.org",
            "http:example.org:0",
            "http:example.org:080",
            "http:example.org:99999",
            "http:example.org/path",
            "http:999.1.1.1",
            "http:1.2",
            "mqtt:",
            "mqtt:#",
            "mqtt:a/+/b",
            "mqtt:$SYS/x",
            "mqtt:ps/1/s7/dn",
            "mqtt:alerts/#",
            "mqtt:live",
            "mqtt:a//b",
            "mqtt:ä/b",
            "serial:ttyUSB1",
            "serial:/dev/../etc/passwd",
            "serial:/dev//x",
            "serial:/etc/passwd",
            "smtp:mail.example.org",
            "smtp:mail.example.org:0",
            "gpio:gpiochip0",
            "gpio:gpiochip00/1",
            "gpio:gpiochip0/1024",
            "gpio:gpiochip0/017",
            "gpio:../gpiochip0/1",
            "lcd:i2c-1/27",
            "lcd:i2c-1/0x7",
            "lcd:i2c-1/0x68",
            "lcd:i2c-1/0x3F",
            "file:/etc/passwd",
            "http",
            "",
        ] {
            assert!(Capability::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn it_allows_what_it_says_and_nothing_beside() {
        let of = |text: &str| Capability::parse(text).unwrap();
        let hooks = of("http:hooks.example.org");
        assert!(hooks.allows_http("hooks.example.org", 443, true));
        assert!(!hooks.allows_http("hooks.example.org", 443, false), "in clear needs a port");
        assert!(!hooks.allows_http("hooks.example.org", 8443, true));
        assert!(!hooks.allows_http("evil.hooks.example.org", 443, true));
        assert!(of("http:10.0.0.2:8123").allows_http("10.0.0.2", 8123, false));
        assert!(!of("http:10.0.0.2:8123").allows_http("10.0.0.2", 443, true));
        let below = of("mqtt:clinic/#");
        assert!(below.allows_mqtt("clinic/a/b") && !below.allows_mqtt("clinic") && !below.allows_mqtt("clinics/a"));
        assert!(of("mqtt:clinic/a").allows_mqtt("clinic/a") && !of("mqtt:clinic/a").allows_mqtt("clinic/a/b"));
        assert!(
            of("serial:/dev/ttyS1").allows_serial("/dev/ttyS1")
                && !of("serial:/dev/ttyS1").allows_serial("/dev/ttyS10")
        );
        assert!(!hooks.allows_mqtt("hooks.example.org") && !below.allows_serial("clinic/a"));
        let mail = of("smtp:mail.example.org:587");
        assert!(mail.allows_smtp("mail.example.org", 587) && !mail.allows_smtp("mail.example.org", 25));
        assert!(!hooks.allows_smtp("hooks.example.org", 443) && !mail.allows_http("mail.example.org", 587, true));
        let line = of("gpio:gpiochip0/17");
        assert!(
            line.allows_gpio("gpiochip0", 17)
                && !line.allows_gpio("gpiochip0", 1)
                && !line.allows_gpio("gpiochip1", 17)
        );
        let display = of("lcd:i2c-1/0x27");
        assert!(
            display.allows_lcd("i2c-1", 0x27)
                && !display.allows_lcd("i2c-1", 0x26)
                && !display.allows_lcd("i2c-2", 0x27)
        );
    }

    proptest! {
        #[test]
        fn whatever_reads_is_written_the_same(text in "(http|mqtt|serial|smtp|gpio|lcd):(gpiochip|i2c-)?[a-z0-9/.:#+$-]{0,40}") {
            if let Ok(capability) = Capability::parse(&text) {
                prop_assert_eq!(capability.to_string(), text);
            }
        }
    }
}
