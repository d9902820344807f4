//! Names and numbers that identify things. A name that parses is safe in a topic, a path and a log line.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 48;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// A character outside the allowed set, and where it stands.
    #[error(
        "{character:?} at byte {at} is not allowed: use letters, digits, '-', '_' and '.', and begin with a letter or digit"
    )]
    Character {
        /// The offending character.
        character: char,
        /// Its byte offset.
        at: usize,
    },
}

fn check(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong(text.len()));
    }
    for (at, character) in text.char_indices() {
        let inner = matches!(character, '-' | '_' | '.') && at > 0;
        if !character.is_ascii_alphanumeric() && !inner {
            return Err(NameError::Character { character, at });
        }
    }
    Ok(())
}

macro_rules! name {
    ($(#[$meta:meta])* $type:ident) => {
        $(#[$meta])*
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        // Most names that are compared are copies of one another: those are alike without a look at the text.
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }
        impl Eq for $type {}
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                if Arc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
            }
        }
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        // As its text, for it is looked up by that, too.
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }

        impl $type {
            /// Checks the text and makes it a name: 1 to 48 bytes of ASCII letters, digits, `-`, `_`, `.`,
            /// beginning with a letter or digit.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }
        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0.as_ref().to_owned()
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($type), self.0)
            }
        }
    };
}

name!(
    /// A device: what has an identity and a key.
    DeviceId
);
name!(
    /// An athlete: whose reading it is. A pseudonym chosen by the clinic; no personal data.
    AthleteId
);
name!(
    /// A rule, as its folder under `rules/` is called.
    RuleName
);
name!(
    /// A plugin, as its folder under `plugins/` is called.
    PluginName
);

/// Number of a message within an [`Epoch`], counted by the device from 0 without holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

/// Random number of a device's message count: new whenever the device cannot remember its last [`Seq`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_break_a_topic_or_path_are_refused() {
        for bad in ["", "a/b", "a+b", "#", "$SYS", "..", ".a", "-a", "a b", "ä", "a\0", &"x".repeat(49)] {
            assert!(DeviceId::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "strap-07", "hub.north_2", "0", &"x".repeat(48)] {
            assert_eq!(DeviceId::parse(good).map(|d| d.to_string()), Ok(good.to_owned()));
        }
    }
}
