//! What is stored of a device and of a session. Secrets in them are wrapped ([`crate::kek`]).

use std::fmt;

use pitchside_model::{DeviceId, PluginName, Timestamp};
use pitchside_wire::Class;

/// How a device is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceClass {
    /// PS/1 with a pre-shared key alone.
    P0,
    /// PS/1 with a pre-shared key and X25519.
    P1,
    /// PS/1 with the device's own key pair.
    P2,
    /// A hub that has a password and speaks for itself.
    Hub,
    /// A program that has a password and listens.
    App,
    /// Whatever is on a cable the admin named.
    Wired,
    /// A Bluetooth device the host has bonded with by LE Secure Connections.
    Bonded,
}

impl DeviceClass {
    /// As stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::Hub => "hub",
            Self::App => "app",
            Self::Wired => "wired",
            Self::Bonded => "bonded",
        }
    }

    /// From the stored word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::P0, Self::P1, Self::P2, Self::Hub, Self::App, Self::Wired, Self::Bonded]
            .into_iter()
            .find(|class| class.word() == word)
    }

    /// The class in PS/1, if it speaks that.
    pub const fn wire(self) -> Option<Class> {
        match self {
            Self::P0 => Some(Class::P0),
            Self::P1 => Some(Class::P1),
            Self::P2 => Some(Class::P2),
            Self::Hub | Self::App | Self::Wired | Self::Bonded => None,
        }
    }
}

impl From<Class> for DeviceClass {
    fn from(class: Class) -> Self {
        match class {
            Class::P0 => Self::P0,
            Class::P1 => Self::P1,
            Class::P2 => Self::P2,
        }
    }
}

/// A device as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// Its name.
    pub id: DeviceId,
    /// How it is let in.
    pub class: DeviceClass,
    /// Its keys or password hash, wrapped; bound to id, class and filters. Empty for [`DeviceClass::Wired`].
    pub secret: Vec<u8>,
    /// The plugin that decodes its vendor payloads.
    pub decoder: Option<PluginName>,
    /// Apps: the topic filters they may read.
    pub filters: Vec<String>,
    /// Since when it is trusted.
    pub enrolled_at: Timestamp,
    /// Since when it no longer is.
    pub revoked_at: Option<Timestamp>,
}

impl fmt::Debug for DeviceRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceRecord")
            .field("id", &self.id)
            .field("class", &self.class)
            .field("revoked_at", &self.revoked_at)
            .finish_non_exhaustive()
    }
}

/// A session as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The session's number, 8 bytes.
    pub id: [u8; 8],
    /// Whose it is.
    pub device: DeviceId,
    /// Received counters below it may have been accepted. Also inside `body`, where it cannot be changed unnoticed; the
    /// higher of the two counts.
    pub ceiling: u64,
    /// Keys and ceilings, wrapped.
    pub body: Vec<u8>,
}

impl fmt::Debug for SessionRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRow")
            .field("device", &self.device)
            .field("ceiling", &self.ceiling)
            .finish_non_exhaustive()
    }
}
