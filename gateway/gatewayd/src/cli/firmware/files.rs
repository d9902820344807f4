//! Keys, release policies and releases as files. Signers work here, each on a machine of their own, with no network.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use ledger_block::release::{
    Kid, Manifest, PolicyId, ReleaseKey, ReleasePolicy, SIGNED_BYTES_MAX, SecurityCounter, SignedManifest,
    SignedPolicy, Target,
};
use pitchside_release::manifest::ContentNames;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::args::{DraftArgs, KeyCommand, PolicyCommand, TargetArg};
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::files::{read_secret, write_public, write_secret};
use crate::random::OsRandom;

/// A release key, for people.
#[derive(Serialize)]
struct KeySaid {
    public: String,
    id: String,
}

/// A release, for people.
#[derive(Serialize)]
pub(super) struct ReleaseSaid {
    release: String,
    target: &'static str,
    component: String,
    hardware: Vec<String>,
    version: String,
    counter: u32,
    size: u64,
    sha256: String,
    blake3: String,
    from: Option<String>,
    expires: String,
    signed_by: Vec<String>,
}

impl ReleaseSaid {
    pub(super) fn of(signed: &SignedManifest) -> Self {
        let manifest = signed.manifest();
        Self {
            release: signed.id().to_string(),
            target: manifest.target.word(),
            component: manifest.component.to_string(),
            hardware: manifest.hardware.iter().map(ToString::to_string).collect(),
            version: manifest.version.to_string(),
            counter: manifest.counter.0,
            size: manifest.size,
            sha256: HEXLOWER.encode(&manifest.sha256),
            blake3: HEXLOWER.encode(&manifest.blake3),
            from: manifest.from.map(|from| from.to_string()),
            expires: manifest.expires.to_string(),
            signed_by: signed.signers().map(|kid| kid.to_string()).collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        let from = self.from.as_ref().map_or_else(String::new, |from| format!(" over {from} or later"));
        format!(
            "release    {}\n{} {} {}{from}, counter {}\nhardware   {}\nsize       {} bytes\nsha256     {}\nblake3     {}\nexpires    {}\nsigned by  {}",
            self.release,
            self.target,
            self.component,
            self.version,
            self.counter,
            self.hardware.join(" "),
            self.size,
            self.sha256,
            self.blake3,
            self.expires,
            names(&self.signed_by),
        )
    }
}

fn names(kids: &[String]) -> String {
    if kids.is_empty() { "nobody yet".to_owned() } else { kids.join(" ") }
}

/// Reads a file of signatures; longer ones are none.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let context = || format!("reading {}", path.display());
    let length = fs::metadata(path).with_context(context)?.len();
    anyhow::ensure!(length <= SIGNED_BYTES_MAX as u64, "{}: {length} bytes, too long", path.display());
    fs::read(path).with_context(context)
}

/// Reads a release.
pub(super) fn read_release(path: &Path) -> anyhow::Result<SignedManifest> {
    SignedManifest::parse(&read(path)?).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// Reads a release policy.
pub(super) fn read_policy(path: &Path) -> anyhow::Result<SignedPolicy> {
    SignedPolicy::parse(&read(path)?).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

fn must_be_new(path: &Path) -> Outcome {
    if path.exists() {
        return Err(Failure::Usage(format!("{} exists; nothing was changed", path.display())));
    }
    Ok(())
}

fn read_key(path: &Path) -> anyhow::Result<ReleaseKey> {
    let text = read_secret(path)?;
    let bytes = HEXLOWER.decode(text.trim_ascii()).map(Zeroizing::new);
    let bytes = bytes.ok().filter(|bytes| bytes.len() == 32);
    let bytes = bytes.with_context(|| format!("{} is not a release key", path.display()))?;
    let mut secret = Zeroizing::new([0; 32]);
    secret.copy_from_slice(&bytes);
    Ok(ReleaseKey::new(&secret))
}

/// Where the public half of a key lies: beside it, with `.pub` at the end.
fn public_file(key: &Path) -> PathBuf {
    let mut path = key.as_os_str().to_owned();
    path.push(".pub");
    path.into()
}

/// A public key: 64 hexadecimal digits, or a file of them.
fn read_public(text: &str) -> Result<[u8; 32], Failure> {
    let parse = |text: &str| HEXLOWER.decode(text.trim().to_lowercase().as_bytes()).ok()?.try_into().ok();
    let key = parse(text).or_else(|| parse(&fs::read_to_string(text).ok()?));
    key.ok_or_else(|| {
        Failure::Usage(format!("'{text}' is neither a public key of 64 hexadecimal digits nor a file of one"))
    })
}

/// `firmware key ...`
pub(super) fn key(command: &KeyCommand, output: &Output) -> Outcome {
    let key = match command {
        KeyCommand::New { out } => {
            must_be_new(out)?;
            let secret: Zeroizing<[u8; 32]> = Zeroizing::new(OsRandom.bytes()?);
            let text = Zeroizing::new(HEXLOWER.encode(secret.as_slice()) + "\n");
            write_secret(out, text.as_bytes())?;
            let key = ReleaseKey::new(&secret);
            write_public(&public_file(out), format!("{}\n", HEXLOWER.encode(&key.public())).as_bytes())?;
            key
        }
        KeyCommand::Show { file } => read_key(file)?,
    };
    let (public, id) = (HEXLOWER.encode(&key.public()), Kid::of(&key.public()).to_string());
    output.print(&KeySaid { public, id }, |said| format!("public  {}\nid      {}", said.public, said.id))?;
    Ok(())
}

/// A release policy, for people.
#[derive(Serialize)]
struct PolicySaid {
    policy: String,
    number: u32,
    threshold: u8,
    keys: Vec<String>,
    signed_by: Vec<String>,
}

fn say_policy(signed: &SignedPolicy, output: &Output) -> Outcome {
    let policy = signed.policy();
    let said = PolicySaid {
        policy: policy.id().to_string(),
        number: policy.number,
        threshold: policy.threshold,
        keys: policy.keys.iter().map(|key| HEXLOWER.encode(key)).collect(),
        signed_by: signed.signers().map(|kid| kid.to_string()).collect(),
    };
    output.print(&said, |said| {
        format!(
            "policy     {}\nnumber {}: {} of {} keys sign releases\nkeys       {}\nsigned by  {}",
            said.policy,
            said.number,
            said.threshold,
            said.keys.len(),
            said.keys.join("\n           "),
            names(&said.signed_by)
        )
    })?;
    Ok(())
}

/// `firmware policy ...`
pub(super) fn policy(command: &PolicyCommand, output: &Output) -> Outcome {
    match command {
        PolicyCommand::New { threshold, keys, single, after, out } => {
            must_be_new(out)?;
            let mut keys = keys.iter().map(|key| read_public(key)).collect::<Result<Vec<_>, _>>()?;
            keys.sort_unstable();
            let (number, previous) = match after {
                Some(path) => {
                    let before = read_policy(path)?;
                    (before.policy().number.saturating_add(1), before.policy().id())
                }
                None => (1, PolicyId([0; 32])),
            };
            let policy = ReleasePolicy { number, previous, threshold: *threshold, keys, single: *single };
            let draft = SignedPolicy::draft(policy).map_err(|error| Failure::Usage(error.to_string()))?;
            write_public(out, &draft.to_bytes())?;
            say_policy(&draft, output)
        }
        PolicyCommand::Sign { file, key } => {
            let (mut signed, key) = (read_policy(file)?, read_key(key)?);
            signed.sign(&key)?;
            write_public(file, &signed.to_bytes())?;
            say_policy(&signed, output)
        }
        PolicyCommand::Show { file } => say_policy(&read_policy(file)?, output),
    }
}

/// Names the bytes of a file.
pub(super) fn names_of(path: &Path) -> anyhow::Result<ContentNames> {
    let file = fs::File::open(path).with_context(|| format!("reading {}", path.display()))?;
    ContentNames::of(file).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

/// `firmware draft`.
pub(super) fn draft(args: &DraftArgs, output: &Output) -> Outcome {
    must_be_new(&args.out)?;
    let names = names_of(&args.content)?;
    let mut hardware = args.hardware.clone();
    hardware.sort();
    let manifest = Manifest {
        target: match args.target {
            TargetArg::Sensor => Target::Sensor,
            TargetArg::Box => Target::Box,
        },
        component: args.component.clone(),
        hardware,
        version: args.version,
        counter: SecurityCounter(args.counter),
        size: names.size,
        sha256: names.sha256,
        blake3: names.blake3,
        from: args.from,
        expires: args.expires,
    };
    let draft = SignedManifest::draft(manifest).map_err(|error| Failure::Usage(error.to_string()))?;
    write_public(&args.out, &draft.to_bytes())?;
    say(&draft, output)
}

fn say(signed: &SignedManifest, output: &Output) -> Outcome {
    output.print(&ReleaseSaid::of(signed), ReleaseSaid::text)?;
    Ok(())
}

/// `firmware sign`.
pub(super) fn sign(file: &Path, key: &Path, output: &Output) -> Outcome {
    let (mut signed, key) = (read_release(file)?, read_key(key)?);
    signed.sign(&key)?;
    write_public(file, &signed.to_bytes())?;
    say(&signed, output)
}

/// `firmware show`.
pub(super) fn show(file: &Path, output: &Output) -> Outcome {
    say(&read_release(file)?, output)
}
