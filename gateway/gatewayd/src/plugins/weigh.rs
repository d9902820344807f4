//! Whether a package is let in. Deny by default: signed by somebody trusted, by whoever signed what there is, newer than that, asking
//! for no more than was granted, and true to its own cases. Everything that lets a package in comes by here.

use std::fmt;

use ledger_block::note::VerifierKey;
use pitchside_decode::plugin::Folder;
use pitchside_model::PluginName;
use pitchside_script::manifest::{Chosen, PluginKind};
use pitchside_script::package::{Digest, Package, PackageError};

use super::folder;
use super::signature::{self, SignatureError, Signer};

/// Why a package is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is none.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// It comes without a note.
    #[error("the package is not signed: there is no {0}; its maker signs it with `pitchside plugin sign`")]
    Unsigned(String),
    /// Nobody trusted vouches for it.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is there already.
    #[error("{name} {version} is installed already")]
    Already {
        /// Which plugin.
        name: PluginName,
        /// Which version.
        version: String,
    },
    /// Somebody else signed it than what there is.
    #[error(
        "{name} {version} is signed by {signer}; the {name} of this box is {maker}. A plugin stays with its maker, whoever else is trusted: \
         what takes its place has what was granted and set for it, secrets too. To accept that on purpose: {command} --new-signer"
    )]
    Maker {
        /// Which plugin.
        name: PluginName,
        /// Its version.
        version: String,
        /// Who signed it.
        signer: Signer,
        /// Whose there is.
        maker: Maker,
        /// What was asked.
        command: String,
    },
    /// It is no newer than what there is.
    #[error(
        "{name} {version} is no newer than {installed}, which is installed: a downgrade is refused; `pitchside plugin rollback {name}` goes \
         back to the version before. To accept this one on purpose: {command} --allow-downgrade"
    )]
    Downgrade {
        /// Which plugin.
        name: PluginName,
        /// Its version.
        version: String,
        /// What there is.
        installed: String,
        /// What was asked.
        command: String,
    },
    /// What they hold is not known.
    #[error("the cases of {name} could not be run: {error:#}")]
    Unrun {
        /// Which plugin.
        name: PluginName,
        /// Why.
        error: anyhow::Error,
    },
    /// Its name is that of another, but for the size of letters.
    #[error(
        "{name} is called as {other} is, but for the size of letters: nobody could tell them apart; its maker gives it another name"
    )]
    Namesake {
        /// Which plugin.
        name: PluginName,
        /// The one that is there.
        other: PluginName,
    },
    /// Something was accepted that nobody asked for: given out of habit it would accept anything.
    #[error("{name} {version} needs no {flag}: {why}; leave it out")]
    Needless {
        /// Which plugin.
        name: PluginName,
        /// Its version.
        version: String,
        /// What was given.
        flag: &'static str,
        /// Why that is needless.
        why: &'static str,
    },
    /// It is of another kind than what there is.
    #[error("{name} is a {is} now, and was a {was}: remove the old one first, or give the new one another name")]
    Kind {
        /// Which plugin.
        name: PluginName,
        /// What it is.
        is: PluginKind,
        /// What there is.
        was: PluginKind,
    },
    /// It asks for more than it was granted.
    #[error("{name} asks for what it was not granted: {}; to grant it, add: {}", .asks.join(", "), .asks.iter().map(|a| format!("--grant {a}")).collect::<Vec<_>>().join(" "))]
    Capabilities {
        /// Which plugin.
        name: PluginName,
        /// What was not granted.
        asks: Vec<String>,
    },
    /// A grant for what it does not ask for: a slip, most likely.
    #[error("{name} does not ask for {grant}: grant what it asks for, and nothing else")]
    NotAsked {
        /// Which plugin.
        name: PluginName,
        /// What was granted.
        grant: String,
    },
    /// Its script or its cases do not hold.
    #[error("{name} fails its own cases:\n{}", .failures.join("\n"))]
    Cases {
        /// Which plugin.
        name: PluginName,
        /// What fails.
        failures: Vec<String>,
    },
}

impl Refusal {
    /// Whether something was changed after it was signed.
    pub const fn is_tampered(&self) -> bool {
        matches!(self, Self::Signature(error) if error.is_tampered())
    }
}

/// Whose the plugin is that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Maker {
    /// Whoever writes the library's folder.
    Library,
    /// Whoever has this key.
    Signer(Signer),
}

impl Maker {
    /// The key, if there is one.
    pub const fn signer(&self) -> Option<&Signer> {
        match self {
            Self::Library => None,
            Self::Signer(signer) => Some(signer),
        }
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Library => f.write_str("the library's"),
            Self::Signer(signer) => write!(f, "signed by {signer}"),
        }
    }
}

/// What an admin accepts on purpose, this once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepts {
    /// That somebody else signed it than what there is.
    pub new_signer: bool,
    /// That it is no newer.
    pub downgrade: bool,
}

/// A plugin that is there: its package if it was installed, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// The package; none for the library's.
    pub digest: Option<Digest>,
    /// What it is for.
    pub kind: PluginKind,
    /// Three numbers, to compare by.
    pub order: [u32; 3],
    /// As written.
    pub version: String,
}

/// What decides.
pub struct Scales<'a> {
    /// Whose the plugin of that name is; none: there is none.
    pub maker: Option<&'a Maker>,
    /// What is accepted on purpose.
    pub accepts: Accepts,
    /// What was asked, as one would write it.
    pub command: &'a str,
    /// What it was granted before.
    pub granted: &'a [String],
    /// What is granted with it.
    pub grants: &'a [String],
    /// What an admin set of it before. What it asks for by a name that is not set yet is granted once it is.
    pub chosen: &'a Chosen,
    /// What fails of a plugin's own cases.
    pub failures: &'a dyn Fn(Folder) -> anyhow::Result<Vec<String>>,
}

/// A package that was signed by somebody trusted.
#[derive(Debug)]
pub struct Vouched {
    /// What came.
    pub package: Package,
    /// Who vouches for it.
    pub signer: VerifierKey,
}

/// Finds out who vouches for a package: whoever made what there is, if they signed it, too.
pub fn vouch(
    package: Package,
    note: &[u8],
    trusted: &[VerifierKey],
    maker: Option<&Maker>,
) -> Result<Vouched, Refusal> {
    let signer = signature::verify(&package, note, trusted, maker.and_then(Maker::signer))?;
    Ok(Vouched { package, signer })
}

fn needless(vouched: &Vouched, flag: &'static str, why: &'static str) -> Refusal {
    let manifest = &vouched.package.manifest;
    Refusal::Needless { name: manifest.name.clone(), version: manifest.version.clone(), flag, why }
}

fn is_the_makers(vouched: &Vouched, scales: &Scales<'_>) -> Result<(), Refusal> {
    let unneeded = |why| if scales.accepts.new_signer { Err(needless(vouched, "--new-signer", why)) } else { Ok(()) };
    match scales.maker {
        None => unneeded("there is no plugin of that name"),
        Some(Maker::Signer(signer)) if signer.is(&vouched.signer) => unneeded("its signer is the one of what there is"),
        Some(_) if scales.accepts.new_signer => Ok(()),
        Some(maker) => Err(Refusal::Maker {
            name: vouched.package.manifest.name.clone(),
            version: vouched.package.manifest.version.clone(),
            signer: Signer::of(&vouched.signer),
            maker: maker.clone(),
            command: scales.command.to_owned(),
        }),
    }
}

fn is_newer(vouched: &Vouched, present: Option<&Present>, scales: &Scales<'_>) -> Result<(), Refusal> {
    let manifest = &vouched.package.manifest;
    match present.filter(|present| manifest.order() <= present.order) {
        Some(present) if !scales.accepts.downgrade => Err(Refusal::Downgrade {
            name: manifest.name.clone(),
            version: manifest.version.clone(),
            installed: present.version.clone(),
            command: scales.command.to_owned(),
        }),
        None if scales.accepts.downgrade => Err(needless(vouched, "--allow-downgrade", "there is nothing newer")),
        _ => Ok(()),
    }
}

/// Whether a package that somebody vouches for may be there instead of `present`.
pub fn weigh(vouched: &Vouched, present: Option<&Present>, scales: &Scales<'_>) -> Result<(), Refusal> {
    let manifest = &vouched.package.manifest;
    let (name, version) = (manifest.name.clone(), manifest.version.clone());
    if let Some(present) = present {
        if present.digest == Some(vouched.package.digest) {
            return Err(Refusal::Already { name, version });
        }
        if manifest.kind != present.kind {
            return Err(Refusal::Kind { name, is: manifest.kind, was: present.kind });
        }
    }
    is_the_makers(vouched, scales)?;
    is_newer(vouched, present, scales)?;
    let asked = manifest.asks(scales.chosen).0.iter().map(ToString::to_string).collect::<Vec<_>>();
    if let Some(grant) = scales.grants.iter().find(|grant| !asked.contains(grant)) {
        return Err(Refusal::NotAsked { name, grant: grant.clone() });
    }
    let is_granted = |asked: &String| scales.granted.contains(asked) || scales.grants.contains(asked);
    let asks: Vec<String> = asked.into_iter().filter(|asked| !is_granted(asked)).collect();
    if !asks.is_empty() {
        return Err(Refusal::Capabilities { name, asks });
    }
    let failures = folder(&vouched.package).map_or_else(|error| Ok(vec![error.to_string()]), scales.failures);
    let failures = failures.map_err(|error| Refusal::Unrun { name: name.clone(), error })?;
    if failures.is_empty() { Ok(()) } else { Err(Refusal::Cases { name, failures }) }
}

#[cfg(test)]
mod tests {
    use ledger_block::note::{KeyKind, SignerKey};
    use pitchside_script::package::{PackageFiles, pack};

    use super::*;
    use crate::plugins::failures;

    fn key(name: &str, secret: u8) -> SignerKey {
        SignerKey::new(name, KeyKind::Ed25519, &[secret; 32]).unwrap()
    }

    fn package(version: &str) -> Package {
        let manifest = format!(
            "name = \"acme\"\nversion = \"{version}\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"battery\"]\n"
        );
        let files = PackageFiles {
            manifest,
            script: "[]\n".to_owned(),
            cases: "case silent\n  00 ->\n".to_owned(),
            readme: String::new(),
        };
        Package::open(&pack(&files).unwrap()).unwrap()
    }

    const FIRST: &str = "1.1.0";

    /// What a box says that has 1.1.0 of this maker, or nothing, of a version signed by these, all of whom it trusts.
    fn said(maker: Option<&Maker>, version: &str, signers: &[&SignerKey], accepts: Accepts) -> Result<(), Refusal> {
        let package = package(version);
        let note = signers.iter().fold(None, |note: Option<Vec<u8>>, key| {
            Some(signature::sign(&package, note.as_deref(), key).unwrap().to_string().into_bytes())
        });
        let trusted: Vec<VerifierKey> = signers.iter().map(|key| key.verifier().clone()).collect();
        let vouched = vouch(package, &note.unwrap(), &trusted, maker)?;
        let present = maker.map(|_| {
            let (kind, order) = (PluginKind::Decoder, [1, 1, 0]);
            Present { digest: None, kind, order, version: FIRST.to_owned() }
        });
        let chosen = Chosen::default();
        let command = "pitchside plugin update acme.tar";
        let failures = &|folder: Folder| Ok(failures(&folder));
        let scales = Scales { maker, accepts, command, granted: &[], grants: &[], chosen: &chosen, failures };
        weigh(&vouched, present.as_ref(), &scales)
    }

    const NEW_SIGNER: Accepts = Accepts { new_signer: true, downgrade: false };
    const DOWNGRADE: Accepts = Accepts { new_signer: false, downgrade: true };

    #[test]
    fn a_plugin_stays_with_the_key_that_signed_it_unless_an_admin_says_otherwise() {
        let (acme, other, namesake) = (key("acme.example", 1), key("else.example", 2), key("acme.example", 3));
        let makers = |key: &SignerKey| Some(Maker::Signer(Signer::of(key.verifier())));
        let is_acmes = makers(&acme);
        assert!(said(is_acmes.as_ref(), "1.2.0", &[&acme], Accepts::default()).is_ok());
        assert!(said(is_acmes.as_ref(), "1.2.0", &[&other, &acme], Accepts::default()).is_ok(), "both signed it");
        let old = Maker::Signer(Signer::kept("acme.example".to_owned()));
        for (maker, signer) in [
            (is_acmes.clone(), &other),
            // The same name is another key all the same.
            (is_acmes.clone(), &namesake),
            (Some(Maker::Library), &acme),
            (Some(old), &acme),
        ] {
            let refused = said(maker.as_ref(), "1.2.0", &[signer], Accepts::default());
            assert!(matches!(refused, Err(Refusal::Maker { .. })), "{maker:?}: {refused:?}");
            assert!(said(maker.as_ref(), "1.2.0", &[signer], NEW_SIGNER).is_ok(), "{maker:?}");
        }
        let why = said(is_acmes.as_ref(), "1.2.0", &[&other], Accepts::default()).unwrap_err().to_string();
        for part in [
            format!("else.example+{:08x}", other.verifier().key_id()),
            format!("signed by acme.example+{:08x}", acme.verifier().key_id()),
            "pitchside plugin update acme.tar --new-signer".to_owned(),
        ] {
            assert!(why.contains(&part), "{part}: {why}");
        }
        assert!(said(None, "1.2.0", &[&other], Accepts::default()).is_ok(), "nobody's yet");
    }

    #[test]
    fn a_version_that_is_no_newer_comes_in_on_purpose_alone() {
        let acme = key("acme.example", 1);
        let maker = Maker::Signer(Signer::of(acme.verifier()));
        for version in ["1.0.9", FIRST] {
            let refused = said(Some(&maker), version, &[&acme], Accepts::default()).unwrap_err();
            assert!(matches!(refused, Refusal::Downgrade { .. }), "{refused:?}");
            assert!(refused.to_string().contains("pitchside plugin update acme.tar --allow-downgrade"), "{refused}");
            assert!(said(Some(&maker), version, &[&acme], DOWNGRADE).is_ok());
        }
        // Each is accepted by itself.
        let other = key("else.example", 2);
        let both = Accepts { new_signer: true, downgrade: true };
        assert!(matches!(said(Some(&maker), "1.0.9", &[&other], DOWNGRADE), Err(Refusal::Maker { .. })));
        assert!(matches!(said(Some(&maker), "1.0.9", &[&other], NEW_SIGNER), Err(Refusal::Downgrade { .. })));
        assert!(said(Some(&maker), "1.0.9", &[&other], both).is_ok());
    }

    #[test]
    fn what_is_accepted_without_need_is_a_slip() {
        let acme = key("acme.example", 1);
        let maker = Maker::Signer(Signer::of(acme.verifier()));
        for (there, accepts) in
            [(Some(&maker), NEW_SIGNER), (None, NEW_SIGNER), (Some(&maker), DOWNGRADE), (None, DOWNGRADE)]
        {
            let refused = said(there, "1.2.0", &[&acme], accepts);
            assert!(matches!(refused, Err(Refusal::Needless { .. })), "{there:?} {accepts:?}: {refused:?}");
        }
    }
}
