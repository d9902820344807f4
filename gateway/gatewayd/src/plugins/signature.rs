//! Who vouches for a package: a C2SP signed note beside it, whose text names it. The key that did when it came in stays the
//! plugin's: see [`Signer`].
//!
//! ```text
//! pitchside plugin/1
//! name acme-strap
//! version 1.2.0
//! sha256 3f0c…                              64 hexadecimal digits, of the archive
//!
//! — acme.example/plugins BASE64             Ed25519, one line a signer
//! ```

use std::fmt;

use ledger_block::note::{KeyKind, NoteError, SignedNote, SignerKey, VerifierKey};
use pitchside_script::package::{Digest, Package, PackageError};

/// First line of the text.
const TITLE: &str = "pitchside plugin/1";

/// Why nobody vouches for a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The note is none.
    #[error("the signature is no signed note: {0}")]
    Note(NoteError),
    /// The note vouches for something else: it was signed for another package, or this one was changed.
    #[error("the signature is for another package: {0}")]
    Other(String),
    /// It is no package, and the note vouches for another archive: this one was changed after it was signed.
    #[error("{why}; and the signature is for another archive: it speaks of {said}, this one is {is}")]
    Archive {
        /// Why it is none.
        why: String,
        /// Which archive the note names.
        said: Digest,
        /// Which this one is.
        is: Digest,
    },
    /// A trusted key's signature is wrong.
    #[error("the signature of {0} does not match: the note was changed")]
    Wrong(String),
    /// Nobody who is trusted signed it.
    #[error("signed by {0}, whom this box does not trust: pitchside plugin trust KEY")]
    Unknown(String),
    /// A key that is none for plugins.
    #[error("{0} is a key for cosignatures; plugins are signed with plain Ed25519 keys")]
    Kind(String),
}

impl SignatureError {
    /// Whether something was changed after it was signed.
    pub const fn is_tampered(&self) -> bool {
        matches!(self, Self::Other(_) | Self::Archive { .. } | Self::Wrong(_))
    }
}

/// The key that vouched for a package when it came, as the database keeps it: a verifier key. Of one that came before whole keys were
/// kept only the name is known, and whose that is nobody can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer(String);

impl Signer {
    /// Out of the database.
    pub const fn kept(text: String) -> Self {
        Self(text)
    }

    /// As it is kept.
    pub fn of(key: &VerifierKey) -> Self {
        Self(key.to_string())
    }

    /// The key's name, which anybody may give to a key of their own.
    pub fn name(&self) -> &str {
        self.0.split_once('+').map_or(self.0.as_str(), |(name, _)| name)
    }

    /// The verifier key; none if only its name is known.
    pub fn key(&self) -> Option<&str> {
        self.0.contains('+').then_some(self.0.as_str())
    }

    /// Whether it is one of these verifier keys. One of which only the name is known is nobody's.
    pub fn is_among<'a>(&self, keys: impl IntoIterator<Item = &'a str>) -> bool {
        keys.into_iter().any(|key| key == self.0)
    }

    /// Whether it is this very key.
    pub fn is(&self, key: &VerifierKey) -> bool {
        self.0 == key.to_string()
    }
}

/// Name and id, as a verifier key begins.
impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = self.0.splitn(3, '+');
        match (parts.next(), parts.next()) {
            (Some(name), Some(id)) => write!(f, "{name}+{id}"),
            _ => write!(f, "{} (with which key of that name was not written down)", self.0),
        }
    }
}

/// What is signed.
fn statement(package: &Package) -> String {
    let manifest = &package.manifest;
    format!("{TITLE}\nname {}\nversion {}\nsha256 {}\n", manifest.name, manifest.version, package.digest)
}

/// Signs a package, or adds a signature to the ones it has. A note about another package is not added to.
pub fn sign(package: &Package, note: Option<&[u8]>, key: &SignerKey) -> Result<SignedNote, SignatureError> {
    if key.verifier().kind() != KeyKind::Ed25519 {
        return Err(SignatureError::Kind(key.name().to_owned()));
    }
    let mut note = match note {
        Some(bytes) => parse(package, bytes)?,
        None => SignedNote::new(statement(package)).map_err(SignatureError::Note)?,
    };
    note.sign(key, 0).map_err(SignatureError::Note)?;
    Ok(note)
}

/// A note that speaks of this package. Whether who signed it is trusted, or signed this at all, is not looked at.
pub fn parse(package: &Package, note: &[u8]) -> Result<SignedNote, SignatureError> {
    let note = SignedNote::parse(note).map_err(SignatureError::Note)?;
    let wanted = statement(package);
    if note.text() == wanted {
        return Ok(note);
    }
    Err(SignatureError::Other(differences(note.text(), &wanted)))
}

/// Where a note says something else than it should, field by field.
fn differences(note: &str, wanted: &str) -> String {
    let differs = |line: &str| {
        let (field, is) = line.split_once(' ')?;
        let Some(said) = note.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(' ')) else {
            return Some(format!("it tells no {field}"));
        };
        // The text is not vouched for by anybody here: shown with escapes, and not all of it.
        let shown: String = said.escape_debug().take(100).collect();
        (said != is).then(|| format!("its {field} is {shown}, this one's is {is}"))
    };
    let found: Vec<String> = wanted.lines().skip(1).filter_map(differs).collect();
    if found.is_empty() { "its text is not what `pitchside plugin sign` writes".to_owned() } else { found.join("; ") }
}

/// What speaks for an archive that is no package having been changed: a note beside it that names another one, whoever signed that.
pub fn changed(archive: &[u8], note: &[u8], why: &PackageError) -> Option<SignatureError> {
    let note = SignedNote::parse(note).ok()?;
    let mut lines = note.text().strip_prefix(TITLE)?.lines();
    let said = lines.find_map(|line| line.strip_prefix("sha256 ").and_then(Digest::parse))?;
    let is = Digest::of(archive);
    (said != is).then(|| SignatureError::Archive { why: why.to_string(), said, is })
}

/// The trusted key that vouches for a package: the one that did `before`, if it is among them, else the first that signed.
pub fn verify(
    package: &Package,
    note: &[u8],
    trusted: &[VerifierKey],
    before: Option<&Signer>,
) -> Result<VerifierKey, SignatureError> {
    let note = parse(package, note)?;
    let keys: Vec<&VerifierKey> = trusted.iter().filter(|key| key.kind() == KeyKind::Ed25519).collect();
    let unknown = || {
        let names: Vec<String> = note.signatures().iter().map(|s| s.name.escape_debug().to_string()).collect();
        SignatureError::Unknown(names.join(", "))
    };
    if keys.is_empty() {
        return Err(unknown());
    }
    match note.verify(&keys) {
        Ok(signed) => {
            let signed = || signed.iter().filter_map(|at| keys.get(*at).copied());
            let same = signed().find(|key| before.is_some_and(|before| before.is(key)));
            same.or_else(|| signed().next()).cloned().ok_or_else(unknown)
        }
        Err(NoteError::WrongSignature(name)) => Err(SignatureError::Wrong(name)),
        Err(NoteError::NotSigned(_)) => Err(unknown()),
        Err(error) => Err(SignatureError::Note(error)),
    }
}

#[cfg(test)]
mod tests {
    use pitchside_script::package::{PackageFiles, pack};

    use super::*;

    fn package(script: &str) -> Package {
        let manifest = "name = \"acme\"\nversion = \"1.2.3\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"battery\"]\n";
        let files = PackageFiles {
            manifest: manifest.to_owned(),
            script: script.to_owned(),
            cases: String::new(),
            readme: String::new(),
        };
        Package::open(&pack(&files).unwrap()).unwrap()
    }

    fn key(name: &str, secret: u8) -> SignerKey {
        SignerKey::new(name, KeyKind::Ed25519, &[secret; 32]).unwrap()
    }

    #[test]
    fn a_trusted_signer_vouches_for_one_package_and_no_other() {
        let (acme, other) = (key("acme.example/plugins", 1), key("else.example", 2));
        let signed = package("[]");
        let note = sign(&signed, None, &acme).unwrap().to_string().into_bytes();
        let trusted = |key: &SignerKey| [key.verifier().clone()];
        assert_eq!(verify(&signed, &note, &trusted(&acme), None), Ok(acme.verifier().clone()));
        assert_eq!(
            verify(&signed, &note, &trusted(&other), None),
            Err(SignatureError::Unknown("acme.example/plugins".to_owned()))
        );
        assert_eq!(verify(&signed, &note, &[], None), Err(SignatureError::Unknown("acme.example/plugins".to_owned())));
        let changed = verify(&package("[1]"), &note, &trusted(&acme), None).unwrap_err();
        assert!(changed.is_tampered(), "{changed}");
        // A second signer adds to it; either is enough.
        let both = sign(&signed, Some(&note), &other).unwrap().to_string().into_bytes();
        assert_eq!(verify(&signed, &both, &trusted(&other), None), Ok(other.verifier().clone()));
        // Of two who are trusted, the one whose plugin it is; of a new one, who signed first.
        let all = [other.verifier().clone(), acme.verifier().clone()];
        for (before, first) in [(None, &acme), (Some(&acme), &acme), (Some(&other), &other)] {
            let before = before.map(|key| Signer::of(key.verifier()));
            assert_eq!(verify(&signed, &both, &all, before.as_ref()), Ok(first.verifier().clone()));
        }
        assert!(sign(&package("[1]"), Some(&note), &other).is_err(), "not to a note about another");
    }

    #[test]
    fn a_note_about_another_package_is_told_by_what_differs() {
        let (signed, other) = (package("[]"), package("[1]"));
        let note = sign(&signed, None, &key("acme.example/plugins", 1)).unwrap().to_string();
        let told = |package: &Package, note: &str| parse(package, note.as_bytes()).unwrap_err().to_string();
        let sha256 = format!("its sha256 is {}, this one's is {}", signed.digest, other.digest);
        assert_eq!(told(&other, &note), format!("the signature is for another package: {sha256}"));
        let newer = note.replace("version 1.2.3", "version 1.2.4");
        assert!(told(&signed, &newer).ends_with("package: its version is 1.2.4, this one's is 1.2.3"));
        assert!(told(&other, &newer).ends_with(&format!("its version is 1.2.4, this one's is 1.2.3; {sha256}")));
        assert!(told(&signed, &note.replace("name acme\n", "")).ends_with("package: it tells no name"));
        assert!(
            told(&signed, &note.replace("plugin/1", "plugin/2")).contains("not what `pitchside plugin sign` writes")
        );
        let long = note.replace("name acme\n", &format!("name {}\n", "x".repeat(1_000)));
        assert!(told(&signed, &long).ends_with(&format!("its name is {}, this one's is acme", "x".repeat(100))));
    }

    #[test]
    fn an_archive_that_cannot_be_opened_is_tampered_with_if_its_note_names_another() {
        let acme = key("acme.example/plugins", 1);
        let note = sign(&package("[]"), None, &acme).unwrap().to_string();
        let broken = b"no archive";
        let why = Package::open(broken).unwrap_err();
        let said = changed(broken, note.as_bytes(), &why).unwrap();
        assert!(said.is_tampered() && said.to_string().contains("another archive"), "{said}");
        // One that was broken before it was signed was not changed; nor does anything else than a note speak for it.
        let own = note.replace(&package("[]").digest.to_string(), &Digest::of(broken).to_string());
        assert_eq!(changed(broken, own.as_bytes(), &why), None);
        assert_eq!(changed(broken, b"no note", &why), None);
    }

    #[test]
    fn a_changed_note_is_tampered_with_and_one_with_the_same_name_is_unknown() {
        let acme = key("acme.example/plugins", 1);
        let signed = package("[]");
        let note = sign(&signed, None, &acme).unwrap().to_string();
        let trusted = [acme.verifier().clone()];
        let changed = note.replace("version 1.2.3", "version 1.2.4");
        assert!(verify(&signed, changed.as_bytes(), &trusted, None).unwrap_err().is_tampered());
        // A signature of the trusted key over something else.
        let elsewhere = sign(&package("[1]"), None, &acme).unwrap().to_string();
        let line = elsewhere.lines().last().unwrap();
        let forged = format!("{}\n{line}\n", note.rsplit_once("\n\u{2014}").unwrap().0);
        assert_eq!(
            verify(&signed, forged.as_bytes(), &trusted, None),
            Err(SignatureError::Wrong("acme.example/plugins".to_owned()))
        );
        let namesake = key("acme.example/plugins", 9);
        let note = sign(&signed, None, &namesake).unwrap().to_string();
        assert!(matches!(verify(&signed, note.as_bytes(), &trusted, None), Err(SignatureError::Unknown(_))));
    }

    #[test]
    fn a_signer_is_a_key_and_not_a_name() {
        let (acme, namesake) = (key("acme.example/plugins", 1), key("acme.example/plugins", 9));
        let kept = Signer::kept(acme.verifier().to_string());
        assert!(kept == Signer::of(acme.verifier()) && kept.is(acme.verifier()) && !kept.is(namesake.verifier()));
        assert_eq!(kept.name(), "acme.example/plugins");
        assert_eq!(kept.to_string(), format!("acme.example/plugins+{:08x}", acme.verifier().key_id()));
        assert_eq!(kept.key(), Some(acme.verifier().to_string().as_str()));
        let old = Signer::kept("acme.example/plugins".to_owned());
        assert_eq!(old.key(), None);
        assert!(!old.is(acme.verifier()) && old.name() == kept.name() && old.to_string().contains("not written down"));
    }
}
