//! `plugin pack`, `key`, `sign`, `show`: packages as files, on the maker's machine. Needs no box and no network.

use std::io::read_to_string;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ledger_block::note::{KeyKind, SignedNote, SignerKey, VerifierKey};
use pitchside_script::files;
use pitchside_script::package::{Digest, PACKAGE_BYTES_MAX, Package, PackageFiles, pack as pack_files};
use serde::Serialize;
use zeroize::Zeroizing;

use super::check::problems;
use crate::cli::args::PluginKeyCommand;
use crate::cli::library::refuse;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::files::{read_bounded, read_file, read_secret, write_public, write_secret};
use crate::plugins::apart::Apart;
use crate::plugins::signature::{self, SignatureError};
use crate::random::OsRandom;

/// A package, for people.
#[derive(Serialize)]
pub(super) struct PackageSaid {
    name: String,
    version: String,
    kind: String,
    summary: String,
    sha256: String,
    capabilities: Vec<String>,
    /// Who signed it, unchecked.
    signed_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

impl PackageSaid {
    pub(super) fn of(package: &Package, note: Option<&SignedNote>, file: Option<&Path>) -> Self {
        let manifest = &package.manifest;
        let signers = |note: &SignedNote| note.signatures().iter().map(|s| s.name.escape_debug().to_string()).collect();
        Self {
            name: manifest.name.to_string(),
            version: manifest.version.clone(),
            kind: manifest.kind.to_string(),
            summary: manifest.summary.clone(),
            sha256: package.digest.to_string(),
            capabilities: manifest.wanted.clone(),
            signed_by: note.map(signers).unwrap_or_default(),
            file: file.map(|file| file.display().to_string()),
        }
    }

    pub(super) fn text(&self) -> String {
        let or = |list: &[String], none: &str| if list.is_empty() { none.to_owned() } else { list.join(", ") };
        let file = self.file.as_ref().map_or_else(String::new, |file| format!("\nfile       {file}"));
        format!(
            "plugin     {} {} ({})\n           {}\nsha256     {}\nmay        {}\nsigned by  {}{file}",
            self.name,
            self.version,
            self.kind,
            self.summary,
            self.sha256,
            or(&self.capabilities, "reach out to nothing"),
            or(&self.signed_by, "nobody"),
        )
    }
}

/// Where the signed note of a package lies: beside it, with `.note` at the end.
pub(super) fn note_file(package: &Path) -> PathBuf {
    let mut path = package.as_os_str().to_owned();
    path.push(".note");
    path.into()
}

fn open(path: &Path) -> anyhow::Result<Package> {
    let bytes = read_file(path, PACKAGE_BYTES_MAX)?;
    Package::open(&bytes).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// `plugin pack`. What does not pass its own cases is not packed.
pub(super) fn pack(dir: &Path, out: &Path, output: &Output) -> Outcome {
    let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
    let folder = match problems(&dir) {
        Ok(folder) => folder,
        Err(found) => return refuse(&found),
    };
    let script = folder.manifest.kind.script_file();
    let strangers = strangers(&dir, &["plugin.toml", script, "cases.txt", "README.md"]);
    if !strangers.is_empty() {
        return refuse(&strangers);
    }
    let failures = Apart::start()?.failures(&folder)?;
    if !failures.is_empty() {
        return refuse(&failures);
    }
    let text = |name: &str| {
        let path = dir.join(name);
        files::open(&path).and_then(read_to_string).with_context(|| format!("reading {}", path.display()))
    };
    let files = PackageFiles {
        manifest: text("plugin.toml")?,
        script: text(script)?,
        cases: text("cases.txt")?,
        readme: text("README.md")?,
    };
    let archive = pack_files(&files)?;
    let package = Package::open(&archive)?;
    let (manifest, digest) = (&package.manifest, Digest::of(&archive));
    let path = out.join(format!("{}-{}-{digest}.tar", manifest.name, manifest.version));
    write_public(&path, &archive)?;
    output.print(&PackageSaid::of(&package, None, Some(&path)), PackageSaid::text)?;
    Ok(())
}

/// What of the files is not in the folder itself, a line each. Where a link leads is nothing that its author would see in a package.
fn strangers(dir: &Path, files: &[&str]) -> Vec<String> {
    let stranger = |file: &&&str| !dir.join(file).symlink_metadata().is_ok_and(|meta| meta.is_file());
    let told =
        |file: &&str| format!("{file}: is no regular file: what it leads to is not packed, put a copy in its place");
    files.iter().filter(stranger).map(told).collect()
}

/// A signer's key, for people.
#[derive(Serialize)]
struct KeySaid {
    public: String,
}

fn say_key(key: &SignerKey, output: &Output) -> Outcome {
    output.print(&KeySaid { public: key.verifier().to_string() }, |said| said.public.clone())?;
    Ok(())
}

fn read_key(path: &Path) -> anyhow::Result<SignerKey> {
    let text = read_secret(path)?;
    let text = std::str::from_utf8(&text).map(str::trim);
    let key = text.ok().and_then(|text| SignerKey::parse(text).ok());
    key.with_context(|| format!("{} is not a signer's key: `pitchside plugin key new` makes one", path.display()))
}

/// `plugin key ...`
pub(super) fn key(command: &PluginKeyCommand, output: &Output) -> Outcome {
    match command {
        PluginKeyCommand::New { name, out } => {
            let mut public = out.as_os_str().to_owned();
            public.push(".pub");
            if out.exists() || Path::new(&public).exists() {
                return Err(Failure::Usage(format!("{} exists; nothing was changed", out.display())));
            }
            let secret: Zeroizing<[u8; 32]> = Zeroizing::new(OsRandom.bytes()?);
            let key = SignerKey::new(name, KeyKind::Ed25519, &secret).map_err(|e| Failure::Usage(e.to_string()))?;
            let text = Zeroizing::new(format!("{}\n", key.to_secret_text().as_str()));
            write_secret(out, text.as_bytes())?;
            write_public(Path::new(&public), format!("{}\n", key.verifier()).as_bytes())?;
            say_key(&key, output)
        }
        PluginKeyCommand::Show { file } => say_key(&read_key(file)?, output),
    }
}

/// `plugin sign`.
pub(super) fn sign(file: &Path, key: &Path, output: &Output) -> Outcome {
    let (package, key, path) = (open(file)?, read_key(key)?, note_file(file));
    let before = if path.exists() { Some(read_note(&path)?) } else { None };
    let note = signature::sign(&package, before.as_deref(), &key)?;
    write_public(&path, note.to_string().as_bytes())?;
    output.print(&PackageSaid::of(&package, Some(&note), Some(&path)), PackageSaid::text)?;
    Ok(())
}

/// Reads a signed note.
pub(super) fn read_note(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_file(path, ledger_block::note::NOTE_BYTES_MAX)
}

/// How a command ends whose package its note does not speak of.
fn refused(error: SignatureError) -> Failure {
    if error.is_tampered() { Failure::Tampered(error.to_string()) } else { Failure::Failed(error.into()) }
}

/// `plugin show`. One that was changed after it was signed is told as when it should come in: nobody signed that.
pub(super) fn show(file: &Path, output: &Output) -> Outcome {
    let (archive, path) = (read_file(file, PACKAGE_BYTES_MAX)?, note_file(file));
    let note = if path.exists() { Some(read_note(&path)?) } else { None };
    let package = Package::open(&archive).map_err(|error| {
        let changed = note.as_deref().and_then(|note| signature::changed(&archive, note, &error));
        changed.map_or_else(|| Failure::Failed(anyhow::anyhow!("{}: {error}", file.display())), refused)
    })?;
    let note = note.map(|note| signature::parse(&package, &note)).transpose().map_err(refused)?;
    output.print(&PackageSaid::of(&package, note.as_ref(), None), PackageSaid::text)?;
    Ok(())
}

/// A verifier key: its text, or a file of it.
pub(super) fn read_public(text: &str) -> Result<VerifierKey, Failure> {
    let of_file = |path: &str| String::from_utf8(read_bounded(Path::new(path), 4_096).ok()?).ok();
    let key = VerifierKey::parse(text).or_else(|error| match of_file(text) {
        Some(content) => VerifierKey::parse(content.trim()),
        None => Err(error),
    });
    let key =
        key.map_err(|error| Failure::Usage(format!("'{text}' is neither a verifier key nor a file of one: {error}")))?;
    if key.kind() == KeyKind::Ed25519 {
        return Ok(key);
    }
    Err(Failure::Usage(format!("{key} is a key for cosignatures; plugins are signed with plain Ed25519 keys")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_changed_after_it_was_signed_is_not_shown_as_signed() {
        let dir = tempfile::tempdir().unwrap();
        let manifest = "name = \"acme\"\nversion = \"1.2.3\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"battery\"]\n";
        let text = |text: &str| text.to_owned();
        let files =
            PackageFiles { manifest: text(manifest), script: text("[]"), cases: text(""), readme: text("A test.") };
        let archive = pack_files(&files).unwrap();
        let key = SignerKey::new("acme.example/plugins", KeyKind::Ed25519, &[1; 32]).unwrap();
        let package = Package::open(&archive).unwrap();
        let note = signature::sign(&package, None, &key).unwrap().to_string();
        let file = dir.path().join("acme.tar");
        let shown = |archive: &[u8], note: &str, json: bool| {
            std::fs::write(&file, archive).unwrap();
            std::fs::write(note_file(&file), note).unwrap();
            show(&file, &Output::new(json))
        };
        assert!(shown(&archive, &note, true).is_ok());
        // One byte of a file, and one of a header: the first is a package, the second none.
        let at = archive.windows(7).position(|window| window == b"A test.").unwrap();
        for (at, told) in [(at, "its sha256 is"), (104, "for another archive")] {
            let mut changed = archive.clone();
            changed[at] ^= 1;
            for json in [false, true] {
                let ended = shown(&changed, &note, json);
                assert!(matches!(&ended, Err(Failure::Tampered(text)) if text.contains(told)), "{ended:?}");
            }
        }
        assert!(matches!(shown(&archive, "no note", false), Err(Failure::Failed(_))));
    }

    #[test]
    fn what_only_leads_to_a_file_is_not_packed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("plugin.toml"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("README.md")).unwrap();
        std::os::unix::fs::symlink("plugin.toml", dir.path().join("cases.txt")).unwrap();
        std::fs::create_dir(dir.path().join("decode.rhai")).unwrap();
        let told = strangers(dir.path(), &["plugin.toml", "decode.rhai", "cases.txt", "README.md"]);
        let named: Vec<&str> = told.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(named, ["decode.rhai", "cases.txt", "README.md"], "{told:?}");
    }
}
