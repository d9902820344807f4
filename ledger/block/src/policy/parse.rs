//! The policy file, line by line. Names are octets: nothing here knows Unicode.

use std::collections::{HashMap, HashSet};

use super::{Group, LogEntry, MEMBERS_MAX, Member, POLICY_BYTES_MAX, Policy, WitnessEntry};
use crate::note::{KeyError, KeyKind, VerifierKey};

/// Why a file is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Larger than [`POLICY_BYTES_MAX`].
    #[error("the policy has {0} bytes, at most {POLICY_BYTES_MAX} are read")]
    TooLong(usize),
    /// The last line does not end in a newline.
    #[error("the policy's last line does not end in a newline: the file may be cut short")]
    CutShort,
    /// A line that does not fit.
    #[error("policy line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: LineError,
    },
    /// No quorum line.
    #[error("the policy has no quorum line: write 'quorum none' if no witness is required")]
    NoQuorum,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A control character other than tab.
    #[error("byte 0x{0:02x} is not allowed")]
    Octet(u8),
    /// Neither log, witness, group nor quorum.
    #[error("unknown keyword: use log, witness, group or quorum")]
    Keyword,
    /// Too few or too many items.
    #[error("expected: {0}")]
    Items(&'static str),
    /// Not a usable key.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// A key of a type that logs or witnesses do not sign with here.
    #[error("a log's key is of type Ed25519 (0x01), a witness's of type cosignature (0x04)")]
    KeyKind,
    /// The same public key twice.
    #[error("this public key was listed before")]
    DuplicateKey,
    /// The same name twice.
    #[error("this name was defined before")]
    DuplicateName,
    /// `none` as a name of a witness, group or member.
    #[error("'none' may stand in the quorum line only")]
    None,
    /// A name not defined on a line above.
    #[error("no witness or group of that name is defined above")]
    UnknownName,
    /// A name in two groups.
    #[error("this name is a member of a group already")]
    MemberTwice,
    /// A threshold outside 1..=n.
    #[error("the threshold is 'any', 'all' or a decimal number from 1 to the number of members")]
    Threshold,
    /// A second quorum line.
    #[error("there is a quorum line already")]
    SecondQuorum,
    /// More than [`MEMBERS_MAX`] logs, witnesses or groups.
    #[error("at most {MEMBERS_MAX} logs, witnesses and groups each are supported")]
    TooMany,
}

#[derive(Default)]
struct Reader<'a> {
    logs: Vec<LogEntry>,
    witnesses: Vec<WitnessEntry>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
    names: HashMap<&'a [u8], Member>,
    grouped: HashSet<&'a [u8]>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Policy, PolicyError> {
    if bytes.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLong(bytes.len()));
    }
    let body = match bytes.strip_suffix(b"\n") {
        Some(body) => body,
        None if bytes.is_empty() => return Err(PolicyError::NoQuorum),
        None => return Err(PolicyError::CutShort),
    };
    let mut reader = Reader::default();
    for (at, line) in body.split(|byte| *byte == b'\n').enumerate() {
        reader.line(line).map_err(|why| PolicyError::Line { line: at + 1, why })?;
    }
    let Reader { logs, witnesses, groups, quorum, .. } = reader;
    let quorum = quorum.ok_or(PolicyError::NoQuorum)?;
    Ok(Policy { logs, witnesses, groups, quorum })
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a [u8]) -> Result<(), LineError> {
        if let Some(bad) = line.iter().find(|byte| matches!(byte, 0..=8 | 10..=31 | 127)) {
            return Err(LineError::Octet(*bad));
        }
        let mut items = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|item| !item.is_empty());
        let Some(keyword) = items.next() else { return Ok(()) };
        if keyword.first() == Some(&b'#') {
            return Ok(());
        }
        let items: Vec<&'a [u8]> = items.collect();
        match keyword {
            b"log" => self.log(&items),
            b"witness" => self.witness(&items),
            b"group" => self.group(&items),
            b"quorum" => self.quorum(&items),
            _ => Err(LineError::Keyword),
        }
    }

    fn log(&mut self, items: &[&'a [u8]]) -> Result<(), LineError> {
        let (vkey, url) = match items {
            [vkey] => (vkey, None),
            [vkey, url] => (vkey, Some(url.to_vec())),
            _ => return Err(LineError::Items("log VKEY [URL]")),
        };
        let key = vkey_of(vkey, KeyKind::Ed25519)?;
        if self.logs.iter().any(|log| log.key.public() == key.public()) {
            return Err(LineError::DuplicateKey);
        }
        push(&mut self.logs, LogEntry { key, url }).map(|_| ())
    }

    fn witness(&mut self, items: &[&'a [u8]]) -> Result<(), LineError> {
        let (name, vkey, url) = match items {
            [name, vkey] => (*name, vkey, None),
            [name, vkey, url] => (*name, vkey, Some(url.to_vec())),
            _ => return Err(LineError::Items("witness NAME VKEY [URL]")),
        };
        let key = vkey_of(vkey, KeyKind::Cosignature)?;
        if self.witnesses.iter().any(|witness| witness.key.public() == key.public()) {
            return Err(LineError::DuplicateKey);
        }
        self.unused(name)?;
        let at = push(&mut self.witnesses, WitnessEntry { name: name.to_vec(), key, url })?;
        self.names.insert(name, Member::Witness(at));
        Ok(())
    }

    fn group(&mut self, items: &[&'a [u8]]) -> Result<(), LineError> {
        let [name, threshold, members @ ..] = items else {
            return Err(LineError::Items("group NAME all|any|NUMBER MEMBER..."));
        };
        if members.is_empty() {
            return Err(LineError::Items("group NAME all|any|NUMBER MEMBER..."));
        }
        self.unused(name)?;
        let threshold = match *threshold {
            b"all" => members.len(),
            b"any" => 1,
            digits => decimal(digits).ok_or(LineError::Threshold)?,
        };
        if threshold == 0 || threshold > members.len() {
            return Err(LineError::Threshold);
        }
        let mut found = Vec::with_capacity(members.len());
        for member in members {
            if *member == b"none" {
                return Err(LineError::None);
            }
            found.push(*self.names.get(member).ok_or(LineError::UnknownName)?);
            if !self.grouped.insert(member) {
                return Err(LineError::MemberTwice);
            }
        }
        let at = push(&mut self.groups, Group { threshold, members: found })?;
        self.names.insert(name, Member::Group(at));
        Ok(())
    }

    fn quorum(&mut self, items: &[&'a [u8]]) -> Result<(), LineError> {
        let [name] = items else { return Err(LineError::Items("quorum NAME")) };
        if self.quorum.is_some() {
            return Err(LineError::SecondQuorum);
        }
        self.quorum =
            Some(if *name == b"none" { None } else { Some(*self.names.get(name).ok_or(LineError::UnknownName)?) });
        Ok(())
    }

    fn unused(&self, name: &[u8]) -> Result<(), LineError> {
        if name == b"none" {
            return Err(LineError::None);
        }
        if self.names.contains_key(name) { Err(LineError::DuplicateName) } else { Ok(()) }
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<usize, LineError> {
    if list.len() >= MEMBERS_MAX {
        return Err(LineError::TooMany);
    }
    list.push(item);
    Ok(list.len() - 1)
}

fn vkey_of(octets: &[u8], kind: KeyKind) -> Result<VerifierKey, LineError> {
    let text = std::str::from_utf8(octets).map_err(|_| KeyError::Shape)?;
    let key = VerifierKey::parse(text)?;
    if key.kind() == kind { Ok(key) } else { Err(LineError::KeyKind) }
}

fn decimal(digits: &[u8]) -> Option<usize> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !plain {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
