//! `pitchside firmware init`: a publisher's place. A box needs none: its own settings and keys serve to halt a release.

use anyhow::Context as _;
use serde::Serialize;

use super::files;
use crate::backup::recovery::PUBLIC_FILE;
use crate::cli::args::PublisherArgs;
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome, SETTINGS_FILE};
use crate::files::{is_there, write_public};
use crate::identity::Identity;

#[derive(Serialize)]
struct Made {
    config: String,
    enrolment: String,
}

/// `firmware init`.
pub(super) fn init(args: &PublisherArgs, output: &Output) -> Outcome {
    let config = args.dir.join(SETTINGS_FILE);
    if config.exists() {
        return Err(Failure::Usage(format!("{} exists; nothing was changed", config.display())));
    }
    files::read_policy(&args.release_policy)?;
    crate::cli::evidence::read_policy(&args.ledger_policy)?;
    let absolute = |path: &std::path::Path| {
        let path = std::path::absolute(path).with_context(|| path.display().to_string())?;
        path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
    };
    let (ledger_policy, release_policy) = (absolute(&args.ledger_policy)?, absolute(&args.release_policy)?);
    let keys = args.dir.join("keys");
    // Its settings lie elsewhere: it would get keys beside its own, and settings that are none of its.
    if let Some(part) = [keys.join(PUBLIC_FILE), args.dir.join("data/pitchside.db")].iter().find(|part| is_there(part))
    {
        return Err(Failure::Usage(format!("{} exists: there is a box here; name another folder", part.display())));
    }
    Identity::ensure(&keys)?;
    let identity = Identity::load(&keys)?;
    let enrolment = identity.write_ledger_enrolment(args.name.as_str())?;
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let settings = format!(
        "# A publisher of firmware: `pitchside firmware ... --config {SETTINGS_FILE}`.\n\n\
         [gateway]\nname = \"{}\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\n\n\
         [ledger]\naddress = {}\npublic_key = {}\npolicy = {}\n\n\
         [firmware]\nrelease_policy = {}\n",
        args.name,
        quoted(&args.ledger),
        quoted(&args.ledger_key),
        quoted(&ledger_policy),
        quoted(&release_policy)
    );
    write_public(&config, settings.as_bytes())?;
    let made = Made { config: config.display().to_string(), enrolment: enrolment.display().to_string() };
    output.print(&made, |made| {
        format!(
            "Made a publisher. Settings: {}\nFor the ledger's operator, with {} beside it: ledgerd enrol-publisher {}",
            made.config, "ledger.psk", made.enrolment
        )
    })?;
    Ok(())
}
