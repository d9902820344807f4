//! Arguments of `plugin`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use pitchside_model::PluginName;

/// `plugin ...`
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Begin a plugin: a folder with manifest, script, cases and README that passes its own cases as it is.
    New {
        /// Its name, e.g. acme-strap; the folder is called so.
        name: PluginName,
        /// What it is for.
        #[arg(long, value_enum, default_value_t = PluginKindArg::Decoder)]
        kind: PluginKindArg,
        /// Where to make the folder; without it, here.
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Report every problem with file, line and column.
    Check {
        /// A plugin's folder, a folder of plugins, or the name of one in the settings' folder; without it, all of that.
        #[arg(value_name = "DIR|NAME")]
        which: Option<PathBuf>,
    },
    /// Run every case.
    Test {
        /// A plugin's folder, a folder of plugins, or the name of one in the settings' folder; without it, all of that.
        #[arg(value_name = "DIR|NAME")]
        which: Option<PathBuf>,
    },
    /// Make the package of a plugin: one file, the same bytes whoever makes it, named by its SHA-256.
    Pack {
        /// The plugin's folder.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// Folder for the package; without it, here.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Keys that sign packages. Each stays with its maker.
    #[command(subcommand)]
    Key(PluginKeyCommand),
    /// Sign a package: a signed note beside it, PACKAGE.note. Needs no network.
    Sign {
        /// The package.
        package: PathBuf,
        /// File of a signer's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// What a package is, what it asks for, and who says to have signed it.
    Show {
        /// The package.
        package: PathBuf,
    },
    /// Let this key's plugins be installed on this box.
    Trust {
        /// A verifier key (NAME+ID+BASE64), or the .pub file.
        key: String,
    },
    /// Let no more of this key's plugins be installed. Those that are stay; switched off or replaced, they do not come back.
    Distrust {
        /// A verifier key, or the .pub file.
        key: String,
    },
    /// Whose plugins may be installed.
    Signers,
    /// Install a signed package, at once. Refused: unsigned, unknown signer, another signer, tampered, no newer,
    /// asking for more than granted.
    Install(PackageArgs),
    /// Try a newer package beside the one that runs: it takes over once it has done enough alike, or is refused. A decoder is tried on
    /// the payloads that come; an output on the steps of alerts that were recorded, and sends nothing; a derived stream on sealed
    /// history.
    Update {
        /// What is to come.
        #[command(flatten)]
        package: PackageArgs,
        /// How it is tried.
        #[command(flatten)]
        trial: TrialArgs,
    },
    /// Go back to the version before, if its signer is trusted; or, while a new one is tried, end that.
    Rollback {
        /// Which plugin.
        name: PluginName,
    },
    /// Take an installed plugin out, with all it was granted. One of the library comes back in its place.
    Remove {
        /// Which plugin.
        name: PluginName,
    },
    /// What is there on this box, and how it stands.
    List,
    /// What was done with plugins and what went wrong in them, newest first.
    Logs {
        /// Only this one's.
        name: Option<PluginName>,
        /// How many lines at most.
        #[arg(long, default_value_t = 50)]
        last: u32,
    },
    /// Switch a plugin on, if its signer is trusted, or on again after its script failed too often.
    Enable {
        /// Which plugin.
        name: PluginName,
    },
    /// Switch a plugin off. What it would read is kept until it is on again.
    Disable {
        /// Which plugin.
        name: PluginName,
    },
    /// Let a plugin have something done for it, e.g. http:hooks.example.org.
    Grant {
        /// Which plugin.
        name: PluginName,
        /// What, as it asks for it.
        capability: String,
    },
    /// Choose a param or a text of a plugin, within what its manifest allows.
    Set {
        /// Which plugin.
        name: PluginName,
        /// Which param or text.
        key: String,
        /// What it is from now on.
        value: String,
    },
    /// Take that back: what the manifest says counts again.
    Unset {
        /// Which plugin.
        name: PluginName,
        /// Which param or text.
        key: String,
    },
    /// Give a plugin a secret: one line of standard input, sealed in the database. Scripts only name it.
    Secret {
        /// Which plugin.
        name: PluginName,
        /// Which secret.
        key: String,
        /// Make a new signing key and show it, this once, instead of reading one.
        #[arg(long, conflicts_with = "remove")]
        generate: bool,
        /// Take it away.
        #[arg(long)]
        remove: bool,
    },
    /// What can be set of a plugin, what is set, and which secrets are missing. Secrets are not shown.
    Settings {
        /// Which plugin.
        name: PluginName,
    },
    /// Take a grant back.
    Revoke {
        /// Which plugin.
        name: PluginName,
        /// What, as it was granted.
        capability: String,
    },
}

/// A package that is to come in.
#[derive(Debug, Args)]
pub struct PackageArgs {
    /// The package.
    pub package: PathBuf,
    /// Its signed note; without it, PACKAGE.note.
    #[arg(long, value_name = "FILE")]
    pub note: Option<PathBuf>,
    /// What it may have done for it, of what it asks for; once for each.
    #[arg(long, value_name = "CAPABILITY")]
    pub grant: Vec<String>,
    /// Accept, this once, that somebody else signed it than what is there, or that it takes the place of one of the library.
    #[arg(long)]
    pub new_signer: bool,
    /// Accept, this once, that it is no newer than what is there.
    #[arg(long)]
    pub allow_downgrade: bool,
}

/// How a new version is tried.
#[derive(Debug, Args)]
pub struct TrialArgs {
    /// How many payloads both versions of a decoder read alike before the new one takes over (of one that keeps something, each
    /// device's first is not counted); of an output, how many recorded steps both are told.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub payloads: u32,
    /// How long that may take of a decoder; after it the new one takes over with what was compared.
    #[arg(long, value_name = "DURATION", default_value = "10min", value_parser = super::duration)]
    pub within: Duration,
    /// How much of the sealed history both versions of a derived stream hear.
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = super::duration)]
    pub since: Duration,
    /// It may do something else, for that is why it comes. What it fails on refuses it all the same.
    #[arg(long)]
    pub allow_differences: bool,
}

/// `plugin key ...`
#[derive(Debug, Subcommand)]
pub enum PluginKeyCommand {
    /// Make a signer's key. Its public half is shown, and written beside it as .pub.
    New {
        /// Whose it is, as it stands in signatures, e.g. acme.example/plugins.
        #[arg(long)]
        name: String,
        /// Where to write it; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// The public half of a signer's key.
    Show {
        /// The key's file.
        file: PathBuf,
    },
}

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PluginKindArg {
    /// Payloads to readings.
    Decoder,
    /// Alerts to requests: HTTP, MQTT, serial, mail, GPIO, a display.
    Output,
    /// Readings to readings of another quantity, for rules to use.
    Derived,
}
