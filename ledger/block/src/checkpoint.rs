//! Checkpoints: a log's size and root as a signed note (C2SP tlog-checkpoint).

use std::fmt;

use data_encoding::BASE64;

use crate::merkle::Hash;
use crate::note::{NoteError, SignedNote, SignerKey};

/// A log's head, unsigned: see [`crate::policy::Policy::verify_checkpoint`] for reading a signed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: a schema-less URL by custom.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: Hash,
    /// Further lines: opaque, covered by the log's signature, used by nobody here.
    pub extensions: Vec<String>,
}

/// Why a text is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Fewer than three lines, an empty line or no final newline.
    #[error("a checkpoint is at least three non-empty lines: origin, size, root")]
    Lines,
    /// A size that is not a decimal number without leading zeroes.
    #[error("the second line is not a tree size in decimal without leading zeroes")]
    Size,
    /// A root that is not 32 bytes in base64.
    #[error("the third line is not a root hash: 32 bytes in base64")]
    Root,
}

impl Checkpoint {
    /// A checkpoint without extension lines.
    pub fn new(origin: &str, size: u64, root: Hash) -> Self {
        Self { origin: origin.to_owned(), size, root, extensions: Vec::new() }
    }

    /// Reads the text of a note.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if origin.is_empty() || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Lines);
        }
        let digits = !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
        if !digits || (size.starts_with('0') && size != "0") {
            return Err(CheckpointError::Size);
        }
        let size = size.parse().map_err(|_| CheckpointError::Size)?;
        let root = BASE64.decode(root.as_bytes()).map_err(|_| CheckpointError::Root)?;
        let root = root.try_into().map_err(|_| CheckpointError::Root)?;
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Signs it as a note, with the log's key (whose name is the origin).
    pub fn sign(&self, key: &SignerKey, time_s: u64) -> Result<SignedNote, NoteError> {
        let mut note = SignedNote::new(self.to_string())?;
        note.sign(key, time_s)?;
        Ok(note)
    }
}

/// The note text.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, BASE64.encode(&self.root))?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of C2SP tlog-checkpoint.
    const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    #[test]
    fn the_published_example_reads_back() {
        let checkpoint = Checkpoint::parse(EXAMPLE).unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.to_string(), EXAMPLE);
        let extended = format!("{EXAMPLE}more\n");
        assert_eq!(Checkpoint::parse(&extended).unwrap().to_string(), extended);
    }

    #[test]
    fn malformed_checkpoints_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for (bad, why) in [
            (String::new(), CheckpointError::Lines),
            ("a\n1\n".to_owned(), CheckpointError::Lines),
            (format!("a\n1\n{root}"), CheckpointError::Lines),
            (format!("\n1\n{root}\n"), CheckpointError::Lines),
            (format!("a\n1\n{root}\n\n"), CheckpointError::Lines),
            (format!("a\n01\n{root}\n"), CheckpointError::Size),
            (format!("a\n+1\n{root}\n"), CheckpointError::Size),
            (format!("a\n18446744073709551616\n{root}\n"), CheckpointError::Size),
            ("a\n1\nAAAA\n".to_owned(), CheckpointError::Root),
            (format!("a\n1\n{}\n", root.trim_end_matches('=')), CheckpointError::Root),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(why), "{bad:?}");
        }
        assert_eq!(Checkpoint::parse(&format!("a\n0\n{root}\n")).unwrap().size, 0);
    }
}
